"""Does a learned activation function keep its gain when the training that it was learned on changes?

Question: an activation function is learned by following the gradient of a training's loss, taken through the whole
training, for one draw of initial weights, noise and data. Is the gain over ReLU still there with other initial weights
and noise, and with other data?

Source: Greydanus & Kobak 2024 (arXiv 2011.14439), section on metalearning, and notebook 8; one seed for everything.
Mean of the last 200 losses 1.352 -> 0.884, test accuracy 48.6 -> 68.4 % (67.1 ± 0.9 over the last 50 outer steps) on
500 test samples. Fixed functions, read off the figure: ReLU 59, Swish 58, ELU 51, tanh 51, softplus 44, sigmoid 35. The
learned function is not monotonic and has two extrema.

Protocol: 10,000 samples of the paper's generator, 8,000 to train, 2,000 to test. Network 40-128-10, RMSprop at 1e-2
(mean of squares with decay 0.4, starting at 1), 301 steps of 100 in the stored order, cross-entropy, uniform noise of
±0.1 on the hidden units in each step, the same for the whole batch. Activation function: ELU plus 0.2 times a network
1-100-1 with tanh, with the same kind of noise on its hidden units. Its weights take 301 outer steps of gradient descent
at 0.3, with gradients clamped to ±0.1; the objective is the mean of the last 200 losses. The inner training is the same
in each outer step from the second on, as in the notebook; seed 0 has the notebook's random numbers. Then each learned
function is put into trainings with other initial weights and noise, on the same data ("paper") and on data that each
training has for itself ("fresh"). ReLU and the other fixed functions are put into the same trainings.

Deviations:
- Accuracies are measured on all 2,000 test samples, in the notebook on 500 of them; the intervals contain the sampling
  error of 500.
- The fixed functions are read off a figure, to about a point.
- Seed 0 is the notebook's own run, so the run that is compared with all seeds is one of them.
- That the gain is kept in other trainings was claimed by nobody: it is a finding.

Expected: the notebook's numbers in the training that was learned on; for other trainings nothing is published.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import default_collate

from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.generator import generate
from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.studies import places
from mnist1d_hf.studies.claims import Claim, Finding, by_number, claim_direction, claim_run, find_mean, sampling_error
from mnist1d_hf.studies.figures import bars, curve, new_figure
from mnist1d_hf.studies.frames import Row, by_seed, select
from mnist1d_hf.studies.settings import Settings
from mnist1d_hf.studies.study import Context, Study, Unit, seed_groups, training_sets
from mnist1d_hf.training.activations import FIXED, Activation, Fixed, Learned, Weights, offset, tabulate
from mnist1d_hf.training.evaluation import fresh_samples
from mnist1d_hf.training.unrolled import Inner, Step, backpropagate, forward, train

SOURCE, FIGURE = "notebook 8, seed 0", "notebook 8, read off the figure"
PRINTED = (1.352, 1.314, 1.284, 1.252, 1.212, 1.170, 1.132, 1.093, 1.058, 1.043)  # objective of the first outer steps
PAPER = {"relu": 59.0, "swish": 58.0, "elu": 51.0, "tanh": 51.0, "softplus": 44.0, "sigmoid": 35.0}
LEARNED, LEARNED_TAIL, START = 68.4, 67.1, 48.6  # accuracies: last outer step, mean of the last 50, first outer step
OBJECTIVES = (1.352, 0.884)  # in the first and the last outer step
THEIR_TEST = 500  # test samples
LABELS = {**{name: name for name in PAPER}, "relu": "ReLU", "swish": "Swish", "elu": "ELU"}
SHAPE = tuple(round(0.1 * place - 5, 1) for place in range(101))  # where the function's shape is recorded
_NEW = 1000  # the first of the inner seeds whose trainings nothing was learned on
_GROUP = 2  # seeds that are learned side by side


@dataclasses.dataclass(frozen=True)
class ActivationSettings(Settings):
    """Settings of this study."""

    inner_seeds: int = 5  # how many other trainings each learned function is put into; each has its own ones
    samples: int = 10000  # of the generator, a fifth of them to test
    hidden: int = 128  # units of the inner network
    small: int = 100  # hidden units of the network that makes the activation function
    steps: int = 301  # of the inner training
    counted: int = 200  # how many of its last losses are the objective
    batch_size: int = 100  # samples a step
    learning_rate: float = 1e-2  # of RMSprop
    decay: float = 0.4  # of RMSprop's mean of squares
    outer_steps: int = 301  # of the activation function
    outer_rate: float = 0.3  # its learning rate
    clamp: float = 0.1  # greatest entry of its gradient
    test_samples: int = 10000  # fresh ones, to measure on with other data

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.counted > self.steps:
            raise InvalidValueError(f"counted: expected at most {self.steps}, the inner steps, found {self.counted}")
        if self.samples < 5 or (self.samples * 4 // 5) % self.batch_size:
            raise InvalidValueError(f"batch_size: expected a divisor of 4/5 of the samples, found {self.batch_size}")

    @property
    def inner(self) -> Inner:
        """The inner training."""
        return Inner(self.steps, self.batch_size, self.learning_rate, self.decay, self.counted)


class RandomNumbers(NamedTuple):
    """The random numbers of a seed, in the notebook's order; for several seeds with an axis of members in front."""

    small: Weights  # of the activation function before it is learned
    first: Weights  # of the inner network in the first outer step
    weights: Weights  # of the inner network in all other outer steps
    small_noise: Tensor  # (members, steps + 1, small): of each step, and last of the test
    noise: Tensor  # (members, steps + 1, hidden)


