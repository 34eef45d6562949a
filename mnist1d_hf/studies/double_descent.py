"""Where is the peak of double descent: at as many parameters as samples, or as samples times classes?

Question: as networks grow, the test loss falls, rises near the size that just fits the training set, and falls again.
Is the peak where the number of parameters P equals the number of training samples n for cross-entropy, and n x K for
squared error with K classes?

Source: (b) the blog post of 2020 that became Greydanus & Kobak 2024 (arXiv 2011.14439), and the review of it
(dl.reviews, 2020-12-06), say so; no figure of the squared error survives. (a) The notebook of the paper, one run each,
n = 4,000, K = 10, 500 epochs. With 15 % label noise: test error 47.2 % at width 16, its minimum, 54.0 % at widths 47 to
61, its peak, 45.5 % at 300; convolutions 19.6 % at 10 channels (minimum), 33.8 % at 18 (peak), 27.7 % at 100. Without
label noise: the training error reaches 0 at width 47; the test loss is highest there, 4.42; the test error falls from
41 to 37.3 % and has no peak.

Protocol: that of the notebook. Networks 40-h-h-K with ReLU, or three convolutions of c channels; SGD at 0.01, momentum
0.9, batches of 100, shuffled; 15 % of the training labels drawn anew from all classes. Squared error is taken between
logits and one-hot labels and summed over the classes, with the same learning rate. The test loss is the loss that is
trained on. For (b), K varies at n = 1,000, n varies at K = 10, and the losses are read at training times of 1/4 to 16
times the notebook's 500 epochs, within a run of at most 20,000 steps. Widths grow in steps of at most 1.2, or of 1. The
place of a peak is the top of a parabola, in log width, through the peak of the loss averaged over seeds and its two
neighbours. There is no peak where the loss does not exceed its minima on both sides by a twentieth, or where that is
so for less than 97.5 % of the bootstrap samples of seeds. Exponents are those of P = c n^a K^b t^d, with t in epochs,
fitted to all peaks of a loss with label noise; intervals are bootstraps over seeds. A label drawn anew can be right:
with two classes 7.5 % are wrong, with ten 13.5 %; the exponents without label noise do not depend on that.

Deviations:
- Of the notebook's peaks, those of the dense network are located, each seed's by the same parabola; the notebook's
  widths lie 30 % apart, which counts as an error of its place. Convolutions have three numbers of channels only, so the
  claim is the order of their errors.
- The effects behind "undecided" are ours where the source has none: 1 for the clean test loss, which is one number; for
  the places of the notebook's peaks, the distance from the place that squared error should have (width 176).
- Each seed has a training set, test samples and label noise of its own, and for K < 10 a random choice of classes.
- (b) names no sizes, and no training time or network: those of (a) are taken. It does not say whether more samples mean
  more steps: the claims take equally many epochs, and equally many steps are a finding.
- With squared error n is at most 4,000, and n = 8,000 is trained for half of the notebook's time: larger products take
  hours.
- An epoch is n / 100 steps, also where 100 does not divide n.
- Which widths are trained was set after a look at three seeds, and changed once after the first conditions with K = 2,
  whose peak was at the end of the widths.

Expected: unknown. The claims of (b) come from linear models, where each output is a least-squares problem of its own.

Answer: As a law, the claim of the blog post and the review holds for neither loss. With cross-entropy the peak is not
at n parameters whatever the number of classes: it grows with K, about as K^0.6, and at equally many epochs more slowly
than n; trained longer, the same data have their peak at smaller networks. At equally many steps it grows nearly like n.
With squared error n x K is right within a factor of two and a half, and closest with ten classes. Without label noise
the peak of the test loss is there, too, at somewhat smaller networks.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnist1d_hf.data.configurations import FRESH_SEED
from mnist1d_hf.data.stream import noisy_labels, sample
from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.studies import double_descent_peaks
from mnist1d_hf.studies.claims import Claim, Finding, by_number, claim_direction, claim_run, find_mean
from mnist1d_hf.studies.double_descent_peaks import SHORT, figure, find_peaks, parameters, window
from mnist1d_hf.studies.frames import Row, by_seed, grid, select, to_rows
from mnist1d_hf.studies.places import peaks
from mnist1d_hf.studies.settings import Settings, choice
from mnist1d_hf.studies.study import Context, Study, Unit, seed_groups
from mnist1d_hf.training.ensemble import LOSSES, Ensemble, Procedure, seeded
from mnist1d_hf.training.population import new_network

PAPER = "notebook on double descent, one run"
_ERRORS = (  # architecture, width, test error in percent with 15 % label noise
    ("mlp", 16, 47.2),
    ("mlp", 47, 54.0),
    ("mlp", 300, 45.5),
    ("cnn", 10, 19.6),
    ("cnn", 18, 33.8),
    ("cnn", 100, 27.7),
)
_PEAK = {"mlp": 47, "cnn": 18}  # width where the notebook's test error is highest
_RISE = {"mlp": 54.0 - 47.2, "cnn": 33.8 - 19.6}  # from the minimum to the peak, in percentage points
_CLEAN_LOSS = 4.42  # test loss at width 47 without label noise
_LOSS_EFFECT = 1.0  # a wider interval of that loss says little; the notebook prints no other loss to compare with
_PLACES = (  # measure, whether labels are noisy, and the width at the peak
    ("test_loss", False, 47.0),
    ("test_error", True, math.sqrt(47 * 61)),
)
_GRID_ERROR = 47 * (61 / 47 - 1) / math.sqrt(12)  # standard error of a width that lies anywhere between two widths
_OTHER_PLACE = 176 - 47  # width at which there are n x K parameters, less the notebook's


@dataclasses.dataclass(frozen=True)
class DescentSettings(Settings):
    """Settings of this study."""

    seeds: int = 10
    losses: tuple[str, ...] = choice(LOSSES, LOSSES)  # to train with
    noise: float = 0.15  # fraction of the training labels that is drawn anew
    samples: tuple[int, ...] = (250, 500, 1000, 2000, 4000, 8000)  # n, with ten classes
    classes: tuple[int, ...] = (2, 3, 5, 10)  # K, with the samples of `base_samples`
    base_samples: int = 1000
    clean_samples: tuple[int, ...] = (250, 1000)  # n without label noise, with ten classes
    clean_classes: tuple[int, ...] = (2, 10)  # K without label noise
    most_product: int = 40000  # n x K with squared error
    # of the dense networks: a condition takes those in a window of n x K parameters
    widths: tuple[int, ...] = (
        *(2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 19, 22, 26, 31, 37, 44, 52, 62, 74, 88, 105, 126, 151, 181, 217),
        *(260, 312),
    )
    epochs: int = 500  # training time 1, that of the notebook
    times: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # training times at which the losses are read
    most_steps: int = 20000  # of the optimiser; longer training times are left out
    notebook_samples: int = 4000  # n of the conditions that the notebook has too
    notebook_widths: tuple[int, ...] = (16, 47, 300)  # of dense networks, beside those in the window
    channels: tuple[int, ...] = (10, 18, 100)  # of the convolutional networks
    test_samples: int = 12000  # fresh ones of the same classes to measure on, others for each seed

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("classes", "clean_classes"):
            if not all(2 <= count <= 10 for count in getattr(self, name)):
                raise InvalidValueError(f"{name}: expected 2 to 10, found {','.join(map(str, getattr(self, name)))}")
        if self.noise > 1:
            raise InvalidValueError(f"noise: expected a fraction of the labels, at most 1, found {self.noise:g}")
        shortest = Condition("", "", 0.0, min(*self.samples, self.base_samples, self.notebook_samples), 10)
        if _steps(self, shortest, min(self.times)) > self.most_steps:
            raise InvalidValueError(f"most_steps: expected enough for the shortest training, found {self.most_steps}")


@dataclasses.dataclass(frozen=True)
class Condition:
    """Everything but width, training time and seed."""

    architecture: str  # "mlp" or "cnn"
    loss: str
    noise: float
    samples: int
    classes: int

    @property
    def key(self) -> str:
        """Part of the names of its units."""
        noise = f"noise-{self.noise:g}" if self.noise else "clean"
        return f"{self.architecture}-{self.loss}-{noise}-{self.samples}x{self.classes}"


GROUP = 10  # seeds that are trained side by side


def conditions(settings: DescentSettings) -> list[Condition]:
    """The conditions of the dense networks, each once; those that differ in the number of classes first."""
    base, found = settings.base_samples, []
    for noise, samples, classes in (
        (settings.noise, settings.samples, settings.classes),
        (0.0, settings.clean_samples, settings.clean_classes),
    ):
        shapes = [*((base, k) for k in classes), *((n, 10) for n in samples)]
        found += [Condition("mlp", loss, noise, n, k) for n, k in shapes for loss in settings.losses]
    if "cross-entropy" in settings.losses:
        found += [
            Condition("mlp", "cross-entropy", noise, settings.notebook_samples, 10) for noise in (settings.noise, 0.0)
        ]
    found = [one for one in found if one.loss == "cross-entropy" or one.samples * one.classes <= settings.most_product]
    return [one for one in dict.fromkeys(found) if _steps(settings, one, min(settings.times)) <= settings.most_steps]


def units(settings: DescentSettings) -> list[Unit]:
    """One for each condition, width and group of seeds. The convolutional networks have the first group only."""
    made = []
    groups = seed_groups(settings.seeds, GROUP)
    for seeds in groups:
        for condition in conditions(settings):
            made += [_unit(settings, condition, width, seeds) for width in _widths(settings, condition)]
        if seeds == groups[0] and "cross-entropy" in settings.losses:
            condition = Condition("cnn", "cross-entropy", settings.noise, settings.notebook_samples, 10)
            made += [_unit(settings, condition, width, seeds) for width in settings.channels]
    return made


def _unit(settings: DescentSettings, condition: Condition, width: int, seeds: range) -> Unit:
    steps = max(_steps(settings, condition, time) for time in training_times(settings, condition, width))
    arguments = {"condition": condition, "width": width, "seeds": seeds}
    key = f"{condition.key}-{width}-seeds-{seeds.start}-{seeds.stop - 1}"
    return Unit(key, train, arguments, steps * _step_cost(condition, width))


def _widths(settings: DescentSettings, condition: Condition) -> list[int]:
    low, high, _ = window(condition.loss, condition.samples, condition.classes)
    found = {width for width in settings.widths if low <= _size(condition, width) <= high}
    if (condition.loss, condition.samples, condition.classes) == ("cross-entropy", settings.notebook_samples, 10):
        found.update(settings.notebook_widths)
    return sorted(found)


def training_times(settings: DescentSettings, condition: Condition, width: int) -> list[float]:
    """The training times after which a network is measured, rising."""
    _, _, early = window(condition.loss, condition.samples, condition.classes)
    most = SHORT if _size(condition, width) > early or condition.architecture == "cnn" else math.inf
    return [
        time
        for time in sorted(settings.times)
        if time <= most and _steps(settings, condition, time) <= settings.most_steps
    ]


def _steps(settings: DescentSettings, condition: Condition, time: float) -> int:
    """Steps of the optimiser in a training time, with 100 samples each."""
    return max(1, round(settings.epochs * time * condition.samples / 100))


def _size(condition: Condition, width: int) -> int:
    return parameters(condition.architecture, width, condition.classes)


def _step_cost(condition: Condition, width: int) -> int:
    """Of a step of ten networks, in hundredths of a millisecond, measured roughly."""
    if condition.architecture == "mlp":
        return round(70 * (1 + _size(condition, width) / 9300))
    return round(60 * (1 + 0.2 * width + 0.0047 * width * width))


def train(settings: DescentSettings, condition: Condition, width: int, seeds: range, context: Context) -> list[Row]:
    """Losses and errors with one width in one condition: a row for each seed and training time."""
    classes = condition.classes
    x, label = (np.stack(part) for part in zip(*(training_set(condition, seed) for seed in seeds), strict=True))
    tests = (chosen_samples(FRESH_SEED + seed, settings.test_samples, classes, seed) for seed in seeds)
    x_test, label_test = (np.stack(part) for part in zip(*tests, strict=True))
    cost = _step_cost(condition, width)
    times = training_times(settings, condition, width)
    steps = [_steps(settings, condition, time) for time in times]
    scale = classes if condition.loss == "squared-error" else 1  # `Ensemble` takes the mean over classes, not the sum
    procedure = Procedure(
        steps[-1], 100, 0.01 * scale, optimizer="sgd", momentum=0.9, loss=condition.loss, shuffle=True
    )
    networks = [seeded(lambda: _network(condition, width), seed) for seed in seeds]
    ensemble = Ensemble(networks, procedure, x, label, seeds=seeds, device=context.device)
    rows: list[Row] = []
    for time, step in zip(times, steps, strict=True):
        ensemble.run(until=step, report=lambda _: context.report(cost))
        train_loss, train_accuracy = ensemble.scores(x, label)
        test_loss, test_accuracy = ensemble.scores(x_test, label_test)
        rows += to_rows(
            **dataclasses.asdict(condition),
            width=width,
            parameters=_size(condition, width),
            time=time,
            seed=seeds,
            train_loss=scale * train_loss,
            train_error=100 * (1 - train_accuracy),
            test_loss=scale * test_loss,
            test_error=100 * (1 - test_accuracy),
        )
    return rows


def training_set(condition: Condition, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Signals float32 (samples, 40) and labels int64 (samples,) of a seed, with its label noise."""
    n, classes = condition.samples, condition.classes
    x, label = chosen_samples(seed, n, classes, seed)
    return x, noisy_labels(label, 0, seed, condition.noise, classes)


