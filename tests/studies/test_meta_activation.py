"""Meta-learning an activation function: the notebook's run, and claims that follow the table."""

import numpy as np
import pandas as pd
import pytest
import torch

from mnist1d_hf.studies.meta_activation import (
    LEARNED,
    LEARNED_TAIL,
    OBJECTIVES,
    PAPER,
    PRINTED,
    START,
    ActivationSettings,
    claims,
    draw,
    findings,
    learn,
)
from mnist1d_hf.studies.study import Context


def test_the_first_outer_step_is_the_notebooks():
    settings = ActivationSettings(seeds=1, inner_seeds=1, outer_steps=1, test_samples=100)
    row = learn(settings, [0], Context())[0]
    assert row["objectives"] == [pytest.approx(PRINTED[0], abs=1e-3)]


def test_random_numbers_are_those_of_the_seed():
    settings = ActivationSettings(hidden=4, small=3, steps=5, counted=2)
    one, both = draw(settings, [7], "cpu"), draw(settings, [2, 7], "cpu")
    for values, others in zip(
        [*one.small, *one.weights, one.noise], [*both.small, *both.weights, both.noise], strict=True
    ):
        torch.testing.assert_close(values[0], others[1], rtol=0, atol=0)
    assert one.noise.shape == (1, 6, 4)
    assert one.small_noise.shape == (1, 6, 3)
    assert float(one.noise.abs().max()) <= 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counted": "400"}, "counted: expected at most 301"),
        ({"batch_size": "300"}, "batch_size: expected a divisor"),
        ({"samples": "1"}, "batch_size: expected a divisor"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ActivationSettings().changed(changes)


def table(kept=9.4, seeds=10, noise=0.3, extrema=2):
    random = np.random.default_rng(0)
    form = {2: [0.0, 1.0, 0.0, 1.0], 0: [0.0, 1.0, 2.0, 3.0]}[extrema]

    def row(part, activation, inner_seed, data, accuracy, **more):
        known = {"part": part, "activation": activation, "seed": seed, "inner_seed": inner_seed, "data": data}
        accuracy += noise * random.standard_normal()
        return {**known, "test_accuracy": accuracy, "objectives": [], "accuracies": [], "shape": [], **more}

    rows = []
    for seed in range(seeds):
        history = {"objectives": [*PRINTED, OBJECTIVES[1]], "accuracies": [START, *[LEARNED_TAIL] * 60], "shape": form}
        rows.append(row("learning", "learned", seed, "paper", LEARNED_TAIL, **history))
        rows += [row("inner", name, seed, "paper", value) for name, value in PAPER.items()]
        for data in ("paper", "fresh"):
            known = {**PAPER, "learned": PAPER["relu"] + kept}
            rows += [row("inner", name, 1000 + seed, data, value) for name, value in known.items()]
    return pd.DataFrame(rows)


def test_the_notebooks_values_are_reproduced():
    assert {claim.outcome for claim in claims(table())} == {"reproduced"}


def test_like_is_compared_with_like():
    """The mean of the last 50 outer steps with that mean, the last step with the last step."""
    some = table()
    some["accuracies"] = [[*history[:-1], 70.0] if history else [] for history in some["accuracies"]]
    found = {claim.name: claim for claim in claims(some)}
    assert found["above ReLU"].literature == f"{LEARNED_TAIL - PAPER['relu']:+.1f}"
    assert found["above ReLU"].mean == pytest.approx(LEARNED_TAIL + 2.9 / 50 - PAPER["relu"], abs=0.3)
    assert (found["last step"].published, found["last step"].mean) == (LEARNED, pytest.approx(70.0))


def test_another_shape_is_not():
    found = {claim.name: claim.outcome for claim in claims(table(extrema=0))}
    assert [name for name, outcome in found.items() if outcome == "not reproduced"] == ["two extrema"]


def test_the_gain_in_other_trainings_is_a_finding():
    """There ReLU loses two points more than on its own training, where the gain is 8.1."""
    found = {finding.name: finding for finding in findings(table(kept=-2))}
    assert found["above ReLU, paper"].mean == pytest.approx(-2, abs=0.5)
    assert found["gain kept, fresh"].mean == pytest.approx(-2 - 8.1, abs=0.7)
    assert (found["seed 0, step by step"].n, found["seed 0, step by step"].mean) == (1, 0)
