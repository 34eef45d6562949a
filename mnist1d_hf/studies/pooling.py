"""Which pooling helps, and for how many training samples?

Question: two convolutions are trained with and without pooling on 1,000 to 50,000 samples. Is pooling better than
strides, and than neither, when samples are few? Does the difference vanish when they are many?

Source: Greydanus & Kobak 2024 (arXiv 2011.14439), section on pooling, and its notebook: one run of each network on one
dataset. The published accuracies in percent:

    samples   none   stride   max    average   L2
    1,000     59.2   57.4     78.2   78.0      77.2
    5,000     91.9   89.9     94.5   94.0      95.3
    50,000    96.3   95.4     98.1   97.3      97.1

Protocol: two convolutions (20 channels, kernel 3, padding 1) with ReLU, each followed by the pooling (windows of two;
"stride" takes steps of two in the convolutions instead), then a linear layer; Adam at 1e-2, batches of 100 in the
stored order, cross-entropy, 6,000 steps. Here there are more seeds, and each has a training set of its own (the stream
of that seed). Accuracy is measured at the last step, on 10,000 fresh samples that are the same for all seeds.

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

from mnist1d_hf.studies.claims import Claim, claim_mean, claim_published
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
    5000: {"none": 91.9, "stride": 89.9, "max": 94.5, "average": 94.0, "l2": 95.3},
    50000: {"none": 96.3, "stride": 95.4, "max": 98.1, "average": 97.3, "l2": 97.1},
}
SOURCE = "Greydanus & Kobak 2024 (arXiv 2011.14439), pooling, one run"
TOLERANCE = 3.0  # percentage points around a published accuracy, which is of one run on one training set


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
    """Pooled against unpooled networks where samples are few and many, then every published accuracy."""
    few = "With 1,000 samples pooling gains over both networks without it"
    many = "With 50,000 samples pooling gains less than 3 points"
    found, details = [], {"source": SOURCE, "unit": "points"}
    for samples, name, text, bounds in (
        (1000, "pooling helps with few", few, {"least": 5.0}),
        (50000, "not with many", many, {"most": 3.0}),
    ):
        some = select(table, samples=samples)
        if set(POOLINGS) <= set(some["pooling"]):
            measured = gain({kind: by_seed(some, "test_accuracy", pooling=kind) for kind in POOLINGS})
            literature = f"{gain(PAPER[samples]):+.1f} points"
            found.append(claim_mean(name, text, measured, **bounds, literature=literature, **details))
    for samples, accuracies in PAPER.items():
        for pooling, value in accuracies.items():
            values = by_seed(table, "test_accuracy", samples=samples, pooling=pooling)
            if len(values):
                name, label = f"{LABELS[pooling]}, {samples:,}", LABELS[pooling]
                text = f"Test accuracy with {label} and {samples:,} training samples"
                found.append(claim_published(name, text, values, value, TOLERANCE, source=SOURCE, unit="%"))
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
    minutes=40,
)
