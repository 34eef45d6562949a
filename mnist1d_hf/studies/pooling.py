"""Which pooling helps, and for how many training samples?

Question: two convolutions with and without pooling, from 1,000 to 50,000 training samples: does pooling beat striding
and nothing where samples are few, and does the difference vanish where they are many?

Source: Greydanus & Kobak 2024 (arXiv 2011.14439), section on pooling, and its notebook; one run of each, on one
dataset. Its accuracies in percent:

    samples   none   stride   max    average   L2
    1,000     59.2   57.4     78.2   78.0      77.2
    5,000     91.9   89.9     94.5   94.0      95.3
    50,000    96.3   95.4     98.1   97.3      97.1

Protocol: two convolutions (20 channels, kernel 3, padding 1) with ReLU, each followed by the pooling (windows of two;
"stride" takes steps of two in the convolutions instead), then a linear layer; Adam at 1e-2, batches of 100 in the
stored order, cross-entropy, 6,000 steps. Here with more seeds, each with a training set of its own (the stream of that
seed), read at the last step on 10,000 fresh samples that are the same for all.

Expected: as in the paper, the pooled networks some 20 points above the others at 1,000 samples, and within 3 at 50,000.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from mnist1d_hf.data.stream import sample
from mnist1d_hf.studies.claims import Claim, compare, compare_published
from mnist1d_hf.studies.figures import curve, new_figure
from mnist1d_hf.studies.settings import Settings, choice
from mnist1d_hf.studies.study import Context, Study, Unit
from mnist1d_hf.studies.table import Row, Table
from mnist1d_hf.training.ensemble import Ensemble, Procedure, seeded
from mnist1d_hf.training.evaluation import fresh_samples

POOLINGS = ("none", "stride", "max", "average", "l2")
LABELS = {"none": "no pooling", "stride": "stride 2", "max": "max", "average": "average", "l2": "L2"}
PAPER = {
    (1000, "none"): 59.2,
    (1000, "stride"): 57.4,
    (1000, "max"): 78.2,
    (1000, "average"): 78.0,
    (1000, "l2"): 77.2,
    (5000, "none"): 91.9,
    (5000, "stride"): 89.9,
    (5000, "max"): 94.5,
    (5000, "average"): 94.0,
    (5000, "l2"): 95.3,
    (50000, "none"): 96.3,
    (50000, "stride"): 95.4,
    (50000, "max"): 98.1,
    (50000, "average"): 97.3,
    (50000, "l2"): 97.1,
}
SOURCE = "Greydanus & Kobak 2024 (arXiv 2011.14439), pooling, one run"
TOLERANCE = 3.0  # percentage points around a published accuracy, which is of one run on one training set


@dataclasses.dataclass(frozen=True)
class PoolingSettings(Settings):
    """Settings of this study.

    Attributes:
        samples: sizes of the training set.
        poolings: kinds of pooling.
        steps: of the optimiser.
        channels: of both convolutions.
        test_samples: fresh ones, to measure on.
    """

    samples: tuple[int, ...] = (1000, 2000, 5000, 10000, 50000)
    poolings: tuple[str, ...] = choice(POOLINGS, POOLINGS)
    steps: int = 6000
    channels: int = 20
    test_samples: int = 10000


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
    """One for each kind of pooling and size: all seeds side by side."""
    return [
        Unit(
            key=f"{pooling}-{samples}",
            function=train,
            arguments={"settings": settings, "pooling": pooling, "samples": samples},
            work=settings.steps,
        )
        for samples, pooling in itertools.product(settings.samples, settings.poolings)
    ]


def train(settings: PoolingSettings, pooling: str, samples: int, context: Context) -> list[Row]:
    """Accuracy of all seeds with one kind of pooling and one number of training samples."""
    seeds = range(settings.seeds)
    networks = [seeded(lambda: PooledNetwork(pooling, settings.channels), seed) for seed in seeds]
    drawn = [sample(range(samples), seed) for seed in seeds]
    ensemble = Ensemble(
        networks,
        Procedure(steps=settings.steps),
        np.stack([x for x, _ in drawn]),
        np.stack([label for _, label in drawn]),
        device=context.device,
    )
    ensemble.run(report=context.report)
    loss, accuracy = ensemble.scores(*fresh_samples("default", settings.test_samples))
    return [
        {
            "pooling": pooling,
            "samples": samples,
            "seed": seed,
            "test_accuracy": 100 * accuracy[seed],
            "test_loss": loss[seed],
        }
        for seed in seeds
    ]


def figure(table: Table) -> Figure:
    """Accuracy against the number of training samples."""
    drawn, (axis,) = new_figure("Pooling against training-set size", 1)
    for pooling in table.unique("pooling"):
        some = table.where(pooling=pooling)
        curve(axis, sorted(some.unique("samples")), some.grid("test_accuracy", "samples"), LABELS[pooling])
        known = [(samples, value) for (samples, kind), value in PAPER.items() if kind == pooling]
        axis.plot(*zip(*known, strict=True), "x", color=axis.lines[-1].get_color(), markersize=5)
    axis.set(xscale="log", xlabel="training samples", ylabel="test accuracy, %")
    axis.plot([], [], "x", color="0.4", markersize=5, label="paper, one run")
    axis.legend()
    return drawn


def claims(table: Table) -> list[Claim]:
    """The verdict: pooled against unpooled where samples are few and many, and every published accuracy."""
    found = []
    for samples, name, text, bounds in (
        (1000, "pooling helps with few", "With 1,000 samples pooling gains over both networks without it", (5.0, None)),
        (50000, "not with many", "With 50,000 samples pooling gains less than 3 points", (None, 3.0)),
    ):
        gain = _gain(table.where(samples=samples))
        if gain is not None:
            theirs = np.mean([PAPER[samples, kind] for kind in ("max", "average", "l2")])
            theirs -= max(PAPER[samples, kind] for kind in ("none", "stride"))
            found.append(
                compare(
                    name,
                    text,
                    gain,
                    least=bounds[0],
                    most=bounds[1],
                    literature=f"{theirs:+.1f} points",
                    source=SOURCE,
                    unit="points",
                )
            )
    for (samples, pooling), value in PAPER.items():
        some = table.where(samples=samples, pooling=pooling)
        if len(some):
            name, text = LABELS[pooling], f"Test accuracy with {LABELS[pooling]} and {samples:,} training samples"
            values = some.by_seed("test_accuracy")
            found.append(
                compare_published(f"{name}, {samples:,}", text, values, value, TOLERANCE, source=SOURCE, unit="%")
            )
    return found


def _gain(table: Table) -> Any:
    """Of each seed: mean of the pooled networks less the better of the two without; None where one is missing."""
    if set(POOLINGS) - set(table.unique("pooling")):
        return None
    of = {kind: table.where(pooling=kind).by_seed("test_accuracy") for kind in POOLINGS}
    return (of["max"] + of["average"] + of["l2"]) / 3 - np.maximum(of["none"], of["stride"])


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
