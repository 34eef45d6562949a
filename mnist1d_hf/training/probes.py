"""How good features are: a linear classifier and the nearest neighbours, as scikit-learn has them by default."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_AT_ONCE = 2000  # test samples


def linear_accuracy(x: Tensor, label: Tensor, x_test: Tensor, label_test: Tensor, iterations: int = 1000) -> float:
    """Test accuracy, as a fraction, of a logistic regression on standardised features.

    Its loss is the sum of the cross-entropy over the training samples plus half the squared weights, the bias not
    included. This is what `make_pipeline(StandardScaler(), LogisticRegression(tol=1e-2, max_iter=iterations))` of
    scikit-learn minimises.

    Args:
        x, x_test: features, float (samples, features).
        label, label_test: int64 (samples,), from 0.
        iterations: at most.

    >>> x = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    >>> linear_accuracy(x, torch.tensor([0, 0, 1, 1]), torch.tensor([[-1.0], [9.0]]), torch.tensor([0, 1]))
    1.0
    """
    mean, std = x.mean(0), x.std(0, correction=0)
    std = torch.where(std > 0, std, 1.0)  # a feature that is constant
    x, x_test = (x - mean) / std, (x_test - mean) / std
    classes = int(torch.maximum(label.max(), label_test.max())) + 1
    weight = x.new_zeros(classes, x.shape[1], requires_grad=True)
    bias = x.new_zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=iterations,
        max_eval=2 * iterations,
        tolerance_grad=1e-2,
        tolerance_change=0.0,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(functional.linear(x, weight, bias), label, reduction="sum")
        value = value + weight.square().sum() / 2
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    with torch.no_grad():
        predictions = functional.linear(x_test, weight, bias).argmax(1)
    return float((predictions == label_test).double().mean())


def neighbour_accuracy(
    x: Tensor, label: Tensor, x_test: Tensor, label_test: Tensor, neighbours: int = 10, cosine: bool = False
) -> float:
    """Test accuracy, as a fraction, of the most frequent class among the nearest training samples; of equally frequent
    ones the first.

    Args:
        x, label, x_test, label_test: as in `linear_accuracy`.
        neighbours: how many vote.
        cosine: whether the distance is the angle, instead of the Euclidean one.

    >>> x = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    >>> neighbour_accuracy(x, torch.tensor([0, 0, 1, 1]), torch.tensor([[0.4]]), torch.tensor([0]), neighbours=3)
    1.0
    """
    if cosine:
        x, x_test = functional.normalize(x), functional.normalize(x_test)
    classes = int(torch.maximum(label.max(), label_test.max())) + 1
    half_squares = x.square().sum(1) / 2
    correct = 0
    for some, target in zip(x_test.split(_AT_ONCE), label_test.split(_AT_ONCE), strict=True):
        near = (some @ x.T - half_squares).topk(neighbours, dim=1).indices
        votes = functional.one_hot(label[near], classes).sum(1)
        correct += int((votes.argmax(1) == target).sum())
    return correct / len(x_test)
