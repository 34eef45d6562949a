"""The baselines in tables, from their recorded results: for the README files and the command line."""

from __future__ import annotations

import math
from typing import Any

from mnist1d_hf.data.describe import markdown_table
from mnist1d_hf.models.catalog import list_pretrained, results
from mnist1d_hf.training.statistics import summarize

COLUMNS = (
    *("baseline", "parameters", "data", "seeds", "test accuracy, %", "95 % interval"),
    *("best reading", "fresh, %", "literature", "released"),
)
SHORT_COLUMNS = ("baseline", "parameters", "data", "test accuracy, %", "literature")


def baseline_rows() -> list[tuple[str, ...]]:
    """One row for each bundled baseline; accuracies are mean ± standard deviation over the seeds, in percent.

    >>> [row[1] for row in baseline_rows() if row[0] == "cnn"]
    ['5,210']
    """
    rows: list[tuple[str, ...]] = []
    for entry in list_pretrained():
        found = results(entry.name)
        published, interval = found["recipe"]["reference_accuracy"], found["test_accuracy"]
        fresh = [member["fresh"] for member in found["members"] if member["fresh"] is not None]
        rows.append(
            (
                entry.name,
                f"{entry.parameters:,}",
                entry.data,
                str(entry.seeds),
                _spread(found["test_accuracy"]),
                f"{100 * interval['low']:.2f} to {100 * interval['high']:.2f}",
                "–" if found["best_reading"] is None else _spread(found["best_reading"]),
                _spread(summarize(fresh)._asdict()) if fresh else "–",
                "–" if published is None else f"{published:g}",
                f"{100 * entry.released_accuracy:.1f}",
            )
        )
    return rows


def _spread(summary: dict[str, Any]) -> str:
    std = summary["std"]
    return f"{100 * summary['mean']:.2f}" + ("" if math.isnan(std) else f" ± {100 * std:.2f}")


def markdown() -> str:
    """The full table in Markdown, for mnist1d_hf/training/README.md."""
    return markdown_table(COLUMNS, baseline_rows())


def short_markdown() -> str:
    """The table with the columns that matter most in Markdown, for the README of the repository."""
    chosen = [COLUMNS.index(name) for name in SHORT_COLUMNS]
    return markdown_table(SHORT_COLUMNS, [tuple(row[number] for number in chosen) for row in baseline_rows()])


def accuracies() -> dict[str, tuple[list[float], float | None]]:
    """Of each bundled baseline: every seed's accuracy on the test split, and the published one; fractions."""
    values = {}
    for entry in list_pretrained():
        found = results(entry.name)
        published = found["recipe"]["reference_accuracy"]
        values[entry.name] = (
            [member["test"] for member in found["members"]],
            None if published is None else published / 100,
        )
    return values
