"""The exact folders that are published: written beside their place, renamed when complete. Same inputs, same bytes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mnist1d_hf.data.generator import Generated, generate
from mnist1d_hf.errors import OutputError
from mnist1d_hf.export.folder import sums_text
from mnist1d_hf.export.plan import ShardPlan, make_shard
from mnist1d_hf.export.whole import write_splits
from mnist1d_hf.files import Store
from mnist1d_hf.publishing import model_text
from mnist1d_hf.publishing.cards import dataset_card, model_card, yaml_text
from mnist1d_hf.publishing.croissant import croissant
from mnist1d_hf.publishing.draft import check_target, remove_leftovers, whole_folder
from mnist1d_hf.publishing.facts import DatasetFacts, ModelFacts, Reading, SplitFacts, repeated_draws, split_facts
from mnist1d_hf.publishing.layout import (
    BASELINES,
    CARD,
    CONFIGURATIONS,
    CONFUSION,
    CROISSANT,
    EVAL_RESULTS,
    FIGURES,
    FRESH_SAMPLES,
    MODEL_CODE,
    RESULTS,
    SUMS,
    check_repo_id,
    data_path,
    evaluated_on,
    published_config,
)

Progress = Callable[[str], object]


def stage_dataset(folder: str | os.PathLike[str], repo_id: str, progress: Progress | None = None) -> Path:
    """Write everything that the dataset's repository is to hold: Parquet, card, figures, Croissant, checksums.

    Args:
        folder: made, or replaced if it was staged before; a folder with anything else in it is refused.
        repo_id: "NAMESPACE/NAME", for the card.
        progress: called with a few words before each step.

    Returns:
        The folder, as an absolute path.

    Raises:
        InvalidTypeError, InvalidValueError: not such a name.
        OutputError: (an `OSError`) the folder holds something else, or cannot be written; nothing was changed then.
    """
    check_repo_id(repo_id)
    report = progress or (lambda _: None)
    with _staged(folder) as draft:
        splits, made = _write_data(draft, CONFIGURATIONS, report)
        report("figures")
        variance = _draw_figures(draft, made["default"])
        facts = DatasetFacts(
            repo_id=repo_id,
            splits=tuple(splits),
            variance=variance,
            repeated=repeated_draws(made["default"], made["large-40k"]),
            baselines=_recorded_results(),
        )
        report("card")
        _write(draft / CROISSANT, _json(croissant(facts)))
        _write(draft / CARD, dataset_card(facts))
    return _target(folder)


def stage_data(folder: str | os.PathLike[str], configuration: str) -> Path:
    """Write one configuration as it is published, with metadata and nothing else: to try a model's card on.

    Raises:
        OutputError: (an `OSError`) the folder cannot be written.
    """
    from mnist1d_hf.publishing.dataset_text import metadata

    with _staged(folder) as draft:
        splits, _ = _write_data(draft, (configuration,), lambda _: None)
        facts = DatasetFacts("local/mnist1d", tuple(splits), (), (0, ()), {})
        _write(draft / CARD, f"---\n{yaml_text(metadata(facts).to_dict())}---\n")
    return _target(folder)


def stage_model(
    name: str,
    folder: str | os.PathLike[str],
    repo_id: str,
    dataset_id: str,
    progress: Progress | None = None,
    *,
    fresh: int = FRESH_SAMPLES,
) -> Path:
    """Write everything that a baseline's repository is to hold: weights, configuration, code, card, results, checksums.

    Args:
        name: of the baseline; see `mnist1d_hf.list_pretrained`.
        folder: made, or replaced if it was staged before; a folder with anything else in it is refused.
        repo_id, dataset_id: "NAMESPACE/NAME" of its repository and of the dataset's, for the card.
        progress: called with a few words before each step.
        fresh: samples of the stream that the weights are read on too; 0 for none.

    Returns:
        The folder, as an absolute path.

    Raises:
        InvalidTypeError, InvalidValueError: no such baseline, or not such a name.
        OutputError: (an `OSError`) the folder holds something else, or cannot be written; or the weights do not give
            the recorded accuracy.
    """
    from mnist1d_hf.models import catalog

    check_repo_id(repo_id)
    check_repo_id(dataset_id)
    report = progress or (lambda _: None)
    source = catalog.folder_of(name)
    results = catalog.results(name)
    with _staged(folder) as draft:
        report("evaluation")
        test, others = _read_weights(name, results, fresh)
        config = _copy_model(source, draft)
        facts = ModelFacts(name, repo_id, dataset_id, config, results, test, others)
        report("card")
        _draw_confusion(draft, facts)
        _write(draft / EVAL_RESULTS, yaml_text(model_text.eval_results(facts)))
        _write(draft / CARD, model_card(facts))
    return _target(folder)


def _target(folder: str | os.PathLike[str]) -> Path:
    return Path(os.path.abspath(os.path.expanduser(folder)))


@contextlib.contextmanager
def _staged(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """A draft that becomes `folder`, with the checksums of all that was written into it."""
    target = _target(folder)
    try:
        remove_leftovers(target)
        check_target(target, overwrite=True, command="publish")
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}; nothing was changed") from error
    with whole_folder(target) as draft:
        yield draft
        _write_sums(Store(draft))


def _write_sums(store: Store) -> None:
    store.write(SUMS, sums_text({name: store.digest(name) for name in store.names() if name != SUMS}).encode())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _json(values: Any) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _write_data(
    folder: Path, configurations: Sequence[str], report: Progress
) -> tuple[list[SplitFacts], dict[str, Generated]]:
    """The Parquet files of these configurations: what they hold, read back, and what was generated."""
    made: dict[str, Generated] = {}
    facts = []
    for name in configurations:
        report(f"data: {name}")
        config = published_config(name)
        if config.rows is None:
            made[name] = generate(config.generator)
            write_splits(made[name], config, folder / name)
        else:
            path = folder / data_path(name, "train")
            path.parent.mkdir()
            path.write_bytes(make_shard(ShardPlan.of(config, 1), 0))
        facts += [split_facts(folder, name, split, data_path(name, split)) for split in config.split_sizes]
    return facts, made


def _draw_figures(folder: Path, made: Generated) -> tuple[float, ...]:
    """All figures of the dataset's card; the share of the variance in each principal component."""
    from mnist1d_hf import plots
    from mnist1d_hf.training import tables

    for path, kind in FIGURES.items():
        plots.save(plots.plot(kind), folder / path)
    plots.save(plots.plot_baselines(tables.accuracies()), folder / BASELINES)
    _, shares = plots.principal_components(made.x[: made.num_train])
    return tuple(shares.tolist())


