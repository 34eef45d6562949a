"""Makes `datasets.load_dataset("mnist1d")` find the builder.

Since datasets 4 there are no dataset scripts, so the one function that turns a name into a builder is wrapped.
Everything that is not exactly "mnist1d" goes to the library untouched.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import datasets.load

from mnist1d_hf.data.schema import ALGORITHM_HASH, DATASET_NAME

_BUILDER_MODULE = "mnist1d_hf.data.builder"
# Each of these has the factory under its own name.
_HOLDERS = ("datasets.load", "datasets.inspect", "datasets.commands.test")
_FACTORY = "dataset_module_factory"


def register() -> None:
    """Let `datasets` find "mnist1d". Doing it twice changes nothing.

    >>> register()
    >>> import datasets
    >>> datasets.get_dataset_config_names("mnist1d")[:2]
    ['default', 'noise-free']
    """
    for module in _loaded_holders():
        factory = getattr(module, _FACTORY)
        if not hasattr(factory, "_mnist1d_original"):
            setattr(module, _FACTORY, _wrapped(factory))


def unregister() -> None:
    """Undo `register`: `datasets` is as it was."""
    for module in _loaded_holders():
        factory = getattr(module, _FACTORY)
        if hasattr(factory, "_mnist1d_original"):
            setattr(module, _FACTORY, factory._mnist1d_original)


def _loaded_holders() -> list[Any]:
    return [sys.modules[name] for name in _HOLDERS if hasattr(sys.modules.get(name), _FACTORY)]


def _wrapped(factory: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(factory)
    def dataset_module_factory(path: Any, *args: Any, **kwargs: Any) -> Any:
        elsewhere = any(kwargs.get(name) for name in ("revision", "data_files", "data_dir"))
        if path != DATASET_NAME or args or elsewhere:
            return factory(path, *args, **kwargs)
        return datasets.load.DatasetModule(_BUILDER_MODULE, ALGORITHM_HASH, {"dataset_name": DATASET_NAME})

    dataset_module_factory._mnist1d_original = factory  # type: ignore[attr-defined]
    return dataset_module_factory
