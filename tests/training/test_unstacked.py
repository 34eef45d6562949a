"""Networks that cannot be stacked: in populations each member is what a plain loop gives for it alone."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.population import Arrays, Population, new_network
from mnist1d_hf.training.recipe import Recipe
from mnist1d_hf.training.stacked import Unstacked, set_generators, side_by_side

SEEDS = [5, 3, 8]
NETWORK = {"architecture": "transformer", "widths": (8,)}


@pytest.fixture(scope="module")
def arrays():
    whole = load_arrays("default")
    return Arrays(whole.x[:300], whole.label[:300], whole.x_test[:200], whole.label_test[:200])


def population(seeds, arrays, dropout, **changes):
    values = {"batch_size": 50, "eval_every": 4, "optimizer": "sgd", "learning_rate": 0.1, **changes}
    return Population(Recipe("test", {**NETWORK, "dropout": dropout}, steps=12, **values), seeds, arrays)


def test_a_member_is_what_a_plain_loop_gives(arrays):
    """The same network, batches in the stored order.

    With SGD: Adam turns the rounding errors of gradients that are 0, like those of the keys' biases, into whole steps.
    """
    together = population(SEEDS, arrays, 0.0, holdout=0.0, select="final", shuffle=False)
    assert isinstance(together.ensemble.network, Unstacked)
    together.run()
    _, states = together.finish()
    x, label = torch.from_numpy(arrays.x), torch.from_numpy(arrays.label)
    for seed, state in zip(SEEDS, states, strict=True):
        torch.manual_seed(seed)
        model = new_network(**NETWORK)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(12):
            rows = slice(step * 50 % 300, step * 50 % 300 + 50)
            optimizer.zero_grad()
            functional.cross_entropy(model(x[rows]), label[rows]).backward()
            optimizer.step()
        assert state.keys() == {f"network.{name}" for name in model.state_dict()}
        for name, values in model.state_dict().items():
            torch.testing.assert_close(state[f"network.{name}"], values, rtol=0, atol=1e-5)


def test_dropout_validation_and_checkpoints(arrays):
    """Continued from a checkpoint the result is the same, and that of each seed alone up to rounding. The global random
    numbers are left alone."""
    before = torch.get_rng_state()
    together, continued = (population(SEEDS, arrays, 0.5) for _ in range(2))
    together.run(until=7)
    continued.load_state(copy.deepcopy(together.state()))
    together.run()
    continued.run()
    members, states = together.finish()
    again, other_states = continued.finish()
    assert again == members
    alone = population(SEEDS[1:2], arrays, 0.5)
    alone.run()
    (member,), (state,) = alone.finish()
    assert member == members[1]
    for name, values in state.items():
        assert torch.equal(states[1][name], other_states[1][name])
        torch.testing.assert_close(states[1][name], values, rtol=0, atol=1e-5)
    assert torch.equal(torch.get_rng_state(), before)


def test_members_draw_from_their_own_generators():
    network = Unstacked([nn.Dropout(0.5)] * 3)
    set_generators(network, [torch.Generator().manual_seed(seed) for seed in (1, 1, 2)])
    first, same, other = network(torch.ones(3, 100))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(network.eval()(torch.ones(3, 2)), torch.ones(3, 2))


def test_running_statistics_are_those_of_the_members():
    singles = [nn.Sequential(nn.LayerNorm(2), nn.BatchNorm1d(2)) for _ in range(2)]
    both, x = side_by_side(singles), torch.randn(2, 9, 2, generator=torch.Generator().manual_seed(0))
    assert isinstance(both, Unstacked)
    both(x)
    for number, single in enumerate(singles):
        single(x[number])
        assert all(torch.equal(both.state_dict()[name][number], values) for name, values in single.state_dict().items())
