"""What the dataset's card says: its metadata, and the values for its template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import datasets
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCardData

from mnist1d_hf.data import describe
from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.schema import CITATION, HOMEPAGE, LICENSE, VERSION, dataset_info
from mnist1d_hf.publishing.facts import DatasetFacts
from mnist1d_hf.publishing.layout import STREAM_SAMPLES, STREAM_SEED, evaluated_on, model_repo, published_config
from mnist1d_hf.publishing.model_text import KINDS
from mnist1d_hf.publishing.numbers import counted, interval, percent, size, spread, words

TAGS = ["mnist1d", "mnist-1d", "synthetic", "signals", "1d", "toy-dataset", "education", "arxiv:2011.14439"]
# People's accuracy in percent, as printed by Greydanus & Kobak 2024 (arXiv 2011.14439).
HUMAN = {"default": "96 ± 1", "read": 95.8, "samples": 500, "shuffled": 30}
_CATEGORIES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M")


def metadata(facts: DatasetFacts) -> DatasetCardData:
    """The YAML at the top of the card."""
    data = DatasetCardData(
        annotations_creators=["machine-generated"],
        license=LICENSE.lower(),
        pretty_name="MNIST-1D",
        size_categories=[size_category(sum(item.rows for item in facts.splits))],
        source_datasets=["original"],
        task_categories=["other"],
        tags=TAGS,
        citation=CITATION,
    )
    infos = {name: _info(facts, name) for name in facts.configurations}
    datasets.info.DatasetInfosDict(infos).to_dataset_card_data(data)
    for info in data["dataset_info"] if len(infos) > 1 else [data["dataset_info"]]:
        info["features"] = [_older_list(feature) for feature in info["features"]]
    files = {
        name: {"data_files": [{"split": split, "path": item.path} for split, item in facts.of(name).items()]}
        for name in facts.configurations
    }
    MetadataConfigs(files).to_dataset_card_data(data)
    return data


def size_category(rows: int) -> str:
    """The Hub's name for a number of rows.

    >>> size_category(5000), size_category(200_000)
    ('1K<n<10K', '100K<n<1M')
    """
    return _CATEGORIES[sum(rows >= 10**power for power in (3, 4, 5, 6))]


def _info(facts: DatasetFacts, name: str) -> datasets.DatasetInfo:
    info = dataset_info(published_config(name))
    splits = datasets.SplitDict(dataset_name=info.dataset_name)
    for split, item in facts.of(name).items():
        splits.add(datasets.SplitInfo(split, num_bytes=item.num_bytes, num_examples=item.rows))
    info.splits = splits
    info.dataset_size = sum(item.num_bytes for item in facts.of(name).values())
    info.download_size = sum(item.size for item in facts.of(name).values())
    return info


def _older_list(feature: dict[str, Any]) -> dict[str, Any]:
    """`sequence` for `list`: the same to datasets 5, and datasets 3 loses the length of a `list`."""
    return {"sequence" if key == "list" else key: value for key, value in feature.items()}


def values(facts: DatasetFacts) -> dict[str, Any]:
    """What the template asks for."""
    default, large = facts.of("default"), facts.of("large-40k")
    config = GeneratorConfig()
    paper = papers(facts.baselines)
    best = paper[-1]
    reference = facts.baselines[best]
    return {
        "repo_id": facts.repo_id,
        "homepage": HOMEPAGE,
        "citation": CITATION,
        "version": str(VERSION),
        "length": config.final_seq_length,
        "rows": {split: f"{item.rows:,}" for split, item in default.items()},
        "large_rows": {split: f"{item.rows:,}" for split, item in large.items()},
        "stream_rows": f"{STREAM_SAMPLES:,}",
        "stream_number": STREAM_SAMPLES,
        "stream_seed": STREAM_SEED,
        "accuracies": _accuracies([facts.baselines[name] for name in paper]),
        "seeds": _seeds([facts.baselines[name]["test_accuracy"]["n"] for name in paper]),
        "configurations": configuration_table(facts),
        "per_class": {split: f"{min(item.counts)} to {max(item.counts)}" for split, item in default.items()},
        "arguments": describe.markdown_table(describe.ARGUMENT_COLUMNS, describe.argument_rows("default")),
        "generator_seed": config.seed,
        "variance": f"{100 * sum(facts.variance[:2]):.0f}",
        "components": next(n for n in range(1, 41) if sum(facts.variance[:n]) >= 0.95),
        "checksums": checksum_table(facts),
        "train_checksum": default["train"].checksums["x"],
        "baselines": baseline_table(facts),
        "human": HUMAN,
        "papers": words([f"`{name}`" for name, found in facts.baselines.items() if _is_papers(found)]),
        "reference": best,
        "released": counted(reference["released"]["test"], default["test"].rows),
        "gain": f"{100 * (reference['best_reading']['mean'] - reference['test_accuracy']['mean']):.2f}",
        "best": percent(max(_means(facts, "default")), 1),
        "std": f"{100 * reference['test_accuracy']['deviation']:.1f}",
        "repeated": facts.repeated[0],
        "repeated_classes": ", ".join(map(str, facts.repeated[1])),
    }


def papers(baselines: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The names of those on `default` that follow the paper's protocol, the least accurate first."""
    found = [
        name for name, item in baselines.items() if _is_papers(item) and item["data"]["configuration"] == "default"
    ]
    return sorted(found, key=lambda name: baselines[name]["test_accuracy"]["mean"])


