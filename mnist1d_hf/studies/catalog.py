"""The studies by name. Every module of this package that defines `STUDY` is one; nothing else lists them."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from mnist1d_hf import studies
from mnist1d_hf.errors import InvalidValueError, did_you_mean
from mnist1d_hf.studies.study import Study


def all_studies() -> dict[str, Study[Any]]:
    """Name -> study, sorted by name.

    >>> "pooling" in all_studies()
    True
    """
    names = [f"{studies.__name__}.{module.name}" for module in pkgutil.iter_modules(studies.__path__)]
    found = [vars(importlib.import_module(name)).get("STUDY") for name in names]
    return {study.name: study for study in sorted(filter(None, found), key=lambda study: study.name)}


def find_study(name: str) -> Study[Any]:
    """The study called `name`.

    Raises:
        InvalidValueError: no study has that name; the message lists those that exist.

    >>> find_study("pooling").quick.seeds
    2
    """
    known = all_studies()
    if name not in known:
        raise InvalidValueError(f"unknown study {name!r}: {did_you_mean(name, known)}")
    return known[name]
