#!/usr/bin/env python
"""Train the bundled baselines: all seeds of each recipe, weights and results.

    .venv/bin/python scripts/train_baselines.py              # every recipe
    .venv/bin/python scripts/train_baselines.py cnn mlp      # some

After a stop, the same command continues: checkpoints are kept in --work-dir.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from mnist1d_hf.cli.terminal import progress, run_main
from mnist1d_hf.training.baseline import write_baseline
from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.recipes import RECIPES, find_recipe
from mnist1d_hf.training.runs import train

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="recipes (default: all)", metavar="NAME")
    parser.add_argument("--output", type=Path, default=ROOT / "mnist1d_hf" / "models" / "pretrained", help="folder")
    parser.add_argument("--work-dir", type=Path, default=ROOT / ".runs", help="for checkpoints (default .runs)")
    parser.add_argument("--num-proc", type=int, help="processes (default: one for each core)")
    options = parser.parse_args()
    for recipe in [find_recipe(name) for name in options.names or RECIPES]:
        started = time.perf_counter()
        arrays = load_arrays(recipe.data)
        with progress(recipe.name, recipe.steps * recipe.seeds) as advance:
            run = train(
                recipe,
                range(recipe.seeds),
                arrays,
                options.work_dir / recipe.name,
                num_proc=options.num_proc,
                progress=advance,
            )
        folder = write_baseline(run, arrays, options.output / recipe.name)
        mean = 100 * statistics.mean(member.test for member in run.members)
        seconds = time.perf_counter() - started
        print(f"{folder.name}: {mean:.2f} % over {len(run.members)} seeds, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    run_main("train_baselines.py", main)
