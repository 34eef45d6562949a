"""A whole split as arrays, in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mnist1d_hf.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    import torch


def to_numpy(dataset: datasets.Dataset) -> tuple[NDArray[Any], NDArray[Any]]:
    """A split as arrays: `x` (n, length) of the column's dtype, `label` int64 (n,).

    Also for a filtered, shuffled, sliced or concatenated dataset, whatever its format. Where the rows lie in one
    Arrow chunk the arrays share its memory and are read-only: copy them before writing.

    Raises:
        InvalidTypeError: not one split of a map-style dataset.
        InvalidValueError: no columns `x` and `label`, missing values, or signals of unequal length.

    >>> import mnist1d_hf
    >>> x, label = to_numpy(mnist1d_hf.load_dataset(split="test"))
    >>> x.shape, str(x.dtype), label.shape
    ((1000, 40), 'float32', (1000,))
    """
    if isinstance(dataset, (dict, datasets.IterableDatasetDict)):
        raise InvalidTypeError(
            f"dataset: expected one split, found all of them; pass dataset[name], name in {list(dataset)}"
        )
    if not isinstance(dataset, datasets.Dataset):
        raise InvalidTypeError(
            f"dataset: expected a datasets.Dataset, found {type(dataset).__name__}; load it without streaming=True"
        )
    missing = {"x", "label"} - set(dataset.column_names)
    if missing:
        raise InvalidValueError(f"dataset: expected the columns x and label, found {dataset.column_names}")
    table = _rows(dataset)
    return _signals(table.column("x")), _join([_numbers(c, "label") for c in table.column("label").chunks], np.int64)


def to_torch(dataset: datasets.Dataset, device: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
    """A split as tensors on `device`: `x` float32 (n, length), `label` int64 (n,). They own their memory.

    Raises:
        InvalidTypeError, InvalidValueError: as `to_numpy`.

    >>> import mnist1d_hf
    >>> x, label = to_torch(mnist1d_hf.load_dataset(split="test"))
    >>> x.dtype, label.dtype
    (torch.float32, torch.int64)
    """
    import torch

    x, label = to_numpy(dataset)
    # A copy: the arrays are read-only (a memory-mapped file, perhaps), and tensors are always writeable.
    return (
        torch.from_numpy(np.array(x, dtype=np.float32)).to(device),
        torch.from_numpy(np.array(label, dtype=np.int64)).to(device),
    )


def _rows(dataset: datasets.Dataset) -> pa.Table:
    """The rows of `dataset` in its order, as Arrow."""
    if dataset._indices is None:  # no indices mapping: the table itself
        return dataset.data.table.select(["x", "label"])
    return dataset.select_columns(["x", "label"]).with_format("arrow")[:]


def _signals(column: pa.ChunkedArray) -> NDArray[Any]:
    if not (pa.types.is_fixed_size_list(column.type) or pa.types.is_list(column.type)):
        raise InvalidValueError(f"x: expected a column of lists of numbers, found {column.type}")
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
    parts = [_numbers(chunk.flatten(), "x") for chunk in column.chunks]
    return _join(parts, dtype).reshape(len(column), length)


def _numbers(array: pa.Array, name: str) -> NDArray[Any]:
    if array.null_count:
        raise InvalidValueError(f"{name}: expected no missing values, found {array.null_count}")
    return np.asarray(array.to_numpy(zero_copy_only=True))


def _join(parts: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    parts = [part for part in parts if len(part)]
    if len(parts) == 1:
        return parts[0].astype(dtype, copy=False)
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.empty(0, dtype=dtype)
