"""Self-supervised learning: views, loss and networks are the notebook's, and the claims follow the table."""

import numpy as np
import pandas as pd
import pytest
import torch

from mnist1d_hf.studies.frames import select
from mnist1d_hf.studies.self_supervised import (
    PROJECTORS,
    PUBLISHED,
    Contrastive,
    Encoder,
    SelfSupervisedSettings,
    claims,
    findings,
    info_nce,
    measure_signals,
    view,
)
from mnist1d_hf.studies.study import Context
from mnist1d_hf.training.ensemble import Procedure


def sources(count):
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


@pytest.mark.parametrize(("projector", "parameters"), [("none", 3950), ("two", 21716), ("four", 53216)])
def test_the_networks_are_those_of_the_notebook(projector, parameters):
    network = Encoder(PROJECTORS[projector])
    assert sum(values.numel() for values in network.parameters()) == parameters
    found = network.layers(torch.randn(7, 40))
    assert [part.shape for part in found[:3]] == [(7, 475), (7, 250), (7, 125)]
    assert len(found) == 3 + PROJECTORS[projector]
    assert bool((found[-1] < 0).any()) == (projector != "none")


def test_the_loss_is_that_of_the_notebook():
    left, right = (torch.nn.functional.normalize(torch.randn(2, 5, 3), dim=-1) for _ in range(2))
    found = info_nce(left, right, 0.5)
    for member in range(2):
        similar = torch.exp(left[member] @ right[member].T / 0.5)
        expected = (-torch.log(torch.diag(similar)) + torch.log(similar.sum(1))).mean()
        torch.testing.assert_close(found[member], expected)


def test_a_view_is_a_shifted_signal_with_another_slope():
    x = torch.randn(2, 6, 40)
    time = torch.arange(40) - 19.5
    plain = x - x.mean(-1, keepdim=True)
    plain = plain - (plain * time).sum(-1, keepdim=True) / time.square().sum() * time
    seen = view(SelfSupervisedSettings(), x, sources(2))
    shifted = torch.stack([plain.roll(shift, -1) for shift in range(10)])
    rest = seen - shifted
    flat = rest - rest.mean(-1, keepdim=True)
    slope = (flat * time).sum(-1, keepdim=True) / time.square().sum()
    left_over = (flat - slope * time).abs().amax(-1)
    assert bool((left_over.amin(0) < 1e-5).all())  # for each signal, one of ten shifts leaves only a straight line
    assert len(set(left_over.argmin(0).flatten().tolist())) > 1


def test_views_vary_as_the_notebook_says():
    """Deviations of 20,000 draws: off by more than 3 % with a probability below 1e-8."""
    seen = view(SelfSupervisedSettings(shift=1), torch.zeros(1, 20000, 40), sources(1))[0]
    time = torch.arange(40) - 19.5
    assert float(seen.mean(-1).std()) == pytest.approx(0.3, rel=0.03)
    slope = ((seen - seen.mean(-1, keepdim=True)) * time).sum(-1) / time.square().sum()
    assert float(slope.std()) == pytest.approx(0.04, rel=0.03)


def test_a_members_training_does_not_depend_on_the_others():
    x, label = np.random.default_rng(0).standard_normal((2, 60, 40)).astype(np.float32), np.zeros((2, 60), dtype=int)
    networks = [Encoder(2, channels=4, hidden=8, output=4) for _ in range(2)]
    procedure = Procedure(steps=4, batch_size=20, shuffle=True)
    settings = SelfSupervisedSettings()
    both = Contrastive(settings, networks, procedure, x, label, seeds=[3, 5])
    both.run()
    alone = Contrastive(settings, networks[1:], procedure, x[1:], label[1:], seeds=[5])
    alone.run()
    found, before = both.layers(x)[-1][1], networks[1](torch.from_numpy(x[1]))
    assert not torch.allclose(found, before, atol=1e-2)
    torch.testing.assert_close(found, alone.layers(x[1:])[-1][0], atol=1e-4, rtol=0)


