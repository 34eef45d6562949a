"""The baselines in tables, from their recorded results: for the README files and the command line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mnist1d_hf.data.configurations import find_configuration
from mnist1d_hf.data.describe import markdown_table
from mnist1d_hf.models.catalog import BAYES, Pretrained, list_pretrained, results
from mnist1d_hf.training.statistics import standard_error, summarize

SHORT_COLUMNS = (
    "baseline",
    "parameters",
    "data",
    "released, fresh, %",
    "test accuracy, %",
    "error of the split",
    "literature",
)
BAYES_RESULTS = Path(__file__).with_name("bayes.json")
GENERATOR = "4,000 samples and the form of the generator"
GROUPS = ("4,000 samples", GENERATOR, "more samples", "4,000 shuffled samples")  # what a baseline learns from


class Accuracies(NamedTuple):
    """Accuracies of a baseline, as fractions.

    Attributes:
        group: what it learns from, one of `GROUPS`: only baselines of one group compare. None for the exact posterior.
        seeds: of every seed, on the test split.
        split_error: standard error of their mean that comes from the test samples, which all seeds share.
        fresh: of the released checkpoint, on fresh samples; None for shuffled signals.
        literature: the published one; None without one.
    """

    group: str | None
    seeds: list[float]
    split_error: float
    fresh: float | None
    literature: float | None


def bayes_results() -> dict[str, Any]:
    """How good the exact posterior itself is, by data ("test", "fresh"): samples, accuracy, expected accuracy, loss.

    >>> bayes_results()["test"]["accuracy"]
    1.0
    """
    return dict(json.loads(BAYES_RESULTS.read_text(encoding="utf-8")))


def baseline_rows() -> list[dict[str, str]]:
    """A row for the exact posterior and one for each bundled baseline, group by group; accuracies are in percent, mean
    ± standard deviation where they are of all seeds.

    >>> [row["parameters"] for row in baseline_rows() if row["baseline"] == "cnn"]
    ['5,210']
    """
    rows: list[dict[str, str]] = []
    for entry, found in _grouped():
        published, accuracy = found["recipe"]["reference_accuracy"], found["test_accuracy"]
        released = found["released"]["fresh"]
        fresh = [member["fresh"] for member in found["members"] if member["fresh"] is not None]
        rows.append(
            {
                "baseline": entry.name,
                "parameters": f"{entry.parameters:,}",
                "data": f"{entry.data} + form" if learns_from(found) == GENERATOR else entry.data,
                "released, fresh, %": "–" if released is None else f"{100 * released:.2f}",
                **_beside_bayes(found["released"]["bayes"]),
                "seeds": str(entry.seeds),
                "test accuracy, %": _spread(accuracy),
                "95 % interval": f"{100 * accuracy['low']:.2f} to {100 * accuracy['high']:.2f}",
                "error of the split": f"{100 * split_error(found):.2f}",
                "best reading": "–" if found["best_reading"] is None else _spread(found["best_reading"]),
                "all seeds, fresh, %": _spread(summarize(fresh)._asdict()) if fresh else "–",
                "literature": "–" if published is None else f"{published:g}",
                "released, test": f"{100 * entry.released_accuracy:.1f}",
            }
        )
    return [_bayes_row(rows[0]), *rows]


def _grouped() -> list[tuple[Pretrained, dict[str, Any]]]:
    """Every bundled baseline with its results, group by group."""
    entries = [(entry, results(entry.name)) for entry in list_pretrained()]
    return sorted(entries, key=lambda pair: GROUPS.index(learns_from(pair[1])))


def learns_from(found: Mapping[str, Any]) -> str:
    """Which of `GROUPS` a baseline belongs to, from its results.

    >>> learns_from(results("resnet"))
    '4,000 samples and the form of the generator'
    """
    if found["recipe"]["synthetic"]:
        return GENERATOR
    data = found["data"]["configuration"]
    return {"default": GROUPS[0], "shuffled": GROUPS[3]}.get(data, GROUPS[2])


def split_error(found: Mapping[str, Any]) -> float:
    """The standard error of the mean test accuracy that comes from the test samples, from a baseline's results."""
    data = found["data"]["configuration"]
    _, rows = find_configuration("default" if data == "stream" else data).generator.split_sizes()
    return standard_error(found["test_accuracy"]["mean"], rows)


def _beside_bayes(recorded: dict[str, Any] | None) -> dict[str, str]:
    """The excess loss with half the width of its 95 % interval, and the calibration error in percent."""
    if recorded is None:
        return {"excess loss, fresh": "–", "calibration error, %": "–"}
    excess = recorded["excess_loss"]
    return {
        "excess loss, fresh": f"{excess['mean']:.4f} ± {(excess['high'] - excess['low']) / 2:.4f}",
        "calibration error, %": f"{100 * recorded['calibration_error']:.2f}",
    }


def _bayes_row(columns: dict[str, str]) -> dict[str, str]:
    """The exact posterior, in these columns: it has no parameters, no seeds, and learns from no data."""
    test, fresh = (bayes_results()[name]["accuracy"] for name in ("test", "fresh"))
    row = dict.fromkeys(columns, "–") | {"baseline": BAYES, "excess loss, fresh": "0", "calibration error, %": "0"}
    row |= {"released, fresh, %": f"{100 * fresh:.2f}", "test accuracy, %": f"{100 * test:.2f}"}
    return row | {"released, test": f"{100 * test:.1f}"}


def _spread(summary: dict[str, Any]) -> str:
    std = summary["std"]
    return f"{100 * summary['mean']:.2f}" + ("" if math.isnan(std) else f" ± {100 * std:.2f}")


def markdown() -> str:
    """The full table in Markdown, for mnist1d_hf/training/README.md."""
    rows = baseline_rows()
    return markdown_table(tuple(rows[0]), [tuple(row.values()) for row in rows])


def short_markdown() -> str:
    """The table in Markdown without shuffled signals and with few columns, for the README of the repository."""
    rows = [row for row in baseline_rows() if row["data"] != "shuffled"]
    return markdown_table(SHORT_COLUMNS, [tuple(row[name] for name in SHORT_COLUMNS) for row in rows])


def accuracies() -> dict[str, Accuracies]:
    """The accuracies of the exact posterior, then of each bundled baseline, group by group."""
    test, fresh = (bayes_results()[name]["accuracy"] for name in ("test", "fresh"))
    values = {BAYES: Accuracies(None, [test], 0.0, fresh, None)}
    for entry, found in _grouped():
        published = found["recipe"]["reference_accuracy"]
        values[entry.name] = Accuracies(
            group=learns_from(found),
            seeds=[member["test"] for member in found["members"]],
            split_error=split_error(found),
            fresh=found["released"]["fresh"],
            literature=None if published is None else published / 100,
        )
    return values
