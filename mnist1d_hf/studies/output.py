"""The output directory of a study: whose it is, the units that are done, the table and the verdict.

study.json      the study, its settings, versions, device: made first; another study's directory is refused
units/KEY.json  rows of a finished unit; its first line is the SHA-256 of the rest, which names the run that it is of
table.parquet   all rows
figure.png
verdict.json    the claims, and the checksum of the table that they were computed from
cost.json       seconds of one core that each unit took, and on what machine
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import mnist1d_hf
from mnist1d_hf.errors import InvalidValueError, OutputError
from mnist1d_hf.export.store import Store
from mnist1d_hf.studies.claims import Claim, headline
from mnist1d_hf.studies.frames import Row, from_parquet
from mnist1d_hf.studies.settings import Settings, differences

FORMAT = 1  # of the table and the files beside it
MANIFEST, TABLE, FIGURE, VERDICT, COST = "study.json", "table.parquet", "figure.png", "verdict.json", "cost.json"


class Output:
    """A directory that belongs to one study with some settings on one kind of device.

    Args:
        folder: of a study, or one that is empty or not there.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        if "://" in os.fspath(folder):
            raise InvalidValueError(f"{os.fspath(folder)}: expected a folder of this machine")
        self.store = Store(folder)
        self.folder = Path(self.store.place)

    def claim(self, study: str, settings: Settings, device: str) -> None:
        """Make the directory this study's, or find that it is.

        Raises:
            OutputError: it belongs to another study, other settings, another version or kind of device; it holds other
                files; it cannot be written.
        """
        wanted = manifest(study, settings, device)
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(f"{self.folder}: expected a folder, found a file; choose another --output")
        if self.store.exists(MANIFEST):
            _require_same(self.folder, self.manifest(), wanted)
        elif self.folder.is_dir() and not all(_is_draft(path) for path in self.folder.iterdir()):
            raise OutputError(f"{self.folder}: holds other files; choose another --output")
        else:
            self._write(MANIFEST, to_text(wanted).encode())

    def manifest(self) -> dict[str, Any]:
        """What the directory says of itself.

        Raises:
            OutputError: it is no study's, or damaged.
        """
        found = self._read_json(MANIFEST)
        if not {"study", "settings", "format"} <= found.keys() or not isinstance(found["settings"], dict):
            raise OutputError(f"{self.folder / MANIFEST}: damaged (fields are missing); choose another --output")
        return found

    def has(self, key: str) -> bool:
        """Whether a unit is done."""
        return self.store.exists(_unit_name(key))

    def put(self, key: str, rows: Sequence[Row], seconds: float) -> None:
        """Keep the rows of a finished unit."""
        unit = {"unit": key, "run": self._run(), "seconds": round(seconds, 2), "rows": list(rows)}
        body = json.dumps(unit, default=_plain).encode()
        self._write(_unit_name(key), hashlib.sha256(body).hexdigest().encode() + b"\n" + body)

    def get(self, key: str) -> tuple[list[dict[str, Any]], float]:
        """The rows of a finished unit, and how many seconds of a core it took.

        Raises:
            OutputError: its file is damaged.
        """
        name = _unit_name(key)
        try:
            digest, _, body = self.store.read(name).partition(b"\n")
            if hashlib.sha256(body).hexdigest().encode() != digest:
                raise ValueError("its checksum differs")
            found = json.loads(body)
            if found["unit"] != key:
                raise ValueError(f"it is that of {found['unit']}")
            if found["run"] != self._run():
                raise ValueError("it is of another run, with other settings")
            return list(found["rows"]), float(found["seconds"])
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(
                f"{self.folder / name}: damaged ({error}); remove it, and the same command makes it again, "
                f"all else is kept"
            ) from None

    def finish(self, table: bytes, claims: Sequence[Claim], cost: dict[str, Any]) -> None:
        """Keep the table, a Parquet file, and what follows from it."""
        self._write(TABLE, table)
        self._write(COST, to_text(cost).encode())
        self._write(VERDICT, to_text(verdict(claims, table)).encode())

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
        """The verdict as it was kept."""
        return self._read_json(VERDICT)

    def cost(self) -> dict[str, Any]:
        """The seconds of each unit as they were kept."""
        return self._read_json(COST)

    def _run(self) -> str:
        """What the units of this directory have in common, and those of no other settings."""
        return hashlib.sha256(json.dumps(self.manifest(), sort_keys=True).encode()).hexdigest()[:16]

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads(self.store.read(name))
            if not isinstance(found, dict):
                raise ValueError("expected an object")
            return found
        except FileNotFoundError:
            raise OutputError(f"{self.folder}: no {name}; expected the output of a finished study") from None
        except (NotADirectoryError, IsADirectoryError):
            raise OutputError(f"{self.folder}: expected a folder with a file {name}; choose another --output") from None
        except ValueError as error:
            raise OutputError(f"{self.folder / name}: damaged ({error})") from None

    def _write(self, name: str, data: bytes) -> None:
        try:
            self.store.write(name, data)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{self.folder / name}: cannot be written: {reason}; the same command goes on") from error


def manifest(study: str, settings: Settings, device: str) -> dict[str, Any]:
    """What a directory says of itself: rows with the same manifest may stand in one table."""
    return {
        "study": study,
        "settings": settings.to_dict(),
        "format": FORMAT,
        "version": mnist1d_hf.__version__,
        "device": device.partition(":")[0],
    }


def verdict(claims: Sequence[Claim], table: bytes) -> dict[str, Any]:
    """The claims as they are kept."""
    return {
        "headline": headline(claims),
        "claims": [claim.to_dict() for claim in claims],
        "table_sha256": hashlib.sha256(table).hexdigest(),
    }


def to_text(values: dict[str, Any]) -> str:
    """JSON to be read by people too."""
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def _require_same(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    if found["study"] != wanted["study"]:
        raise OutputError(f"{folder}: belongs to the study {found['study']!r}; choose another --output")
    for name, what in (("format", "table format"), ("version", "version of this package"), ("device", "device")):
        if found.get(name) != wanted[name]:
            raise OutputError(
                f"{folder}: belongs to another {what} ({found.get(name)} there, {wanted[name]} here); "
                f"choose another --output"
            )
    differing = differences(found["settings"], wanted["settings"])
    if differing:
        raise OutputError(f"{folder}: belongs to other settings ({'; '.join(differing)}); choose another --output")


def _is_draft(path: Path) -> bool:
    """Whether it is what a process that was killed has left of a manifest."""
    return path.name.startswith(f".{MANIFEST}.")


def _unit_name(key: str) -> str:
    return f"units/{key}.json"


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy and torch as Python's own."""
    return value.tolist()
