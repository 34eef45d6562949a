"""New training signals from the parts that the training signals are made of, with nothing but the training split.

A finished signal is its class's template, stretched, scaled and placed somewhere on a ring; smooth noise where the
template is not; a ramp over all of it. `analyse` finds these parts in labelled signals: it knows how a signal is put
together (Greydanus & Kobak 2024, section 2) and how long a template can be, but neither the templates nor the noise,
which it estimates. `Parts.draw` puts parts of different signals together, with new noise.

The noise lies outside the template only: the generator fills with it what the padding left empty.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from mnist1d_hf.data.config import GeneratorConfig

_KNOTS_PER_POINT = 4
_MARGIN = 1.25  # the template is known this many times as far as it reaches
_NOISE = (0.02, 0.3)  # variances inside and outside of the template, for weighting
_FACTOR = (1.0, 0.15)  # mean and deviation of the factor, against fits that no signal can have
_SLOPE = 0.7  # deviation of the ramp's slope
_ROUNDS = 8


@dataclasses.dataclass
class Parts:
    """What signals (n, length) of some classes are made of; all float32 but `label`.

    Attributes:
        template: (classes, knots) each class's template, from -reach to reach points around its middle.
        label: int64 (n,).
        center: (n,) the place of the middle of each signal's template, in points from 0.
        stretch: (n,) length of each signal's template, 1 for that of the mean padding.
        factor: (n,) of each signal's template.
        slope: (n,) half the difference between the ends of each signal's ramp.
        offset: () what all signals have in common.
        inner: () deviation of the noise inside of the template.
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
        """New signals (count, length) and their labels.

        Class, position, factor and ramp are each taken from another signal: position means place and stretch, which
        depend on one another, and within half a point of what was found.
        """
        length = len(self.outer)
        rows = torch.randint(len(self.label), (4, count), generator=generator)
        label, factor, slope = self.label[rows[0]], self.factor[rows[1]], self.slope[rows[2]]
        center = self.center[rows[3]] + torch.rand(count, generator=generator) - 0.5
        stretch = self.stretch[rows[3]]
        white = torch.randn(count, length, generator=generator)
        left, weight, inside = _places(center, stretch, length)
        shape = self.template[label]
        pattern = torch.lerp(shape.gather(1, left), shape.gather(1, left + 1), weight) * factor[:, None]
        x = torch.where(inside, pattern + self.inner * white, white @ self.outer)
        return x + slope[:, None] * torch.linspace(-1, 1, length) + self.offset, label


def analyse(x: Tensor, label: Tensor) -> Parts:
    """The parts of signals: float32 (n, length), labels int64 (n,).

    Templates and places are found in turns: each signal is put where its template fits best, by least squares in
    which template and noise have their own weights; then the template is fitted to its signals.
    """
    classes, offset = int(label.max()) + 1, x.mean()
    template = torch.stack([_first_template(x[label == kind] - offset) for kind in range(classes)])
    candidates = _Candidates(x.shape[1], places=8, stretches=17)
    fits = torch.zeros(4, len(x))
    for _ in range(_ROUNDS):
        for kind in range(classes):
            rows = label == kind
            signals = x[rows] - offset
            fits[:, rows] = _fit(signals, candidates, template[kind])
            template[kind] = _refined(signals, *fits[:, rows])
        residual, inside = _residual(x, label, template, fits)
        offset = residual[~inside].mean()
    return Parts(
        template=template,
        label=label.clone(),
        center=fits[0].clone(),
        stretch=fits[1].clone(),
        factor=fits[2].clone(),
        slope=fits[3].clone(),
        offset=offset,
        inner=_white(residual - offset, inside),
        outer=_covariance_root(residual - offset, ~inside),
    )


def _half(length: int) -> float:
    """Half of a template's length at stretch 1, in points; a little more, for the interpolation at its ends."""
    config = GeneratorConfig()
    return 1.025 * length * config.template_len / (config.template_len + sum(config.padding) / 2) / 2


def _stretches(count: int) -> Tensor:
    """All that the padding can lead to, and a little more."""
    config = GeneratorConfig()
    middle = config.template_len + sum(config.padding) / 2
    shortest, longest = (middle / (config.template_len + edge) for edge in reversed(config.padding))
    return torch.linspace(0.96 * shortest, 1.024 * longest, count)


def _places(center: Tensor, stretch: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which knots each point of a ring lies between: the left one, the weight of the right one, inside or not."""
    half = _half(length)
    away = (torch.arange(length) - center[:, None] + length / 2) % length - length / 2
    away = away / stretch[:, None]
    place = (away + _MARGIN * half) * _KNOTS_PER_POINT
    left = place.floor().clamp(0, _knots(length) - 2)
    return left.long(), (place - left).clamp(0, 1), away.abs() <= half


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
        grids = torch.meshgrid(torch.arange(0, length, 1 / places), _stretches(stretches), indexing="ij")
        self.center, self.stretch = (grid.flatten() for grid in grids)
        self.design, self.inside = _design(self.center, self.stretch, length)
        self.weight = torch.where(self.inside, 1 / _NOISE[0], 1 / _NOISE[1])


def _cost(x: Tensor, candidates: _Candidates, template: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each signal at each candidate (n, candidates): minus twice the log-likelihood, and the best factor and slope."""
    weight, pattern, ramp = candidates.weight, candidates.design @ template, torch.linspace(-1, 1, x.shape[1])
    mean, trust = _FACTOR[0], 1 / _FACTOR[1] ** 2
    of_pattern = x @ (weight * pattern).T + mean * trust
    of_ramp = x @ (weight * ramp).T
    square, slope_square = (weight * pattern**2).sum(1) + trust, (weight * ramp**2).sum(1) + 1 / _SLOPE**2
    both = (weight * pattern * ramp).sum(1)
    determinant = square * slope_square - both**2
    factor = (of_pattern * slope_square - of_ramp * both) / determinant
    slope = (of_ramp * square - of_pattern * both) / determinant
    rest = x.square() @ weight.T - factor * of_pattern - slope * of_ramp
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
    normal = matrix.T @ matrix + 0.05 * len(x) * bend.T @ bend + 1e-3 * _NOISE[0] * len(x) * torch.eye(knots)
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
    """What template and ramp leave of signals (n, length), and where the templates lie."""
    center, stretch, factor, slope = fits
    left, weight, inside = _places(center, stretch, x.shape[1])
    rows = template[label]
    pattern = torch.lerp(rows.gather(1, left), rows.gather(1, left + 1), weight) * factor[:, None]
    ramp = slope[:, None] * torch.linspace(-1, 1, x.shape[1])
    return x - torch.where(inside, pattern, 0) - ramp, inside


def _white(residual: Tensor, inside: Tensor) -> Tensor:
    """Deviation of the noise inside of templates, from the tenth of the signals that are fitted best.

    In the others it stands beside the errors of the fit, which new signals are not to have.
    """
    each = torch.where(inside, residual.square(), 0).sum(1) / inside.sum(1)
    return each.quantile(0.1).sqrt()


def _covariance_root(noise: Tensor, known: Tensor) -> Tensor:
    """The symmetric factor (length, length) of the noise's covariance, from the points that are known."""
    masked, count = torch.where(known, noise, 0), known.to(noise)
    covariance = masked.T @ masked / (count.T @ count).clamp_min(1)
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T
