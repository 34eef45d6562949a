"""The baselines in tables, from their recorded results: for the README files and the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mnist1d_hf.data.configurations import find_configuration
from mnist1d_hf.data.describe import markdown_table
from mnist1d_hf.models.catalog import BAYES, list_pretrained, results
from mnist1d_hf.training.statistics import standard_error, summarize

SHORT_COLUMNS = ("baseline", "parameters", "data", "released, fresh, %", "test accuracy, %", "literature")
BAYES_RESULTS = Path(__file__).with_name("bayes.json")


def bayes_results() -> dict[str, Any]:
    """How good the exact posterior itself is, by data ("test", "fresh"): samples, accuracy, expected accuracy, loss.

    >>> bayes_results()["test"]["accuracy"]
    1.0
    """
    return dict(json.loads(BAYES_RESULTS.read_text(encoding="utf-8")))


def baseline_rows() -> list[dict[str, str]]:
    """A row for the exact posterior and one for each bundled baseline; accuracies are in percent, mean ± standard
    deviation where they are of all seeds.

    >>> [row["parameters"] for row in baseline_rows() if row["baseline"] == "cnn"]
    ['5,210']
    """
    rows: list[dict[str, str]] = []
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
                **_beside_bayes(found["released"]["bayes"]),
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
    return [_bayes_row(rows[0]), *rows]


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


def accuracies() -> dict[str, tuple[list[float], float | None]]:
    """Of each bundled baseline: every seed's accuracy on the test split, and the published one; fractions. The exact
    posterior has one accuracy."""
    values: dict[str, tuple[list[float], float | None]] = {BAYES: ([bayes_results()["test"]["accuracy"]], None)}
    for entry in list_pretrained():
        found = results(entry.name)
        published = found["recipe"]["reference_accuracy"]
        tests = [member["test"] for member in found["members"]]
        values[entry.name] = tests, None if published is None else published / 100
    return values
