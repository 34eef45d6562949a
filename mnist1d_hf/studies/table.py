"""Tidy tables: one row for each seed and setting, kept as Parquet."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mnist1d_hf.errors import InvalidValueError, OutputError

Row = Mapping[str, Any]  # column -> str, int, float, bool, None or a list of numbers


class Table:
    """Rows with the same columns.

    Args:
        rows: each a mapping from column to value.

    Raises:
        InvalidValueError: rows with different columns.

    >>> table = Table([{"width": w, "seed": s, "loss": w + s} for w in (1, 2) for s in (0, 1)])
    >>> table.where(width=2).values("loss").tolist()
    [2, 3]
    >>> table.grid("loss", columns="width").tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = [dict(row) for row in rows]
        for row in self.rows:
            if row.keys() != self.rows[0].keys():
                odd = sorted(row.keys() ^ self.rows[0].keys())
                raise InvalidValueError(f"rows: expected the same columns in all of them, found {odd} in some only")

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def where(self, **wanted: Any) -> Table:
        """The rows with these values; a tuple, list or set means any of its values."""

        def fits(row: Row) -> bool:
            return all(
                row[name] in value if isinstance(value, (tuple, list, set)) else row[name] == value
                for name, value in wanted.items()
            )

        return Table([row for row in self.rows if fits(row)])

    def values(self, column: str) -> NDArray[Any]:
        """A column, in the order of the rows."""
        return np.array([row[column] for row in self.rows])

    def unique(self, column: str) -> list[Any]:
        """The values of a column, each once, in the order of their first rows."""
        return list(dict.fromkeys(row[column] for row in self.rows))

    def grid(self, value: str, columns: str, rows: str = "seed") -> NDArray[Any]:
        """A column as float64 (rows, columns), with both sorted: by default a row for each seed.

        Raises:
            InvalidValueError: a cell without a row, or with several.
        """
        down, across = sorted(self.unique(rows)), sorted(self.unique(columns))
        cells = {(row[rows], row[columns]): row[value] for row in self.rows}
        if len(cells) != len(self.rows) or len(cells) != len(down) * len(across):
            raise InvalidValueError(
                f"{value}: expected one row for each {rows} and {columns}, "
                f"found {len(self.rows)} for {len(down)} times {len(across)}"
            )
        return np.array([[cells[one, other] for other in across] for one in down], dtype=float)

    def by_seed(self, value: str) -> NDArray[Any]:
        """A column as float64 (seeds,), sorted by seed.

        Raises:
            InvalidValueError: a seed has several rows.
        """
        ordered = sorted(self.rows, key=lambda row: row["seed"])
        if len({row["seed"] for row in ordered}) < len(ordered):
            raise InvalidValueError(f"{value}: expected one row for each seed, found {len(ordered)}")
        return np.array([row[value] for row in ordered], dtype=float)

    def to_bytes(self) -> bytes:
        """As a Parquet file: the same rows, the same bytes."""
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(self.rows), buffer, compression="zstd")
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, place: str | os.PathLike[str]) -> Table:
        """From a Parquet file; `place` names it in errors.

        Raises:
            OutputError: it is damaged.
        """
        try:
            return cls(pq.read_table(io.BytesIO(data)).to_pylist())
        except (pa.ArrowException, OSError) as error:
            said = " ".join(str(error).split())
            raise OutputError(f"{os.fspath(place)}: no table can be read ({said}); it is damaged") from None
