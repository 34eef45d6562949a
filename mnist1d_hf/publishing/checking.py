"""Everything about a staged folder that can be checked without the Hub. All problems are collected, then raised."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from safetensors import SafetensorError, safe_open

from mnist1d_hf.data.checksums import compare, expected_checksums, measure
from mnist1d_hf.data.schema import HOMEPAGE
from mnist1d_hf.data.stream import sample
from mnist1d_hf.errors import InvalidValueError, OutputError
from mnist1d_hf.export.folder import damaged_files, read_sums, strange_files
from mnist1d_hf.export.store import Store
from mnist1d_hf.publishing import dataset_text
from mnist1d_hf.publishing.cards import read_card
from mnist1d_hf.publishing.contents import leaks, wrong_links, wrong_sizes
from mnist1d_hf.publishing.croissant import croissant
from mnist1d_hf.publishing.facts import DatasetFacts, SplitFacts, split_facts
from mnist1d_hf.publishing.layout import (
    CARD,
    CONFIGURATIONS,
    CONFUSION,
    CROISSANT,
    EVAL_RESULTS,
    FIGURES,
    MODEL_CODE,
    RESULTS,
    STREAM_SAMPLES,
    STREAM_SEED,
    SUMS,
    data_path,
    published_config,
    tested_on,
)
from mnist1d_hf.publishing.snippets import failing_snippets
from mnist1d_hf.publishing.staging import stage_data

_KNOWN = ("https://arxiv.org/abs/2011.14439", HOMEPAGE, "https://docs.mlcommons.org/croissant")
_WEIGHTS = "model.safetensors"
_SLACK = 65_536  # bytes that a file may have beside its numbers


class CheckError(OutputError):
    """A staged folder is not fit to be published. `problems` has a line for each reason."""

    def __init__(self, folder: str | os.PathLike[str], problems: list[str]) -> None:
        self.problems = problems
        count = "" if len(problems) == 1 else f"{len(problems)} problems: "
        super().__init__(f"{folder}: {count}{'; '.join(problems)}; nothing was published, stage it again")


def check_dataset(folder: str | os.PathLike[str]) -> int:
    """Check a folder of `stage_dataset`: files, metadata against the data, checksums, sizes, links, snippets.

    Returns:
        The number of files.

    Raises:
        CheckError: (an `OSError`) all that is wrong, each with file, what was expected and what was found.
    """
    place = Path(folder)
    paths = [data_path(name, split) for name in CONFIGURATIONS for split in published_config(name).split_sizes]
    files, problems = _check_files(place, (*paths, *FIGURES, CARD, CROISSANT))
    facts, wrong = _read_data(place, files)
    problems += wrong
    description, wrong = _load_json(place, CROISSANT, files)
    problems += wrong
    repo_id = str((description or {}).get("url", "")).removeprefix("https://huggingface.co/datasets/")
    measured = DatasetFacts(repo_id, tuple(facts), (), (0, ()), {})
    if description is not None:
        problems += differences(CROISSANT, _json(croissant(measured)), description)
    if CARD in files:
        card = (place / CARD).read_text(encoding="utf-8")
        problems += _check_dataset_metadata(card, measured)
        known = (*_addresses(repo_id), *_models_of(repo_id, card))
        problems += _check_card(place, card, known, {repo_id: place})
    limits = {item.path: _parquet_limit(item) for item in facts}
    return _verdict(folder, problems + wrong_sizes(place, files, limits) + leaks(place, files), files)


def check_model(folder: str | os.PathLike[str]) -> int:
    """Check a folder of `stage_model`: files, code, weights, results against the card, sizes, links, snippets.

    The snippets find the data in a folder that is made for them, as the dataset's repository has it.

    Returns:
        The number of files.

    Raises:
        CheckError: (an `OSError`) all that is wrong, each with file, what was expected and what was found.
    """
    place = Path(folder)
    expected = (CARD, "config.json", _WEIGHTS, RESULTS, EVAL_RESULTS, CONFUSION, *MODEL_CODE.values())
    files, problems = _check_files(place, expected)
    results, wrong = _load_json(place, RESULTS, files)
    problems += wrong + _check_code(place, files)
    limits = {}
    if results is not None:
        limits = {_WEIGHTS: 4 * int(results["parameters"]) + _SLACK}
        problems += _check_weights(place, files, int(results["parameters"]))
    if CARD in files and results is not None:
        problems += _check_model_card(place, (place / CARD).read_text(encoding="utf-8"), results, files)
    return _verdict(folder, problems + wrong_sizes(place, files, limits) + leaks(place, files), files)


def _verdict(folder: str | os.PathLike[str], problems: list[str], files: list[str]) -> int:
    if problems:
        raise CheckError(folder, list(dict.fromkeys(problems)))
    return len(files)


def differences(where: str, expected: Any, found: Any) -> list[str]:
    """Where two values of plain types differ, each place with both.

    >>> differences("a.json", {"n": [1, 2]}, {"n": [1, 3], "m": 0})
    ['a.json: n[1]: expected 2, found 3', 'a.json: m: expected nothing, found 0']
    """
    return [
        f"{where}: {path.lstrip('.')}: expected {left}, found {right}" for path, left, right in _walk(expected, found)
    ]


def _walk(expected: Any, found: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in dict.fromkeys((*expected, *found)):
            yield from _walk(expected.get(key, _NOTHING), found.get(key, _NOTHING), f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, (left, right) in enumerate(zip(expected, found, strict=True)):
            yield from _walk(left, right, f"{path}[{number}]")
    elif expected != found:
        yield path, _short(expected), _short(found)


_NOTHING = object()


def _short(value: Any) -> str:
    if value is _NOTHING:
        return "nothing"
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]} ..."


def _json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _check_files(place: Path, expected: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The names of the files that are there, and what is wrong with them as files."""
    if not place.is_dir():
        raise CheckError(place, ["expected a staged folder, found none"])
    store = Store(place)
    names = store.names()
    try:
        sums = read_sums(store)
    except OutputError as error:
        return names, [str(error).removeprefix(f"{store}: ")]
    problems = [f"{name}: {what}" for name, what in damaged_files(store, sums).items()]
    problems += [f"{name}: expected in {SUMS}, found no line for it" for name in strange_files(store, sums)]
    problems += [f"{name}: is missing" for name in expected if name not in names and name not in sums]
    problems += [f"{name}: expected no such file; remove it" for name in names if name not in (*expected, SUMS)]
    return names, problems


