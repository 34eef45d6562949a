"""New training signals from the parts of the training signals. Nothing but the training split is used.

A signal is the template of its class, stretched, scaled and placed somewhere on a ring, plus smooth noise outside of
the template, plus a ramp over the whole signal (Greydanus & Kobak 2024, section 2). `analyse` estimates these parts
from labelled signals. It knows how a signal is made and how long a template can be; it does not know the templates and
the noise. `Parts.draw` combines parts of different signals and adds new noise.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from mnist1d_hf.data.config import GeneratorConfig

_CONFIG = GeneratorConfig()
_PADDED = _CONFIG.template_len + sum(_CONFIG.padding) / 2  # points of a signal with the mean padding
# Priors of the fit, in units of the standardised signals. Sources: the generator's definition where there is one, else
# what `analyse` estimates from the training split of the default configuration.
_NOISE = (0.02, 0.3)  # variances, as weights. Outside of the template 0.36 is estimated. Inside 0.005 is estimated for
# the tenth of the signals that is fitted best; four times as much leaves room for the errors of the other fits.
_FACTOR = (1.0, 0.15)  # mean and std of the factor: uniform in 0.8 .. 1.2 (scale_coeff) has 1 and 0.115; a little wider
_SLOPE = 0.7  # std of the slope: 0.72 is estimated
# Resolution of the fit. Set by hand when the recipes `mlp-augmented` and `resnet` were made; there is no record of a
# search. The recipes were compared on held-out rows of the training split, never on the test split.
_KNOTS_PER_POINT = 4
_MARGIN = 1.25  # the knots go this many times as far as the template
_PLACES, _STRETCHES = 8, 17  # candidates: places per point, and stretches
_SMOOTHNESS, _RIDGE = 0.05, 1e-3  # penalties per signal on the template's second differences, and on its size
_ROUNDS = 8


@dataclasses.dataclass
class Parts:
    """What signals (n, length) of some classes are made of; all float32 but `label`.

    Attributes:
        template: (classes, knots) each class's template, around its middle.
        label: int64 (n,).
        center: (n,) the place of the middle of each signal's template, in points from 0.
        stretch: (n,) length of each signal's template, 1 for that of the mean padding.
        factor: (n,) of each signal's template.
        slope: (n,) half the difference between the ends of each signal's ramp.
        offset: () added to all signals.
        inner: () std of the noise inside of the template.
        outer: (length, length) factor of the noise outside: white noise times this has its covariance.
    """

    template: Tensor
    label: Tensor
    center: Tensor
    stretch: Tensor
    factor: Tensor
    slope: Tensor
    offset: Tensor
    inner: Tensor
    outer: Tensor

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw new signals: float32 (count, length), and their labels int64 (count,).

        Class, position, factor and ramp are each taken from another signal. The position is place and stretch
        together, since they depend on one another; the place is moved by up to half a point.
        `generator` is one of the CPU.
        """
        length = len(self.outer)
        rows = torch.randint(len(self.label), (4, count), generator=generator)
        label, factor, slope = self.label[rows[0]], self.factor[rows[1]], self.slope[rows[2]]
        center = self.center[rows[3]] + torch.rand(count, generator=generator) - 0.5
        stretch = self.stretch[rows[3]]
        white = torch.randn(count, length, generator=generator)
        pattern, inside = _pattern(self.template[label], center, stretch, factor, length)
        x = torch.where(inside, pattern + self.inner * white, white @ self.outer)
        return x + slope[:, None] * torch.linspace(-1, 1, length) + self.offset, label


def analyse(x: Tensor, label: Tensor) -> Parts:
    """Estimate the parts of signals.

    Two steps take turns: each signal gets the position where its template fits best, by weighted least squares; then
    each template is fitted to its signals.

    Args:
        x: float32 (n, length), on the CPU.
        label: int64 (n,).
    """
    classes, offset = int(label.max()) + 1, x.mean()
    template = torch.stack([_first_template(x[label == kind] - offset) for kind in range(classes)])
    candidates = _Candidates(x.shape[1], places=_PLACES, stretches=_STRETCHES)
    fits = torch.zeros(4, len(x))
    for _ in range(_ROUNDS):
        for kind in range(classes):
            rows = label == kind
            signals = x[rows] - offset
            fits[:, rows] = _fit(signals, candidates, template[kind])
            template[kind] = _refined(signals, *fits[:, rows])
        residual, inside = _residual(x, label, template, fits)
        offset = residual[~inside].mean()
    noise = residual - offset
    center, stretch, factor, slope = fits
    inner, outer = _inner_std(noise, inside), _covariance_root(noise, ~inside)
    return Parts(template, label.clone(), center, stretch, factor, slope, offset, inner, outer)


def _half(length: int) -> float:
    """Half of a template's length at stretch 1, in points; a little more, for the interpolation at its ends."""
    return 1.025 * length * _CONFIG.template_len / _PADDED / 2


