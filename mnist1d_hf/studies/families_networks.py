"""The networks of the study of families, with four configurations each: all seeds of one are trained side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mnist1d_hf.studies.study import training_sets
from mnist1d_hf.training.population import Arrays, Population
from mnist1d_hf.training.recipe import Recipe

NETWORKS: dict[str, dict[str, Any]] = {  # arguments of Mnist1dConfig
    "mlp": {"architecture": "mlp", "widths": (256, 256)},
    "cnn": {"architecture": "cnn", "widths": (50, 50, 50)},
    "gru": {"architecture": "gru"},
    "dilated": {
        "architecture": "resnet",
        "widths": (16, 16, 16),
        "strides": (1, 1, 1),
        "dilations": (1, 2, 4),
        "normalization": "none",
    },
    "resnet": {"architecture": "resnet", "widths": (16, 32, 64), "strides": (2, 2, 2)},
    "transformer": {"architecture": "transformer", "kernel_sizes": (8,), "strides": (4,), "paddings": (2,)},
}
NETWORK_GRID = tuple({"learning_rate": rate, "dropout": dropout} for rate in (3e-3, 1e-2) for dropout in (0.0, 0.3))


def train_networks(
    family: str,
    configuration: Mapping[str, Any],
    steps: int,
    samples: int,
    holdout: float,
    seeds: Sequence[int],
    test: tuple[Any, Any] | None,
    device: str,
) -> list[tuple[float, float, int]]:
    """Train a network for each seed, on a training set of its own.

    Args:
        family, configuration: a key of `NETWORKS`, and one of `NETWORK_GRID`.
        steps: of the optimiser.
        samples: in a training set.
        holdout: fraction of these by which the step is chosen.
        test: signals and labels, read once.

    Returns:
        Of each seed: accuracy on the held-out part and on the test samples (NaN without them), in percent; parameters.
    """
    recipe = Recipe(
        name=family,
        network={**NETWORKS[family], "dropout": configuration["dropout"]},
        learning_rate=configuration["learning_rate"],
        steps=steps,
        optimizer="adamw",
        weight_decay=0.05,
        schedule="cosine",
        holdout=holdout,
        eval_every=max(1, steps // 10),
    )
    x, label = training_sets(seeds, samples)
    population = Population(recipe, seeds, Arrays(x, label, *(test or (x[0, :0], label[0, :0]))), device)
    population.run()
    size = sum(parameter[0].numel() for parameter in population.ensemble.network.parameters())
    held_out = 100 * population.best.numpy()
    measured = [float("nan")] * len(seeds) if test is None else [100 * one.test for one in population.finish()[0]]
    return [(float(value), accuracy, size) for value, accuracy in zip(held_out, measured, strict=True)]