def _load_json(place: Path, name: str, files: list[str]) -> tuple[dict[str, Any] | None, list[str]]:
    if name not in files:
        return None, []  # said already
    try:
        found = json.loads((place / name).read_text(encoding="utf-8"))
    except ValueError as error:
        return None, [f"{name}: expected JSON ({error})"]
    return (found, []) if isinstance(found, dict) else (None, [f"{name}: expected an object, found something else"])


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
    expected = _json(dataset_text.metadata(facts).to_dict())
    problems = []
    for key in ("configs", "dataset_info"):
        named = [{item["config_name"]: item for item in side.get(key) or []} for side in (expected, found)]
        problems += differences(CARD, {key: named[0]}, {key: named[1]})
    rest = {key: value for key, value in expected.items() if key not in ("configs", "dataset_info")}
    return problems + differences(CARD, rest, {key: found.get(key) for key in rest})


def _parquet_limit(item: SplitFacts) -> int:
    """Noise does not compress well, so that the numbers themselves are the measure."""
    return item.num_bytes * 3 // 2 + _SLACK


def _addresses(dataset_id: str) -> tuple[str, ...]:
    return f"https://huggingface.co/datasets/{dataset_id}", f"hf://datasets/{dataset_id}"


def _models_of(repo_id: str, card: str) -> list[str]:
    """The addresses of the baselines' repositories, which lie beside the dataset's."""
    start = f"https://huggingface.co/{repo_id.partition('/')[0]}/mnist1d-"
    return [f"{start}{name}" for name in re.findall(re.escape(start) + r"([a-z0-9-]+)\b", card)]


def _check_card(place: Path, card: str, known: tuple[str, ...], places: dict[str, Path]) -> list[str]:
    """Links and snippets."""
    try:
        _, body = read_card(card)
    except InvalidValueError as error:
        return [str(error)]
    problems = wrong_links(place, body, (*_KNOWN, *known)) + failing_snippets(card, places)
    return [f"{CARD}: {what}" for what in problems]


