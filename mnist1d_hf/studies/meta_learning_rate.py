"""Does gradient descent on the learning rate find the best one, from both sides and for every seed?

Question: the mean loss of a training run is a function of its learning rate. Follow its gradient, through the whole
run: does it lead to the same rate from above and from below, is that rate the best, and is it the same for other
initial weights and other data?

Source: Greydanus & Kobak 2024 (arXiv 2011.14439), section on metalearning, and its notebook; one seed. From 1.5 the
rate goes to 0.624, from 0.15 to 0.620; the mean loss reaches 1.716, the loss of the last step 1.505 (1.506 from 0.15).
The notebook prints the rate after every third outer step.

Protocol: network 40-50-10 with tanh, gradient descent without momentum, 200 steps of 50 samples in the stored order of
the paper's 4,000, cross-entropy. The mean of the 200 losses is the objective; its derivative with respect to the
learning rate is exact (forward mode: the weights carry their derivative with them). The rate takes 50 steps of gradient
descent with rate 0.3. Part "paper": the seed is that of the initial weights; seed 0 is the notebook's own run. Part
"fresh": each seed also has training samples of its own. Part "scan": the objective at fixed rates, for comparison.

Expected: the notebook's numbers to its last digit or nearly; the same rate from both sides for all seeds. Found: at 1.5
the objective is rough, and for some seeds a step of the gradient leads to rates where training breaks down, or to
another valley. So both sides are compared seed by seed, and the values that are reached are those from 0.15.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from mnist1d_hf.data.stream import sample
from mnist1d_hf.studies.claims import Claim, compare, compare_fraction, compare_published
from mnist1d_hf.studies.figures import curve, new_figure
from mnist1d_hf.studies.settings import Settings, choice
from mnist1d_hf.studies.study import Context, Study, Unit
from mnist1d_hf.studies.table import Row, Table
from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.ensemble import seeded
from mnist1d_hf.training.unrolled import Fixed, Weights, curvature, there_and_back

DATA = ("paper", "fresh")
SOURCE = "Greydanus & Kobak 2024 (arXiv 2011.14439), metalearning a learning rate, notebook, seed 0"
PRINTED = {  # start -> the rate after outer steps 3, 6, ... 48, counted from 0, as the notebook prints it
    1.5: (
        *(1.259, 1.044, 0.9111, 0.8209, 0.7606, 0.7205, 0.6931, 0.6735),
        *(0.6590, 0.6482, 0.6404, 0.6348, 0.6307, 0.6278, 0.6258, 0.6243),
    ),
    0.15: (
        *(0.4909, 0.5407, 0.5689, 0.5857, 0.5965, 0.6038, 0.6088, 0.6124),
        *(0.6149, 0.6166, 0.6179, 0.6187, 0.6193, 0.6198, 0.6201, 0.6203),
    ),
}
HIGH, LOW = PRINTED
OBJECTIVE, LAST_LOSS = 1.716, 1.505
RATE = (PRINTED[HIGH][-1] + PRINTED[LOW][-1]) / 2
NEARLY_ALL = 95  # percent of the seeds; and "the same" is within:
SAME = 0.02
MOST = 2.0  # the greatest rate that the figure shows


@dataclasses.dataclass(frozen=True)
class LearningRateSettings(Settings):
    """Settings of this study.

    Attributes:
        data: what differs between seeds: "paper", the initial weights; "fresh", the training samples, too.
        starts: learning rates to begin with.
        scan: learning rates whose objective is measured.
        hidden: units of the hidden layer.
        steps: of the inner training.
        batch_size: samples a step.
        samples: of a training set that is not the paper's.
        outer_steps: of the learning rate.
        outer_rate: the learning rate of the learning rate.
    """

    seeds: int = 200
    data: tuple[str, ...] = choice(DATA, DATA)
    starts: tuple[float, ...] = (HIGH, LOW)
    scan: tuple[float, ...] = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0)
    hidden: int = 50
    steps: int = 200
    batch_size: int = 50
    samples: int = 4000
    outer_steps: int = 50
    outer_rate: float = 0.3


def units(settings: LearningRateSettings) -> list[Unit]:
    """Two for each kind of data, learning and scan, with all seeds side by side."""
    found = []
    for data in settings.data:
        arguments = {"settings": settings, "data": data}
        found.append(Unit(f"learn-{data}", learn, arguments, settings.outer_steps))
        found.append(Unit(f"scan-{data}", scan, arguments, len(settings.scan)))
    return found


def learn(settings: LearningRateSettings, data: str, context: Context) -> list[Row]:
    """The way of the learning rate, from all starts for all seeds."""
    members = list(itertools.product(settings.starts, range(settings.seeds)))
    weights, x, label = _problem(settings, data, [seed for _, seed in members], context.device)
    rate = torch.tensor([start for start, _ in members], device=context.device)
    rates, objectives = [], []
    for _ in range(settings.outer_steps):
        objective, last, derivative = hypergradient(rate, weights, x, label, settings.steps, settings.batch_size)
        rate = rate - settings.outer_rate * derivative
        rates.append(rate)
        objectives.append(objective)
        context.report(1)
    ways = torch.stack(rates, dim=1).double().cpu().numpy()
    means = torch.stack(objectives, dim=1).double().cpu().numpy()
    return [
        _row("learning", data, seed, start, ways[member], means[member], float(last[member]))
        for member, (start, seed) in enumerate(members)
    ]


def scan(settings: LearningRateSettings, data: str, context: Context) -> list[Row]:
    """The objective at fixed learning rates for all seeds."""
    weights, x, label = _problem(settings, data, list(range(settings.seeds)), context.device)
    rows: list[Row] = []
    for start in settings.scan:
        rate = torch.full((settings.seeds,), start, device=context.device)
        found = hypergradient(rate, weights, x, label, settings.steps, settings.batch_size)
        objective, last = (values.double().cpu().numpy() for values in found[:2])
        for seed in range(settings.seeds):
            rows.append(_row("scan", data, seed, start, np.array([start]), objective[seed : seed + 1], last[seed]))
        context.report(1)
    return rows


def _row(
    part: str, data: str, seed: int, start: float, rates: NDArray[Any], objectives: NDArray[Any], last: float
) -> Row:
    return {
        "part": part,
        "data": data,
        "seed": seed,
        "start": start,
        "rate": float(rates[-1]),
        "objective": float(objectives[-1]),
        "last_loss": float(last),
        "rates": [float(f"{value:.6g}") for value in rates],
        "objectives": [float(f"{value:.6g}") for value in objectives],
    }


def _problem(
    settings: LearningRateSettings, data: str, seeds: list[int], device: str
) -> tuple[Weights, Tensor, Tensor]:
    """Initial weights, signals (members, rows, length) and labels (members, rows) of these seeds."""
    if data == "paper":
        arrays = load_arrays("default")
        drawn = [(arrays.x, arrays.label)] * len(seeds)
    else:
        each = {seed: sample(range(settings.samples), seed) for seed in dict.fromkeys(seeds)}
        drawn = [each[seed] for seed in seeds]
    rows = min(settings.steps * settings.batch_size, len(drawn[0][1]))
    x = torch.from_numpy(np.stack([some[:rows] for some, _ in drawn])).float()
    label = torch.from_numpy(np.stack([some[:rows] for _, some in drawn]))
    each_weights = [initial_weights(settings.hidden, seed) for seed in seeds]
    weights = Weights(*(torch.stack(values).to(device) for values in zip(*each_weights, strict=True)))
    return weights, x.to(device), label.to(device)


def initial_weights(hidden: int, seed: int) -> Weights:
    """The weights of a seed before training, drawn as the notebook draws them."""
    layers = seeded(lambda: nn.Sequential(nn.Linear(40, hidden), nn.Linear(hidden, 10)), seed)
    return Weights(*(values.detach() for values in layers.parameters()))


def hypergradient(
    rate: Tensor, weights: Weights, x: Tensor, label: Tensor, steps: int, batch_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Of each member: the mean loss of a training, the loss of its last step, and the derivative of the mean with
    respect to the learning rate; each (members,).

    Args:
        rate: (members,).
        weights: initial ones.
        x, label: the training set in the order in which it is used, (members, rows, length) and (members, rows); begun
            again at its end, as in the notebook, where what is left over makes a small batch.
        steps, batch_size: of the training.
    """
    tanh, rows = Fixed("tanh"), x.shape[1]
    quiet = torch.zeros_like(weights.first_bias)
    moved = Weights(*(torch.zeros_like(values) for values in weights))  # the derivative of the weights
    losses, slopes = [], []
    for step in range(steps):
        first = step * batch_size % rows
        some, truth = x[:, first : first + batch_size], label[:, first : first + batch_size]
        way = there_and_back(weights, some, truth, tanh, step, quiet)
        losses.append(way.loss)
        slopes.append(sum((one * other).flatten(1).sum(1) for one, other in zip(way.gradient, moved, strict=True)))
        change = curvature(weights, some, way, moved)[0]
        rates = [rate.view(-1, *[1] * (values.dim() - 1)) for values in weights]
        parts = list(zip(weights, moved, way.gradient, change, rates, strict=True))
        weights = Weights(*(values - by * slope for values, _, slope, _, by in parts))
        moved = Weights(*(shift - slope - by * bend for _, shift, slope, bend, by in parts))
    return torch.stack(losses).mean(0), losses[-1], torch.stack(slopes).mean(0)


