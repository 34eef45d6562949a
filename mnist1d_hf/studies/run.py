"""Running a study in a run folder (see `mnist1d_hf.runs`): the units that are left, then table, verdict and figure.

study.json      the study, its settings, versions, device
units/KEY.json  the rows of a finished unit
table.parquet   all rows
figure.png
verdict.json    claims and findings, and the checksum of the table that they were computed from
cost.json       seconds of one core that each unit took, and on which machine
"""

from __future__ import annotations

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
from mnist1d_hf.errors import InvalidValueError, OutputError, require
from mnist1d_hf.files import write_errors
from mnist1d_hf.processes import Report
from mnist1d_hf.runs import RunFolder
from mnist1d_hf.studies.claims import chance, headline
from mnist1d_hf.studies.frames import from_parquet, to_parquet
from mnist1d_hf.studies.settings import Settings
from mnist1d_hf.studies.study import Context, Study, Unit

FORMAT = 1  # of the table and the files beside it
MANIFEST, TABLE, FIGURE, VERDICT, COST = "study.json", "table.parquet", "figure.png", "verdict.json", "cost.json"


class Output:
    """The folder of a study's run, on this machine; or one that is empty or not there yet."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        if "://" in os.fspath(folder):
            raise InvalidValueError(f"{os.fspath(folder)}: expected a folder of this machine")
        self.run = RunFolder(folder, MANIFEST)
        self.store = self.run.store
        self.folder = Path(self.store.place)

    def manifest(self) -> dict[str, Any]:
        """Study, settings, format, version of this package, and device; an `OutputError` if it is damaged."""
        found = self.run.settings()
        if not {"study", "settings", "format"} <= found.keys() or not isinstance(found["settings"], dict):
            raise OutputError(f"{self.folder / MANIFEST}: damaged (fields are missing); choose another --output")
        return found

    def rows(self, key: str) -> tuple[list[dict[str, Any]], float]:
        """The rows of a finished unit, and how many seconds of a core it took; an `OutputError` if it is damaged."""
        found = json.loads(self.run.get(f"{key}.json"))
        return found["rows"], found["seconds"]

    def finish(self, study: Study[Any], data: bytes, cost: dict[str, Any]) -> pd.DataFrame:
        """Keep and return a table (a Parquet file), with its cost, and figure, claims and findings that follow."""
        table = from_parquet(data)
        plots.save(study.figure(table), self.folder / FIGURE)
        with write_errors(self.folder):
            self.store.write(TABLE, data)
            self.store.write(COST, _to_text(cost))
            self.store.write(VERDICT, _to_text(verdict(study, table, data)))
        return table

    def table(self) -> pd.DataFrame:
        """The table of a finished study; an `OutputError` if it is not the one that the verdict was computed from."""
        if not self.store.exists(TABLE):
            raise OutputError(f"{self.folder}: no {TABLE}; run the study first, without --verdict")
        data = self.store.read(TABLE)
        if self.verdict().get("table_sha256") != hashlib.sha256(data).hexdigest():
            raise OutputError(
                f"{self.folder / TABLE}: its checksum is not that in {VERDICT}: one of them is damaged or of another "
                f"run; the study's command without --verdict makes both again from its units"
            )
        return from_parquet(data)

    def verdict(self) -> dict[str, Any]:
        """The content of verdict.json."""
        return runs.read_json(self.store, VERDICT)

    def cost(self) -> dict[str, Any]:
        """The content of cost.json."""
        return runs.read_json(self.store, COST)


class Job:
    """A study with settings and a folder: what is left to do, and doing it.

    Args:
        settings: of the study's own type.
        folder: its output directory, claimed here; what is finished there stays.
        num_proc: processes; by default the cores on a CPU, one on a GPU.
        device: "cpu", "cuda", ...

    Attributes:
        units, todo: all units, and those that are not done.
        work: the amount of work of all units, done or not.
        workers: the number of processes.

    Raises:
        InvalidValueError: no such device, fewer than one process.
        MissingExtraError: a library that the study needs is not installed.
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
        require(*study.libraries, extra="studies")
        _check_device(device)
        self.study, self.output, self.units = study, Output(folder), checked_units(study, settings)
        self.work = sum(unit.work for unit in self.units)
        self._manifest = {
            "study": study.name,
            "settings": settings.to_dict(),
            "format": FORMAT,
            "version": mnist1d_hf.__version__,
            "device": device.partition(":")[0],
        }
        workers = check_integer("num_proc", num_proc, 1) if num_proc is not None else (os.cpu_count() or 1)
        tasks = [runs.Unit(f"{unit.key}.json", _do_unit, (unit, settings, device), unit.work) for unit in self.units]
        with self.output.run.claimed(self._manifest):
            self._left = self.output.run.left(tasks)
        self.todo: list[Unit] = [task.arguments[0] for task in self._left]
        self.workers = 1 if device != "cpu" else max(1, min(workers, len(self.todo)))

    def run(self, report: Report = lambda _: None) -> pd.DataFrame:
        """Do what is left, and return the table; all that follows from it is in the folder.

        `report` is called with the amounts of work done, first that of earlier runs.
        """
        with self.output.run.claimed(self._manifest):
            report(self.work - sum(unit.work for unit in self.todo))
            engine = runs.in_processes(self.workers) if self.workers > 1 else _in_this_process
            self.output.run.do(self._left, engine, report)
            found = {unit.key: self.output.rows(unit.key) for unit in self.units}
            seconds = {key: cost for key, (_, cost) in found.items()}
            data = to_parquet([row for rows, _ in found.values() for row in rows])
            return self.output.finish(self.study, data, {"machine": machine(), "seconds": seconds})


def _in_this_process(function: Callable[..., object], tasks: Sequence[tuple[Any, ...]], report: Report) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in other processes: the number of threads decides the order of sums
    try:
        runs.in_this_process(function, tasks, report)
    finally:
        torch.set_num_threads(threads)


def _do_unit(unit: Unit, settings: Settings, device: str, report: Report) -> bytes:
    started = time.process_time()
    rows = unit.function(settings, context=Context(device, report), **unit.arguments)
    seconds = round(time.process_time() - started, 2)
    return json.dumps({"seconds": seconds, "rows": list(rows)}, default=lambda value: value.tolist()).encode()


def verdict(study: Study[Any], table: pd.DataFrame, data: bytes) -> dict[str, Any]:
    """The content of verdict.json, from a table and the Parquet file that it came from."""
    claims, findings = study.claims(table), study.findings(table)
    return {
        "headline": headline(claims, findings),
        "claims": [claim.to_dict() for claim in claims],
        "not_reproduced_by_chance": round(chance(claims), 2),
        "findings": [finding.to_dict() for finding in findings],
        "table_sha256": hashlib.sha256(data).hexdigest(),
    }


def _to_text(values: dict[str, Any]) -> bytes:
    """JSON that people read too."""
    return (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()


def checked_units(study: Study[Any], settings: Settings) -> list[Unit]:
    """The units of a study, each under a name of its own that a file can have."""
    units = study.units(settings)
    keys = [unit.key for unit in units]
    for key in keys:
        if keys.count(key) > 1 or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", key):
            raise InvalidValueError(f"{study.name}: expected keys of letters and digits, each once, found {key!r}")
    return units


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device).item()  # "meta" can be given, and has no values
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InvalidValueError(f"device: torch cannot compute on {device!r} here; use cpu") from None


def machine() -> str:
    """Processor and versions, for the record."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = names[0] if names else platform.processor() or platform.machine()
    return f"{cpu}, Python {platform.python_version()}, torch {torch.__version__}"
