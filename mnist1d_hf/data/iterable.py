"""The stream as a `datasets.IterableDataset`: endless, shared by any number of readers, resumed in constant time.

Samples are made in blocks. The readers (ranks, and workers of a rank) take the blocks in turn: of W readers, reader r
takes the blocks r, r + W, r + 2 W, ... So each makes its own blocks only, whatever W is, and how far it is is one
number. The library's own iterables resume by making everything again that came before; this one does not.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets.formatting import PythonFormatter, get_formatter
from datasets.iterable_dataset import _BaseExamplesIterable
from datasets.table import table_cast

from mnist1d_hf.data.config import GeneratorConfig, check_integer
from mnist1d_hf.data.schema import Mnist1dBuilderConfig, dataset_info, stream_table
from mnist1d_hf.data.stream import BLOCK, MAX_INDEX
from mnist1d_hf.errors import InvalidValueError

# Divisible by 1 to 6, 8, 10, 12, 15, 16, 20, 24, 30, 32: ranks times workers get equal shares.
_SHARD_COUNTS = (480, 240, 120, 60, 40, 20, 12, 8, 4, 2, 1)


def stream(
    seed: int = 0,
    config: GeneratorConfig | None = None,
    num_samples: int | None = None,
    start: int = 0,
    num_shards: int | None = None,
    *,
    templates: Mapping[str, Any] | None = None,
    latents: bool = False,
    clean: bool = False,
    label_noise: float = 0.0,
) -> datasets.IterableDataset:
    """New samples without end, as a `datasets.IterableDataset` that gives Arrow tables.

    It holds the samples 0, 1, 2, ... that `mnist1d_hf.sample` gives for the same seed. `skip` and `shuffle` work in
    constant time, and a shuffled stream resumes exactly. Over any number of ranks
    (`datasets.distributed.split_dataset_by_node`) and of `DataLoader` workers each comes exactly once. A state
    (`state_dict`, `load_state_dict`) holds where it is; going on from it costs the same everywhere.

    Args:
        seed: 0 .. 2**63 - 1; different seeds are independent streams.
        config: what shapes a sample; `num_samples`, `train_split` and `seed` of it play no part.
        num_samples: end after so many, 1 .. 2**60; None for no end.
        start: index of the first sample; it costs nothing, however large it is.
        num_shards: parts that ranks and workers can share, 1 .. number of blocks (512 samples each); by default 480,
            or less where there are fewer blocks.
        templates: as in `mnist1d_hf.make_dataset`.
        latents: add the columns padding, translation int32, scale, shear float32.
        clean: add the column clean, the signal without both noises on the same scale.
        label_noise: probability with which a label is drawn anew, uniformly; adds the column clean_label.

    Returns:
        Rows of `x` List(float32, length=final_seq_length) and `label` ClassLabel.

    Raises:
        InvalidTypeError, InvalidValueError: an argument of the wrong type or out of range.

    >>> next(iter(stream(seed=3).with_format("numpy").batch(256)))["x"].shape
    (256, 40)

    The fastest way into a training loop:

    >>> from mnist1d_hf import to_torch
    >>> from torch.utils.data import DataLoader
    >>> batches = stream(seed=3).with_format("arrow").batch(256)
    >>> x, label = next(iter(DataLoader(batches, batch_size=None, collate_fn=to_torch)))
    >>> x.shape, label.shape
    (torch.Size([256, 40]), torch.Size([256]))
    """
    generator = GeneratorConfig() if config is None else config
    columns = {"latents": latents, "clean": clean, "label_noise": label_noise}
    chosen = Mnist1dBuilderConfig.for_stream(generator, seed, num_samples, templates, **columns)
    examples = StreamExamples(chosen, chosen.features, num_shards, start)
    return Stream(examples, info=dataset_info(chosen), split=datasets.Split.TRAIN)


class Stream(datasets.IterableDataset):
    """An `IterableDataset` of a stream: what costs the library's own the whole way costs this one nothing.

    `skip` and `shuffle` right after `stream` (a format, `shard` or another `skip` may stand between) work on the index
    of the samples; rows in the format "torch" are cut from whole blocks. All else is the library's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self._in_rows:
            self._part()  # a state may be asked for before the first row

    @property
    def _in_rows(self) -> bool:
        """Whether this class cuts the rows itself."""
        return self._formatting is not None and self._formatting.format_type == "torch"

    def _with(self, examples: StreamExamples) -> Stream:
        """The same dataset over other examples."""
        made = datasets.IterableDataset.with_format(self, None)
        return Stream(
            examples,
            info=made._info,
            split=made._split,
            formatting=self._formatting,
            distributed=copy.deepcopy(self._distributed),
        )

    def with_format(self, type: str | None = None) -> Stream:
        """As in the library."""
        made = super().with_format(type)
        return Stream(
            self._ex_iterable,
            info=made._info,
            split=made._split,
            formatting=made._formatting,
            distributed=made._distributed,
        )

    def skip(self, n: int) -> datasets.IterableDataset:
        """All but the first `n` samples, in constant time."""
        if self._distributed or not self._ex_iterable.can_skip:
            return super().skip(n)
        return self._with(self._ex_iterable.skip(check_integer("n", n, 0, MAX_INDEX)))

    def shard(self, num_shards: int, index: int, contiguous: bool = True) -> Stream:
        """Part `index` of `num_shards`; the parts share the blocks, whatever `contiguous` says."""
        return self._with(self._ex_iterable.shard_data_sources(num_shards, index, contiguous))

    def shuffle(
        self,
        seed: int | None = None,
        generator: np.random.Generator | None = None,
        buffer_size: int = 1000,
        max_buffer_input_shards: int = 10,  # noqa: ARG002  # the library's; blocks need no such thing
    ) -> Stream:
        """The samples in another order: blocks change places, and rows change places within windows of `buffer_size`.

        The order is a function of the seed, so that a state resumes exactly where it was taken.
        """
        generator = np.random.default_rng(seed) if generator is None else copy.deepcopy(generator)
        return self._with(self._ex_iterable.shuffled(generator, check_integer("buffer_size", buffer_size, 1)))

    def __iter__(self) -> Iterator[Any]:
        yield from self._rows() if self._in_rows else super().__iter__()
        self._starting_state_dict = None  # a state is gone on from once: the next epoch has its full length

    def _rows(self) -> Iterator[dict[str, Any]]:
        examples = self._part()
        formatter = get_formatter("torch", features=self.features)
        state = examples.started()
        for before, after, table in examples.blocks(state["samples"]):
            columns = formatter.format_batch(table)
            rows = zip(*(column.unbind() for column in columns.values()), strict=True)
            for number, row in enumerate(rows, start=1):
                state["samples"] = after if number == len(table) else before + number
                yield dict(zip(columns, row, strict=True))

    def _part(self) -> StreamExamples:
        """The examples that are for this rank and worker in this epoch, at the state to go on from."""
        examples: StreamExamples = self._ex_iterable
        if self.epoch:
            examples = examples.shuffle_data_sources(np.random.default_rng(self.epoch)).shift_rngs(self.epoch)
        if self._distributed:
            examples = examples.shard_data_sources(self._distributed.world_size, self._distributed.rank)
        if "torch" in sys.modules:
            from torch.utils.data import get_worker_info

            worker = get_worker_info()
            if worker is not None:
                examples = examples.shard_data_sources(worker.num_workers, worker.id)
        starting = self._starting_state_dict
        leaf = examples._init_state_dict()
        if starting and self.epoch == starting["epoch"]:
            leaf = examples.load_state_dict(_leaf(starting["examples_iterable"]))
        self._state_dict = {"examples_iterable": _as_the_librarys(leaf), "epoch": self.epoch}
        return examples


