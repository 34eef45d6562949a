"""Signals made from parts of others: the parts are those of the generator, and nothing held out is used."""

import dataclasses

import numpy as np
import pytest
import torch

from mnist1d_hf import load_dataset, load_pretrained
from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.population import Population
from mnist1d_hf.training.recipe import Recipe
from mnist1d_hf.training.synthesis import analyse


@pytest.fixture(scope="module")
def arrays():
    return load_arrays("default")


@pytest.fixture(scope="module")
def parts(arrays):
    return analyse(torch.from_numpy(arrays.x.copy()), torch.from_numpy(arrays.label.copy()))


def draws(parts, count, seed=0):
    return parts.draw(count, torch.Generator().manual_seed(seed))


def test_the_parts_are_those_the_generator_drew(parts, arrays, tmp_path):
    """`analyse` does not know the latents. 400 signals a class: 0.8 by chance has a probability below 1e-80."""
    truth = load_dataset(latents=True, cache_dir=str(tmp_path))["train"].with_format("numpy")
    for kind in range(10):
        rows = arrays.label == kind
        for found, latent, sign in (
            (parts.stretch, "padding", -1),
            (parts.factor, "scale", 1),
            (parts.slope, "shear", -1),
        ):
            correlation = np.corrcoef(found[rows], np.asarray(truth[latent][:])[rows])[0, 1]
            assert sign * correlation > 0.8, (kind, latent)
    outer = parts.outer.square().sum(1).sqrt().mean()
    assert parts.inner < 0.4 * outer  # inside of a template there is no smooth noise


def test_new_signals_are_like_the_old_ones(parts, arrays):
    x, label = draws(parts, 20_000)
    assert x.shape == (20_000, 40)
    assert x.dtype == torch.float32
    assert abs(x.mean()) < 0.03
    assert abs(x.std() - 1) < 0.03
    assert (label.bincount() - 2000).abs().max() < 300
    # Neighbours in a signal go together as in the real ones, at every distance.
    real = torch.from_numpy(arrays.x.copy())
    for distance in (1, 2, 4, 8):
        new, old = ((y[:, distance:] * y[:, :-distance]).mean() for y in (x, real))
        assert abs(new - old) < 0.06, distance


def test_new_signals_are_of_their_class(parts):
    """A network that has only seen real signals is right about new ones nearly as often as on the test split (93 %).

    2,000 draws: at 91 % one would fall below 88 once in 100,000 tests.
    """
    x, label = draws(parts, 2000)
    with torch.no_grad():
        predictions = load_pretrained("cnn")(x).logits.argmax(1)
    assert (predictions == label).float().mean() > 0.88


def test_draws_depend_on_the_generator_only(parts):
    torch.manual_seed(0)
    first = draws(parts, 50, seed=3)
    torch.manual_seed(1)
    again, other = draws(parts, 50, seed=3), draws(parts, 50, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def trained(arrays):
    network = {"architecture": "mlp", "widths": (20, 20)}
    population = Population(Recipe("small", network, 12, holdout=0.5, select="final", synthetic=0.5), [1], arrays)
    population.run()
    return population.held_out[0], population.finish()[1][0]


def test_held_out_signals_are_in_no_part(arrays):
    """Other held-out signals: the same weights after the same number of steps."""
    few = dataclasses.replace(arrays, x=arrays.x[:1000].copy(), label=arrays.label[:1000])
    held_out, first = trained(few)
    few.x[held_out] += 1
    again, second = trained(few)
    assert torch.equal(held_out, again)
    assert all(torch.equal(first[name], second[name]) for name in first)
