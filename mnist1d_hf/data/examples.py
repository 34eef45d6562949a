"""The blocks of a stream that one reader takes: shared by any number of readers, resumed in constant time.

Samples are made in blocks. The readers (ranks, and workers of a rank) take the blocks in turn: of W readers, reader r
takes the blocks r, r + W, r + 2 W, ... So each makes its own blocks only, whatever W is, and how far it is is one
number. The library's own iterables resume by making everything again that came before; this one does not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets.formatting import Formatter, PythonFormatter
from datasets.iterable_dataset import DataSourcesShufflingDisallowed, _BaseExamplesIterable
from datasets.table import table_cast

from mnist1d_hf.data.config import check_integer
from mnist1d_hf.data.schema import Mnist1dBuilderConfig, stream_table
from mnist1d_hf.data.stream import BLOCK, MAX_INDEX
from mnist1d_hf.errors import InvalidValueError

# Divisible by 1 to 6, 8, 10, 12, 15, 16, 20, 24, 30, 32: ranks times workers get equal shares.
_SHARD_COUNTS = (480, 240, 120, 60, 40, 20, 12, 8, 4, 2, 1)


class _Parts(int):
    """A number of shards that the library finds divisible by every number up to it.

    `datasets` gives a rank whole shards where the remainder is 0, and else lets every rank make all rows. Here any
    number of readers can share the blocks.
    """

    def __mod__(self, other: int) -> int:
        return 0 if other <= self else int(self)


def check_readers(saved: int | str, loaded: int | str) -> None:
    """Refuse the state of another number of readers."""
    if saved != loaded:
        raise InvalidValueError(
            f"state: saved by {saved} readers (ranks x workers), loaded by {loaded}, so that samples would be lost or "
            f"come twice; go on with {saved} readers, or begin behind the last one: stream(start=...)"
        )


def layers(examples: Any) -> Iterator[Any]:
    """The iterables of which one is put together, from the last to the first; itself among them."""
    yield examples
    for inner in [examples.ex_iterable] if hasattr(examples, "ex_iterable") else getattr(examples, "ex_iterables", []):
        yield from layers(inner)


class StreamExamples(_BaseExamplesIterable):
    """The blocks of a stream that one reader takes, one after the other: what a `Stream` iterates over.

    Its state is the number of samples behind it, counted as if every block were full.
    """

    _state_dict: dict[str, Any] | None
    _sleep_on_threads_shutdown = False

    def __init__(
        self, config: Mnist1dBuilderConfig, features: datasets.Features, num_shards: Any = None, start: Any = 0
    ) -> None:
        super().__init__()
        assert config.rows is not None
        self.config = config
        self._start = check_integer("start", start, 0, MAX_INDEX - 1)
        self._end = None if config.rows.num_samples is None else self._start + config.rows.num_samples
        if self._end is not None and self._end > MAX_INDEX:
            raise InvalidValueError(f"start + num_samples: expected at most 2**60, found {self._end}")
        self._shards = self._check_num_shards(num_shards)
        self._readers: tuple[int, ...] = ()  # into how many parts the blocks were shared, again and again
        self._offset, self._stride = 0, 1  # this reader takes the places offset, offset + stride, ...
        # Of the blocks within each round of as many as there are shards.
        self._order: np.ndarray[Any, Any] | None = None
        self._window: tuple[int, int] | None = None  # seed of the shuffle, and how many blocks are shuffled together
        self.skipped = 0  # samples of a part to leave out; a whole stream starts later instead
        self.is_split = False  # whether it is one rank's part already
        self._features = features
        self._schema = features.arrow_schema
        self._plain = config.features.arrow_schema.equals(self._schema)  # else the user's own order or types

    def _check_num_shards(self, num_shards: Any) -> int:
        count = self._num_blocks()
        if num_shards is None:
            return next(shards for shards in _SHARD_COUNTS if count is None or shards <= count)
        checked = check_integer("num_shards", num_shards, 1)
        if count is not None and checked > count:
            raise InvalidValueError(
                f"num_shards: expected at most the number of blocks ({BLOCK} samples each), {count}, found {checked}"
            )
        return checked

    def _num_blocks(self) -> int | None:
        """Blocks of the whole stream from its start on; None for no end."""
        return None if self._end is None else max(1, -(-self._end // BLOCK) - self._start // BLOCK)

    @property
    def iter_arrow(self) -> Callable[[], Iterator[tuple[str, pa.Table]]]:
        return self._iter_arrow

    @property
    def is_typed(self) -> bool:
        return True

    @property
    def features(self) -> datasets.Features:
        return self._features

    @property
    def num_shards(self) -> int:
        return _Parts(max(1, self._shards // self._stride))

    @property
    def can_skip(self) -> bool:
        """Whether the samples are in the order of their indices, so that `skip` takes constant time."""
        return self._order is None and self._window is None

    @property
    def name(self) -> str:
        """What a state must fit."""
        parts = [self.config.identifier, f"in {self._shards} shards"]
        if self._start:
            parts.append(f"from sample {self._start}")
        if self._window is not None:
            parts.append(f"shuffled in windows of {self._window[1] * BLOCK}")
        return " ".join(parts)

    @property
    def _world(self) -> str:
        """The number of readers, ranks x workers."""
        return "x".join(map(str, self._readers)) or "1"

    def _init_state_dict(self) -> dict[str, Any]:
        self._state_dict = {
            "samples": 0,
            "stream": self.name,
            "readers": self._world,
            "type": type(self).__name__,
        }
        return self._state_dict

    def started(self) -> dict[str, Any]:
        """The state to go on from and to keep up to date.

        Raises:
            InvalidValueError: it is that of another stream, or of another number of readers.
        """
        if self._state_dict is None:
            return {"samples": 0}
        found = self._state_dict["stream"]
        if found != self.name:
            raise InvalidValueError(f"state: expected one of {self.name}, found one of {found}")
        check_readers(self._state_dict["readers"], self._world)
        return self._state_dict

    def _iter_arrow(self) -> Iterator[tuple[str, pa.Table]]:
        state = self.started()
        for _, after, table in self.blocks(state["samples"]):
            state["samples"] = after
            yield str(after), table

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for number, row in enumerate(self.rows(PythonFormatter())):
            yield str(number), row

    def rows(self, formatter: Formatter[Any, Any, Any]) -> Iterator[dict[str, Any]]:
        """The rows one by one; a whole block is formatted at once."""
        state = self.started()
        for before, after, table in self.blocks(state["samples"]):
            columns = formatter.format_batch(table)
            for number, values in enumerate(zip(*columns.values(), strict=True), start=1):
                state["samples"] = after if number == len(table) else before + number
                yield dict(zip(columns, values, strict=True))

    def blocks(self, behind: int) -> Iterator[tuple[int, int, pa.Table]]:
        """The places before and after a table, and the table: the rest of a block, then whole blocks."""
        if self._window is not None:
            yield from self._shuffled_blocks(behind)
            return
        behind = max(behind, self._place_of(self.skipped))
        position, row = divmod(behind, BLOCK)
        while (edges := self._edges(position)) is not None:
            start, stop = edges
            if start + row < stop:
                yield position * BLOCK + row, (position + 1) * BLOCK, self._table(start + row, stop)
            position, row = position + 1, 0

    def _shuffled_blocks(self, behind: int) -> Iterator[tuple[int, int, pa.Table]]:
        assert self._window is not None
        seed, size = self._window
        number, row = divmod(behind, size * BLOCK)
        while True:
            edges = [self._edges(number * size + place) for place in range(size)]
            tables = [self._table(*item) for item in edges if item is not None and item[0] < item[1]]
            if tables:
                table = pa.concat_tables(tables)
                order = np.random.default_rng([seed, *self._readers, self._offset, number]).permutation(len(table))
                before = number * size * BLOCK
                for first in range(row, len(table), BLOCK):
                    part = table.take(order[first : first + BLOCK]).combine_chunks()
                    done = first + len(part) == len(table)
                    yield before + first, before + (size * BLOCK if done else first + len(part)), part
            if edges[-1] is None:
                return
            number, row = number + 1, 0

    def _place_of(self, count: int) -> int:
        """The places before sample number `count` of this reader, whose samples are in order.

        Places count as if every block were full, and only the block in which the whole stream starts lacks its head.
        """
        lacking = self._start % BLOCK if self._offset == 0 else 0
        return count if count < BLOCK - lacking else count + lacking

    def _edges(self, position: int) -> tuple[int, int] | None:
        """The samples of this reader's block number `position`, maybe none; None behind the last block."""
        place = self._offset + self._stride * position
        if self._order is not None:
            turn, within = divmod(place, self._shards)
            place, least = turn * self._shards + int(self._order[within]), turn * self._shards
        else:
            least = place
        first = self._start // BLOCK
        if self._end is not None and (first + least) * BLOCK >= self._end:
            return None
        start = (first + place) * BLOCK
        stop = start + BLOCK if self._end is None else min(start + BLOCK, self._end)
        return max(start, self._start), stop

    def _table(self, start: int, stop: int) -> pa.Table:
        table = stream_table(self.config, start, stop)
        if self._plain:
            return table.replace_schema_metadata(self._schema.metadata)
        return table_cast(table.select(self._schema.names), self._schema)

    def _changed(self, **changes: Any) -> StreamExamples:
        other = copy.copy(self)
        other.__dict__.update(changes, _state_dict=None)
        return other

    def skip(self, n: int) -> StreamExamples:
        """Without the first `n` samples, where `can_skip`."""
        if self._stride > 1:
            return self._changed(skipped=self.skipped + n)
        start = self._start + n if self._end is None else min(self._start + n, self._end)
        return self._changed(_start=start)

    def split(self, world_size: int, rank: int) -> StreamExamples:
        """The part of one rank."""
        return self.shard_data_sources(world_size, rank)._changed(is_split=True)

    def divides(self, readers: int) -> bool:
        """Whether so many readers get equally many samples, in every epoch."""
        if self._end is None:
            return True
        whole = self._start % BLOCK == 0 and (self._end - self._start) % (BLOCK * self._shards) == 0
        return whole and self._shards % readers == 0 and self._stride == 1 and not self.skipped

    def shuffled(self, generator: np.random.Generator, buffer_size: int) -> StreamExamples:
        """Blocks in another order, rows too within windows of at least `buffer_size` rows."""
        other = self.shuffle_data_sources(generator)
        return other._changed(_window=(int(generator.integers(2**63)), -(-buffer_size // BLOCK)))

    def shift_rngs(self, value: int) -> StreamExamples:
        """Another order of the rows, for another epoch."""
        return self if self._window is None else self._changed(_window=(self._window[0] + value, self._window[1]))

    def shuffle_data_sources(self, generator: np.random.Generator) -> StreamExamples:
        """The blocks in another order within each round.

        Raises:
            DataSourcesShufflingDisallowed: samples were skipped; as in the library, the others stay in their order.
        """
        if self.skipped:
            raise DataSourcesShufflingDisallowed()
        order = np.arange(self._shards) if self._order is None else self._order
        return self._changed(_order=copy.deepcopy(generator).permutation(order))

    def shard_data_sources(self, num_shards: int, index: int, contiguous: bool = True) -> StreamExamples:  # noqa: ARG002
        """Every `num_shards`-th of the blocks, from number `index` on."""
        check_integer("num_shards", num_shards, 1)
        check_integer("index", index, 0, num_shards - 1)
        count = min(num_shards, int(self.num_shards))
        readers = self._readers if num_shards == 1 else (*self._readers, num_shards)
        if index >= count:
            return self._changed(_end=0, _readers=readers)
        return self._changed(
            _offset=self._offset + self._stride * index,
            _stride=self._stride * count,
            _readers=readers,
            skipped=(self.skipped + count - 1 - index) // count,  # as in the library, each leaves out a part of them
        )

    def reshard_data_sources(self) -> StreamExamples:
        """The same: a shard is as small as it gets."""
        return self._changed()
