#!/usr/bin/env python
"""Renew the tables of configurations, baselines, augmentation, Bayes error in the READMEs, from the code and the
recorded results.

    .venv/bin/python scripts/update_readme.py          # tables, and dataset_card/figures/baselines.png

The tables of speed come from `scripts/benchmark.py --update-readme`, which measures them; those of the studies from
`scripts/update_studies.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from readme import put_section

from mnist1d_hf import plots
from mnist1d_hf.cli.terminal import run_main
from mnist1d_hf.data import describe
from mnist1d_hf.studies import bayes_error, spatial_prior
from mnist1d_hf.training import tables

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mnist1d_hf"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    for name, table, readme in (
        ("baselines", tables.short_markdown(), ROOT / "README.md"),
        ("baselines", tables.markdown(), PACKAGE / "training" / "README.md"),
        ("plain augmentation", spatial_prior.markdown(), PACKAGE / "training" / "README.md"),
        ("configurations", describe.markdown(), PACKAGE / "data" / "README.md"),
        ("bayes error", bayes_error.markdown(), PACKAGE / "data" / "README.md"),
    ):
        put_section(f"<!-- {name}: made by scripts/update_readme.py -->", "<!-- end -->", table, readme)
    plots.save(plots.plot_baselines(tables.accuracies()), ROOT / "dataset_card" / "figures" / "baselines.png")


if __name__ == "__main__":
    run_main("update_readme.py", main)
