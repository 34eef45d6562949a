"""Power laws with a floor, loss = floor + factor * n ** -exponent: fits, with the floor known or not, and intervals."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist1d_hf.studies.claims import resampled

Array = NDArray[Any]

HUBER = 1e-3  # residuals of the log loss above this count linearly; of Hoffmann et al. 2022, appendix D.2
FLOORS = (1e-3, 0.3, 0.7, 0.95)  # where the search for the floor starts, as fractions of the smallest loss
ITERATIONS = 200
LEAST_FLOOR = 1e-6  # of a fit, as a fraction of the smallest loss: a smaller one cannot be told from 0


class PowerLaw(NamedTuple):
    """Fits of loss = floor + factor * n ** -exponent, each float64 (fits,)."""

    floor: Array
    factor: Array
    exponent: Array

    def at(self, n: Any) -> Array:
        """The fitted losses, (fits, points), at sizes (points,)."""
        return self.floor[:, None] + self.factor[:, None] * np.asarray(n, float) ** -self.exponent[:, None]


def fit(n: Any, loss: Any, fitted_floor: bool) -> PowerLaw:
    """Fit power laws by minimising the Huber loss of the residuals of the log loss (Hoffmann et al. 2022, arXiv
    2203.15556, there by L-BFGS from a grid of starts; here by damped Gauss-Newton steps with the weights of the Huber
    loss, until they change nothing, from several starts. Stopping early gave wrong values there: Besiroglu et al. 2024,
    arXiv 2404.10102).

    Args:
        n: sizes, (points,).
        loss: positive, (fits, points); less the floor where that is known.
        fitted_floor: whether there is a floor to be fitted; else it is 0.

    Returns:
        The best fit of all starts. NaN with fewer points than three (four with a floor), or where a loss is not
        positive.

    >>> n = np.array([100, 1000, 10_000, 100_000])
    >>> found = fit(n, [0.5 + 3 * n**-0.4], fitted_floor=True)
    >>> [float(value.round(4)[0]) for value in found]
    [0.5, 3.0, 0.4]
    """
    loss = np.atleast_2d(np.asarray(loss, float))
    good = (loss > 0).all(1) & np.isfinite(loss).all(1) & (loss.shape[1] >= (4 if fitted_floor else 3))
    result = np.full((3, len(loss)), np.nan)
    if good.any():
        log_n, y = np.log(np.asarray(n, float)), np.log(loss[good])
        middle = log_n.mean()
        starts = [_search(log_n - middle, y, _start(log_n - middle, y, floor)) for floor in FLOORS if fitted_floor]
        starts = starts or [_search(log_n - middle, y, _start(log_n - middle, y, 0.0))]
        costs = np.stack([cost for _, cost in starts])
        best = np.take_along_axis(np.stack([place for place, _ in starts]), costs.argmin(0)[None, :, None], 0)[0]
        floor, height, exponent = best.T
        result[:, good] = np.exp(floor), np.exp(height + exponent * middle), exponent
    return PowerLaw(*result)


def _start(x: Array, y: Array, fraction: float) -> Array:
    """Log floor, log height in the middle, exponent: with this floor, least squares of the log of the rest."""
    least = y.min(1, keepdims=True)
    rest = y + np.log1p(-fraction * np.exp(least - y))
    slope = (rest - rest.mean(1, keepdims=True)) @ x / (x @ x)
    with np.errstate(divide="ignore"):
        return np.stack([least[:, 0] + np.log(fraction), rest.mean(1), -slope], axis=1)


def _search(x: Array, y: Array, place: Array) -> tuple[Array, Array]:
    """Levenberg-Marquardt for all fits at once: parameters (fits, 3) and their cost (fits,)."""
    lowest = y.min(1) + np.log(LEAST_FLOOR)
    free = np.array([np.isfinite(place[0, 0]), True, True])
    damping = np.full(len(y), 1e-3)
    residual, slopes = _model(x, y, place)
    cost = _huber(residual)
    for _ in range(ITERATIONS):
        weighted = slopes * np.minimum(1.0, HUBER / np.maximum(np.abs(residual), 1e-12))[..., None]
        squares = np.swapaxes(weighted, 1, 2) @ slopes
        gradient = np.einsum("fpk,fp->fk", weighted, residual)
        squares = squares[:, free][:, :, free]
        ridge = np.einsum("fkk->fk", squares) * damping[:, None] + 1e-12
        step = np.linalg.solve(squares + ridge[..., None] * np.eye(free.sum()), gradient[:, free, None])[..., 0]
        tried = place.copy()
        tried[:, free] -= step.clip(-2, 2)
        tried[:, 0] = np.where(free[0], np.maximum(tried[:, 0], lowest), tried[:, 0])
        new_residual, new_slopes = _model(x, y, tried)
        new_cost = _huber(new_residual)
        better = new_cost < cost
        damping = np.where(better, damping / 4, damping * 4).clip(1e-9, 1e9)
        moved = better & (cost - new_cost > 1e-10 * cost)
        place[better], residual[better], slopes[better] = tried[better], new_residual[better], new_slopes[better]
        cost = np.where(better, new_cost, cost)
        if not moved.any() and (damping > 1e6)[~better].all():
            break
    return place, cost


def _model(x: Array, y: Array, place: Array) -> tuple[Array, Array]:
    """Residuals of the log loss (fits, points), and their derivatives (fits, points, 3)."""
    floor, height, exponent = place.T[..., None]
    falling = height - exponent * x
    log_loss = np.logaddexp(floor, falling)
    part = np.exp(falling - log_loss)  # of the loss that falls with n
    return log_loss - y, np.stack([1 - part, part, -part * x], axis=-1)


def _huber(residual: Array) -> Array:
    size = np.abs(residual)
    return np.asarray(np.where(size < HUBER, size**2 / 2, HUBER * (size - HUBER / 2)).sum(1))


def curvature(n: Any, loss: Any) -> Array:
    """By how much the local exponent rises from one decade of n to the next, float64 (fits,): 0 for a power law.

    Least squares of a parabola through the log loss (fits, points) against the log of n.

    >>> n = np.array([10, 100, 1000, 10_000])
    >>> curvature(n, [7.0 * n**-0.5, n ** -(0.5 + 0.05 * np.log10(n))]).round(6) + 0.0
    array([0. , 0.1])
    """
    x, y = np.log10(np.asarray(n, float)), np.log10(np.atleast_2d(loss))
    if len(x) < 3:
        return np.full(len(y), np.nan)
    return np.asarray(-2 * np.polyfit(x, y.T, 2)[0])


def slopes(n: Any, loss: Any) -> Array:
    """Local exponents between neighbouring sizes, float64 (fits, points - 1).

    >>> slopes([10, 100, 1000], [[1.0, 0.1, 0.1]]) + 0.0
    array([[1., 0.]])
    """
    return np.asarray(-np.diff(np.log(np.atleast_2d(loss)), axis=1) / np.diff(np.log(np.asarray(n, float))))


def resampled_means(values: Array, draws: int = 1000) -> Array:
    """Means over seeds and parts of the test set, both drawn anew with replacement: float64 (draws, points).

    Args:
        values: (seeds, points, parts).
        draws: always the same draws. There are none with one seed.
    """
    seeds, _, parts = values.shape
    rows, columns = resampled(seeds, draws), resampled(parts, draws)[: draws if seeds > 1 else 0]
    if parts == 1:
        columns = np.zeros((len(rows), 1), dtype=np.int64)
    of_seed = (rows[..., None] == np.arange(seeds)).mean(1)
    of_part = (columns[..., None] == np.arange(parts)).mean(1)
    return np.einsum("ds,spb,db->dp", of_seed, values, of_part, optimize=True)
