"""A folder with Parquet, card and checksums that `load_dataset(folder)` reads, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from mnist1d_hf.data.generator import Generated, generate
from mnist1d_hf.data.schema import Mnist1dBuilderConfig, to_table
from mnist1d_hf.export.card import folder_card
from mnist1d_hf.export.draft import check_target, remove_leftovers, whole_folder
from mnist1d_hf.export.folder import CARD, SUMS, sums_text
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
    remove_leftovers(target)
    check_target(target, overwrite)
    made = generate(config.generator, config.templates, progress)
    with whole_folder(target) as folder:
        sizes = write_splits(made, config, folder / "data")
        (folder / CARD).write_text(folder_card(config, sizes), encoding="utf-8")
        store = Store(folder)
        store.write(SUMS, sums_text({name: store.digest(name) for name in store.names()}).encode())
    return target


def write_splits(made: Generated, config: Mnist1dBuilderConfig, folder: Path) -> dict[str, int]:
    """One Parquet file for each split of `made`; the bytes of each."""
    folder.mkdir(parents=True)
    edges = {"train": (0, made.num_train), "test": (made.num_train, len(made.x))}
    schema = config.features.arrow_schema.remove_metadata()
    sizes = {}
    for split, (start, stop) in edges.items():
        path = folder / f"{split}-00000-of-00001.parquet"
        # Without the library's own schema metadata, which older releases of datasets cannot read.
        table = to_table(made, config, start, stop).select(schema.names).cast(schema)
        pq.write_table(table, path, compression="zstd", use_dictionary=["label"])  # signals never repeat a number
        sizes[split] = path.stat().st_size
    return sizes
