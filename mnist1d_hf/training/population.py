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
from torch.nn import functional

from mnist1d_hf.models.configuration_mnist1d import Mnist1dConfig
from mnist1d_hf.models.modeling_mnist1d import Mnist1dForSequenceClassification
from mnist1d_hf.training.batches import Fresh, Rows, Synthetic
from mnist1d_hf.training.ensemble import seeded
from mnist1d_hf.training.evaluation import fresh_samples
from mnist1d_hf.training.losses import cross_entropy
from mnist1d_hf.training.recipe import Recipe
from mnist1d_hf.training.stacked import member_state, set_generators, stack

_KEPT = ("best", "best_step", "finite")
_EVALUATED = 500  # samples of each member that are evaluated at a time


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
    """What one seed gave. Accuracies are shares; `history` holds (step, accuracy) along the way.

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
    """

    def __init__(self, recipe: Recipe, seeds: Sequence[int], arrays: Arrays, device: str = "cpu") -> None:
        self.recipe, self.seeds, self.device = recipe, list(seeds), torch.device(device)
        self.x, self.label, self.x_test, self.label_test = (
            torch.from_numpy(np.array(array)).to(self.device)
            for array in (arrays.x, arrays.label, arrays.x_test, arrays.label_test)
        )
        self.network = stack([initial_network(recipe, seed) for seed in self.seeds]).to(self.device)
        self.generators = [torch.Generator().manual_seed(2**32 + seed) for seed in self.seeds]
        set_generators(self.network, self.generators)
        if recipe.data == "stream":
            self.batches: Rows | Fresh = Fresh(recipe, self.seeds, self.device)
        else:
            kind = Synthetic if recipe.synthetic else Rows
            self.batches = kind(recipe, self.seeds, self.x, self.label, self.generators)
        self.optimizer = _optimizer(recipe, self.network.parameters())
        self.step = 0
        self.history: list[list[float]] = []  # of each evaluation: step, and the accuracy of each member
        self.best = torch.full((len(self.seeds),), -torch.inf, dtype=torch.double)
        self.best_step = torch.zeros(len(self.seeds), dtype=torch.long)
        self.best_state: dict[str, Tensor] = {}
        self.finite = torch.ones(len(self.seeds), dtype=torch.bool)

    def run(self, until: int | None = None, progress: Callable[[int], object] | None = None) -> None:
        """Train up to a step, by default the last one."""
        until = self.recipe.steps if until is None else min(until, self.recipe.steps)
        self.network.train()
        while self.step < until:
            self._train_step()
            if self.step % self.recipe.eval_every == 0 or self.step == self.recipe.steps:
                self._evaluate()
            if progress is not None:
                progress(len(self.seeds))

    def _train_step(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.step)
        x, label = self.batches.next(self.step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            logits = self.network(x).float()
        per_member = cross_entropy(logits, label, self.recipe.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        per_member.sum().backward()
        self.optimizer.step()
        self.finite &= per_member.detach().isfinite().cpu()
        self.step += 1

    def _evaluate(self) -> None:
        self.network.eval()
        if self.recipe.watch_test or self.recipe.holdout:
            watched, losses = self._test() if self.recipe.watch_test else self._validation()
            self.history.append([self.step, *watched.tolist()])
        if self.recipe.select != "final":
            self._keep_best(watched if self.recipe.select == "best" else -losses)
        self.network.train()

    def _keep_best(self, scores: Tensor) -> None:
        better = (scores > self.best) & self.finite
        self.best = torch.where(better, scores, self.best)
        self.best_step[better] = self.step
        chosen = better.to(self.device)
        for name, values in self.network.state_dict().items():
            if name not in self.best_state:
                self.best_state[name] = values.clone()
            self.best_state[name][chosen] = values[chosen]

    def _validation(self) -> tuple[Tensor, Tensor]:
        assert isinstance(self.batches, Rows)
        return self._scores(*self.batches.validation())

    def _test(self) -> tuple[Tensor, Tensor]:
        return self._on_all(self.x_test, self.label_test)

    def _fresh(self) -> Tensor:
        x, label = fresh_samples("default", self.recipe.fresh)
        return self._on_all(torch.from_numpy(x).to(self.device), torch.from_numpy(label).to(self.device))[0]

    def _on_all(self, x: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Each member on the same samples."""
        shape = (len(self.seeds), -1)
        return self._scores(x.expand(*shape, -1), label.expand(*shape))

    def _scores(self, x: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Share of correct answers and mean cross-entropy of each member."""
        right = torch.zeros(len(self.seeds), dtype=torch.long, device=self.device)
        losses = torch.zeros(len(self.seeds), dtype=torch.double, device=self.device)
        with torch.no_grad():
            for part, truth in zip(x.split(_EVALUATED, dim=1), label.split(_EVALUATED, dim=1), strict=True):
                logits = self.network(part)
                right += (logits.argmax(-1) == truth).sum(1)
                each = functional.cross_entropy(logits.flatten(0, 1), truth.flatten(), reduction="none")
                losses += each.view(truth.shape).double().sum(1)
        return right.cpu().double() / label.shape[1], losses.cpu() / label.shape[1]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything to go on from: tensors, and plain values."""
        tensors = {f"network.{name}": values for name, values in self.network.state_dict().items()}
        tensors |= {f"best_state.{name}": values for name, values in self.best_state.items()}
        for place, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{place}.{name}": value for name, value in moments.items()}
        for number, generator in enumerate(self.generators):
            tensors[f"generator.{number}"] = generator.get_state()
        tensors |= {f"batches.{name}": value for name, value in self.batches.state().items()}
        for name in _KEPT:
            tensors[name] = getattr(self, name)
        return tensors, {"step": self.step, "history": [list(row) for row in self.history]}

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on from what `state` gave, for the same recipe, seeds and data."""

        def under(prefix: str) -> dict[str, Tensor]:
            return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}

        self.network.load_state_dict(under("network."))
        self.best_state = {name: value.to(self.device) for name, value in under("best_state.").items()}
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {}
        for name, value in under("optimizer.").items():
            place, _, key = name.partition(".")
            optimizer["state"].setdefault(int(place), {})[key] = value
        self.optimizer.load_state_dict(optimizer)
        for number, generator in enumerate(self.generators):
            generator.set_state(tensors[f"generator.{number}"])
        self.batches.load_state(under("batches."))
        for name in _KEPT:
            setattr(self, name, tensors[name].clone())
        self.step, self.history = values["step"], [list(row) for row in values["history"]]

    def finish(self) -> tuple[list[Member], list[dict[str, Tensor]]]:
        """The members' results, and their weights as state dicts of single models."""
        if self.recipe.select != "final" and self.best_state:
            self.network.load_state_dict(self.best_state)
        self.network.eval()
        test = self._test()[0]
        validation = self._validation()[0] if self.recipe.holdout else None
        fresh = self._fresh() if self.recipe.fresh else None
        members = []
        for number, seed in enumerate(self.seeds):
            best = self.recipe.select != "final"
            members.append(
                Member(
                    seed=seed,
                    step=int(self.best_step[number]) if best else self.step,
                    validation=None if validation is None else float(validation[number]),
                    test=float(test[number]),
                    diverged=not bool(self.finite[number]),
                    history=[(int(row[0]), row[1 + number]) for row in self.history],
                    fresh=None if fresh is None else float(fresh[number]),
                )
            )
        states = [
            {f"network.{name}": values.cpu() for name, values in member_state(self.network, number).items()}
            for number in range(len(self.seeds))
        ]
        return members, states


def initial_network(recipe: Recipe, seed: int) -> nn.Module:
    """The network of a seed before training. The global state of torch's random numbers is left as it was."""
    return seeded(lambda: new_network(**recipe.network), seed)


def new_network(**arguments: Any) -> nn.Module:
    """A network with fresh weights, from the arguments of `Mnist1dConfig`."""
    return Mnist1dForSequenceClassification(network_config(arguments)).network


def network_config(arguments: Mapping[str, Any]) -> Mnist1dConfig:
    """The configuration of a recipe's network."""
    return Mnist1dConfig(
        **{name: list(value) if isinstance(value, tuple) else value for name, value in arguments.items()}
    )


def _optimizer(recipe: Recipe, parameters: Any) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
