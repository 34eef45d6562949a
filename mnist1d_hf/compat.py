"""The functions of the PyPI package `mnist1d` over the generator of this one: one import line to change.

    from mnist1d.data import make_dataset, get_dataset_args      # before
    from mnist1d_hf.compat import make_dataset, get_dataset_args  # after

Same signatures, keys, types and, for the same arguments, the same bits. Two differences, both on purpose:
NumPy's and Python's global random states are left alone, and `get_dataset` always builds what was asked for
(the original may return the frozen default set whatever its arguments), without downloading or unpickling.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mnist1d_hf.data.config import ARGUMENTS, GeneratorConfig
from mnist1d_hf.data.generator import make_dataset as _make_dataset
from mnist1d_hf.data.templates import get_templates
from mnist1d_hf.errors import InvalidTypeError, InvalidValueError

__all__ = ["ObjectView", "get_dataset", "get_dataset_args", "get_templates", "make_dataset"]

_URL = (
    "https://github.com/greydanus/mnist1d/raw/master/mnist1d_data.pkl"  # part of the original's arguments; never opened
)


class ObjectView:
    """A dictionary whose keys are attributes.

    >>> ObjectView({"seed": 3}).seed
    3
    """

    def __init__(self, d: dict[str, Any]) -> None:
        self.__dict__ = d


def get_dataset_args(as_dict: bool = False) -> Any:
    """The default arguments, as an `ObjectView` or, with `as_dict`, a dictionary.

    >>> get_dataset_args().padding
    [36, 60]
    """
    default = GeneratorConfig()
    arguments = {name: getattr(default, name) for name in ARGUMENTS}
    arguments["padding"] = list(default.padding)
    arguments["url"] = _URL
    return arguments if as_dict else ObjectView(arguments)


def make_dataset(args: Any = None, template: Any = None) -> dict[str, Any]:
    """Make a dataset from attribute-style arguments; see `mnist1d_hf.make_dataset`.

    Args:
        args: any object with the attributes of `get_dataset_args()`; further ones are ignored, as in the original.
        template: `{"x", "t", "y"}`; the ten digits when None.

    Returns:
        `x`, `x_test` float64 (n, final_seq_length), `y`, `y_test` int64 (n,), `t` float64, `templates`.

    Raises:
        InvalidTypeError, InvalidValueError: an attribute is missing, or its value is not allowed.

    >>> args = get_dataset_args()
    >>> args.num_samples = 100
    >>> make_dataset(args)["x"].shape
    (80, 40)
    """
    return _make_dataset(None if args is None else _config(args), template)


def get_dataset(
    args: Any,
    path: Any = None,
    verbose: bool = True,
    download: bool = True,  # noqa: ARG001
    regenerate: bool = False,  # noqa: ARG001
    **kwargs: Any,
) -> dict[str, Any]:
    """Build the dataset that `args` describes; a build takes milliseconds, so nothing is read, fetched or written.

    Args:
        args: as in `make_dataset`.
        path, download, regenerate: accepted for the sake of code written for the original, and without effect.
        verbose: print one line about it.
        kwargs: `template`, as in `make_dataset`.

    Raises:
        InvalidTypeError, InvalidValueError: as in `make_dataset`.

    >>> get_dataset(get_dataset_args(), verbose=False)["x_test"].shape
    (1000, 40)
    """
    unknown = sorted(set(kwargs) - {"template"})
    if unknown:
        raise InvalidTypeError(f"get_dataset: unknown argument {unknown[0]!r}; allowed beside its own: template")
    dataset = make_dataset(args, **kwargs)
    if verbose:
        kept = "" if path is None else f"; {path} is neither read nor written"
        print(f"Built {len(dataset['y'])} training and {len(dataset['y_test'])} test samples from the arguments{kept}.")
    return dataset


def _config(args: Any) -> GeneratorConfig:
    """`args` as a `GeneratorConfig`."""
    if isinstance(args, dict):
        raise InvalidTypeError("args: expected an object with attributes, found a dict; wrap it: ObjectView(args)")
    missing = [name for name in ARGUMENTS if not hasattr(args, name)]
    if missing:
        raise InvalidValueError(f"args: missing {', '.join(missing)}; start from get_dataset_args()")
    values = {name: getattr(args, name) for name in ARGUMENTS}
    values["shuffle_seq"] = bool(values["shuffle_seq"])
    if isinstance(values["padding"], np.ndarray):
        values["padding"] = tuple(values["padding"].tolist())
    return GeneratorConfig(**values)
