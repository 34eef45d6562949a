"""Does a learned activation function keep its gain when the training that it was learned on changes?

Question: an activation function is learned by following the gradient of a training's loss through the whole training,
on one draw of initial weights, noise and data. Is the gain over ReLU still there with other initial weights and other
noise, and with other data?

Source: Greydanus & Kobak 2024 (arXiv 2011.14439), section on metalearning, and its notebook; one seed for everything.
Mean of the last 200 losses 1.352 -> 0.884, test accuracy 48.6 -> 68.4 % (67.1 ± 0.9 over the last 50 outer steps) on
500 test samples. Fixed functions, read off the figure: ReLU 59, Swish 58, ELU 51, tanh 51, softplus 44, sigmoid 35. The
learned function is not monotonic and has two extrema.

Protocol: 10,000 samples of the paper's generator, 8,000 to train, 2,000 to test. Network 40-128-10, RMSprop at 1e-2
(mean of squares with decay 0.4, begun at 1), 301 steps of 100 in the stored order, cross-entropy, uniform noise of
±0.1 on the hidden units in each step, the same for the whole batch. Activation function: ELU plus 0.2 times a network
1-100-1 with tanh, with the same kind of noise on its hidden units. Its weights take 301 outer steps of gradient descent
at 0.3, their gradient clamped to ±0.1; the objective is the mean of the last 200 losses. The inner training is the same
in each outer step, from the second on, as in the notebook, whose random numbers seed 0 has. Here accuracies are on all
test samples. Then each learned function is put into trainings with other initial weights and noise, on the same data
("paper") and on other data, of which each training has its own ("fresh"); ReLU and the other fixed functions are put
into the same trainings.

Expected: the notebook's numbers for the seed that was learned on; for others, nobody has looked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.generator import generate
from mnist1d_hf.data.stream import sample
from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.studies.claims import Claim, compare, compare_published
from mnist1d_hf.studies.figures import curve, new_figure
from mnist1d_hf.studies.settings import Settings
from mnist1d_hf.studies.study import Context, Study, Unit
from mnist1d_hf.studies.table import Row, Table
from mnist1d_hf.training.evaluation import fresh_samples
from mnist1d_hf.training.unrolled import (
    FIXED,
    SHARE,
    Activation,
    Fixed,
    Inner,
    Learned,
    Weights,
    back_through,
    table,
    train,
)

SOURCE = "Greydanus & Kobak 2024 (arXiv 2011.14439), metalearning an activation function, notebook, seed 0"
FIGURE = "Greydanus & Kobak 2024 (arXiv 2011.14439), metalearning an activation function, read off the figure"
PRINTED = (1.352, 1.314, 1.284, 1.252, 1.212, 1.170, 1.132, 1.093, 1.058, 1.043)  # objective of the first outer steps
PAPER = {"relu": 59.0, "swish": 58.0, "elu": 51.0, "tanh": 51.0, "softplus": 44.0, "sigmoid": 35.0}
LEARNED, LEARNED_TAIL, START = 68.4, 67.1, 48.6  # accuracies: last outer step, mean of the last 50, first outer step
OBJECTIVES = (1.352, 0.884)  # in the first and the last outer step
_OBJECTIVE = "Mean of the last 200 losses"
TOLERANCE = 3.0  # percentage points around a published accuracy, which is of one run on 500 samples
LABELS = {"relu": "ReLU", "swish": "Swish", "elu": "ELU", "tanh": "tanh", "softplus": "softplus", "sigmoid": "sigmoid"}
SHAPE = tuple(round(0.1 * place - 5, 1) for place in range(101))  # where the function's shape is recorded
_NEW = 1000  # the first of the inner seeds that nothing was learned on
_AT_ONCE = 2  # seeds that are learned side by side


@dataclasses.dataclass(frozen=True)
class ActivationSettings(Settings):
    """Settings of this study.

    Attributes:
        inner_seeds: how many other trainings each learned function is put into; each has its own ones.
        samples: of the generator, a fifth of them to test.
        hidden: units of the inner network.
        small: hidden units of the network that makes the activation function.
        steps: of the inner training.
        counted: how many of its last losses are the objective.
        batch_size: samples a step.
        learning_rate: of RMSprop.
        decay: of RMSprop's mean of squares.
        outer_steps: of the activation function.
        outer_rate: its learning rate.
        clamp: greatest entry of its gradient.
        test_samples: fresh ones, to measure on with other data.
    """

    inner_seeds: int = 5
    samples: int = 10000
    hidden: int = 128
    small: int = 100
    steps: int = 301
    counted: int = 200
    batch_size: int = 100
    learning_rate: float = 1e-2
    decay: float = 0.4
    outer_steps: int = 301
    outer_rate: float = 0.3
    clamp: float = 0.1
    test_samples: int = 10000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.counted > self.steps:
            raise InvalidValueError(f"counted: expected at most {self.steps}, the inner steps, found {self.counted}")
        if (self.samples * 4 // 5) % self.batch_size:
            raise InvalidValueError(f"batch_size: expected a divisor of 4/5 of the samples, found {self.batch_size}")

    @property
    def inner(self) -> Inner:
        """The inner training."""
        return Inner(self.steps, self.batch_size, self.learning_rate, self.decay, self.counted)


class Draws(NamedTuple):
    """The random numbers of a seed, with an axis of members in front, in the notebook's order."""

    small: Weights  # of the activation function before it is learned
    first: Weights  # of the inner network in the first outer step
    weights: Weights  # and in all others
    small_noise: Tensor  # (members, steps + 1, small): of each step, and last of the test
    noise: Tensor  # (members, steps + 1, hidden)


