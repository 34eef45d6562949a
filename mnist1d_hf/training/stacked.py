"""Many models of one architecture as one: every layer holds the parameters of all members along a first axis.

`stack` copies one model and replaces its layers by stacked ones. The code between the layers is the model's own. It
works on the last axes only, so tensors are (members, batch, ...) where a single model has (batch, ...). Models with
layers that cannot be stacked are computed one after the other, by `Unstacked`.

Convolutions are matrix products over all members at once. Their memory layout is (members, channels, length, batch):
the product then runs along length and batch, the long axes, where matrix libraries are fast.
`scripts/benchmark.py` compares all of this with `torch.func.vmap`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from mnist1d_hf.errors import InvalidTypeError, InvalidValueError


class Stacked(nn.Module):
    """A layer of all members. Parameters and buffers have the names of the single layer and one axis more."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = len(layers)
        stack_values(self, layers)


def stack_values(into: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Give a module the layers' own parameters and buffers, with an axis of members in front."""
    for name, first in layers[0]._parameters.items():
        values = None  # of a layer without bias
        if first is not None:
            values = nn.Parameter(torch.stack([layer.get_parameter(name).detach() for layer in layers]))
        into.register_parameter(name, values)
    for name, _ in layers[0].named_buffers(recurse=False):
        into.register_buffer(name, torch.stack([layer.get_buffer(name) for layer in layers]))


class StackedLinear(Stacked):
    """`nn.Linear` for (members, batch, features)."""

    bias: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(self.members, -1, x.shape[-1])
        return _Product.apply(flat, self.weight, self.bias).view(*x.shape[:-1], -1)


class _Product(torch.autograd.Function):
    """A linear layer of all members: (members, batch, features) in and out.

    The gradient of the weights has the memory layout of the weights. torch's own is transposed, and the optimiser
    would have to copy it, which takes longer than the product.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        dtype = _product_dtype(x)
        x, matrix = x.to(dtype), weight.to(dtype)
        ctx.save_for_backward(x, matrix)
        ctx.dtype, ctx.bias = weight.dtype, bias is not None
        transposed = matrix.transpose(1, 2)
        return torch.bmm(x, transposed) if bias is None else torch.baddbmm(bias[:, None].to(dtype), x, transposed)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, matrix = ctx.saved_tensors
        grad_x = None
        if ctx.needs_input_grad[0] and x.stride(1) == 1:
            # After convolutions the batch is the last axis in memory. Another layout of the gradient would slow down
            # the layers before.
            grad_x = torch.bmm(matrix.transpose(1, 2), gradient.transpose(1, 2)).transpose(1, 2)
        elif ctx.needs_input_grad[0]:
            grad_x = torch.bmm(gradient, matrix)
        grad_weight = torch.bmm(gradient.transpose(1, 2), x).to(ctx.dtype)
        grad_bias = gradient.sum(1).to(ctx.dtype) if ctx.bias else None
        return grad_x, grad_weight, grad_bias


def _product_dtype(x: Tensor) -> torch.dtype:
    """The dtype of matrix products: that of autocast where it is on."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class StackedPReLU(Stacked):
    """`nn.PReLU` with one slope for (members, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        slope = self.weight.to(x.dtype).view(self.members, *[1] * (x.dim() - 1))
        return torch.relu(x) - slope * torch.relu(-x)  # four times as fast as torch.where and torch.prelu


class StackedBatchNorm1d(Stacked):
    """`nn.BatchNorm1d` for (members, batch, channels) and (members, batch, channels, length)."""

    def __init__(self, layers: Sequence[nn.BatchNorm1d]) -> None:
        super().__init__(layers)
        if layers[0].momentum is None or not layers[0].track_running_stats or not layers[0].affine:
            raise InvalidValueError("batch norm: expected a momentum, running statistics and weights")
        self.momentum, self.eps = layers[0].momentum, layers[0].eps

    def forward(self, x: Tensor) -> Tensor:
        inner = x.movedim(1, -1)
        # Each channel of each member is a channel; the mean is over batch and length.
        y = functional.batch_norm(
            inner.reshape(1, self.members * inner.shape[1], -1),
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.weight.view(-1),
            self.bias.view(-1),
            self.training,
            self.momentum,
            self.eps,
        ).view(inner.shape)
        if self.training:
            self.num_batches_tracked += 1
        return y.movedim(-1, 1)


class StackedDropout(Stacked):
    """`nn.Dropout` with a generator for each member, on the CPU: its masks do not depend on the other members."""

    def __init__(self, layers: Sequence[nn.Dropout]) -> None:
        super().__init__(layers)
        self.p = layers[0].p
        self.generators: list[torch.Generator] = []

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        # Drawn where the generators are, on the CPU: they refuse to draw on another device.
        draws = torch.stack([torch.rand(x.shape[1:], generator=generator) for generator in self.generators])
        return x * (draws.to(x.device) >= self.p) / (1 - self.p)


class StackedConv1d(Stacked):
    """`nn.Conv1d` for (members, batch, channels, length)."""

    def __init__(self, layers: Sequence[nn.Conv1d]) -> None:
        super().__init__(layers)
        first = layers[0]
        if first.groups != 1:
            raise InvalidValueError(f"groups: expected convolutions without groups, found {first.groups}")
        if isinstance(first.padding, str) or first.padding_mode not in ("zeros", "circular"):
            raise InvalidValueError(f"padding: expected numbers of zeros or circular, found {first.padding_mode}")
        self.kernel, self.stride, self.dilation = first.kernel_size[0], first.stride[0], first.dilation[0]
        self.padding, self.circular = first.padding[0], first.padding_mode == "circular"
        self._scratch = _Scratch()

    def forward(self, x: Tensor) -> Tensor:
        inner = x.permute(0, 2, 3, 1)
        if self.padding and self.circular:
            inner = torch.cat([inner[:, :, -self.padding :], inner, inner[:, :, : self.padding]], dim=2)
        elif self.padding:
            inner = functional.pad(inner, (0, 0, self.padding, self.padding))
        geometry = (self.kernel, self.stride, self.dilation)
        scratch = self._scratch if self.training and torch.is_grad_enabled() else _Scratch()
        return _Convolution.apply(inner, self.weight, self.bias, geometry, scratch).permute(0, 3, 1, 2)


class _Scratch:
    """Memory that a layer keeps from step to step: allocating it again would take half of the time."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def __deepcopy__(self, memo: Any) -> _Scratch:
        return _Scratch()

    def get(self, name: str, shape: tuple[int, ...], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        dtype = dtype or like.dtype
        kept = self._kept.get(name)
        if kept is None or kept.shape != shape or kept.dtype != dtype or kept.device != like.device:
            kept = self._kept[name] = like.new_empty(shape, dtype=dtype)
        return kept


class _Convolution(torch.autograd.Function):
    """A convolution without padding as a matrix product: (members, channels, length, batch) in and out."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: tuple[int, ...], scratch: _Scratch
    ) -> Tensor:
        kernel, stride, dilation = geometry
        members, channels, length, batch = x.shape
        reach = length - dilation * (kernel - 1)  # points that can be the first of a window
        out = (reach - 1) // stride + 1
        dtype = _product_dtype(x)
        columns = scratch.get("columns", (members, channels, kernel, out, batch), x, dtype)
        taps = [slice(dilation * tap, dilation * tap + reach, stride) for tap in range(kernel)]
        for tap, source in enumerate(taps):
            columns[:, :, tap] = x[:, :, source]
        flat = columns.view(members, channels * kernel, out * batch)
        matrix = weight.reshape(members, -1, channels * kernel).to(dtype)
        y = torch.bmm(matrix, flat) if bias is None else torch.baddbmm(bias[:, :, None].to(dtype), matrix, flat)
        ctx.save_for_backward(flat, weight)
        ctx.shape, ctx.taps, ctx.scratch, ctx.bias = x.shape, taps, scratch, bias is not None
        return y.view(members, -1, out, batch)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        flat, weight = ctx.saved_tensors
        members, channels, _, batch = ctx.shape
        out = gradient.shape[2]
        gradient = gradient.reshape(members, weight.shape[1], -1)
        grad_weight = torch.bmm(gradient, flat.transpose(1, 2)).view_as(weight).to(weight.dtype)
        grad_bias = gradient.sum(-1) if ctx.bias else None
        grad_x = None
        if ctx.needs_input_grad[0]:
            matrix = weight.reshape(members, weight.shape[1], -1).transpose(1, 2).to(gradient.dtype)
            parts = ctx.scratch.get("parts", (members, matrix.shape[1], gradient.shape[2]), gradient)
            torch.bmm(matrix, gradient, out=parts)
            parts = parts.view(members, channels, -1, out, batch)
            grad_x = gradient.new_zeros(ctx.shape)
            for tap, source in enumerate(ctx.taps):
                grad_x[:, :, source] += parts[:, :, tap]
        return grad_x, grad_weight, grad_bias, None, None


class StackedGRU(Stacked):
    """`nn.GRU(batch_first=True)` for (members, batch, steps, features); returns the outputs of all steps and None.

    Both directions are members, too: a reversed direction reads the reversed signal.
    """

    def __init__(self, layers: Sequence[nn.GRU]) -> None:
        super().__init__(layers)
        first = layers[0]
        if not first.batch_first or not first.bias or first.num_layers > 1:
            raise InvalidValueError("gru: expected batch_first=True, bias=True and one layer")
        self.suffixes = ["_l0", "_l0_reverse"] if first.bidirectional else ["_l0"]

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        weights = {
            name: torch.cat([self.get_parameter(name + suffix) for suffix in self.suffixes])
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
        members, batch, steps, features = x.shape
        directions = len(self.suffixes)
        both = torch.cat([x, x.flip(2)][:directions])  # (directions * members, batch, steps, features)
        flat = both.transpose(1, 2).reshape(len(both), steps * batch, features)
        inputs = torch.baddbmm(weights["bias_ih"][:, None], flat, weights["weight_ih"].transpose(1, 2))
        inputs = inputs.view(len(both), steps, batch, -1).transpose(0, 1)
        states = _Recurrence.apply(inputs, weights["weight_hh"], weights["bias_hh"])  # (steps, both, batch, hidden)
        parts = [states[:, :members], states[:, members:].flip(0)][:directions]
        return torch.cat(parts, dim=-1).permute(1, 2, 0, 3), None


class _Recurrence(torch.autograd.Function):
    """From the inputs' part of the gates (steps, members, batch, 3 * hidden) to the states, starting from zero.

    Source of the equations: the documentation of `torch.nn.GRU` (Cho et al. 2014, arXiv 1406.1078).
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        steps, members, batch, triple = inputs.shape
        hidden = triple // 3
        states = inputs.new_zeros(steps + 1, members, batch, hidden)
        gates = inputs.new_empty(inputs.shape)  # reset, update, new
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


_STACKED: dict[type[nn.Module], Callable[[Sequence[Any]], Stacked]] = {
    nn.Linear: StackedLinear,
    nn.Conv1d: StackedConv1d,
    nn.GRU: StackedGRU,
    nn.PReLU: StackedPReLU,
    nn.BatchNorm1d: StackedBatchNorm1d,
    nn.Dropout: StackedDropout,
}


def stack(networks: Sequence[nn.Module]) -> nn.Module:
    """One network that computes what all of these do: (members, batch, ...) in and out.

    Args:
        networks: of the same architecture; they are not changed.

    Raises:
        InvalidTypeError: a layer with parameters of a type that cannot be stacked.

    >>> both = stack([nn.Sequential(nn.Linear(4, 3), nn.ReLU()) for _ in range(2)])
    >>> both(torch.zeros(2, 5, 4)).shape
    torch.Size([2, 5, 3])
    """
    made = copy.deepcopy(networks[0])
    if type(made) in _STACKED:
        return _STACKED[type(made)](networks)
    for name, module in networks[0].named_modules():
        if type(module) in _STACKED:
            layers = [network.get_submodule(name) for network in networks]
            made.set_submodule(name, _STACKED[type(module)](layers))
        elif next(module.parameters(recurse=False), None) is not None:
            raise InvalidTypeError(f"{name or 'network'}: {type(module).__name__} cannot be stacked")
    return made


def set_generators(stacked: nn.Module, generators: list[torch.Generator]) -> None:
    """Give the generators, one for each member, to the layers that draw random numbers."""
    for module in stacked.modules():
        if isinstance(getattr(module, "generators", None), list):
            module.generators = generators


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