class Data(NamedTuple):
    """Training and test samples: signals (members, rows, 40) and labels (members, rows)."""

    x: Tensor
    label: Tensor
    x_test: Tensor
    label_test: Tensor


Scores = dict[str, NDArray[Any]]  # columns of the table -> (members,)


def units(settings: ActivationSettings) -> list[Unit]:
    """One for the fixed functions; then one for each group of seeds that learn functions."""
    trainings = 2 * settings.inner_seeds
    found = [Unit("fixed", train_fixed, {}, len(FIXED) * settings.seeds * (1 + trainings))]
    for seeds in seed_groups(settings.seeds, _GROUP):
        work = (3 * settings.outer_steps + trainings) * len(seeds)
        found.append(Unit(f"learned-{seeds[0]}", learn, {"seeds": seeds}, work))
    return found


def new_trainings(settings: ActivationSettings, seeds: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Trainings that nothing was learned on: the kind of data, and an inner seed for each of `seeds`."""
    return [
        (data, [_NEW + seed * settings.inner_seeds + number for seed in seeds])
        for data in ("paper", "fresh")
        for number in range(settings.inner_seeds)
    ]


def train_fixed(settings: ActivationSettings, context: Context) -> list[Row]:
    """Rows of trainings with the fixed functions: those that others are learned on, and the new ones."""
    seeds = list(range(settings.seeds))
    rows: list[Row] = []
    for data, inner_seeds in (("paper", seeds), *new_trainings(settings, seeds)):
        samples, random = load(settings, data, inner_seeds, context.device), draw(settings, inner_seeds, context.device)
        for name in FIXED:
            _, scores = train_inner(settings, random.weights, samples, Fixed(name), random.noise)
            rows += _rows("inner", name, data, seeds, inner_seeds, scores)
            context.report(len(seeds))
    return rows


def learn(settings: ActivationSettings, seeds: Sequence[int], context: Context) -> list[Row]:
    """A row for each seed with the history of learning its function, then the rows of the function in new trainings."""
    random, samples = draw(settings, seeds, context.device), load(settings, "paper", seeds, context.device)
    small, history = random.small, []
    for outer in range(settings.outer_steps):
        variables = Weights(*(values.detach().requires_grad_() for values in small))
        entries, shifts = tabulate(variables), offset(variables, random.small_noise)
        activation = Learned(entries.detach(), shifts.detach())
        weights = random.first if outer == 0 else random.weights
        steps, scores = train_inner(settings, weights, samples, activation, random.noise)
        history.append(scores)
        if outer < settings.outer_steps - 1:
            grad_entries, grad_shifts = backpropagate(
                settings.inner, steps, samples.x, samples.label, activation, random.noise
            )
            grads = torch.autograd.grad((entries * grad_entries).sum() + (shifts * grad_shifts).sum(), variables)
            clamped = [settings.outer_rate * grad.clamp(-settings.clamp, settings.clamp) for grad in grads]
            small = Weights(*map(torch.sub, (values.detach() for values in small), clamped))
        context.report(3 * len(seeds))
    rows = _rows("learning", "learned", "paper", seeds, seeds, history[-1], history, small)
    for data, inner_seeds in new_trainings(settings, seeds):
        samples, random = load(settings, data, inner_seeds, context.device), draw(settings, inner_seeds, context.device)
        activation = Learned(tabulate(small), offset(small, random.small_noise))
        _, scores = train_inner(settings, random.weights, samples, activation, random.noise)
        rows += _rows("inner", "learned", data, seeds, inner_seeds, scores)
        context.report(len(seeds))
    return rows


def train_inner(
    settings: ActivationSettings, weights: Weights, samples: Data, activation: Activation, noise: Tensor
) -> tuple[list[Step], Scores]:
    """Train and measure inner networks, with noise (members, steps + 1, hidden) on their hidden units.

    Returns:
        What `backpropagate` needs of each step, and the scores: mean of the losses that count, mean of all losses, and
        accuracy in percent.
    """
    losses, trained, steps = train(settings.inner, weights, samples.x, samples.label, activation, noise)
    *_, logits = forward(trained, samples.x_test, activation, settings.steps, noise[:, -1])
    correct = (logits.argmax(-1) == samples.label_test).double().mean(1)
    counted, everything = losses[:, -settings.counted :].double().mean(1), losses.double().mean(1)
    scores = {"objective": counted, "mean_loss": everything, "test_accuracy": 100 * correct}
    return steps, {name: values.cpu().numpy() for name, values in scores.items()}


def _rows(
    part: str,
    activation: str,
    data: str,
    seeds: Sequence[int],
    inner_seeds: Sequence[int],
    scores: Scores,
    history: Sequence[Scores] = (),
    small: Weights | None = None,
) -> list[Row]:
    def rounded(values: Iterable[float]) -> list[float]:
        return [float(f"{value:.6g}") for value in values]

    return [
        {
            "part": part,
            "activation": activation,
            "seed": seed,
            "inner_seed": inner_seed,
            "data": data,
            **{name: float(values[member]) for name, values in scores.items()},
            "objectives": rounded(one["objective"][member] for one in history),
            "accuracies": rounded(one["test_accuracy"][member] for one in history),
            "shape": rounded(shape(small, member) if small else ()),
        }
        for member, (seed, inner_seed) in enumerate(zip(seeds, inner_seeds, strict=True))
    ]


def shape(small: Weights, member: int) -> list[float]:
    """The learned function of a member at the places `SHAPE`, without noise."""
    one = Weights(*(values[member : member + 1] for values in small))
    activation = Learned(tabulate(one), torch.zeros(1, 1).to(one.first))
    return activation(torch.tensor(SHAPE).to(one.first)[None, :, None], 0).value.flatten().tolist()


def draw(settings: ActivationSettings, seeds: Sequence[int], device: str) -> RandomNumbers:
    """The random numbers of some seeds."""
    drawn: RandomNumbers = default_collate([_draw_one(settings, seed, device) for seed in seeds])
    return drawn


def _draw_one(settings: ActivationSettings, seed: int, device: str) -> RandomNumbers:
    """An outer step of the notebook goes on with the random generator where the inner training before it stopped, and
    that training always starts from the seed. So the inner weights are the same from the second outer step on."""

    def layers(inputs: int, hidden: int, outputs: int) -> Weights:
        both = nn.Sequential(nn.Linear(inputs, hidden), nn.Linear(hidden, outputs))
        return Weights(*(values.detach().to(device) for values in both.parameters()))

    def noise() -> list[Tensor]:
        return [0.1 * (2 * torch.rand(count) - 1) for count in (settings.small, settings.hidden)]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        small = layers(1, settings.small, 1)
        first = layers(40, settings.hidden, 10)
        torch.manual_seed(seed)
        trained, tested = [noise()], []
        for _ in range(1, settings.steps):  # the notebook tests after each step but the first
            trained.append(noise())
            tested.append(noise())
        both = zip(*trained, (tested or [noise()])[-1], strict=True)
        torch.rand(settings.small)  # the notebook draws the function here
        weights = layers(40, settings.hidden, 10)
    return RandomNumbers(small, first, weights, *(torch.stack(values).to(device) for values in both))


def load(settings: ActivationSettings, data: str, seeds: Sequence[int], device: str) -> Data:
    """The paper's kind of data, the same for all seeds, or a training set of its own for each seed."""
    rows = settings.samples * 4 // 5
    own: tuple[NDArray[Any], ...] = ()
    if data == "paper":
        made = generate(GeneratorConfig(num_samples=settings.samples))
        x, label = made.x.astype(np.float32), made.label.astype(np.int64)
        shared: tuple[NDArray[Any], ...] = (x[:rows], label[:rows], x[rows:], label[rows:])
    else:
        own, shared = training_sets(seeds, rows), fresh_samples("default", settings.test_samples)
    expanded = (torch.from_numpy(values).to(device).expand(len(seeds), *values.shape) for values in shared)
    return Data(*(torch.from_numpy(values).to(device) for values in own), *expanded)


def figure(table: pd.DataFrame) -> Figure:
    """Accuracy while learning, accuracy in new trainings, and the learned shapes."""
    drawn, (history, new, forms) = new_figure("Meta-learning an activation function", 3)
    learning = select(table, part="learning")
    _draw_history(history, table, learning)
    names = ["learned", *PAPER]
    for shift, data, color in ((0.0, "paper", "C3"), (0.4, "fresh", "C0")):
        values = [in_new_trainings(table, name, data) for name in names]
        style = {"height": 0.4, "color": color, "alpha": 0.8, "label": f"{data} data"}
        bars(new, np.arange(len(names)) + shift, values, horizontal=True, **style)
    new.plot([LEARNED, *PAPER.values()], np.arange(len(names)) + 0.2, "kx", markersize=5, label="notebook, seed 0")
    new.set_yticks(np.arange(len(names)) + 0.2, ["learned", *LABELS.values()])
    new.invert_yaxis()
    new.set(xlabel="test accuracy, %", title="trainings that nothing was learned on")
    new.legend(fontsize=7)
    for form in learning["shape"]:
        forms.plot(SHAPE, form, color="C3", linewidth=0.8, alpha=0.7)
    elu = [x if x > 0 else np.expm1(x) for x in SHAPE]
    forms.plot(SHAPE, elu, color="0.3", linewidth=1, linestyle="--", label="ELU")
    forms.plot([], [], color="C3", label="learned, one for each seed")
    forms.set(xlabel="x", title="learned function", ylim=(-3, 5))
    forms.legend()
    return drawn


def _draw_history(axis: Any, table: pd.DataFrame, learning: pd.DataFrame) -> None:
    accuracies = np.stack(list(learning["accuracies"]))
    curve(axis, list(range(accuracies.shape[1])), accuracies, "learned", marker="", color="C3")
    for number, name in enumerate(PAPER):
        fixed = select(table, part="inner", data="paper", activation=name, inner_seed=list(learning["seed"]))
        axis.axhline(fixed["test_accuracy"].mean(), color=f"C{number + 4}", linewidth=1, label=LABELS[name])
    axis.set(xlabel="outer step", ylabel="test accuracy, %", title="the training that is learned on")
    axis.legend(fontsize=7, ncols=2)


def claims(table: pd.DataFrame) -> list[Claim]:
    """The gain on the training that was learned on first, then what the notebook printed for it.

    The effect of the learned accuracies is the published gain of learning; of the fixed functions it is the published
    range over them.
    """
    learning = select(table, part="learning").set_index("seed").sort_index()
    fixed = _own(table, learning.index)
    accuracies, objectives = (_histories(learning[column]) for column in ("accuracies", "objectives"))
    tail = accuracies.iloc[:, -50:].mean(axis=1)
    text = "On its own training the learned function beats ReLU (mean of the last 50 outer steps)"
    details = {"literature": f"{LEARNED_TAIL - PAPER['relu']:+.1f}", "source": f"{SOURCE}, and its figure"}
    found = [claim_direction("above ReLU", text, tail - fixed["relu"], unit="points", **details)]
    gain, rest = LEARNED_TAIL - START, {"source": SOURCE, "unit": "%"}
    for name, text, values, value in (
        ("start", "Test accuracy before learning", accuracies.iloc[:, 0], START),
        ("end", "Test accuracy, last 50 outer steps", tail, LEARNED_TAIL),
        ("last step", "Test accuracy, last outer step", accuracies.iloc[:, -1], LEARNED),
    ):
        error = sampling_error(value, THEIR_TEST)
        found.append(claim_run(name, text, values, value, effect=gain, test_error=error, **rest))
    fall = OBJECTIVES[0] - OBJECTIVES[1]
    for name, place, value in (("start", 0, OBJECTIVES[0]), ("end", -1, OBJECTIVES[1])):
        text = f"Mean of the last 200 losses, {'before' if name == 'start' else 'after'} learning"
        values = objectives.iloc[:, place]
        found.append(claim_run(f"objective, {name}", text, values, value, effect=fall, source=SOURCE))
    text, extremes = "Extrema of the learned function between -5 and 5", learning["shape"].map(places.extrema)
    found.append(claim_run("two extrema", text, extremes, 2, effect=2, source=FIGURE))
    effect = max(PAPER.values()) - min(PAPER.values())
    for name, value in PAPER.items():
        error, text = sampling_error(value, THEIR_TEST), f"Test accuracy with {LABELS[name]}"
        more = {"source": FIGURE, "unit": "%"}
        found.append(claim_run(LABELS[name], text, fixed[name], value, effect=effect, test_error=error, **more))
    return found


def findings(table: pd.DataFrame) -> list[Finding]:
    """The gain over ReLU in trainings that nothing was learned on, and the notebook's own run."""
    found = []
    learning = select(table, part="learning").set_index("seed").sort_index()
    own = _histories(learning["accuracies"]).iloc[:, -50:].mean(axis=1) - _own(table, learning.index)["relu"]
    for data, where in (("paper", "other initial weights and noise"), ("fresh", "other data, too")):
        gain = in_new_trainings(table, "learned", data) - in_new_trainings(table, "relu", data)
        found.append(find_mean(f"above ReLU, {data}", f"Gain over ReLU with {where}", gain, "points"))
        text = f"Gain over ReLU with {where}, less that on its own training"
        found.append(find_mean(f"gain kept, {data}", text, gain - own, "points"))
    printed = zip(learning["objectives"].loc[0], PRINTED, strict=False)
    text = "Greatest difference from the notebook's log in the first ten outer steps, seed 0"
    difference = max(abs(one - other) for one, other in printed)
    return [*found, find_mean("seed 0, step by step", text, by_number([difference]))]


def _own(table: pd.DataFrame, seeds: pd.Index) -> dict[str, pd.Series]:
    """The accuracy of each fixed function by seed, in the training that the seed's function is learned on."""
    rows = select(table, part="inner", data="paper", inner_seed=list(seeds))
    return {name: by_seed(rows, "test_accuracy", activation=name) for name in PAPER}


def _histories(lists: pd.Series) -> pd.DataFrame:
    """Lists of numbers by seed as columns."""
    return pd.DataFrame(np.stack(list(lists)), index=lists.index)


def in_new_trainings(table: pd.DataFrame, activation: str, data: str) -> pd.Series:
    """The mean accuracy by seed in the trainings that nothing was learned on."""
    rows = select(table, part="inner", activation=activation, data=data)
    return rows[rows["inner_seed"] >= _NEW].groupby("seed")["test_accuracy"].mean()


STUDY = Study(
    name="meta-activation",
    question="Does a learned activation function keep its gain when the training that it was learned on changes?",
    source="Greydanus & Kobak 2024 (arXiv 2011.14439)",
    full=ActivationSettings(),
    quick=ActivationSettings(
        seeds=2,
        inner_seeds=2,
        samples=1000,
        hidden=16,
        small=10,
        steps=20,
        counted=10,
        batch_size=50,
        outer_steps=4,
        test_samples=500,
    ),
    units=units,
    figure=figure,
    claims=claims,
    findings=findings,
    minutes=20,
)
