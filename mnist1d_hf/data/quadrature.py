"""Averages of a Gaussian function of two variables over a rectangle, which may be narrow, wide, or far from its peak.

The function is exp(-d2(u, v) / 2) with d2(u, v) = d2(0, 0) - 2 (b1 u + b2 v) + g11 u² + 2 g12 u v + g22 v², and the
rectangle |u| <= width1 / 2, |v| <= width2 / 2. With the peak (u0, v0) of the function and

    t = sqrt(g11 - g12² / g22) (u - u0),        s = sqrt(g22) (v - v0) + k t,        k = g12 / sqrt(g11 g22 - g12²)

d2 is d2(u0, v0) + t² + s²: for each t, the range of s is an interval that moves with k t. Both integrals are taken by
Gauss-Legendre quadrature over the part of the rectangle where the function is above e**-18 of its largest value there.
The first needs the more points the larger |k| is, because the ends of the second then come in more suddenly.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_REACH = 6.0  # what is further from the peak, in standard deviations, is left out: e**-18
_INNER = 20  # points of the quadrature in s: relative error 2e-8; in t as many for k = 0, and 4 |k| more
_MOST_MORE = 1000  # points in t for |k| of 250 and more
_CHUNK = 2**19  # function values that are computed together: 4 MB an array
_FLAT = 1e-8  # added to d2 at the rectangle's corners, so that a peak exists where a direction is flat
_NEWTON = 8  # steps, on functions of three quadratic pieces


class Gaussians(NamedTuple):
    """The coefficients of `n` functions, each (n,): d2(0, 0); b1, b2; g11, g12, g22."""

    d2: Array
    b1: Array
    b2: Array
    g11: Array
    g12: Array
    g22: Array


class Averages(NamedTuple):
    """Of `n` functions: `log` (n,) of the average over the rectangle; `top` (2, n), the point of the rectangle where
    the function is largest, and `d2` (n,) there; `mean` and `square` (2, n), of u and v and of their squares, weighted
    by the function; None where they were not asked for."""

    log: Array
    top: Array
    d2: Array
    mean: Array | None
    square: Array | None

    def take(self, chosen: Array) -> Averages:
        """Those of some functions."""
        mean, square = (None if item is None else item[:, chosen] for item in (self.mean, self.square))
        return Averages(self.log[chosen], self.top[:, chosen], self.d2[chosen], mean, square)


def joined(parts: Sequence[Averages]) -> Averages:
    """Several averages as one."""
    items = (None if items[0] is None else np.concatenate(items, axis=-1) for items in zip(*parts, strict=True))
    return Averages(*items)  # type: ignore[arg-type]


def average(functions: Gaussians, widths: tuple[float, float], *, moments: bool = False) -> Averages:
    """Average each function over the rectangle; a width may be 0.

    The relative error is below 1e-7 for |k| up to 100, which is a correlation of 0.99995 between u and v.

    >>> one, zero = np.ones(1), np.zeros(1)
    >>> made = average(Gaussians(zero, zero, zero, one, zero, one), (2.0, 0.0))
    >>> round(float(np.exp(made.log[0])), 6)  # the mean of exp(-u² / 2) over |u| <= 1
    0.855624
    """
    flat = [_FLAT / (width / 2) ** 2 if width > 0 else 1.0 for width in widths]
    functions = functions._replace(g11=functions.g11 + flat[0], g22=functions.g22 + flat[1])
    points = _points(functions)
    result = np.empty((8 if moments else 4, len(points)))
    for count in np.unique(points).tolist():
        chosen = np.flatnonzero(points == count)
        step = max(1, _CHUNK // (count * _INNER))
        for start in range(0, len(chosen), step):
            part = chosen[start : start + step]
            result[:, part] = _average(Gaussians(*(item[part] for item in functions)), widths, count, moments)
    mean, square = (result[4:6], result[6:]) if moments else (None, None)
    return Averages(result[0], result[1:3], result[3], mean, square)


def log_upper_bound(precision: Array, width: float) -> Array:
    """An upper bound of the log of the average of exp(-precision (u - u0)² / 2) over an interval, for every u0."""
    if width == 0:
        return np.zeros_like(precision)
    return np.minimum(0.0, 0.5 * np.log(2 * np.pi / np.maximum(precision, 1e-300)) - np.log(width))


def _average(f: Gaussians, widths: tuple[float, float], count: int, moments: bool) -> Array:
    """Rows of the result of `average`: log, top (2), d2; mean (2), square (2)."""
    determinant = f.g11 * f.g22 - f.g12**2
    u0, v0 = (f.g22 * f.b1 - f.g12 * f.b2) / determinant, (f.g11 * f.b2 - f.g12 * f.b1) / determinant
    unit1, unit2 = np.sqrt(f.g22 / determinant), 1 / np.sqrt(f.g22)  # standard deviations of t and s
    first, last = (-widths[0] / 2 - u0) / unit1, (widths[0] / 2 - u0) / unit1
    strip = _Strip((-widths[1] / 2 - v0) / unit2, (widths[1] / 2 - v0) / unit2, f.g12 / np.sqrt(determinant))
    top = np.clip(strip.lowest(), first, last)
    least = strip.value(top)
    start, stop = (np.clip(strip.level(least + _REACH**2, side), first, last) for side in (-1, 1))
    nodes, weights = _legendre(count)
    t = start[:, None] + (stop - start)[:, None] * nodes
    sums, beyond = _Strip(*(item[:, None] for item in strip)).across(t, 2 if moments else 0)
    outer = np.exp((least[:, None] - t**2 - beyond**2) / 2) * weights * _fraction(start, stop, first, last)[:, None]
    total = (outer * sums[0]).sum(1)
    d2 = f.d2 - u0 * f.b1 - v0 * f.b2 + least
    rows = [np.log(total) - d2 / 2, u0 + unit1 * top, v0 + unit2 * (strip.nearest(top) - strip.slope * top), d2]
    if moments:
        outer /= total[:, None]
        u, place = u0[:, None] + unit1[:, None] * t, v0[:, None] - unit2[:, None] * strip.slope[:, None] * t
        step = unit2[:, None] * sums[1], unit2[:, None] ** 2 * sums[2]  # v is the place and unit2 times s
        values = u * sums[0], place * sums[0] + step[0], u**2 * sums[0]
        rows += [(outer * value).sum(1) for value in (*values, place**2 * sums[0] + 2 * place * step[0] + step[1])]
    return np.stack(rows)


class _Strip(NamedTuple):
    """The range of s for each t: from `low + slope t` to `high + slope t`. And t² + s² at the best s in this range."""

    low: Array
    high: Array
    slope: Array

    def nearest(self, t: Array) -> Array:
        """The s of least magnitude."""
        return np.clip(0.0, self.low + self.slope * t, self.high + self.slope * t)

    def value(self, t: Array) -> Array:
        """t² + s²: convex, made of three quadratic pieces."""
        return t**2 + self.nearest(t) ** 2

    def lowest(self) -> Array:
        """The t of the least value, by Newton's method, which is exact on a piece."""
        t = np.zeros_like(self.slope)
        for _ in range(_NEWTON):
            s = self.nearest(t)
            t = t - (t + s * self.slope) / (1 + np.where(s != 0, self.slope**2, 0.0))
        return t

    def level(self, level: Array, side: int) -> Array:
        """A t on this side of the lowest beyond which the value is above `level`: Newton's method, from outside."""
        t = side * np.sqrt(level)
        for _ in range(_NEWTON):
            t = t - (self.value(t) - level) / (2 * (t + self.nearest(t) * self.slope))
        return t

    def across(self, t: Array, powers: int) -> tuple[list[Array], Array]:
        """The averages of exp(-(s² - beyond²) / 2) s**power over the range of s, powers from 0 on; and the least
        magnitude `beyond` of s. All have the shape of t.

        With s = start + width x for the quadrature's points x, the exponent is a polynomial in x, so that a matrix
        product gives all exponents, and another one all sums.
        """
        low, high = self.low + self.slope * t, self.high + self.slope * t
        beyond = np.clip(0.0, low, high)
        reach = np.sqrt(beyond**2 + _REACH**2)
        start, stop = np.maximum(low, -reach), np.minimum(high, reach)
        width = stop - start
        nodes, weights = _legendre(_INNER)
        exponent = np.stack([(beyond - start) * (beyond + start) / 2, -start * width, -(width**2) / 2], axis=-1)
        values = exponent @ np.stack([np.ones(_INNER), nodes, nodes**2])
        np.exp(values, out=values)
        moments = values @ np.stack([weights * nodes**power for power in range(powers + 1)], axis=1)
        moments *= _fraction(start, stop, low, high)[..., None]
        parts = [moments[..., power] for power in range(powers + 1)]
        if powers:
            parts[2] = start**2 * parts[0] + 2 * start * width * parts[1] + width**2 * parts[2]
            parts[1] = start * parts[0] + width * parts[1]
        return parts, beyond


def _fraction(start: Array, stop: Array, low: Array, high: Array) -> Array:
    """How much of the interval from `low` to `high` is used; all of it where it has no width."""
    width = high - low
    return np.divide(stop - start, width, out=np.ones_like(width), where=width > 0)


def _points(f: Gaussians) -> Array:
    """Points of the quadrature in t."""
    slope = np.abs(f.g12) / np.sqrt(f.g11 * f.g22 - f.g12**2)
    return (_INNER + np.minimum(4 * np.ceil(slope), _MOST_MORE)).astype(np.int64)


@functools.lru_cache(maxsize=32)
def _legendre(count: int) -> tuple[Array, Array]:
    """Points from 0 to 1 and weights that sum to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2
