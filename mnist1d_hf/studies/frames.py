"""Tables of results: one row for each seed and setting, kept as Parquet, read as pandas DataFrames."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mnist1d_hf.errors import InvalidValueError

Row = Mapping[str, Any]  # column -> str, int, float, bool, None or a list of numbers


def select(table: pd.DataFrame, **wanted: Any) -> pd.DataFrame:
    """The rows of a table that have these values; a list or tuple stands for any of its values.

    >>> table = pd.DataFrame({"width": [1, 1, 2], "seed": [0, 1, 0], "loss": [1.0, 2.0, 3.0]})
    >>> select(table, width=1, seed=[1, 2])["loss"].tolist()
    [2.0]
    """
    kept = np.ones(len(table), dtype=bool)
    for column, value in wanted.items():
        kept &= table[column].isin(value if isinstance(value, (list, tuple)) else [value]).to_numpy()
    return table[kept]


def by_seed(table: pd.DataFrame, column: str, **wanted: Any) -> pd.Series:
    """A column of the rows with the wanted values: a Series of float64, indexed by seed, with one row for each seed.

    >>> table = pd.DataFrame({"width": [1, 1, 2], "seed": [1, 0, 0], "loss": [1.0, 2.0, 3.0]})
    >>> by_seed(table, "loss", width=1).to_dict()
    {0: 2.0, 1: 1.0}
    """
    rows = select(table, **wanted).set_index("seed")[column].astype(float).sort_index()
    if not rows.index.is_unique:
        raise InvalidValueError(f"{column}: expected one row for each seed, found {len(rows)} rows")
    return rows


def grid(table: pd.DataFrame, column: str, across: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The values of `across`, (points,), and those of a column for each seed and value of `across`, float64
    (seeds, points), sorted. Each of them has exactly one row.

    >>> table = pd.DataFrame({"width": [2, 1], "seed": [0, 0], "loss": [3.0, 1.0]})
    >>> grid(table, "loss", "width")
    (array([1, 2]), array([[1., 3.]]))
    """
    pivot = table.pivot(index="seed", columns=across, values=column)
    if pivot.size != len(table):
        raise InvalidValueError(
            f"{column}: expected a row for each of {pivot.shape[0]} seeds and {pivot.shape[1]} values of {across}, "
            f"found {len(table)} rows"
        )
    return pivot.columns.to_numpy(), pivot.to_numpy(dtype=float)


def to_rows(**columns: Any) -> list[Row]:
    """Rows from columns: an array, range or list has a value for each row; other values are the same in all rows.

    >>> to_rows(width=2, seed=range(2), loss=np.array([0.5, 0.25]))
    [{'width': 2, 'seed': 0, 'loss': 0.5}, {'width': 2, 'seed': 1, 'loss': 0.25}]
    """
    found: list[Row] = pd.DataFrame(columns).to_dict("records")
    return found


def to_parquet(rows: Sequence[Row]) -> bytes:
    """Rows, all with the same columns, as a Parquet file: the same rows give the same bytes."""
    odd = {name for row in rows for name in row.keys() ^ rows[0].keys()}
    if odd:
        raise InvalidValueError(f"rows: expected the same columns in all of them, found {sorted(odd)} in some only")
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), buffer, compression="zstd")
    return buffer.getvalue()


def from_parquet(data: bytes) -> pd.DataFrame:
    """The table in a Parquet file."""
    return pq.read_table(io.BytesIO(data)).to_pandas()
