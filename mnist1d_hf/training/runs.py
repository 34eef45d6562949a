"""Runs of a recipe over many seeds: in groups, over processes, kept on disk, continued after a stop."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from mnist1d_hf.data.config import check_integer
from mnist1d_hf.errors import InvalidValueError, OutputError
from mnist1d_hf.processes import run_counted
from mnist1d_hf.training.population import Arrays, Member, Population
from mnist1d_hf.training.recipe import Recipe

GROUP = 10  # members trained as one network: more do not fit into a processor's caches
_SECONDS = 30  # between two checkpoints of a group
_PLAN = "run.json"


@dataclasses.dataclass
class Run:
    """A finished run: each seed's result and its weights, in the order of the seeds."""

    recipe: Recipe
    members: list[Member]
    states: list[dict[str, Tensor]]


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
        OutputError: the folder holds another run, or cannot be written.
    """
    checked = check_seeds(seeds)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    place = Path(folder)
    _claim(place, recipe, checked)
    groups = [checked[start : start + GROUP] for start in range(0, len(checked), GROUP)]
    workers = check_integer("num_proc", num_proc, 1) if num_proc is not None else (os.cpu_count() or 1)
    if device != "cpu":
        workers = 1
    todo = [group for group in groups if not _result_path(place, group).exists()]
    report = progress or (lambda _: None)
    report(recipe.steps * (len(checked) - sum(map(len, todo))))
    if todo and device != "cpu":
        for group in todo:
            _train_group(recipe, group, arrays, place, device, report)
    elif todo:
        _in_processes(recipe, todo, arrays, place, min(workers, len(todo)), report)
    members, states = [], []
    for group in groups:
        some, weights = _read_result(place, group)
        members += some
        states += weights
    return Run(recipe, members, states)


def check_seeds(seeds: Sequence[int]) -> list[int]:
    """The seeds as integers, each once."""
    checked = [check_integer("seeds", seed, 0, 2**32 - 1) for seed in seeds]
    if not checked:
        raise InvalidValueError("seeds: expected at least one")
    twice = sorted({seed for seed in checked if checked.count(seed) > 1})
    if twice:
        raise InvalidValueError(f"seeds: expected each once, found {twice[0]} several times")
    return checked


def _claim(place: Path, recipe: Recipe, seeds: list[int]) -> None:
    """Make the folder this run's, or find that it is."""
    plan = {"recipe": recipe.to_dict(), "seeds": seeds, "group": GROUP}
    text = json.dumps(plan, indent=2, default=str)
    path = place / _PLAN
    try:
        place.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if path.read_text(encoding="utf-8") != text:
                raise OutputError(f"{place}: belongs to a run of other seeds or another recipe; choose another folder")
        elif any(place.iterdir()):
            raise OutputError(f"{place}: holds other files; choose another folder")
        else:
            _write(path, text.encode())
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{place}: cannot be written: {error.strerror or error}") from error


def _in_processes(
    recipe: Recipe,
    groups: list[list[int]],
    arrays: Arrays,
    place: Path,
    workers: int,
    report: Callable[[int], object],
) -> None:
    tasks = [(recipe, group, arrays, place, "cpu") for group in groups]
    try:
        run_counted(_train_group, tasks, workers, report)
    except BrokenProcessPool:
        raise OutputError(f"{place}: a process ended suddenly (out of memory?); the same command goes on") from None


def _train_group(
    recipe: Recipe, group: list[int], arrays: Arrays, place: Path, device: str, report: Callable[[int], object]
) -> None:
    population = Population(recipe, group, arrays, device)
    checkpoint = place / f"group-{group[0]}.checkpoint"
    if checkpoint.exists():
        population.load_state(*_read(checkpoint))
        report(population.step * len(group))
    saved = time.monotonic()
    while population.step < recipe.steps:
        population.run(until=population.step + 20, progress=report)
        if time.monotonic() - saved > _SECONDS:
            _save(checkpoint, *population.state())
            saved = time.monotonic()
    members, states = population.finish()
    tensors = {
        f"{seed}.{name}": values for seed, state in zip(group, states, strict=True) for name, values in state.items()
    }
    _save(_result_path(place, group), tensors, {"members": [dataclasses.asdict(member) for member in members]})
    checkpoint.unlink(missing_ok=True)


def _result_path(place: Path, group: list[int]) -> Path:
    return place / f"group-{group[0]}.safetensors"


def _read_result(place: Path, group: list[int]) -> tuple[list[Member], list[dict[str, Tensor]]]:
    tensors, meta = _read(_result_path(place, group))
    members = [
        Member(**{**values, "history": [(step, accuracy) for step, accuracy in values["history"]]})
        for values in meta["members"]
    ]
    states: list[dict[str, Tensor]] = [{} for _ in group]
    for name, values in tensors.items():
        seed, _, key = name.partition(".")
        states[group.index(int(seed))][key] = values
    return members, states


def _save(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    whole = {name: values.contiguous() for name, values in tensors.items()}
    try:
        _write(path, safetensors.torch.save(whole, {"json": json.dumps(meta)}))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}; the same command goes on") from error


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, json.loads(file.metadata()["json"])
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise OutputError(f"{path}: damaged ({error}); remove it, and the same command makes it again") from None
