"""How other libraries share a stream among ranks: each rank makes its own blocks, at full speed.

Four functions are wrapped, because they know the libraries' own datasets only, and nothing can be registered with them:

- `datasets.distributed.split_dataset_by_node` returns a plain `IterableDataset`. Of a `Stream` it gives a `Stream`.
- So do `concatenate_datasets` and `interleave_datasets`. What is made of streams goes on from a state as they do.
- accelerate, and with it the `transformers.Trainer`, lets rank 0 read an iterable dataset and send the rows to the
  others, unless `dispatch_batches=False` says otherwise. For a `Stream` of which all ranks get equally many samples,
  False is the default here. (If one rank had a batch more than another, it would wait for the other for ever.)
  What is split already is not split again.

Other datasets, and arguments that the user gave, go to the libraries untouched.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import datasets.combine
import datasets.distributed

from mnist1d_hf.data.iterable import ResumedOnce, Stream, resumed_once
from mnist1d_hf.lazy import after_import

_SPLIT, _PREPARE = "_split_by_node_iterable_dataset", "prepare_data_loader"
_COMBINE = ("_concatenate_iterable_datasets", "_interleave_iterable_datasets")


def register() -> None:
    """Wrap them, that of accelerate when it is imported. Doing it twice changes nothing."""
    _wrap(datasets.distributed, _SPLIT, _split)
    for name in _COMBINE:
        _wrap(datasets.combine, name, _combine)
    after_import("accelerate.accelerator", lambda module: _wrap(module, _PREPARE, _prepare))


def _wrap(module: ModuleType, name: str, ours: Any) -> None:
    theirs = getattr(module, name, None)  # a release without it keeps the library's ways
    if theirs is not None and not hasattr(theirs, "_mnist1d_original"):
        wrapped = functools.wraps(theirs)(functools.partial(ours, theirs))
        wrapped._mnist1d_original = theirs  # type: ignore[attr-defined]
        setattr(module, name, wrapped)


def _split(theirs: Any, dataset: Any, *args: Any, **kwargs: Any) -> Any:
    part = theirs(dataset, *args, **kwargs)
    if isinstance(dataset, Stream):
        shared = part._distributed
        if shared.strategy != "examples" and dataset.num_shards >= shared.world_size:
            return dataset._with(dataset._ex_iterable.split(shared.world_size, shared.rank))
        # Else each rank reads all, and drops some.
    return resumed_once(part) if isinstance(dataset, ResumedOnce) else part


def _combine(theirs: Any, parts: Any, *args: Any, **kwargs: Any) -> Any:
    whole = theirs(parts, *args, **kwargs)
    return resumed_once(whole) if any(isinstance(part, ResumedOnce) for part in parts) else whole


def _prepare(theirs: Any, dataloader: Any, *args: Any, **kwargs: Any) -> Any:
    dataset, dispatch = dataloader.dataset, kwargs.get("dispatch_batches")
    if isinstance(dataset, ResumedOnce) and not kwargs.get("split_batches"):
        if dataset.is_split and not dispatch:  # a second time would lose samples
            kwargs.update(num_processes=1, process_index=0, dispatch_batches=False)
        elif dispatch is None and isinstance(dataset, Stream) and dataset.divides(kwargs.get("num_processes") or 1):
            kwargs["dispatch_batches"] = False
    return theirs(dataloader, *args, **kwargs)
