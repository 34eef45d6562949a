"""`mnist1d.utils`: seeds, pickles, attribute-style arguments, and the plot of ten signals."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
import random
from typing import Any

import numpy as np

from mnist1d_hf.compat.transform import transform

__all__ = [
    "ObjectView",
    "from_pickle",
    "np",  # the original's modules declare no names, so that `import *` gives those of their imports, too
    "pickle",
    "plot_signals",
    "random",
    "set_seed",
    "to_pickle",
    "transform",
]
if importlib.util.find_spec("matplotlib") is not None:
    __all__ += ["plt"]

plt: Any


def __getattr__(name: str) -> Any:
    """`plt`, as in the original, but not loaded before somebody asks for it."""
    if name == "plt":
        return importlib.import_module("matplotlib.pyplot")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def set_seed(seed: Any) -> None:
    """Seed the global generators of Python and NumPy.

    >>> set_seed(0)
    >>> round(float(np.random.rand()), 3)
    0.549
    """
    random.seed(seed)
    np.random.seed(seed)


def to_pickle(thing: Any, path: str | os.PathLike[str]) -> None:
    """Write an object to a file with `pickle`."""
    with open(path, "wb") as handle:
        pickle.dump(thing, handle, protocol=3)


def from_pickle(path: str | os.PathLike[str]) -> Any:
    """Read what `to_pickle` wrote. Only for files that you trust: a pickle can run any code.

    >>> to_pickle({"a": 1}, "thing.pkl")
    >>> from_pickle("thing.pkl")
    {'a': 1}
    """
    with open(path, "rb") as handle:
        return pickle.load(handle)


class ObjectView:
    """A dictionary whose keys are attributes.

    >>> ObjectView({"seed": 3}).seed
    3
    """

    def __init__(self, d: dict[str, Any]) -> None:
        self.__dict__ = d


def plot_signals(
    xs: Any,
    t: Any,
    labels: Any = None,
    args: Any = None,
    ratio: float = 2.6,
    do_transform: bool = False,
    dark_mode: bool = False,
    zoom: float = 1,
) -> Any:
    """Draw the first ten signals in a row, as the paper's figures do: time runs downwards.

    Args:
        xs: float (n, points), n at least 10.
        t: float (points,), the time axis.
        labels: (n,); written above the signals.
        args: as `get_dataset_args()` gives them; needed with `do_transform`.
        ratio: height of a panel by its width.
        do_transform: put each signal through `transform` first.
        dark_mode: white dots on black.
        zoom: both axes go from -zoom to zoom.

    Returns:
        The `matplotlib.figure.Figure`, after it was shown.
    """
    import matplotlib.pyplot as plt

    if do_transform and args is None:
        raise AssertionError("Need an args object in order to do transforms")
    figure, axes = plt.subplots(1, 10, figsize=[15, 1.5 * ratio], dpi=60)
    for number, axis in enumerate(axes):
        x, t = transform(xs[number], t, args) if do_transform else (xs[number], t)
        if dark_mode:
            axis.plot(x, t, "wo", linewidth=6)
            axis.set_facecolor("k")
        else:
            axis.plot(x, t, "k-", linewidth=2)
        if labels is not None:
            axis.set_title(f"label={labels[number]}", fontsize=22)
        axis.set(xlim=(-zoom, zoom), ylim=(zoom, -zoom), xticks=[], yticks=[])
    figure.subplots_adjust(wspace=0, hspace=0)
    figure.tight_layout()
    plt.show()
    return figure
