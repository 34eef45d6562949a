"""Cross-entropy of many members at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def cross_entropy(logits: Tensor, label: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of each member over its batch, float (members,).

    The same as `torch.nn.functional.cross_entropy`, but two to three times as fast: torch reduces over the last axis,
    ten numbers at a time; here the classes are the first axis, and all samples are contiguous.

    Args:
        logits: float (members, batch, classes).
        label: int64 (members, batch).
        smoothing: fraction of each target that is spread over all classes.

    >>> cross_entropy(torch.zeros(2, 5, 10), torch.zeros(2, 5, dtype=torch.long))
    tensor([2.3026, 2.3026])
    """
    loss: Tensor = _CrossEntropy.apply(logits, label, smoothing)
    return loss


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, label: Tensor, smoothing: float) -> Tensor:
        rows = logits.flatten(0, 1).t().contiguous()  # may share memory with the logits, which must not change
        rows = rows - rows.amax(0)
        truth = label.reshape(1, -1)
        aim = rows.gather(0, truth)[0]
        if smoothing:
            aim = (1 - smoothing) * aim + smoothing * rows.mean(0)
        powers = rows.exp_()
        total = powers.sum(0)
        ctx.save_for_backward(powers, total, truth)
        ctx.shape, ctx.smoothing = logits.shape, smoothing
        return (total.log() - aim).view(label.shape).mean(1)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]  # no second derivative: raise an error
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        powers, total, truth = ctx.saved_tensors
        members, batch, classes = ctx.shape
        change = powers / total
        if ctx.smoothing:
            change -= ctx.smoothing / classes
        change.scatter_add_(0, truth, torch.full_like(total, ctx.smoothing - 1)[None])
        change = change.view(classes, members, batch) * (gradient / batch)[:, None]
        return change.permute(1, 2, 0).contiguous(), None, None
