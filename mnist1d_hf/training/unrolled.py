"""Derivatives of a whole training: of its losses with respect to the activation function or to the learning rate.

The networks have one hidden layer. `forward_backward` computes the loss of a step and its gradient.
`hessian_vector_product` computes how the gradient changes when the weights move in a direction; it is written out, and
costs as much as two gradients. Forward through a training, each weight can carry its derivative along (forward mode).
Backward, as in `backpropagate`, the gradient with respect to the weights goes from step to step. Automatic
differentiation would have to keep the graph of the whole training instead.

All tensors have an axis of members in front: trainings side by side that do not influence one another.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mnist1d_hf.training.activations import Activation, Derivatives, Learned, Weights

EPSILON = 1e-8  # of RMSprop


@dataclasses.dataclass(frozen=True)
class Inner:
    """Settings of an inner training with RMSprop, whose mean of squares starts at 1.

    Attributes:
        steps: of the optimiser.
        batch_size: samples a step, in the stored order.
        learning_rate: of RMSprop.
        decay: of the mean of squares, in each step.
        counted: the objective is the mean of this many last losses.
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
    """What `backpropagate` needs of a step."""

    weights: Weights  # before the step
    gradient: Weights
    squares: Weights  # RMSprop's means of squares after the step


class Pass(NamedTuple):
    """The forward and backward pass of one step."""

    preactivation: Tensor  # (members, batch, hidden)
    activated: Derivatives
    hidden: Tensor  # (members, batch, hidden), with noise
    probability: Tensor  # of each class, (members, batch, classes)
    grad_logits: Tensor  # of the loss, (members, batch, classes)
    grad_hidden: Tensor  # of the loss, (members, batch, hidden)
    loss: Tensor  # (members,)
    gradient: Weights


def forward(
    weights: Weights, x: Tensor, activation: Activation, step: int, noise: Tensor
) -> tuple[Tensor, Derivatives, Tensor, Tensor]:
    """The preactivation, activation, hidden units and logits (members, batch, ...); arguments as in
    `forward_backward`."""
    preactivation = torch.baddbmm(weights.first_bias[:, None], x, weights.first.transpose(1, 2))
    activated = activation(preactivation, step)
    hidden = activated.value + noise[:, None]
    logits = torch.baddbmm(weights.second_bias[:, None], hidden, weights.second.transpose(1, 2))
    return preactivation, activated, hidden, logits


def forward_backward(
    weights: Weights, x: Tensor, label: Tensor, activation: Activation, step: int, noise: Tensor
) -> Pass:
    """The mean cross-entropy of a batch and its gradient.

    Args:
        x, label: (members, batch, length), (members, batch).
        activation: of the places (members, batch, hidden) and the step.
        noise: added to the hidden units, (members, hidden).

    Returns:
        Loss, gradient, and what `hessian_vector_product` needs; shapes as in `Pass`.
    """
    preactivation, activated, hidden, logits = forward(weights, x, activation, step, noise)
    log_probability = torch.log_softmax(logits, -1)
    loss = -log_probability.gather(-1, label[..., None])[..., 0].mean(1)
    probability = log_probability.exp()
    grad_logits = (probability - functional.one_hot(label, logits.shape[-1])) / label.shape[1]
    grad_hidden = torch.bmm(grad_logits, weights.second)
    grad_preactivation = grad_hidden * activated.derivative
    gradient = Weights(
        torch.bmm(grad_preactivation.transpose(1, 2), x),
        grad_preactivation.sum(1),
        torch.bmm(grad_logits.transpose(1, 2), hidden),
        grad_logits.sum(1),
    )
    return Pass(preactivation, activated, hidden, probability, grad_logits, grad_hidden, loss, gradient)


def hessian_vector_product(
    weights: Weights, x: Tensor, done: Pass, direction: Weights
) -> tuple[Weights, Tensor, Tensor]:
    """The Hessian of a batch's loss times a direction in the space of weights.

    Args:
        weights, x: those of `done`.
        done: the result of `forward_backward`.
        direction: shaped as the weights.

    Returns:
        The product, shaped as the weights; and the gradients of (gradient times direction) with respect to the
        activation function's value and derivative at each place, both (members, batch, hidden).
    """
    preactivation = torch.baddbmm(direction.first_bias[:, None], x, direction.first.transpose(1, 2))
    hidden = done.activated.derivative * preactivation
    logits = torch.baddbmm(direction.second_bias[:, None], done.hidden, direction.second.transpose(1, 2))
    logits = torch.baddbmm(logits, hidden, weights.second.transpose(1, 2))
    mean = (done.probability * logits).sum(-1, keepdim=True)
    grad_logits = done.probability * (logits - mean) / x.shape[1]
    grad_hidden = torch.baddbmm(torch.bmm(done.grad_logits, direction.second), grad_logits, weights.second)
    grad_preactivation = (
        grad_hidden * done.activated.derivative + done.grad_hidden * done.activated.second_derivative * preactivation
    )
    grad_second = torch.bmm(grad_logits.transpose(1, 2), done.hidden)
    product = Weights(
        torch.bmm(grad_preactivation.transpose(1, 2), x),
        grad_preactivation.sum(1),
        torch.baddbmm(grad_second, done.grad_logits.transpose(1, 2), hidden),
        grad_logits.sum(1),
    )
    return product, grad_hidden, done.grad_hidden * preactivation