def _places(center: Tensor, stretch: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which knots each point of a ring lies between: the left one, the weight of the right one, inside or not."""
    half = _half(length)
    away = (torch.arange(length) - center[:, None] + length / 2) % length - length / 2
    away = away / stretch[:, None]
    place = (away + _MARGIN * half) * _KNOTS_PER_POINT
    left = place.floor().clamp(0, _knots(length) - 2)
    return left.long(), (place - left).clamp(0, 1), away.abs() <= half


def _pattern(template: Tensor, center: Tensor, stretch: Tensor, factor: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Templates (n, knots) as they are in signals (n, length), and a mask of where; other values are meaningless."""
    left, weight, inside = _places(center, stretch, length)
    return torch.lerp(template.gather(1, left), template.gather(1, left + 1), weight) * factor[:, None], inside


def _knots(length: int) -> int:
    return int(2 * _MARGIN * _half(length) * _KNOTS_PER_POINT) + 1


def _design(center: Tensor, stretch: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The matrices (n, length, knots) from templates to signals, and where the templates lie (n, length)."""
    left, weight, inside = _places(center, stretch, length)
    matrix = torch.zeros(*left.shape, _knots(length))
    matrix.scatter_(2, left[..., None], (1 - weight)[..., None])
    matrix.scatter_(2, left[..., None] + 1, weight[..., None])
    return matrix * inside[..., None], inside


class _Candidates:
    """Places and stretches that are tried for each signal."""

    def __init__(self, length: int, places: int, stretches: int) -> None:
        shortest, longest = (_PADDED / (_CONFIG.template_len + padding) for padding in reversed(_CONFIG.padding))
        # What the padding allows, and a little more.
        tried = torch.linspace(0.96 * shortest, 1.024 * longest, stretches)
        grids = torch.meshgrid(torch.arange(0, length, 1 / places), tried, indexing="ij")
        self.center, self.stretch = (grid.flatten() for grid in grids)
        self.design, inside = _design(self.center, self.stretch, length)
        self.weight = torch.where(inside, 1 / _NOISE[0], 1 / _NOISE[1])


def _cost(x: Tensor, candidates: _Candidates, template: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each signal at each candidate (n, candidates): minus twice the log-likelihood, and the best factor and slope."""
    weight, pattern, ramp = candidates.weight, candidates.design @ template, torch.linspace(-1, 1, x.shape[1])
    mean, trust = _FACTOR[0], 1 / _FACTOR[1] ** 2
    dot_pattern = x @ (weight * pattern).T + mean * trust
    dot_ramp = x @ (weight * ramp).T
    square, slope_square = (weight * pattern**2).sum(1) + trust, (weight * ramp**2).sum(1) + 1 / _SLOPE**2
    both = (weight * pattern * ramp).sum(1)
    determinant = square * slope_square - both**2
    factor = (dot_pattern * slope_square - dot_ramp * both) / determinant
    slope = (dot_ramp * square - dot_pattern * both) / determinant
    rest = x.square() @ weight.T - factor * dot_pattern - slope * dot_ramp
    return rest - weight.log().sum(1), factor, slope


def _fit(x: Tensor, candidates: _Candidates, template: Tensor) -> Tensor:
    """The best candidate of each signal (4, n): center, stretch, factor, slope."""
    cost, factor, slope = _cost(x, candidates, template)
    best = cost.argmin(1)
    row = torch.arange(len(x))
    return torch.stack([candidates.center[best], candidates.stretch[best], factor[row, best], slope[row, best]])


def _refined(x: Tensor, center: Tensor, stretch: Tensor, factor: Tensor, slope: Tensor) -> Tensor:
    """The smooth template that fits signals best, given where it lies in each; its mean factor is 1."""
    design, inside = _design(center, stretch, x.shape[1])
    matrix = (design * factor[:, None, None]).flatten(0, 1)
    target = torch.where(inside, x - slope[:, None] * torch.linspace(-1, 1, x.shape[1]), 0).flatten()
    knots = matrix.shape[1]
    bend = torch.eye(knots).diff(n=2, dim=0)
    normal = matrix.T @ matrix + _SMOOTHNESS * len(x) * bend.T @ bend + _RIDGE * _NOISE[0] * len(x) * torch.eye(knots)
    return torch.linalg.solve(normal, matrix.T @ target) * factor.mean()


def _first_template(x: Tensor) -> Tensor:
    """A template to begin with: part of the signal that is most like the others, the part that explains them best."""
    length, ramp = x.shape[1], torch.linspace(-1, 1, x.shape[1])
    level = x - (x @ ramp / ramp.square().sum())[:, None] * ramp
    level = level - level.mean(1, keepdim=True)
    spectrum, norm = torch.fft.rfft(level), level.norm(dim=1)
    likeness = torch.fft.irfft(spectrum[:, None] * spectrum.conj(), n=length).amax(-1) / (norm[:, None] * norm)
    chosen = level[likeness.median(1).values.argmax()]
    candidates = _Candidates(length, places=2, stretches=7)
    away = torch.arange(_knots(length)) / _KNOTS_PER_POINT - _MARGIN * _half(length)
    place = (torch.arange(length)[:, None] + away) % length
    left = place.floor().long() % length
    templates = torch.lerp(chosen[left], chosen[(left + 1) % length], place - place.floor())
    strongest = templates.square().sum(1).topk(length // 3).indices
    costs = torch.stack([_cost(x, candidates, template)[0].amin(1).sum() for template in templates[strongest]])
    return templates[strongest[costs.argmin()]]


def _residual(x: Tensor, label: Tensor, template: Tensor, fits: Tensor) -> tuple[Tensor, Tensor]:
    """Signals (n, length) without template and ramp, and a mask of where the templates are."""
    center, stretch, factor, slope = fits
    pattern, inside = _pattern(template[label], center, stretch, factor, x.shape[1])
    ramp = slope[:, None] * torch.linspace(-1, 1, x.shape[1])
    return x - torch.where(inside, pattern, 0) - ramp, inside


def _inner_std(noise: Tensor, inside: Tensor) -> Tensor:
    """From the tenth of the signals that is fitted best: that of the others contains errors of the fit."""
    each = torch.where(inside, noise.square(), 0).sum(1) / inside.sum(1)
    return each.quantile(0.1).sqrt()


def _covariance_root(noise: Tensor, known: Tensor) -> Tensor:
    """The symmetric factor (length, length) of the noise's covariance, from the points that are known."""
    masked, count = torch.where(known, noise, 0), known.to(noise)
    covariance = masked.T @ masked / (count.T @ count).clamp_min(1)
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T
