"""What waits until another library is imported; and how transformers knows the networks before torch is needed.

transformers keeps a table of the names of configurations, and imports `transformers.models.NAME` when it first needs
one. The table gets the entry "mnist1d" as soon as transformers has made it; the module behind that entry imports
`mnist1d_hf.models`, which registers everything else.
"""

from __future__ import annotations

import importlib
import importlib.abc
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_TABLE = "transformers.models.auto.configuration_auto"
_NAME, _CONFIG = "mnist1d", "Mnist1dConfig"


_WAITING: dict[str, Callable[[ModuleType], None]] = {}


def register() -> None:
    """Announce the networks, now or when transformers is imported. Doing it twice changes nothing."""
    after_import(_TABLE, _announce)


def after_import(name: str, act: Callable[[ModuleType], None]) -> None:
    """Call `act(module)` now if the module is loaded, and each time it is."""
    _WAITING[name] = act
    if name in sys.modules:
        act(sys.modules[name])
    if not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())


def _announce(table: ModuleType) -> None:
    module = ModuleType(f"transformers.models.{_NAME}", __doc__)
    module.__getattr__ = _attribute  # type: ignore[method-assign]
    sys.modules[module.__name__] = module
    table.CONFIG_MAPPING_NAMES[_NAME] = _CONFIG
    vars(table).get("MODEL_NAMES_MAPPING", {})[_NAME] = "MNIST-1D"  # a second table of older releases, for docstrings


def _attribute(name: str) -> Any:
    if name != _CONFIG:
        raise AttributeError(name)
    return importlib.import_module("mnist1d_hf.models").Mnist1dConfig


class _AfterImport(importlib.abc.MetaPathFinder):
    """Finds a module as usual, and calls what waits for it each time it has run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in _WAITING else None
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_act(module: ModuleType) -> None:
                run(module)
                _WAITING[fullname](module)

            spec.loader.exec_module = run_and_act  # type: ignore[method-assign]
        return spec