def figure(table: Table) -> Figure:
    """The rate on its way, the objective against the rate, and where the seeds end."""
    drawn, (way, landscape, ends) = new_figure("Meta-learning a learning rate", 3)
    learning = table.where(part="learning")
    _draw_ways(way, learning.where(data=learning.unique("data")[0]))
    for kind, color in zip(learning.unique("data"), ("C4", "C5"), strict=False):
        fixed, found = table.where(part="scan", data=kind), learning.where(data=kind)
        if len(fixed):
            rates = sorted(fixed.unique("start"))
            curve(landscape, rates, fixed.grid("objective", "start"), f"{kind} data", color=color)
        shown = np.array([0 < rate < MOST for rate in found.values("rate")], dtype=bool)
        rate, objective = np.array(found.values("rate")), np.array(found.values("objective"))
        landscape.plot(rate[shown], objective[shown], ".", color=color, markersize=2, alpha=0.4)
        label = f"{kind} data" + (f" ({(~shown).sum()} beyond)" if not shown.all() else "")
        ends.hist(rate[shown], bins=np.linspace(0.3, 1.3, 51).tolist(), color=color, alpha=0.6, label=label)
    landscape.set(xlabel="learning rate", ylabel="mean loss of the run", xscale="log")
    landscape.legend()
    ends.axvline(RATE, color="0.3", linewidth=1, linestyle="--", label="notebook, seed 0")
    ends.set(xlabel="learned rate", ylabel="runs")
    ends.legend()
    return drawn


