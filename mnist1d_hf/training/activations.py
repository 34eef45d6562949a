"""Activation functions with their first two derivatives: fixed ones, and ELU plus a small network that is learned.

The small network has one input and one output. Its value and three derivatives are tabulated on a grid once for each
training. In between, Taylor's formula is used: this costs far less than the network at each hidden unit, and is as
exact as float32. All tensors have an axis of members in front, as in `unrolled`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

GRID_LIMIT = 32  # the grid goes from -GRID_LIMIT to GRID_LIMIT; beyond, the small network counts as constant
POINTS_PER_UNIT = 64  # of the grid
NETWORK_SCALE = 0.2  # factor of the small network in the activation function


class Weights(NamedTuple):
    """Of networks with one hidden layer: weight (members, out, in) and bias (members, out) of both layers."""

    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor


class Derivatives(NamedTuple):
    """An activation function and its first two derivatives at some places, each (members, batch, hidden)."""

    value: Tensor
    derivative: Tensor
    second_derivative: Tensor


Activation = Callable[[Tensor, int], Derivatives]  # of the places (members, batch, hidden) and the step


def _relu(x: Tensor) -> Derivatives:
    return Derivatives(torch.relu(x), (x > 0).to(x), torch.zeros_like(x))


def _swish(x: Tensor) -> Derivatives:
    gate = torch.sigmoid(x)
    derivative = gate * (1 - gate)
    return Derivatives(x * gate, gate + x * derivative, derivative * (2 + x * (1 - 2 * gate)))


def _elu(x: Tensor) -> Derivatives:
    exponential = torch.exp(x.clamp(max=0))
    return Derivatives(torch.where(x > 0, x, exponential - 1), exponential, torch.where(x > 0, 0.0, exponential))


def _softplus(x: Tensor) -> Derivatives:
    gate = torch.sigmoid(x)
    return Derivatives(functional.softplus(x), gate, gate * (1 - gate))


def _tanh(x: Tensor) -> Derivatives:
    y = torch.tanh(x)
    derivative = 1 - y * y
    return Derivatives(y, derivative, -2 * y * derivative)


def _sigmoid(x: Tensor) -> Derivatives:
    y = torch.sigmoid(x)
    derivative = y * (1 - y)
    return Derivatives(y, derivative, derivative * (1 - 2 * y))


FIXED: dict[str, Callable[[Tensor], Derivatives]] = {
    "relu": _relu,
    "swish": _swish,
    "elu": _elu,
    "softplus": _softplus,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
}


class Fixed:
    """The activation function of this name in `FIXED`, which has no parameters."""

    def __init__(self, name: str) -> None:
        self._function = FIXED[name]

    def __call__(self, x: Tensor, step: int) -> Derivatives:  # noqa: ARG002
        """At places (members, batch, hidden), the same in each step."""
        return self._function(x)


def tabulate(parameters: Weights) -> Tensor:
    """The small network and its first three derivatives on the grid, (members, places, 4); differentiable.

    Args:
        parameters: of networks with one input, one hidden layer with tanh and one output.
    """
    limit = GRID_LIMIT * POINTS_PER_UNIT
    places = torch.arange(-limit, limit + 1).to(parameters.first) / POINTS_PER_UNIT
    slope = parameters.first[:, None, :, 0]
    y = torch.tanh(places[:, None] * slope + parameters.first_bias[:, None])
    first = 1 - y * y
    second = -2 * y * first
    third = -2 * first * (1 - 3 * y * y)
    weight = NETWORK_SCALE * parameters.second[:, 0, :, None]
    columns = [torch.bmm(values, weight) for values in (y, first * slope, second * slope**2, third * slope**3)]
    columns[0] = columns[0] + NETWORK_SCALE * parameters.second_bias[:, None]
    return torch.cat(columns, dim=-1)


def offset(parameters: Weights, noise: Tensor) -> Tensor:
    """What noise (members, steps, small) on the small network's hidden units adds to the activation function, (members,
    steps)."""
    return NETWORK_SCALE * (noise * parameters.second).sum(-1)


class Learned:
    """ELU plus a small network, which is read from its table.

    Args:
        entries: the result of `tabulate`, (members, places, 4).
        offset: added in each step, (members, steps): the effect of the noise on the small network's hidden units.
    """

    def __init__(self, entries: Tensor, offset: Tensor) -> None:
        self.members, self.places = entries.shape[:2]
        self.entries, self.offset = entries.reshape(-1, 4), offset
        self._start = (torch.arange(self.members, device=entries.device) * self.places)[:, None, None]

    def __call__(self, x: Tensor, step: int) -> Derivatives:
        """At places (members, batch, hidden)."""
        index, rest = self._locate(x)
        zeroth, first, second, third = functional.embedding(index, self.entries).unbind(-1)
        value = zeroth + rest * (first + rest * (second / 2 + rest * third / 6))
        derivative = first + rest * (second + rest * third / 2)
        elu = _elu(x)
        value = elu.value + value + self.offset[:, step, None, None]
        return Derivatives(value, elu.derivative + derivative, elu.second_derivative + (second + rest * third))

    def _locate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest row of the table, and the distance to its place; both like `x`."""
        inside = x.clamp(-GRID_LIMIT, GRID_LIMIT)
        nearest = torch.round(inside * POINTS_PER_UNIT)
        return nearest.long() + (GRID_LIMIT * POINTS_PER_UNIT) + self._start, inside - nearest / POINTS_PER_UNIT

    def accumulate_grad(self, grad_entries: Tensor, x: Tensor, grad_value: Tensor, grad_derivative: Tensor) -> None:
        """Add the gradient of one step to `grad_entries` (members * places, 4), in place.

        Args:
            x: places (members, batch, hidden).
            grad_value, grad_derivative: gradients with respect to the value and the derivative there, like `x`.
        """
        index, rest = self._locate(x)
        half, sixth = rest * rest / 2, rest * rest * rest / 6
        columns = (
            grad_value,
            grad_value * rest + grad_derivative,
            grad_value * half + grad_derivative * rest,
            grad_value * sixth + grad_derivative * half,
        )
        grad_entries.index_add_(0, index.flatten(), torch.stack(columns, dim=-1).view(-1, 4))
