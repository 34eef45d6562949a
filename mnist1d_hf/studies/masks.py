"""Masks for the weights of a network with two hidden layers: the smallest, random ones, and rewired ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

LAYERS = ("stages.0.linear", "stages.1.linear", "output")

Masks = dict[str, Tensor]  # parameter -> 0 or 1 for each entry (members, ...)


def smallest_masked(network: nn.Module, sparsity: float) -> Masks:
    """Masks that drop the smallest entries of each layer of stacked networks, weights and biases together."""
    return _lowest(lambda values: values.detach().abs(), network, sparsity)


def random_masked(network: nn.Module, sparsity: float, seed: int) -> Masks:
    """Masks of one member that drop random entries of each layer of a network, weights and biases together."""
    generator = torch.Generator().manual_seed(seed)
    return _lowest(lambda values: torch.rand(1, *values.shape, generator=generator), network, sparsity)


def _lowest(score: Callable[[Tensor], Tensor], network: nn.Module, sparsity: float) -> Masks:
    """Masks that drop the entries of each layer with the lowest scores (members, ...)."""
    masks: Masks = {}
    for layer in LAYERS:
        names = [f"{layer}.weight", f"{layer}.bias"]
        scores = [score(network.get_parameter(name)) for name in names]
        flat = torch.cat([values.flatten(1) for values in scores], dim=1)
        order = flat.argsort(dim=1, stable=True)[:, : int(sparsity * flat.shape[1])]
        kept = torch.ones_like(flat).scatter_(1, order, 0.0)
        parts = kept.split([values[0].numel() for values in scores], dim=1)
        masks |= {name: part.view_as(values) for name, part, values in zip(names, parts, scores, strict=True)}
    return masks


def rewired(masks: Masks, seed: int) -> Masks:
    """Masks of one member with the same number of connections of every unit as the given ones, to the layer before it
    and to the layer behind it, and otherwise random. Biases stay as they are.

    Two units of a layer repeatedly trade the inputs that only one of them has (the curveball algorithm, Strona et al.
    2014), ten times as often as there are units.
    """
    random = np.random.default_rng([seed, 3])
    found = dict(masks)
    for layer in LAYERS:
        name = f"{layer}.weight"
        rows = masks[name][0].cpu().numpy().astype(bool)  # a copy
        for _ in range(10 * len(rows)):
            one, other = random.choice(len(rows), 2, replace=False)
            (differ,) = np.nonzero(rows[one] != rows[other])
            first = random.permutation(np.arange(len(differ)) < rows[one, differ].sum())
            rows[one, differ], rows[other, differ] = first, ~first
        found[name] = torch.from_numpy(rows)[None].to(masks[name])
    return found


def together(masks: Sequence[Masks]) -> Masks:
    """Masks of several members as one."""
    return {name: torch.cat([one[name] for one in masks]) for name in masks[0]}