def _draw_ways(axis: Any, table: Table) -> None:
    """The rate after each outer step: a line for each seed, seed 0 strong, with the notebook's log."""
    for start, color in zip(table.unique("start"), ("C3", "C0", "C2", "C1"), strict=False):
        for row in table.where(start=start):
            first = row["seed"] == 0
            style = {"linewidth": 1.6, "zorder": 3, "label": f"from {start:g}"} if first else {"linewidth": 0.4}
            axis.plot(range(1, len(row["rates"]) + 1), row["rates"], color=color, alpha=1 if first else 0.25, **style)
        if start in PRINTED:
            places = list(range(4, len(row["rates"]) + 1, 3))[: len(PRINTED[start])]
            axis.plot(places, PRINTED[start][: len(places)], "x", color="0.1", markersize=5, zorder=4)
    axis.plot([], [], "x", color="0.1", label="notebook, seed 0")
    axis.set(xlabel="outer step", ylabel="learning rate", ylim=(0, MOST))
    axis.legend()


def claims(table: Table) -> list[Claim]:
    """The verdict: agreement of both sides first, then the notebook's run, the other seeds, other data, the scan."""
    learning = table.where(part="learning")
    found = []
    for data in learning.unique("data"):
        found += _both_sides(learning.where(data=data), data)
    for start in PRINTED:
        found += _the_notebooks_run(learning.where(data="paper", start=start, seed=0), start)
    for data in learning.unique("data"):
        found += _published(learning.where(data=data, start=LOW), data)
    scanned, learned = table.where(part="scan", data="paper"), learning.where(data="paper", start=LOW)
    if len(scanned) and len(learned):
        found.append(
            compare(
                "no better rate",
                "No other rate gives a mean loss that is lower by more than 0.002",
                learned.by_seed("objective") - scanned.grid("objective", "start").min(axis=1),
                most=0.002,
                literature="the optimum",
                source=SOURCE,
            )
        )
    return found


