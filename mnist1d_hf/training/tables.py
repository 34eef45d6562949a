"""The baselines in tables, from their recorded results: for the README files and the command line."""

from __future__ import annotations

import math
from typing import Any

from mnist1d_hf.data.configurations import find_configuration
from mnist1d_hf.data.describe import markdown_table
from mnist1d_hf.models.catalog import list_pretrained, results
from mnist1d_hf.training.statistics import standard_error, summarize

SHORT_COLUMNS = ("baseline", "parameters", "data", "released, fresh, %", "test accuracy, %", "literature")


def baseline_rows() -> list[dict[str, str]]:
    """One row for each bundled baseline; accuracies are in percent, mean ± standard deviation where they are of all
    seeds.

    >>> [row["parameters"] for row in baseline_rows() if row["baseline"] == "cnn"]
    ['5,210']
    """
    rows = []
    for entry in list_pretrained():
        found = results(entry.name)
        published, accuracy = found["recipe"]["reference_accuracy"], found["test_accuracy"]
        tested_on = find_configuration("default" if entry.data == "stream" else entry.data)
        released, (_, test_rows) = found["released"]["fresh"], tested_on.generator.split_sizes()
        fresh = [member["fresh"] for member in found["members"] if member["fresh"] is not None]
        rows.append(
            {
                "baseline": entry.name,
                "parameters": f"{entry.parameters:,}",
                "data": entry.data,
                "released, fresh, %": "–" if released is None else f"{100 * released:.2f}",
                "seeds": str(entry.seeds),
                "test accuracy, %": _spread(accuracy),
                "95 % interval": f"{100 * accuracy['low']:.2f} to {100 * accuracy['high']:.2f}",
                "error of the split": f"{100 * standard_error(accuracy['mean'], test_rows):.2f}",
                "best reading": "–" if found["best_reading"] is None else _spread(found["best_reading"]),
                "all seeds, fresh, %": _spread(summarize(fresh)._asdict()) if fresh else "–",
                "literature": "–" if published is None else f"{published:g}",
                "released, test": f"{100 * entry.released_accuracy:.1f}",
            }
        )
    return rows


def _spread(summary: dict[str, Any]) -> str:
    std = summary["std"]
    return f"{100 * summary['mean']:.2f}" + ("" if math.isnan(std) else f" ± {100 * std:.2f}")


def markdown() -> str:
    """The full table in Markdown, for mnist1d_hf/training/README.md."""
    rows = baseline_rows()
    return markdown_table(tuple(rows[0]), [tuple(row.values()) for row in rows])


def short_markdown() -> str:
    """The table with the columns that matter most in Markdown, for the README of the repository."""
    return markdown_table(SHORT_COLUMNS, [tuple(row[name] for name in SHORT_COLUMNS) for row in baseline_rows()])


def accuracies() -> dict[str, tuple[list[float], float | None]]:
    """Of each bundled baseline: every seed's accuracy on the test split, and the published one; fractions."""
    values = {}
    for entry in list_pretrained():
        found = results(entry.name)
        published = found["recipe"]["reference_accuracy"]
        tests = [member["test"] for member in found["members"]]
        values[entry.name] = tests, None if published is None else published / 100
    return values
