"""Ensembles: each member is what a plain loop gives on its own data, and masks hold."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.ensemble import Ensemble, Procedure, seeded
from mnist1d_hf.training.population import new_network


@pytest.fixture(scope="module")
def arrays():
    return load_arrays("default")


def networks(count, **arguments):
    chosen = {"architecture": "mlp", "widths": (12, 12), **arguments}
    return [seeded(lambda: new_network(**chosen), seed) for seed in range(count)]


@pytest.mark.parametrize(
    ("loss", "optimizer", "plain"),
    [
        ("squared-error", "sgd", lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9)),
        ("cross-entropy", "adam", lambda p: torch.optim.Adam(p, lr=0.02)),
        ("squared-error", "adamw", lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0)),
    ],
)
def test_a_member_is_what_a_plain_loop_gives(loss, optimizer, plain, arrays):
    """Two members with labels of their own, 30 steps in the stored order, which begins again after 530 rows."""
    x = arrays.x[:530]
    label = np.stack([arrays.label[:530], (arrays.label[:530] + 1) % 10])
    made = networks(2)
    ensemble = Ensemble(made, Procedure(30, learning_rate=0.02, optimizer=optimizer, momentum=0.9, loss=loss), x, label)
    ensemble.run()
    scores = ensemble.scores(arrays.x_test, arrays.label_test)
    for member in range(2):
        network, signals, truth = made[member], torch.from_numpy(x), torch.from_numpy(label[member])
        one = plain(network.parameters())
        for step in range(30):
            rows = torch.arange(step * 100, step * 100 + 100) % 530
            logits = network(signals[rows])
            if loss == "cross-entropy":
                value = functional.cross_entropy(logits, truth[rows])
            else:
                value = functional.mse_loss(logits, functional.one_hot(truth[rows], 10).float())
            one.zero_grad()
            value.backward()
            one.step()
        logits = network(torch.from_numpy(arrays.x_test)).detach()
        torch.testing.assert_close(ensemble.logits(arrays.x_test)[member], logits, rtol=0, atol=1e-3)
        right = (logits.argmax(1).numpy() == arrays.label_test).mean()
        assert scores.accuracy[member] == pytest.approx(right, abs=2e-3)


def test_masks_hold_and_the_rest_learns(arrays):
    made = networks(3, activation="tanh")  # of which no unit is dead
    weight = made[0].stages[1].linear.weight
    mask = (torch.rand(3, *weight.shape, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    before = torch.stack([network.stages[1].linear.weight.detach() for network in made])
    ensemble = Ensemble(made, Procedure(steps=20), arrays.x, arrays.label, masks={"stages.1.linear.weight": mask})
    assert torch.equal(ensemble.network.stages[1].linear.weight, before * mask)
    ensemble.run()
    after = ensemble.network.stages[1].linear.weight
    assert not after[mask == 0].any()
    assert (after != before)[mask == 1].float().mean() > 0.9


def test_an_epoch_takes_every_row_once(arrays):
    ensemble = Ensemble(networks(2), Procedure(steps=10, shuffle=True), arrays.x[:500], arrays.label[:500])
    seen = torch.cat([ensemble.batches.next(step)[0] for step in range(5)], dim=1)
    for member in range(2):
        expected = torch.from_numpy(arrays.x[:500])
        assert torch.equal(torch.sort(seen[member, :, 0]).values, torch.sort(expected[:, 0]).values)
    assert not torch.equal(seen[0], seen[1])


def test_what_does_not_fit_is_refused(arrays):
    with pytest.raises(ValueError, match="expected signals, labels and seeds of 2 members"):
        Ensemble(networks(2), Procedure(steps=1), arrays.x, arrays.label[:10])
    with pytest.raises(ValueError, match="masks: no parameter 'weight'"):
        Ensemble(networks(2), Procedure(steps=1), arrays.x, arrays.label, masks={"weight": torch.ones(1)})
    with pytest.raises(ValueError, match=r"masks: output\.weight: expected shape \(2, 10, 12\), found \(1,\)"):
        Ensemble(networks(2), Procedure(steps=1), arrays.x, arrays.label, masks={"output.weight": torch.ones(1)})
