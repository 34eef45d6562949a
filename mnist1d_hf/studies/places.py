"""Places on curves: where a loss peaks, how such places grow, how many extrema a function has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

HUGE = 1e30  # stands for a loss that is not finite


def peaks(size: NDArray[Any], loss: NDArray[Any], prominent: float = 0.0) -> NDArray[Any]:
    """The size at the peak of each curve, between the sizes that were tried, float64 (...).

    A size's prominence is the smaller one of the rise from the least loss at smaller sizes and the fall to the least
    loss at greater ones. The peak is the size of the greatest prominence, moved to the top of the parabola through it
    and its two neighbours in log size. So the result does not jump with the grid. Losses that are not finite count as
    huge. For an interval over seeds, give this function the mean curves of resampled seeds.

    Args:
        size: rising, (points,).
        loss: (..., points).
        prominent: there is no peak if its prominence is at most this fraction of the loss there.

    Returns:
        NaN for a curve without a peak: it has fewer than three sizes, or rises or falls all the way.

    >>> size = np.array([100.0, 200.0, 400.0])
    >>> peaks(size, np.array([-((np.log(size) - np.log(250)) ** 2), size])).round()
    array([250.,  nan])
    """
    if len(size) < 3:
        return np.full(np.shape(loss)[:-1], np.nan)
    loss = np.where(np.isfinite(loss), loss, HUGE)
    rise = loss - np.minimum.accumulate(loss, axis=-1)
    fall = loss - np.minimum.accumulate(loss[..., ::-1], axis=-1)[..., ::-1]
    prominence = np.minimum(rise, fall)
    place = prominence.argmax(-1)[..., None]
    top = np.take_along_axis(loss, place, -1)[..., 0]
    found = prominence.max(-1) > prominent * np.abs(top)
    inside = place.clip(1, len(size) - 2)
    x = np.log(size.astype(float))
    (x0, x1, x2), (y0, y1, y2) = (
        [np.take_along_axis(np.broadcast_to(values, loss.shape), inside + shift, -1)[..., 0] for shift in (-1, 0, 1)]
        for values in (x, loss)
    )
    left, right = (y1 - y0) / (x1 - x0), (y1 - y2) / (x2 - x1)  # slopes on both sides, downwards from the peak
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.nan_to_num((left * (x2 - x1) - right * (x1 - x0)) / (2 * (left + right))).clip(x0 - x1, x2 - x1)
    return np.where(found, np.exp(x1 + moved), np.nan)


def exponents(places: NDArray[Any], factors: NDArray[Any]) -> NDArray[Any]:
    """The exponents of a power law, place = c * factor1 ** e1 * factor2 ** e2 ..., float64 (fits, factors).

    Least squares of the logarithms. A place that is NaN is left out of its fit. Of a factor that does not vary there,
    the exponent is 0.

    Args:
        places: (fits, points).
        factors: (points, factors).

    >>> n = np.array([[100.0], [200.0], [400.0]])
    >>> exponents(np.array([[5.0, 10.0, 20.0], [3.0, np.nan, 48.0]]), n).round(6).tolist()
    [[1.0], [2.0]]
    """
    known = np.isfinite(places).astype(float)
    value = np.where(known > 0, np.log(np.where(known > 0, places, 1.0)), 0.0)
    column = np.log(np.broadcast_to(factors, (len(places), *factors.shape)))
    total = np.maximum(known.sum(1), 1)
    column = (column - (np.einsum("fp,fpk->fk", known, column) / total[:, None])[:, None]) * known[..., None]
    squares = np.einsum("fpk,fpl->fkl", column, column)
    found = np.linalg.pinv(squares, hermitian=True) @ np.einsum("fpk,fp->fk", column, value)[..., None]
    return np.asarray(found[..., 0])


def extrema(curve: Sequence[float]) -> int:
    """The number of local extrema of a function, from its values at rising places.

    >>> extrema([0.0, 1.0, 0.5, 0.5, 0.7])
    2
    """
    signs = np.sign(np.diff(np.asarray(curve)))
    signs = signs[signs != 0]
    return int((signs[1:] != signs[:-1]).sum())
