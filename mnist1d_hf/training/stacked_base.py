"""What all stacked layers have in common."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Stacked(nn.Module):
    """A layer of all members. Parameters and buffers have the names of the single layer and one axis more."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = len(layers)
        for name, first in layers[0]._parameters.items():
            if first is None:  # a layer without bias
                self.register_parameter(name, None)
                continue
            values = torch.stack([layer.get_parameter(name).detach() for layer in layers])
            self.register_parameter(name, nn.Parameter(values))
        for name, _ in layers[0].named_buffers():
            self.register_buffer(name, torch.stack([layer.get_buffer(name) for layer in layers]))