def _is_papers(found: Mapping[str, Any]) -> bool:
    """Whether it trained on the whole split and was read at the last step, with the test split watched on the way."""
    return found["best_reading"] is not None and not found["recipe"]["holdout"] and found["recipe"]["select"] == "final"


def _accuracies(found: list[Mapping[str, Any]]) -> str:
    """Architectures with their mean accuracies, in words."""
    shares = [percent(item["test_accuracy"]["mean"], 1) for item in found]
    kinds = [KINDS[item["recipe"]["network"]["architecture"]] for item in found]
    first = f"a {kinds[0]} is right in {shares[0]} % of the cases"
    return words([first, *(f"a {kind} in {share} %" for kind, share in zip(kinds[1:], shares[1:], strict=True))])


def _means(facts: DatasetFacts, configuration: str) -> list[float]:
    """Mean accuracies on the test split of a configuration."""
    return [item["test_accuracy"]["mean"] for item in facts.baselines.values() if _split(item) == configuration]


def _seeds(counts: list[int]) -> str:
    """How many seeds some networks have, in words.

    >>> _seeds([100, 100, 100]), _seeds([100, 100, 20])
    ('100 seeds each', '100, 100 and 20 seeds')
    """
    return f"{counts[0]} seeds each" if len(set(counts)) == 1 else f"{words(list(map(str, counts)))} seeds"


def configuration_table(facts: DatasetFacts) -> str:
    """The configurations with their sizes."""
    rows = []
    for name in facts.configurations:
        splits = facts.of(name)
        counts = [f"{splits[split].rows:,}" if split in splits else "–" for split in ("train", "test")]
        bytes_ = size(sum(item.size for item in splits.values()))
        rows.append((f"`{name}`", *counts, bytes_, _about(name)))
    return describe.markdown_table(("configuration", "train", "test", "download", "what it is"), rows)


def _about(name: str) -> str:
    *_, differing, description = describe.configuration_row(name)
    if name == "stream":
        return f"the first {STREAM_SAMPLES:,} samples of the endless stream, seed {STREAM_SEED}"
    return description if differing == "–" else f"{description} (`{differing}`)"


def checksum_table(facts: DatasetFacts) -> str:
    """One row for each column of each split."""
    rows: list[tuple[str, ...]] = [
        (f"`{item.configuration}` {item.split}", f"`{column}`", f"`{item.checksums[column]}`")
        for item in facts.splits
        for column in item.checksums
    ]
    return describe.markdown_table(("split", "column", "SHA-256"), rows)


def baseline_table(facts: DatasetFacts) -> str:
    """The trained networks: mean ± deviation over seeds with the interval of the mean, and the published checkpoint."""
    columns = ("network", "parameters", "trained on", "seeds", "accuracy, %", "interval", "published, %")
    ordered = sorted(facts.baselines.items(), key=lambda item: (_split(item[1]), item[1]["test_accuracy"]["mean"]))
    rows: list[tuple[str, ...]] = []
    for name, found in ordered:
        link = f"https://huggingface.co/{model_repo(facts.repo_id, name)}"
        summary, test = found["test_accuracy"], facts.of(_split(found))["test"]
        rows.append(
            (
                f"[{name}]({link})",
                f"{found['parameters']:,}",
                f"`{found['data']['configuration']}`",
                str(summary["n"]),
                spread(summary),
                interval(summary["low"], summary["high"], 2),
                "{}\u00a0({})".format(*counted(found["released"]["test"], test.rows)),
            )
        )
    return describe.markdown_table(columns, rows)


def _split(found: Mapping[str, Any]) -> str:
    """The configuration whose test split a baseline was read on."""
    return evaluated_on(str(found["data"]["configuration"]))