def _draw_confusion(folder: Path, facts: ModelFacts) -> None:
    from mnist1d_hf import plots

    titles = {f"test split of {evaluated_on(facts.results['data']['configuration'])}": facts.test.confusion}
    if facts.fresh is not None:
        titles[f"{facts.fresh.total:,} fresh samples"] = facts.fresh.confusion
    names = [facts.config["id2label"][str(number)] for number in range(len(facts.config["id2label"]))]
    plots.save(plots.plot_confusion(titles, names), folder / CONFUSION)


def _recorded_results() -> dict[str, Any]:
    """The results of every baseline, by name."""
    from mnist1d_hf.models import catalog

    return {entry.name: catalog.results(entry.name) for entry in catalog.list_pretrained()}


def _read_weights(name: str, results: dict[str, Any], fresh: int) -> tuple[Reading, Reading | None]:
    """The published weights on the test split and on fresh samples.

    Raises:
        OutputError: the accuracy is not the recorded one.
    """
    from mnist1d_hf.data.configurations import find_configuration
    from mnist1d_hf.models import catalog
    from mnist1d_hf.training.data import load_arrays
    from mnist1d_hf.training.evaluation import evaluate, fresh_samples

    model = catalog.load_pretrained(name)
    configuration = evaluated_on(results["data"]["configuration"])
    arrays = load_arrays(configuration)
    found = evaluate(model, arrays.x_test, arrays.label_test)
    recorded = results["released"]["test"]
    if abs(found.accuracy - recorded) > 1e-6:
        raise OutputError(
            f"{name}: expected the recorded accuracy {recorded} on the test split of {configuration}, found "
            f"{found.accuracy}; this machine's arithmetic rounds differently, or the package is damaged"
        )
    test = Reading(found.confusion, found.loss)
    if not fresh or find_configuration(configuration).generator.shuffle_seq:
        return test, None
    others = evaluate(model, *fresh_samples(configuration, fresh))
    return test, Reading(others.confusion, others.loss)


def _copy_model(source: Path, folder: Path) -> dict[str, Any]:
    """Weights, results and code byte for byte; the configuration with what leads to the code."""
    from mnist1d_hf import models

    for name in ("model.safetensors", RESULTS):
        shutil.copyfile(source / name, folder / name)
    for name, target in MODEL_CODE.items():
        shutil.copyfile(Path(models.__file__).parent / name, folder / target)
    config = dict(json.loads((source / "config.json").read_text(encoding="utf-8")))
    config["auto_map"] = {
        "AutoConfig": "configuration_mnist1d.Mnist1dConfig",
        "AutoModelForSequenceClassification": "modeling_mnist1d.Mnist1dForSequenceClassification",
    }
    config["custom_pipelines"] = {
        "signal-classification": {
            "impl": "pipeline_mnist1d.SignalClassificationPipeline",
            "pt": ["AutoModelForSequenceClassification"],
            "type": "multimodal",
        }
    }
    _write(folder / "config.json", _json(dict(sorted(config.items()))))
    return config
