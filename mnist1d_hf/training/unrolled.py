"""Derivatives of a whole training: of its losses with respect to the activation function or the learning rate.

The networks have one hidden layer. `there_and_back` is a step's loss and gradient, `curvature` how the gradient changes
when the weights move along a direction: a product with the Hessian, written out, which costs what two gradients cost.
Forward through a training, the weights can carry their derivative along with it; backward, as in `back_through`, the
adjoint of the weights goes from step to step. Automatic differentiation would keep the graph of the whole run instead.

The activation function that is learned is ELU plus a small network of one number. It is evaluated on a grid, with three
derivatives, once for each run, and in between by Taylor's formula: far cheaper than the network at each of the hidden
units, and as exact as float32 is. The run's gradient comes back as weights of the table's entries.

Tensors have an axis of members in front: runs side by side that do not influence one another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

REACH, PER_UNIT = 32, 64  # the grid goes from -REACH to REACH; beyond, the small network counts as constant
SHARE = 0.2  # of the small network in the activation function
EPSILON = 1e-8  # of RMSprop


class Weights(NamedTuple):
    """Of networks with one hidden layer: weight (members, out, in) and bias (members, out) of both layers."""

    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor


class Derivatives(NamedTuple):
    """An activation function at some places: its value and its first two derivatives there."""

    value: Tensor
    slope: Tensor
    bend: Tensor


Activation = Callable[[Tensor, int], Derivatives]  # at places (members, batch, hidden), in a step


def _relu(x: Tensor) -> Derivatives:
    return Derivatives(torch.relu(x), (x > 0).to(x), torch.zeros_like(x))


def _swish(x: Tensor) -> Derivatives:
    gate = torch.sigmoid(x)
    opening = gate * (1 - gate)
    return Derivatives(x * gate, gate + x * opening, opening * (2 + x * (1 - 2 * gate)))


def _elu(x: Tensor) -> Derivatives:
    grown = torch.exp(x.clamp(max=0))
    return Derivatives(torch.where(x > 0, x, grown - 1), grown, torch.where(x > 0, 0.0, grown))


def _softplus(x: Tensor) -> Derivatives:
    gate = torch.sigmoid(x)
    return Derivatives(functional.softplus(x), gate, gate * (1 - gate))


def _tanh(x: Tensor) -> Derivatives:
    y = torch.tanh(x)
    slope = 1 - y * y
    return Derivatives(y, slope, -2 * y * slope)


def _sigmoid(x: Tensor) -> Derivatives:
    y = torch.sigmoid(x)
    slope = y * (1 - y)
    return Derivatives(y, slope, slope * (1 - 2 * y))


FIXED: dict[str, Callable[[Tensor], Derivatives]] = {
    "relu": _relu,
    "swish": _swish,
    "elu": _elu,
    "softplus": _softplus,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
}


class Fixed:
    """An activation function without parameters.

    Args:
        name: one of `FIXED`.
    """

    def __init__(self, name: str) -> None:
        self._of = FIXED[name]

    def __call__(self, x: Tensor, step: int) -> Derivatives:  # noqa: ARG002
        """At places (members, batch, hidden), the same in each step."""
        return self._of(x)


def table(parameters: Weights) -> Tensor:
    """The small network and its first three derivatives on the grid: (members, places, 4), differentiable.

    Args:
        parameters: of networks of one number, one hidden layer with tanh.
    """
    places = torch.arange(-REACH * PER_UNIT, REACH * PER_UNIT + 1).to(parameters.first) / PER_UNIT
    slope = parameters.first[:, None, :, 0]
    y = torch.tanh(places[:, None] * slope + parameters.first_bias[:, None])
    first = 1 - y * y
    second = -2 * y * first
    third = -2 * first * (1 - 3 * y * y)
    weight = SHARE * parameters.second[:, 0, :, None]
    columns = [torch.bmm(values, weight) for values in (y, first * slope, second * slope**2, third * slope**3)]
    columns[0] = columns[0] + SHARE * parameters.second_bias[:, None]
    return torch.cat(columns, dim=-1)


class Learned:
    """ELU plus a share of a small network, by its table.

    Args:
        entries: what `table` gave, (members, places, 4).
        offset: added in each step, (members, steps): the effect of the noise on the small network's hidden units.
    """

    def __init__(self, entries: Tensor, offset: Tensor) -> None:
        self.members, self.places = entries.shape[:2]
        self.entries, self.offset = entries.reshape(-1, 4), offset
        self._start = (torch.arange(self.members, device=entries.device) * self.places)[:, None, None]

    def __call__(self, x: Tensor, step: int) -> Derivatives:
        """At places (members, batch, hidden)."""
        where, rest = self._locate(x)
        zeroth, first, second, third = functional.embedding(where, self.entries).unbind(-1)
        value = zeroth + rest * (first + rest * (second / 2 + rest * third / 6))
        slope = first + rest * (second + rest * third / 2)
        bend = second + rest * third
        base = _elu(x)
        value = base.value + value + self.offset[:, step, None, None]
        return Derivatives(value, base.slope + slope, base.bend + bend)

    def _locate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The next row of the table, and how far it is."""
        inside = x.clamp(-REACH, REACH)
        nearest = torch.round(inside * PER_UNIT)
        return nearest.long() + (REACH * PER_UNIT) + self._start, inside - nearest / PER_UNIT

    def weigh(self, weight: Tensor, x: Tensor, of_value: Tensor, of_slope: Tensor) -> None:
        """Add to `weight` (members * places, 4) what the entries count for.

        Args:
            x: places (members, batch, hidden).
            of_value, of_slope: what the value and the slope at these places count for.
        """
        where, rest = self._locate(x)
        half, sixth = rest * rest / 2, rest * rest * rest / 6
        columns = (
            of_value,
            of_value * rest + of_slope,
            of_value * half + of_slope * rest,
            of_value * sixth + of_slope * half,
        )
        weight.index_add_(0, where.flatten(), torch.stack(columns, dim=-1).view(-1, 4))


