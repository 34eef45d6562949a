#!/usr/bin/env python
"""Put what README.md says of configurations and baselines in again, from the code and the recorded results.

    .venv/bin/python scripts/update_readme.py          # tables, and dataset_card/figures/baselines.png

The tables of speed come from `scripts/benchmark.py --update-readme`, which measures them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mnist1d_hf import plots
from mnist1d_hf.data import describe
from mnist1d_hf.errors import UserError
from mnist1d_hf.terminal import run_main
from mnist1d_hf.training import tables

ROOT = Path(__file__).resolve().parents[1]
END = "<!-- end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name, table in (("baselines", tables.markdown()), ("configurations", describe.markdown())):
        text = replaced(text, f"<!-- {name}: made by scripts/update_readme.py -->", table)
    readme.write_text(text, encoding="utf-8")
    plots.save(plots.plot_baselines(tables.accuracies()), ROOT / "dataset_card" / "figures" / "baselines.png")


def replaced(text: str, start: str, table: str) -> str:
    """The text with another table between its marks."""
    before, found, rest = text.partition(start)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise UserError(f"README.md: expected {start} and {END} after it, found one or none; put them back")
    return f"{before}{start}\n{table}\n{END}{after}"


if __name__ == "__main__":
    run_main("update_readme.py", main)
