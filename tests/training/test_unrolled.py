"""The gradient through a training: against automatic differentiation of the whole run."""

import pytest
import torch
from torch.nn import functional

from mnist1d_hf.training.activations import (
    FIXED,
    GRID_LIMIT,
    NETWORK_SCALE,
    POINTS_PER_UNIT,
    Fixed,
    Learned,
    Weights,
    tabulate,
)
from mnist1d_hf.training.unrolled import Inner, backpropagate, train

INNER = Inner(steps=6, batch_size=10, learning_rate=0.05, decay=0.4, counted=4)
MEMBERS, HIDDEN, SMALL = 2, 8, 5


def random_weights(generator, before, hidden, after):
    shapes = ((hidden, before), (hidden,), (after, hidden), (after,))
    return Weights(*(torch.randn(MEMBERS, *shape, generator=generator, dtype=torch.float64) * 0.5 for shape in shapes))


def problem():
    generator = torch.Generator().manual_seed(1)
    small, weights = random_weights(generator, 1, SMALL, 1), random_weights(generator, 12, HIDDEN, 3)
    x = torch.randn(MEMBERS, 30, 12, generator=generator, dtype=torch.float64)
    label = torch.randint(3, (MEMBERS, 30), generator=generator)
    noise = 0.1 * torch.rand(MEMBERS, INNER.steps, HIDDEN, generator=generator, dtype=torch.float64)
    offset = 0.1 * torch.rand(MEMBERS, INNER.steps, generator=generator, dtype=torch.float64)
    return small, weights, x, label, noise, offset


def slow_objective(small, weights, x, label, noise, offset):
    """One member's mean of the last losses, plainly, with the small network at each hidden unit."""
    squares = [torch.ones_like(values) for values in weights]
    losses = []
    for step in range(INNER.steps):
        first = step * INNER.batch_size % len(x)
        some = slice(first, first + INNER.batch_size)
        before = x[some] @ weights[0].T + weights[1]
        net = torch.tanh(before[..., None] * small[0][:, 0] + small[1]) @ small[2][0] + small[3]
        hidden = functional.elu(before) + NETWORK_SCALE * net + offset[step] + noise[step]
        loss = functional.cross_entropy(hidden @ weights[2].T + weights[3], label[some])
        slopes = torch.autograd.grad(loss, weights, create_graph=True)
        squares = [
            INNER.decay * mean + (1 - INNER.decay) * slope**2 for mean, slope in zip(squares, slopes, strict=True)
        ]
        weights = [
            values - INNER.learning_rate * slope / (mean.sqrt() + 1e-8)
            for values, slope, mean in zip(weights, slopes, squares, strict=True)
        ]
        losses.append(loss)
    return torch.stack(losses), torch.stack(losses[-INNER.counted :]).mean()


def test_the_gradient_is_that_of_the_whole_run():
    """Tolerance: what is left out of Taylor's formula on the grid."""
    small, weights, x, label, noise, offset = problem()
    variables = Weights(*(values.clone().requires_grad_() for values in small))
    entries = tabulate(variables)
    activation = Learned(entries.detach(), offset)
    losses, _, steps = train(INNER, weights, x, label, activation, noise)
    grad_entries, grad_offset = backpropagate(INNER, steps, x, label, activation, noise)
    found = torch.autograd.grad((entries * grad_entries).sum(), variables)
    for member in range(MEMBERS):
        own = [values[member].clone().requires_grad_() for values in small]
        shifts = offset[member].clone().requires_grad_()
        start = [values[member].clone().requires_grad_() for values in weights]
        each, objective = slow_objective(own, start, x[member], label[member], noise[member], shifts)
        torch.testing.assert_close(losses[member], each, atol=1e-8, rtol=0)
        expected = torch.autograd.grad(objective, [*own, shifts])
        for value, reference in zip([*(one[member] for one in found), grad_offset[member]], expected, strict=True):
            torch.testing.assert_close(value, reference, atol=1e-6, rtol=1e-4)


def test_members_do_not_influence_one_another():
    small, weights, x, label, noise, offset = problem()
    both, _, _ = train(INNER, weights, x, label, Learned(tabulate(small), offset), noise)
    one = Weights(*(values[1:] for values in weights))
    alone, _, _ = train(
        INNER, one, x[1:], label[1:], Learned(tabulate(Weights(*(v[1:] for v in small))), offset[1:]), noise[1:]
    )
    torch.testing.assert_close(both[1:], alone)


def test_the_table_is_the_network():
    small, *_ = problem()
    activation = Learned(tabulate(small), torch.zeros(MEMBERS, 1, dtype=torch.float64))
    x = (
        torch.linspace(-GRID_LIMIT, GRID_LIMIT, 997, dtype=torch.float64)
        .expand(MEMBERS, 1, -1)
        .clone()
        .requires_grad_()
    )
    net = torch.tanh(x[..., None] * small.first[:, None, None, :, 0] + small.first_bias[:, None, None])
    value = functional.elu(x) + NETWORK_SCALE * ((net * small.second[:, None]).sum(-1) + small.second_bias[:, None])
    slope = torch.autograd.grad(value.sum(), x, create_graph=True)[0]
    second_derivative = torch.autograd.grad(slope.sum(), x)[0]
    found = activation(x.detach(), 0)
    torch.testing.assert_close(found.value, value, atol=1e-8, rtol=0)
    torch.testing.assert_close(found.derivative, slope, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.second_derivative, second_derivative, atol=(1 / POINTS_PER_UNIT) ** 2, rtol=0)


def test_beyond_the_grid_the_function_goes_on():
    small, *_ = problem()
    activation = Learned(tabulate(small), torch.zeros(MEMBERS, 1, dtype=torch.float64))
    x = torch.tensor([-1e6, -GRID_LIMIT - 1.0, GRID_LIMIT + 1.0, 1e6], dtype=torch.float64).expand(MEMBERS, 1, 4)
    assert all(bool(values.isfinite().all()) for values in activation(x, 0))


@pytest.mark.parametrize("name", FIXED)
def test_fixed_functions_are_torchs(name):
    x = torch.linspace(-4, 4, 101, dtype=torch.float64, requires_grad=True)
    plain = {"swish": functional.silu}.get(name) or getattr(functional, name, None) or getattr(torch, name)
    value = plain(x)
    slope = torch.autograd.grad(value.sum(), x, create_graph=True)[0]
    second_derivative = torch.autograd.grad(slope.sum(), x)[0] if slope.requires_grad else torch.zeros_like(x)
    found = Fixed(name)(x.detach(), 0)
    for ours, theirs in zip(found, (value, slope, second_derivative), strict=True):
        torch.testing.assert_close(ours, theirs)