class Data(NamedTuple):
    """Training and test samples, with an axis of members in front."""

    x: Tensor
    label: Tensor
    x_test: Tensor
    label_test: Tensor


def units(settings: ActivationSettings) -> list[Unit]:
    """The fixed functions; then the learned ones, some seeds side by side."""
    trainings = 2 * settings.inner_seeds
    count = len(FIXED) * settings.seeds * (1 + trainings)
    found = [Unit("fixed", compare_fixed, {"settings": settings}, count)]
    for start in range(0, settings.seeds, _AT_ONCE):
        seeds = list(range(start, min(start + _AT_ONCE, settings.seeds)))
        work = (3 * settings.outer_steps + trainings) * len(seeds)
        found.append(Unit(f"learned-{start}", learn, {"settings": settings, "seeds": seeds}, work))
    return found


def new_trainings(settings: ActivationSettings, seeds: Sequence[int]) -> list[tuple[str, list[int]]]:
    """Kinds of data, and for each of these seeds the seed of an inner training that nothing was learned on."""
    return [
        (data, [_NEW + seed * settings.inner_seeds + number for seed in seeds])
        for data in ("paper", "fresh")
        for number in range(settings.inner_seeds)
    ]


def compare_fixed(settings: ActivationSettings, context: Context) -> list[Row]:
    """The rows of the fixed functions: in the trainings that others are learned on, and in the new ones."""
    seeds = list(range(settings.seeds))
    rows: list[Row] = []
    for data, inner_seeds in (("paper", seeds), *new_trainings(settings, seeds)):
        given, drawn = load(settings, data, inner_seeds, context.device), draws(settings, inner_seeds, context.device)
        for name in FIXED:
            scores = inner_scores(settings, drawn.weights, given, Fixed(name), drawn.noise)
            rows += [
                _row("inner", name, seed, inner_seeds[seed], data, scores, member) for member, seed in enumerate(seeds)
            ]
            context.report(len(seeds))
    return rows


def learn(settings: ActivationSettings, seeds: Sequence[int], context: Context) -> list[Row]:
    """The rows of learned functions: as they are learned, then in new trainings."""
    inner = settings.inner
    drawn, given = draws(settings, seeds, context.device), load(settings, "paper", seeds, context.device)
    small, history = drawn.small, []
    for outer in range(settings.outer_steps):
        variables = Weights(*(values.detach().requires_grad_() for values in small))
        entries = table(variables)
        activation = Learned(entries.detach(), offset(variables, drawn.small_noise).detach())
        weights = drawn.first if outer == 0 else drawn.weights
        losses, trained, steps = train(inner, weights, given.x, given.label, activation, drawn.noise)
        history.append(_scores(settings, losses, trained, given, activation, drawn.noise))
        if outer < settings.outer_steps - 1:
            of_table, of_offset = back_through(inner, steps, given.x, given.label, activation, drawn.noise)
            shifts = offset(variables, drawn.small_noise)
            slopes = torch.autograd.grad((entries * of_table).sum() + (shifts * of_offset).sum(), variables)
            small = Weights(
                *(
                    values.detach() - settings.outer_rate * slope.clamp(-settings.clamp, settings.clamp)
                    for values, slope in zip(variables, slopes, strict=True)
                )
            )
        context.report(3 * len(seeds))
    rows = [
        _row("learning", "learned", seed, seed, "paper", history[-1], member, history, shape(small, member))
        for member, seed in enumerate(seeds)
    ]
    return rows + _transfer(settings, seeds, small, context)


