"""Networks of one architecture trained side by side: stacked networks, a loss, an optimiser, and one loop.

Each member may have signals, labels and masks of its own. Members never influence one another. The studies use an
`Ensemble` directly; a `Population` adds what a recipe asks for: validation, the choice of a step, results.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.training.batches import Batches, Rows
from mnist1d_hf.training.losses import cross_entropy
from mnist1d_hf.training.stacked import set_generators, side_by_side

M = TypeVar("M", bound=nn.Module)

LOSSES = ("cross-entropy", "squared-error")
_CHOICES = {
    "optimizer": ("adam", "adamw", "sgd"),
    "loss": LOSSES,
    "precision": ("float32", "bfloat16"),
    "schedule": ("constant", "cosine"),
}
_EVALUATED = 1000  # samples of each member that are evaluated at a time


@dataclasses.dataclass(frozen=True)
class Procedure:
    """How networks are trained.

    Attributes:
        steps: of the optimiser.
        batch_size: samples a step; all of them in each step where there are not more.
        learning_rate: of the optimiser, at its highest.
        optimizer: "adam", "adamw" (decoupled weight decay) or "sgd".
        momentum: of sgd.
        weight_decay: of the optimiser.
        loss: "cross-entropy"; or "squared-error": (logits - one-hot label)², its mean over samples and classes.
        shuffle: a new order in each epoch, of its own for each member; else the stored order.
        precision: "float32", or "bfloat16" for the matrix products of training.
        schedule: of the learning rate: "constant", or "cosine" (to zero, after a linear rise over the first twentieth).
        label_smoothing: fraction of the target that is spread over all classes; cross-entropy only.

    Raises:
        InvalidValueError: an unknown optimizer, loss, precision or schedule.
    """

    steps: int
    batch_size: int = 100
    learning_rate: float = 1e-2
    optimizer: str = "adam"
    momentum: float = 0.0
    weight_decay: float = 0.0
    loss: str = "cross-entropy"
    shuffle: bool = False
    precision: str = "float32"
    schedule: str = "constant"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        for field, legal in _CHOICES.items():
            if getattr(self, field) not in legal:
                raise InvalidValueError(f"{field}: expected one of {', '.join(legal)}, found {getattr(self, field)!r}")

    def rate(self, step: int) -> float:
        """The learning rate of a step, 0 .. steps - 1.

        >>> procedure = Procedure(steps=100, learning_rate=0.1, schedule="cosine")
        >>> [round(procedure.rate(step), 3) for step in (0, 4, 50, 99)]
        [0.02, 0.1, 0.054, 0.0]
        """
        if self.schedule == "constant":
            return self.learning_rate
        rise = max(1, self.steps // 20)
        if step < rise:
            return self.learning_rate * (step + 1) / rise
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, self.steps - rise)))


class Scores(NamedTuple):
    """Mean loss and fraction of correct predictions of each member; float64 (members,)."""

    loss: NDArray[Any]
    accuracy: NDArray[Any]


class Ensemble:
    """Some networks in training.

    Args:
        networks: of one architecture, one member each; they are not changed.
        procedure: how to train.
        x: float (rows, length), or (members, rows, length) where each member has signals of its own.
        label: int (rows,) or (members, rows).
        seeds: of the members' random numbers (orders, dropout); by default their positions in `networks`.
        masks: by the name of a parameter, 0 or 1 for each of its entries (members, ...) or (...): where it is 0 the
            entry is set to 0 and stays 0.
        device: where to train.

    Attributes:
        network: all members as one network, (members, batch, length) -> (members, batch, classes).
        batches: where the batches come from; may be replaced before the first step.
        generators: of random numbers, one for each member; on the CPU, whatever the device.
        step: how many steps are done.
        finite: whether the loss has been finite in every step, bool (members,).

    Raises:
        InvalidValueError: numbers of members or shapes that do not agree, or a mask of no parameter.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        procedure: Procedure,
        x: Any,
        label: Any,
        *,
        seeds: Sequence[int] | None = None,
        masks: Mapping[str, Tensor] | None = None,
        device: str = "cpu",
    ) -> None:
        self.procedure, self.device, self.members = procedure, torch.device(device), len(networks)
        seeds = list(range(self.members)) if seeds is None else list(seeds)
        signals, labels = self.shared(x, 2).float(), self.shared(label, 1)
        if signals.shape[:2] != labels.shape or len(signals) != self.members or len(seeds) != self.members:
            raise InvalidValueError(
                f"expected signals, labels and seeds of {self.members} members, found shapes "
                f"{tuple(signals.shape)} and {tuple(labels.shape)}, and {len(seeds)} seeds"
            )
        self.network = side_by_side(networks).to(self.device)
        self.generators = [torch.Generator().manual_seed(2**32 + seed) for seed in seeds]
        set_generators(self.network, self.generators)
        self.batches: Batches = Rows(signals, labels, self.generators, procedure.batch_size, shuffle=procedure.shuffle)
        self.optimizer = _optimizer(procedure, self.network.parameters())
        self.step, self.finite = 0, torch.ones(self.members, dtype=torch.bool, device=self.device)
        self._masks = self._checked(masks or {})
        with torch.no_grad():
            for parameter, mask in self._masks:
                parameter.mul_(mask)

    def run(self, until: int | None = None, report: Callable[[int], object] | None = None) -> None:
        """Train up to a step, by default the last one; `report` is called with 1 after each."""
        until = self.procedure.steps if until is None else min(until, self.procedure.steps)
        self.network.train()
        while self.step < until:
            for group in self.optimizer.param_groups:
                group["lr"] = self.procedure.rate(self.step)
            self.optimizer.zero_grad(set_to_none=True)
            self.finite &= self.backward(*self.batches.next(self.step)).isfinite()
            self.optimizer.step()
            self.step += 1
            if report is not None:
                report(1)

    def backward(self, x: Tensor, label: Tensor) -> Tensor:
        """Compute the gradients of a batch (members, batch, length). Returns the loss of each member (members,)."""
        bfloat16 = self.procedure.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            loss = self.losses(x, label)
        loss.sum().backward()
        for parameter, mask in self._masks:
            assert parameter.grad is not None
            parameter.grad *= mask
        return loss.detach()

    def losses(self, x: Tensor, label: Tensor) -> Tensor:
        """The loss of each member (members,) on a batch (members, batch, length). Subclasses may define another one."""
        logits = self.network(x).float()
        if self.procedure.loss == "cross-entropy":
            return cross_entropy(logits, label, self.procedure.label_smoothing)
        return sample_losses(logits, label, self.procedure.loss).mean(1)

    def logits(self, x: Any) -> Tensor:
        """The networks' outputs (members, rows, classes) for signals (rows, length) or (members, rows, length)."""
        signals = self.shared(x, 2).float()
        self.network.eval()
        with torch.no_grad():
            return torch.cat([self.network(part) for part in signals.split(_EVALUATED, dim=1)], dim=1)

    def scores(self, x: Any, label: Any) -> Scores:
        """Loss and accuracy of each member; signals and labels as in the constructor."""
        logits, truth = self.logits(x), self.shared(label, 1)
        loss = sample_losses(logits, truth, self.procedure.loss).double().mean(1)
        accuracy = (logits.argmax(-1) == truth).double().mean(1)
        return Scores(loss.cpu().numpy(), accuracy.cpu().numpy())

    def shared(self, values: Any, axes: int) -> Tensor:
        """Values as a tensor with an axis of members in front; all members share values that have only `axes` axes."""
        tensor = torch.as_tensor(values, device=self.device)
        return tensor.expand(self.members, *tensor.shape) if tensor.dim() == axes else tensor

    def state(self) -> dict[str, Any]:
        """All that the training depends on, as tensors in dicts and lists. They change as the training goes on."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generators": [generator.get_state() for generator in self.generators],
            "order": self.batches.order,
            "finite": self.finite,
            "step": self.step,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned, for the same networks, procedure and data."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        for generator, values in zip(self.generators, state["generators"], strict=True):
            generator.set_state(values)
        self.batches.order, self.finite, self.step = state["order"], state["finite"].to(self.device), state["step"]

    def _checked(self, masks: Mapping[str, Tensor]) -> list[tuple[nn.Parameter, Tensor]]:
        """Pairs of a parameter and its mask."""
        parameters = dict(self.network.named_parameters())
        for name, mask in masks.items():
            if name not in parameters:
                raise InvalidValueError(f"masks: no parameter {name!r}; expected one of {', '.join(parameters)}")
            shape = parameters[name].shape
            if mask.shape not in (shape, shape[1:]):
                raise InvalidValueError(f"masks: {name}: expected shape {tuple(shape)}, found {tuple(mask.shape)}")
        return [(parameters[name], mask.to(parameters[name])) for name, mask in masks.items()]


def seeded(build: Callable[[], M], seed: int) -> M:
    """Call `build` with torch's random numbers seeded; the global state is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def sample_losses(logits: Tensor, label: Tensor, kind: str) -> Tensor:
    """The loss of every sample (members, batch), from logits (members, batch, classes) and labels (members, batch)."""
    if kind == "squared-error":
        return (logits - functional.one_hot(label, logits.shape[-1])).square().mean(-1)
    flat = functional.cross_entropy(logits.flatten(0, 1), label.flatten(), reduction="none")
    return flat.view(label.shape)


def _optimizer(procedure: Procedure, parameters: Any) -> torch.optim.Optimizer:
    options: dict[str, Any] = {"lr": procedure.learning_rate, "weight_decay": procedure.weight_decay, "fused": True}
    if procedure.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=procedure.momentum, **options)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[procedure.optimizer](parameters, **options)