def train(
    inner: Inner, weights: Weights, x: Tensor, label: Tensor, activation: Activation, noise: Tensor
) -> tuple[Tensor, Weights, list[Step]]:
    """Train with RMSprop.

    Args:
        weights: initial ones.
        x, label: the training set, (members, rows, length) and (members, rows).
        activation: of the places (members, batch, hidden) and the step.
        noise: added to the hidden units, (members, steps, hidden).

    Returns:
        The loss of each step (members, steps), the trained weights, and what `backpropagate` needs of each step.
    """
    squares = Weights(*map(torch.ones_like, weights))
    losses, steps = [], []
    for step in range(inner.steps):
        done = forward_backward(weights, *inner.batch(x, label, step), activation, step, noise[:, step])
        pairs = zip(squares, done.gradient, strict=True)
        squares = Weights(*(inner.decay * mean + (1 - inner.decay) * grad * grad for mean, grad in pairs))
        steps.append(Step(weights, done.gradient, squares))
        parts = zip(weights, done.gradient, squares, strict=True)
        moved = (values - inner.learning_rate * grad / (mean.sqrt() + EPSILON) for values, grad, mean in parts)
        weights = Weights(*moved)
        losses.append(done.loss)
    return torch.stack(losses, dim=1), weights, steps


def backpropagate(
    inner: Inner, steps: list[Step], x: Tensor, label: Tensor, activation: Learned, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradient of the objective, the mean of the last losses, with respect to the activation function.

    Args:
        inner, x, label, activation, noise: as given to `train`.
        steps: as returned by `train`.

    Returns:
        The gradient with respect to the entries of the table (members, places, 4), and with respect to the offset in
        each step (members, steps).
    """
    grad_weights = Weights(*map(torch.zeros_like, steps[-1].weights))
    grad_squares = grad_weights
    grad_entries = torch.zeros_like(activation.entries)
    grad_offset = torch.zeros_like(activation.offset)
    for step in reversed(range(inner.steps)):
        weights, gradient, squares = steps[step]
        direction, grad_squares = _through_rmsprop(inner, gradient, squares, grad_weights, grad_squares)
        some, target = inner.batch(x, label, step)
        done = forward_backward(weights, some, target, activation, step, noise[:, step])
        product, grad_value, grad_derivative = hessian_vector_product(weights, some, done, direction)
        if step >= inner.steps - inner.counted:  # the loss of this step is part of the objective
            grad_value = grad_value + 1 / inner.counted * done.grad_hidden
            product = Weights(*(one + 1 / inner.counted * grad for one, grad in zip(product, gradient, strict=True)))
        grad_weights = Weights(*map(torch.add, grad_weights, product))
        activation.accumulate_grad(grad_entries, done.preactivation, grad_value, grad_derivative)
        grad_offset[:, step] = grad_value.sum((1, 2))
    return grad_entries.view(activation.members, activation.places, 4), grad_offset


def _through_rmsprop(
    inner: Inner, gradient: Weights, squares: Weights, grad_weights: Weights, grad_squares: Weights
) -> tuple[Weights, Weights]:
    """Gradients with respect to a step's gradient and to the mean of squares before the step, from those with respect
    to the weights and the mean of squares after it."""
    grad_gradient, grad_before = [], []
    for grad, mean, grad_weight, grad_after in zip(gradient, squares, grad_weights, grad_squares, strict=True):
        root = mean.sqrt()
        scaled = inner.learning_rate * grad_weight / (root + EPSILON)
        grad_mean = grad_after + scaled * grad / ((root + EPSILON) * 2 * root.clamp_min(1e-30))
        grad_gradient.append(grad_mean * (2 * (1 - inner.decay)) * grad - scaled)
        grad_before.append(inner.decay * grad_mean)
    return Weights(*grad_gradient), Weights(*grad_before)
