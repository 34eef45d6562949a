"""What the figures of the studies share: panels, curves and bars with their standard deviation over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray


def new_figure(
    title: str, panels: int, columns: int | None = None, width: float = 5.0, height: float = 3.8
) -> tuple[Figure, list[Any]]:
    """A figure with panels, side by side or in rows of `columns`, and the axes of the panels."""
    columns = columns or panels
    rows = -(-panels // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axis in axes:
        axis.grid(color="0.9", linewidth=0.6)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    return figure, axes


def curve(axis: Any, x: Sequence[float] | NDArray[Any], values: NDArray[Any], label: str, **style: Any) -> None:
    """The mean over the seeds, and a band of one standard deviation around it.

    Args:
        x: (points,).
        values: (seeds, points).
        style: of the line.
    """
    mean = np.mean(values, axis=0)
    (line,) = axis.plot(x, mean, label=label, **{"marker": "o", "markersize": 3, "linewidth": 1.4, **style})
    if len(values) > 1:
        std = np.std(values, axis=0, ddof=1)
        axis.fill_between(x, mean - std, mean + std, color=line.get_color(), alpha=0.18, linewidth=0)


def bars(axis: Any, places: Any, values: Sequence[NDArray[Any]], horizontal: bool = False, **style: Any) -> None:
    """A bar for the mean of each array (seeds,), with its standard deviation.

    Args:
        places: numbers or names, as many as there are arrays.
        style: of the bars.
    """
    means = [value.mean() for value in values]
    stds = [value.std(ddof=min(1, len(value) - 1)) for value in values]
    if horizontal:
        axis.barh(places, means, xerr=stds, **style)
    else:
        axis.bar(places, means, yerr=stds, **style)


def crosses(axis: Any, published: Mapping[Any, float], color: str, **style: Any) -> None:
    """A cross for each published value, by its place on the x axis."""
    axis.plot(list(published.keys()), list(published.values()), "x", color=color, **style)
