"""Many seeds of a recipe at once. Each member has its own initialisation, batches and held-out part.

Members never influence one another: what a seed gives does not depend on which others are trained beside it, up to
the rounding of sums in another order. One seed is a population of one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnist1d_hf.models.configuration_mnist1d import Mnist1dConfig
from mnist1d_hf.models.modeling_mnist1d import Mnist1dForSequenceClassification
from mnist1d_hf.training.batches import Batches, Fresh, Rows, Synthetic, hold_out, take
from mnist1d_hf.training.ensemble import Ensemble, seeded
from mnist1d_hf.training.evaluation import fresh_samples
from mnist1d_hf.training.recipe import Recipe


@dataclasses.dataclass
class Arrays:
    """A dataset as arrays: signals float32 (n, length), labels int64 (n,).

    For a `Population` in which each seed has a training split of its own, `x` and `label` have an axis of seeds in
    front.
    """

    x: NDArray[Any]
    label: NDArray[Any]
    x_test: NDArray[Any]
    label_test: NDArray[Any]


@dataclasses.dataclass
class Member:
    """The result of one seed. Accuracies are fractions; `history` holds (step, accuracy) along the way.

    Attributes:
        seed: of initialisation, batches, held-out part and augmentation.
        step: whose weights were kept, counted from 1.
        validation: accuracy of these on the held-out part; None without one.
        test: accuracy of these on the test split, read once.
        fresh: accuracy of these on samples that no training has seen; None where the recipe asks for none.
        diverged: whether the loss was ever not finite.
        history: accuracy on the held-out part by step; on the test split where the recipe watches it.
    """

    seed: int
    step: int
    validation: float | None
    test: float
    diverged: bool
    history: list[tuple[int, float]]
    fresh: float | None = None


class Population:
    """Training of some seeds of a recipe, step by step.

    Args:
        recipe: what to do.
        seeds: one member each.
        arrays: the data.
        device: where to train.

    Attributes:
        ensemble: the networks in training.
        kept: rows that each member is trained on, int64 (members, count).
        held_out: the other rows, int64 (members, rows - count).
        history: of each evaluation the step, and the accuracy of each member.
        best: accuracy of each member on the held-out part at its best_step so far, float64 (members,); best_state are
            the weights of that step.

    Raises:
        InvalidValueError: signals of another number of seeds.
    """

    def __init__(self, recipe: Recipe, seeds: Sequence[int], arrays: Arrays, device: str = "cpu") -> None:
        self.recipe, self.seeds = recipe, list(seeds)
        networks = [initial_network(recipe, seed) for seed in self.seeds]
        x, label = np.array(arrays.x), np.array(arrays.label)
        self.ensemble = Ensemble(networks, recipe.procedure, x, label, seeds=self.seeds, device=device)
        x, label = self.ensemble.shared(x, 2), self.ensemble.shared(label, 1)
        self.kept, self.held_out = hold_out(x.shape[1], recipe.holdout, self.seeds)
        self.ensemble.batches = self._batches(x, label)
        self._validation = take(x, label, self.held_out)
        self._test = np.array(arrays.x_test), np.array(arrays.label_test)
        self.history: list[list[float]] = []
        self.best = torch.full((len(self.seeds),), -torch.inf, dtype=torch.double)
        self.best_step = torch.zeros(len(self.seeds), dtype=torch.long)
        self.best_state: dict[str, Tensor] = {}

    def _batches(self, x: Tensor, label: Tensor) -> Batches:
        recipe, generators = self.recipe, self.ensemble.generators
        if recipe.data == "stream":
            return Fresh(self.seeds, recipe.batch_size, self.ensemble.device)
        options: dict[str, Any] = {"shuffle": recipe.shuffle, "kept": self.kept, "vary": recipe.augmentation}
        if recipe.synthetic:
            return Synthetic(recipe.synthetic, x, label, generators, recipe.batch_size, **options)
        return Rows(x, label, generators, recipe.batch_size, **options)

    @property
    def step(self) -> int:
        """How many steps are done."""
        return self.ensemble.step

    def run(self, until: int | None = None, progress: Callable[[int], object] | None = None) -> None:
        """Train up to a step, by default the last one; `progress` is called with the number of members after each."""
        steps, every = self.recipe.steps, self.recipe.eval_every
        until = steps if until is None else min(until, steps)
        report = None if progress is None else lambda count: progress(count * len(self.seeds))
        while self.step < until:
            evaluated = min((self.step // every + 1) * every, steps)
            self.ensemble.run(min(evaluated, until), report)
            if self.step == evaluated:
                self._evaluate()

    def _evaluate(self) -> None:
        """Record the accuracy, and keep the weights of the members that are better than before on the held-out part."""
        held_out = self.ensemble.scores(*self._validation) if self.recipe.holdout else None
        watched = self.ensemble.scores(*self._test) if self.recipe.watch_test else held_out
        if watched is not None:
            self.history.append([self.step, *watched.accuracy.tolist()])
        if held_out is None or self.recipe.select == "final":
            return
        scores = torch.from_numpy(held_out.accuracy)
        better = (scores > self.best) & self.ensemble.finite.cpu()
        self.best[better], self.best_step[better] = scores[better], self.step
        chosen = better.to(self.ensemble.device)
        for name, values in self.ensemble.network.state_dict().items():
            kept = self.best_state.setdefault(name, values.clone())
            kept[chosen] = values[chosen]

    def state(self) -> dict[str, Any]:
        """A checkpoint: tensors and numbers in dicts and lists. They change as the training goes on."""
        best = {"best": self.best, "best_step": self.best_step, "best_state": self.best_state}
        return {"ensemble": self.ensemble.state(), "history": self.history, **best}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned, for the same recipe, seeds and data. Takes the tensors over."""
        self.ensemble.load_state(state["ensemble"])
        self.history, self.best, self.best_step = state["history"], state["best"], state["best_step"]
        self.best_state = {name: values.to(self.ensemble.device) for name, values in state["best_state"].items()}

    def finish(self) -> tuple[list[Member], list[dict[str, Tensor]]]:
        """Choose the weights of each member and read them on the test split.

        Returns:
            The members' results, and their weights as state dicts of single models.
        """
        chosen = bool(self.best_state)  # by the held-out part
        if chosen:
            self.ensemble.network.load_state_dict(self.best_state)
        test = self._accuracy(*self._test)
        held_out = self._accuracy(*self._validation) if self.recipe.holdout else None
        fresh = self._accuracy(*fresh_samples("default", self.recipe.fresh)) if self.recipe.fresh else None
        members = [
            Member(
                seed=seed,
                step=int(self.best_step[number]) if chosen else self.step,
                validation=None if held_out is None else held_out[number],
                test=test[number],
                diverged=not bool(self.ensemble.finite[number]),
                history=[(int(row[0]), row[1 + number]) for row in self.history],
                fresh=None if fresh is None else fresh[number],
            )
            for number, seed in enumerate(self.seeds)
        ]
        state = {f"network.{name}": values.cpu() for name, values in self.ensemble.network.state_dict().items()}
        states = [{name: values[number].clone() for name, values in state.items()} for number in range(len(members))]
        return members, states

    def _accuracy(self, x: Any, label: Any) -> list[float]:
        """The accuracy of each member."""
        return self.ensemble.scores(x, label).accuracy.tolist()


def initial_network(recipe: Recipe, seed: int) -> nn.Module:
    """The network of a seed before training. The global state of torch's random numbers is put back."""
    return seeded(lambda: new_network(**recipe.network), seed)


def new_network(**arguments: Any) -> nn.Module:
    """A network with fresh weights, from the arguments of `Mnist1dConfig`."""
    return Mnist1dForSequenceClassification(network_config(arguments)).network


def network_config(arguments: Mapping[str, Any]) -> Mnist1dConfig:
    """The configuration of a recipe's network."""
    return Mnist1dConfig(
        **{name: list(value) if isinstance(value, tuple) else value for name, value in arguments.items()}
    )
