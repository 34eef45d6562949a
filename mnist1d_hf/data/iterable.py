"""The stream as a `datasets.IterableDataset`: endless, evenly sharded, resumed in constant time.

Shard k of K holds the blocks k, k + K, k + 2K, ... A reader of several shards takes its blocks in ascending order, so
one reader of all shards sees the samples 0, 1, 2, ..., and its position is one number. The library's own iterables
resume by making all earlier rows again; this one does not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets.formatting import PythonFormatter
from datasets.iterable_dataset import _BaseExamplesIterable
from datasets.table import table_cast

from mnist1d_hf.data.config import GeneratorConfig, check_integer
from mnist1d_hf.data.schema import Mnist1dBuilderConfig, dataset_info, stream_table
from mnist1d_hf.data.stream import BLOCK
from mnist1d_hf.errors import InvalidValueError

# Divisible by 1 to 6, 8, 10, 12, 15, 16, 20, 24, 30, 32: each of so many readers gets equally many.
_SHARD_COUNTS = (480, 240, 120, 60, 40, 20, 12, 8, 4, 2, 1)


def stream(
    seed: int = 0,
    config: GeneratorConfig | None = None,
    num_samples: int | None = None,
    num_shards: int | None = None,
    *,
    templates: Mapping[str, Any] | None = None,
    latents: bool = False,
    clean: bool = False,
    label_noise: float = 0.0,
) -> datasets.IterableDataset:
    """New samples without end, as a `datasets.IterableDataset` that gives Arrow tables.

    It holds the samples 0, 1, 2, ... that `mnist1d_hf.sample` gives for the same seed. Over any number of ranks
    (`datasets.distributed.split_dataset_by_node`) and of `DataLoader` workers each comes exactly once. A state
    (`state_dict`, `load_state_dict`) holds where it is; going on from it costs the same everywhere.

    Args:
        seed: 0 .. 2**63 - 1; different seeds are independent streams.
        config: what shapes a sample; `num_samples`, `train_split` and `seed` of it play no part.
        num_samples: end after so many, 1 .. 2**60; None for no end.
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
    examples = StreamExamples(chosen, chosen.features, num_shards)
    return datasets.IterableDataset(examples, info=dataset_info(chosen), split=datasets.Split.TRAIN)


class StreamExamples(_BaseExamplesIterable):
    """The blocks of some shards of a stream, one after the other: what an `IterableDataset` iterates over.

    Its state is the number of samples behind it, counted as if every block were full.
    """

    _state_dict: dict[str, Any] | None
    _sleep_on_threads_shutdown = False

    def __init__(self, config: Mnist1dBuilderConfig, features: datasets.Features, num_shards: Any = None) -> None:
        super().__init__()
        assert config.rows is not None
        self.config = config
        self._num_samples = config.rows.num_samples
        self._dealt = self._check_num_shards(num_shards)  # shards over which the blocks go round
        self._shards = np.arange(self._dealt)  # those that are read here, in their order within a round
        self._name = f"{config.identifier} in {self._dealt} shards"
        self._features = features
        self._schema = features.arrow_schema
        self._plain = config.features.arrow_schema.equals(self._schema)  # else the user's own order or types

    def _check_num_shards(self, num_shards: Any) -> int:
        num_blocks = None if self._num_samples is None else -(-self._num_samples // BLOCK)
        if num_shards is None:
            return next(count for count in _SHARD_COUNTS if num_blocks is None or count <= num_blocks)
        count = check_integer("num_shards", num_shards, 1)
        if num_blocks is not None and count > num_blocks:
            raise InvalidValueError(
                f"num_shards: expected at most the number of blocks ({BLOCK} samples each), {num_blocks}, found {count}"
            )
        return count

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
        return len(self._shards)

    def _init_state_dict(self) -> dict[str, Any]:
        self._state_dict = {"samples": 0, "stream": self._name, "type": type(self).__name__}
        return self._state_dict

    def _started(self) -> dict[str, Any]:
        """The state to resume from and to keep up to date."""
        if self._state_dict is None:
            return {"samples": 0}
        found = self._state_dict["stream"]
        if found != self._name:
            raise InvalidValueError(f"state: expected one of {self._name}, found one of {found}")
        return self._state_dict

    def _iter_arrow(self) -> Iterator[tuple[str, pa.Table]]:
        state = self._started()
        for key, _, after, table in self._blocks(state["samples"]):
            state["samples"] = after
            yield key, table

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        formatter = PythonFormatter()
        state = self._started()
        for key, before, after, table in self._blocks(state["samples"]):
            batch = formatter.format_batch(table)
            for number in range(len(table)):
                state["samples"] = after if number + 1 == len(table) else before + number + 1
                yield f"{key}_{number}", {name: values[number] for name, values in batch.items()}

    def _blocks(self, behind: int) -> Iterator[tuple[str, int, int, pa.Table]]:
        """A name, the places before and after it, and a table: the rest of a block, then whole blocks."""
        position, row = divmod(behind, BLOCK)
        while True:
            turn, place = divmod(position, len(self._shards))
            if self._num_samples is not None and turn * self._dealt * BLOCK >= self._num_samples:
                return
            start = (turn * self._dealt + int(self._shards[place])) * BLOCK
            end = start + BLOCK if self._num_samples is None else min(start + BLOCK, self._num_samples)
            before, after = position * BLOCK + row, (position + 1) * BLOCK
            if start + row < end:
                yield f"{start}_{row}", before, after, self._table(start + row, end)
            position, row = position + 1, 0

    def _table(self, start: int, stop: int) -> pa.Table:
        table = stream_table(self.config, start, stop)
        if self._plain:
            return table.replace_schema_metadata(self._schema.metadata)
        return table_cast(table.select(self._schema.names), self._schema)

    def _with_shards(self, shards: Any) -> StreamExamples:
        other = copy.copy(self)
        other._shards = shards
        other._state_dict = None
        return other

    def shuffle_data_sources(self, generator: np.random.Generator) -> StreamExamples:
        """The shards in another order within each round."""
        return self._with_shards(copy.deepcopy(generator).permutation(self._shards))

    def shard_data_sources(self, num_shards: int, index: int, contiguous: bool = True) -> StreamExamples:
        """Only these of the shards."""
        return self._with_shards(self._shards[self.split_shard_indices_by_worker(num_shards, index, contiguous)])

    def reshard_data_sources(self) -> StreamExamples:
        """The same: a shard is as small as it gets."""
        return self._with_shards(self._shards)