def _as_the_librarys(leaf: dict[str, Any]) -> dict[str, Any]:
    """The state of the examples as the library keeps it for rows, so that its own iterables can go on from it."""
    progress = {"batch_idx": 0, "num_chunks_since_previous_state": 0, "cropped_chunk_length": 0}
    return {"examples_iterable": leaf, "previous_state": leaf, **progress, "type": "RebatchedArrowExamplesIterable"}


def _leaf(state: dict[str, Any]) -> dict[str, Any]:
    """The state of the examples from one that the library kept for rows: its chunks are rows."""
    leaf: dict[str, Any] = state["previous_state"] or state["examples_iterable"]
    return {**leaf, "samples": leaf["samples"] + state["num_chunks_since_previous_state"]}


class _Parts(int):
    """A number of shards that the library finds divisible by every number up to it.

    `datasets` gives a rank whole shards where the remainder is 0, and else lets every rank make all rows. Here any
    number of readers can share the blocks.
    """

    def __mod__(self, other: int) -> int:
        return 0 if other <= self else int(self)


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
        self._order: np.ndarray[Any, Any] | None = (
            None  # of the blocks within each round of as many as there are shards
        )
        self._window: tuple[int, int] | None = None  # seed of the shuffle, and how many blocks are shuffled together
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
        """Whether the first samples are those of the lowest indices."""
        return self._stride == 1 and self._order is None and self._window is None

    @property
    def name(self) -> str:
        """What a state must fit."""
        parts = [self.config.identifier, f"in {self._shards} shards"]
        if self._start:
            parts.append(f"from sample {self._start}")
        if self._window is not None:
            parts.append(f"shuffled in windows of {self._window[1] * BLOCK}")
        return " ".join(parts)

    def _init_state_dict(self) -> dict[str, Any]:
        self._state_dict = {
            "samples": 0,
            "stream": self.name,
            "readers": "x".join(map(str, self._readers)) or "1",
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
        found, readers = self._state_dict["stream"], self._state_dict["readers"]
        if found != self.name:
            raise InvalidValueError(f"state: expected one of {self.name}, found one of {found}")
        own = "x".join(map(str, self._readers)) or "1"
        if readers != own:
            raise InvalidValueError(
                f"state: saved by {readers} readers (ranks x workers), loaded by {own}, so that samples would be "
                f"lost or come twice; go on with {readers} readers, or begin behind the last sample: stream(start=...)"
            )
        return self._state_dict

    def _iter_arrow(self) -> Iterator[tuple[str, pa.Table]]:
        state = self.started()
        for _, after, table in self.blocks(state["samples"]):
            state["samples"] = after
            yield str(after), table

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        formatter = PythonFormatter()
        state = self.started()
        for before, after, table in self.blocks(state["samples"]):
            batch = formatter.format_batch(table)
            for number in range(len(table)):
                state["samples"] = after if number + 1 == len(table) else before + number + 1
                yield f"{after}_{number}", {name: values[number] for name, values in batch.items()}

    def blocks(self, behind: int) -> Iterator[tuple[int, int, pa.Table]]:
        """The places before and after a table, and the table: the rest of a block, then whole blocks."""
        if self._window is not None:
            yield from self._shuffled_blocks(behind)
            return
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
        """Without the first `n` samples."""
        start = self._start + n if self._end is None else min(self._start + n, self._end)
        return self._changed(_start=start)

    def shuffled(self, generator: np.random.Generator, buffer_size: int) -> StreamExamples:
        """Blocks in another order, rows too within windows of at least `buffer_size` rows."""
        other = self.shuffle_data_sources(generator)
        return other._changed(_window=(int(generator.integers(2**63)), -(-buffer_size // BLOCK)))

    def shift_rngs(self, value: int) -> StreamExamples:
        """Another order of the rows, for another epoch."""
        return self if self._window is None else self._changed(_window=(self._window[0] + value, self._window[1]))

    def shuffle_data_sources(self, generator: np.random.Generator) -> StreamExamples:
        """The blocks in another order within each round."""
        order = np.arange(self._shards) if self._order is None else self._order
        return self._changed(_order=copy.deepcopy(generator).permutation(order))

    def shard_data_sources(self, num_shards: int, index: int, contiguous: bool = True) -> StreamExamples:  # noqa: ARG002
        """Every `num_shards`-th of the blocks, from number `index` on."""
        count = min(num_shards, int(self.num_shards))
        if index >= count:
            return self._changed(_end=0, _readers=(*self._readers, num_shards))
        return self._changed(
            _offset=self._offset + self._stride * index,
            _stride=self._stride * count,
            _readers=(*self._readers, num_shards),
        )

    def reshard_data_sources(self) -> StreamExamples:
        """The same: a shard is as small as it gets."""
        return self._changed()
