"""The stream as a `datasets.IterableDataset`: endless, with `skip` and `shuffle` that cost nothing."""

from __future__ import annotations

import copy
import functools
import inspect
import itertools
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import datasets
import numpy as np
from datasets.formatting import get_formatter
from datasets.iterable_dataset import FormattingConfig

from mnist1d_hf.data.config import GeneratorConfig, check_integer
from mnist1d_hf.data.examples import StreamExamples, check_readers, layers
from mnist1d_hf.data.schema import Mnist1dBuilderConfig, dataset_info
from mnist1d_hf.data.stream import MAX_INDEX
from mnist1d_hf.errors import InvalidValueError


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
    posterior: bool = False,
) -> datasets.IterableDataset:
    """New samples without end: a `datasets.IterableDataset` of rows: `x`, 40 numbers in float32, `label`, 0 to 9.

    It holds the samples 0, 1, 2, ... that `mnist1d_hf.sample` gives for the same seed. `skip` and `shuffle` work in
    constant time, and a shuffled stream resumes exactly. Over any number of ranks
    (`datasets.distributed.split_dataset_by_node`, accelerate, the `Trainer`) and of `DataLoader` workers each comes
    exactly once. A state (`state_dict`, `load_state_dict`) holds where the dataset that is read is; going on from it
    costs the same everywhere, and needs the same calls (`map`, `batch`, ...) and number of ranks and workers.

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
        posterior: add the column posterior List(float32, length=classes), p(class | x); about 3,000 rows a second.

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
    columns = {"latents": latents, "clean": clean, "label_noise": label_noise, "posterior": posterior}
    chosen = Mnist1dBuilderConfig.for_stream(config, seed, num_samples, templates, **columns)
    examples = StreamExamples(chosen, chosen.features, num_shards, start)
    return Stream(examples, info=dataset_info(chosen), split=datasets.Split.TRAIN)


class ResumedOnce(datasets.IterableDataset):
    """An `IterableDataset` that goes on from a state once, and only from one that fits.

    The library's own goes on from the same state again in each epoch, unless `set_epoch` is called between them. It
    takes the state of another pipeline, too, and of another number of ranks, and then loses samples in silence. All
    methods that give a new dataset keep this class.
    """

    _formatting: Any  # the library's, as is the next
    _starting_state_dict: dict[str, Any] | None
    _batch_size: int | None = None  # rows that are read at a time; None: nothing is read yet

    def state_dict(self) -> dict[str, Any]:
        """As in the library; with what the state must fit."""
        if self._batch_size is None and self._starting_state_dict:
            return copy.deepcopy(self._starting_state_dict)
        return {
            **super().state_dict(),
            "pipeline": self._pipeline,
            "world_size": self._world_size,
            "batch_size": self._batch_size,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in the library. A state in which nothing is read yet fits everywhere: it is no state."""
        super().load_state_dict(state_dict if state_dict.get("batch_size", 1) else None)
        self._batch_size = None

    def __iter__(self) -> Iterator[Any]:
        with self._reading(1):
            yield from self._rows()

    def iter(self, batch_size: int, drop_last_batch: bool = False) -> Iterator[Any]:
        """As in the library."""
        with self._reading(batch_size):
            yield from super().iter(batch_size, drop_last_batch)

    def _rows(self) -> Iterator[Any]:
        yield from super().__iter__()

    @property
    def is_split(self) -> bool:
        """Whether it is one rank's part already."""
        return self._distributed is not None or any(
            getattr(layer, "is_split", False) for layer in layers(self._ex_iterable)
        )

    @property
    def _pipeline(self) -> str:
        """The iterables that have a part in a state, and what their numbers count."""
        names = [self._state_dict["examples_iterable"]["type"]]
        for layer in layers(self._ex_iterable):
            size = getattr(layer, "batch_size", None)
            names.append(type(layer).__name__ + (f"({size})" if size else ""))
        return " of ".join(name.replace("ExamplesIterable", "") for name in names)

    @property
    def _world_size(self) -> int:
        """Ranks among which the library shares it; those that share the blocks are in the state of the examples."""
        return self._distributed.world_size if self._distributed else 1

    @contextmanager
    def _reading(self, batch_size: int) -> Iterator[None]:
        """Check the state to go on from before so many rows at a time are read, and forget it after the last."""
        self._batch_size, formatting = batch_size, self._formatting
        state = self._starting_state_dict
        if state and state["epoch"] == self.epoch:
            self._check(state)
            if _rows_behind(state) and formatting is None:
                # Such a state counts rows of tables, which the library reads for a format only; the rows are the same.
                self._formatting = FormattingConfig(None)
        try:
            yield
        finally:
            self._formatting = formatting
        self._starting_state_dict = None

    def _check(self, state: dict[str, Any]) -> None:
        found, size = state.get("pipeline", self._pipeline), state.get("batch_size", 1)
        check_readers(state.get("world_size", self._world_size), self._world_size)
        if found != self._pipeline:
            raise InvalidValueError(
                f"state: expected one of {self._pipeline}, found one of {found}; load it into a dataset that is made "
                f"by the same calls (map, take, batch, ...) as the one that saved it"
            )
        if size != self._batch_size and _rows_behind(state):
            raise InvalidValueError(
                f"state: saved where {size} rows were read at a time, loaded where {self._batch_size} are, so that "
                f"samples would be lost or come twice; go on {'row by row' if size == 1 else f'with .iter({size})'}"
            )


