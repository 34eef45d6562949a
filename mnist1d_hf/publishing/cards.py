"""The text of the cards: measured numbers in, Markdown out. The sentences and tables stand in `templates/`."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Any

import datasets
import jinja2
import numpy as np
import yaml
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import (
    CardData,
    DatasetCardData,
    EvalResult,
    EvalResultEntry,
    ModelCardData,
    RepoCard,
    eval_result_entries_to_yaml,
)
from numpy.typing import NDArray

from mnist1d_hf.data import describe
from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.configurations import find_configuration
from mnist1d_hf.data.schema import CITATION, HOMEPAGE, LICENSE, VERSION, dataset_info
from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.export.card import state_infos
from mnist1d_hf.publishing.repositories import (
    CARD,
    OLDEST_TRANSFORMERS,
    STREAM_SAMPLES,
    STREAM_SEED,
    WITH_POSTERIOR,
    Repository,
    evaluated_on,
    published_config,
)
from mnist1d_hf.studies import bayes_error, spatial_prior
from mnist1d_hf.training.recipes import NOTES
from mnist1d_hf.training.statistics import standard_error, wilson_interval
from mnist1d_hf.training.tables import GROUPS, bayes_results, learns_from

# Configuration -> split -> what was measured of its file: see `mnist1d_hf.publishing.staging.measure_split`.
Splits = Mapping[str, Mapping[str, Mapping[str, Any]]]

TAGS = ["mnist1d", "mnist-1d", "synthetic", "signals", "1d", "toy-dataset", "education", "arxiv:2011.14439"]
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M")
_TASK = "signal-classification"
# Keys that are ours even where a card does not have them: what they say on the Hub is never kept.
_OURS = ("configs", "dataset_info", "model-index", "citation")


def _card(metadata: CardData, template: str, values: dict[str, Any]) -> str:
    # Not RepoCard.from_template: with StrictUndefined a name without a value is an error, not an empty place.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mnist1d_hf.publishing"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {
        "commas": lambda number: f"{number:,}",
        "percent": percent,
        "interval": interval,
        "standard_error": lambda pair: f"{100 * standard_error(*pair):.2f}",
        "wilson": wilson,
        "spread": spread,
        "plain": _plain,
        "words": lambda items: " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:]))),
        "seeds": lambda number: f"{number} seed{'' if number == 1 else 's'}",
    }
    body = environment.get_template(template).render(homepage=HOMEPAGE, citation=CITATION, **values)
    return f"---\n{metadata.to_yaml()}\n---\n\n{body}"


def merge_card(ours: str, theirs: str | None) -> str:
    """Our card with the YAML keys that somebody added on the Hub by hand; where both have a key, ours is taken.

    Args:
        ours: the card that was just made; its body is kept as it is.
        theirs: the card on the Hub; None where there is none.

    Raises:
        InvalidValueError: the YAML of their card cannot be read. Nothing is lost: correct it on the Hub first.

    >>> print(merge_card("---\\nlicense: mit\\n---\\nNew.\\n", "---\\nlicense: gpl\\nviewer: false\\n---\\nOld.\\n"))
    ---
    license: mit
    viewer: false
    ---
    New.
    <BLANKLINE>
    """
    if not (theirs or "").lstrip("\ufeff \r\n").startswith("---"):
        return ours
    card = RepoCard(ours)
    try:
        added = RepoCard((theirs or "").removeprefix("\ufeff")).data.to_dict()
    except (yaml.YAMLError, ValueError) as error:
        what = " ".join(str(error).split())
        raise InvalidValueError(f"{CARD} on the Hub: its YAML cannot be read: {what}; correct it there") from None
    mine = card.data.to_dict()
    kept = {key: value for key, value in added.items() if key not in (*mine, *_OURS)}
    return f"---\n{CardData(**mine, **kept).to_yaml()}\n---\n{card.text}" if kept else ours


# The dataset


def dataset_card(
    repo_id: str,
    splits: Splits,
    variance: list[float],
    repeated: tuple[int, list[int]],
    baselines: Mapping[str, Mapping[str, Any]],
) -> str:
    """README.md of the dataset's repository.

    Args:
        repo_id: "NAMESPACE/NAME".
        splits: what was measured, of every configuration, in the order of the card.
        variance: fraction of the variance that each principal component of the training signals holds.
        repeated: test samples of `default` whose draws `large-40k` has in its training split: how many, which classes.
        baselines: the recorded results of each baseline, by name.
    """

    def split_of(found: Mapping[str, Any]) -> str:
        return evaluated_on(str(found["data"]["configuration"]))

    def mean(found: Mapping[str, Any]) -> float:
        return float(found["test_accuracy"]["mean"])

    protocol = {name: found for name, found in baselines.items() if _follows_paper(found)}
    paper = sorted((found for found in protocol.values() if found["data"]["configuration"] == "default"), key=mean)
    counts = [str(found["test_accuracy"]["n"]) for found in paper]
    ordered = sorted(baselines.items(), key=lambda item: (item[1]["released"]["fresh"] or 0, mean(item[1])))
    rows = [(name, found, splits[split_of(found)]["test"]["rows"]) for name, found in ordered]
    grouped = {group: [row for row in rows if learns_from(row[1]) == group] for group in GROUPS}
    values = {
        "repo_id": repo_id,
        "splits": splits,
        "variance": variance,
        "repeated": repeated,
        "version": str(VERSION),
        "length": GeneratorConfig().final_seq_length,
        "generator_seed": GeneratorConfig().seed,
        "stream_samples": STREAM_SAMPLES,
        "stream_seed": STREAM_SEED,
        "with_posterior": [f"`{name}`" for name in WITH_POSTERIOR],
        "about": {name: describe.configuration_row(name)[-2:] for name in splits},
        "arguments": describe.markdown_table(describe.ARGUMENT_COLUMNS, describe.argument_rows("default")),
        "components": next(n for n in range(1, 41) if sum(variance[:n]) >= 0.95),
        "namespace": repo_id.partition("/")[0],
        "groups": {group: members for group, members in grouped.items() if members},
        "bayes": bayes_results(),
        "papers": [f"`{name}`" for name in protocol],
        "paper": [(network_words(found["recipe"]["network"])[0], found["test_accuracy"]) for found in paper],
        "paper_seeds": counts if len(set(counts)) > 1 else counts[:1],
        "reference": paper[-1],
        "bayes_error": bayes_error.markdown(),
        "plain_augmentation": spatial_prior.markdown(),
        "best": max(found["released"]["fresh"] or 0 for found in baselines.values()),
    }
    return _card(dataset_metadata(splits), "dataset.md", values)


def _follows_paper(found: Mapping[str, Any]) -> bool:
    """Whether it trained on the whole split and the weights are those of the last step, with the test split watched."""
    return found["best_reading"] is not None and not found["recipe"]["holdout"] and found["recipe"]["select"] == "final"


def dataset_metadata(splits: Splits) -> DatasetCardData:
    """The YAML at the top of the dataset's card."""
    rows = sum(item["rows"] for found in splits.values() for item in found.values())
    data = DatasetCardData(
        annotations_creators=["machine-generated"],
        license=LICENSE.lower(),
        pretty_name="MNIST-1D",
        size_categories=[_SIZES[sum(rows >= 10**power for power in (3, 4, 5, 6))]],
        source_datasets=["original"],
        task_categories=["other"],
        tags=TAGS,
        citation=CITATION,
    )
    infos = {}
    for name, found in splits.items():
        infos[name] = info = dataset_info(published_config(name))
        info.splits = datasets.SplitDict(dataset_name=info.dataset_name)
        for split, item in found.items():
            info.splits.add(datasets.SplitInfo(split, num_bytes=item["num_bytes"], num_examples=item["rows"]))
        info.dataset_size = sum(item["num_bytes"] for item in found.values())
        info.download_size = sum(item["size"] for item in found.values())
    state_infos(infos, data)
    files = {
        name: {"data_files": [{"split": split, "path": item["path"]} for split, item in found.items()]}
        for name, found in splits.items()
    }
    MetadataConfigs(files).to_dataset_card_data(data)
    return data


