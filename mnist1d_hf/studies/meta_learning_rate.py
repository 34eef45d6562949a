"""Does gradient descent on the learning rate find the best one, from both sides and for every seed?

Question: the mean loss of a training is a function of its learning rate. Its gradient is computed through the whole
training and followed. Does it lead to the same rate from above and from below, is that rate the best, and is it the
same for other initial weights and other data?

Source: Greydanus & Kobak 2024 (arXiv 2011.14439), section on metalearning, and notebook 7; one seed. From 1.5 the
rate goes to 0.624, from 0.15 to 0.620; the mean loss reaches 1.716, the loss of the last step 1.505 (1.506 from 0.15).
The notebook prints the rate after every third outer step.

Protocol: network 40-50-10 with tanh, gradient descent without momentum, 200 steps of 50 samples in the stored order of
the paper's 4,000, cross-entropy. The objective is the mean of the 200 losses. Its derivative with respect to the
learning rate is exact (forward mode: the weights carry their derivative along). The rate takes 50 steps of gradient
descent with rate 0.3. Part "paper": seeds differ in their initial weights; seed 0 is the notebook's own run. Part
"fresh": each seed also has its own training samples. Part "scan": the objective at fixed rates, for comparison.

Deviations:
- None in seed 0 of "paper", which is the notebook's own run: its log is compared step by step. The published numbers
  are also compared with all seeds of "paper", of which that run is one.
- From 1.5 training diverges for some seeds, so their rates have no bounds, and the published rate from there is "not
  decidable". How many seeds reach the same rate from both sides is a finding.
- That both sides agree for nearly all seeds was claimed by nobody: it is a finding.

Expected: the notebook's numbers to nearly the last digit; the same rate from both sides for all seeds. Found: at 1.5
the objective is rough, and for some seeds a step of the gradient leads to rates where training diverges, or to another
minimum. So both sides are compared seed by seed, and the values that are reached are those from 0.15.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import default_collate

from mnist1d_hf.studies.claims import Claim, Finding, by_number, claim_run, find_fraction, find_mean
from mnist1d_hf.studies.figures import crosses, curve, new_figure
from mnist1d_hf.studies.frames import Row, by_seed, grid, select
from mnist1d_hf.studies.settings import Settings, choice
from mnist1d_hf.studies.study import Context, Study, Unit, training_sets
from mnist1d_hf.training.activations import Fixed, Weights
from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.ensemble import seeded
from mnist1d_hf.training.unrolled import forward_backward, hessian_vector_product

DATA = ("paper", "fresh")
SOURCE = "notebook 7, seed 0"
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
CHANCE = 2.303  # the loss of a network that knows nothing: the logarithm of the number of classes
RISE, FALL = PRINTED[LOW][-1] - LOW, HIGH - PRINTED[HIGH][-1]  # how far the rate moves
RATE = (PRINTED[HIGH][-1] + PRINTED[LOW][-1]) / 2
SAME = 0.02  # within which both sides count as the same rate
MOST = 2.0  # the greatest rate that the figure shows


@dataclasses.dataclass(frozen=True)
class LearningRateSettings(Settings):
    """Settings of this study."""

    seeds: int = 200
    # what differs between seeds: "paper", the initial weights; "fresh", the training samples, too
    data: tuple[str, ...] = choice(DATA, DATA)
    starts: tuple[float, ...] = (HIGH, LOW)  # learning rates to begin with
    # learning rates whose objective is measured
    scan: tuple[float, ...] = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0)
    hidden: int = 50  # units of the hidden layer
    steps: int = 200  # of the inner training
    batch_size: int = 50  # samples a step
    samples: int = 4000  # of a training set of "fresh" data
    outer_steps: int = 50  # of the learning rate
    outer_rate: float = 0.3  # the learning rate of the learning rate


def units(settings: LearningRateSettings) -> list[Unit]:
    """Two for each kind of data, learning and scan, with all seeds side by side."""
    found = []
    for data in settings.data:
        found.append(Unit(f"learn-{data}", learn, {"data": data}, settings.outer_steps))
        found.append(Unit(f"scan-{data}", scan, {"data": data}, len(settings.scan)))
    return found


def learn(settings: LearningRateSettings, data: str, context: Context) -> list[Row]:
    """The history of the learning rate: a row for each start and seed."""
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
    histories, means = (torch.stack(values, dim=1).double().tolist() for values in (rates, objectives))
    return [
        _row("learning", data, seed, start, histories[member], means[member], float(last[member]))
        for member, (start, seed) in enumerate(members)
    ]


def scan(settings: LearningRateSettings, data: str, context: Context) -> list[Row]:
    """The objective at fixed learning rates: a row for each rate and seed."""
    weights, x, label = _problem(settings, data, list(range(settings.seeds)), context.device)
    rows: list[Row] = []
    for start in settings.scan:
        rate = torch.full((settings.seeds,), start, device=context.device)
        objective, last, _ = hypergradient(rate, weights, x, label, settings.steps, settings.batch_size)
        for seed in range(settings.seeds):
            rows.append(_row("scan", data, seed, start, [start], [float(objective[seed])], float(last[seed])))
        context.report(1)
    return rows


def _row(
    part: str, data: str, seed: int, start: float, rates: list[float], objectives: list[float], last: float
) -> Row:
    return {
        "part": part,
        "data": data,
        "seed": seed,
        "start": start,
        "rate": rates[-1],
        "objective": objectives[-1],
        "last_loss": last,
        "rates": [float(f"{value:.6g}") for value in rates],
        "objectives": [float(f"{value:.6g}") for value in objectives],
    }


def _problem(
    settings: LearningRateSettings, data: str, seeds: list[int], device: str
) -> tuple[Weights, Tensor, Tensor]:
    """Initial weights, signals (members, rows, 40) and labels (members, rows) of some seeds."""
    if data == "paper":
        arrays = load_arrays("default")
        x, label = (np.stack([values] * len(seeds)) for values in (arrays.x, arrays.label))
    else:
        x, label = training_sets(seeds, settings.samples)
    rows = settings.steps * settings.batch_size  # the others are never used
    weights = default_collate([initial_weights(settings.hidden, seed) for seed in seeds])
    x, label = (torch.from_numpy(values[:, :rows]).to(device) for values in (x, label))
    return Weights(*(values.to(device) for values in weights)), x, label


def initial_weights(hidden: int, seed: int) -> Weights:
    """The weights of a seed before training, drawn as the notebook draws them: weight (out, in), bias (out,)."""
    layers = seeded(lambda: nn.Sequential(nn.Linear(40, hidden), nn.Linear(hidden, 10)), seed)
    return Weights(*(values.detach() for values in layers.parameters()))


def hypergradient(
    rate: Tensor, weights: Weights, x: Tensor, label: Tensor, steps: int, batch_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Train with plain gradient descent, and differentiate with respect to the learning rate.

    Args:
        rate: (members,).
        weights: initial ones.
        x, label: the training set in the order in which it is used, (members, rows, length) and (members, rows). At its
            end it starts again; as in the notebook, the rows that are left over there are a smaller batch.
        steps, batch_size: of the training.

    Returns:
        The mean loss, the loss of the last step, and the derivative of the mean loss, each (members,).
    """
    tanh, rows = Fixed("tanh"), x.shape[1]
    no_noise = torch.zeros_like(weights.first_bias)
    tangent = Weights(*map(torch.zeros_like, weights))  # the derivative of the weights
    losses, derivatives = [], []
    for step in range(steps):
        first = step * batch_size % rows
        batch, target = x[:, first : first + batch_size], label[:, first : first + batch_size]
        done = forward_backward(weights, batch, target, tanh, step, no_noise)
        losses.append(done.loss)
        derivatives.append(sum((g * t).flatten(1).sum(1) for g, t in zip(done.gradient, tangent, strict=True)))
        products, _, _ = hessian_vector_product(weights, batch, done, tangent)
        rates = [rate.view(-1, *[1] * (values.dim() - 1)) for values in weights]
        parts = list(zip(weights, tangent, done.gradient, products, rates, strict=True))
        weights = Weights(*(values - by * gradient for values, _, gradient, _, by in parts))
        tangent = Weights(*(moved - gradient - by * product for _, moved, gradient, product, by in parts))
    return torch.stack(losses).mean(0), losses[-1], torch.stack(derivatives).mean(0)


