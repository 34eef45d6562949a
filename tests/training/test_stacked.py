"""Stacked layers against the single ones: outputs, gradients, running statistics, and independence of the members."""

import pytest
import torch
from torch import nn

from mnist1d_hf.training.stacked import Unstacked, set_generators, side_by_side, stack

MEMBERS, BATCH = 3, 5


class _Outputs(nn.Module):
    """The outputs of a GRU without its last state."""

    def __init__(self, **arguments):
        super().__init__()
        self.gru = nn.GRU(batch_first=True, **arguments)

    def forward(self, x):
        return self.gru(x)[0]


CASES = {
    "linear": (lambda: nn.Linear(7, 4), (7,)),
    "linear without bias": (lambda: nn.Linear(7, 4, bias=False), (7,)),
    "linear on sequences": (lambda: nn.Linear(7, 4), (6, 7)),
    "prelu": (nn.PReLU, (4, 7)),
    "batch norm": (lambda: nn.BatchNorm1d(7), (7,)),
    "batch norm on sequences": (lambda: nn.BatchNorm1d(4), (4, 7)),
    "gru": (lambda: _Outputs(input_size=2, hidden_size=3), (6, 2)),
    "gru both ways": (lambda: _Outputs(input_size=2, hidden_size=3, bidirectional=True), (6, 2)),
}
CONVOLUTIONS = [  # kernel, stride, padding, dilation, mode, length
    (5, 2, 1, 1, "zeros", 40),
    (3, 2, 1, 1, "zeros", 19),
    (3, 2, 1, 1, "zeros", 10),
    (3, 1, 4, 4, "zeros", 20),
    (3, 1, 2, 2, "circular", 20),
    (1, 2, 0, 1, "zeros", 21),
    (7, 3, 9, 2, "zeros", 13),
    (3, 1, 5, 1, "zeros", 4),
    (3, 2, 0, 1, "zeros", 9),
]
for _kernel, _stride, _padding, _dilation, _mode, _length in CONVOLUTIONS:
    CASES[f"convolution {_kernel} {_stride} {_padding} {_dilation} {_mode} {_length}"] = (
        lambda k=_kernel, s=_stride, p=_padding, d=_dilation, m=_mode: nn.Conv1d(3, 4, k, s, p, d, padding_mode=m),
        (3, _length),
    )


@pytest.mark.parametrize("name", CASES)
def test_a_stacked_layer_is_its_members(name):
    """In double precision, outputs and all gradients agree to 1e-12, in training and in evaluation, twice in a row."""
    make, shape = CASES[name]
    torch.manual_seed(1)
    layers = [make().double() for _ in range(MEMBERS)]
    both = stack(layers)
    for training in (True, True, False):
        both.train(training)
        x = torch.randn(MEMBERS, BATCH, *shape, dtype=torch.double, requires_grad=True)
        y = both(x)
        expected = torch.stack([layer.train(training)(x[number]) for number, layer in enumerate(layers)])
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
        weights = torch.randn_like(y)
        names = [key for key, _ in layers[0].named_parameters()]
        found = torch.autograd.grad(y, [x, *(both.get_parameter(key) for key in names)], weights)
        singles = [layer.get_parameter(key) for key in names for layer in layers]
        wanted = torch.autograd.grad(expected, [x, *singles], weights)
        torch.testing.assert_close(found[0], wanted[0], rtol=0, atol=1e-12)
        for place, gradient in enumerate(found[1:]):
            members = torch.stack(wanted[1 + place * MEMBERS : 1 + (place + 1) * MEMBERS])
            torch.testing.assert_close(gradient, members, rtol=1e-11, atol=1e-12)
    for number, layer in enumerate(layers):
        for key, values in layer.state_dict().items():
            torch.testing.assert_close(both.state_dict()[key][number], values, rtol=1e-11, atol=1e-12)


def test_stacking_leaves_the_networks_alone():
    networks = [nn.Sequential(nn.Linear(3, 2), nn.ReLU()) for _ in range(2)]
    before = [{name: values.clone() for name, values in network.state_dict().items()} for network in networks]
    both = stack(networks)
    both(torch.randn(2, 4, 3)).sum().backward()
    with torch.no_grad():
        both[0].weight += 1
    for network, state in zip(networks, before, strict=True):
        for name, values in network.state_dict().items():
            assert torch.equal(values, state[name])
        assert network[0].weight.grad is None


def test_dropout_of_a_member_does_not_depend_on_the_others():
    def masks(seeds):
        both = stack([nn.Sequential(nn.Dropout(0.4)) for _ in seeds])
        set_generators(both, [torch.Generator().manual_seed(seed) for seed in seeds])
        return dict(zip(seeds, both(torch.ones(len(seeds), 200, 50)), strict=True))

    together, alone = masks([3, 4, 5]), masks([4])
    assert torch.equal(together[4], alone[4])
    assert not torch.equal(together[3], together[4])
    # 10,000 draws: the standard deviation of the fraction is 0.005; five of them, once in two million seeds.
    assert abs(float((together[3] > 0).float().mean()) - 0.6) < 0.025
    torch.testing.assert_close(together[3].unique(), torch.tensor([0.0, 1 / 0.6]))
    both = stack([nn.Sequential(nn.Dropout(0.4)) for _ in range(2)]).eval()
    assert torch.equal(both(torch.ones(2, 3)), torch.ones(2, 3))


@pytest.mark.parametrize(
    ("layer", "kind", "message"),
    [
        (nn.Bilinear(2, 2, 2), TypeError, "Bilinear cannot be stacked"),
        (nn.Conv1d(4, 4, 3, groups=2), ValueError, "groups: expected convolutions without groups, found 2"),
        (nn.Conv1d(4, 4, 3, padding=1, padding_mode="reflect"), ValueError, "padding"),
        (nn.GRU(2, 3), ValueError, "gru: expected batch_first=True"),
        (nn.GRU(2, 3, num_layers=2, batch_first=True), ValueError, "and one layer"),
        (nn.BatchNorm1d(3, momentum=None), ValueError, "batch norm"),
    ],
    ids=str,
)
def test_what_cannot_be_stacked_is_refused(layer, kind, message):
    with pytest.raises(kind, match=message):
        stack([nn.Sequential(layer)])


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
