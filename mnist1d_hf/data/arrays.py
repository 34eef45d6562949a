"""A whole split as arrays, in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mnist1d_hf.errors import InvalidTypeError, InvalidValueError, require

if TYPE_CHECKING:
    import torch


def to_numpy(dataset: datasets.Dataset | pa.Table, channels: str | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """A split as arrays: `x` float32 (n, 40) and `label` int64 (n,); the paper's training split has n = 4000 rows.

    `x` is float64 where the dataset was loaded with `dtype="float64"`, and has `final_seq_length` columns.

    Also for a filtered, shuffled, sliced or concatenated dataset, whatever its format, and for an Arrow table, such as
    a stream in the format "arrow" gives them, with `batch` too. Where the rows lie in one Arrow chunk the arrays
    share its memory and are read-only: copy them before writing.

    Args:
        dataset: one split.
        channels: "first" gives `x` an axis for channels as (n, 1, length), for convolutions in PyTorch; "last" as
            (n, length, 1), for Keras and JAX. None gives (n, length).

    Returns:
        `x` (n, length) of the column's dtype, or with an axis for channels, and `label` int64 (n,).

    Raises:
        InvalidTypeError: neither one split of a map-style dataset nor a table.
        InvalidValueError: no columns `x` and `label`, no numbers in them, missing values, signals of unequal length,
            unknown `channels`.

    >>> import mnist1d_hf
    >>> x, label = to_numpy(mnist1d_hf.load_dataset(split="test"))
    >>> x.shape, str(x.dtype), label.shape
    ((1000, 40), 'float32', (1000,))
    >>> to_numpy(mnist1d_hf.load_dataset(split="test"), channels="first")[0].shape
    (1000, 1, 40)
    """
    if channels not in (None, "first", "last"):
        raise InvalidValueError(f"channels: expected 'first', 'last' or None, found {channels!r}")
    if isinstance(dataset, (dict, datasets.IterableDatasetDict)):
        raise InvalidTypeError(
            f"dataset: expected one split, found all of them; pass dataset[name], name in {list(dataset)}"
        )
    if not isinstance(dataset, (datasets.Dataset, pa.Table)):
        raise InvalidTypeError(
            f"dataset: expected a datasets.Dataset, found {type(dataset).__name__}; load it without streaming=True, or "
            'give the tables of a stream, one by one: dataset.with_format("arrow").batch(1000)'
        )
    missing = {"x", "label"}.difference(dataset.column_names)
    if missing:
        raise InvalidValueError(f"dataset: expected the columns x and label, found {dataset.column_names}")
    x, label = (_rows(dataset, name) for name in ("x", "label"))
    if pa.types.is_list(label.type):  # rows that are batches, as IterableDataset.batch makes them
        x, label = _unbatched(x), _unbatched(label)
    if not _is_number(label.type):
        raise InvalidValueError(
            f"label: expected a column of integers, found {label.type}; "
            f"cast it: dataset.cast_column('label', datasets.Value('int64'))"
        )
    signals = _signals(x)
    if channels is not None:
        signals = signals[:, None] if channels == "first" else signals[:, :, None]
    return signals, _join([_numbers(chunk, "label") for chunk in label.chunks], np.int64)


def to_torch(
    dataset: datasets.Dataset | pa.Table, device: Any = None, channels: str | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """A split as tensors on `device`: `x` float32 (n, 40), `label` int64 (n,); the paper's training split has n = 4000.

    They own their memory. `x` has `final_seq_length` columns, and is float32 whatever the dataset's dtype.

    It takes what `to_numpy` takes, `channels` too. As `collate_fn` it is also the fastest way from a stream into a
    `DataLoader`.

    Raises:
        InvalidTypeError, InvalidValueError: as `to_numpy`.
        MissingExtraError: torch is not installed.

    >>> import mnist1d_hf
    >>> x, label = to_torch(mnist1d_hf.load_dataset(split="test"))
    >>> x.dtype, label.dtype
    (torch.float32, torch.int64)

    >>> from torch.utils.data import DataLoader
    >>> batches = mnist1d_hf.stream().with_format("arrow").batch(256)
    >>> x, label = next(iter(DataLoader(batches, batch_size=None, collate_fn=to_torch)))
    >>> x.shape
    torch.Size([256, 40])
    """
    require("torch")
    import torch

    x, label = to_numpy(dataset, channels)
    # A copy: the arrays are read-only (a memory-mapped file, perhaps), and tensors are always writeable.
    return (
        torch.from_numpy(np.array(x, dtype=np.float32)).to(device),
        torch.from_numpy(np.array(label, dtype=np.int64)).to(device),
    )


def _rows(dataset: datasets.Dataset | pa.Table, column: str) -> pa.ChunkedArray:
    """A column of `dataset` in the order of its rows."""
    if isinstance(dataset, pa.Table):
        return dataset.column(column)
    if dataset._indices is None:  # no indices mapping: the table itself
        return dataset.data.table.column(column)
    return dataset.select_columns([column]).with_format("arrow")[:].column(column)


def _unbatched(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([_items(chunk) for chunk in column.chunks], column.type.value_type)


def _items(array: pa.Array) -> pa.Array:
    """What the lists of `array` hold; several times faster than `flatten` where the lists fill it."""
    if array.null_count or not len(array):
        return array.flatten()
    size = array.type.list_size if pa.types.is_fixed_size_list(array.type) else 0
    first, last = (
        (array.offset * size, (array.offset + len(array)) * size)
        if size
        else (array.offsets[0].as_py(), array.offsets[len(array)].as_py())
    )
    values = array.values
    return values if first == 0 and last == len(values) else values.slice(first, last - first)


def _signals(column: pa.ChunkedArray) -> NDArray[Any]:
    lists = pa.types.is_fixed_size_list(column.type) or pa.types.is_list(column.type)
    if not lists or not _is_number(column.type.value_type):
        raise InvalidValueError(f"x: expected a column of lists of numbers, found {column.type}; cast or map it")
    if pa.types.is_fixed_size_list(column.type):
        length = column.type.list_size
    else:
        lengths = set(column.combine_chunks().value_lengths().to_pylist()) - {None}
        if len(lengths) > 1:
            raise InvalidValueError(f"x: expected signals of one length, found the lengths {sorted(lengths)[:5]}")
        length = lengths.pop() if lengths else 0
    if column.null_count:
        raise InvalidValueError(f"x: expected no missing signals, found {column.null_count}")
    dtype = column.type.value_type.to_pandas_dtype()
    parts = [_numbers(_items(chunk), "x") for chunk in column.chunks]
    return _join(parts, dtype).reshape(len(column), length)


def _is_number(kind: pa.DataType) -> bool:
    """Whether NumPy can share the memory of such values."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _numbers(array: pa.Array, name: str) -> NDArray[Any]:
    if array.null_count:
        raise InvalidValueError(f"{name}: expected no missing values, found {array.null_count}")
    return np.asarray(array.to_numpy(zero_copy_only=True))


def _join(parts: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    parts = [part for part in parts if len(part)]
    if len(parts) == 1:
        return parts[0].astype(dtype, copy=False)
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.empty(0, dtype=dtype)
