"""Which pooling helps, and for how many training samples?

Question: two convolutions are trained with and without pooling on 1,000 to 50,000 samples. Is pooling better than
strides, and than neither, when samples are few? Does the difference vanish when they are many?

Source: Greydanus & Kobak 2024 (arXiv 2011.14439), section on pooling, and its notebook: one run of each network on one
dataset of each size. It says that pooling is better than striding or no pooling on small datasets, and that the
difference decreases with the number of samples. Accuracies in percent, printed at step 6,000:

    samples   none   stride   max    average   L2
    1,000     59.2   57.4     78.2   78.0      77.2
    2,000     82.0   81.7     89.2   90.0      89.9
    5,000     91.9   89.9     94.5   94.0      95.3
    10,000    94.3   91.3     97.0   96.0      96.6
    20,000    94.4   92.2     96.8   96.2      97.8
    50,000    96.3   95.4     98.1   97.3      97.1

Protocol: two convolutions (20 channels, kernel 3, padding 1) with ReLU, each followed by the pooling (windows of two;
"stride" takes steps of two in the convolutions instead), then a linear layer; Adam at 1e-2, batches of 100 in the
stored order, cross-entropy, 6,000 steps. Accuracy is measured at the last step.

Deviations:
- Each seed has a training set of its own, from the stream; the notebook has one training set of each size.
- Measured on 10,000 fresh samples, the same for all seeds; the notebook measures on 1,000 samples. The intervals
  contain the sampling error of both.
- 20,000 samples are not trained.
- Single runs, measured on 1,000 samples, scatter by more than the published gain of pooling: those of "none" at all
  sizes, the others from 5,000 samples on. There a published accuracy is "not decidable"; the gains are tested.

Expected: as in the paper, the pooled networks are about 20 points above the others at 1,000 samples, and at most 3 at
50,000.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist1d_hf.studies.claims import Claim, claim_direction, claim_run, sampling_error
from mnist1d_hf.studies.figures import crosses, curve, new_figure
from mnist1d_hf.studies.frames import Row, by_seed, grid, select, to_rows
from mnist1d_hf.studies.settings import Settings, choice
from mnist1d_hf.studies.study import Context, Study, Unit, training_sets
from mnist1d_hf.training.ensemble import Ensemble, Procedure, seeded
from mnist1d_hf.training.evaluation import fresh_samples

POOLINGS = ("none", "stride", "max", "average", "l2")
LABELS = {"none": "no pooling", "stride": "stride 2", "max": "max", "average": "average", "l2": "L2"}
PAPER = {  # samples -> accuracy in percent with each pooling
    1000: {"none": 59.2, "stride": 57.4, "max": 78.2, "average": 78.0, "l2": 77.2},
    2000: {"none": 82.0, "stride": 81.7, "max": 89.2, "average": 90.0, "l2": 89.9},
    5000: {"none": 91.9, "stride": 89.9, "max": 94.5, "average": 94.0, "l2": 95.3},
    10000: {"none": 94.3, "stride": 91.3, "max": 97.0, "average": 96.0, "l2": 96.6},
    50000: {"none": 96.3, "stride": 95.4, "max": 98.1, "average": 97.3, "l2": 97.1},
}
SOURCE = "notebook 9, step 6,000"
TEXT = "notebook 9, introduction"
THEIR_TEST, OUR_TEST = 1000, 10000  # test samples


@dataclasses.dataclass(frozen=True)
class PoolingSettings(Settings):
    """Settings of this study."""

    samples: tuple[int, ...] = (1000, 2000, 5000, 10000, 50000)  # sizes of the training set
    poolings: tuple[str, ...] = choice(POOLINGS, POOLINGS)  # kinds of pooling
    steps: int = 6000  # of the optimiser
    channels: int = 20  # of both convolutions
    test_samples: int = 10000  # fresh ones, to measure on


class PooledNetwork(nn.Module):
    """From signals (..., length) to logits (..., 10): two convolutions, each with pooling, and a linear layer."""

    def __init__(self, pooling: str, channels: int = 20, length: int = 40) -> None:
        super().__init__()
        self.pooling, stride = pooling, 2 if pooling == "stride" else 1
        self.first = nn.Conv1d(1, channels, 3, stride, padding=1)
        self.second = nn.Conv1d(channels, channels, 3, stride, padding=1)
        self.output = nn.Linear(channels * (length if pooling == "none" else length // 4), 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self._pooled(torch.relu(self.first(x.unsqueeze(-2))))
        x = self._pooled(torch.relu(self.second(x)))
        return self.output(x.flatten(-2))

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pooling in ("none", "stride"):
            return x
        left, right = x[..., ::2], x[..., 1::2]
        if self.pooling == "max":
            return torch.maximum(left, right)
        if self.pooling == "average":
            return (left + right) / 2
        return (left.square() + right.square() + 1e-12).sqrt()  # the root of 0 has no gradient


def units(settings: PoolingSettings) -> list[Unit]:
    """One for each kind of pooling and number of samples: all seeds side by side."""
    return [
        Unit(f"{pooling}-{samples}", train, {"pooling": pooling, "samples": samples}, settings.steps)
        for samples, pooling in itertools.product(settings.samples, settings.poolings)
    ]


def train(settings: PoolingSettings, pooling: str, samples: int, context: Context) -> list[Row]:
    """Train all seeds with one kind of pooling on one number of samples: a row for each seed."""
    seeds = range(settings.seeds)
    networks = [seeded(lambda: PooledNetwork(pooling, settings.channels), seed) for seed in seeds]
    ensemble = Ensemble(networks, Procedure(settings.steps), *training_sets(seeds, samples), device=context.device)
    ensemble.run(report=context.report)
    loss, accuracy = ensemble.scores(*fresh_samples("default", settings.test_samples))
    measured = {"seed": seeds, "test_accuracy": 100 * accuracy, "test_loss": loss}
    return to_rows(pooling=pooling, samples=samples, **measured)


def figure(table: pd.DataFrame) -> Figure:
    """Accuracy against the number of training samples."""
    drawn, (axis,) = new_figure("Pooling against training-set size", 1)
    for pooling in table["pooling"].unique():
        curve(axis, *grid(select(table, pooling=pooling), "test_accuracy", "samples"), LABELS[pooling])
        published = {samples: accuracies[pooling] for samples, accuracies in PAPER.items()}
        crosses(axis, published, axis.lines[-1].get_color(), markersize=5)
    axis.set(xscale="log", xlabel="training samples", ylabel="test accuracy, %")
    crosses(axis, {}, "0.4", markersize=5, label="paper, one run")
    axis.legend()
    return drawn


def claims(table: pd.DataFrame) -> list[Claim]:
    """Pooled against unpooled networks, then the published accuracies.

    The effect of an accuracy is the published gain of pooling at that number of samples.
    """
    found = _directions(table)
    for samples, accuracies in PAPER.items():
        details: dict[str, Any] = {"effect": float(gain(accuracies)), "source": SOURCE, "unit": "%"}
        for pooling, value in accuracies.items():
            values = by_seed(table, "test_accuracy", samples=samples, pooling=pooling)
            if len(values):
                name, error = f"{LABELS[pooling]}, {samples:,}", sampling_error(value, THEIR_TEST, OUR_TEST)
                text = f"Test accuracy with {LABELS[pooling]} and {samples:,} training samples"
                found.append(claim_run(name, text, values, value, test_error=error, **details))
    return found


def _directions(table: pd.DataFrame) -> list[Claim]:
    """The gain of pooling at each published number of samples, and that it falls."""
    gains, found = {}, []
    for samples, accuracies in PAPER.items():
        some = select(table, samples=samples)
        if set(POOLINGS) <= set(some["pooling"]):
            gains[samples] = gain({kind: by_seed(some, "test_accuracy", pooling=kind) for kind in POOLINGS})
            text = f"With {samples:,} samples pooling beats both strides and no pooling"
            details = {"literature": f"{gain(accuracies):+.1f}", "source": SOURCE, "unit": "points"}
            found.append(claim_direction(f"pooling helps, {samples:,}", text, gains[samples], **details))
    few, many = min(PAPER), max(PAPER)
    if few in gains and many in gains:
        text = f"Pooling gains more with {few:,} samples than with {many:,}"
        details = {"literature": f"{gain(PAPER[few]) - gain(PAPER[many]):+.1f}", "source": TEXT, "unit": "points"}
        found.append(claim_direction("less with many", text, gains[few] - gains[many], **details))
    return found


def gain(accuracies: Mapping[str, Any]) -> Any:
    """The mean accuracy of the pooled networks less that of the better one of the two without pooling; (seeds,) if the
    accuracies by kind of pooling are."""
    pooled = (accuracies["max"] + accuracies["average"] + accuracies["l2"]) / 3
    return pooled - np.maximum(accuracies["none"], accuracies["stride"])


STUDY = Study(
    name="pooling",
    question="Which pooling helps, and for how many training samples?",
    source="Greydanus & Kobak 2024 (arXiv 2011.14439)",
    full=PoolingSettings(),
    quick=PoolingSettings(seeds=2, samples=(200, 1000), steps=60, channels=8, test_samples=1000),
    units=units,
    figure=figure,
    claims=claims,
    minutes=30,
)
