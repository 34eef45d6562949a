"""Where the batches of a population come from: the rows of a dataset, or fresh samples of the stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist1d_hf.data.stream import sample
from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.training.recipe import Recipe
from mnist1d_hf.training.synthesis import analyse

_DRAWN = 16  # batches of fresh samples that are drawn at a time


class Rows:
    """Rows of a training split: each member has its own held-out part and its own order.

    Args:
        x: signals (n, length), or (members, n, length) where each member has a training split of its own.
        label: (n,) or (members, n).

    Attributes:
        held_out: rows (members, count) that a member is not trained on.
    """

    def __init__(
        self, recipe: Recipe, seeds: Sequence[int], x: Tensor, label: Tensor, generators: list[torch.Generator]
    ) -> None:
        own = x.dim() == 3
        if own and len(x) != len(seeds):
            raise InvalidValueError(f"signals: expected those of {len(seeds)} seeds, found those of {len(x)}")
        self.recipe, self.generators, rows = recipe, generators, x.shape[-2]
        self.x, self.label = (x.flatten(0, 1), label.flatten()) if own else (x, label)
        first = rows * torch.arange(len(seeds))[:, None] if own else 0  # the members' splits lie behind one another
        count = round(recipe.holdout * rows)
        orders = torch.stack(
            [torch.randperm(rows, generator=torch.Generator().manual_seed(2**33 + seed)) for seed in seeds]
        )
        self.held_out = orders[:, :count].sort(dim=1).values + first
        kept = orders[:, count:].sort(dim=1).values if count else torch.arange(rows).expand(len(seeds), rows)
        self.kept = kept + first
        self.order = torch.empty(len(seeds), 0, dtype=torch.long)

    def next(self, step: int) -> tuple[Tensor, Tensor]:
        """Signals (members, batch, length) and labels (members, batch) of a step, counted from 0."""
        rows = self._rows(step).to(self.x.device)
        return self._signals(rows), self.label[rows]

    def _signals(self, rows: Tensor) -> Tensor:
        """The signals of these rows, varied where the recipe says so."""
        x = self.x[rows]
        return x if self.recipe.augmentation is None else self.recipe.augmentation(x, self.generators)

    def _rows(self, step: int) -> Tensor:
        size = self.recipe.batch_size
        if not self.recipe.shuffle:
            places = torch.arange(step * size, (step + 1) * size) % self.kept.shape[1]
            return self.kept[:, places]
        if self.order.shape[1] < size:  # a new epoch; what is left over of the last one is not used
            count = self.kept.shape[1]
            fresh = torch.stack([torch.randperm(count, generator=generator) for generator in self.generators])
            self.order = self.kept.gather(1, fresh)
        rows, self.order = self.order[:, :size], self.order[:, size:]
        return rows

    def validation(self) -> tuple[Tensor, Tensor]:
        """The held-out signals and labels of each member."""
        rows = self.held_out.to(self.x.device)
        return self.x[rows], self.label[rows]

    def state(self) -> dict[str, Tensor]:
        """What the next batches depend on, beside the generators."""
        return {"order": self.order}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self.order = state["order"].clone()


class Synthetic(Rows):
    """Rows, of which a share in each batch gives way to signals made from the parts of the member's own rows."""

    def __init__(
        self, recipe: Recipe, seeds: Sequence[int], x: Tensor, label: Tensor, generators: list[torch.Generator]
    ) -> None:
        super().__init__(recipe, seeds, x, label, generators)
        self.made = round(recipe.synthetic * recipe.batch_size)
        self.parts = [analyse(self.x[rows].cpu(), self.label[rows].cpu()) for rows in self.kept]

    def next(self, step: int) -> tuple[Tensor, Tensor]:
        """Signals (members, batch, length) and labels (members, batch) of a step, counted from 0."""
        drawn = [parts.draw(self.made, generator) for parts, generator in zip(self.parts, self.generators, strict=True)]
        x, label = (torch.stack(tensors).to(self.x.device) for tensors in zip(*drawn, strict=True))
        if self.made == self.recipe.batch_size:
            return x, label
        rows = self._rows(step)[:, self.made :].to(self.x.device)
        return torch.cat([x, self._signals(rows)], dim=1), torch.cat([label, self.label[rows]], dim=1)


class Fresh:
    """Samples of the endless stream, each used once: a member of seed s reads the stream of seed s from its start."""

    def __init__(self, recipe: Recipe, seeds: Sequence[int], device: torch.device) -> None:
        self.size, self.seeds, self.device = recipe.batch_size, list(seeds), device
        self.first, self.drawn = 0, (torch.empty(0), torch.empty(0))

    def next(self, step: int) -> tuple[Tensor, Tensor]:
        """Signals (members, batch, length) and labels (members, batch) of a step, counted from 0."""
        place = step * self.size - self.first
        if place < 0 or not self.drawn[0].numel() or place + self.size > self.drawn[0].shape[1]:
            self.first, place = step * self.size, 0
            many = [sample(range(self.first, self.first + _DRAWN * self.size), seed) for seed in self.seeds]
            self.drawn = (self._stacked([x for x, _ in many]), self._stacked([label for _, label in many]))
        return self.drawn[0][:, place : place + self.size], self.drawn[1][:, place : place + self.size]

    def _stacked(self, arrays: list[NDArray[np.generic]]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(self.device)

    def state(self) -> dict[str, Tensor]:
        """Nothing: the step says it all."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Nothing to do."""
