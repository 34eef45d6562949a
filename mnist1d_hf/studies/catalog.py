"""The studies by name. Each is imported when it is used: they need torch."""

from __future__ import annotations

import importlib
from typing import Any

from mnist1d_hf.errors import InvalidValueError, did_you_mean
from mnist1d_hf.studies.study import Study

STUDIES = {  # name -> module of this package, which has a `STUDY`
    "spatial-prior": "spatial_prior",
    "lottery": "lottery",
    "double-descent": "double_descent",
    "meta-learning-rate": "meta_learning_rate",
    "meta-activation": "meta_activation",
    "self-supervised": "self_supervised",
    "pooling": "pooling",
}


def find_study(name: str) -> Study[Any]:
    """The study called `name`.

    Raises:
        InvalidValueError: no such name; the message lists those that exist.

    >>> find_study("pooling").quick.seeds
    2
    """
    if name not in STUDIES:
        raise InvalidValueError(f"unknown study {name!r}: {did_you_mean(name, STUDIES)}")
    return importlib.import_module(f"mnist1d_hf.studies.{STUDIES[name]}").STUDY
