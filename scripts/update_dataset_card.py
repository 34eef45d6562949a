#!/usr/bin/env python
"""Make dataset_card/ again: the dataset's card and its figures, as they are published, for NAMESPACE/mnist1d.

Usage: scripts/update_dataset_card.py    After a change of a baseline, a figure or the template; a test compares them.
"""

import shutil
import tempfile
from pathlib import Path

from mnist1d_hf.cli.terminal import run_main
from mnist1d_hf.publishing.repositories import BASELINES, CARD, FIGURES, dataset_repository
from mnist1d_hf.publishing.staging import stage

TARGET = Path(__file__).resolve().parents[1] / "dataset_card"


def main() -> None:
    """Stage the dataset, and keep what a reader looks at."""
    with tempfile.TemporaryDirectory() as folder:
        repository = dataset_repository("NAMESPACE/mnist1d")
        staged = stage(repository, Path(folder) / "mnist1d", lambda step: print(step, "...", flush=True))
        shutil.rmtree(TARGET / "figures", ignore_errors=True)
        for name in (CARD, BASELINES, *FIGURES):
            (TARGET / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(staged / name, TARGET / name)
    print(TARGET)


if __name__ == "__main__":
    run_main("update_dataset_card.py", main)
