"""Where is the peak of double descent: at as many parameters as samples, or as samples times classes?

Question: as networks grow, the test loss falls, rises near the size that just fits the training set, and falls again.
Is the peak where the number of parameters P equals the number of training samples n for cross-entropy, and n x K for
squared error with K classes?

Source: (b) the blog post of 2020 that became Greydanus & Kobak 2024 (arXiv 2011.14439), and the review of it
(dl.reviews, 2020-12-06), say so; no figure of the squared error survives. (a) The notebook of the paper, one run each,
n = 4,000, K = 10. Without label noise: test error 41 -> 37.3 % with no peak, train error 0 and test loss 4.42 at width
47. With 15 % label noise: test error 47.2 % at width 16, 54.0 % at 47, 45.5 % at 300; convolutions 19.6 % at 10
channels, 33.8 % at 18, 27.7 % at 100.

Protocol: that of the notebook. Networks 40-h-h-K with ReLU, or three convolutions of c channels; SGD at 0.01, momentum
0.9, batches of 100, shuffled, 20,000 steps (500 epochs of 4,000 samples); 15 % of the training labels drawn anew from
all classes; measured on 12,000 fresh samples. Squared error is taken between logits and one-hot labels and summed over
the classes, with the same learning rate. To tell n from n x K, smaller networks are trained on n = 500 to 2,000 with
K = 10, and on n = 1,000 with K = 2 and 5 (the first K digits), 10,000 steps each. Each seed has its own training set
(the stream of that seed), label noise, initial weights and order. The test loss is the loss that is trained on.

Expected: unknown. The claims of (b) come from linear models, where each output is a least-squares problem of its own.

Two places are read off each seed and condition, in parameters. The peak is where the test loss is highest above its
minima on both sides; there is none if that is less than a twentieth of it. The threshold is the size from which on the
training set is fitted (cross-entropy: no training error; squared error: below one hundredth of that of a constant
prediction): the geometric mean of two neighbouring sizes. Where a place is compared with n or n x K and lies outside
the sizes that were trained, it counts as the end of their range.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist1d_hf.data.stream import sample
from mnist1d_hf.studies import places
from mnist1d_hf.studies.claims import Claim, claim_mean, claim_published
from mnist1d_hf.studies.figures import curve, new_figure
from mnist1d_hf.studies.frames import Row, by_seed, grid, select, to_rows
from mnist1d_hf.studies.settings import Settings, choice
from mnist1d_hf.studies.study import Context, Study, Unit
from mnist1d_hf.training.ensemble import LOSSES, Ensemble, Procedure, seeded
from mnist1d_hf.training.evaluation import FRESH_SEED
from mnist1d_hf.training.population import new_network

NAMES = {"cross-entropy": "cross-entropy", "squared-error": "squared error"}
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
PROMINENT = 0.05  # fraction of the test loss by which a peak exceeds the minima on both sides
FITTED = 0.01  # fraction of a constant prediction's squared error below which the training set counts as fitted


@dataclasses.dataclass(frozen=True)
class DescentSettings(Settings):
    """Settings of this study."""

    samples: int = 4000  # n of the main conditions
    classes: int = 10  # K of the main conditions
    losses: tuple[str, ...] = choice(LOSSES, LOSSES)  # to train with
    noise: float = 0.15  # fraction of the training labels that is drawn anew
    # of the dense networks; each condition takes those with n / 8 to 4 n K parameters
    widths: tuple[int, ...] = (2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 47, 61, 80, 104, 135, 177, 230, 300, 370)
    # of the convolutional networks; chosen in the same way
    channels: tuple[int, ...] = (2, 3, 4, 6, 8, 10, 14, 18, 22, 28, 36, 50, 72, 100)
    steps: int = 20000  # of the optimiser in the main conditions
    few_samples: tuple[int, ...] = (500, 1000, 2000)  # other n, with all classes
    few_classes: tuple[int, ...] = (2, 5)  # other K, with the samples of `base_samples`
    # n of the conditions with fewer classes and of the convolutional networks with both losses
    base_samples: int = 1000
    few_steps: int = 10000  # of the optimiser in the conditions with fewer samples or classes
    test_samples: int = 12000  # fresh ones, of all ten classes, to measure on


@dataclasses.dataclass(frozen=True)
class Condition:
    """Everything but width and seed."""

    architecture: str  # "mlp" or "cnn"
    loss: str
    noise: float
    samples: int
    classes: int
    steps: int

    @property
    def key(self) -> str:
        """Part of the names of its units."""
        noise = f"noise-{self.noise:g}" if self.noise else "clean"
        return f"{self.architecture}-{self.loss}-{noise}-{self.samples}x{self.classes}"


def conditions(settings: DescentSettings) -> list[Condition]:
    """The conditions of some settings, each once."""
    n, k, noises = settings.samples, settings.classes, (settings.noise, 0.0)
    base, few = settings.base_samples, settings.few_steps
    found = [Condition("mlp", loss, noise, n, k, settings.steps) for loss in settings.losses for noise in noises]
    if "cross-entropy" in settings.losses:
        found.append(Condition("cnn", "cross-entropy", settings.noise, n, k, settings.steps))
    for loss in settings.losses:
        found += [Condition("cnn", loss, noise, base, k, few) for noise in noises]
        found += [Condition("mlp", loss, settings.noise, samples, k, few) for samples in settings.few_samples]
        found += [Condition("mlp", loss, settings.noise, base, classes, few) for classes in settings.few_classes]
    return list(dict.fromkeys(found))


def units(settings: DescentSettings) -> list[Unit]:
    """One for each condition and width: all seeds side by side."""
    made = []
    for condition in conditions(settings):
        for width in settings.widths if condition.architecture == "mlp" else settings.channels:
            size = parameters(condition.architecture, width, condition.classes)
            if condition.samples / 8 <= size <= 4 * condition.samples * condition.classes:
                work = condition.steps * _step_cost(condition.architecture, width, size)
                arguments = {"condition": condition, "width": width}
                made.append(Unit(f"{condition.key}-{width}", train, arguments, work))
    return made


def parameters(architecture: str, width: int, classes: int) -> int:
    """The number of parameters of a network, biases included.

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
    """Losses and errors of all seeds with one width in one condition: a row for each seed."""
    seeds, classes = range(settings.seeds), condition.classes
    x, label = (np.stack(part) for part in zip(*(training_set(condition, seed) for seed in seeds), strict=True))
    size = parameters(condition.architecture, width, classes)
    cost = _step_cost(condition.architecture, width, size)
    scale = classes if condition.loss == "squared-error" else 1  # `Ensemble` takes the mean over classes, not the sum
    procedure = Procedure(
        condition.steps, 100, 0.01 * scale, optimizer="sgd", momentum=0.9, loss=condition.loss, shuffle=True
    )
    networks = [seeded(lambda: _network(condition, width), seed) for seed in seeds]
    ensemble = Ensemble(networks, procedure, x, label, device=context.device)
    ensemble.run(report=lambda _: context.report(cost))
    train_loss, train_accuracy = ensemble.scores(x, label)
    test_loss, test_accuracy = ensemble.scores(*_first_classes(FRESH_SEED, settings.test_samples, classes))
    known = dataclasses.asdict(condition)
    del known["steps"]
    return to_rows(
        **known,
        width=width,
        parameters=size,
        seed=seeds,
        train_loss=scale * train_loss,
        train_error=100 * (1 - train_accuracy),
        test_loss=scale * test_loss,
        test_error=100 * (1 - test_accuracy),
    )


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
    """Those of the first `drawn` samples of a stream that belong to the first classes."""
    x, label = sample(range(drawn), seed)
    kept = np.flatnonzero(label < classes)
    return x[kept], label[kept]