def _transfer(settings: ActivationSettings, seeds: Sequence[int], small: Weights, context: Context) -> list[Row]:
    """Learned functions in new trainings."""
    rows: list[Row] = []
    entries = table(small)
    for data, inner_seeds in new_trainings(settings, seeds):
        given, drawn = load(settings, data, inner_seeds, context.device), draws(settings, inner_seeds, context.device)
        activation = Learned(entries, offset(small, drawn.small_noise))
        scores = inner_scores(settings, drawn.weights, given, activation, drawn.noise)
        rows += [
            _row("inner", "learned", seed, inner_seeds[member], data, scores, member)
            for member, seed in enumerate(seeds)
        ]
        context.report(len(seeds))
    return rows


class Scores(NamedTuple):
    """Of an inner training: mean of the losses that count and of all, and accuracy in percent; each (members,)."""

    objective: NDArray[Any]
    mean_loss: NDArray[Any]
    accuracy: NDArray[Any]


def inner_scores(
    settings: ActivationSettings, weights: Weights, given: Data, activation: Activation, noise: Tensor
) -> Scores:
    """How good an inner training gets."""
    losses, trained, _ = train(settings.inner, weights, given.x, given.label, activation, noise)
    return _scores(settings, losses, trained, given, activation, noise)


def _scores(
    settings: ActivationSettings, losses: Tensor, trained: Weights, given: Data, activation: Activation, noise: Tensor
) -> Scores:
    before = torch.baddbmm(trained.first_bias[:, None], given.x_test, trained.first.transpose(1, 2))
    hidden = activation(before, settings.steps).value + noise[:, -1:]
    logits = torch.baddbmm(trained.second_bias[:, None], hidden, trained.second.transpose(1, 2))
    right = (logits.argmax(-1) == given.label_test).double().mean(1)
    counted = losses[:, -settings.counted :].double().mean(1)
    return Scores(*((values.cpu().numpy()) for values in (counted, losses.double().mean(1), 100 * right)))


def _row(
    part: str,
    activation: str,
    seed: int,
    inner_seed: int,
    data: str,
    scores: Scores,
    member: int,
    history: Sequence[Scores] = (),
    form: Sequence[float] = (),
) -> Row:
    return {
        "part": part,
        "activation": activation,
        "seed": seed,
        "inner_seed": inner_seed,
        "data": data,
        "objective": float(scores.objective[member]),
        "mean_loss": float(scores.mean_loss[member]),
        "test_accuracy": float(scores.accuracy[member]),
        "objectives": [float(f"{one.objective[member]:.6g}") for one in history],
        "accuracies": [float(f"{one.accuracy[member]:.6g}") for one in history],
        "shape": [float(f"{value:.6g}") for value in form],
    }


def offset(small: Weights, noise: Tensor) -> Tensor:
    """What noise on the small network's hidden units (members, steps, small) adds to the activation function."""
    return SHARE * (noise * small.second).sum(-1)


def shape(small: Weights, member: int) -> list[float]:
    """The learned function of a member at `SHAPE`, without noise."""
    one = Weights(*(values[member : member + 1].detach() for values in small))
    places = torch.tensor(SHAPE).to(one.first)[None, :, None]
    activation = Learned(table(one), torch.zeros(1, 1).to(one.first))
    return [float(value) for value in activation(places, 0).value.flatten()]


def extrema(form: Sequence[float]) -> int:
    """How often a function turns round.

    >>> extrema([0.0, 1.0, 0.5, 0.5, 0.7])
    2
    """
    steps = np.sign(np.diff(np.asarray(form)))
    steps = steps[steps != 0]
    return int((steps[1:] != steps[:-1]).sum())


def draws(settings: ActivationSettings, seeds: Sequence[int], device: str) -> Draws:
    """The random numbers of some seeds."""
    each = {seed: _drawn(settings, seed) for seed in dict.fromkeys(seeds)}
    many = [each[seed] for seed in seeds]

    def together(values: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(values)).to(device)

    weights = [Weights(*map(together, zip(*(one[part] for one in many), strict=True))) for part in range(3)]
    return Draws(*weights, *(together([one[part] for one in many]) for part in (3, 4)))