def chosen_samples(stream: int, count: int, classes: int, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The first `count` samples of a stream that belong to some classes, which are drawn by `seed`: signals float32
    (count, 40), and labels int64 (count,) from 0 to `classes` - 1."""
    chosen = np.sort(np.random.default_rng([seed, 1]).permutation(10)[:classes])
    x, label = sample(range(math.ceil(1.1 * count * 10 / classes) + 500), stream)
    kept = np.flatnonzero(np.isin(label, chosen))[:count]
    return x[kept], np.searchsorted(chosen, label[kept])


def _network(condition: Condition, width: int) -> Any:
    if condition.architecture == "cnn":
        return new_network(architecture="cnn", widths=(width,) * 3, num_labels=condition.classes)
    return new_network(architecture="mlp", widths=(width,) * 2, residual=False, num_labels=condition.classes)


def claims(table: pd.DataFrame) -> list[Claim]:
    """The law of (b), then the errors of (a) and their order."""
    notebook = select(table, loss="cross-entropy", samples=4000, classes=10, time=1.0)
    found = [*double_descent_peaks.claims(find_peaks(table)), *_orders(notebook), *_published(notebook)]
    return found + _notebook_places(notebook)


def findings(table: pd.DataFrame) -> list[Finding]:
    """How the places of the peaks grow where nobody claims anything; and the training error at the clean peak."""
    found = double_descent_peaks.findings(find_peaks(table))
    clean = select(table, loss="cross-entropy", samples=4000, classes=10, time=1.0, noise=0.0)
    values = by_seed(clean, "train_error", architecture="mlp", width=47)
    if len(values):
        text = "Training error of the MLP of width 47 without label noise (the notebook's reaches 0 there)"
        found.append(find_mean("MLP 47, fitted", text, values, "%"))
    return found


def _orders(table: pd.DataFrame) -> list[Claim]:
    """The test error is higher at the peak than at smaller and at larger networks; without label noise it falls."""
    made, known = [], {(architecture, width): error for architecture, width, error in _ERRORS}
    noisy = select(table, noise=table["noise"].max()) if len(table) else table
    for (architecture, width), error in known.items():
        peak = _PEAK[architecture]
        differences = _errors(noisy, architecture, peak) - _errors(noisy, architecture, width)
        if width != peak and len(differences):
            name = architecture.upper()
            text = f"With label noise the test error of the {name} is higher at width {peak} than at {width}"
            literature = f"{known[architecture, peak] - error:+.1f}"
            details = {"literature": literature, "source": PAPER, "unit": "points"}
            made.append(claim_direction(f"{name}, {peak} and {width}", text, differences, **details))
    clean = select(table, noise=0.0)
    differences = _errors(clean, "mlp", 47) - _errors(clean, "mlp", 300)
    if len(differences):
        text = "Without label noise the test error of the MLP falls from width 47 to 300"
        details = {"literature": "falls from 41 to 37.3 %", "source": PAPER, "unit": "points"}
        made.append(claim_direction("no peak when clean", text, differences, **details))
    return made


def _published(table: pd.DataFrame) -> list[Claim]:
    """The numbers of the notebook, each compared with one further run."""
    made = []
    noisy = select(table, noise=table["noise"].max()) if len(table) else table
    for architecture, width, error in _ERRORS:
        values, name = _errors(noisy, architecture, width), f"{architecture.upper()} {width}"
        if len(values):
            text = f"Test error of the {name.replace(' ', ' of width ')} with 15 % label noise"
            details: dict[str, Any] = {"effect": _RISE[architecture], "source": PAPER, "unit": "%"}
            made.append(claim_run(f"{name}, noise", text, values, error, **details))
    values = by_seed(select(table, noise=0.0), "test_loss", architecture="mlp", width=47)
    if len(values):
        text = "Test loss of the MLP of width 47 without label noise"
        made.append(claim_run("MLP 47, clean", text, values, _CLEAN_LOSS, effect=_LOSS_EFFECT, source=PAPER))
    return made


def _notebook_places(table: pd.DataFrame) -> list[Claim]:
    """The widths at which the dense network's curves peak in the notebook, each compared with one further run."""
    made = []
    for measure, noisy, published in _PLACES:
        some = select(table, architecture="mlp", noise=table["noise"].max() if noisy else 0.0) if len(table) else table
        if len(some) and some["width"].nunique() > 2:
            places = by_number(peaks(*grid(some, measure, "width")))
            words = "test error with 15 % label noise" if noisy else "test loss without label noise"
            text = f"Width at which the {words} of the MLP peaks"
            details: dict[str, Any] = {"effect": _OTHER_PLACE, "test_error": _GRID_ERROR, "source": PAPER}
            details["literature"] = "47 to 61" if noisy else "47"
            made.append(claim_run(f"place, {words}", text, places, published, **details))
    return made


def _errors(table: pd.DataFrame, architecture: str, width: int) -> pd.Series[float]:
    return by_seed(table, "test_error", architecture=architecture, width=width)


STUDY = Study(
    name="double-descent",
    question="Does the test loss peak at n parameters for cross-entropy, and at n x K for squared error?",
    source="Greydanus & Kobak 2024 (arXiv 2011.14439), its blog post of 2020, and dl.reviews 2020-12-06",
    full=DescentSettings(),
    quick=DescentSettings(
        seeds=2,
        samples=(100, 200),
        classes=(5, 10),
        base_samples=100,
        clean_samples=(100,),
        clean_classes=(10,),
        widths=(2, 4, 9, 14, 26),
        epochs=10,
        times=(0.5, 1.0),
        notebook_widths=(16, 47),
        channels=(10, 18),
        test_samples=500,
    ),
    units=units,
    figure=figure,
    claims=claims,
    findings=findings,
    minutes=145,
)
