"""The exact folders that are published, and one check of such a folder that needs no network.

The same inputs give the same bytes. A folder appears under its name whole or not at all.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from huggingface_hub import CardData, RepoCard
from numpy.typing import NDArray

from mnist1d_hf.data.checksums import checksum_differences, expected_checksums, measure
from mnist1d_hf.data.configurations import FRESH_SAMPLES, Checksums, find_configuration
from mnist1d_hf.data.generator import Generated, generate
from mnist1d_hf.data.stream import sample
from mnist1d_hf.errors import OutputError, UserError
from mnist1d_hf.export.folder import damaged_files, read_sums, strange_files, sums_text
from mnist1d_hf.export.plan import ShardPlan, make_shard
from mnist1d_hf.export.whole import write_splits
from mnist1d_hf.files import Store, write_file
from mnist1d_hf.publishing.cards import dataset_card, dataset_metadata, eval_results, model_card
from mnist1d_hf.publishing.repositories import (
    BASELINES,
    CARD,
    CONFIGURATIONS,
    CONFUSION,
    EVAL_RESULTS,
    FIGURES,
    MODEL_CODE,
    RESULTS,
    STREAM_SAMPLES,
    STREAM_SEED,
    SUMS,
    WEIGHTS,
    Repository,
    data_path,
    evaluated_on,
    published_config,
)

Report = Callable[[str], object]


def stage(
    repository: Repository,
    folder: str | os.PathLike[str],
    report: Report = lambda _: None,
    *,
    fresh: int | None = None,
) -> Path:
    """Write everything that a repository is to hold.

    A dataset: Parquet of every configuration, card, figures, checksums. A baseline: weights, configuration, code,
    recorded results, card, checksums. A Space: the page of the playground, card, checksums.

    Args:
        repository: what to stage.
        folder: made, or replaced if it was staged before; a folder with anything else in it is refused.
        report: called with a few words before each step.
        fresh: samples of the stream that the weights of a baseline are evaluated on too; FRESH_SAMPLES by default.

    Returns:
        The folder, as an absolute path.

    Raises:
        OutputError: (an `OSError`) the folder holds something else, or cannot be written; nothing was changed then.
            Or the weights do not give the recorded accuracy.
    """
    target = Path(os.path.abspath(os.path.expanduser(folder)))
    with _whole(target) as draft:
        if repository.repo_type == "space":
            _stage_space(repository, draft, report)
        elif repository.baseline is None:
            _stage_dataset(repository, draft, report)
        else:
            _stage_model(repository, repository.baseline, draft, report, FRESH_SAMPLES if fresh is None else fresh)
        store = Store(draft)
        write_file(draft / SUMS, sums_text({name: store.digest(name) for name in store.names()}).encode())
    return target


@contextlib.contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A folder beside `target` that takes its name at the end, or is removed if anything goes wrong."""
    try:
        _refuse_strange(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as place:
            draft, old = Path(place, "new"), Path(place, "old")
            draft.mkdir()
            yield draft
            _refuse_strange(target)  # looked at again: somebody may have used the minutes to put a file there
            if target.exists():
                os.replace(target, old)
            os.replace(draft, target)
    except OSError as error:
        if isinstance(error, UserError):
            raise
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}; nothing was kept") from error


def _refuse_strange(target: Path) -> None:
    """Refuse a target whose replacement would cost somebody's data."""
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        return
    if target.is_symlink() or not (target / SUMS).is_file():
        raise OutputError(f"{target}: not a folder made by mnist1d-hf publish, so it is not replaced; remove it first")
    store = Store(target)
    strange = strange_files(store, read_sums(store))
    if strange:
        raise OutputError(f"{target}: holds {strange[0]}, which no publish made, so it is not replaced; move it first")


# The dataset


def _stage_dataset(repository: Repository, folder: Path, report: Report) -> None:
    from mnist1d_hf import plots
    from mnist1d_hf.models import catalog
    from mnist1d_hf.training import tables

    made = write_data(folder, CONFIGURATIONS, report)
    report("figures")
    for path, kind in FIGURES.items():
        plots.save(plots.plot(kind), folder / path)
    plots.save(plots.plot_baselines(tables.accuracies()), folder / BASELINES)
    report("card")
    default = made["default"]
    _, variance = plots.principal_components(default.x[: default.num_train])
    repeated = repeated_draws(default, made["large-40k"])
    baselines = {entry.name: catalog.results(entry.name) for entry in catalog.list_pretrained()}
    splits = {name: measure_configuration(folder, name) for name in CONFIGURATIONS}
    card = dataset_card(repository.repo_id, splits, variance.tolist(), repeated, baselines)
    write_file(folder / CARD, card.encode())


def write_data(folder: Path, configurations: Sequence[str], report: Report) -> dict[str, Generated]:
    """Write the Parquet files of these configurations. Returns what was generated, without the stream."""
    made: dict[str, Generated] = {}
    for name in configurations:
        report(f"data: {name}")
        config = published_config(name)
        if config.rows is None:
            made[name] = generate(config.generator)
            write_splits(made[name], config, folder / name)
        else:
            write_file(folder / data_path(name, "train"), make_shard(ShardPlan.of(config, 1), 0))
    return made


