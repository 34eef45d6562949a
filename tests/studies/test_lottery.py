"""Lottery tickets: masks have the sparsity asked for, rewinding restores the weights, and the claims follow."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from mnist1d_hf.studies import lottery
from mnist1d_hf.studies.frames import select
from mnist1d_hf.studies.lottery import (
    LAYERS,
    PAPER,
    STUDY,
    TRANSFERS,
    LotterySettings,
    adjacency,
    claims,
    initial_network,
    positions,
    prune,
    random_masked,
    smallest_masked,
    together,
)
from mnist1d_hf.studies.study import Context
from mnist1d_hf.training.stacked import stack

SMALL = dataclasses.replace(STUDY.quick, seeds=1, width=20, steps=20, transfer_steps=5)


def layer_vectors(values, layer):
    """Weights and biases of a layer together: (members, entries)."""
    return torch.cat([values[f"{layer}.weight"].flatten(1), values[f"{layer}.bias"]], dim=1)


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.92, 0.99])
def test_masks_have_the_sparsity_asked_for(sparsity):
    networks = [initial_network(SMALL, seed) for seed in range(3)]
    smallest, random = smallest_masked(stack(networks), sparsity), random_masked(networks[0], sparsity, 5)
    for masks, members in ((smallest, 3), (random, 1)):
        for layer in LAYERS:
            vector = layer_vectors(masks, layer)
            assert vector.shape[0] == members
            assert set(vector.unique().tolist()) <= {0.0, 1.0}
            assert ((vector == 0).sum(1) == int(sparsity * vector.shape[1])).all()


def test_the_smallest_are_masked():
    network = stack([initial_network(SMALL, seed) for seed in range(2)])
    masks = smallest_masked(network, 0.6)
    values = {name: parameter.detach().abs() for name, parameter in network.named_parameters()}
    for layer in LAYERS:
        for kept, size in zip(layer_vectors(masks, layer), layer_vectors(values, layer), strict=True):
            assert size[kept == 0].max() <= size[kept == 1].min()


def test_rewinding_restores_the_initial_weights_exactly(monkeypatch):
    """Every training of a seed starts from its initial weights times the mask, masks only ever grow, and they follow
    the trained weights."""
    started = []

    class Watched(lottery.Ensemble):
        def run(self, *arguments, **options):
            started.append({name: values.detach().clone() for name, values in self.network.named_parameters()})
            super().run(*arguments, **options)

    monkeypatch.setattr(lottery, "Ensemble", Watched)
    network = initial_network(SMALL, 0)
    initial = {name: values.detach().clone()[None] for name, values in network.named_parameters()}
    tickets, rows = prune(SMALL, 0, network, Context())
    assert [row["sparsity"] for row in rows] == list(SMALL.sparsities)
    for found, masks in zip(started, tickets.values(), strict=True):
        for name, values in initial.items():
            assert torch.equal(found[name], values * masks[name])
    for before, after in zip(list(tickets.values())[:-1], list(tickets.values())[1:], strict=True):
        for name in before:
            assert (after[name] <= before[name]).all()
    untrained = smallest_masked(stack([initial_network(SMALL, 0)]), 0.5)
    assert not torch.equal(tickets[0.5]["output.weight"], untrained["output.weight"])


def test_a_seed_gives_all_rows():
    (unit,) = STUDY.units(SMALL)
    table = pd.DataFrame(unit.function(SMALL, context=Context(), **unit.arguments))
    assert len(select(table, part="pruning", mask="lottery")) == 4
    assert len(select(table, part="pruning", mask="random")) == 3
    transfers = select(table, part="transfer")
    assert list(zip(transfers["mask"], transfers["weights"], transfers["data"], strict=True)) == list(TRANSFERS)
    chosen = select(table, part="pruning", mask="lottery", sparsity=0.92)["adjacency"].item()
    assert set(select(transfers, mask="lottery")["adjacency"]) == {chosen}


def test_neighbours():
    mask = torch.zeros(1, 2, 6)
    mask[0, 0, 1:4] = 1  # two pairs of ten
    assert adjacency({"stages.0.linear.weight": mask}) == [pytest.approx(0.2)]
    network = initial_network(LotterySettings(), 0)
    random = random_masked(network, 0.92, 0)
    # 19,500 pairs, each with a probability of 0.0064: five deviations are 0.0029
    assert adjacency(random)[0] == pytest.approx(0.0064, abs=0.0029)
    both = together([random, random_masked(network, 0.0, 0)])
    assert adjacency(both) == [adjacency(random)[0], 1.0]


def test_positions_are_permutations():
    orders = positions(3)
    for order in orders.values():
        assert sorted(order.tolist()) == list(range(40))
    assert orders["flipped"].tolist() == list(range(39, -1, -1))
    assert orders["chunks"].tolist() != list(range(40))
    assert all((np.diff(part) == 1).all() for part in orders["chunks"].reshape(8, 5))
    assert not np.array_equal(orders["shuffled"], positions(4)["shuffled"])


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        *(("sparsities", text, "expected fractions that rise from 0") for text in ("0.1,0.5", "0,0.5,0.4", "0,0.5,1")),
        ("ticket", "0.925", "ticket: expected one of the sparsities above 0, found 0.925"),
    ],
)
def test_bad_settings_are_refused(setting, value, message):
    with pytest.raises(ValueError, match=message):
        STUDY.full.changed({setting: value})


# The claims, on tables made up

USUAL = dict(zip(TRANSFERS, (64.0, 58.0, 70.0, 67.0, 70.0, 55.0, 60.0), strict=True))


def outcomes(changes=None, noise=0.3, ratio=1.66):
    """Of the published values, with some transfers changed."""
    random, rows = np.random.default_rng(0), []

    def add(part, mask, weights, data, sparsity, accuracy):
        for seed in range(10):
            near = (ratio if mask == "lottery" else 1) * 0.0056 * (1 + 0.01 * random.standard_normal())
            rows.append((part, mask, weights, data, sparsity, seed, accuracy + noise * random.standard_normal(), near))

    for (mask, weights, data), accuracy in {**USUAL, **(changes or {})}.items():
        add("transfer", mask, weights, data, 0.92, accuracy)
    for mask, published in PAPER.items():
        for sparsity, accuracy in published.items():
            add("pruning", mask, "initial", "same", sparsity, accuracy)
    names = ["part", "mask", "weights", "data", "sparsity", "seed", "test_accuracy", "adjacency"]
    return {claim.name: claim.outcome for claim in claims(pd.DataFrame(rows, columns=names))}


def test_the_papers_values_are_reproduced():
    assert set(outcomes().values()) == {"reproduced"}


def test_other_values_are_not():
    found = outcomes({("lottery", "new", "fresh"): 55.0, ("lottery", "initial", "shuffled"): 70.0}, ratio=1.0)
    for name in ("mask above weights", "new weights above dense", "shuffled below dense", "neighbours"):
        assert found[name] == "not reproduced"
    assert found["transfer"] == "reproduced"
    assert outcomes({("lottery", "new", "fresh"): 56.0}, noise=4)["mask above weights"] == "undecided"
