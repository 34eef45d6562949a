"""What a training run is: network, data, optimiser, and how the weights are chosen. Frozen: a name means one thing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.training.augmentation import Augmentation
from mnist1d_hf.training.ensemble import Procedure


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a training run, one name for all of them.

    Attributes:
        name: what it is called.
        network: arguments of `Mnist1dConfig`.
        data: the configuration of the dataset, "default", "shuffled", "large-40k" ...; "stream": fresh samples.
        steps, batch_size, learning_rate, optimizer, schedule, weight_decay, label_smoothing, shuffle: as in
            `Procedure`.
        precision: "float32", or "bfloat16" for the matrix products of training (weights and evaluation stay float32):
            up to three times as fast on processors that support it, and slow on others.
        holdout: fraction of the training split that is held out, drawn by each seed; 0 for none.
        select: "final" for the last step; "best" for the first step with the best accuracy on the held-out part.
        eval_every: steps between evaluations.
        synthetic: fraction of each batch that is made from the parts of the member's own training signals
            (`training.synthesis`); 0 for none.
        augmentation: of the other training signals; None for none.
        fresh: how many samples of the stream, which no training has seen, the kept weights are also evaluated on.
        watch_test: record the accuracy on the test split along the way (the paper's protocol); never used to choose.
        seeds: how many seeds, from 0 on, the baseline has.
        reference_accuracy: the published accuracy on the test split, in percent; None if there is none.
        source: where the protocol or the published accuracy comes from.

    Raises:
        InvalidValueError: an unknown choice, or settings that contradict one another.
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
        _ = self.procedure  # checks what both have in common
        if self.select not in ("final", "best"):
            raise InvalidValueError(f"select: expected 'final' or 'best', found {self.select!r}")
        if self.select == "best" and not self.holdout:
            raise InvalidValueError(
                "select: the best step is chosen on held-out data; give a holdout, or select='final'"
            )
        if self.data == "stream" and self.holdout:
            raise InvalidValueError("holdout: the stream has no rows to hold out; give holdout=0")
        if self.data == "stream" and self.augmentation is not None:
            raise InvalidValueError("augmentation: the stream is endless and needs none; give augmentation=None")
        if not 0 <= self.synthetic <= 1:
            raise InvalidValueError(f"synthetic: expected a fraction from 0 to 1, found {self.synthetic}")
        if self.synthetic and self.data in ("shuffled", "stream"):
            raise InvalidValueError(f"synthetic: signals of {self.data} cannot be taken apart; give synthetic=0")

    @property
    def procedure(self) -> Procedure:
        """The part of the recipe that the training loop follows."""
        shared = {field.name for field in dataclasses.fields(Procedure)} & vars(self).keys()
        return Procedure(**{name: getattr(self, name) for name in shared})

    def to_dict(self) -> dict[str, Any]:
        """All attributes in plain types, for files."""
        return dataclasses.asdict(self)