def measure_configuration(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """`measure_split` of each split of a configuration."""
    return {split: measure_split(folder, data_path(name, split)) for split in published_config(name).split_sizes}


def measure_split(folder: Path, path: str) -> dict[str, Any]:
    """Read a Parquet file and measure it.

    Returns:
        path: where it lies in the folder.
        rows: samples.
        num_bytes: of the numbers in memory.
        size: bytes of the file.
        checksums: SHA-256 of `x` in float32 and of `label` in int64, C order, little endian.
        counts: samples of each class.

    Raises:
        OutputError: it is missing or damaged.
    """
    try:
        table = pq.read_table(folder / path, partitioning=None)
        lists = {name: table.column(name).combine_chunks() for name in table.column_names if name != "label"}
        numbers = {name: found.flatten().to_numpy(zero_copy_only=False) for name, found in lists.items()}
        x = numbers["x"].reshape(-1, lists["x"].type.list_size)
    except (OSError, KeyError, AttributeError, pa.ArrowException) as error:
        raise OutputError(f"{path}: expected Parquet with x and label ({str(error).splitlines()[0]})") from None
    label = table.column("label").to_numpy()
    return {
        "path": path,
        "rows": table.num_rows,
        "num_bytes": label.nbytes + sum(found.nbytes for found in numbers.values()),
        "size": (folder / path).stat().st_size,
        "checksums": measure({"": (x, label)})[""],
        "counts": np.bincount(label, minlength=10).tolist(),
    }


def repeated_draws(test: Generated, train: Generated) -> tuple[int, list[int]]:
    """Test samples of one dataset that were drawn with the numbers of a training sample of another: how many, classes.

    Two datasets of one seed begin with the same random numbers, so that their first samples are the same signals.
    """

    def draws(made: Generated, start: int, stop: int) -> list[tuple[float, ...]]:
        drawn = (made.label, *(made.latents[name] for name in sorted(made.latents)))
        return list(zip(*(array[start:stop].tolist() for array in drawn), strict=True))

    known = set(draws(train, 0, train.num_train))
    found = [item for item in draws(test, test.num_train, len(test.label)) if item in known]
    return len(found), sorted({int(item[0]) for item in found})


# A baseline


def _stage_model(repository: Repository, name: str, folder: Path, report: Report, fresh: int) -> None:
    from mnist1d_hf import plots
    from mnist1d_hf.models import catalog

    report("evaluation")
    results, source = catalog.results(name), catalog.folder_of(name)
    test, others = _evaluate(source, name, results, fresh)
    config = _copy_model(source, folder)
    report("card")
    titles = {f"test split of {evaluated_on(results['data']['configuration'])}": test}
    if others is not None:
        titles[f"{int(others.sum()):,} fresh samples"] = others
    names = [config["id2label"][str(number)] for number in range(len(test))]
    plots.save(plots.plot_confusion(titles, names), folder / CONFUSION)
    write_file(folder / EVAL_RESULTS, eval_results(repository, results, test).encode())
    write_file(folder / CARD, model_card(repository, config, results, test, others).encode())


def _evaluate(
    folder: Path, name: str, results: dict[str, Any], fresh: int = 0
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Confusion of the weights in a folder on the test split, and on fresh samples where there can be such.

    Raises:
        OutputError: the weights do not load, or their accuracy is not the recorded one.
    """
    from mnist1d_hf.models import Mnist1dForSequenceClassification
    from mnist1d_hf.training.data import load_arrays
    from mnist1d_hf.training.evaluation import evaluate, fresh_samples

    try:
        model = Mnist1dForSequenceClassification.from_pretrained(folder)
    except Exception as error:  # whatever it is: a reader would meet it too
        what = " ".join(str(error).split()) or type(error).__name__
        raise OutputError(f"{name}: {WEIGHTS} does not load: {what}") from error
    configuration = evaluated_on(results["data"]["configuration"])
    arrays = load_arrays(configuration)
    found, recorded = evaluate(model, arrays.x_test, arrays.label_test), results["released"]["test"]
    if abs(found.accuracy - recorded) > 1e-6:
        raise OutputError(
            f"{name}: expected the recorded accuracy {recorded} on the test split of {configuration}, found "
            f"{found.accuracy}; this machine's arithmetic rounds differently, or the package is damaged"
        )
    if not fresh or find_configuration(configuration).generator.shuffle_seq:
        return found.confusion, None
    return found.confusion, evaluate(model, *fresh_samples(configuration, fresh)).confusion


def _copy_model(source: Path, folder: Path) -> dict[str, Any]:
    """Weights, results and code byte for byte; the configuration with what leads to the code."""
    from mnist1d_hf import models
    from mnist1d_hf.models.configuration_mnist1d import AUTO_MAP
    from mnist1d_hf.models.pipeline_mnist1d import CUSTOM_PIPELINES

    for name in (WEIGHTS, RESULTS):
        shutil.copyfile(source / name, folder / name)
    for name in MODEL_CODE:
        shutil.copyfile(Path(models.__file__).parent / name, folder / name)
    config = dict(json.loads((source / "config.json").read_text(encoding="utf-8")))
    config |= {"auto_map": AUTO_MAP, "custom_pipelines": CUSTOM_PIPELINES}
    text = json.dumps(dict(sorted(config.items())), indent=2, ensure_ascii=False)
    write_file(folder / "config.json", f"{text}\n".encode())
    return config


# The Space


def _stage_space(repository: Repository, folder: Path, report: Report) -> None:
    from mnist1d_hf.playground.build import build

    report("page")
    build(folder, namespace=repository.repo_id.partition("/")[0])


# The check


def check(repository: Repository, folder: Path) -> None:
    """See that a folder is fit to be published: checksums, the data or the model loads, the page is the package's,
    the card's YAML agrees.

    Raises:
        OutputError: all that is wrong, each with the file, what was expected and what was found.
    """
    store = Store(folder)
    sums = read_sums(store)
    problems = [f"{name} {what}" for name, what in damaged_files(store, sums).items()]
    problems += [f"{name}: expected in {SUMS}, found no line for it" for name in strange_files(store, sums)]
    if not problems:
        try:
            card = RepoCard.load(folder / CARD).data
            if repository.repo_type == "space":
                problems = _check_space(repository, folder, card)
            elif repository.baseline is None:
                problems = _check_dataset(folder, card)
            else:
                problems = _check_model(repository, folder)
        except (OSError, ValueError, KeyError, yaml.YAMLError) as error:
            problems = [" ".join(str(error).split()) or type(error).__name__]
    if problems:
        count = "" if len(problems) == 1 else f"{len(problems)} problems: "
        raise OutputError(f"{folder}: {count}{'; '.join(problems)}; stage it again")


def _check_dataset(folder: Path, card: CardData) -> list[str]:
    """What is wrong: numbers that are not as expected, or a card that does not say what the files hold."""
    problems, splits = [], {}
    for name in CONFIGURATIONS:
        splits[name] = measure_configuration(folder, name)
        measured = {split: item["checksums"] for split, item in splits[name].items()}
        recorded = _stream_checksums() if name == "stream" else expected_checksums(name)
        problems += [f"{name}: {line}" for line in checksum_differences(measured, recorded)]
        _load(folder, name)
    expected = dataset_metadata(splits).to_dict()
    for key in ("configs", "dataset_info"):
        for number, wanted in enumerate(expected[key]):
            stated = dict(enumerate(card.get(key) or [])).get(number)
            if stated != json.loads(json.dumps(wanted)):
                problems.append(f"{CARD}: {key} of {wanted['config_name']}: expected {wanted}, found {stated}")
    return problems


@functools.cache
def _stream_checksums() -> Checksums:
    return measure({"train": sample(range(STREAM_SAMPLES), STREAM_SEED)})


def _load(folder: Path, name: str) -> None:
    """Load a configuration as a reader does, with the features and the sizes that the card states."""
    with tempfile.TemporaryDirectory(prefix="mnist1d-hf-") as cache:
        try:
            datasets.load_dataset(str(folder), name, cache_dir=cache, keep_in_memory=True)
        except Exception as error:  # whatever it is: a reader would meet it too
            what = " ".join(str(error).split()) or type(error).__name__
            raise OutputError(f"{name}: does not load: {what}") from error


def _check_model(repository: Repository, folder: Path) -> list[str]:
    """What is wrong: another accuracy than recorded, or not as the card says."""
    results = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    _evaluate(folder, str(repository.baseline), results)
    index = RepoCard.load(folder / CARD).data.get("model-index")[0]["results"][0]
    stated = (index["dataset"]["type"], index["dataset"]["config"], *(item["value"] for item in index["metrics"]))
    configuration = evaluated_on(results["data"]["configuration"])
    accuracies = (results["released"]["test"], round(results["test_accuracy"]["mean"], 6))
    expected = (repository.dataset_id, configuration, *accuracies)
    return [] if stated == expected else [f"{CARD}: model-index: expected {expected}, found {stated}"]


def _check_space(repository: Repository, folder: Path, card: CardData) -> list[str]:
    """What is wrong: files that this package would not make, or YAML with which the Hub would not show the page."""
    with tempfile.TemporaryDirectory(prefix="mnist1d-hf-") as place:
        _stage_space(repository, Path(place), lambda _: None)
        made = Store(Path(place))
        sums = {name: made.digest(name) for name in made.names() if name != CARD}  # the Hub's card may have more keys
        problems = [f"{name} {what}" for name, what in damaged_files(Store(folder), sums).items()]
        expected = RepoCard.load(Path(place) / CARD).data.to_dict()
    for key, wanted in expected.items():
        if card.get(key) != wanted:
            problems.append(f"{CARD}: {key}: expected {wanted!r}, found {card.get(key)!r}")
    return problems
