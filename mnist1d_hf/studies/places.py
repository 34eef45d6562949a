"""Places on curves: where a loss peaks, from which size of a network on a training set is fitted.

Sizes are (widths,), rising; what was measured there is (seeds, widths).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def peaks(size: NDArray[Any], loss: NDArray[Any], prominent: float, ends: bool = False) -> NDArray[Any]:
    """The size at the peak of each seed's loss, float64 (seeds,).

    A size's prominence is the smaller one of the rise from the least loss at smaller sizes and the fall to the least
    loss at greater ones. The peak is the size of the greatest prominence. Losses that are not finite count as huge.

    Args:
        prominent: there is no peak if its prominence is less than this fraction of the loss there.
        ends: whether a seed without a peak gets the end of the sizes with the greater loss, instead of NaN.

    >>> peaks(np.array([1, 2, 4]), np.array([[1.0, 2.0, 1.5], [3.0, 2.0, 1.0]]), prominent=0.05)
    array([ 2., nan])
    """
    loss = np.where(np.isfinite(loss), loss, 1e30)
    rise = loss - np.minimum.accumulate(loss, axis=1)
    fall = loss - np.minimum.accumulate(loss[:, ::-1], axis=1)[:, ::-1]
    prominence = np.minimum(rise, fall)
    place, seed = prominence.argmax(1), np.arange(len(loss))
    found = prominence[seed, place] >= prominent * np.abs(loss[seed, place])
    instead = np.where(loss[:, 0] > loss[:, -1], size[0], size[-1]) if ends else np.nan
    return np.where(found, size[place], instead).astype(float)


def interpolated_peak(size: NDArray[Any], loss: NDArray[Any], place: int | None = None) -> float:
    """The size at the top of a curve, between the sizes that were tried.

    A parabola through the peak and its two neighbours in log size; its top is the answer. So the result does not jump
    with the grid. For an interval, give this function to `claims.bootstrap`.

    Args:
        size: rising, (points,).
        loss: (points,).
        place: index of the peak; by default that of the greatest loss.

    Returns:
        NaN if the peak is the first or the last size, or not finite.

    >>> sizes = np.array([100.0, 200.0, 400.0])
    >>> round(interpolated_peak(sizes, -((np.log(sizes) - np.log(250)) ** 2)))
    250
    """
    place = int(np.argmax(loss)) if place is None else place
    if not 0 < place < len(size) - 1 or not np.isfinite(loss[place - 1 : place + 2]).all():
        return math.nan
    x = np.log(size[place - 1 : place + 2].astype(float))
    curvature, slope, _ = np.polyfit(x - x[1], loss[place - 1 : place + 2], 2)
    if curvature >= 0:  # all three are equal, or the peak is none
        return float(size[place])
    return float(np.exp(np.clip(x[1] - slope / (2 * curvature), x[0], x[2])))


def thresholds(size: NDArray[Any], fitted: NDArray[Any], ends: bool = False) -> NDArray[Any]:
    """The size from which on each seed fits its training set, float64 (seeds,): the geometric mean of the last size
    that does not and the next one.

    Args:
        fitted: bool.
        ends: whether a seed that never fits gets the last size, and one that always does the first, instead of NaN.

    >>> thresholds(np.array([1, 2, 8]), np.array([[False, False, True], [True, True, True]]))
    array([ 4., nan])
    """
    sizes = size.astype(float)
    between = np.sqrt(sizes[:-1] * sizes[1:])
    below, above = (sizes[0], sizes[-1]) if ends else (np.nan, np.nan)
    candidates = np.array([below, *between, above])
    failed = [np.flatnonzero(~row).max(initial=-1) for row in fitted]  # the last size that does not fit
    return candidates[np.array(failed) + 1]


def slopes(values: NDArray[Any], places: NDArray[Any]) -> NDArray[Any]:
    """The slope of log places (values, seeds) over log values (values,) for each seed, float64 (seeds,), from the
    places that the seed has; NaN with fewer than two.

    >>> slopes(np.array([1, 10]), np.array([[1.0, 1.0], [100.0, np.nan]])).round(6)
    array([ 2., nan])
    """
    found = []
    for column in np.log(places).T:
        known = np.isfinite(column)
        found.append(np.polyfit(np.log(values)[known], column[known], 1)[0] if known.sum() > 1 else np.nan)
    return np.array(found)


def last_fall(size: NDArray[Any], error: NDArray[Any], after: float) -> NDArray[Any]:
    """The fall of the error from its peak to the greatest size, (seeds,). The peak is where the mean over the seeds is
    highest behind its minimum below the size `after`."""
    mean = error.mean(0)
    low = int(mean[size < after].argmin())
    peak = low + int(mean[low:].argmax())
    return np.asarray(error[:, peak] - error[:, -1])


def greatest_rise(error: NDArray[Any]) -> NDArray[Any]:
    """The rise of the error between the two sizes where the mean over the seeds rises most, (seeds,)."""
    mean = error.mean(0)
    first, second = max(itertools.combinations(range(len(mean)), 2), key=lambda pair: mean[pair[1]] - mean[pair[0]])
    return np.asarray(error[:, second] - error[:, first])


def extrema(curve: Sequence[float]) -> int:
    """The number of local extrema of a function, from its values at rising places.

    >>> extrema([0.0, 1.0, 0.5, 0.5, 0.7])
    2
    """
    signs = np.sign(np.diff(np.asarray(curve)))
    signs = signs[signs != 0]
    return int((signs[1:] != signs[:-1]).sum())
