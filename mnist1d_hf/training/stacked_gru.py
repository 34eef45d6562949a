"""`nn.GRU` of many members at once, with the backward pass written out.

Both directions are members, too: a reversed direction reads the reversed signal. Source of the equations: the
documentation of `torch.nn.GRU` (Cho et al. 2014, arXiv 1406.1078).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.training.stacked_base import Stacked


class StackedGRU(Stacked):
    """`nn.GRU(batch_first=True)` for (members, batch, steps, features); returns the outputs of all steps and None."""

    def __init__(self, layers: Sequence[nn.GRU]) -> None:
        super().__init__(layers)
        first = layers[0]
        if not first.batch_first or not first.bias or (first.dropout and first.num_layers > 1):
            raise InvalidValueError("gru: expected batch_first=True, bias=True and no dropout between its layers")
        self.num_layers, self.directions = first.num_layers, 2 if first.bidirectional else 1

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        for layer in range(self.num_layers):
            x = self._layer(x, layer)
        return x, None

    def _layer(self, x: Tensor, layer: int) -> Tensor:
        suffixes = [f"_l{layer}", f"_l{layer}_reverse"][: self.directions]
        weights = {
            name: torch.cat([self.get_parameter(name + suffix) for suffix in suffixes])
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        members, batch, steps, features = x.shape
        both = torch.cat([x, x.flip(2)][: self.directions])  # (directions * members, batch, steps, features)
        flat = both.transpose(1, 2).reshape(len(both), steps * batch, features)
        inputs = torch.baddbmm(weights["bias_ih"][:, None], flat, weights["weight_ih"].transpose(1, 2))
        inputs = inputs.view(len(both), steps, batch, -1).transpose(0, 1)
        states = _Recurrence.apply(inputs, weights["weight_hh"], weights["bias_hh"])  # (steps, both, batch, hidden)
        parts = [states[:, :members], states[:, members:].flip(0)][: self.directions]
        return torch.cat(parts, dim=-1).permute(1, 2, 0, 3)


class _Recurrence(torch.autograd.Function):
    """From the inputs' part of the gates (steps, members, batch, 3 * hidden) to the states, starting from zero."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        steps, members, batch, triple = inputs.shape
        hidden = triple // 3
        states = inputs.new_zeros(steps + 1, members, batch, hidden)
        gates = inputs.new_empty(steps, members, batch, 3 * hidden)  # reset, update, new
        own = inputs.new_empty(steps, members, batch, hidden)  # the state's part of the new gate
        matrix, bias = weight.transpose(1, 2).contiguous(), bias[:, None]
        for step in range(steps):
            recurrent = torch.baddbmm(bias, states[step], matrix)
            gate, new = gates[step], gates[step, ..., 2 * hidden :]
            torch.add(inputs[step, ..., : 2 * hidden], recurrent[..., : 2 * hidden], out=gate[..., : 2 * hidden])
            gate[..., : 2 * hidden].sigmoid_()
            own[step] = recurrent[..., 2 * hidden :]
            torch.addcmul(inputs[step, ..., 2 * hidden :], gate[..., :hidden], own[step], out=new)
            new.tanh_()
            torch.lerp(new, states[step], gate[..., hidden : 2 * hidden], out=states[step + 1])
        ctx.save_for_backward(states, gates, own, weight)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states, gates, own, weight = ctx.saved_tensors
        hidden = states.shape[-1]
        reset, update, new = gates.split(hidden, dim=-1)
        # Factors that do not depend on the gradient, for all steps at once.
        factor_new = (1 - update) * (1 - new * new)
        factor_update = (states[:-1] - new) * update * (1 - update)
        factor_reset = factor_new * own * reset * (1 - reset)
        grad_inputs, grad_recurrent = torch.empty_like(gates), torch.empty_like(gates)
        carried = torch.zeros_like(states[0])
        for step in reversed(range(len(gates))):
            carried = carried + grad_states[step]
            grad_input, grad_state = grad_inputs[step], grad_recurrent[step]
            torch.mul(carried, factor_reset[step], out=grad_input[..., :hidden])
            torch.mul(carried, factor_update[step], out=grad_input[..., hidden : 2 * hidden])
            torch.mul(carried, factor_new[step], out=grad_input[..., 2 * hidden :])
            grad_state.copy_(grad_input)
            grad_state[..., 2 * hidden :] *= reset[step]
            carried = torch.baddbmm(carried * update[step], grad_state, weight)
        flat = grad_recurrent.permute(1, 3, 0, 2).flatten(2)  # (members, 3 * hidden, steps * batch)
        before = states[:-1].permute(1, 0, 2, 3).flatten(1, 2)
        return grad_inputs, torch.bmm(flat, before), flat.sum(-1)