# A baseline. `config` and `results` are what config.json and results.json hold. `test` and `fresh` are the confusions
# of the published weights, int64 (classes, classes) with true classes as rows: on the test split, and on samples of the
# stream that no training has seen; None where there can be none.


def model_card(
    repository: Repository,
    config: Mapping[str, Any],
    results: Mapping[str, Any],
    test: NDArray[Any],
    fresh: NDArray[Any] | None = None,
) -> str:
    """README.md of a baseline's repository."""
    kind, shape = network_words(config)
    seeds = [member["fresh"] for member in results["members"] if member.get("fresh") is not None]
    columns = [_per_class(confusion) for confusion in (test, fresh) if confusion is not None]
    names = [config["id2label"][str(number)] for number in range(len(test))]
    values = {
        "repository": repository,
        "config": config,
        "found": results,
        "recipe": results["recipe"],
        "plain_augmentation": spatial_prior.markdown(),
        "note": textwrap.fill(NOTES.get(results["recipe"]["name"], ""), 120),
        "kind": kind,
        "shape": shape,
        "tested_on": evaluated_on(results["data"]["configuration"]),
        "accuracy": accuracy(test),
        "test_rows": int(test.sum()),
        "fresh_accuracy": None if fresh is None else accuracy(fresh),
        "fresh_rows": None if fresh is None else int(fresh.sum()),
        "fresh_seeds": len(seeds),
        "fresh_summary": {"mean": np.mean(seeds), "std": np.std(seeds, ddof=1)} if len(seeds) > 1 else None,
        "shuffled": find_configuration(results["data"]["configuration"]).generator.shuffle_seq,
        "per_class": [(name, sum(cells, ())) for name, *cells in zip(names, *columns, strict=True)],
        "transformers": OLDEST_TRANSFORMERS,
    }
    return _card(_model_metadata(repository, config, results, test), "model.md", values)