def _drawn(settings: ActivationSettings, seed: int) -> tuple[Any, ...]:
    """Weights and noise of a seed. Each outer step of the notebook begins with the generator where the training of the
    one before has left it, and that always starts from the seed: so it is the same from the second step on."""

    def layers(before: int, hidden: int, after: int) -> list[Tensor]:
        both = nn.Sequential(nn.Linear(before, hidden), nn.Linear(hidden, after))
        return [values.detach() for values in both.parameters()]

    def noise(count: int) -> Tensor:
        return 0.1 * (2 * torch.rand(count) - 1)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        small = layers(1, settings.small, 1)
        first = layers(40, settings.hidden, 10)
        torch.manual_seed(seed)
        small_noise, hidden_noise = [], []
        tested = None
        for step in range(settings.steps):
            small_noise.append(noise(settings.small))
            hidden_noise.append(noise(settings.hidden))
            if step:
                tested = noise(settings.small), noise(settings.hidden)
        if tested is None:
            tested = noise(settings.small), noise(settings.hidden)
        noise(settings.small)  # for the picture of the function
        weights = layers(40, settings.hidden, 10)
    return small, first, weights, torch.stack([*small_noise, tested[0]]), torch.stack([*hidden_noise, tested[1]])


def load(settings: ActivationSettings, data: str, seeds: Sequence[int], device: str) -> Data:
    """The paper's kind of data, the same for all, or training samples that each seed has for itself."""
    rows = settings.samples * 4 // 5
    if data == "paper":
        made = generate(GeneratorConfig(num_samples=settings.samples))
        signals, labels = torch.from_numpy(made.x).float(), torch.from_numpy(made.label.astype(np.int64))
        whole = signals[:rows], labels[:rows], signals[rows:], labels[rows:]
        return Data(*(values.to(device).expand(len(seeds), *values.shape) for values in whole))
    each = {seed: sample(range(rows), seed) for seed in dict.fromkeys(seeds)}
    x = torch.stack([torch.from_numpy(each[seed][0]) for seed in seeds]).float().to(device)
    label = torch.stack([torch.from_numpy(each[seed][1]) for seed in seeds]).to(device)
    tests = (torch.from_numpy(values).to(device) for values in fresh_samples("default", settings.test_samples))
    x_test, label_test = (values.expand(len(seeds), *values.shape) for values in tests)
    return Data(x, label, x_test, label_test)


def figure(table: Table) -> Figure:
    """Accuracy while learning, accuracy in new trainings, and the learned shapes."""
    drawn, (way, bars, forms) = new_figure("Meta-learning an activation function", 3)
    learning = table.where(part="learning")
    accuracies = np.array([row["accuracies"] for row in learning])
    curve(way, list(range(accuracies.shape[1])), accuracies, "learned", marker="", color="C3")
    inner = table.where(part="inner", data="paper")
    own = set(learning.unique("seed"))
    for number, name in enumerate(PAPER):
        some = [row["test_accuracy"] for row in inner.where(activation=name) if row["inner_seed"] in own]
        way.axhline(np.mean(some), color=f"C{number + 4}", linewidth=1, label=LABELS[name])
    way.set(xlabel="outer step", ylabel="test accuracy, %", title="the training that is learned on")
    way.legend(fontsize=7, ncols=2)
    names = ["learned", *PAPER]
    for number, (data, color) in enumerate((("paper", "C3"), ("fresh", "C0"))):
        some = [_new(table, name, data) for name in names]
        heights = [values.mean() for values in some]
        spreads = [values.std(ddof=min(1, len(values) - 1)) for values in some]
        places = np.arange(len(names)) + 0.4 * number
        bars.barh(places, heights, 0.4, xerr=spreads, color=color, alpha=0.8, label=f"{data} data")
    bars.plot([LEARNED, *PAPER.values()], np.arange(len(names)) + 0.2, "kx", markersize=5, label="notebook, seed 0")
    bars.set_yticks(np.arange(len(names)) + 0.2, ["learned", *(LABELS[name] for name in PAPER)])
    bars.invert_yaxis()
    bars.set(xlabel="test accuracy, %", title="trainings that nothing was learned on")
    bars.legend(fontsize=7)
    for row in learning:
        forms.plot(SHAPE, row["shape"], color="C3", linewidth=0.8, alpha=0.7)
    forms.plot(
        SHAPE, [x if x > 0 else np.expm1(x) for x in SHAPE], color="0.3", linewidth=1, linestyle="--", label="ELU"
    )
    forms.plot([], [], color="C3", label="learned, one for each seed")
    forms.set(xlabel="x", title="learned function", ylim=(-3, 5))
    forms.legend()
    return drawn


