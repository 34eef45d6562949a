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
    def total(self) -> int:
        """Samples."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Fraction of correct predictions."""
        return int(np.trace(self.confusion)) / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy (Wilson)."""
        return wilson_interval(int(np.trace(self.confusion)), self.total)

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
        x: float (n, length).
        label: int (n,).
        batch_size: samples at a time.

    Raises:
        InvalidValueError: no samples, or labels that the model does not know.
    """
    if len(x) == 0 or len(x) != len(label):
        raise InvalidValueError(f"expected as many labels as signals and at least one, found {len(label)} and {len(x)}")
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    confusion, loss = np.zeros((0, 0), dtype=np.int64), 0.0
    try:
        with torch.no_grad():
            for start in range(0, len(x), batch_size):
                part = torch.from_numpy(np.array(x[start : start + batch_size], dtype=np.float32)).to(device)
                truth = torch.from_numpy(np.array(label[start : start + batch_size], dtype=np.int64)).to(device)
                logits = model(part).logits.float()
                classes = logits.shape[1]
                if int(truth.max()) >= classes or int(truth.min()) < 0:
                    raise InvalidValueError(f"labels: expected 0 to {classes - 1}, found {int(truth.max())}")
                loss += float(nn.functional.cross_entropy(logits, truth, reduction="sum"))
                pairs = (truth * classes + logits.argmax(1)).cpu().numpy()
                counts = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
                confusion = counts if not confusion.size else confusion + counts
    finally:
        model.train(training)
    return Evaluation(confusion, loss / len(x))


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
