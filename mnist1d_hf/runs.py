"""A run folder: a folder of work that can be stopped anywhere, and is continued by the same command.

    MANIFEST     JSON with the settings, written first: the folder belongs to them, and other settings are refused
    UNITS/KEY    the result of a finished unit of work; the first line is a checksum of the rest
    UNITS/lock   held by the process that is at work

`build` (build.json, .build/), `train` (run.json, units/) and `study` (study.json, units/) use it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import filelock

from mnist1d_hf.errors import OutputError
from mnist1d_hf.files import Store, is_draft, write_errors
from mnist1d_hf.processes import ProcessDiedError, Report, run_in_processes

GOES_ON = "; what is finished is kept, the same command goes on from there"


@dataclasses.dataclass(frozen=True)
class Unit:
    """A piece of work that is done in one go and kept when it is done.

    Attributes:
        key: its name, and that of its file.
        function: of a module. `function(*arguments, report)` returns the bytes to be kept; `report` takes the amount of
            work that was just done.
        arguments: values that can be pickled.
        work: the amount of work, for the progress bar.
    """

    key: str
    function: Callable[..., bytes]
    arguments: tuple[Any, ...]
    work: int


# Calls `function(*task, report)` for each task, wherever.
Engine = Callable[[Callable[..., object], Sequence[tuple[Any, ...]], Report], None]


def in_this_process(function: Callable[..., object], tasks: Sequence[tuple[Any, ...]], report: Report) -> None:
    """An engine: one task after the other, here."""
    for task in tasks:
        function(*task, report)


def in_processes(workers: int) -> Engine:
    """An engine: so many processes on this machine."""
    return functools.partial(run_in_processes, workers=workers)


class RunFolder:
    """A folder that belongs to a run with some settings.

    Args:
        place: a path, or a URL that fsspec knows.
        manifest: the name of the file with the settings.
        units: the name of the folder for what is finished.
        remedy: what to do about a folder of other settings, for error messages.

    Raises:
        OutputError: the place is a file.

    >>> folder = RunFolder("memory://run", "run.json")
    >>> with folder.claimed({"seed": 3}):
    ...     folder.put("first", b"result")
    >>> folder.has("first"), folder.get("first")
    (True, b'result')
    >>> folder.check({"seed": 4})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    mnist1d_hf.errors.OutputError: memory://run: belongs to other settings (seed is 3 there and 4 here); ...
    """

    def __init__(
        self,
        place: str | os.PathLike[str],
        manifest: str,
        *,
        units: str = "units",
        remedy: str = "choose another --output",
    ) -> None:
        self.store, self.remedy = Store(place), remedy
        self._manifest, self._units = manifest, units
        if self.store.folder is not None and self.store.folder.exists() and not self.store.folder.is_dir():
            raise OutputError(f"{self}: expected a folder, found a file; choose another --output")

    def __str__(self) -> str:
        return str(self.store)

    @contextlib.contextmanager
    def claimed(self, settings: Mapping[str, Any]) -> Iterator[None]:
        """Make the folder this run's, or find that it is, and keep other processes out for the length of the block.

        Args:
            settings: all that decides the results, in types that JSON has.

        Raises:
            OutputError: the folder belongs to other settings, holds other files, cannot be written, or another process
                is at work in it. Then it is left as it is.
        """
        with contextlib.ExitStack() as stack:
            with write_errors(self, GOES_ON):
                self.check(settings)
                stack.enter_context(self.locked())
                self.check(settings)  # again: meanwhile another process may have claimed it
                if not self.store.exists(self._manifest):
                    self.store.write(self._manifest, json.dumps(settings, indent=2).encode())
                self.remove_drafts()
            yield

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out. The system frees the lock when a process ends, however it ends.

        Only for folders of this machine: object storage has no locks.
        """
        if self.store.folder is None:
            yield
            return
        path = self.store.folder / self._units / "lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(path, timeout=0):
                yield
        except filelock.Timeout:
            raise OutputError(
                f"{self}: another process is at work in this folder; wait for its end, or choose another --output"
            ) from None

    def check(self, settings: Mapping[str, Any]) -> None:
        """Compare the folder with these settings.

        Raises:
            OutputError: it belongs to other settings, or has no manifest and holds other files.
        """
        if not self.store.exists(self._manifest):
            for name in self.store.names():
                if not is_draft(name) and name != f"{self._units}/lock":
                    raise OutputError(f"{self}: holds other files ({name}); choose another --output")
            return
        found = dict(_leaves(self.settings()))
        wanted = dict(_leaves(json.loads(json.dumps(settings))))
        for name in {**wanted, **found}:
            if found.get(name) != wanted.get(name):
                there, here = (_text(values.get(name)) for values in (found, wanted))
                raise OutputError(
                    f"{self}: belongs to other settings ({name} is {there} there and {here} here); {self.remedy}"
                )

    def settings(self) -> dict[str, Any]:
        """What the manifest says.

        Raises:
            OutputError: there is none, or it is damaged.
        """
        return read_json(self.store, self._manifest, self.remedy)

    def _path(self, key: str) -> str:
        return f"{self._units}/{key}"

    def _checksum(self, key: str, data: bytes) -> bytes:
        """Of a unit; it covers key and settings, so that no unit is taken for another, or for that of another run."""
        about = json.dumps([key, self.settings()], sort_keys=True).encode()
        return hashlib.sha256(about + data).hexdigest().encode()

    def has(self, key: str) -> bool:
        """Whether a unit is finished."""
        return self.store.exists(self._path(key))

    def put(self, key: str, data: bytes) -> None:
        """Keep the result of a unit."""
        with write_errors(self, GOES_ON):
            self.store.write(self._path(key), self._checksum(key, data) + b"\n" + data)

    def get(self, key: str) -> bytes:
        """The result of a finished unit.

        Raises:
            OutputError: it is damaged.
        """
        checksum, _, data = self.store.read(self._path(key)).partition(b"\n")
        if checksum != self._checksum(key, data):
            raise OutputError(
                f"{self}/{self._path(key)}: damaged, or of another run (its checksum differs); remove it, "
                f"and the same command makes it again"
            )
        return data

    def remove(self, key: str) -> None:
        """Forget a unit."""
        self.store.remove(self._path(key))

    def left(self, units: Sequence[Unit]) -> list[Unit]:
        """The units that are not finished. The others are read: damage is better known before hours of work.

        Raises:
            OutputError: a finished unit is damaged.
        """
        for unit in units:
            if self.has(unit.key):
                self.get(unit.key)
        return [unit for unit in units if not self.has(unit.key)]

    def do(self, units: Sequence[Unit], engine: Engine, report: Report) -> None:
        """Do these units and keep their results; `report` is called with the amount of work just done.

        Raises:
            OutputError: a result cannot be written, or a process ended suddenly.
        """
        try:
            engine(_do_unit, [(self, unit) for unit in units], report)
        except ProcessDiedError:
            raise OutputError(f"{self}: a process ended suddenly (out of memory?){GOES_ON}") from None

    def remove_units(self) -> None:
        """Forget all units."""
        self.store.remove(self._units)

    def remove_drafts(self) -> None:
        """Remove what processes that were killed have left."""
        for name in filter(is_draft, self.store.names()):
            self.store.remove(name)


def _do_unit(folder: RunFolder, unit: Unit, report: Report) -> None:
    told = 0

    def count(amount: int) -> None:
        nonlocal told
        amount = min(amount, unit.work - told)  # an estimate that was too low must not go beyond the whole
        told += amount
        report(amount)

    folder.put(unit.key, unit.function(*unit.arguments, count))
    count(unit.work - told)


def read_json(store: Store, name: str, remedy: str = "") -> dict[str, Any]:
    """An object from a JSON file.

    Raises:
        OutputError: there is no such file, or it is damaged.
    """
    remedy = f"; {remedy}" if remedy else ""
    try:
        found = json.loads(store.read(name))
        if not isinstance(found, dict):
            raise ValueError("expected an object")
        return found
    except FileNotFoundError:
        raise OutputError(f"{store}: no {name}; expected the output of a finished run") from None
    except (NotADirectoryError, IsADirectoryError):
        raise OutputError(f"{store}: expected a folder with a file {name}{remedy}") from None
    except ValueError as error:
        raise OutputError(f"{store}/{name}: damaged ({error}){remedy}") from None


def _leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values; those of objects inside, too."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value)
        else:
            yield name, value


def _text(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
