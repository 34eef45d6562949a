"""Many seeds trained side by side: stacked layers, `torch.func.vmap`, and a plain loop. Part of scripts/benchmark.py.

All three do the optimiser steps of a recipe for ten members on one thread, with the same batches. The vmap is what its
documentation shows: `stack_module_state` and `functional_call`. The plain loop trains one member after the other.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.nn import functional

from mnist1d_hf.training.ensemble import Ensemble
from mnist1d_hf.training.population import initial_network
from mnist1d_hf.training.recipe import Recipe
from mnist1d_hf.training.recipes import find_recipe

MEMBERS = 10
STEPS = {"logistic": 200, "mlp": 100, "cnn": 40, "gru": 8, "resnet": 2, "mlp-review": 5}  # under a second each
COLUMNS = ("10 members, one thread", "member-steps/s", "`vmap`", "plain loop", "ratio to `vmap`", "ratio to the loop")

Step = Callable[[Tensor, Tensor], None]
InTurn = Callable[..., list[list[float]]]


def row(name: str, pairs: int, in_turn: InTurn) -> tuple[str, ...]:
    """The row of a recipe.

    Args:
        name: of the recipe.
        pairs: counted repetitions.
        in_turn: measures functions in turn, see scripts/benchmark.py.

    Returns:
        Member-steps per second of the three ways, and the median of the ratios with their range.
    """
    torch.set_num_threads(1)
    recipe, steps = find_recipe(name), STEPS[name]
    networks = [initial_network(recipe, seed) for seed in range(MEMBERS)]
    x, label = torch.randn(MEMBERS, recipe.batch_size, 40), torch.randint(10, (MEMBERS, recipe.batch_size))
    ways = {"stacked": stacked, "vmap": vmapped, "loop": looped}
    if any(isinstance(module, nn.GRU) for module in networks[0].modules()):
        del ways["vmap"]  # vmap has no batching rule for a GRU
    functions = [repeated(make(recipe, networks), x, label, steps) for make in ways.values()]
    times = dict(zip(ways, in_turn(pairs, *functions), strict=True))
    speeds = {way: f"{MEMBERS * steps / statistics.median(seconds):,.0f}" for way, seconds in times.items()}
    ratios = {}
    for way, seconds in times.items():
        pair = [b / a for a, b in zip(times["stacked"], seconds, strict=True)]
        ratios[way] = f"{statistics.median(pair):.1f} ({min(pair):.1f} to {max(pair):.1f})"
    found = [table.get(way, "–") for table in (speeds, ratios) for way in ("stacked", "vmap", "loop")]
    return (f"`{name}`", *found[:3], *found[4:])


def repeated(step: Step, x: Tensor, label: Tensor, steps: int) -> Callable[[], None]:
    """What does several steps on the same batch."""

    def run() -> None:
        for _ in range(steps):
            step(x, label)

    return run


def stacked(recipe: Recipe, networks: list[nn.Module]) -> Step:
    """Steps of an `Ensemble`."""
    empty = torch.zeros(0, 40), torch.zeros(0, dtype=torch.long)
    ensemble = Ensemble(networks, recipe.procedure, *empty)
    ensemble.network.train()

    def step(x: Tensor, label: Tensor) -> None:
        ensemble.optimizer.zero_grad(set_to_none=True)
        ensemble.backward(x, label)
        ensemble.optimizer.step()

    return step


def vmapped(recipe: Recipe, networks: list[nn.Module]) -> Step:
    """Steps with `torch.vmap` over the stacked state of the networks."""
    parameters, buffers = stack_module_state(networks)
    network = copy.deepcopy(networks[0]).to("meta").train()
    optimizer = _optimizer(recipe, parameters.values())

    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        logits: Tensor = functional_call(network, (parameters, buffers), (x,))
        return logits

    many, losses = torch.vmap(one, randomness="different"), torch.vmap(functional.cross_entropy)

    def step(x: Tensor, label: Tensor) -> None:
        with _precision(recipe):
            logits = many(parameters, buffers, x)
        optimizer.zero_grad(set_to_none=True)
        losses(logits.float(), label).sum().backward()
        optimizer.step()

    return step


def looped(recipe: Recipe, networks: list[nn.Module]) -> Step:
    """Steps of one network after the other."""
    networks = [copy.deepcopy(network).train() for network in networks]
    optimizers = [_optimizer(recipe, network.parameters()) for network in networks]

    def step(x: Tensor, label: Tensor) -> None:
        for network, optimizer, signals, truth in zip(networks, optimizers, x, label, strict=True):
            with _precision(recipe):
                logits = network(signals)
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(logits.float(), truth).backward()
            optimizer.step()

    return step


def _optimizer(recipe: Recipe, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)


def _precision(recipe: Recipe) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bfloat16")
