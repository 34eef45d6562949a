"""Where is the peak of double descent: at as many parameters as samples, or as samples times classes?

Question: as networks grow, the test loss falls, rises where they begin to fit the training set exactly, and falls
again. Does the peak sit where the parameters P equal the training samples n for cross-entropy, and n x K for squared
error with K classes?

Source: (b) the blog post of 2020 that became Greydanus & Kobak 2024 (arXiv 2011.14439), and the review of it
(dl.reviews, 2020-12-06), say so; no figure of the squared error survives. (a) The notebook of the paper has, one run
each, n = 4,000, K = 10: clean, test error 41 -> 37.3 % with no peak, train error 0 and test loss 4.42 at width 47;
with 15 % label noise, test error 47.2 % at width 16, 54.0 % at 47, 45.5 % at 300; convolutions with noise 19.6 % at
10 channels, 33.8 % at 18, 27.7 % at 100.

Protocol: that of the notebook: networks 40-h-h-K with ReLU, or three convolutions of c channels; SGD at 0.01, momentum
0.9, batches of 100, shuffled, 20,000 steps (500 epochs of 4,000 samples); 15 % of the training labels drawn anew from
all classes; measured on 12,000 fresh samples. Squared error between logits and one-hot labels, summed over the classes,
at the same learning rate. To tell n from n x K, smaller networks on n = 500 to 2,000 with K = 10, and on n = 1,000 with
K = 2 and 5 (the first K digits), 10,000 steps each. Each seed has a training set of its own (the stream of that seed),
label noise, initial weights and order of its own. The test loss is the one that is trained on.

Expected: the claims of (b) are about linear models in origin, where each output is a separate least-squares problem;
whether they hold here is what is asked.

Of each seed and condition, two places are read off, in parameters: the peak, where the test loss stands out most from
what lies on both sides of it (none if that is by less than a twentieth); and the threshold, from which on the training
set is fit (cross-entropy: no training error; squared error: below one hundredth of that of a constant answer), between
two widths in the middle. Beside n and n x K, what is not found inside the widths counts as at their end.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist1d_hf.data.stream import sample
from mnist1d_hf.studies.claims import Claim, compare, compare_published
from mnist1d_hf.studies.figures import curve, new_figure
from mnist1d_hf.studies.settings import Settings, choice
from mnist1d_hf.studies.study import Context, Study, Unit
from mnist1d_hf.studies.table import Row, Table
from mnist1d_hf.training.ensemble import LOSSES, Ensemble, Procedure, seeded
from mnist1d_hf.training.evaluation import FRESH_SEED
from mnist1d_hf.training.population import new_network

NAMES = {"cross-entropy": "cross-entropy", "squared-error": "squared error"}
ARCHITECTURES = ("mlp", "cnn")
CLAIM = "blog post of 2020, repeated by dl.reviews 2020-12-06; no figure of the squared error survives"
PAPER = "Greydanus & Kobak 2024 (arXiv 2011.14439), double descent, notebook, one run"
_NOISY_ERRORS = (  # architecture, width, test error in percent with 15 % label noise and cross-entropy: extrema, widest
    ("mlp", 16, 47.2),
    ("mlp", 47, 54.0),
    ("mlp", 300, 45.5),
    ("cnn", 10, 19.6),
    ("cnn", 18, 33.8),
    ("cnn", 100, 27.7),
)
TOLERANCE = 3.0  # percentage points around a published error, which is of one run on one training set
PROMINENT = 0.05  # share of the test loss by which a peak stands out on both sides
FITTED = 0.01  # share of the squared error of a constant answer below which the training set counts as fit


@dataclasses.dataclass(frozen=True)
class DescentSettings(Settings):
    """Settings of this study.

    Attributes:
        samples, classes: of the main conditions, n and K.
        losses: to train with.
        noise: share of the training labels that is drawn anew.
        widths: of the dense networks; of them, each condition takes those from n / 8 to 4 n K parameters.
        channels: of the convolutional networks; the same.
        steps: of the optimiser in the main conditions.
        few_samples: other n, with all classes.
        few_classes: other K, with the samples of `base_samples`.
        base_samples: n of the conditions with fewer classes and of the convolutional networks with both losses.
        few_steps: of the optimiser in the conditions with fewer samples or classes.
        test_samples: fresh ones, of all ten classes, to measure on.
    """

    samples: int = 4000
    classes: int = 10
    losses: tuple[str, ...] = choice(LOSSES, LOSSES)
    noise: float = 0.15
    widths: tuple[int, ...] = (2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 47, 61, 80, 104, 135, 177, 230, 300, 370)
    channels: tuple[int, ...] = (2, 3, 4, 6, 8, 10, 14, 18, 22, 28, 36, 50, 72, 100)
    steps: int = 20000
    few_samples: tuple[int, ...] = (500, 1000, 2000)
    few_classes: tuple[int, ...] = (2, 5)
    base_samples: int = 1000
    few_steps: int = 10000
    test_samples: int = 12000


@dataclasses.dataclass(frozen=True)
class Condition:
    """All but width and seed."""

    architecture: str
    loss: str
    noise: float
    samples: int
    classes: int
    steps: int

    @property
    def key(self) -> str:
        """Its name in those of units."""
        noise = f"noise-{self.noise:g}" if self.noise else "clean"
        return f"{self.architecture}-{self.loss}-{noise}-{self.samples}x{self.classes}"


def conditions(settings: DescentSettings) -> list[Condition]:
    """Those of the settings, each once."""
    n, few = settings.samples, settings.few_steps
    found = []
    for loss in settings.losses:
        for noise in (settings.noise, 0.0):
            found.append(Condition("mlp", loss, noise, n, settings.classes, settings.steps))
    if "cross-entropy" in settings.losses:
        found.append(Condition("cnn", "cross-entropy", settings.noise, n, settings.classes, settings.steps))
    for loss in settings.losses:
        for noise in (settings.noise, 0.0):
            found.append(Condition("cnn", loss, noise, settings.base_samples, settings.classes, few))
        for samples in settings.few_samples:
            found.append(Condition("mlp", loss, settings.noise, samples, settings.classes, few))
        for classes in settings.few_classes:
            found.append(Condition("mlp", loss, settings.noise, settings.base_samples, classes, few))
    return list(dict.fromkeys(found))


def units(settings: DescentSettings) -> list[Unit]:
    """One for each condition and width: all seeds side by side."""
    made = []
    for condition in conditions(settings):
        for width in settings.widths if condition.architecture == "mlp" else settings.channels:
            size = parameters(condition.architecture, width, condition.classes)
            if condition.samples / 8 <= size <= 4 * condition.samples * condition.classes:
                made.append(
                    Unit(
                        key=f"{condition.key}-{width}",
                        function=train,
                        arguments={"settings": settings, "condition": condition, "width": width},
                        work=condition.steps * _step_cost(condition.architecture, width, size),
                    )
                )
    return made


def parameters(architecture: str, width: int, classes: int) -> int:
    """Of a network, biases included.

    >>> parameters("mlp", 47, 10), parameters("cnn", 25, 10)
    (4663, 5210)
    """
    if architecture == "mlp":
        return width * width + (42 + classes) * width + classes
    return 6 * width * width + (8 + 5 * classes) * width + classes


def _step_cost(architecture: str, width: int, size: int) -> int:
    """Of a step of ten networks, in hundredths of a millisecond, measured roughly."""
    if architecture == "mlp":
        return round(60 * (1 + size / 8000))
    return round(60 * (1 + 0.2 * width + 0.0047 * width * width))


def train(settings: DescentSettings, condition: Condition, width: int, context: Context) -> list[Row]:
    """Losses and errors of all seeds with one width in one condition."""
    seeds, classes = range(settings.seeds), condition.classes
    x, label = (np.stack(part) for part in zip(*(training_set(condition, seed) for seed in seeds), strict=True))
    size = parameters(condition.architecture, width, classes)
    cost = _step_cost(condition.architecture, width, size)
    ensemble = Ensemble(
        [seeded(lambda: _network(condition, width), seed) for seed in seeds],
        Procedure(
            steps=condition.steps,
            # the loss is the mean over the classes, and what is wanted is the sum
            learning_rate=0.01 * (classes if condition.loss == "squared-error" else 1),
            optimizer="sgd",
            momentum=0.9,
            shuffle=True,
            loss=condition.loss,
        ),
        x,
        label,
        device=context.device,
    )
    ensemble.run(report=lambda _: context.report(cost))
    train_loss, train_right = ensemble.scores(x, label)
    test_loss, test_right = ensemble.scores(*_first_classes(FRESH_SEED, settings.test_samples, classes))
    scale = classes if condition.loss == "squared-error" else 1
    return [
        {
            "architecture": condition.architecture,
            "loss": condition.loss,
            "noise": condition.noise,
            "samples": condition.samples,
            "classes": classes,
            "width": width,
            "parameters": size,
            "seed": seed,
            "train_loss": scale * train_loss[seed],
            "train_error": 100 * (1 - train_right[seed]),
            "test_loss": scale * test_loss[seed],
            "test_error": 100 * (1 - test_right[seed]),
        }
        for seed in seeds
    ]


def training_set(condition: Condition, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Signals float32 (samples, 40) and labels int64 (samples,) of a seed, with its label noise."""
    n, classes = condition.samples, condition.classes
    x, label = _first_classes(seed, math.ceil(1.3 * n * 10 / classes) + 500, classes)
    x, label = x[:n], label[:n].copy()
    random = np.random.default_rng([seed, 1])
    noisy = random.random(n) < condition.noise
    label[noisy] = random.integers(0, classes, int(noisy.sum()))
    return x, label


