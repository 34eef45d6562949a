"""The families of models that scikit-learn has, each with four configurations to choose from, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mnist1d_hf.studies import minirocket

Signals = NDArray[np.float32]
Labels = NDArray[np.int64]

GRIDS: dict[str, tuple[dict[str, Any], ...]] = {  # family -> what is tried, arguments of scikit-learn's class
    "neighbours": tuple({"n_neighbors": count} for count in (1, 5, 10, 20)),
    "logistic": tuple({"C": strength} for strength in (0.01, 0.1, 1.0, 10.0)),
    "svm": tuple({"C": cost, "gamma": gamma} for cost in (3.0, 30.0) for gamma in (0.025, 0.1)),
    "forest": tuple(
        {"max_features": fraction, "min_samples_leaf": least} for fraction in (0.15, 0.3) for least in (1, 3)
    ),
    "boosting": tuple({"learning_rate": rate, "max_leaf_nodes": leaves} for rate in (0.1, 0.3) for leaves in (7, 31)),
    "minirocket": tuple({"alpha": penalty} for penalty in (10.0, 100.0, 1000.0, 10_000.0)),
}
PREDICTED = 5000  # signals at a time


class Classifier(NamedTuple):
    """A fitted model.

    Attributes:
        predict: signals (n, length) to labels (n,).
        parameters: how many numbers it keeps: weights, or the values of stored signals; of trees, the nodes.
    """

    predict: Callable[[Signals], Labels]
    parameters: int

    def accuracy(self, x: Signals, label: Labels) -> float:
        """Fraction of correct predictions."""
        parts = range(0, len(x), PREDICTED)
        with one_thread():
            predicted = [self.predict(x[start : start + PREDICTED]) for start in parts]
        return float((np.concatenate(predicted) == label).mean())


def fit(
    family: str, configuration: Mapping[str, Any], x: Signals, label: Labels, seed: int, *, trees: int, features: int
) -> Classifier:
    """Fit a family's model.

    Args:
        family, configuration: a key of `GRIDS`, and one of its values.
        x, label: (n, length) and (n,).
        seed: of what is random in it.
        trees: of a forest, or rounds of boosting.
        features: of MiniRocket.
    """
    with one_thread():
        if family == "minirocket":
            return _minirocket(x, label, seed, features, **configuration)
        model = _model(family, configuration, seed, trees).fit(x, label)
        return Classifier(_svm_predictions(model) if family == "svm" else model.predict, _size(family, model))


def _model(family: str, configuration: Mapping[str, Any], seed: int, trees: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    if family == "neighbours":
        return KNeighborsClassifier(algorithm="brute", **configuration)
    if family == "logistic":
        return LogisticRegression(max_iter=1000, **configuration)
    if family == "svm":
        return SVC(cache_size=1000, **configuration)
    if family == "forest":
        return RandomForestClassifier(trees, random_state=seed, n_jobs=1, **configuration)
    return HistGradientBoostingClassifier(max_iter=trees, early_stopping=False, random_state=seed, **configuration)


def _size(family: str, model: Any) -> int:
    if family == "neighbours":
        return int(model._fit_X.size)
    if family == "logistic":
        return int(model.coef_.size + model.intercept_.size)
    if family == "svm":
        return int(model.support_vectors_.size + model.dual_coef_.size + model.intercept_.size)
    if family == "forest":
        return sum(int(tree.tree_.node_count) for tree in model.estimators_)
    return sum(len(tree.nodes) for round_ in model._predictors for tree in round_)


def _minirocket(x: Signals, label: Labels, seed: int, features: int, alpha: float) -> Classifier:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.preprocessing import StandardScaler

    transform = minirocket.fit(x, features, seed)
    values = transform.transform(x)
    scaler = StandardScaler(copy=False).fit(values)
    model = RidgeClassifier(alpha=alpha).fit(scaler.transform(values), label)
    size = transform.features + model.coef_.size + model.intercept_.size
    return Classifier(lambda signals: model.predict(scaler.transform(transform.transform(signals))), size)


def _svm_predictions(model: Any) -> Callable[[Signals], Labels]:
    """What `SVC.predict` gives, by matrix products: ten times as fast. Each pair of classes has a vote; of classes with
    equally many votes the first one wins."""
    vectors, gamma = torch.from_numpy(model.support_vectors_).float(), float(model.gamma)
    pairs, weights, offsets = _pairs(model)
    squares = vectors.square().sum(1)

    def predict(x: Signals) -> Labels:
        signals = torch.from_numpy(x)
        distances = signals.square().sum(1, keepdim=True) + squares - 2 * signals @ vectors.T
        wins = (distances.mul_(-gamma).exp_() @ weights + offsets > 0).numpy()
        votes = np.zeros((len(x), len(model.classes_)), dtype=np.int64)
        for (first, second), won in zip(pairs, wins.T, strict=True):
            votes[:, first] += won
            votes[:, second] += ~won
        return model.classes_[votes.argmax(1)]

    return predict


def _pairs(model: Any) -> tuple[list[tuple[int, int]], torch.Tensor, torch.Tensor]:
    """The pairs of classes, the weight of each support vector in the decision of each pair (vectors, pairs), and the
    constant of each decision."""
    edges = np.concatenate([[0], np.cumsum(model.n_support_)])
    count = len(model.n_support_)
    pairs = [(first, second) for first in range(count) for second in range(first + 1, count)]
    weights = np.zeros((edges[-1], len(pairs)), dtype=np.float32)
    for column, (first, second) in enumerate(pairs):
        of_first, of_second = slice(*edges[first : first + 2]), slice(*edges[second : second + 2])
        weights[of_first, column] = model.dual_coef_[second - 1, of_first]
        weights[of_second, column] = model.dual_coef_[first, of_second]
    return pairs, torch.from_numpy(weights), torch.from_numpy(model.intercept_).float()


@contextmanager
def one_thread() -> Iterator[None]:
    """As all of a study: the number of threads decides the order of sums, and what a unit costs."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
