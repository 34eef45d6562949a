"""Where the batches of an ensemble come from: the rows of a training split, or new samples of the stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mnist1d_hf.data.stream import sample
from mnist1d_hf.training.synthesis import analyse

Vary = Callable[[Tensor, list[torch.Generator]], Tensor]
"""Makes new signals (members, batch, length) from old ones, with one generator for each member."""


class Batches:
    """What an `Ensemble` trains on; the base of the classes below.

    Attributes:
        order: the rest of the current epoch, int64 (members, rows). The next batches depend on nothing else but the
            generators and the number of the step.
    """

    order = torch.empty(0, 0, dtype=torch.long)

    def next(self, step: int) -> tuple[Tensor, Tensor]:
        """Signals (members, batch, length) and labels (members, batch) of a step, counted from 0."""
        raise NotImplementedError


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
        self.order = torch.empty(len(x), 0, dtype=torch.long)

    def next(self, step: int) -> tuple[Tensor, Tensor]:
        return self.take(self.rows(step))

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The signals of some rows (members, count), varied, and their labels."""
        x, label = take(self.x, self.label, rows)
        return x if self.vary is None else self.vary(x, self.generators), label

    def rows(self, step: int) -> Tensor:
        """The rows of a step, int64 (members, batch)."""
        size, count = self.batch_size, self.kept.shape[1]
        if size >= count:
            return self.kept
        if not self.shuffle:
            return self.kept[:, torch.arange(step * size, (step + 1) * size) % count]
        if self.order.shape[1] < size:  # a new epoch; the incomplete last batch of the old one is not used
            order = torch.stack([torch.randperm(count, generator=generator) for generator in self.generators])
            self.order = self.kept.gather(1, order)
        rows, self.order = self.order[:, :size], self.order[:, size:]
        return rows


class Synthetic(Rows):
    """Rows; in each batch a fraction is replaced by signals made from the parts of the member's own rows.

    Args:
        fraction: of each batch that is replaced.
        arguments, options: as in `Rows`.
    """

    def __init__(self, fraction: float, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.replaced = round(fraction * self.batch_size)
        signals, labels = take(self.x, self.label, self.kept)
        self.parts = [analyse(one.cpu(), truth.cpu()) for one, truth in zip(signals, labels, strict=True)]

    def next(self, step: int) -> tuple[Tensor, Tensor]:
        members = zip(self.parts, self.generators, strict=True)
        drawn = [parts.draw(self.replaced, generator) for parts, generator in members]
        x, label = (torch.stack(tensors).to(self.x.device) for tensors in zip(*drawn, strict=True))
        if self.replaced == self.batch_size:
            return x, label
        rows_x, rows_label = self.take(self.rows(step)[:, self.replaced :])
        return torch.cat([x, rows_x], dim=1), torch.cat([label, rows_label], dim=1)


class Fresh(Batches):
    """Samples of the endless stream, each used once: a member of seed s reads the stream of seed s from its start.

    Args:
        seeds: one for each member.
        batch_size: samples a step.
        device: of the batches.
    """

    def __init__(self, seeds: Sequence[int], batch_size: int, device: torch.device) -> None:
        self.seeds, self.batch_size, self.device = list(seeds), batch_size, device

    def next(self, step: int) -> tuple[Tensor, Tensor]:
        indices = range(step * self.batch_size, (step + 1) * self.batch_size)
        x, label = zip(*(sample(indices, seed) for seed in self.seeds), strict=True)
        return torch.from_numpy(np.stack(x)).to(self.device), torch.from_numpy(np.stack(label)).to(self.device)


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