def figure(table: pd.DataFrame) -> Figure:
    """The rate while it is learned, the objective against the rate, and the rates at the end."""
    drawn, (history, objectives, ends) = new_figure("Meta-learning a learning rate", 3)
    learning = select(table, part="learning")
    kinds = learning["data"].unique()
    _draw_history(history, select(learning, data=kinds[0]))
    for data, color in zip(kinds, ("C4", "C5"), strict=False):
        fixed, learned = select(table, part="scan", data=data), select(learning, data=data)
        if len(fixed):
            curve(objectives, *grid(fixed, "objective", "start"), f"{data} data", color=color)
        inside = learned[(learned["rate"] > 0) & (learned["rate"] < MOST)]
        objectives.plot(inside["rate"], inside["objective"], ".", color=color, markersize=2, alpha=0.4)
        beyond = len(learned) - len(inside)
        label = f"{data} data ({beyond} beyond)" if beyond else f"{data} data"
        ends.hist(inside["rate"], bins=np.linspace(0.3, 1.3, 51).tolist(), color=color, alpha=0.6, label=label)
    objectives.set(xlabel="learning rate", ylabel="mean loss of the run", xscale="log")
    objectives.legend()
    ends.axvline(RATE, color="0.3", linewidth=1, linestyle="--", label="notebook, seed 0")
    ends.set(xlabel="learned rate", ylabel="runs")
    ends.legend()
    return drawn