def _network(condition: Condition, width: int) -> Any:
    if condition.architecture == "cnn":
        return new_network(architecture="cnn", widths=(width,) * 3, num_labels=condition.classes)
    return new_network(architecture="mlp", widths=(width,) * 2, residual=False, num_labels=condition.classes)


def peaks(table: pd.DataFrame, ends: bool = False) -> NDArray[Any]:
    """The number of parameters at the peak of each seed's test loss in one condition, (seeds,)."""
    return places.peaks(*grid(table, "test_loss", "parameters"), PROMINENT, ends)


def thresholds(table: pd.DataFrame, ends: bool = False) -> NDArray[Any]:
    """The number of parameters from which on each seed fits its training set in one condition, (seeds,)."""
    if (table["loss"] == "squared-error").all():
        size, loss = grid(table, "train_loss", "parameters")
        return places.thresholds(size, loss < FITTED * (1 - 1 / table["classes"].iloc[0]), ends)
    size, error = grid(table, "train_error", "parameters")
    return places.thresholds(size, error == 0, ends)


PLACES = {"peak": (peaks, "peak of the test loss"), "threshold": (thresholds, "threshold of fitting")}


def figure(table: pd.DataFrame) -> Figure:
    """Test loss and error against parameters, and where the peaks are compared with n and n x K."""
    drawn, axes = new_figure("Double descent", 4, columns=2)
    noise, n = table["noise"].max(), int(table["samples"].max())
    for axis, loss in zip(axes[:2], NAMES, strict=True):
        for part, color in ((0.0, "C0"), (noise, "C3")):
            some = select(table, architecture="mlp", samples=n, classes=10, loss=loss, noise=part)
            if len(some):
                label = f"{part:.0%} label noise" if part else "clean"
                curve(axis, *grid(some, "test_loss", "parameters"), label, color=color)
        for place, name in ((n, "n"), (n * 10, "n K")):
            axis.axvline(place, color="0.5", linestyle=":", linewidth=1)
            axis.text(place, axis.get_ylim()[1], name, ha="center", va="bottom", fontsize=8)
        axis.set(xscale="log", xlabel="parameters", ylabel="test loss", title=f"{NAMES[loss]}, n = {n:,}\n")
        axis.legend()
    noisy = select(table, noise=noise)
    _draw_errors(axes[2], select(noisy, classes=10))
    _draw_places(axes[3], noisy)
    return drawn


