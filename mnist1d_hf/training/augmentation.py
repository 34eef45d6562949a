"""New training signals from old ones of the training split: what the generator varies is varied again.

A finished signal is a circular shift of a template in a row of smooth noise, times a factor, plus white noise, minus a
ramp. Each step below changes one of these and leaves the class as it is. The signal's own ramp and noise are shifted
with it, so a shifted signal has a jump where its ends meet. `synthesis` makes signals without such jumps.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How far each property is varied: lengths in points of the signal, the rest in its standard deviations.

    Attributes:
        shift: greatest circular shift to either side, in points; fractions of a point are interpolated.
        scale: the factor is drawn from 1 - scale .. 1 + scale.
        stretch: the time axis is stretched by 1 - stretch .. 1 + stretch.
        ramp: greatest difference between the two ends of the ramp that is added.
        noise: standard deviation of white noise.
    """

    shift: float = 0.0
    scale: float = 0.0
    stretch: float = 0.0
    ramp: float = 0.0
    noise: float = 0.0

    def __call__(self, x: Tensor, generators: list[torch.Generator]) -> Tensor:
        """New signals from signals (members, batch, length), shaped as they are; a generator for each member."""
        shape = (x.shape[1], 4)
        draws = torch.stack([torch.rand(shape, generator=generator) for generator in generators]).to(x) * 2 - 1
        shift, scale, stretch, ramp = draws.unbind(-1)
        length = x.shape[-1]
        if self.shift or self.stretch:
            x = _moved(x, self.shift * shift, 1 + self.stretch * stretch)
        x = x * (1 + self.scale * scale)[..., None]
        x = x + (self.ramp * ramp / 2)[..., None] * torch.linspace(-1, 1, length).to(x)
        if self.noise:
            white = [torch.randn(x.shape[1:], generator=generator) for generator in generators]
            x = x + self.noise * torch.stack(white).to(x)
        return x


def _moved(x: Tensor, shift: Tensor, stretch: Tensor) -> Tensor:
    """Each signal, read at stretched and shifted places, circularly; shaped as `x`."""
    length = x.shape[-1]
    middle = (length - 1) / 2
    place = torch.arange(length).to(x)
    source = (place - middle) * stretch[..., None] + middle - shift[..., None]
    left = source.floor()
    weight = source - left
    first = left.long() % length
    return torch.lerp(x.gather(-1, first), x.gather(-1, (first + 1) % length), weight)
