"""A folder with Parquet, card and checksums that `load_dataset(folder)` reads, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq

from mnist1d_hf.data.generator import generate
from mnist1d_hf.data.schema import Mnist1dBuilderConfig, to_table
from mnist1d_hf.errors import OutputError
from mnist1d_hf.export.card import folder_card
from mnist1d_hf.export.folder import CARD, SUMS, read_sums, strange_files, sums_text
from mnist1d_hf.export.store import Store


def export(
    config: Mnist1dBuilderConfig,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Path:
    """Write `config` as Parquet, one file per split, with a card and checksums. The same arguments give the same bytes.

    The folder is written beside `output` and renamed: an interruption never leaves half of one under that name.

    Args:
        config: from `Mnist1dBuilderConfig.resolve`.
        output: the folder to make.
        overwrite: replace an earlier export; any other folder is refused.
        progress: called with the number of samples just generated.

    Returns:
        The folder.

    Raises:
        OutputError: (an `OSError`) the target exists, or cannot be written.

    >>> folder = export(Mnist1dBuilderConfig.resolve("default", {"seed": 7}), "seven")
    >>> sorted(path.name for path in folder.iterdir())
    ['README.md', 'SHA256SUMS', 'data']
    """
    target = Path(os.path.abspath(os.path.expanduser(output)))
    _remove_leftovers(target)
    _check_target(target, overwrite)
    made = generate(config.generator, config.templates, progress)
    with _whole_folder(target) as folder:
        data = folder / "data"
        data.mkdir()
        edges = {"train": (0, made.num_train), "test": (made.num_train, len(made.x))}
        schema = config.features.arrow_schema.remove_metadata()
        for split, (start, stop) in edges.items():
            # Without the library's own schema metadata, which older releases of datasets cannot read.
            table = to_table(made, config, start, stop).select(schema.names).cast(schema)
            pq.write_table(table, data / f"{split}-00000-of-00001.parquet")
        sizes = {split: (data / f"{split}-00000-of-00001.parquet").stat().st_size for split in edges}
        (folder / CARD).write_text(folder_card(config, sizes), encoding="utf-8")
        store = Store(folder)
        store.write(SUMS, sums_text({name: store.digest(name) for name in store.names()}).encode())
    return target


def _check_target(target: Path, overwrite: bool) -> None:
    """Refuse a target whose replacement would cost somebody's data."""
    if not os.path.lexists(target):
        return
    if target.is_dir() and not any(target.iterdir()):
        return
    if not overwrite:
        raise OutputError(f"{target}: exists already; choose another --output, or replace it with --overwrite")
    if target.is_symlink() or not target.is_dir() or not (target / SUMS).is_file():
        raise OutputError(
            f"{target}: not a folder made by mnist1d-hf build, so it is not overwritten; remove it yourself"
        )
    store = Store(target)
    strange = strange_files(store, read_sums(store))
    if strange:
        raise OutputError(f"{target}: holds {strange[0]}, which no build made, so it is not overwritten; move it first")


@contextlib.contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
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


def _remove_leftovers(target: Path) -> None:
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