def _check_code(place: Path, files: list[str]) -> list[str]:
    """The code is that of this package, and the configuration leads to it."""
    from mnist1d_hf import models

    problems = []
    for source, name in MODEL_CODE.items():
        if name in files and (place / name).read_bytes() != (Path(models.__file__).parent / source).read_bytes():
            problems.append(f"{name}: expected the bytes of mnist1d_hf/models/{source}, found others")
    config, wrong = _load_json(place, "config.json", files)
    if config is not None:
        named = {**config.get("auto_map", {}), "pipeline": _pipeline(config)}
        for key in ("AutoConfig", "AutoModelForSequenceClassification", "pipeline"):
            module, _, name = str(named.get(key)).rpartition(".")
            text = (place / f"{module}.py").read_text(encoding="utf-8") if f"{module}.py" in files else ""
            if not name or f"class {name}(" not in text:
                problems.append(f"config.json: {key}: expected a class of a file beside it, found {named.get(key)}")
    return problems + wrong


def _pipeline(config: dict[str, Any]) -> Any:
    return config.get("custom_pipelines", {}).get("signal-classification", {}).get("impl")


def _check_weights(place: Path, files: list[str], parameters: int) -> list[str]:
    if _WEIGHTS not in files:
        return []
    total = 0
    try:
        with safe_open(place / _WEIGHTS, framework="np") as file:
            for name in file.keys():  # noqa: SIM118  (not a mapping)
                if name.rpartition(".")[2] not in ("running_mean", "running_var", "num_batches_tracked"):
                    total += _product(file.get_slice(name).get_shape())
    except (SafetensorError, OSError) as error:
        return [f"{_WEIGHTS}: expected safetensors ({error})"]
    if total != parameters:
        return [f"{_WEIGHTS}: expected {parameters:,} parameters, as {RESULTS} has it, found {total:,}"]
    return []


def _product(shape: list[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _check_model_card(place: Path, card: str, results: dict[str, Any], files: list[str]) -> list[str]:
    """Metadata and `.eval_results` against the recorded results; links; snippets, with the data beside."""
    try:
        metadata, _ = read_card(card)
        index = metadata["model-index"][0]
        dataset_id = str(metadata["datasets"][0])
        entry = index["results"][0]
    except InvalidValueError as error:
        return [str(error)]
    except (KeyError, IndexError, TypeError):
        return [f"{CARD}: expected datasets and model-index in the YAML, found {', '.join(metadata)}"]
    configuration = tested_on(results["data"]["configuration"])
    values = [round(item["value"], 6) for item in entry["metrics"]]
    recorded = [round(value, 6) for value in (results["shipped"]["test"], results["test_accuracy"]["mean"])]
    problems = differences(f"{CARD}: model-index", recorded, values)
    named = {"type": dataset_id, "config": configuration, "split": "test"}
    problems += differences(f"{CARD}: model-index", named, {key: entry["dataset"].get(key) for key in named})
    problems += _check_eval_results(place, files, dataset_id, configuration, results["shipped"]["test"])
    found = re.search(r'from_pretrained\(\s*"([^"]+)"', card)
    repo_id = found.group(1) if found else ""
    if repo_id.partition("/")[2] != index["name"]:
        problems.append(f"{CARD}: expected a snippet that loads .../{index['name']}, found {repo_id or 'none'}")
    with tempfile.TemporaryDirectory(prefix="mnist1d-data-") as folder:
        data = stage_data(Path(folder) / "data", configuration)
        known = (*_addresses(dataset_id), f"https://huggingface.co/{repo_id}")
        return problems + _check_card(place, card, known, {repo_id: place, dataset_id: data})


def _check_eval_results(
    place: Path, files: list[str], dataset_id: str, configuration: str, accuracy: float
) -> list[str]:
    if EVAL_RESULTS not in files:
        return []
    try:
        (found,) = yaml.safe_load((place / EVAL_RESULTS).read_text(encoding="utf-8"))
        measured = {"id": found["dataset"]["id"], "task_id": found["dataset"]["task_id"], "value": found["value"]}
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        return [f"{EVAL_RESULTS}: expected one entry with dataset and value ({' '.join(str(error).split())})"]
    return differences(EVAL_RESULTS, {"id": dataset_id, "task_id": configuration, "value": accuracy}, measured)