def _first_classes(seed: int, drawn: int, classes: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Of so many samples of a stream, those of the first classes."""
    x, label = sample(range(drawn), seed)
    kept = np.flatnonzero(label < classes)
    return x[kept], label[kept]


def _network(condition: Condition, width: int) -> Any:
    if condition.architecture == "cnn":
        return new_network(architecture="cnn", widths=(width,) * 3, num_labels=condition.classes)
    return new_network(architecture="mlp", widths=(width,) * 2, residual=False, num_labels=condition.classes)


def peaks(table: Table, ends: bool = False) -> NDArray[Any]:
    """Of each seed, the number of parameters at the peak of its test loss: float64 (seeds,); nan if there is none.

    The peak is the width that stands out most: of its rise above the least loss of narrower networks and its fall to
    the least of wider ones, the smaller is the greatest; and it is at least `PROMINENT` of the loss there.

    Args:
        table: of one condition.
        ends: where there is no peak, the end of the widths at which the loss is greater, instead of nan.
    """
    size, loss = np.array(sorted(table.unique("parameters")), dtype=float), table.grid("test_loss", "parameters")
    loss = np.where(np.isfinite(loss), loss, 1e30)
    rise = loss - np.minimum.accumulate(loss, axis=1)
    fall = loss - np.minimum.accumulate(loss[:, ::-1], axis=1)[:, ::-1]
    prominence = np.minimum(rise, fall)
    place, seed = prominence.argmax(1), np.arange(len(loss))
    there = prominence[seed, place] >= PROMINENT * np.abs(loss[seed, place])
    instead = np.where(loss[:, 0] > loss[:, -1], size[0], size[-1]) if ends else np.nan
    return np.where(there, size[place], instead)


def thresholds(table: Table, ends: bool = False) -> NDArray[Any]:
    """Of each seed, the number of parameters from which on the training set is fit: float64 (seeds,); nan if it is
    never, or always. Between two widths it is the geometric mean of theirs.

    Args:
        table: of one condition.
        ends: the last of the widths if it is never, the first if it is always, instead of nan.
    """
    size = np.array(sorted(table.unique("parameters")), dtype=float)
    if table.unique("loss") == ["squared-error"]:
        fit = table.grid("train_loss", "parameters") < FITTED * (1 - 1 / table.unique("classes")[0])
    else:
        fit = table.grid("train_error", "parameters") == 0
    found = []
    for row in fit:
        place = len(row) - int(np.argmin(row[::-1])) if not row.all() else 0  # behind the last width that does not fit
        if 0 < place < len(size):
            found.append(np.sqrt(size[place - 1] * size[place]))
        else:
            found.append((size[0] if place == 0 else size[-1]) if ends else np.nan)
    return np.array(found)


def figure(table: Table) -> Figure:
    """Test loss and error against parameters, and where the peaks are against n and n x K."""
    drawn, axes = new_figure("Double descent", 4, columns=2)
    base = {"architecture": "mlp", "samples": max(table.unique("samples")), "classes": 10}
    for axis, loss in zip(axes[:2], NAMES, strict=True):
        for noise, color in ((0.0, "C0"), (max(table.unique("noise")), "C3")):
            some = table.where(loss=loss, noise=noise, **base)
            if len(some):
                name = f"{noise:.0%} label noise" if noise else "clean"
                curve(axis, sorted(some.unique("parameters")), some.grid("test_loss", "parameters"), name, color=color)
        for place, name in ((base["samples"], "n"), (base["samples"] * 10, "n K")):
            axis.axvline(place, color="0.5", linestyle=":", linewidth=1)
            axis.text(place, axis.get_ylim()[1], name, ha="center", va="bottom", fontsize=8)
        axis.set(
            xscale="log", xlabel="parameters", ylabel="test loss", title=f"{NAMES[loss]}, n = {base['samples']:,}\n"
        )
        axis.legend()
    _draw_errors(axes[2], table)
    _draw_places(axes[3], table)
    return drawn


def _draw_errors(axis: Any, table: Table) -> None:
    for architecture in table.unique("architecture"):
        for loss in table.unique("loss"):
            some = table.where(architecture=architecture, loss=loss, noise=max(table.unique("noise")), classes=10)
            some = some.where(samples=max(some.unique("samples"))) if len(some) else some
            if len(some):
                name = f"{architecture.upper()}, {NAMES[loss]}, n = {some.unique('samples')[0]:,}"
                style = {"linestyle": "-" if loss == "cross-entropy" else "--"}
                curve(axis, sorted(some.unique("parameters")), some.grid("test_error", "parameters"), name, **style)
    axis.set(xscale="log", xlabel="parameters", ylabel="test error, %", title="test error with label noise\n")
    axis.legend(fontsize=7)


def _draw_places(axis: Any, table: Table) -> None:
    noisy = table.where(noise=max(table.unique("noise")))
    for loss, color in (("cross-entropy", "C0"), ("squared-error", "C1")):
        for kind, marker in ((peaks, "o"), (thresholds, "x")):
            points = []
            for some in _by_condition(noisy.where(loss=loss)):
                n, classes = some.unique("samples")[0], some.unique("classes")[0]
                places = kind(some)
                if np.isfinite(places).any():
                    points.append((n * classes, np.exp(np.nanmean(np.log(places))) / n))
            name = f"{NAMES[loss]}: {'peak' if kind is peaks else 'threshold'}"
            axis.plot(*zip(*points, strict=True), marker, color=color, label=name) if points else None
    products = sorted({row["samples"] * row["classes"] for row in noisy})
    axis.axhline(1, color="0.5", linestyle=":", linewidth=1, label="P = n")
    axis.set(xscale="log", yscale="log", xlabel="n K", ylabel="P / n", title="where peaks and thresholds are\n")
    axis.set_xlim(min(products) / 1.5, max(products) * 1.5)
    axis.set_xticks(products, [f"{product:,}" for product in products])
    axis.set_xticks([], minor=True)
    axis.legend(fontsize=7, loc="center right", bbox_to_anchor=(1, 0.59))  # between the two groups


def _by_condition(table: Table) -> list[Table]:
    names = ("architecture", "loss", "noise", "samples", "classes")
    keys = dict.fromkeys(tuple(row[name] for name in names) for row in table)
    return [table.where(**dict(zip(names, key, strict=True))) for key in keys]


def claims(table: Table) -> list[Claim]:
    """The verdict: places of the peaks, how they move with n and K, and the published errors."""
    noisy = table.where(noise=max(table.unique("noise")))
    mlp, cnn = noisy.where(architecture="mlp"), noisy.where(architecture="cnn")
    return [
        *_places(mlp.where(samples=max(table.unique("samples")), classes=10), "MLP"),
        *_places(cnn.where(samples=min(cnn.unique("samples"), default=0)), "CNN"),
        *_exponents(mlp),
        *_published(table),
    ]


def _places(table: Table, name: str) -> list[Claim]:
    """Peak and threshold beside n and n x K, within a factor of two; of squared error first, which is the dispute."""
    found = []
    for kind, what in ((peaks, "peak of the test loss"), (thresholds, "threshold of fitting")):
        for loss in ("squared-error", "cross-entropy"):
            some = table.where(loss=loss)
            if not len(some):
                continue
            n, classes = some.unique("samples")[0], some.unique("classes")[0]
            unit, where = (n * classes, "n K") if loss == "squared-error" else (n, "n")
            short = "peak" if kind is peaks else "threshold"
            found.append(
                compare(
                    f"{short}, {NAMES[loss]}, {name}",
                    f"With {NAMES[loss]} the {what} of the {name} is at P = {where} parameters (P / {where} is 1)",
                    kind(some, ends=True) / unit,
                    least=0.5,
                    most=2.0,
                    literature=f"P = {where}",
                    source=CLAIM,
                )
            )
    return found


def _exponents(table: Table) -> list[Claim]:
    """How the places move: the exponents a and b of n^a K^b, from conditions that differ in n or in K alone."""
    found = []
    for kind, what in ((peaks, "peak"), (thresholds, "threshold")):
        for loss in ("squared-error", "cross-entropy"):
            for axis, other in (("samples", "classes"), ("classes", "samples")):
                some = _line(table.where(loss=loss), axis, other)
                if some is None:
                    continue
                claimed = 0 if (loss, axis) == ("cross-entropy", "classes") else 1
                symbol = "n" if axis == "samples" else "K"
                found.append(
                    compare(
                        f"{what}, {NAMES[loss]}: {symbol}^a",
                        f"With {NAMES[loss]} the parameters at the {what} grow with {symbol} to the power {claimed}",
                        _slopes(some, axis, kind),
                        least=claimed - 0.4,
                        most=claimed + 0.4,
                        literature=f"a = {claimed}",
                        source=CLAIM,
                    )
                )
    return found


def _line(table: Table, axis: str, other: str) -> Table | None:
    """The conditions that differ in `axis` alone: those of the value of `other` that has most of them."""
    lines = [table.where(**{other: value}) for value in table.unique(other)]
    best = max(lines, key=lambda line: len(line.unique(axis)), default=None)
    return best if best is not None and len(best.unique(axis)) >= 2 else None


def _slopes(table: Table, axis: str, kind: Callable[[Table], NDArray[Any]]) -> NDArray[Any]:
    """Of each seed, the slope of log places over log n or log K."""
    values = sorted(table.unique(axis))
    places = np.log([kind(table.where(**{axis: value})) for value in values])
    return np.polyfit(np.log(values), places, 1)[0] if np.isfinite(places).all() else _slopes_with_gaps(values, places)


def _slopes_with_gaps(values: list[float], places: NDArray[Any]) -> NDArray[Any]:
    """The same where some places are nan: from the others of that seed; nan with fewer than two."""
    slopes = []
    for column in places.T:
        known = np.isfinite(column)
        slopes.append(np.polyfit(np.log(values)[known], column[known], 1)[0] if known.sum() > 1 else np.nan)
    return np.array(slopes)


def _published(table: Table) -> list[Claim]:
    """The errors of the notebook, and whether there is a peak of the error."""
    noise, n = max(table.unique("noise")), max(table.unique("samples"))
    found = []
    for architecture, width, value in _NOISY_ERRORS:
        some = table.where(architecture=architecture, loss="cross-entropy", noise=noise, samples=4000, width=width)
        if len(some):
            name = f"{architecture.upper()} {width}, noise"
            text = f"Test error of the {architecture.upper()} of width {width} with 15 % label noise, cross-entropy"
            values = some.by_seed("test_error")
            found.append(compare_published(name, text, values, value, TOLERANCE, source=PAPER, unit="%"))
    for share, name, text, least, most, theirs in (
        (noise, "second descent", "With label noise the test error peaks and falls again by 5 points", 5.0, None, 8.5),
        (0.0, "no peak when clean", "Without label noise the test error rises nowhere by 1 point", None, 1.0, 0.0),
    ):
        some = table.where(architecture="mlp", loss="cross-entropy", noise=share, samples=n, classes=10)
        if len(some):
            change = _last_fall(some) if share else _greatest_rise(some.grid("test_error", "parameters"))
            found.append(
                compare(
                    name, text, change, least=least, most=most, literature=f"{theirs:g}", source=PAPER, unit="points"
                )
            )
    return found


def _last_fall(table: Table) -> NDArray[Any]:
    """Of each seed, the fall of the test error from its peak to the widest network. The peak is where the mean over the
    seeds is highest behind its minimum below n parameters."""
    size, errors = np.array(sorted(table.unique("parameters"))), table.grid("test_error", "parameters")
    mean = errors.mean(0)
    low = int(mean[size < table.unique("samples")[0]].argmin())
    peak = low + int(mean[low:].argmax())
    return np.asarray(errors[:, peak] - errors[:, -1])


def _greatest_rise(errors: NDArray[Any]) -> NDArray[Any]:
    """Of each seed, the rise of the error between the two widths where the mean over the seeds rises most."""
    mean = errors.mean(0)
    pairs = [(first, second) for first in range(len(mean)) for second in range(first + 1, len(mean))]
    first, second = max(pairs, key=lambda pair: mean[pair[1]] - mean[pair[0]])
    return np.asarray(errors[:, second] - errors[:, first])


STUDY = Study(
    name="double-descent",
    question="Does the test loss peak at n parameters for cross-entropy, and at n x K for squared error?",
    source="Greydanus & Kobak 2024 (arXiv 2011.14439), its blog post of 2020, and dl.reviews 2020-12-06",
    full=DescentSettings(),
    quick=DescentSettings(
        seeds=2,
        samples=200,
        widths=(2, 4, 9, 21, 47),
        channels=(3, 6),
        steps=150,
        few_samples=(100,),
        few_classes=(5,),
        base_samples=100,
        few_steps=100,
        test_samples=1000,
    ),
    units=units,
    figure=figure,
    claims=claims,
    minutes=150,
)
