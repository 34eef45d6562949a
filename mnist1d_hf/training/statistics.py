"""Means, standard deviations and intervals over seeds or samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Two-sided 95 % quantiles of Student's t for 1 .. 30 degrees of freedom; beyond, the quantile of the normal
# distribution with a first-order correction is close enough.
_T95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


class Summary(NamedTuple):
    """Number of values, mean, standard deviation, and the 95 % interval of the mean."""

    n: int
    mean: float
    std: float
    low: float
    high: float


def summarize(values: Sequence[float] | NDArray[Any]) -> Summary:
    """Mean and standard deviation over seeds or samples, with Student's 95 % interval of the mean.

    Args:
        values: one for each independent seed or sample, (n,).

    Returns:
        Numbers in the unit of the values. With one value there is no standard deviation and no interval: they are NaN.

    >>> summary = summarize([0.9, 0.92, 0.94])
    >>> round(summary.mean, 3), round(summary.std, 3), round(summary.low, 3)
    (0.92, 0.02, 0.87)
    """
    array = np.asarray(values, dtype=float)
    n, mean = len(array), float(array.mean())
    if n < 2:
        return Summary(n, mean, math.nan, math.nan, math.nan)
    std = float(array.std(ddof=1))
    quantile = _T95[n - 2] if n - 1 <= len(_T95) else 1.960 + 2.4 / (n - 1)
    half = quantile * std / math.sqrt(n)
    return Summary(n, mean, std, mean - half, mean + half)


def standard_error(fraction: float, total: int) -> float:
    """The standard error of a fraction of `total` independent samples (binomial).

    >>> round(standard_error(0.994, 1000), 4)
    0.0024
    """
    return math.sqrt(fraction * (1 - fraction) / total)


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a fraction (Wilson 1927).

    Args:
        right, total: the fraction is right / total, an accuracy for example.

    Returns:
        Both ends of the interval, from 0 to 1.

    >>> [round(edge, 4) for edge in wilson_interval(958, 1000)]
    [0.9437, 0.9688]
    """
    z = 1.959964
    fraction = right / total
    centre = fraction + z * z / (2 * total)
    half = z * math.sqrt(fraction * (1 - fraction) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