def test_signals_give_what_the_notebook_says():
    """Nothing is random there. A classifier that is nearly fitted may err on one or two of 1,000 samples more. The rows
    are the same for all seeds, so a finding about them counts one run, and nothing is claimed."""
    table = pd.DataFrame(measure_signals(SelfSupervisedSettings(seeds=3), "paper", Context()))
    for finding, value in zip(findings(table), (32.8, 59.6), strict=True):
        assert finding.n == 1
        assert finding.mean == pytest.approx(value, abs=0.25)
    assert not claims(table)


def made_up(shift=0.0, seeds=10, noise=0.5, collapsed=0):
    """The published values; those of the projector with two layers, but for its output, are shifted; with four layers
    some seeds collapse, by 30 points."""
    random, rows = np.random.default_rng(0), []
    for data in ("paper", "fresh"):
        for (projector, measure, layer), value in PUBLISHED.items():
            moved = value + shift * (projector == "two" and layer < 5)
            for seed in range(seeds):
                accuracy = moved + noise * random.standard_normal() * (layer > 0)
                accuracy -= 30 * (projector == "four" and seed < collapsed)
                rows.append((data, projector, measure, layer, seed, accuracy))
    return pd.DataFrame(rows, columns=["data", "projector", "measure", "layer", "seed", "test_accuracy"])


def test_the_notebooks_values_are_reproduced():
    assert {claim.outcome for claim in claims(made_up())} == {"reproduced"}


def test_other_values_are_not():
    found = {claim.name: claim.outcome for claim in claims(made_up(shift=-20))}
    assert found["convolutions above output"] == "not reproduced"
    assert found["a deeper one less"] == "not reproduced"
    assert found["two, layer 1"] == "not reproduced"
    assert found["neighbours"] == "reproduced"
    assert found["none, layer 2"] == "reproduced"


def test_published_numbers_that_single_runs_cannot_decide_say_so():
    """Runs with a standard deviation of 4 scatter by 16 points; the layers of the projector with two differ by 7."""
    found = {claim.name: claim for claim in claims(made_up(noise=4.0, seeds=30))}
    for layer in range(1, 6):
        assert found[f"two, layer {layer}"].outcome == "not decidable"
    assert found["two, layer 3"].published == 82.1
    assert found["output, neighbours"].effect == pytest.approx(14.5)
    assert found["none, layer 1"].outcome == "reproduced"


def test_what_the_source_has_no_data_for_is_a_finding():
    assert not [claim for claim in claims(made_up()) if "fresh" in claim.name + claim.text]
    found = {finding.name: finding for finding in findings(made_up())}
    assert found["convolutions above output, fresh"].mean == pytest.approx(82.1 - 75.0, abs=0.7)
    assert len([name for name in found if name.endswith("fresh")]) == 6 + 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": "5000"}, "batch_size: expected at most 4000, the samples, found 5000"),
        ({"samples": "4001"}, "samples: expected at most 4,000, which the paper's dataset has, found 4,001"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SelfSupervisedSettings().changed(changes)
    assert SelfSupervisedSettings(samples=4001, data=("fresh",)).steps == 8000


def test_collapses_are_counted_apart():
    table = made_up(collapsed=3)
    found = {finding.name: finding for finding in findings(table)}
    assert found["collapsed, paper"].mean == pytest.approx(30)
    assert found["four, median, paper"].mean == pytest.approx(79.5, abs=1)
    assert found["without collapse, paper"].mean == pytest.approx(2.6, abs=1)
    decided = {claim.name: claim for claim in claims(table)}
    assert (decided["four, layer 3"].n, decided["four, layer 3"].outcome) == (7, "reproduced")
    assert decided["a deeper one less"].mean == pytest.approx(2.6 + 9, abs=1)  # of all seeds


def test_if_all_seeds_collapse_nothing_is_compared():
    table = made_up(collapsed=10)
    assert not [claim.name for claim in claims(table) if claim.name.startswith("four")]
    assert {finding.name: finding for finding in findings(table)}["collapsed, fresh"].mean == 100


def test_what_was_not_measured_is_left_out():
    found = claims(select(made_up(), projector=["signals", "none"]))
    assert {claim.name for claim in found} == {f"none, layer {layer}" for layer in (1, 2, 3)}
