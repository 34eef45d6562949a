"""The networks of the study of scaling, and their training: averaged weights, stopped early by held-out samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from mnist1d_hf.studies.study import training_sets
from mnist1d_hf.training.ensemble import Ensemble, Procedure, sample_losses, seeded
from mnist1d_hf.training.population import new_network

WIDTHS: dict[str, tuple[int, ...]] = {  # the last one is the widest
    "logistic": (1,),
    "mlp": (32, 128, 512),
    "cnn": (12, 25, 50),
    "gru": (3, 6, 12),
    "resnet": (3, 6, 12),
    "transformer": (16, 32),
}
RATES = {"logistic": 1e-2, "mlp": 3e-3, "cnn": 1e-2, "gru": 1e-2, "resnet": 1e-2, "transformer": 5e-3}
AVERAGED = 5  # steps between two updates of the average, after the first hundred
RECENT = 9  # the average is over about the last ninth of the steps (Shamir & Zhang 2013, their eta is 8)
GROWTH, LEAST = 1.25, 5  # of the steps, from one evaluation to the next; and how many there are at least
PATIENCE, MARGIN = 1.6, 50  # stop when so many times the best step, and so many steps more, are done
EVALUATED = 1000  # signals at a time
RISE = 200  # steps in which the learning rate rises to its value


def network(architecture: str, width: int) -> dict[str, Any]:
    """Arguments of `Mnist1dConfig`."""
    fields: dict[str, dict[str, Any]] = {
        "logistic": {},
        "mlp": {"widths": (width, width)},
        "cnn": {"widths": (width, width, width)},
        "gru": {"widths": (width,)},
        "resnet": {"widths": (width, 2 * width, 4 * width), "strides": (2, 2, 2)},
        "transformer": {"widths": (width, width), "kernel_sizes": (8,), "strides": (4,), "paddings": (2,)},
    }
    return {"architecture": architecture, **fields[architecture]}


class Rising(Procedure):
    """A learning rate that rises linearly, and is constant from then on."""

    def rate(self, step: int) -> float:
        """The learning rate of a step.

        >>> Rising(steps=1000, learning_rate=0.01).rate(99)
        0.005
        """
        return self.learning_rate * min(1.0, (step + 1) / RISE)


@dataclasses.dataclass
class Trained:
    """Networks of one architecture with the averaged weights of their best steps.

    Attributes:
        network: all seeds as one network, (seeds, batch, length) -> (seeds, batch, classes).
        parameters: of one seed.
        steps: that were done, for each seed.
        best_step: whose averaged weights were kept, int64 (seeds,).
        loss: of these on the held-out samples, float64 (seeds,).
        half_loss: the smallest one in the first half of the steps.
        stopped: whether held-out samples ended the training, before the largest number of steps; bool (seeds,).
    """

    network: nn.Module
    parameters: int
    steps: NDArray[Any]
    best_step: NDArray[Any]
    loss: NDArray[Any]
    half_loss: NDArray[Any]
    stopped: NDArray[Any]


def train(
    architecture: str,
    width: int,
    samples: int,
    held_out: int,
    seeds: Sequence[int],
    most: int,
    device: str = "cpu",
    progress: Callable[[int], object] = lambda _: None,
) -> Trained:
    """Train a network for each seed until its loss on held-out samples is lowest.

    The first samples of the seed's stream are held out, and the next ones are the training samples: so all numbers of
    samples have the same held-out ones.

    Args:
        architecture, width: a key of `WIDTHS`, and a width.
        samples, held_out: how many training samples and held-out samples.
        most: steps of the optimiser, at most.
        progress: called with the step after each evaluation.
    """
    x, label = training_sets(seeds, held_out + samples)
    procedure = Rising(
        steps=most, learning_rate=RATES[architecture], optimizer="adamw", weight_decay=0.05, shuffle=True
    )
    networks = [seeded(lambda: new_network(**network(architecture, width)), seed) for seed in seeds]
    ensemble = Ensemble(networks, procedure, x[:, held_out:], label[:, held_out:], seeds=seeds, device=device)
    averaged = AveragedModel(
        ensemble.network, avg_fn=lambda old, new, _: old + weight(ensemble.step) * (new - old), use_buffers=True
    )
    validation = (ensemble.shared(x[:, :held_out], 2), ensemble.shared(label[:, :held_out], 1))
    best = {name: values.clone() for name, values in averaged.module.state_dict().items()}
    lowest, best_step = losses(averaged.module, *validation)[0].mean(1), np.zeros(len(seeds), dtype=np.int64)
    history = [(0, lowest.copy())]
    steps, running = np.zeros(len(seeds), dtype=np.int64), np.ones(len(seeds), dtype=bool)

    def update(_: int) -> None:
        if spacing(ensemble.step):
            averaged.update_parameters(ensemble.network)

    while running.any() and ensemble.step < most:
        ensemble.run(max(ensemble.step + LEAST, int(GROWTH * ensemble.step)), update)
        loss = losses(averaged.module, *validation)[0].mean(1)
        history.append((ensemble.step, loss))
        steps[running] = ensemble.step
        better = running & (loss < lowest)  # of a seed that has stopped nothing changes any more
        lowest[better], best_step[better] = loss[better], ensemble.step
        chosen = torch.from_numpy(better).to(ensemble.device)
        for name, values in averaged.module.state_dict().items():
            best[name][chosen] = values[chosen]
        running &= ensemble.step < PATIENCE * best_step + MARGIN
        progress(ensemble.step)
    averaged.module.load_state_dict(best)
    parameters = sum(parameter[0].numel() for parameter in averaged.module.parameters())
    half = [min(loss[seed] for step, loss in history if 2 * step <= done) for seed, done in enumerate(steps)]
    return Trained(averaged.module, parameters, steps, best_step, lowest, np.array(half), ~running)


def losses(network: nn.Module, x: Tensor, label: Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cross-entropy and whether the prediction is right, of every sample; float64 and bool, (seeds, samples).

    Args:
        network: (seeds, batch, length) -> (seeds, batch, classes).
        x, label: (seeds, samples, length) and (seeds, samples).
    """
    network.eval()
    loss, right = [], []
    with torch.no_grad():
        for part, truth in zip(x.split(EVALUATED, 1), label.split(EVALUATED, 1), strict=True):
            logits = network(part).float()
            loss.append(sample_losses(logits, truth, "cross-entropy").double().cpu())
            right.append((logits.argmax(-1) == truth).cpu())
    return torch.cat(loss, 1).numpy(), torch.cat(right, 1).numpy()


def spacing(step: int) -> int:
    """How many steps the average moves on at this step: 0 where it is not updated.

    >>> [spacing(step) for step in (1, 99, 101, 105)]
    [1, 1, 0, 5]
    """
    if step <= 100:
        return 1
    return AVERAGED if step % AVERAGED == 0 else 0


def weight(step: int) -> float:
    """Of the present weights in the average: polynomial-decay averaging, which needs no schedule.

    >>> weight(1), weight(10), weight(1000)
    (1.0, 0.5, 0.044642857142857144)
    """
    return min(1.0, RECENT * spacing(step) / (step + RECENT - 1))
