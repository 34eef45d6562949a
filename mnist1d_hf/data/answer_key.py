"""Bayes' rule for the generator: the tables of a configuration, and the probabilities of signals by them.

Given class, padding and translation (a *combination*; 12,000 by default) a signal is

    scale * clean - shear * slope + noise,        noise ~ N(0, C),        scale and shear uniform on a rectangle,

so the likelihood of a combination is the average of a Gaussian function over the rectangle, and p(class | x) is a ratio
of finite sums. What each step may change in a probability:

- C depends on where the template lies (a *group* of combinations; 384 by default) and is factored once, in float64.
- Screening: the best scale inside its range and the best shear anywhere give an upper bound of a combination's
  likelihood. Those below e**-26 of the signal's likelihood are left out: together less than 12,000 e**-26 = 6e-8.
- Averages over the rectangle, by quadrature: relative error below 1e-7.
- The rounding of float32 signals stands in the model as noise with a standard deviation of 1e-6 of the signals'. So the
  formulas hold where a noise is 0: they give the limit of small noise, up to signals that agree with combinations of
  two classes to five digits. By default, C changes by 1e-9 of itself.
- Distances from the nearest signal of a combination are taken from the difference itself, not from products of large
  numbers: so float64 is enough also for noise of 1e-6.

The correlated noise is the paper's. The stream leaves out a millionth of its variance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.generator import LATENTS, SignalMaker
from mnist1d_hf.data.quadrature import Averages, Gaussians, average, best_points, joined, log_upper_bound
from mnist1d_hf.data.templates import Templates
from mnist1d_hf.errors import InvalidValueError

Array = NDArray[Any]

ROUNDING = 1e-6  # standard deviation of the rounding error, in standard deviations of the signals
_LEFT_OUT = 26.0  # a combination below e**-26 of a signal's likelihood may be left out
_FIRST_GUESS = 32.0  # the same, below the largest upper bound: enough for nearly all signals
_SIGNALS = 1024  # that are worked on together
_PAIRS = 2**15  # of a signal and a combination that are averaged together: their arrays stay small
_SCREENED = 2**19  # numbers of the screening's working arrays, which should stay in the processor's cache
_MOST_NUMBERS = 2**24  # of the tables, which there are seven of
_SINGLE = 1e5  # largest term of the screening's bounds for which single precision is enough: an error of 0.1


class Latents(NamedTuple):
    """What is known of the latents of `n` signals: dicts of arrays (n,).

    Attributes:
        mean, std: of the posterior of padding, scale, translation and shear; float64.
        mode: the most probable combination, `label` (row of the template), `padding` and `translation`, int64; with the
            most probable `scale` and `shear` given these, float64.
    """

    mean: dict[str, Array]
    std: dict[str, Array]
    mode: dict[str, Array]


class Scores(NamedTuple):
    """Of `n` signals in the generator's units.

    Attributes:
        probability: p(class | signal), float64 (n, classes).
        log_likelihood: log p(signal), the density in the generator's units, float64 (n,).
        misfit: squared distance from the nearest signal without noise, in standard deviations of the noise: about as
            large as the number of points, if the signal comes from this configuration; float64 (n,).
        latents: where they were asked for.
    """

    probability: Array
    log_likelihood: Array
    misfit: Array
    latents: Latents | None


class _Combinations(NamedTuple):
    """Class, padding and translation, int64, and the log of the prior probability, each (combinations,)."""

    label: Array
    padding: Array
    translation: Array
    log_prior: Array


class _Screen(NamedTuple):
    """Tables for upper bounds, in single or double precision. `d` dimensions, `g` groups, `c` combinations."""

    whiten: Array  # (d, d * g): to white noise without the component along the slope, over the root of 2
    direction: Array  # (d, c): to the component along the clean signal, in the same units
    low: Array  # (c,): that component for the least and the greatest scale
    high: Array
    constant: Array  # (c,): prior, size of the noise, bounds of the averages


class AnswerKey:
    """The tables of a configuration: all of Bayes' rule that does not depend on the signal.

    Signals are projected on the `d` dimensions that they can fill: all, unless they have more points than the
    generator's working grid. Combinations of the same group stand together.

    Args:
        config: what shapes a sample of it counts.
        rounding: standard deviation of the rounding error, in the generator's units.
    """

    def __init__(self, config: GeneratorConfig, templates: Templates, rounding: float) -> None:
        self.config, self.rounding = config, rounding
        self.num_classes = len(templates["y"])
        maker = SignalMaker(config, templates["x"])
        unordered = _combinations(config, self.num_classes)
        rows = maker.translate(maker.dilate(unordered.label, unordered.padding), unordered.translation)
        subsample = maker.subsample(np.eye(config.padded_length))  # (length, points of the working grid)
        used = subsample.any(0)
        noisy = rows[used].T == 0  # the padding takes the correlated noise
        _, first, group, self._counts = np.unique(
            np.packbits(noisy, axis=1), axis=0, return_index=True, return_inverse=True, return_counts=True
        )
        order = np.argsort(group.reshape(-1), kind="stable")
        self.combinations = _Combinations(*(part[order] for part in unordered))
        self.group = group.reshape(-1)[order]
        self.basis = np.linalg.qr(subsample)[0]  # (length, d)
        project = self.basis.T @ subsample
        check_size(config, self.num_classes, len(first))
        smooth = maker.smooth(np.eye(config.padded_length))[used]
        lower = self._factor((project[:, used] * noisy[first, None, :]) @ smooth, project)
        diagonal = np.abs(np.diagonal(lower, axis1=1, axis2=2))
        self.log_scale = -np.log(diagonal).sum(1)[self.group]  # of the densities: (c,)
        self.whiten = np.linalg.inv(lower)  # (g, d, d): makes the noise white
        self.clean = np.ascontiguousarray((project @ rows[:, order]).T)  # (c, d)
        white_slope = self.whiten @ -(project @ maker.slope[:, 0])
        self.size_slope = np.sqrt((white_slope**2).sum(1))  # (g,)
        size = np.where(self.size_slope > 0, self.size_slope, 1.0)
        self.along = white_slope / size[:, None]  # (g, d): the direction into which shear leads
        white_clean = self._by_group(self.clean, self.whiten.transpose(0, 2, 1))
        self.along_clean = np.einsum("cd,cd->c", white_clean, self.along[self.group])
        self.across = white_clean - self.along_clean[:, None] * self.along[self.group]  # (c, d): the rest, where
        self.size_across = np.sqrt((self.across**2).sum(1))  # scale leads
        self._double = self._screen()
        single = _Screen(*(table.astype(np.float32) for table in self._double))
        largest = max(np.abs(self._double.low).max(), np.abs(self._double.high).max()) ** 2  # term of a template
        self._screens = [(single, False)] * bool(largest < _SINGLE) + [(self._double, True)] * 2

    def _factor(self, correlated: Array, project: Array) -> Array:
        """Triangular roots (g, d, d) of the covariances, without the covariances: they are squares of these numbers."""
        g, d, _ = correlated.shape
        white = [self.config.iid_noise_scale * project.T, self.rounding * np.eye(d)]
        others = np.linalg.qr(np.concatenate(white))[1]
        rows = [correlated.transpose(0, 2, 1), np.broadcast_to(others, (g, d, d))]
        return np.linalg.qr(np.concatenate(rows, axis=1))[1].transpose(0, 2, 1)

    def score(self, signals: Array, *, latents: bool = False) -> Scores:
        """Probabilities of signals float64 (n, length), in the generator's units and the order of its positions."""
        starts = range(0, max(1, len(signals)), _SIGNALS)
        parts = [self._score(signals[start : start + _SIGNALS], latents) for start in starts]
        return Scores(
            *(np.concatenate([part[item] for part in parts]) for item in range(3)),  # type: ignore[arg-type, call-arg]
            _joined([part.latents for part in parts if part.latents is not None]) if latents else None,
        )

    def _score(self, signals: Array, latents: bool) -> Scores:
        n = len(signals)
        projected = signals @ self.basis
        row, combination, averages, weight = self._likelihoods(projected, latents)
        peak = np.full(n, -np.inf)
        np.maximum.at(peak, row, weight)
        probability = np.exp(weight - peak[row])
        total = np.bincount(row, probability, n)
        probability /= total[row]
        cells = row * self.num_classes + self.combinations.label[combination]
        by_class = np.bincount(cells, probability, n * self.num_classes).reshape(n, self.num_classes)
        misfit = np.full(n, np.inf)
        np.minimum.at(misfit, row, averages.d2)
        if self.basis.shape[0] > self.basis.shape[1]:  # what no signal of this configuration has
            misfit += np.maximum((signals**2).sum(1) - (projected**2).sum(1), 0.0) / self.rounding**2
        log_likelihood = peak + np.log(total) - self.basis.shape[1] / 2 * np.log(2 * np.pi)
        known = self._latents(n, row, combination, averages, probability) if latents else None
        return Scores(by_class, log_likelihood, misfit, known)

    def _likelihoods(self, signals: Array, latents: bool) -> tuple[Array, Array, Averages, Array]:
        """(row of the signal, combination, averages, log of prior times likelihood) of all pairs that count."""
        left, floor = np.arange(len(signals)), None
        done = []
        for screen, exact in self._screens:
            row, combination, top, largest = self._candidates(signals[left], screen, floor)
            averages = self._averages(signals[left], row, combination, latents)
            weight = averages.log + (self.log_scale + self.combinations.log_prior)[combination]
            likelihood = np.full(len(left), -np.inf)
            np.maximum.at(likelihood, row, weight)
            settled = top - likelihood + _LEFT_OUT <= _FIRST_GUESS
            settled &= exact or largest < _SINGLE
            settled |= floor is not None
            kept = settled[row]
            done.append((left[row[kept]], combination[kept], averages.take(kept), weight[kept]))
            left = left[~settled]
            if len(left) == 0:
                break
            floor = likelihood[~settled] - _LEFT_OUT if exact else None
        rows, combinations, parts, weights = zip(*done, strict=True)
        return np.concatenate(rows), np.concatenate(combinations), joined(parts), np.concatenate(weights)

    def _candidates(self, signals: Array, screen: _Screen, floor: Array | None) -> tuple[Array, Array, Array, Array]:
        """(row, combination) of the pairs whose upper bound reaches `floor`; of each signal, the largest bound and the
        largest term of which bounds are made, templates apart.

        Pairs are in the order of the combinations. Without `floor` that is the largest bound less the first guess.
        """
        found, tops, terms = [], [], []
        y = signals.astype(screen.whiten.dtype)
        d = y.shape[1]
        step = max(1, _SCREENED // (screen.whiten.shape[1] + screen.direction.shape[1]))
        for start in range(0, len(y), step):
            part = y[start : start + step]
            white = part @ screen.whiten
            white *= white
            bound = part @ screen.direction
            nearest = np.clip(bound, screen.low, screen.high)
            bound *= 2
            bound -= nearest
            bound *= nearest
            squared = white.reshape(len(part), d, -1).sum(1)
            bound -= np.repeat(squared, self._counts, axis=1)
            bound += screen.constant
            top = bound.max(1)
            least = top - _FIRST_GUESS if floor is None else floor[start : start + step]
            place = np.flatnonzero(bound >= least[:, None].astype(bound.dtype))
            found.append(place + start * bound.shape[1])
            tops.append(top.astype(np.float64))
            terms.append(squared.max(1))
        if not found:
            return np.empty(0, int), np.empty(0, int), np.empty(0), np.empty(0)
        row, combination = np.divmod(np.concatenate(found), len(self.group))
        order = np.argsort(combination, kind="stable")
        return row[order], combination[order], np.concatenate(tops), np.concatenate(terms)

    def _averages(self, signals: Array, row: Array, combination: Array, latents: bool) -> Averages:
        """The likelihoods of pairs in the order of the combinations, averaged over the rectangle of scale and shear."""
        widths = self.config.scale_coeff, self.config.shear_scale
        parts = []
        for start in range(0, max(1, len(row)), _PAIRS):
            part = slice(start, start + _PAIRS)
            functions = self._functions(signals, row[part], combination[part], widths)
            parts.append(average(functions, widths, moments=latents))
        return joined(parts)

    def _functions(self, signals: Array, row: Array, combination: Array, widths: tuple[float, float]) -> Gaussians:
        """The likelihoods of pairs as functions of scale and shear, around about the best point of the rectangle."""
        group_of = self.group[combination]
        rest = signals[row] - self.clean[combination]
        edges = np.searchsorted(group_of, np.arange(len(self.whiten) + 1))
        for group in np.flatnonzero(np.diff(edges)):  # those of a group have the same matrix
            part = slice(edges[group], edges[group + 1])
            rest[part] = rest[part] @ self.whiten[group].T
        across, along = self.across[combination], self.along[group_of]
        sizes = self.size_across[combination], self.along_clean[combination], self.size_slope[group_of]
        middle = np.zeros(len(row))
        u, v = best_points(_gaussians(rest, across, along, middle, middle, sizes), widths)
        rest -= u[:, None] * across + (sizes[1] * u + sizes[2] * v)[:, None] * along
        return _gaussians(rest, across, along, u, v, sizes)

    def _latents(self, n: int, row: Array, combination: Array, averages: Averages, weight: Array) -> Latents:
        """Moments and most probable values, from pairs with their probabilities."""
        assert averages.mean is not None
        assert averages.square is not None
        chosen = self.combinations
        shift, shift_square = _shift_moments(self.config)
        which = chosen.translation[combination]
        terms = {
            "padding": (chosen.padding[combination], chosen.padding[combination] ** 2),
            "scale": (averages.mean[0], averages.square[0]),
            "translation": (shift[which], shift_square[which]),
            "shear": (averages.mean[1], averages.square[1]),
        }
        mean, std = {}, {}
        for name in LATENTS:
            first, second = (np.bincount(row, weight * term, n) for term in terms[name])
            mean[name] = first + (1.0 if name == "scale" else 0.0)
            std[name] = np.sqrt(np.maximum(second - first**2, 0.0))
        order = np.lexsort((weight, row))
        best = order[np.searchsorted(row[order], np.arange(n), side="right") - 1] if n else order
        mode = {
            "label": chosen.label[combination[best]],
            "padding": chosen.padding[combination[best]],
            "translation": chosen.translation[combination[best]],
            "scale": 1.0 + averages.top[0][best],
            "shear": averages.top[1][best],
        }
        return Latents(mean, std, mode)

    def _screen(self) -> _Screen:
        widths = self.config.scale_coeff, self.config.shear_scale
        whiten = self.whiten
        if widths[1] > 0:  # the best shear, anywhere: what lies along the slope does not count
            whiten = whiten - self.along[:, :, None] * (self.along[:, None, :] @ whiten)
        clean = self._by_group(self.clean, whiten.transpose(0, 2, 1))
        size = np.sqrt((clean**2).sum(1))
        direction = self._by_group(clean / np.where(size > 0, size, 1.0)[:, None], whiten)
        constant = self.combinations.log_prior + self.log_scale + log_upper_bound(size**2, widths[0])
        constant += log_upper_bound(self.size_slope**2, widths[1])[self.group]
        root = np.sqrt(0.5)
        columns = whiten.transpose(2, 1, 0).reshape(whiten.shape[1], -1)
        low, high = (root * (1 + side * widths[0] / 2) * size for side in (-1, 1))
        tables = (root * columns, root * direction.T, low, high, constant)
        return _Screen(*(np.ascontiguousarray(table) for table in tables))

    def _by_group(self, rows: Array, matrices: Array) -> Array:
        """Rows (combinations, d), each times the matrix of its group."""
        parts = np.split(rows, np.cumsum(self._counts)[:-1])
        return np.concatenate([part @ matrix for part, matrix in zip(parts, matrices, strict=True)])


def _gaussians(
    rest: Array, across: Array, along: Array, u: Array, v: Array, sizes: tuple[Array, Array, Array]
) -> Gaussians:
    """From white differences (n, d) between signals and the signals of (u, v), and the two directions."""
    t0 = np.einsum("nd,nd->n", rest, across) / np.where(sizes[0] > 0, sizes[0], 1.0)
    s0 = np.einsum("nd,nd->n", rest, along)
    return Gaussians(u, v, np.einsum("nd,nd->n", rest, rest) - t0**2 - s0**2, t0, s0, *sizes)


def _combinations(config: GeneratorConfig, classes: int) -> _Combinations:
    """All of them, in order; shifts by the whole signal or more are the shift by nothing, as in the generator."""
    low, high = config.padding
    shifts = min(config.max_translation, config.padded_length)
    rest, translation = np.divmod(np.arange(classes * (high - low + 1) * shifts), shifts)
    label, extra = np.divmod(rest, high - low + 1)
    times = np.where(translation == 0, 1 + config.max_translation - shifts, 1)
    log_prior = np.log(times) - np.log(classes * (high - low + 1) * float(config.max_translation))
    return _Combinations(label, low + extra, translation, log_prior)


def _shift_moments(config: GeneratorConfig) -> tuple[Array, Array]:
    """Mean and mean square of the drawn translations that shift by 0, 1, ... points."""
    shift = np.arange(min(config.max_translation, config.padded_length), dtype=float)
    mean, square = shift.copy(), shift**2
    if config.max_translation > config.padded_length:
        first, last = float(config.padded_length), float(config.max_translation)
        long = last - first  # the translations first .. last - 1
        mean[0] = (first + last - 1) / 2 * long / (long + 1)
        squares = (last * (last - 1) * (2 * last - 1) - first * (first - 1) * (2 * first - 1)) / 6
        square[0] = squares / (long + 1)
    return mean, square


def check_size(config: GeneratorConfig, classes: int, groups: int = 0) -> None:
    """Refuse a configuration whose tables would not fit the memory."""
    d = min(config.final_seq_length, config.padded_length)
    shifts = min(config.max_translation, config.padded_length)
    numbers = classes * (config.padding[1] - config.padding[0] + 1) * shifts * d + groups * d * d
    if numbers > _MOST_NUMBERS:
        raise InvalidValueError(
            f"posterior: the tables of this configuration would have {numbers} numbers, expected at most "
            f"{_MOST_NUMBERS}; choose a smaller range of padding, a smaller max_translation or a shorter signal"
        )


def _joined(parts: list[Latents]) -> Latents:
    """The latents of consecutive signals."""
    return Latents(
        *({key: np.concatenate([part[item][key] for part in parts]) for key in parts[0][item]} for item in range(3))
    )