def _draw_history(axis: Any, table: pd.DataFrame) -> None:
    """The rate after each outer step: a line for each seed, seed 0 strong, with the notebook's log."""
    for start, color in zip(table["start"].unique(), ("C3", "C0", "C2", "C1"), strict=False):
        some = select(table, start=start)
        for seed, rates in zip(some["seed"], some["rates"], strict=True):
            style = {"linewidth": 1.6, "zorder": 3, "label": f"from {start:g}"} if seed == 0 else {"linewidth": 0.4}
            axis.plot(range(1, len(rates) + 1), rates, color=color, alpha=0.25 if seed else 1, **style)
        printed = dict(zip(range(4, len(rates) + 1, 3), PRINTED.get(start, ()), strict=False))
        crosses(axis, printed, "0.1", markersize=5, zorder=4)
    crosses(axis, {}, "0.1", label="notebook, seed 0")
    axis.set(xlabel="outer step", ylabel="learning rate", ylim=(0, MOST))
    axis.legend()


def claims(table: pd.DataFrame) -> list[Claim]:
    """The values that are reached from below, then the rate from above, with other initial weights on the notebook's
    dataset."""
    learning, found = select(table, part="learning", data="paper"), []
    reached = "The learning rate that is reached from"
    for name, text, start, column, value, effect in (
        ("learned rate", f"{reached} {LOW:g}", LOW, "rate", PRINTED[LOW][-1], RISE),
        ("objective", "The mean loss at that rate", LOW, "objective", OBJECTIVE, CHANCE - OBJECTIVE),
        ("last loss", "The loss of the last step at that rate", LOW, "last_loss", LAST_LOSS, CHANCE - LAST_LOSS),
        (f"learned rate, {HIGH:g}", f"{reached} {HIGH:g}", HIGH, "rate", PRINTED[HIGH][-1], FALL),
    ):
        values = by_seed(learning, column, start=start)
        if len(values):
            found.append(claim_run(name, text, values, value, effect=effect, source=SOURCE))
    return found


def findings(table: pd.DataFrame) -> list[Finding]:
    """Whether both sides agree, the notebook's own run, whether the rate is the best, and what other data give."""
    learning = select(table, part="learning")
    found = []
    for data in learning["data"].unique():
        above, below = (by_seed(learning, "rate", data=data, start=start) for start in (HIGH, LOW))
        if len(above) and len(below):
            text = f"{_ON[data]} the rate from {HIGH:g} and that from {LOW:g} differ by at most {SAME:g}"
            agree = (above - below).abs() <= SAME  # False for what is not finite
            found.append(find_fraction(f"both sides agree, {data}", text, agree))
    for start in PRINTED:
        found += _seed_zero(start, select(learning, data="paper", start=start, seed=0))
    scanned, learned = select(table, part="scan", data="paper"), select(learning, data="paper", start=LOW)
    if len(scanned) and len(learned):
        text = "The mean loss at the learned rate, less the least one of the rates that were tried"
        above = by_seed(learned, "objective") - scanned.groupby("seed")["objective"].min()
        found.append(find_mean("excess", text, above))
    fresh = select(learning, data="fresh", start=LOW)
    if len(fresh):
        text = f"{_ON['fresh']} the learning rate that is reached from {LOW:g}"
        found.append(find_mean("learned rate, fresh", text, by_seed(fresh, "rate")))
    return found


def _seed_zero(start: float, row: pd.DataFrame) -> list[Finding]:
    """The notebook's own run, of which it printed the log. It is one run, so there is no interval."""
    text = f"Greatest difference of the rate from the notebook's log, seed 0 from {start:g}"
    rates = row["rates"].iloc[0] if len(row) else []
    differences = [abs(rate - other) for rate, other in zip(rates[3::3], PRINTED[start], strict=False)]
    if not differences:  # too few outer steps
        return []
    return [find_mean(f"seed 0 from {start:g}", text, by_number([max(differences)]))]


_ON = {"paper": "With other initial weights,", "fresh": "With other initial weights and training samples,"}

STUDY = Study(
    name="meta-learning-rate",
    question="Does gradient descent on the learning rate find the best one, from both sides and for every seed?",
    source="Greydanus & Kobak 2024 (arXiv 2011.14439)",
    full=LearningRateSettings(),
    quick=LearningRateSettings(seeds=2, scan=(0.3, 0.6, 1.0), hidden=10, steps=20, samples=500, outer_steps=5),
    units=units,
    figure=figure,
    claims=claims,
    findings=findings,
    minutes=10,
)