def _draw_errors(axis: Any, table: pd.DataFrame) -> None:
    """The test error of the most samples of each architecture and loss."""
    for (architecture, loss), some in table.groupby(["architecture", "loss"], sort=False):
        n = some["samples"].max()
        name, style = f"{architecture.upper()}, {NAMES[loss]}, n = {n:,}", "-" if loss == "cross-entropy" else "--"
        curve(axis, *grid(select(some, samples=n), "test_error", "parameters"), name, linestyle=style)
    axis.set(xscale="log", xlabel="parameters", ylabel="test error, %", title="test error with label noise\n")
    axis.legend(fontsize=7)


def _draw_places(axis: Any, table: pd.DataFrame) -> None:
    for loss, color in (("cross-entropy", "C0"), ("squared-error", "C1")):
        for kind, name, marker in ((peaks, "peak", "o"), (thresholds, "threshold", "x")):
            points = []
            for (_, n, classes), some in select(table, loss=loss).groupby(["architecture", "samples", "classes"]):
                found = kind(some)
                if np.isfinite(found).any():
                    points.append((n * classes, np.exp(np.nanmean(np.log(found))) / n))
            if points:
                axis.plot(*zip(*points, strict=True), marker, color=color, label=f"{NAMES[loss]}: {name}")
    products = sorted((table["samples"] * table["classes"]).unique())
    axis.axhline(1, color="0.5", linestyle=":", linewidth=1, label="P = n")
    axis.set(xscale="log", yscale="log", xlabel="n K", ylabel="P / n", title="where peaks and thresholds are\n")
    axis.set_xlim(min(products) / 1.5, max(products) * 1.5)
    axis.set_xticks(products, [f"{product:,}" for product in products])
    axis.set_xticks([], minor=True)
    axis.legend(fontsize=7, loc="center right", bbox_to_anchor=(1, 0.59))  # between the two groups


