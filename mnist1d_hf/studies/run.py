"""Running a study: the units that are not done yet, in processes or here; then table, verdict and figure."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mnist1d_hf import plots
from mnist1d_hf.data.config import check_integer
from mnist1d_hf.errors import InvalidValueError, OutputError
from mnist1d_hf.processes import run_counted
from mnist1d_hf.studies.claims import Claim
from mnist1d_hf.studies.frames import from_parquet, to_parquet
from mnist1d_hf.studies.output import FIGURE, TABLE, Output
from mnist1d_hf.studies.settings import Settings
from mnist1d_hf.studies.study import Context, Study, Unit


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a study found, and where it lies."""

    table: pd.DataFrame
    claims: list[Claim]
    folder: Path


class Job:
    """A study with settings and a place: what there is to do, and doing it.

    Args:
        study: which.
        settings: of its own type.
        folder: its output directory, claimed here; what is finished there stays.
        num_proc: processes; by default the cores on a CPU, one on a GPU.
        device: "cpu", "cuda", ...

    Raises:
        InvalidValueError: no such device, fewer than one process.
        OutputError: the directory belongs to something else, or a unit in it is damaged.
    """

    def __init__(
        self,
        study: Study[Any],
        settings: Settings,
        folder: str | os.PathLike[str],
        num_proc: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.study, self.settings, self.device = study, settings, check_device(device)
        self.output = Output(folder)
        self.units = checked_units(study, settings)
        workers = check_integer("num_proc", num_proc, 1) if num_proc is not None else (os.cpu_count() or 1)
        self.output.claim(study.name, settings, device)
        self.todo = [unit for unit in self.units if not self.output.has(unit.key)]
        for unit in self.units:
            if unit not in self.todo:
                self.output.get(unit.key)  # a damaged one is to be known before hours of work
        self.workers = 1 if device != "cpu" else max(1, min(workers, len(self.todo)))

    @property
    def work(self) -> int:
        """Of all units, done or not."""
        return sum(unit.work for unit in self.units)

    def run(self, progress: Callable[[int], object] | None = None) -> Outcome:
        """Do what is left to do; `progress` is called with the amounts of work done, those of earlier runs first."""
        report = progress or (lambda _: None)
        report(self.work - sum(unit.work for unit in self.todo))
        if self.workers > 1:
            tasks = [(unit, self.output.store.place, self.device) for unit in self.todo]
            try:
                run_counted(do_unit, tasks, self.workers, report)
            except BrokenProcessPool:
                raise OutputError(
                    f"{self.output.folder}: a process ended suddenly (out of memory?); the same command goes on"
                ) from None
        else:
            self._run_here(report)
        return self._finish()

    def _run_here(self, report: Callable[[int], object]) -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as in the processes: the number of threads decides the order of sums
        try:
            for unit in self.todo:
                do_unit(unit, self.output.store.place, self.device, report)
        finally:
            torch.set_num_threads(threads)

    def _finish(self) -> Outcome:
        rows, seconds = [], {}
        for unit in self.units:
            some, seconds[unit.key] = self.output.get(unit.key)
            rows += some
        data = to_parquet(rows)
        table = from_parquet(data, self.output.folder / TABLE)
        claims = self.study.claims(table)
        plots.save(self.study.figure(table), self.output.folder / FIGURE)
        self.output.finish(data, claims, {"machine": machine(), "seconds": seconds})
        return Outcome(table, claims, self.output.folder)


def do_unit(unit: Unit, place: str, device: str, report: Callable[[int], object]) -> None:
    """Do a unit and keep its rows."""
    told = 0

    def count(amount: int) -> None:
        nonlocal told
        amount = min(amount, unit.work - told)  # an estimate that was too low must not go beyond the whole
        told += amount
        report(amount)

    started = time.process_time()
    rows = unit.function(**unit.arguments, context=Context(device, count))
    Output(place).put(unit.key, rows, time.process_time() - started)
    count(unit.work - told)


def checked_units(study: Study[Any], settings: Settings) -> list[Unit]:
    """The units of a study, each under a name of its own that a file can have."""
    units = study.units(settings)
    keys = [unit.key for unit in units]
    for key in keys:
        if keys.count(key) > 1 or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", key):
            raise InvalidValueError(f"{study.name}: expected keys of letters and digits, each once, found {key!r}")
    return units


def check_device(device: str) -> str:
    """The device, if torch has it.

    Raises:
        InvalidValueError: it has not.
    """
    try:
        torch.zeros(1, device=device).item()  # "meta" can be given, and has no values
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InvalidValueError(f"device: torch cannot compute on {device!r} here; use cpu") from None
    return device


def machine() -> str:
    """Processor and versions, for the record."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.processor() or platform.machine()
    return f"{cpu}, Python {platform.python_version()}, torch {torch.__version__}"
