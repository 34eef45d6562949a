#!/usr/bin/env python
"""Members trained a second: a population beside a plain one-model PyTorch loop. Part of scripts/benchmark.py.

    .venv/bin/python scripts/population_speed.py population cnn   # one reading of either
    .venv/bin/python scripts/population_speed.py plain cnn

The plain loop is what one would write: `torch.nn` modules, Adam, one seed after the other, with as many threads as
torch takes by itself. The population is `training.runs.train`, one process for each core. Both do the paper's
protocol; neither counts imports and the start of its processes.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time

MEMBERS, STEPS = 100, 1000
PLAIN_STEPS = 1500
NETWORKS = ("mlp", "cnn")


def population(network: str) -> float:
    """Member-steps a second, all cores together, from the first report of progress to the last."""
    from mnist1d_hf.training import runs
    from mnist1d_hf.training.data import load_arrays
    from mnist1d_hf.training.recipes import find_recipe

    recipe = dataclasses.replace(find_recipe(network), name="speed", steps=STEPS, eval_every=STEPS)
    reports: list[tuple[float, int]] = []

    def report(done: int) -> None:
        if done:
            reports.append((time.perf_counter(), done))

    with tempfile.TemporaryDirectory() as folder:
        runs.train(recipe, range(MEMBERS), load_arrays(recipe.data), f"{folder}/run", progress=report)
    return sum(done for _, done in reports[1:]) / (reports[-1][0] - reports[0][0])


def plain(network: str) -> float:
    """Steps a second of one model."""
    import torch
    from torch.nn import functional

    from mnist1d_hf.training.data import load_arrays
    from mnist1d_hf.training.population import initial_network
    from mnist1d_hf.training.recipes import find_recipe

    recipe = find_recipe(network)
    arrays = load_arrays(recipe.data)
    x, label = torch.from_numpy(arrays.x.copy()), torch.from_numpy(arrays.label.copy())
    model = initial_network(recipe, 0)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    started = 0.0
    for step in range(PLAIN_STEPS + 100):
        if step == 100:  # the first ones warm up
            started = time.perf_counter()
        first = step * recipe.batch_size % len(x)
        rows = slice(first, first + recipe.batch_size)
        loss = functional.cross_entropy(model(x[rows]), label[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return PLAIN_STEPS / (time.perf_counter() - started)


def reading(kind: str, network: str) -> float:
    """One of the two, in a new process with torch's own choice of threads."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, __file__, kind, network]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


def rows(network: str, pairs: int) -> tuple[str, str, str, str, str]:
    """The table's row of a network; the ratio is the median over pairs in turn, beside their lowest and highest: one
    thread of a shared machine may be a quarter faster from one minute to the next, while all of its cores are not."""
    ours, theirs = [], []
    for _ in range(pairs):
        ours.append(reading("population", network))
        theirs.append(reading("plain", network))
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    speeds = [f"{statistics.median(speeds):,.0f}" for speeds in (ours, theirs)]
    return (
        f"{MEMBERS} members of `{network}`",
        *speeds,
        f"{statistics.median(ratios):.1f}",
        f"{min(ratios):.1f} to {max(ratios):.1f}",
    )


if __name__ == "__main__":
    print({"population": population, "plain": plain}[sys.argv[1]](sys.argv[2]))
