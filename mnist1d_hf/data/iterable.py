"""The stream as a `datasets.IterableDataset`: endless, with `skip` and `shuffle` that cost nothing."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import datasets
import numpy as np
from datasets.formatting import get_formatter

from mnist1d_hf.data.config import GeneratorConfig, check_integer
from mnist1d_hf.data.examples import StreamExamples
from mnist1d_hf.data.schema import Mnist1dBuilderConfig, dataset_info
from mnist1d_hf.data.stream import MAX_INDEX


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
    exactly once. A state (`state_dict`, `load_state_dict`) holds where it is; going on from it costs the same
    everywhere, and needs the same number of ranks and workers.

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
    """An `IterableDataset` that goes on from a state once; the next epoch has its full length.

    The library's own goes on from the same state again in each epoch, unless `set_epoch` is called between them.
    `map` (so `batch`, too), `filter` and `with_format` keep this class.
    """

    def __iter__(self) -> Iterator[Any]:
        yield from super().__iter__()
        self._starting_state_dict = None

    def iter(self, batch_size: int, drop_last_batch: bool = False) -> Iterator[Any]:
        """As in the library."""
        yield from super().iter(batch_size, drop_last_batch)
        self._starting_state_dict = None

    def map(self, *args: Any, **kwargs: Any) -> datasets.IterableDataset:
        """As in the library."""
        return _resumed_once(super().map(*args, **kwargs))

    def filter(self, *args: Any, **kwargs: Any) -> datasets.IterableDataset:
        """As in the library."""
        return _resumed_once(super().filter(*args, **kwargs))

    def with_format(self, type: str | None = None) -> datasets.IterableDataset:
        """As in the library."""
        return _resumed_once(super().with_format(type))


def _resumed_once(dataset: datasets.IterableDataset) -> ResumedOnce:
    return ResumedOnce(
        dataset._ex_iterable,
        info=dataset._info.copy(),
        split=dataset._split,
        formatting=dataset._formatting,
        distributed=copy.deepcopy(dataset._distributed),
        token_per_repo_id=dataset._token_per_repo_id,
    )


class Stream(ResumedOnce):
    """An `IterableDataset` of a stream: what costs the library's own the whole way costs this one nothing.

    `skip` and `shuffle` work on the index of the samples; rows in the format "torch" are cut from whole blocks. It
    stays a `Stream` after `skip`, `shuffle`, `with_format`, `shard` and `split_dataset_by_node` (`data/sharing.py`).
    All else takes samples as the library does.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self._in_rows:
            self._part()  # a state may be asked for before the first row

    @property
    def _in_rows(self) -> bool:
        """Whether this class cuts the rows itself."""
        return self._formatting is not None and self._formatting.format_type == "torch"

    def _with(self, examples: StreamExamples, formatting: Any = None) -> Stream:
        """The same dataset over other examples, or in another format."""
        formatting = formatting or self._formatting
        return Stream(examples, info=self._info.copy(), split=self._split, formatting=formatting)

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

    def __iter__(self) -> Iterator[Any]:
        yield from self._rows() if self._in_rows else super().__iter__()
        self._starting_state_dict = None

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
        """The examples that are for this worker in this epoch, at the state to go on from."""
        examples: StreamExamples = self._ex_iterable
        if self.epoch and not examples.skipped:
            examples = examples.shuffle_data_sources(np.random.default_rng(self.epoch)).shift_rngs(self.epoch)
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
