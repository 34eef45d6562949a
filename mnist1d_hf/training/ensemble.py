"""Networks of one architecture trained side by side, each on labels, rows and masks of its own: for the studies.

Where a `Population` follows a recipe (validation, choice of the step, checkpoints), an `Ensemble` is the bare loop:
stacked networks, a loss, an optimiser. Members never influence one another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.training.losses import cross_entropy
from mnist1d_hf.training.stacked import set_generators, stack

M = TypeVar("M", bound=nn.Module)

OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")
LOSSES = ("cross-entropy", "squared-error")
_EVALUATED = 1000  # samples of each member that are evaluated at a time


@dataclasses.dataclass(frozen=True)
class Procedure:
    """How networks are trained.

    Attributes:
        steps: of the optimiser.
        batch_size: samples a step; all of them in each step where there are not more.
        learning_rate: of the optimiser.
        optimizer: "adam", "adamw", "sgd" or "rmsprop".
        momentum: of sgd and rmsprop.
        weight_decay: of the optimiser.
        loss: "cross-entropy"; or "squared-error": (logits - one-hot label)², its mean over samples and classes.
        shuffle: batches from a new order in each epoch, of its own for each member; else in the stored order.
        precision: "float32", or "bfloat16" for the matrix products of training.
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

    def __post_init__(self) -> None:
        for field, legal in (
            ("optimizer", OPTIMIZERS),
            ("loss", LOSSES),
            ("precision", ("float32", "bfloat16")),
        ):
            if getattr(self, field) not in legal:
                raise InvalidValueError(f"{field}: expected one of {', '.join(legal)}, found {getattr(self, field)!r}")


class Scores(NamedTuple):
    """Of each member: mean loss and share of right answers; float64 (members,)."""

    loss: NDArray[Any]
    accuracy: NDArray[Any]


class Ensemble:
    """Some networks in training.

    Args:
        networks: of one architecture, one member each; they are not changed.
        procedure: what to do.
        x: float (rows, length), or (members, rows, length) where each member has signals of its own.
        label: int (rows,) or (members, rows).
        seeds: of the members' orders and other random numbers; by default their places.
        masks: by the name of a parameter, 0 or 1 for each of its entries (members, ...) or (...): where it is 0 the
            entry is 0 and stays it.
        vary: makes new training signals of (members, batch, length) in every step, from the members' sources of
            random numbers; an `Augmentation`, for example.
        device: where to train.
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
        vary: Callable[[Tensor, list[torch.Generator]], Tensor] | None = None,
        device: str = "cpu",
    ) -> None:
        self.procedure, self.device, self.vary = procedure, torch.device(device), vary
        self.members = len(networks)
        self.seeds = list(range(self.members)) if seeds is None else list(seeds)
        self.x, self.label = self.shared(x, 2).float(), self.shared(label, 1)
        if self.x.shape[:2] != self.label.shape or self.x.shape[0] != self.members or len(self.seeds) != self.members:
            raise InvalidValueError(
                f"expected signals, labels and seeds of {self.members} members, found shapes "
                f"{tuple(self.x.shape)} and {tuple(self.label.shape)}, and {len(self.seeds)} seeds"
            )
        self.network = stack(networks).to(self.device)
        self.generators = [torch.Generator().manual_seed(2**32 + seed) for seed in self.seeds]
        set_generators(self.network, self.generators)
        self.masks = self._checked(masks or {})
        self.optimizer = _optimizer(procedure, self.network.parameters())
        self.step = 0
        self._order = torch.empty(self.members, 0, dtype=torch.long)
        self._member = torch.arange(self.members)[:, None]
        self._mask()

    def run(self, until: int | None = None, report: Callable[[int], object] | None = None) -> None:
        """Train up to a step, by default the last one; `report` is called with 1 after each."""
        until = self.procedure.steps if until is None else min(until, self.procedure.steps)
        self.network.train()
        while self.step < until:
            x, label = self._batch()
            if self.vary is not None:
                x = self.vary(x, self.generators)
            bfloat16 = self.procedure.precision == "bfloat16"
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
                loss = self.losses(x, label)
            self.optimizer.zero_grad(set_to_none=True)
            loss.sum().backward()
            for parameter, mask in self.masks:
                assert parameter.grad is not None
                parameter.grad *= mask
            self.optimizer.step()
            self.step += 1
            if report is not None:
                report(1)

    def losses(self, x: Tensor, label: Tensor) -> Tensor:
        """The loss of each member (members,) on a batch (members, batch, length); to be overridden for other aims."""
        logits = self.network(x).float()
        if self.procedure.loss == "cross-entropy":
            return cross_entropy(logits, label)
        return sample_losses(logits, label, self.procedure.loss).mean(1)

    def logits(self, x: Any) -> Tensor:
        """What the networks give for signals (rows, length) or (members, rows, length): (members, rows, classes)."""
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
        """Values as a tensor with an axis of members in front; without one of their own, all members have the same.

        Args:
            values: array or tensor with `axes` axes, or one more.
        """
        tensor = torch.as_tensor(np.asarray(values) if not isinstance(values, Tensor) else values).to(self.device)
        return tensor.expand(self.members, *tensor.shape) if tensor.dim() == axes else tensor

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Signals (members, batch, length) and labels (members, batch) of the next step."""
        size, rows = self.procedure.batch_size, self.x.shape[1]
        if size >= rows:
            return self.x, self.label
        if not self.procedure.shuffle:
            first = self.step * size % rows
            if first + size <= rows:
                return self.x[:, first : first + size], self.label[:, first : first + size]
            places = torch.arange(first, first + size) % rows
            return self.x[:, places], self.label[:, places]
        if self._order.shape[1] < size:  # a new epoch; what is left over of the last one is not used
            self._order = torch.stack([torch.randperm(rows, generator=generator) for generator in self.generators])
        chosen, self._order = self._order[:, :size], self._order[:, size:]
        return self.x[self._member, chosen], self.label[self._member, chosen]

    def _checked(self, masks: Mapping[str, Tensor]) -> list[tuple[nn.Parameter, Tensor]]:
        parameters = dict(self.network.named_parameters())
        pairs = []
        for name, mask in masks.items():
            if name not in parameters:
                raise InvalidValueError(f"masks: no parameter {name!r}; expected one of {', '.join(parameters)}")
            parameter = parameters[name]
            if mask.shape not in (parameter.shape, parameter.shape[1:]):
                raise InvalidValueError(
                    f"masks: {name}: expected shape {tuple(parameter.shape)}, found {tuple(mask.shape)}"
                )
            pairs.append((parameter, mask.to(parameter)))
        return pairs

    def _mask(self) -> None:
        with torch.no_grad():
            for parameter, mask in self.masks:
                parameter.mul_(mask)


def seeded(build: Callable[[], M], seed: int) -> M:
    """What `build` makes from torch's random numbers of a seed. The global state is left as it was.

    >>> one, other = (seeded(lambda: nn.Linear(2, 1), 3).weight for _ in range(2))
    >>> torch.equal(one, other)
    True
    """
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
    rate, decay, momentum = procedure.learning_rate, procedure.weight_decay, procedure.momentum
    if procedure.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=momentum, weight_decay=decay, fused=True)
    if procedure.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=rate, momentum=momentum, weight_decay=decay)
    kind = torch.optim.AdamW if procedure.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, lr=rate, weight_decay=decay, fused=True)
