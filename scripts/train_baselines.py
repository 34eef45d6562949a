#!/usr/bin/env python
"""Train the bundled baselines: all seeds of each recipe, weights and results.

    .venv/bin/python scripts/train_baselines.py              # every recipe
    .venv/bin/python scripts/train_baselines.py cnn mlp      # some
    .venv/bin/python scripts/train_baselines.py --evaluate   # no training: compare the weights with the exact posterior

After a stop, the same command continues: checkpoints are kept in --work-dir. So is the exact posterior of the 100,000
fresh samples that every baseline is compared on; remove it after a change of the posterior.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist1d_hf.cli.terminal import progress, run_main
from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.configurations import FRESH_SAMPLES, find_configuration, name_of
from mnist1d_hf.files import write_file
from mnist1d_hf.training.baseline import record_bayes, write_baseline, write_bayes
from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.evaluation import exact_posterior, fresh_samples
from mnist1d_hf.training.recipe import Recipe
from mnist1d_hf.training.recipes import RECIPES, find_recipe
from mnist1d_hf.training.runs import train

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="recipes (default: all)", metavar="NAME")
    parser.add_argument("--output", type=Path, default=ROOT / "mnist1d_hf" / "models" / "pretrained", help="folder")
    parser.add_argument("--work-dir", type=Path, default=ROOT / ".runs", help="for checkpoints (default .runs)")
    parser.add_argument("--num-proc", type=int, help="processes (default: one for each core)")
    parser.add_argument("--evaluate", action="store_true", help="evaluate the weights in --output, train nothing")
    options = parser.parse_args()
    for recipe in [find_recipe(name) for name in options.names or RECIPES]:
        if not options.evaluate:
            train_recipe(recipe, options.output, options.work_dir, options.num_proc)
        record_bayes(options.output / recipe.name, fresh_posterior(recipe.data, options.work_dir))
        print(f"{recipe.name}: compared with the exact posterior", flush=True)
    default = fresh_posterior("default", options.work_dir)
    assert default is not None
    write_bayes(default)


def train_recipe(recipe: Recipe, output: Path, work_dir: Path, num_proc: int | None) -> None:
    """All seeds of a recipe, and the folder of the baseline."""
    started = time.perf_counter()
    arrays = load_arrays(recipe.data)
    seeds = range(recipe.seeds)
    with progress(recipe.name, recipe.steps * recipe.seeds) as advance:
        run = train(recipe, seeds, arrays, work_dir / recipe.name, num_proc=num_proc, progress=advance)
    write_baseline(run, arrays, output / recipe.name)
    mean = 100 * statistics.mean(member.test for member in run.members)
    seconds = time.perf_counter() - started
    print(f"{recipe.name}: {mean:.2f} % over {len(run.members)} seeds, {seconds:.0f} s", flush=True)


def fresh_posterior(configuration: str, work_dir: Path) -> NDArray[Any] | None:
    """The exact posterior of the fresh samples of a configuration; None for shuffled data, of which there are none."""
    generator = find_configuration(configuration).generator
    if generator.shuffle_seq:
        return None
    name = name_of(dataclasses.replace(generator, num_samples=GeneratorConfig().num_samples))  # the same fresh samples
    path = work_dir / f"posterior-{name}-{FRESH_SAMPLES}.npy"
    if not path.is_file():
        x, _ = fresh_samples(configuration, FRESH_SAMPLES)
        with progress("exact posterior", len(x)) as advance:
            values = exact_posterior(x, generator, progress=advance)
        data = io.BytesIO()
        np.save(data, values)
        write_file(path, data.getvalue())
    return np.load(path)


if __name__ == "__main__":
    run_main("train_baselines.py", main)
