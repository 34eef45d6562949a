"""Probes: the linear one is at the minimum of what it minimises, the neighbours are those of a plain search."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from mnist1d_hf.training.probes import linear_accuracy, neighbour_accuracy


def problem(samples=120, features=5, classes=3):
    random = np.random.default_rng(0)
    label = random.integers(classes, size=2 * samples)
    x = random.standard_normal((2 * samples, features)) * 3 + label[:, None] + 10
    x[:, -1] = 4.0
    return x[:samples], label[:samples], x[samples:], label[samples:]


def as_tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


def test_the_linear_probe_is_a_logistic_regression():
    x, label, x_test, label_test = problem()
    mean, std = x.mean(0), np.where(x.std(0) > 0, x.std(0), 1)
    scaled, scaled_test = (x - mean) / std, (x_test - mean) / std

    def loss(flat):
        weight, bias = flat[:15].reshape(3, 5), flat[15:]
        logits = scaled @ weight.T + bias
        return (np.log(np.exp(logits).sum(1)) - logits[np.arange(len(label)), label]).sum() + (weight**2).sum() / 2

    best = minimize(loss, np.zeros(18)).x
    predictions = (scaled_test @ best[:15].reshape(3, 5).T + best[15:]).argmax(1)
    found = linear_accuracy(*as_tensors(x, label, x_test, label_test))
    assert found == pytest.approx((predictions == label_test).mean())


@pytest.mark.parametrize("cosine", [False, True])
def test_neighbours_are_the_nearest(cosine):
    x, label, x_test, label_test = problem()
    left, right = (x / np.linalg.norm(x, axis=1)[:, None], x_test / np.linalg.norm(x_test, axis=1)[:, None])
    distances = np.linalg.norm((right if cosine else x_test)[:, None] - (left if cosine else x), axis=-1)
    near = label[np.argsort(distances, axis=1)[:, :10]]
    predictions = np.array([np.bincount(row).argmax() for row in near])
    found = neighbour_accuracy(*as_tensors(x, label, x_test, label_test), cosine=cosine)
    assert found == pytest.approx((predictions == label_test).mean())
