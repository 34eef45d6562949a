"""Networks that cannot be stacked: in populations each member is what a plain loop gives for it alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from mnist1d_hf.training import population as population_module
from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.population import Arrays, Population
from mnist1d_hf.training.recipe import Recipe
from mnist1d_hf.training.stacked import member_state, set_generators
from mnist1d_hf.training.unstacked import Unstacked, side_by_side

SEEDS = [5, 3, 8]


class Attention(nn.Module):
    """A tiny transformer: attention and learned positions, which `stack` does not know; dropout and batch norm."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.embedding = nn.Linear(4, 8)
        self.position = nn.Parameter(0.1 * torch.randn(10, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.dropout, self.normalization = nn.Dropout(dropout), nn.BatchNorm1d(8)
        self.output = nn.Linear(8, 10)

    def forward(self, x):
        x = self.embedding(x.unflatten(-1, (10, 4))) + self.position
        x = x + self.dropout(self.attention(x, x, x, need_weights=False)[0])
        return self.output(self.normalization(x.mean(1)))


@pytest.fixture(scope="module")
def arrays():
    whole = load_arrays("default")
    return Arrays(whole.x[:300], whole.label[:300], whole.x_test[:200], whole.label_test[:200])


@pytest.fixture
def make(monkeypatch, arrays):
    def population(seeds, dropout, **changes):
        monkeypatch.setattr(population_module, "new_network", lambda **_: Attention(dropout))
        values = {"name": "test", "network": {}, "steps": 12, "batch_size": 50, "eval_every": 4}
        return Population(Recipe(**{**values, **changes}), seeds, arrays)

    return population


def test_a_member_is_what_a_plain_loop_gives(make, arrays):
    """The same network, batches in the stored order; running statistics included.

    With SGD: Adam turns the rounding errors of gradients that are 0, like those of the keys' biases, into whole steps.
    """
    population = make(SEEDS, 0.0, holdout=0.0, select="final", shuffle=False, optimizer="sgd", learning_rate=0.1)
    assert isinstance(population.network, Unstacked)
    population.run()
    _, states = population.finish()
    x, label = torch.from_numpy(arrays.x), torch.from_numpy(arrays.label)
    for seed, state in zip(SEEDS, states, strict=True):
        torch.manual_seed(seed)
        model = Attention()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(12):
            rows = slice(step * 50 % 300, step * 50 % 300 + 50)
            optimizer.zero_grad()
            functional.cross_entropy(model(x[rows]), label[rows]).backward()
            optimizer.step()
        assert state.keys() == {f"network.{name}" for name in model.state_dict()}
        for name, values in model.state_dict().items():
            torch.testing.assert_close(state[f"network.{name}"], values, rtol=0, atol=1e-5)


def test_dropout_validation_and_checkpoints(make):
    """Continued from a checkpoint the result is the same, and that of each seed alone up to rounding. The global random
    numbers are left alone."""
    options = {"optimizer": "sgd", "learning_rate": 0.1}
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    together = make(SEEDS, 0.5, **options)
    together.run(until=7)
    tensors, values = together.state()
    continued = make(SEEDS, 0.5, **options)
    continued.load_state({name: tensor.clone() for name, tensor in tensors.items()}, values)
    together.run()
    continued.run()
    members, states = together.finish()
    again, other_states = continued.finish()
    assert again == members
    for number, seed in enumerate(SEEDS):
        alone = make([seed], 0.5, **options)
        alone.run()
        (member,), (state,) = alone.finish()
        assert member == members[number]
        for name, values in state.items():
            assert torch.equal(states[number][name], other_states[number][name])
            torch.testing.assert_close(states[number][name], values, rtol=0, atol=1e-5)
    assert torch.equal(torch.rand(3), expected)


def test_members_draw_from_their_own_generators():
    both = side_by_side([nn.Sequential(nn.Bilinear(2, 2, 2), nn.Dropout(0.5)) for _ in range(2)])
    assert isinstance(both, Unstacked)
    assert member_state(both, 1).keys() == {"0.weight", "0.bias"}
    network = Unstacked([nn.Dropout(0.5)] * 3)
    set_generators(network, [torch.Generator().manual_seed(seed) for seed in (1, 1, 2)])
    first, same, other = network(torch.ones(3, 100))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(network.eval()(torch.ones(3, 2)), torch.ones(3, 2))
