"""What the studies' figures have in common: panels, and curves with their spread over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray


def new_figure(
    title: str, panels: int, columns: int | None = None, width: float = 5.0, height: float = 3.8
) -> tuple[Figure, list[Any]]:
    """A figure with panels, side by side or in rows of `columns`, and their axes."""
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


def curve(axis: Any, x: Sequence[float], values: NDArray[Any], label: str, **style: Any) -> None:
    """The mean over the seeds, and one standard deviation around it.

    Args:
        x: (points,).
        values: (seeds, points).
        style: of the line.
    """
    mean = np.mean(values, axis=0)
    (line,) = axis.plot(x, mean, label=label, **{"marker": "o", "markersize": 3, "linewidth": 1.4, **style})
    if len(values) > 1:
        spread = np.std(values, axis=0, ddof=1)
        axis.fill_between(x, mean - spread, mean + spread, color=line.get_color(), alpha=0.18, linewidth=0)