def claims(table: pd.DataFrame) -> list[Claim]:
    """The places of the peaks, how they move with n and K, and the published errors."""
    noisy = select(table, noise=table["noise"].max())
    mlp, cnn = select(noisy, architecture="mlp"), select(noisy, architecture="cnn")
    return [
        *_places(select(mlp, samples=int(table["samples"].max()), classes=10), "MLP"),
        *_places(select(cnn, samples=cnn["samples"].min()), "CNN"),
        *_exponents(mlp),
        *_published(noisy),
        *_error_peaks(select(table, architecture="mlp", loss="cross-entropy", classes=10)),
    ]


def _places(table: pd.DataFrame, name: str) -> list[Claim]:
    """Peak and threshold compared with n and n x K, within a factor of two."""
    found = []
    for (short, (kind, what)), loss in itertools.product(PLACES.items(), LOSSES[::-1]):  # the loss in dispute first
        some = select(table, loss=loss)
        if len(some):
            n, classes = some["samples"].iloc[0], some["classes"].iloc[0]
            expected, where = (n * classes, "n K") if loss == "squared-error" else (n, "n")
            text = f"With {NAMES[loss]} the {what} of the {name} is at P = {where} parameters (P / {where} is 1)"
            title, values = f"{short}, {NAMES[loss]}, {name}", kind(some, ends=True) / expected
            details = {"literature": f"P = {where}", "source": CLAIM}
            found.append(claim_mean(title, text, values, least=0.5, most=2.0, **details))
    return found


def _exponents(table: pd.DataFrame) -> list[Claim]:
    """How the places move: the exponents a and b of n^a K^b, from conditions that differ in n or in K alone."""
    found = []
    for (name, (kind, _)), loss in itertools.product(PLACES.items(), LOSSES[::-1]):
        for axis, other, symbol in (("samples", "classes", "n"), ("classes", "samples", "K")):
            some = _line(select(table, loss=loss), axis, other)
            if some is not None:
                claimed = 0 if (loss, axis) == ("cross-entropy", "classes") else 1
                text = f"With {NAMES[loss]} the parameters at the {name} grow with {symbol} to the power {claimed}"
                title, points = f"{name}, {NAMES[loss]}: {symbol}^a", np.sort(some[axis].unique())
                values = places.slopes(points, np.array([kind(select(some, **{axis: point})) for point in points]))
                literature = f"a = {claimed}"
                found.append(claim_published(title, text, values, claimed, 0.4, literature=literature, source=CLAIM))
    return found


def _line(table: pd.DataFrame, axis: str, other: str) -> pd.DataFrame | None:
    """The conditions that differ in `axis` alone, for the value of `other` that has most of them."""
    counts = table.groupby(other, sort=False)[axis].nunique()
    return select(table, **{other: counts.idxmax()}) if len(counts) and counts.max() >= 2 else None


def _published(noisy: pd.DataFrame) -> list[Claim]:
    """The errors of the notebook."""
    found = []
    noisy = select(noisy, loss="cross-entropy", samples=4000)
    for architecture, width, value in _NOISY_ERRORS:
        values, name = by_seed(noisy, "test_error", architecture=architecture, width=width), architecture.upper()
        if len(values):
            text = f"Test error of the {name} of width {width} with 15 % label noise, cross-entropy"
            details = {"source": PAPER, "unit": "%"}
            found.append(claim_published(f"{name} {width}, noise", text, values, value, TOLERANCE, **details))
    return found


def _error_peaks(table: pd.DataFrame) -> list[Claim]:
    """Whether the test error has a peak, with label noise and without."""
    table = select(table, samples=table["samples"].max()) if len(table) else table
    noisy, clean = table[table["noise"] > 0], table[table["noise"] == 0]
    found, details = [], {"source": PAPER, "unit": "points"}
    if len(noisy):
        fall = places.last_fall(*grid(noisy, "test_error", "parameters"), noisy["samples"].iloc[0])
        text = "With label noise the test error peaks and falls again by 5 points"
        found.append(claim_mean("second descent", text, fall, least=5.0, literature="8.5", **details))
    if len(clean):
        rise = places.greatest_rise(grid(clean, "test_error", "parameters")[1])
        text = "Without label noise the test error rises nowhere by 1 point"
        found.append(claim_mean("no peak when clean", text, rise, most=1.0, literature="0", **details))
    return found


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
    minutes=180,
)
