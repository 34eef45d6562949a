"""Running a study in a run folder (see `mnist1d_hf.runs`): the units that are left, then table, verdict and figure.

study.json      the study, its settings, versions, device
units/KEY.json  the rows of a finished unit
table.parquet   all rows
figure.png
verdict.json    the claims, and the checksum of the table that they were computed from
cost.json       seconds of one core that each unit took, and on which machine
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import mnist1d_hf
from mnist1d_hf import plots, runs
from mnist1d_hf.data.config import check_integer
from mnist1d_hf.errors import InvalidValueError, OutputError
from mnist1d_hf.files import write_errors
from mnist1d_hf.processes import Report
from mnist1d_hf.runs import RunFolder
from mnist1d_hf.studies.claims import Claim, headline
from mnist1d_hf.studies.frames import from_parquet, to_parquet
from mnist1d_hf.studies.settings import Settings
from mnist1d_hf.studies.study import Context, Study, Unit

FORMAT = 1  # of the table and the files beside it
MANIFEST, TABLE, FIGURE, VERDICT, COST = "study.json", "table.parquet", "figure.png", "verdict.json", "cost.json"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a study found, and in which folder it is kept."""

    table: pd.DataFrame
    claims: list[Claim]
    folder: Path


class Output:
    """The folder of a study's run.

    Args:
        folder: of a study, or one that is empty or not there.

    Raises:
        InvalidValueError: it is not on this machine.
        OutputError: it is a file.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        if "://" in os.fspath(folder):
            raise InvalidValueError(f"{os.fspath(folder)}: expected a folder of this machine")
        self.run = RunFolder(folder, MANIFEST)
        self.store = self.run.store
        self.folder = Path(self.store.place)

    def manifest(self) -> dict[str, Any]:
        """Study, settings, format, version of this package, and device.

        Raises:
            OutputError: the folder is no study's, or its manifest is damaged.
        """
        found = self.run.settings()
        if not {"study", "settings", "format"} <= found.keys() or not isinstance(found["settings"], dict):
            raise OutputError(f"{self.folder / MANIFEST}: damaged (fields are missing); choose another --output")
        return found

    def rows(self, key: str) -> tuple[list[dict[str, Any]], float]:
        """The rows of a finished unit, and how many seconds of a core it took.

        Raises:
            OutputError: its file is damaged.
        """
        found = json.loads(self.run.get(_file_name(key)))
        return found["rows"], found["seconds"]

    def finish(self, table: bytes, claims: Sequence[Claim], cost: dict[str, Any]) -> None:
        """Keep the table (a Parquet file), and what follows from it."""
        with write_errors(self.folder):
            self.store.write(TABLE, table)
            self.store.write(COST, to_text(cost).encode())
            self.store.write(VERDICT, to_text(verdict(claims, table)).encode())

    def table(self) -> pd.DataFrame:
        """The table of a finished study.

        Raises:
            OutputError: there is none, or it is not the one that the verdict was computed from.
        """
        if not self.store.exists(TABLE):
            raise OutputError(f"{self.folder}: no {TABLE}; run the study first, without --verdict")
        data = self.store.read(TABLE)
        table = from_parquet(data, self.folder / TABLE)
        if self.verdict().get("table_sha256") != hashlib.sha256(data).hexdigest():
            raise OutputError(
                f"{self.folder / TABLE}: its checksum is not that in {VERDICT}: one of them is damaged or of another "
                f"run; the study's command without --verdict makes both again from its units"
            )
        return table

    def verdict(self) -> dict[str, Any]:
        """The content of verdict.json."""
        return runs.read_json(self.store, VERDICT)

    def cost(self) -> dict[str, Any]:
        """The content of cost.json."""
        return runs.read_json(self.store, COST)


class Job:
    """A study with settings and a folder: what is left to do, and doing it.

    Args:
        study: which.
        settings: of its own type.
        folder: its output directory, claimed here; what is finished there stays.
        num_proc: processes; by default the cores on a CPU, one on a GPU.
        device: "cpu", "cuda", ...

    Raises:
        InvalidValueError: no such device, fewer than one process.
        OutputError: the directory belongs to something else, another process is at work in it, or a unit in it is
            damaged.
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
        self._manifest = manifest(study.name, settings, device)
        with self.output.run.claimed(self._manifest):
            self._left = self.output.run.left(
                [runs.Unit(_file_name(unit.key), _do_unit, (unit, device), unit.work) for unit in self.units]
            )
        names = {unit.key for unit in self._left}
        self.todo = [unit for unit in self.units if _file_name(unit.key) in names]
        self.workers = 1 if device != "cpu" else max(1, min(workers, len(self.todo)))

    @property
    def work(self) -> int:
        """The amount of work of all units, done or not."""
        return sum(unit.work for unit in self.units)

    def run(self, progress: Callable[[int], object] | None = None) -> Outcome:
        """Do what is left; `progress` is called with the amounts of work done, first that of earlier runs."""
        report = progress or (lambda _: None)
        with self.output.run.claimed(self._manifest):
            report(self.work - sum(unit.work for unit in self.todo))
            engine = runs.in_processes(self.workers) if self.workers > 1 else _in_this_process
            self.output.run.do(self._left, engine, report)
            return self._finish()

    def _finish(self) -> Outcome:
        rows, seconds = [], {}
        for unit in self.units:
            some, seconds[unit.key] = self.output.rows(unit.key)
            rows += some
        data = to_parquet(rows)
        table = from_parquet(data, self.output.folder / TABLE)
        claims = self.study.claims(table)
        plots.save(self.study.figure(table), self.output.folder / FIGURE)
        self.output.finish(data, claims, {"machine": machine(), "seconds": seconds})
        return Outcome(table, claims, self.output.folder)


def _in_this_process(function: Callable[..., object], tasks: Sequence[tuple[Any, ...]], report: Report) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in other processes: the number of threads decides the order of sums
    try:
        runs.in_this_process(function, tasks, report)
    finally:
        torch.set_num_threads(threads)


def _do_unit(unit: Unit, device: str, report: Report) -> bytes:
    started = time.process_time()
    rows = unit.function(**unit.arguments, context=Context(device, report))
    seconds = round(time.process_time() - started, 2)
    return json.dumps({"seconds": seconds, "rows": list(rows)}, default=lambda value: value.tolist()).encode()


def _file_name(key: str) -> str:
    return f"{key}.json"


def manifest(study: str, settings: Settings, device: str) -> dict[str, Any]:
    """The content of study.json: rows with the same manifest may stand in one table."""
    return {
        "study": study,
        "settings": settings.to_dict(),
        "format": FORMAT,
        "version": mnist1d_hf.__version__,
        "device": device.partition(":")[0],
    }


def verdict(claims: Sequence[Claim], table: bytes) -> dict[str, Any]:
    """The content of verdict.json."""
    return {
        "headline": headline(claims),
        "claims": [claim.to_dict() for claim in claims],
        "table_sha256": hashlib.sha256(table).hexdigest(),
    }


def to_text(values: dict[str, Any]) -> str:
    """JSON that people read too."""
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


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
