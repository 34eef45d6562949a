"""A staged folder of the dataset, checked without the Hub. All problems are collected, then raised."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import datasets
import pyarrow.parquet as pq

from mnist1d_hf.data.checksums import compare, expected_checksums, measure
from mnist1d_hf.data.stream import sample
from mnist1d_hf.errors import InvalidValueError, OutputError
from mnist1d_hf.publishing import dataset_text
from mnist1d_hf.publishing.cards import read_card
from mnist1d_hf.publishing.checking import (
    addresses,
    check_files,
    differences,
    load_json,
    plain,
    verdict,
    wrong_card_links,
)
from mnist1d_hf.publishing.contents import leaks, wrong_sizes
from mnist1d_hf.publishing.croissant import croissant
from mnist1d_hf.publishing.facts import DatasetFacts, SplitFacts, split_facts
from mnist1d_hf.publishing.layout import (
    BASELINES,
    CARD,
    CONFIGURATIONS,
    CROISSANT,
    FIGURES,
    STREAM_SAMPLES,
    STREAM_SEED,
    data_path,
    published_config,
)

_SLACK = 65_536  # bytes that a file may have beside its numbers


def check_dataset(folder: str | os.PathLike[str]) -> int:
    """Check a folder of `stage_dataset`: files, metadata against the data, checksums, sizes, links; load it.

    Returns:
        The number of files.

    Raises:
        CheckError: (an `OSError`) all that is wrong, each with file, what was expected and what was found.
    """
    place = Path(folder)
    paths = [data_path(name, split) for name in CONFIGURATIONS for split in published_config(name).split_sizes]
    files, problems = check_files(place, (*paths, *FIGURES, BASELINES, CARD, CROISSANT))
    facts, wrong = _read_data(place, files)
    problems += wrong
    description, wrong = load_json(place, CROISSANT, files)
    problems += wrong
    repo_id = str((description or {}).get("url", "")).removeprefix("https://huggingface.co/datasets/")
    measured = DatasetFacts(repo_id, tuple(facts), (), (0, ()), {})
    if description is not None:
        problems += differences(CROISSANT, plain(croissant(measured)), description)
    if CARD in files:
        card = (place / CARD).read_text(encoding="utf-8")
        problems += _check_dataset_metadata(card, measured)
        known = (*addresses(repo_id), *_models_of(repo_id, card))
        problems += wrong_card_links(place, card, known)
    limits = {item.path: _parquet_limit(item) for item in facts}
    problems += wrong_sizes(place, files, limits) + leaks(place, files)
    return verdict(folder, problems or _not_loading(place), files)


def _not_loading(place: Path) -> list[str]:
    """Configurations that the datasets library does not load as they are here."""
    problems = []
    with tempfile.TemporaryDirectory(prefix="mnist1d-hf-") as cache:
        for name in CONFIGURATIONS:
            expected = published_config(name)
            try:
                found = datasets.load_dataset(str(place), name, cache_dir=cache)
            except Exception as error:  # whatever it is: a reader would meet it too
                problems.append(f"{name}: does not load: {' '.join(str(error).split()) or type(error).__name__}")
                continue
            problems += differences(f"{name}: rows", expected.split_sizes, found.num_rows)
            problems += [
                f"{name}: {split}: expected the features {expected.features}, found {rows.features}"
                for split, rows in found.items()
                if rows.features != expected.features
            ]
    return problems


def _read_data(place: Path, files: list[str]) -> tuple[list[SplitFacts], list[str]]:
    """What the Parquet files hold, and where that is not what the generator makes."""
    facts, problems = [], []
    for name in CONFIGURATIONS:
        expected = _expected_checksums(name)
        for split, rows in published_config(name).split_sizes.items():
            path = data_path(name, split)
            if path not in files:
                continue
            problems += (wrong := _wrong_schema(place, path, name))
            if wrong:
                continue
            try:
                item = split_facts(place, name, split, path)
            except OutputError as error:
                problems.append(str(error).removeprefix(f"{place}/"))
                continue
            facts.append(item)
            if item.rows != rows:
                problems.append(f"{path}: expected {rows:,} rows, found {item.rows:,}")
            measured = {split: dict(item.checksums)}
            problems += [f"{path}: {line}" for line in compare(measured, {split: expected[split]})]
    return facts, problems


def _expected_checksums(name: str) -> dict[str, dict[str, str]]:
    if name == "stream":
        return measure({"train": sample(range(STREAM_SAMPLES), STREAM_SEED)})
    return expected_checksums(name)


def _wrong_schema(place: Path, path: str, name: str) -> list[str]:
    try:
        found = pq.read_schema(place / path)
    except (OSError, ValueError) as error:
        return [f"{path}: expected a Parquet file ({str(error).splitlines()[0]})"]
    expected = published_config(name).features.arrow_schema.remove_metadata()
    problems = []
    if found.metadata:  # datasets 3 does not read what newer releases write there
        problems.append(f"{path}: expected no metadata in the schema, found {', '.join(map(str, found.metadata))}")
    if not found.remove_metadata().equals(expected):
        columns = [
            ", ".join(f"{field.name} {field.type}" for field in schema).replace(
                "item:", "element:"
            )  # as Parquet has it
            for schema in (expected, found)
        ]
        problems.append(f"{path}: expected the columns {columns[0]}; found {columns[1]}")
    return problems


def _check_dataset_metadata(card: str, facts: DatasetFacts) -> list[str]:
    """The YAML of the card against what the Parquet files hold."""
    try:
        found, _ = read_card(card)
    except InvalidValueError as error:
        return [str(error)]
    expected = plain(dataset_text.metadata(facts).to_dict())
    problems = []
    for key in ("configs", "dataset_info"):
        named = [{item["config_name"]: item for item in side.get(key) or []} for side in (expected, found)]
        problems += differences(CARD, {key: named[0]}, {key: named[1]})
    rest = {key: value for key, value in expected.items() if key not in ("configs", "dataset_info")}
    return problems + differences(CARD, rest, {key: found.get(key) for key in rest})


def _parquet_limit(item: SplitFacts) -> int:
    """Noise does not compress well, so that the numbers themselves are the measure."""
    return item.num_bytes + _SLACK


def _models_of(repo_id: str, card: str) -> list[str]:
    """The addresses of the baselines' repositories, which lie beside the dataset's."""
    start = f"https://huggingface.co/{repo_id.partition('/')[0]}/mnist1d-"
    return [f"{start}{name}" for name in re.findall(re.escape(start) + r"([a-z0-9-]+)\b", card)]