def _both_sides(table: Table, data: str) -> list[Claim]:
    """That a seed comes to the same rate from above and from below."""
    sides = [table.where(start=start) for start in (HIGH, LOW)]
    if not all(len(some) for some in sides):
        return []
    above, below = (some.by_seed("rate") for some in sides)
    return [
        compare_fraction(
            f"both sides agree, {data}",
            f"{_on(data)} the learning rate comes from {HIGH:g} and from {LOW:g} to the same value (within {SAME:g}) "
            f"for nearly all seeds",
            np.abs(above - below) <= SAME,  # False for what is not finite
            least=NEARLY_ALL,
            literature=f"seed 0: {PRINTED[HIGH][-1]:.3f} - {PRINTED[LOW][-1]:.3f} = 0.004",
            source=SOURCE,
        )
    ]


def _the_notebooks_run(table: Table, start: float) -> list[Claim]:
    """That seed 0 goes the printed way."""
    if not len(table):
        return []
    rates = np.array(table.rows[0]["rates"])[3::3]
    printed = np.array(PRINTED[start][: len(rates)])
    if not len(printed):
        return []
    return [
        compare(
            f"seed 0 from {start:g}",
            f"From {start:g} the rate of seed 0 is that of the notebook's log after every third step",
            np.abs(rates[: len(printed)] - printed),
            most=0.001,
            literature=f"{len(PRINTED[start])} rates, the last {PRINTED[start][-1]:.4f}",
            source=SOURCE,
        )
    ]


def _published(table: Table, data: str) -> list[Claim]:
    """The values that are reached from below."""
    if not len(table):
        return []
    return [
        compare_published(
            f"{name}, {data}", f"{_on(data)} {text}", table.by_seed(column), value, tolerance, source=SOURCE
        )
        for column, name, text, value, tolerance in (
            ("rate", "learned rate", f"the rate that is reached from {LOW:g}", RATE, 0.06),
            ("objective", "objective", "the mean loss at that rate", OBJECTIVE, 0.03),
            ("last_loss", "last loss", "the loss of the last step at that rate", LAST_LOSS, 0.1),
        )
    ]


def _on(data: str) -> str:
    """Which seeds are meant."""
    return "With other initial weights," if data == "paper" else "With other initial weights and training samples,"


STUDY = Study(
    name="meta-learning-rate",
    question="Does gradient descent on the learning rate find the best one, from both sides and for every seed?",
    source="Greydanus & Kobak 2024 (arXiv 2011.14439)",
    full=LearningRateSettings(),
    quick=LearningRateSettings(seeds=2, scan=(0.3, 0.6, 1.0), hidden=10, steps=20, samples=500, outer_steps=5),
    units=units,
    figure=figure,
    claims=claims,
    minutes=9,
)