@dataclasses.dataclass(frozen=True)
class Inner:
    """A training with RMSprop, whose mean of squares begins at 1.

    Attributes:
        steps: of the optimiser.
        batch_size: samples a step, in the stored order.
        learning_rate: of RMSprop.
        decay: of the mean of squares, in each step.
        counted: the last so many losses are what counts.
    """

    steps: int
    batch_size: int
    learning_rate: float
    decay: float
    counted: int

    def batch(self, x: Tensor, label: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Signals (members, batch, length) and labels (members, batch) of a step."""
        first = step * self.batch_size % x.shape[1]
        return x[:, first : first + self.batch_size], label[:, first : first + self.batch_size]


class Step(NamedTuple):
    """A step of a training that is over."""

    weights: Weights  # before it
    gradient: Weights
    squares: Weights  # after it


class Pass(NamedTuple):
    """One step's way forward and back."""

    before: Tensor  # the activation function
    at: Derivatives
    hidden: Tensor
    share: Tensor  # of each class, (members, batch, classes)
    of_logits: Tensor  # the loss's derivatives
    of_hidden: Tensor
    loss: Tensor
    gradient: Weights


def there_and_back(
    weights: Weights, x: Tensor, label: Tensor, activation: Activation, step: int, noise: Tensor
) -> Pass:
    """Loss (members,) of a batch and its gradient.

    Args:
        x, label: (members, batch, length), (members, batch).
        activation: at places (members, batch, hidden), in a step.
        noise: added to the hidden units, (members, hidden).
    """
    before = torch.baddbmm(weights.first_bias[:, None], x, weights.first.transpose(1, 2))
    at = activation(before, step)
    hidden = at.value + noise[:, None]
    logits = torch.baddbmm(weights.second_bias[:, None], hidden, weights.second.transpose(1, 2))
    log_share = torch.log_softmax(logits, -1)
    loss = -log_share.gather(-1, label[..., None])[..., 0].mean(1)
    share = log_share.exp()
    of_logits = (share - functional.one_hot(label, logits.shape[-1])) / label.shape[1]
    of_hidden = torch.bmm(of_logits, weights.second)
    of_before = of_hidden * at.slope
    gradient = Weights(
        torch.bmm(of_before.transpose(1, 2), x),
        of_before.sum(1),
        torch.bmm(of_logits.transpose(1, 2), hidden),
        of_logits.sum(1),
    )
    return Pass(before, at, hidden, share, of_logits, of_hidden, loss, gradient)


def curvature(weights: Weights, x: Tensor, way: Pass, along: Weights) -> tuple[Weights, Tensor, Tensor]:
    """How the gradient changes when the weights move along a direction; and what the loss's change along it counts
    for in the activation function's values and slopes."""
    moved = torch.baddbmm(along.first_bias[:, None], x, along.first.transpose(1, 2))
    hidden = way.at.slope * moved
    logits = torch.baddbmm(along.second_bias[:, None], way.hidden, along.second.transpose(1, 2))
    logits = torch.baddbmm(logits, hidden, weights.second.transpose(1, 2))
    of_logits = way.share * (logits - (way.share * logits).sum(-1, keepdim=True)) / x.shape[1]
    of_hidden = torch.baddbmm(torch.bmm(way.of_logits, along.second), of_logits, weights.second)
    of_before = of_hidden * way.at.slope + way.of_hidden * way.at.bend * moved
    change = Weights(
        torch.bmm(of_before.transpose(1, 2), x),
        of_before.sum(1),
        torch.baddbmm(torch.bmm(of_logits.transpose(1, 2), way.hidden), way.of_logits.transpose(1, 2), hidden),
        of_logits.sum(1),
    )
    return change, of_hidden, way.of_hidden * moved


def train(
    inner: Inner,
    weights: Weights,
    x: Tensor,
    label: Tensor,
    activation: Activation,
    noise: Tensor,
) -> tuple[Tensor, Weights, list[Step]]:
    """The loss of each step (members, steps), the trained weights, and what `back_through` needs to know of each step.

    Args:
        weights: initial ones.
        x, label: the training set, (members, rows, length) and (members, rows).
        activation: at places, in a step.
        noise: on the hidden units, (members, steps, hidden).
    """
    squares = Weights(*(torch.ones_like(values) for values in weights))
    losses, steps = [], []
    for step in range(inner.steps):
        some, truth = inner.batch(x, label, step)
        way = there_and_back(weights, some, truth, activation, step, noise[:, step])
        squares = Weights(
            *(
                inner.decay * mean + (1 - inner.decay) * slope * slope
                for mean, slope in zip(squares, way.gradient, strict=True)
            )
        )
        steps.append(Step(weights, way.gradient, squares))
        weights = Weights(
            *(
                values - inner.learning_rate * slope / (mean.sqrt() + EPSILON)
                for values, slope, mean in zip(weights, way.gradient, squares, strict=True)
            )
        )
        losses.append(way.loss)
    return torch.stack(losses, dim=1), weights, steps


def back_through(
    inner: Inner,
    steps: list[Step],
    x: Tensor,
    label: Tensor,
    activation: Learned,
    noise: Tensor,
) -> tuple[Tensor, Tensor]:
    """What the mean of the losses that count, gained by `train`, counts for in the activation function: in the entries
    of its table (members, places, 4), and in its offset in each step (members, steps)."""
    of_weights = Weights(*(torch.zeros_like(values) for values in steps[-1].weights))
    of_squares = of_weights
    of_table = torch.zeros_like(activation.entries)
    of_offset = torch.zeros_like(activation.offset)
    for step in reversed(range(inner.steps)):
        weights, gradient, squares = steps[step]
        along, of_squares = _through_rmsprop(inner, gradient, squares, of_weights, of_squares)
        some, truth = inner.batch(x, label, step)
        way = there_and_back(weights, some, truth, activation, step, noise[:, step])
        change, of_value, of_slope = curvature(weights, some, way, along)
        share = 1 / inner.counted if step >= inner.steps - inner.counted else 0.0
        if share:
            of_value = of_value + share * way.of_hidden
            change = Weights(*(one + share * slope for one, slope in zip(change, gradient, strict=True)))
        of_weights = Weights(*(one + other for one, other in zip(of_weights, change, strict=True)))
        activation.weigh(of_table, way.before, of_value, of_slope)
        of_offset[:, step] = of_value.sum((1, 2))
    return of_table.view(activation.members, activation.places, 4), of_offset


def _through_rmsprop(
    inner: Inner, gradient: Weights, squares: Weights, of_weights: Weights, of_squares: Weights
) -> tuple[Weights, Weights]:
    """What a step's gradient, and the mean of squares before it, count for, given that for what comes after it."""
    along, before = [], []
    for slope, mean, later, later_mean in zip(gradient, squares, of_weights, of_squares, strict=True):
        root = mean.sqrt()
        scaled = inner.learning_rate * later / (root + EPSILON)
        of_mean = later_mean + scaled * slope / ((root + EPSILON) * 2 * root.clamp_min(1e-30))
        along.append(of_mean * (2 * (1 - inner.decay)) * slope - scaled)
        before.append(inner.decay * of_mean)
    return Weights(*along), Weights(*before)
