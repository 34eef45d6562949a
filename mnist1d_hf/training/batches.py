"""Where the batches of an ensemble come from: the rows of a training split, or new samples of the stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist1d_hf.data.stream import sample
from mnist1d_hf.training.synthesis import analyse

_BATCHES_AT_ONCE = 16  # of the stream: one call for many samples is faster

Vary = Callable[[Tensor, list[torch.Generator]], Tensor]
"""Makes new signals (members, batch, length) from old ones, with one generator for each member."""


class Batches:
    """What an `Ensemble` trains on; the base of the classes below."""

    def next(self, step: int) -> tuple[Tensor, Tensor]:
        """Signals (members, batch, length) and labels (members, batch) of a step, counted from 0."""
        raise NotImplementedError

    def state(self) -> dict[str, Tensor]:
        """What the next batches depend on, besides the generators and the number of the step."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what `state` returned."""


class Rows(Batches):
    """Batches from the rows of a training split; each member has its own order.

    Args:
        x: signals, float32 (members, rows, length).
        label: int64 (members, rows).
        generators: of random numbers, one for each member, on the CPU.
        batch_size: samples a step; all of them in each step where there are not more.
        shuffle: a new order in each epoch; else the stored order.
        kept: the rows that each member is trained on, int64 (members, count); all by default.
        vary: changes the signals of each batch.
    """

    def __init__(
        self,
        x: Tensor,
        label: Tensor,
        generators: list[torch.Generator],
        batch_size: int,
        *,
        shuffle: bool,
        kept: Tensor | None = None,
        vary: Vary | None = None,
    ) -> None:
        self.x, self.label, self.generators, self.vary = x, label, generators, vary
        self.batch_size, self.shuffle = batch_size, shuffle
        self.kept = torch.arange(x.shape[1]).expand(x.shape[:2]) if kept is None else kept
        self._order = torch.empty(len(x), 0, dtype=torch.long)

    def next(self, step: int) -> tuple[Tensor, Tensor]:
        """Signals (members, batch, length) and labels (members, batch) of a step, counted from 0."""
        return self._take(self._rows(step))

    def _take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        x, label = take(self.x, self.label, rows)
        return x if self.vary is None else self.vary(x, self.generators), label

    def _rows(self, step: int) -> Tensor:
        """The rows of a step, int64 (members, batch)."""
        size, count = self.batch_size, self.kept.shape[1]
        if size >= count:
            return self.kept
        if not self.shuffle:
            return self.kept[:, torch.arange(step * size, (step + 1) * size) % count]
        if self._order.shape[1] < size:  # a new epoch; the incomplete last batch of the old one is not used
            order = torch.stack([torch.randperm(count, generator=generator) for generator in self.generators])
            self._order = self.kept.gather(1, order)
        rows, self._order = self._order[:, :size], self._order[:, size:]
        return rows

    def state(self) -> dict[str, Tensor]:
        """The rest of the current epoch."""
        return {"order": self._order}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what `state` returned."""
        self._order = state["order"].clone()


class Synthetic(Rows):
    """Rows; in each batch some are replaced by signals made from the parts of the member's own rows.

    Args:
        fraction: of each batch that is replaced.
        x, label, generators, batch_size, options: as in `Rows`.
    """

    def __init__(
        self,
        fraction: float,
        x: Tensor,
        label: Tensor,
        generators: list[torch.Generator],
        batch_size: int,
        **options: Any,
    ) -> None:
        super().__init__(x, label, generators, batch_size, **options)
        self.replaced = round(fraction * batch_size)
        signals, labels = take(x, label, self.kept)
        self.parts = [analyse(one.cpu(), truth.cpu()) for one, truth in zip(signals, labels, strict=True)]

    def next(self, step: int) -> tuple[Tensor, Tensor]:
        """Signals (members, batch, length) and labels (members, batch) of a step, counted from 0."""
        drawn = [
            parts.draw(self.replaced, generator) for parts, generator in zip(self.parts, self.generators, strict=True)
        ]
        x, label = (torch.stack(tensors).to(self.x.device) for tensors in zip(*drawn, strict=True))
        if self.replaced == self.batch_size:
            return x, label
        rows_x, rows_label = self._take(self._rows(step)[:, self.replaced :])
        return torch.cat([x, rows_x], dim=1), torch.cat([label, rows_label], dim=1)


class Fresh(Batches):
    """Samples of the endless stream, each used once: a member of seed s reads the stream of seed s from its start.

    Args:
        seeds: one for each member.
        batch_size: samples a step.
        device: of the batches.
    """

    def __init__(self, seeds: Sequence[int], batch_size: int, device: torch.device) -> None:
        self.size, self.seeds, self.device = batch_size, list(seeds), device
        self._first, self._drawn = 0, (torch.empty(0, 0), torch.empty(0, 0))

    def next(self, step: int) -> tuple[Tensor, Tensor]:
        """Signals (members, batch, length) and labels (members, batch) of a step, counted from 0."""
        place = step * self.size - self._first
        if not 0 <= place <= self._drawn[0].shape[1] - self.size:
            self._first, place = step * self.size, 0
            samples = range(self._first, self._first + _BATCHES_AT_ONCE * self.size)
            signals, labels = zip(*(sample(samples, seed) for seed in self.seeds), strict=True)
            self._drawn = self._stacked(signals), self._stacked(labels)
        x, label = self._drawn
        return x[:, place : place + self.size], label[:, place : place + self.size]

    def _stacked(self, arrays: Sequence[NDArray[np.generic]]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(self.device)


def take(x: Tensor, label: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of each member: signals (members, count, length) and labels (members, count).

    Args:
        x, label: (members, rows, length) and (members, rows).
        rows: int64 (members, count).
    """
    rows = rows.to(x.device)
    member = torch.arange(len(x), device=x.device)[:, None]
    return x[member, rows], label[member, rows]


def hold_out(rows: int, fraction: float, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Divide the rows of a training split, for each seed in another way.

    Returns:
        The rows to train on, int64 (seeds, rows - count), and those held out, int64 (seeds, count), both in order.

    >>> kept, held_out = hold_out(rows=10, fraction=0.2, seeds=[0, 1, 2])
    >>> kept.shape, held_out.shape
    (torch.Size([3, 8]), torch.Size([3, 2]))
    """
    count = round(fraction * rows)
    orders = [torch.randperm(rows, generator=torch.Generator().manual_seed(2**33 + seed)) for seed in seeds]
    order = torch.stack(orders)
    return order[:, count:].sort(dim=1).values, order[:, :count].sort(dim=1).values
