"""A folder appears under its name whole or not at all: written beside it, renamed at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mnist1d_hf.errors import OutputError
from mnist1d_hf.export.folder import SUMS, read_sums, strange_files
from mnist1d_hf.files import Store


def check_target(target: Path, overwrite: bool, command: str = "build") -> None:
    """Refuse a target whose replacement would cost somebody's data.

    Raises:
        OutputError: it exists and may not be replaced, or holds what no run of the command made.
    """
    if not os.path.lexists(target):
        return
    if target.is_dir() and not any(target.iterdir()):
        return
    if not overwrite:
        raise OutputError(f"{target}: exists already; choose another --output, or replace it with --overwrite")
    if target.is_symlink() or not target.is_dir() or not (target / SUMS).is_file():
        raise OutputError(
            f"{target}: not a folder made by mnist1d-hf {command}, so it is not overwritten; remove it yourself"
        )
    store = Store(target)
    strange = strange_files(store, read_sums(store))
    if strange:
        raise OutputError(
            f"{target}: holds {strange[0]}, which no {command} made, so it is not overwritten; move it first"
        )


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder that takes the name `target` at the end, or is removed if anything goes wrong."""
    draft = target.with_name(f".{target.name}.incomplete-{os.getpid()}")
    try:
        draft.mkdir(parents=True)
        yield draft
        for path in (*(path for path in draft.rglob("*") if not path.is_dir()), draft):
            _sync(path)
        _replace(draft, target)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}; nothing was kept") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(draft: Path, target: Path) -> None:
    if target.is_dir() and any(target.iterdir()):
        old = target.with_name(f".{target.name}.replaced-{os.getpid()}")
        os.replace(target, old)
        try:
            os.replace(draft, target)
        except BaseException:  # a signal, too, must not leave the old folder aside
            if not target.exists():
                os.replace(old, target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(draft, target)


def remove_leftovers(target: Path) -> None:
    """Clear up after builds that were killed: remove their drafts, put a folder back that they had moved aside."""
    for path in target.parent.glob(f".{target.name}.*-*"):
        kind, _, number = path.name.removeprefix(f".{target.name}.").rpartition("-")
        if kind not in ("incomplete", "replaced") or not number.isdigit() or _alive(int(number)):
            continue
        if kind == "replaced" and not target.exists():
            os.replace(path, target)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
