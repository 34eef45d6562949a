"""Networks that cannot be stacked, computed one after the other behind the interface of a stacked network."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mnist1d_hf.errors import InvalidTypeError, InvalidValueError
from mnist1d_hf.training.stacked import stack, stack_values


class Unstacked(nn.Module):
    """Any networks of one architecture: (members, batch, ...) in and out, one member after the other.

    Parameters and buffers have the names of the single network and an axis of members in front, as in `stack`.
    Random numbers, for example those of dropout, depend on the member's own generator only.

    Args:
        networks: of the same architecture; they are not changed.

    >>> both = Unstacked([nn.Sequential(nn.Bilinear(2, 2, 3)) for _ in range(2)])
    >>> both.state_dict()["0.weight"].shape
    torch.Size([2, 3, 2, 2])
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.generators: list[torch.Generator] = []
        self._single = (copy.deepcopy(networks[0]),)  # in a tuple, so that its parameters are not registered here
        for name, child in copy.deepcopy(networks[0]).named_children():
            self.add_module(name, child)
        for name, _ in networks[0].named_modules():
            stack_values(self.get_submodule(name), [network.get_submodule(name) for network in networks])

    def forward(self, x: Tensor) -> Tensor:
        single = self._single[0].train(self.training)
        # Views of the buffers: updates reach them.
        values = {name: stacked.unbind() for name, stacked in (*self.named_parameters(), *self.named_buffers())}
        outputs = []
        for member, signals in enumerate(x.unbind()):
            state = {name: own[member] for name, own in values.items()}
            with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
                if self.training and self.generators:
                    torch.manual_seed(int(torch.randint(2**62, (), generator=self.generators[member])))
                outputs.append(functional_call(single, state, (signals,)))
        return torch.stack(outputs)


def side_by_side(networks: Sequence[nn.Module]) -> nn.Module:
    """Networks of one architecture as one, (members, batch, ...) in and out: stacked where their layers allow it."""
    try:
        return stack(networks)
    except (InvalidTypeError, InvalidValueError):
        return Unstacked(networks)
