"""What a training run is: network, data, optimiser, and how the weights are chosen. Frozen, so that a name means it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.training.augmentation import Augmentation


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a training run, one name for all of them.

    Attributes:
        name: what it is called.
        network: arguments of `Mnist1dConfig`.
        data: the configuration of the dataset, "default", "shuffled", "large-40k" ...; "stream": fresh samples.
        steps: optimiser steps.
        batch_size: samples a step.
        learning_rate: of the optimiser, at its highest.
        optimizer: "adam", or "adamw" (decoupled weight decay).
        schedule: "constant", or "cosine" (to zero, after a linear rise over the first twentieth).
        weight_decay: of the optimiser.
        label_smoothing: share of the target that goes to all classes alike.
        precision: "float32", or "bfloat16" for the matrix products of training (weights and evaluation stay float32):
            up to three times as fast where the processor knows it, and slow where it does not.
        shuffle: batches from a new order in each epoch; else in the stored order.
        holdout: share of the training split held out, drawn by each seed; 0 for none.
        select: "final" for the last step; "best" for the step with the best accuracy on the held-out part, the
            first of several; "loss" for that with the lowest loss there, which tells steps near 100 % apart.
        eval_every: steps between evaluations.
        synthetic: share of each batch that is put together anew from the parts of the member's own training signals
            (`training.synthesis`); 0 for none.
        augmentation: of the other training signals; None for none.
        fresh: how many samples of the stream, which no training has seen, the kept weights are also read on.
        watch_test: record the accuracy on the test split along the way (the paper's protocol); never used to choose.
        seeds: how many seeds, from 0 on, the baseline has.
        reference_accuracy: the published accuracy on the test split, in percent; None if there is none.
        source: where the protocol or the figure comes from.
    """

    name: str
    network: Mapping[str, Any]
    steps: int
    data: str = "default"
    batch_size: int = 100
    learning_rate: float = 1e-2
    optimizer: str = "adam"
    schedule: str = "constant"
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    precision: str = "float32"
    shuffle: bool = True
    holdout: float = 0.1
    select: str = "best"
    eval_every: int = 250
    synthetic: float = 0.0
    augmentation: Augmentation | None = None
    fresh: int = 0
    watch_test: bool = False
    seeds: int = 20
    reference_accuracy: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "network", MappingProxyType(dict(self.network)))
        for field, legal in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("select", SELECTIONS),
            ("precision", PRECISIONS),
        ):
            if getattr(self, field) not in legal:
                raise InvalidValueError(f"{field}: expected one of {', '.join(legal)}, found {getattr(self, field)!r}")
        if self.select != "final" and not self.holdout:
            raise InvalidValueError(
                "select: the best step is chosen on held-out data; give a holdout, or select='final'"
            )
        if self.data == "stream" and self.holdout:
            raise InvalidValueError("holdout: the stream never comes twice, so nothing is held out; give holdout=0")
        if self.data == "stream" and self.augmentation is not None:
            raise InvalidValueError("augmentation: the stream is endless and needs none; give augmentation=None")
        if not 0 <= self.synthetic <= 1:
            raise InvalidValueError(f"synthetic: expected a share from 0 to 1, found {self.synthetic}")
        if self.synthetic and self.data in ("shuffled", "stream"):
            raise InvalidValueError(f"synthetic: signals of {self.data} cannot be taken apart; give synthetic=0")

    def __reduce__(self) -> Any:  # a mapping proxy cannot be pickled
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return _restore, ({**fields, "network": dict(self.network)},)

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain types, for files."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        augmentation = None if self.augmentation is None else dataclasses.asdict(self.augmentation)
        return {**values, "network": dict(self.network), "augmentation": augmentation}

    def rate(self, step: int) -> float:
        """The learning rate of a step, 0 .. steps - 1."""
        if self.schedule == "constant":
            return self.learning_rate
        rise = max(1, self.steps // 20)
        if step < rise:
            return self.learning_rate * (step + 1) / rise
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, self.steps - rise)))


OPTIMIZERS = ("adam", "adamw")
SCHEDULES = ("constant", "cosine")
SELECTIONS = ("final", "best", "loss")
PRECISIONS = ("float32", "bfloat16")


def _restore(values: dict[str, Any]) -> Recipe:
    return Recipe(**values)
