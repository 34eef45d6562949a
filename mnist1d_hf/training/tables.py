"""The baselines in a table, from their recorded results: for README.md and the command line."""

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


def baseline_rows() -> list[tuple[str, ...]]:
    """One row for each bundled baseline; accuracies are mean ± standard deviation over the seeds, in percent.

    >>> [row[1] for row in baseline_rows() if row[0] == "cnn"]
    ['5,210']
    """
    rows: list[tuple[str, ...]] = []
    for entry in list_pretrained():
        found = results(entry.name)
        goal = found["recipe"]["reference_accuracy"]
        fresh = [member["fresh"] for member in found["members"] if member["fresh"] is not None]
        rows.append(
            (
                entry.name,
                f"{entry.parameters:,}",
                entry.data,
                str(entry.seeds),
                _spread(found["test_accuracy"]),
                "{low:.2f} to {high:.2f}".format(
                    **{edge: 100 * found["test_accuracy"][edge] for edge in ("low", "high")}
                ),
                "–" if found["best_reading"] is None else _spread(found["best_reading"]),
                _spread(summarize(fresh)._asdict()) if fresh else "–",
                "–" if goal is None else f"{goal:g}",
                f"{100 * entry.released_accuracy:.1f}",
            )
        )
    return rows


def _spread(summary: dict[str, Any]) -> str:
    deviation = summary["std"]
    return f"{100 * summary['mean']:.2f}" + ("" if math.isnan(deviation) else f" ± {100 * deviation:.2f}")


def markdown() -> str:
    """The table in Markdown, as README.md has it."""
    return markdown_table(COLUMNS, baseline_rows())


def accuracies() -> dict[str, tuple[list[float], float | None]]:
    """Of each bundled baseline: every seed's accuracy on the test split, and the literature's; shares."""
    found = {entry.name: results(entry.name) for entry in list_pretrained()}
    return {
        name: (
            [member["test"] for member in item["members"]],
            None if item["recipe"]["reference_accuracy"] is None else item["recipe"]["reference_accuracy"] / 100,
        )
        for name, item in found.items()
    }
