"""Training the seeds of a recipe: in groups, in processes, kept in a run folder, continued after a stop."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import time
from collections.abc import Callable, Sequence

import safetensors.torch
import torch
from torch import Tensor

from mnist1d_hf.data.config import check_integer
from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.processes import Report
from mnist1d_hf.runs import RunFolder, Unit, in_processes, in_this_process
from mnist1d_hf.training.population import Arrays, Member, Population
from mnist1d_hf.training.recipe import Recipe

GROUP = 10  # members trained as one network: more do not fit into a processor's caches
_SECONDS = 30  # between two checkpoints of a group
_CHECKPOINT = ".state"
_FORMAT = 2  # of the files in the folder

Tensors = dict[str, Tensor]


@dataclasses.dataclass
class Run:
    """A finished run: each seed's result and its weights (a state dict), in the order of the seeds."""

    recipe: Recipe
    members: list[Member]
    states: list[Tensors]


def train(
    recipe: Recipe,
    seeds: Sequence[int],
    arrays: Arrays,
    folder: str | os.PathLike[str],
    *,
    num_proc: int | None = None,
    device: str | None = None,
    progress: Callable[[int], object] | None = None,
) -> Run:
    """Train every seed of a recipe. What is finished stays in `folder`; an interrupted run goes on from there.

    Args:
        recipe: what to do.
        seeds: 0 .. 2**32 - 1, each once.
        arrays: the data.
        folder: for checkpoints and results of this run.
        num_proc: processes; by default the cores on a CPU, one on a GPU.
        device: "cpu", "cuda", ...; by default a GPU if there is one.
        progress: called with the number of member-steps just done.

    Raises:
        InvalidValueError: a seed twice or out of range, or no seeds.
        OutputError: the folder belongs to another run, another process is at work in it, it cannot be written, or a
            file in it is damaged.
    """
    checked = check_seeds(seeds)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    workers = check_integer("num_proc", num_proc, 1) if num_proc is not None else (os.cpu_count() or 1)
    place = RunFolder(folder, "run.json")
    report = progress or (lambda _: None)
    groups = [checked[start : start + GROUP] for start in range(0, len(checked), GROUP)]
    units = [
        Unit(_key(group), _train_group, (place, recipe, group, arrays, device), recipe.steps * len(group))
        for group in groups
    ]
    settings = {"recipe": recipe.to_dict(), "seeds": checked, "group": GROUP, "format": _FORMAT}
    with place.claimed(settings):
        todo = place.left(units)
        report(sum(unit.work for unit in units) - sum(unit.work for unit in todo))
        place.do(todo, in_processes(workers) if device == "cpu" else in_this_process, report)
        for unit in todo:
            place.remove(unit.key + _CHECKPOINT)
        results = [result for group in groups for result in _from_result(place.get(_key(group)))]
    members, states = map(list, zip(*results, strict=True))
    return Run(recipe, members, states)


def check_seeds(seeds: Sequence[int]) -> list[int]:
    """The seeds as integers, each once."""
    checked = [check_integer("seeds", seed, 0, 2**32 - 1) for seed in seeds]
    if not checked:
        raise InvalidValueError("seeds: expected at least one")
    for seed in checked:
        if checked.count(seed) > 1:
            raise InvalidValueError(f"seeds: expected each once, found {seed} several times")
    return checked


def _key(group: list[int]) -> str:
    return f"group-{group[0]}"


def _train_group(
    folder: RunFolder, recipe: Recipe, group: list[int], arrays: Arrays, device: str, report: Report
) -> bytes:
    """Train some seeds together, from their last checkpoint on.

    Returns:
        A line of JSON with their results, then a safetensors file with their weights.
    """
    population = Population(recipe, group, arrays, device)
    checkpoint = _key(group) + _CHECKPOINT
    if folder.has(checkpoint):
        population.load_state(torch.load(io.BytesIO(folder.get(checkpoint)), map_location="cpu", weights_only=True))
        report(population.step * len(group))
    saved = time.monotonic()
    while population.step < recipe.steps:
        population.run(until=population.step + 20, progress=report)
        if time.monotonic() - saved > _SECONDS:
            data = io.BytesIO()
            torch.save(population.state(), data)
            folder.put(checkpoint, data.getvalue())
            saved = time.monotonic()
    members, states = population.finish()
    tensors = {
        f"{seed}.{name}": values for seed, state in zip(group, states, strict=True) for name, values in state.items()
    }
    values = {"members": [dataclasses.asdict(member) for member in members]}
    return json.dumps(values).encode() + b"\n" + safetensors.torch.save(tensors)


def _from_result(data: bytes) -> list[tuple[Member, Tensors]]:
    """The result and the weights of each seed, from what `_train_group` returned."""
    values, _, file = data.partition(b"\n")
    tensors, results = safetensors.torch.load(file), []
    for found in json.loads(values)["members"]:
        member = Member(**{**found, "history": [(step, accuracy) for step, accuracy in found["history"]]})
        prefix = f"{member.seed}."
        state = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        results.append((member, state))
    return results
