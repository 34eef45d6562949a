"""How good a trained model is: accuracy with its interval, recall and precision per class, and beside the exact
posterior: what is the best that anyone could do?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.configurations import FRESH_SEED, find_configuration
from mnist1d_hf.data.posterior import posterior
from mnist1d_hf.data.stream import sample
from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.training.statistics import Summary, summarize, wilson_interval

_PART = 1024  # signals between two reports of progress


@dataclasses.dataclass(frozen=True)
class BayesComparison:
    """A model's probabilities q(class | x) beside the exact ones, p(class | x), on the same n signals.

    Attributes:
        accuracy: of the best possible classifier, which predicts the class with the largest p.
        expected_accuracy: mean of the largest p: what the accuracy of the best possible classifier is on average over
            the labels that these signals could have had.
        loss: mean of -log p(label | x), in nats, the Bayes loss: the least that any model can expect.
        excess_loss: of the differences log p(label | x) - log q(label | x), signal by signal: their mean is the model's
            loss minus the Bayes loss; with the 95 % interval of the mean, for the choice of the signals.
        kl_divergence: mean over the signals of the sum over the classes of p log(p / q), in nats. It estimates the same
            number as the excess loss, without the chance of which label each signal has.
        calibration_error: mean of |q(c | x) - p(c | x)| with c the class that the model predicts: by how much the
            confidence of the model differs from the probability that its prediction is right, signal by signal. It is
            no estimate from bins, and asks for more: in a bin, a confidence of 0.3 is right if 30 % of the predictions
            are, although for each signal the answer may be certain.
    """

    accuracy: float
    expected_accuracy: float
    loss: float
    excess_loss: Summary
    kl_divergence: float
    calibration_error: float


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Predictions of a model against the truth.

    Attributes:
        confusion: int64 (classes, classes): rows are true classes, columns predicted ones.
        loss: mean negative log-likelihood, in nats.
        bayes: the comparison with the exact posterior, where that was given.
    """

    confusion: NDArray[Any]
    loss: float
    bayes: BayesComparison | None = None

    @property
    def accuracy(self) -> float:
        """Fraction of correct predictions."""
        return int(np.trace(self.confusion)) / int(self.confusion.sum())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy (Wilson)."""
        return wilson_interval(int(np.trace(self.confusion)), int(self.confusion.sum()))

    def per_class(self) -> list[tuple[int, float, float]]:
        """Of each class: number of samples, recall, precision (nan where the denominator is 0)."""
        diagonal = np.diag(self.confusion).astype(float)
        with np.errstate(invalid="ignore"):
            recall, precision = diagonal / self.confusion.sum(1), diagonal / self.confusion.sum(0)
        return list(zip(self.confusion.sum(1).tolist(), recall.tolist(), precision.tolist(), strict=True))


def evaluate(
    model: nn.Module,
    x: NDArray[Any],
    label: NDArray[Any],
    batch_size: int = 1000,
    posterior: NDArray[Any] | None = None,
) -> Evaluation:
    """Compare a classifier's predictions with the labels, and its probabilities with the exact ones.

    Args:
        model: from signals (batch, length) to an output with `logits` (batch, classes); its training mode is put back.
        x, label: float (n, length) and int (n,).
        batch_size: samples at a time.
        posterior: p(class | x), float64 (n, classes), as `mnist1d_hf.posterior` gives it. It may have fewer columns
            than the model has classes: the others have probability 0.

    Raises:
        InvalidValueError: no samples, labels that the model does not know, or a posterior of another shape.
    """
    if len(x) == 0 or len(x) != len(label):
        raise InvalidValueError(f"expected as many labels as signals and at least one, found {len(label)} and {len(x)}")
    signals = torch.from_numpy(np.array(x))
    device, training = next(model.parameters()).device, model.training
    model.eval()
    try:
        with torch.no_grad():
            parts = [model(part.float().to(device)).logits.double().cpu() for part in signals.split(batch_size)]
    finally:
        model.train(training)
    return _compare(torch.cat(parts).log_softmax(1).numpy(), label, posterior)


def evaluate_bayes(posterior: NDArray[Any], label: NDArray[Any]) -> Evaluation:
    """The best possible classifier, which knows p(class | x), float64 (n, classes), and predicts the likeliest class.

    >>> found = evaluate_bayes(np.array([[0.75, 0.25], [0.5, 0.5]]), np.array([0, 1]))
    >>> found.accuracy, found.bayes.expected_accuracy, round(found.loss, 3)
    (0.5, 0.625, 0.49)
    """
    with np.errstate(divide="ignore"):
        return _compare(np.log(posterior), label, posterior)


def _compare(log_q: NDArray[Any], label: NDArray[Any], p: NDArray[Any] | None) -> Evaluation:
    """Of the model's log probabilities, float64 (n, classes)."""
    (n, classes), label = log_q.shape, np.asarray(label)
    if label.max() >= classes or label.min() < 0:
        raise InvalidValueError(f"labels: expected 0 to {classes - 1}, found {label.max()}")
    prediction = log_q.argmax(1)
    confusion = np.bincount(label * classes + prediction, minlength=classes * classes).reshape(classes, classes)
    log_likelihood = log_q[np.arange(n), label]
    if p is None:
        return Evaluation(confusion, _loss(log_likelihood))
    if p.ndim != 2 or len(p) != n or p.shape[1] > classes:
        raise InvalidValueError(f"posterior: expected shape ({n}, {classes}), found {p.shape}")
    p = np.pad(p, ((0, 0), (0, classes - p.shape[1])))
    possible = p > 0  # p log p is 0 where p is
    with np.errstate(divide="ignore"):
        log_p = np.log(p)
    best = log_p[np.arange(n), label]
    rows = np.arange(n), prediction
    with np.errstate(invalid="ignore"):
        excess = np.where(best == log_likelihood, 0.0, best - log_likelihood)  # also where both are -inf
    bayes = BayesComparison(
        accuracy=float((p.argmax(1) == label).mean()),
        expected_accuracy=float(p.max(1).mean()),
        loss=_loss(best),
        excess_loss=summarize(excess),
        kl_divergence=float((p[possible] * (log_p[possible] - log_q[possible])).sum() / n),
        calibration_error=float(np.abs(np.exp(log_q[rows]) - p[rows]).mean()),
    )
    return Evaluation(confusion, _loss(log_likelihood), bayes)


def _loss(log_likelihood: NDArray[Any]) -> float:
    return abs(float(log_likelihood.mean()))  # the mean is at most 0, but for rounding


def exact_posterior(
    x: NDArray[Any],
    config: GeneratorConfig,
    standardization: tuple[float, float] | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> NDArray[Any]:
    """`mnist1d_hf.posterior` in parts: `progress` is called with the number of signals just done."""
    parts = []
    for start in range(0, len(x), _PART):
        parts.append(posterior(x[start : start + _PART], config, standardization=standardization))
        progress(len(parts[-1]))
    return np.concatenate(parts)


def fresh_samples(configuration: str, count: int, seed: int = FRESH_SEED) -> tuple[NDArray[Any], NDArray[Any]]:
    """Samples that no training has seen, from the distribution of a configuration.

    Returns:
        Signals float32 (count, length) and labels int64 (count,).

    Raises:
        InvalidValueError: a shuffled configuration: its permutation depends on the seed of the dataset.

    >>> fresh_samples("default", 10)[0].shape
    (10, 40)
    """
    generator = find_configuration(configuration).generator
    if generator.shuffle_seq:
        raise InvalidValueError(f"{configuration}: the permutation belongs to its seed, so there are no fresh samples")
    x, label = sample(range(count), seed, generator)
    return x, label
