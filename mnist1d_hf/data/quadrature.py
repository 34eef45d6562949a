"""Averages of a Gaussian function of two variables over a rectangle, which may be narrow, wide, or far from its peak.

The function of u and v is exp(-d2 / 2) with

    d2 = rest + (t - t0)² + (s - s0)²,        t = h11 du,        s = h12 du + h22 dv,

where (du, dv) leads from a point near the best one of the rectangle to (u, v): far from it, d2 would be a small
difference of large numbers. The rectangle is |u| <= width1 / 2, |v| <= width2 / 2: for each t, the range of s is an
interval that moves with `slope` t, slope = h12 / h11. Both integrals are taken by Gauss-Legendre quadrature over the
part of the rectangle where the function is above e**-18 of its largest value there. In the first, the ends of the
second come in the more suddenly the steeper the slope is. So it needs more points, and where the slope is large,
panels of their own for the two places where that happens.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_REACH = 6.0  # what is further from the peak, in standard deviations, is left out: e**-18
_INNER = 20  # points of the quadrature in s: relative error 2e-8; in t as many for slope 0, and 4 |slope| more
_STEEP = 10  # slopes from which the quadrature in t has panels
_PANELS = 5  # of _INNER points each
_CHUNK = 2**19  # function values that are computed together: 4 MB an array
_FLAT = 1e-8  # added to d2 at the rectangle's edges, so that a peak exists where a direction is flat


class Gaussians(NamedTuple):
    """The coefficients of `n` functions, each (n,): the point (u, v) of the rectangle around which they are given, and
    what the text above calls rest; t0, s0; h11, h12, h22, of which h11 and h22 are not negative."""

    u: Array
    v: Array
    rest: Array
    t0: Array
    s0: Array
    h11: Array
    h12: Array
    h22: Array


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
    """Average each function over the rectangle; a width may be 0. The relative error is below 1e-7.

    >>> one, zero = np.ones(1), np.zeros(1)
    >>> made = average(Gaussians(zero, zero, zero, zero, zero, one, zero, one), (2.0, 0.0))
    >>> round(float(np.exp(made.log[0])), 6)  # the mean of exp(-u² / 2) over |u| <= 1
    0.855624
    """
    functions = _with_a_peak(functions, widths)
    slope = np.ceil(np.abs(functions.h12 / functions.h11))
    points = np.where(slope < _STEEP, _INNER + 4 * slope, _PANELS * _INNER).astype(np.int64)
    result = np.empty((8 if moments else 4, len(points)))
    for count in np.unique(points).tolist():
        chosen = np.flatnonzero(points == count)
        step = max(1, _CHUNK // (count * _INNER))
        for start in range(0, len(chosen), step):
            part = chosen[start : start + step]
            result[:, part] = _average(Gaussians(*(item[part] for item in functions)), widths, count, moments)
    mean, square = (result[4:6], result[6:]) if moments else (None, None)
    return Averages(result[0], result[1:3], result[3], mean, square)


def best_points(functions: Gaussians, widths: tuple[float, float]) -> tuple[Array, Array]:
    """u and v, each (n,), of the point of the rectangle where each function is largest."""
    functions = _with_a_peak(functions, widths)
    strip, first, last = _strip(functions, widths)
    u, v = _point(functions, strip, np.clip(strip.lowest(), first, last))
    return tuple(np.clip(item, -width / 2, width / 2) for item, width in zip((u, v), widths, strict=True))  # type: ignore[return-value]


def log_upper_bound(precision: Array, width: float) -> Array:
    """An upper bound of the log of the average of exp(-precision (u - u0)² / 2) over an interval, for every u0."""
    if width == 0:
        return np.zeros_like(precision)
    return np.minimum(0.0, 0.5 * np.log(2 * np.pi / np.maximum(precision, 1e-300)) - np.log(width))


def _with_a_peak(f: Gaussians, widths: tuple[float, float]) -> Gaussians:
    """The functions with a little curvature where they have none; at (u, v), value and gradient stay."""
    flat = [_FLAT**0.5 / (width / 2) if width > 0 else 1.0 for width in widths]
    h11, h22 = np.hypot(f.h11, flat[0]), np.hypot(f.h22, flat[1])
    t0 = f.t0 * f.h11 / h11
    return f._replace(rest=f.rest + f.t0**2 - t0**2, t0=t0, h11=h11, h22=h22)


def _strip(f: Gaussians, widths: tuple[float, float]) -> tuple[_Strip, Array, Array]:
    """The range of s, and the first and the last t."""
    low, high = (f.h22 * (side * widths[1] / 2 - f.v) - f.s0 for side in (-1, 1))
    first, last = (f.h11 * (side * widths[0] / 2 - f.u) for side in (-1, 1))
    return _Strip(low, high, f.h12 / f.h11, f.t0), first, last


def _point(f: Gaussians, strip: _Strip, t: Array) -> tuple[Array, Array]:
    """u and v of the best s for a t."""
    return f.u + t / f.h11, f.v + (f.s0 + strip.nearest(t) - strip.slope * t) / f.h22


def _average(f: Gaussians, widths: tuple[float, float], count: int, moments: bool) -> Array:
    """Rows of the result of `average`: log, top (2), d2; mean (2), square (2)."""
    strip, first, last = _strip(f, widths)
    top = np.clip(strip.lowest(), first, last)
    least = strip.value(top)
    start, stop = (np.clip(strip.level(least + _REACH**2, side), first, last) for side in (-1, 1))
    t, weights = strip.nodes(start, stop, count)
    columns = _Strip(*(item[:, None] for item in strip))
    sums, beyond = columns.across(t, 2 if moments else 0)
    outer = np.exp((least[:, None] - (t - columns.peak) ** 2 - beyond**2) / 2) * weights
    outer *= _fraction(start, stop, first, last)[:, None]
    total = (outer * sums[0]).sum(1)
    d2 = f.rest + least
    rows = [np.log(total) - d2 / 2, *_point(f, strip, top), d2]
    if moments:
        outer /= total[:, None]
        u, h22 = (f.u + t.T / f.h11).T, f.h22[:, None]
        place = f.v[:, None] + (f.s0[:, None] - columns.slope * t) / h22
        step = sums[1] / h22, sums[2] / h22**2  # v is the place and the strip's s / h22
        values = u * sums[0], place * sums[0] + step[0], u**2 * sums[0]
        rows += [(outer * value).sum(1) for value in (*values, place**2 * sums[0] + 2 * place * step[0] + step[1])]
    return np.stack(rows)


class _Strip(NamedTuple):
    """The range of s - s0 for each t, here called s: from `low + slope t` to `high + slope t`. `peak` is t0."""

    low: Array
    high: Array
    slope: Array
    peak: Array

    def nearest(self, t: Array) -> Array:
        """The s of least magnitude."""
        return np.clip(0.0, self.low + self.slope * t, self.high + self.slope * t)

    def value(self, t: Array) -> Array:
        """(t - t0)² + s² at the best s: convex, made of three quadratic pieces. On the middle one, s is 0."""
        return (t - self.peak) ** 2 + self.nearest(t) ** 2

    def lowest(self) -> Array:
        """The t of the least value: that of the piece on which the peak lies."""
        s, steep = self.nearest(self.peak), 1 + self.slope**2
        return np.where(s == 0, self.peak, (self.peak - self.slope * self._edge(s)) / steep)

    def level(self, level: Array, side: int) -> Array:
        """The t on this side of the lowest where the value is `level`: on the middle piece, if s is 0 there."""
        t = self.peak + side * np.sqrt(level)
        s, steep = self.nearest(t), 1 + self.slope**2
        edge = self._edge(s)
        above = level - (edge + self.slope * self.peak) ** 2 / steep
        outer = (self.peak - self.slope * edge) / steep + side * np.sqrt(np.maximum(above, 0.0) / steep)
        return np.where(s == 0, t, outer)

    def _edge(self, s: Array) -> Array:
        return np.where(s > 0, self.low, self.high)

    def nodes(self, start: Array, stop: Array, count: int) -> tuple[Array, Array]:
        """Points t from `start` to `stop`, and weights that sum to 1: arrays (n, count)."""
        edges = np.stack([start, stop], axis=-1)
        if count == _PANELS * _INNER:
            sudden = np.stack([-(edge + side * _REACH) / self.slope for edge in self[:2] for side in (-1, 1)], axis=-1)
            edges = np.sort(np.concatenate([edges, np.clip(sudden, edges[:, :1], edges[:, 1:])], axis=-1), axis=-1)
            count = _INNER
        nodes, weights = _legendre(count)
        width = np.diff(edges)[..., None]
        whole = (stop - start)[:, None, None]
        part = np.divide(width, whole, out=np.full_like(width, 1 / width.shape[1]), where=whole > 0)
        n = len(start)
        return (edges[:, :-1, None] + width * nodes).reshape(n, -1), (part * weights).reshape(n, -1)

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


@functools.lru_cache(maxsize=32)
def _legendre(count: int) -> tuple[Array, Array]:
    """Points from 0 to 1 and weights that sum to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2