def _model_metadata(
    repository: Repository, config: Mapping[str, Any], results: Mapping[str, Any], test: NDArray[Any]
) -> ModelCardData:
    tested_on, summary = evaluated_on(results["data"]["configuration"]), results["test_accuracy"]
    common: dict[str, Any] = {
        "task_type": _TASK,
        "task_name": "Classification of signals",
        "dataset_type": repository.dataset_id,
        "dataset_name": f"MNIST-1D ({tested_on})",
        "dataset_config": tested_on,
        "dataset_split": "test",
        "metric_type": "accuracy",
    }
    mean = f"Mean accuracy over {summary['n']} seed{'' if summary['n'] == 1 else 's'}"
    return ModelCardData(
        datasets=[repository.dataset_id],
        library_name="transformers",
        license=LICENSE.lower(),
        metrics=["accuracy"],
        pipeline_tag="other",  # else the Hub takes the name of the class for a classifier of text
        tags=["mnist1d", _TASK, config["architecture"], "baseline", "education", "arxiv:2011.14439"],
        model_name=repository.name,
        eval_results=[
            EvalResult(**common, metric_name="Accuracy of this checkpoint", metric_value=accuracy(test)),
            EvalResult(**common, metric_name=mean, metric_value=round(summary["mean"], 6)),
        ],
    )


def eval_results(repository: Repository, results: Mapping[str, Any], test: NDArray[Any]) -> str:
    """The text of `.eval_results/*.yaml`: this checkpoint on the test split."""
    total, value = int(test.sum()), accuracy(test)
    notes = f"fraction of the {total:,} test samples; 95 % interval {wilson(value, total)} %"
    task = evaluated_on(results["data"]["configuration"])
    entry = EvalResultEntry(dataset_id=repository.dataset_id, task_id=task, value=value, notes=notes)
    return str(yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True))


def network_words(config: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The kind of a network, and what of its configuration shapes it, in words.

    >>> network_words({"architecture": "gru", "widths": [8], "bidirectional": True})
    ('recurrent network (GRU)', {'hidden units': '8', 'reads both ways': 'yes'})
    """
    from mnist1d_hf.models.configuration_mnist1d import Mnist1dConfig
    from mnist1d_hf.models.modeling_mnist1d import ARCHITECTURES

    made = Mnist1dConfig.from_dict(dict(config))
    network = ARCHITECTURES[made.architecture]
    return network.kind, network.shape(made)


def accuracy(confusion: NDArray[Any]) -> float:
    """The fraction of correct predictions."""
    return int(np.trace(confusion)) / int(confusion.sum())


def _per_class(confusion: NDArray[Any]) -> list[tuple[str, str, str]]:
    """Of each class: samples, recall, precision; a dash where there is nothing to divide by."""
    hits, truth, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)

    def ratio(hit: int, total: int) -> str:
        return percent(hit / total) if total else "–"

    return [(f"{t:,}", ratio(h, t), ratio(h, p)) for h, t, p in zip(hits, truth, predicted, strict=True)]


# Filters of the templates


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction in percent.

    >>> percent(0.934)
    '93.4'
    """
    return f"{100 * fraction:.{digits}f}"


def interval(edges: tuple[float, float], digits: int = 1) -> str:
    """Two fractions in percent; a dash where nothing is known.

    >>> interval((0.91, 0.93)), interval((float("nan"), float("nan")))
    ('91.0–93.0', '–')
    """
    return "–" if any(map(math.isnan, edges)) else "–".join(percent(edge, digits) for edge in edges)


def wilson(fraction: float, total: int, digits: int = 1) -> str:
    """The 95 % interval (Wilson) of an accuracy on `total` samples, in percent.

    >>> wilson(0.95, 1000)
    '93.5–96.2'
    """
    return interval(wilson_interval(round(fraction * total), total), digits)


def spread(summary: Mapping[str, Any]) -> str:
    """Mean ± standard deviation over seeds, in percent.

    >>> spread({"mean": 0.9, "std": 0.01})  # with spaces that do not break
    '90.00\\xa0±\\xa01.00'
    """
    std = "" if math.isnan(summary["std"]) else f"\u00a0±\u00a0{percent(summary['std'], 2)}"
    return percent(summary["mean"], 2) + std


def _plain(value: Any) -> str:
    """A value of a recipe: yes and no, lists without brackets, short numbers."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
