"""How good a trained model is: accuracy with its interval, recall and precision per class, confusion matrix."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mnist1d_hf.data.configurations import find_configuration
from mnist1d_hf.data.stream import sample
from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.training.statistics import wilson_interval

FRESH_SAMPLES = 100_000  # on which a released checkpoint is evaluated
FRESH_SEED = 2**62  # of the stream that fresh samples come from: far from the seeds that are used for training


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Predictions of a model against the truth.

    Attributes:
        confusion: int64 (classes, classes): rows are true classes, columns predicted ones.
        loss: mean negative log-likelihood, in nats.
    """

    confusion: NDArray[Any]
    loss: float

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


def evaluate(model: nn.Module, x: NDArray[Any], label: NDArray[Any], batch_size: int = 1000) -> Evaluation:
    """Compare a classifier's predictions with the labels.

    Args:
        model: from signals (batch, length) to an output with `logits` (batch, classes); its training mode is put back.
        x, label: float (n, length) and int (n,).
        batch_size: samples at a time.

    Raises:
        InvalidValueError: no samples, or labels that the model does not know.
    """
    if len(x) == 0 or len(x) != len(label):
        raise InvalidValueError(f"expected as many labels as signals and at least one, found {len(label)} and {len(x)}")
    signals, truth = (torch.from_numpy(np.array(values)) for values in (x, label))
    device, training = next(model.parameters()).device, model.training
    model.eval()
    try:
        with torch.no_grad():
            parts = [model(part.float().to(device)).logits.float().cpu() for part in signals.split(batch_size)]
    finally:
        model.train(training)
    logits, truth = torch.cat(parts), truth.long()
    classes = logits.shape[1]
    if int(truth.max()) >= classes or int(truth.min()) < 0:
        raise InvalidValueError(f"labels: expected 0 to {classes - 1}, found {int(truth.max())}")
    pairs = zip(parts, truth.split(batch_size), strict=True)
    loss = sum(float(nn.functional.cross_entropy(*pair, reduction="sum")) for pair in pairs)
    confusion = torch.bincount(truth * classes + logits.argmax(1), minlength=classes * classes)
    return Evaluation(confusion.view(classes, classes).numpy(), loss / len(x))


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