def _keeps_the_class(method: Any) -> Any:
    @functools.wraps(method)
    def kept(self: Any, *args: Any, **kwargs: Any) -> Any:
        return resumed_once(method(self, *args, **kwargs))

    return kept


for _name, _method in vars(datasets.IterableDataset).items():
    if inspect.isfunction(_method) and not _name.startswith("_") and _name not in vars(ResumedOnce):
        setattr(ResumedOnce, _name, _keeps_the_class(_method))


def resumed_once(result: Any) -> Any:
    """The same; a plain `IterableDataset` becomes a `ResumedOnce`."""
    if type(result) is datasets.IterableDataset:
        result.__class__ = ResumedOnce
    return result


def _rows_behind(state: dict[str, Any]) -> int:
    """Chunks that were read behind the last table; a chunk is a row where rows are read one by one."""
    return int(state["examples_iterable"].get("num_chunks_since_previous_state", 0))


class Stream(ResumedOnce):
    """An `IterableDataset` of a stream: what costs the library's own the whole way costs this one nothing.

    `skip` and `shuffle` work on the index of the samples; rows without a format and in the format "torch" are cut from
    whole blocks. It stays a `Stream` after `skip`, `shuffle`, `with_format`, `shard` and `split_dataset_by_node`
    (`data/sharing.py`). All else takes samples as the library does.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self._in_rows:
            self._part()  # a state may be asked for before the first row

    @property
    def _in_rows(self) -> bool:
        """Whether this class cuts the rows itself."""
        return self._formatting is None or self._formatting.format_type == "torch"

    def _with(self, examples: StreamExamples, formatting: Any = None) -> Stream:
        """The same dataset over other examples, or in another format."""
        formatting = formatting or self._formatting
        return Stream(examples, info=self._info.copy(), split=self._split, formatting=formatting)

    def divides(self, readers: int) -> bool:
        """Whether so many readers get equally many samples, in every epoch."""
        return bool(self._ex_iterable.divides(readers))

    def with_format(self, type: str | None = None) -> Stream:
        """As in the library."""
        return self._with(self._ex_iterable, super().with_format(type)._formatting)

    def skip(self, n: int) -> datasets.IterableDataset:
        """All but the first `n` samples, in constant time; of one part (a rank's, say) its own first `n`.

        After `shuffle` it is the library's `skip`: exact, but it makes what it leaves out.
        """
        n = check_integer("n", n, 0, MAX_INDEX)
        return self._with(self._ex_iterable.skip(n)) if self._ex_iterable.can_skip else super().skip(n)

    def shard(self, num_shards: int, index: int, contiguous: bool = True) -> Stream:
        """Part `index` of `num_shards`; the parts share the blocks, whatever `contiguous` says."""
        return self._with(self._ex_iterable.shard_data_sources(num_shards, index, contiguous))

    def shuffle(
        self,
        seed: int | None = None,
        generator: np.random.Generator | None = None,
        buffer_size: int = 1000,
        max_buffer_input_shards: int = 10,  # noqa: ARG002  # the library's; blocks need no such thing
    ) -> datasets.IterableDataset:
        """The samples in another order: blocks change places, and rows change places within windows of `buffer_size`.

        The order is a function of the seed, so that a state resumes exactly where it was taken.
        """
        if self._ex_iterable.skipped:  # those samples stay out, whatever the order
            return super().shuffle(seed=seed, generator=generator, buffer_size=buffer_size)
        generator = np.random.default_rng(seed) if generator is None else copy.deepcopy(generator)
        return self._with(self._ex_iterable.shuffled(generator, check_integer("buffer_size", buffer_size, 1)))

    def _rows(self) -> Iterator[dict[str, Any]]:
        if not self._in_rows:
            yield from super()._rows()
            return
        examples, behind = self._part()
        formatter = get_formatter(self._formatting and self._formatting.format_type, features=self.features)
        yield from itertools.islice(examples.rows(formatter), behind, None)

    def _part(self) -> tuple[StreamExamples, int]:
        """The examples for this worker in this epoch, at the state to go on from; how many of their rows to drop."""
        examples: StreamExamples = self._ex_iterable
        if self.epoch and not examples.skipped:
            examples = examples.shuffle_data_sources(np.random.default_rng(self.epoch)).shift_rngs(self.epoch)
        if "torch" in sys.modules:
            from torch.utils.data import get_worker_info

            worker = get_worker_info()
            if worker is not None:
                examples = examples.shard_data_sources(worker.num_workers, worker.id)
        starting = self._starting_state_dict
        leaf, behind = examples._init_state_dict(), 0
        if starting and self.epoch == starting["epoch"]:
            rows = starting["examples_iterable"]
            leaf = examples.load_state_dict(rows["previous_state"] or rows["examples_iterable"])
            behind = _rows_behind(starting)
        # As the library keeps it for rows, so that its own iterables can go on from it.
        progress = {"batch_idx": 0, "num_chunks_since_previous_state": 0, "cropped_chunk_length": 0}
        rows = {"examples_iterable": leaf, "previous_state": None, **progress, "type": "RebatchedArrowExamplesIterable"}
        self._state_dict = {"examples_iterable": rows, "epoch": self.epoch}
        return examples, behind
