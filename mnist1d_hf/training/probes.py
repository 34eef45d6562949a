"""How good features are: a linear classifier and the nearest neighbours, as scikit-learn has them by default."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_AT_ONCE = 2000  # test samples


def linear_accuracy(x: Tensor, label: Tensor, x_test: Tensor, label_test: Tensor, iterations: int = 1000) -> float:
    """Share of right answers of a logistic regression on standardised features.

    Its loss is the sum over the training samples plus half the squared weights, without those of the bias: what
    scikit-learn's `make_pipeline(StandardScaler(), LogisticRegression(tol=1e-2, max_iter=iterations))` minimises.

    Args:
        x, x_test: features, float (samples, features).
        label, label_test: int64 (samples,), from 0.
        iterations: at most.

    >>> x = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    >>> linear_accuracy(x, torch.tensor([0, 0, 1, 1]), torch.tensor([[-1.0], [9.0]]), torch.tensor([0, 1]))
    1.0
    """
    mean, deviation = x.mean(0), x.std(0, correction=0)
    deviation = torch.where(deviation > 0, deviation, 1.0)  # a unit that is always off
    x, x_test = (x - mean) / deviation, (x_test - mean) / deviation
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
        found = functional.cross_entropy(functional.linear(x, weight, bias), label, reduction="sum")
        found = found + weight.square().sum() / 2
        found.backward()
        return found

    with torch.enable_grad():
        optimizer.step(loss)
    with torch.no_grad():
        answers = functional.linear(x_test, weight, bias).argmax(1)
    return float((answers == label_test).double().mean())


def neighbour_accuracy(
    x: Tensor, label: Tensor, x_test: Tensor, label_test: Tensor, neighbours: int = 10, cosine: bool = False
) -> float:
    """Share of right answers of the most frequent class among the nearest training samples; of equally frequent ones
    the first.

    Args:
        x, label, x_test, label_test: as in `linear_accuracy`.
        neighbours: how many.
        cosine: whether distance is that of directions, instead of the Euclidean one.

    >>> x = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    >>> neighbour_accuracy(x, torch.tensor([0, 0, 1, 1]), torch.tensor([[0.4]]), torch.tensor([0]), neighbours=3)
    1.0
    """
    if cosine:
        x, x_test = functional.normalize(x), functional.normalize(x_test)
    classes = int(torch.maximum(label.max(), label_test.max())) + 1
    half_squares = x.square().sum(1) / 2
    right = 0
    for some, truth in zip(x_test.split(_AT_ONCE), label_test.split(_AT_ONCE), strict=True):
        near = (some @ x.T - half_squares).topk(neighbours, dim=1).indices
        votes = functional.one_hot(label[near], classes).sum(1)
        right += int((votes.argmax(1) == truth).sum())
    return right / len(x_test)
