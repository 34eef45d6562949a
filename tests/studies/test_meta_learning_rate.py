"""Meta-learning a learning rate: the hypergradient is right, and the run is the notebook's."""

import numpy as np
import pandas as pd
import pytest
import torch

from mnist1d_hf.studies.meta_learning_rate import (
    HIGH,
    LOW,
    PRINTED,
    LearningRateSettings,
    claims,
    figure,
    findings,
    hypergradient,
    initial_weights,
    learn,
)
from mnist1d_hf.studies.study import Context
from mnist1d_hf.training.activations import Weights


def problem(members=2, rows=60, hidden=4):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(members, rows, 40, generator=random, dtype=torch.float64)
    label = torch.randint(10, (members, rows), generator=random)
    each = [initial_weights(hidden, seed) for seed in range(members)]
    return Weights(*(torch.stack(values).double() for values in zip(*each, strict=True))), x, label


def slow_losses(rate, weights, x, label, steps, batch_size):
    """One member, with torch.optim.SGD."""
    network = torch.nn.Sequential(torch.nn.Linear(40, 4), torch.nn.Tanh(), torch.nn.Linear(4, 10)).double()
    with torch.no_grad():
        for parameter, values in zip(network.parameters(), weights, strict=True):
            parameter.copy_(values)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)
    losses = []
    for step in range(steps):
        first = step * batch_size % len(x)
        some = slice(first, first + batch_size)
        loss = torch.nn.functional.cross_entropy(network(x[some]), label[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


@pytest.mark.parametrize("rates", [(0.1, 1.0), (0.7, 0.3)])
def test_the_hypergradient_is_the_slope_of_the_objective(rates):
    """Central differences of plain trainings; 60 rows in batches of 25, so that the last batch of a round is small."""
    weights, x, label = problem()
    found = hypergradient(torch.tensor(rates, dtype=torch.float64), weights, x, label, steps=7, batch_size=25)
    objective, last, derivative = (values.numpy() for values in found)
    for member, rate in enumerate(rates):
        some = [values[member] for values in weights], x[member], label[member], 7, 25
        plain, step = slow_losses(rate, *some), 1e-5
        slope = (slow_losses(rate + step, *some) - slow_losses(rate - step, *some)).mean() / (2 * step)
        assert objective[member] == pytest.approx(plain.mean(), rel=1e-10)
        assert last[member] == pytest.approx(plain[-1], rel=1e-10)
        assert derivative[member] == pytest.approx(slope, rel=1e-6)


def test_the_first_steps_are_the_notebooks():
    settings = LearningRateSettings(seeds=1, outer_steps=4)
    for row in learn(settings, "paper", Context()):
        assert row["rates"][3] == pytest.approx(PRINTED[row["start"]][0], abs=1e-3)


def table(shift=0.0, seeds=100, noise=0.002):
    random = np.random.default_rng(0)
    rows = []
    for data in ("paper", "fresh"):
        for seed in range(seeds):
            for start in (HIGH, LOW):
                rates = np.repeat(PRINTED[start], 3)
                rates = np.concatenate([[start] * 3, rates, rates[-1:]])[:50]
                rates = rates + shift + noise * random.standard_normal(50) * (seed > 0)
                objective, last = (value + noise * random.standard_normal() for value in (1.716, 1.505))
                known = {"data": data, "seed": seed, "start": start, "rate": rates[-1], "rates": rates.tolist()}
                rows.append({"part": "learning", **known, "objective": objective, "last_loss": last})
            for rate in (0.5, 0.6, 0.7):
                fixed = {"part": "scan", "start": rate, "rate": rate, "objective": 1.716 + 0.1 * (rate - 0.6) ** 2}
                rows.append({**rows[-1], **fixed})
    return pd.DataFrame(rows)


def test_the_notebooks_values_are_reproduced():
    assert {claim.outcome for claim in claims(table())} == {"reproduced"}
    found = {finding.name: finding for finding in findings(table())}
    for start in PRINTED:
        own = found[f"seed 0 from {start:g}"]
        assert own.n == 1
        assert own.mean == pytest.approx(0, abs=1e-12)
    assert found["both sides agree, fresh"].mean == 100


def test_other_values_are_not():
    some = table(shift=0.2)
    assert {claim.name: claim.outcome for claim in claims(some)}["learned rate"] == "not reproduced"
    found = {finding.name: finding for finding in findings(some)}
    assert found[f"seed 0 from {HIGH:g}"].mean == pytest.approx(0.2)


def test_runs_that_diverge_count_against_agreement_and_nothing_else():
    """From above one ends at infinity, one nowhere, and some in another minimum."""
    some = table()
    ends = {1: np.inf, 2: np.nan, **dict.fromkeys(range(3, 15), 0.7)}
    for seed, end in ends.items():
        rows = (some["part"] == "learning") & (some["start"] == HIGH) & (some["seed"] == seed)
        some.loc[rows, ["rate", "objective", "last_loss"]] = end
    found = {finding.name: finding for finding in findings(some)}
    assert found["both sides agree, fresh"].mean == 86
    decided = {claim.name: claim.outcome for claim in claims(some)}
    assert decided.pop(f"learned rate, {HIGH:g}") == "undecided"
    assert set(decided.values()) == {"reproduced"}
    figure(some).savefig("figure.png")


def test_rates_without_bounds_decide_nothing():
    some = table()
    rows = (some["part"] == "learning") & (some["start"] == HIGH) & (some["seed"] == 1)
    some.loc[rows, "rate"] = 2e32
    decided = {claim.name: claim for claim in claims(some)}
    assert decided[f"learned rate, {HIGH:g}"].outcome == "not decidable"
    assert len(decided[f"learned rate, {HIGH:g}"].measured) < 40


def test_what_was_not_measured_is_left_out():
    some = table()
    some = some[(some["start"] == HIGH) & (some["data"] == "paper")]
    assert [(claim.name, claim.published) for claim in claims(some)] == [(f"learned rate, {HIGH:g}", 0.6243)]
    assert [finding.name for finding in findings(some)] == [f"seed 0 from {HIGH:g}"]