def claims(table: Table) -> list[Claim]:
    """The verdict: the gain in new trainings first, then what the notebook printed for its own one."""
    learning = table.where(part="learning")
    if not len(learning):
        return []
    return [*_gains(table), *_seed_zero(learning), *_published(learning), _shape(learning), *_fixed(table, learning)]


def _gains(table: Table) -> list[Claim]:
    """The gain over ReLU in trainings that nothing was learned on."""
    gain, found = LEARNED - PAPER["relu"], []
    points: dict[str, Any] = {"source": SOURCE, "unit": "points", "literature": f"{gain:+.1f} on its own training"}
    for data, where in (("paper", "other initial weights and noise"), ("fresh", "other data, too")):
        values = _new(table, "learned", data) - _new(table, "relu", data)
        better = f"With {where}, the learned function beats ReLU"
        kept = f"With {where}, the gain over ReLU is the one on its own training, within {TOLERANCE:g} points"
        bounds: dict[str, Any] = {"least": gain - TOLERANCE, "most": gain + TOLERANCE}
        found.append(compare(f"above ReLU, {data}", better, values, least=0.0, **points))
        found.append(compare(f"gain kept, {data}", kept, values, **bounds, **points))
    return found


def _seed_zero(learning: Table) -> list[Claim]:
    """The notebook's own run, of which it printed the log."""
    rows = learning.where(seed=0).rows
    if not rows:
        return []
    found, printed = (np.array(values[: len(PRINTED)]) for values in (rows[0]["objectives"], PRINTED))
    return [
        compare(
            "seed 0, step by step",
            "The objective of seed 0 is that of the notebook's log in the first ten outer steps",
            np.abs(found - printed[: len(found)]),
            most=0.005,
            literature=f"{PRINTED[0]:g} -> {PRINTED[-1]:g}",
            source=SOURCE,
        )
    ]


def _published(learning: Table) -> list[Claim]:
    """Accuracy and objective before and after learning."""
    accuracies = np.array([row["accuracies"] for row in learning])
    objectives = np.array([row["objectives"] for row in learning])
    return [
        compare_published(name, text, values, value, tolerance, source=SOURCE, unit=unit)
        for name, text, values, value, tolerance, unit in (
            ("start", "Test accuracy before learning", accuracies[:, 0], START, TOLERANCE, "%"),
            ("end", "Test accuracy, last 50 outer steps", accuracies[:, -50:].mean(1), LEARNED_TAIL, TOLERANCE, "%"),
            ("objective, start", f"{_OBJECTIVE} before learning", objectives[:, 0], OBJECTIVES[0], 0.05, ""),
            ("objective, end", f"{_OBJECTIVE} after learning", objectives[:, -1], OBJECTIVES[1], 0.05, ""),
        )
    ]


def _shape(learning: Table) -> Claim:
    return compare(
        "two extrema",
        "Between -5 and 5 the learned function has two extrema",
        [extrema(row["shape"]) for row in learning],
        least=1.5,
        most=2.5,
        literature="2",
        source=FIGURE,
    )


def _fixed(table: Table, learning: Table) -> list[Claim]:
    """The fixed functions in the trainings that were learned on."""
    own = table.where(part="inner", data="paper", inner_seed=tuple(learning.unique("seed")))
    found = []
    for name, value in PAPER.items():
        text, values = f"Test accuracy with {LABELS[name]}", own.where(activation=name).by_seed("test_accuracy")
        found.append(compare_published(LABELS[name], text, values, value, TOLERANCE, source=FIGURE, unit="%"))
    return found


def _new(table: Table, activation: str, data: str) -> NDArray[Any]:
    """Of each seed, the mean accuracy in the trainings that nothing was learned on."""
    some = table.where(part="inner", activation=activation, data=data)
    rows = [(row["seed"], row["test_accuracy"]) for row in some if row["inner_seed"] >= _NEW]
    seeds = sorted({seed for seed, _ in rows})
    return np.array([np.mean([value for other, value in rows if other == seed]) for seed in seeds])


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
    minutes=24,
)
