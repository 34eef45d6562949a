"""A folder with Parquet, card and checksums that `load_dataset(folder)` reads, written whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import pyarrow.parquet as pq
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, DatasetCardData

from mnist1d_hf.data.generator import generate
from mnist1d_hf.data.schema import CITATION, HOMEPAGE, LICENSE, Mnist1dBuilderConfig, dataset_info, to_table
from mnist1d_hf.errors import OutputError

SUMS = "SHA256SUMS"  # in the format of sha256sum: `sha256sum --check SHA256SUMS` works too
CARD = "README.md"


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
        (folder / CARD).write_text(_card(config, data), encoding="utf-8")
        (folder / SUMS).write_text(
            "".join(f"{file_checksum(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder)),
            encoding="utf-8",
        )
    return target


def verify_folder(folder: str | os.PathLike[str]) -> int:
    """Compare every file of an export with its checksum.

    Returns:
        The number of files compared.

    Raises:
        OutputError: (an `OSError`) no checksum file, or a file that is missing, altered or unknown to it.
    """
    folder = Path(folder)
    expected = _read_sums(folder)
    for name, digest in expected.items():
        if not (folder / name).is_file():
            raise OutputError(f"{folder}: {name} is missing; build the folder again with --overwrite")
        found = file_checksum(folder / name)
        if found != digest:
            raise OutputError(
                f"{folder}: {name} is damaged: expected SHA-256 {digest}, found {found}; "
                f"build it again with --overwrite"
            )
    strange = _strange_files(folder, expected)
    if strange:
        raise OutputError(
            f"{folder}: {strange[0]} is not part of the build ({SUMS} does not list it); move it elsewhere"
        )
    return len(expected)


def file_checksum(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _read_sums(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        pairs = [line.split("  ", 1) for line in lines]
        return {name: digest for digest, name in pairs}
    except FileNotFoundError:
        raise OutputError(f"{folder}: no {SUMS} there; expected a folder made by mnist1d-hf build") from None
    except (ValueError, NotADirectoryError) as error:
        raise OutputError(f"{folder / SUMS}: expected lines of a checksum and a file name ({error})") from None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def _strange_files(folder: Path, known: dict[str, str]) -> list[str]:
    names = (path.relative_to(folder).as_posix() for path in _files(folder))
    return [name for name in names if name not in known and name != SUMS]


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
    strange = _strange_files(target, _read_sums(target))
    if strange:
        raise OutputError(f"{target}: holds {strange[0]}, which no build made, so it is not overwritten; move it first")


@contextlib.contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """A new folder that takes the name `target` at the end, or is removed if anything goes wrong."""
    draft = target.with_name(f".{target.name}.incomplete-{os.getpid()}")
    try:
        draft.mkdir(parents=True)
        yield draft
        for path in (*_files(draft), draft):
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


def _card(config: Mnist1dBuilderConfig, data: Path) -> str:
    """The card: YAML that tells `datasets` where the splits are and what the columns mean, and a few lines to read."""
    info = dataset_info(config)
    written = {split: (data / f"{split}-00000-of-00001.parquet").stat().st_size for split in info.splits}
    info.download_size = sum(written.values())
    metadata = DatasetCardData(license=LICENSE.lower(), pretty_name="MNIST-1D", task_categories=["other"])
    datasets.info.DatasetInfosDict({"default": info}).to_dataset_card_data(metadata)
    files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in info.splits]
    MetadataConfigs({"default": {"data_files": files}}).to_dataset_card_data(metadata)
    arguments = "\n".join(f"| `{name}` | `{value}` |" for name, value in _options(config).items())
    body = f"""# MNIST-1D ({config.name})

{config.description[0].upper()}{config.description[1:]}.
Made by `mnist1d-hf build`; read with `datasets.load_dataset("path/to/this/folder")`.

| argument | value |
|---|---|
{arguments}

The dataset is by Greydanus and Kobak: <{HOMEPAGE}>.

```bibtex
{CITATION}```
"""
    return str(DatasetCard(f"---\n{metadata.to_yaml()}\n---\n\n{body}"))


def _options(config: Mnist1dBuilderConfig) -> dict[str, object]:
    return {**dataclasses.asdict(config.generator), "dtype": config.dtype, "latents": config.latents}
