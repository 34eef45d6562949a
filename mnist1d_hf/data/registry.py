"""Makes `datasets.load_dataset("mnist1d")` find the builder.

Since datasets 4 there are no dataset scripts, so the one function that turns a name into a builder is wrapped.
Everything that is not exactly "mnist1d" goes to the library untouched.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets.load

from mnist1d_hf.data.schema import ALGORITHM_HASH, DATASET_NAME

_BUILDER_MODULE = "mnist1d_hf.data.builder"
# Each of these has the factory under its own name.
_HOLDERS = ("datasets.load", "datasets.inspect", "datasets.commands.test")
_FACTORY = "dataset_module_factory"
# Of tables. Not ".txt" and pictures: a clone of the paper's repository has them.
_DATA_FILES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow")


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
        _warn_of_folder(Path(DATASET_NAME))
        return datasets.load.DatasetModule(_BUILDER_MODULE, ALGORITHM_HASH, {"dataset_name": DATASET_NAME})

    dataset_module_factory._mnist1d_original = factory  # type: ignore[attr-defined]
    return dataset_module_factory


def _warn_of_folder(folder: Path) -> None:
    """Warn if a folder of the dataset's name has data files, up to three levels deep, which will not be read."""
    paths = (path.relative_to(folder) for depth in ("*", "*/*", "*/*/*") for path in folder.glob(depth))
    names = (path for path in paths if path.name.removesuffix(".gz").endswith(_DATA_FILES))
    found = next((path for path in names if not any(part.startswith(".") for part in path.parts)), None)
    if found is None:
        return
    saved = (folder / datasets.config.DATASETDICT_JSON_FILENAME).exists()
    read = f'load_from_disk("{folder}")' if saved else f'load_dataset("./{folder}"), or data_dir="."'
    warnings.warn(
        f'the folder {folder.absolute()} holds data files ({found}), which were not read: "{DATASET_NAME}" is the '
        f"dataset of mnist1d_hf; to read the folder: {read}",
        stacklevel=1,  # this line, so that Python shows it once in a process, whichever function asks
    )
