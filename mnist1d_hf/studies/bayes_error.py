"""How good could anyone be on MNIST-1D, and how does that change with the noise?

Question: the generator is known, so the best possible classifier can be computed (`mnist1d_hf.posterior`). How often
does it err, which classes does it confuse, and how far are networks from it when the noise is weaker or stronger?

Source: the generator of Greydanus & Kobak 2024 (arXiv 2011.14439). Nobody published its Bayes error, so there are
findings and no claims.

Protocol: both noises (`corr_noise_scale` 0.25 and `iid_noise_scale` 0.02) are multiplied by 0 to 4. At each level the
Bayes classifier, which takes the class of the largest posterior, sees fresh signals of the stream: 1,000,000 of the
default data (noise x 1) and of the noise-free data (noise x 0), and 100,000 at the other levels. They are divided into
40 parts, which stand in the column `seed`; each part is an index range of the stream. The configuration `large-40k` has
the same distribution as the default, and `shuffled` has the same signals in another order, of which the posterior is
the same (a test compares them), so these numbers are theirs, too.

Two networks are trained at each level and measured on the first 50,000 of these signals. CNN: the recipe `cnn`, which
is the paper's protocol (6,000 steps of Adam at 1e-2, batches of 100 in the stored order), on 4,000 samples of that
level; each of the 10 seeds has its own. ResNet: the network of the recipe `resnet` without dropout, on the endless
stream: 1,500 steps with 128 new samples in each, AdamW at 5e-3 with a cosine schedule, weight decay 0.05; 3 seeds. It
is trained for a small part of the time of the baseline on endless data, so it shows a trend, not the best network.
The last step counts. Fresh signals choose nothing. All networks of a level are measured on the same signals; their
interval is the wider one of that over seeds and that over signals.

Of the Bayes classifier the table has what is measured (accuracy, loss) and what the posterior expects: the mean of the
largest posterior is the expected accuracy, the mean entropy is the expected loss. Expectations scatter less, and the
two must agree. Two tests look at that. (1) The number of right predictions against the sum of the largest posteriors.
(2) All pairs of signal and class, binned by the posterior: how often does the class have that signal? In each bin an
exact binomial test with the mean of the posteriors. It errs on the safe side: the count is a sum of trials with
unequal probabilities, which is less spread than the binomial distribution of the same mean (Hoeffding 1956), and no
signal has two classes.

Deviations:
- Nothing of this kind is published, so there is no protocol to deviate from.
- The CNN's training sets are of the stream, each seed has one of its own; the paper has one training set.

Expected: at the default noise the Bayes classifier errs in about 2 of 10,000 signals (a first measurement gave 99.983 ±
0.004 % on 20,000), and every network several times as often.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.configurations import FRESH_SEED
from mnist1d_hf.data.describe import markdown_table
from mnist1d_hf.data.posterior import posterior
from mnist1d_hf.data.stream import sample
from mnist1d_hf.studies.claims import Finding, find_mean
from mnist1d_hf.studies.figures import new_figure
from mnist1d_hf.studies.frames import Row, by_seed, select
from mnist1d_hf.studies.recorded import recorded
from mnist1d_hf.studies.settings import Settings
from mnist1d_hf.studies.study import Context, Study, Unit, seed_groups, training_sets
from mnist1d_hf.training.ensemble import Ensemble, Procedure, seeded
from mnist1d_hf.training.population import new_network
from mnist1d_hf.training.recipes import find_recipe
from mnist1d_hf.training.statistics import wilson_interval

BAYES, RESNET, CNN = "Bayes", "ResNet", "CNN"
NETWORKS = (RESNET, CNN)
DEFAULT, NOISE_FREE = 1.0, 0.0  # multiples of the noise that are named configurations
TITLES = {DEFAULT: " (default)", NOISE_FREE: " (noise-free)"}
GROUP = 4  # parts of a unit
CLASSES = 10
LEAST_SURE = 4  # signals of each part whose indices are kept: those with the smallest of the largest posteriors
EDGES = (1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99, 0.999, 0.9999, 0.99999)  # of the bins, inside
PRECISION = 1e-7  # of a posterior: a loss below is rounding
COSTS = {RESNET: 300, CNN: 35}  # work of a step of all seeds, in posteriors of the default data


@dataclasses.dataclass(frozen=True)
class BayesErrorSettings(Settings):
    """Settings of this study."""

    seeds: int = 40  # parts of the signals
    noises: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)  # multiples of both noises
    many: int = 25_000  # signals of a part at the noises 0 and 1
    few: int = 2_500  # signals of a part at the other noises, which can be slow
    test_samples: int = 50_000  # fresh signals for the networks
    cnn_seeds: int = 10  # networks at each noise
    cnn_samples: int = 4_000  # training samples
    cnn_steps: int = 6_000  # of the optimiser
    resnet_seeds: int = 3
    resnet_steps: int = 1_500


def units(settings: BayesErrorSettings) -> list[Unit]:
    """At each noise some parts of the signals for the Bayes classifier, and all seeds of a network."""
    found = []
    for noise in settings.noises:
        for parts in seed_groups(settings.seeds, GROUP):
            arguments = {"noise": noise, "parts": parts}
            work = len(parts) * part_size(settings, noise) * slowness(noise)
            found.append(Unit(f"bayes-{noise:g}-{parts[0]}", classify, arguments, work))
    for name, train, steps in ((CNN, train_cnn, settings.cnn_steps), (RESNET, train_resnet, settings.resnet_steps)):
        for noise in settings.noises:
            found.append(Unit(f"{name.lower()}-{noise:g}", train, {"noise": noise}, COSTS[name] * steps))
    return found


def part_size(settings: BayesErrorSettings, noise: float) -> int:
    """Signals of a part."""
    return settings.many if noise in (DEFAULT, NOISE_FREE) else settings.few


def slowness(noise: float) -> int:
    """How many posteriors of the default data take as long as one with this noise, about: more combinations count."""
    return max(1, round(4 * noise**2) - 3)


def with_noise(noise: float) -> GeneratorConfig:
    """The default configuration with both noises multiplied."""
    config = GeneratorConfig()
    correlated, white = noise * config.corr_noise_scale, noise * config.iid_noise_scale
    return dataclasses.replace(config, corr_noise_scale=correlated, iid_noise_scale=white)


def classify(settings: BayesErrorSettings, noise: float, parts: Sequence[int], context: Context) -> list[Row]:
    """The Bayes classifier on some parts of the signals: a row for each."""
    config, size, rows = with_noise(noise), part_size(settings, noise), []
    for part in parts:
        indices = range(part * size, (part + 1) * size)
        x, label = sample(indices, FRESH_SEED, config)
        p = posterior(x, config)
        least_sure = [indices[row] for row in np.argsort(p.max(1), kind="stable")[:LEAST_SURE]]
        rows.append(_row(BAYES, noise, part, least_sure=least_sure, **measure(p, label)))
        context.report(size * slowness(noise))
    return rows


def measure(p: NDArray[Any], label: NDArray[Any]) -> dict[str, Any]:
    """What posteriors float64 (n, classes) say of themselves, and how the labels int64 (n,) bear that out.

    Returns:
        signals, correct: counts. loss: the mean of -log p(label | x). expected_correct, expected_loss: what the
        posterior expects of both, the sum of the largest posteriors and the mean entropy; variance: of `correct`,
        given the posteriors. confusion, expected_confusion: counts and expected counts by true class, then prediction,
        flat. pairs, hits, expected_hits: of each bin of the posterior the pairs of signal and class, those in which the
        signal is of the class, and the sum of the posteriors.

    >>> found = measure(np.array([[0.75, 0.25], [0.0, 1.0]]), np.array([0, 1]))
    >>> found["correct"], found["expected_correct"], found["variance"]
    (2, 1.75, 0.1875)
    """
    n, classes = p.shape
    chosen, largest = p.argmax(1), p.max(1)
    expected = np.zeros((classes, classes))
    np.add.at(expected.T, chosen, p)
    place, true = np.digitize(p, EDGES).ravel(), np.eye(classes)[label].ravel()
    bins = len(EDGES) + 1
    return {
        "signals": n,
        "correct": int((chosen == label).sum()),
        "expected_correct": float(largest.sum()),
        "variance": float((largest * (1 - largest)).sum()),
        "loss": float(-np.log(p[np.arange(n), label]).mean()),
        "expected_loss": float(-(p * np.log(np.where(p > 0, p, 1.0))).sum(1).mean()),
        "confusion": np.bincount(label * classes + chosen, minlength=classes**2).tolist(),
        "expected_confusion": expected.ravel().tolist(),
        "pairs": np.bincount(place, minlength=bins).tolist(),
        "hits": np.bincount(place, true, bins).astype(int).tolist(),
        "expected_hits": np.bincount(place, p.ravel(), bins).tolist(),
    }


def train_cnn(settings: BayesErrorSettings, noise: float, context: Context) -> list[Row]:
    """The paper's CNN on a few samples."""
    recipe = find_recipe("cnn")
    procedure = dataclasses.replace(recipe.procedure, steps=settings.cnn_steps)
    return _train(settings, CNN, recipe.network, procedure, settings.cnn_seeds, settings.cnn_samples, noise, context)


def train_resnet(settings: BayesErrorSettings, noise: float, context: Context) -> list[Row]:
    """The residual network on the stream, each sample used once."""
    recipe = find_recipe("resnet")
    network = {**recipe.network, "dropout": 0.0}
    procedure = dataclasses.replace(recipe.procedure, steps=settings.resnet_steps, batch_size=128, shuffle=False)
    samples = procedure.steps * procedure.batch_size
    return _train(settings, RESNET, network, procedure, settings.resnet_seeds, samples, noise, context)


def _train(
    settings: BayesErrorSettings,
    name: str,
    network: Any,
    procedure: Procedure,
    seeds: int,
    samples: int,
    noise: float,
    context: Context,
) -> list[Row]:
    """Train all seeds at one noise, each on the first samples of its own stream: a row for each seed."""
    config = with_noise(noise)
    networks = [seeded(lambda: new_network(**network), seed) for seed in range(seeds)]
    ensemble = Ensemble(networks, procedure, *training_sets(range(seeds), samples, config), device=context.device)
    ensemble.run(report=lambda steps: context.report(COSTS[name] * steps))
    scores = ensemble.scores(*sample(range(settings.test_samples), FRESH_SEED, config))
    counts = np.rint(scores.accuracy * settings.test_samples).astype(int)
    return [
        _row(name, noise, seed, signals=settings.test_samples, correct=int(counts[seed]), loss=float(scores.loss[seed]))
        for seed in range(seeds)
    ]


def _row(classifier: str, noise: float, seed: int, **measured: Any) -> Row:
    """All rows have the same columns; networks have no posterior."""
    columns = (
        *("signals", "correct", "expected_correct", "variance", "loss", "expected_loss", "confusion"),
        *("expected_confusion", "pairs", "hits", "expected_hits", "least_sure"),
    )
    return {"classifier": classifier, "noise": noise, "seed": seed} | {name: measured.get(name) for name in columns}


def accuracy_of(rows: pd.DataFrame) -> tuple[float, float, float]:
    """Accuracy of the Bayes classifier in percent over all parts, with Wilson's 95 % interval: signals are independent.

    >>> accuracy_of(pd.DataFrame({"correct": [958], "signals": [1000]}))[0]
    95.8
    """
    correct, signals = int(rows["correct"].sum()), int(rows["signals"].sum())
    low, high = wilson_interval(correct, signals)
    return 100 * correct / signals, 100 * low, 100 * high


def accuracies(table: pd.DataFrame, classifier: str, noise: float) -> pd.Series:
    """Accuracy of each part or network, in percent."""
    wanted = {"classifier": classifier, "noise": noise}
    return 100 * by_seed(table, "correct", **wanted) / by_seed(table, "signals", **wanted)


def surprise(rows: pd.DataFrame) -> float:
    """The number of right predictions less the expected number, in standard deviations; 0 if none is expected."""
    variance = rows["variance"].sum()
    if variance < 1:
        return 0.0
    return float((rows["correct"].sum() - rows["expected_correct"].sum()) / np.sqrt(variance))


def p_values(rows: pd.DataFrame) -> NDArray[np.float64]:
    """Of exact binomial tests, two-sided: of the right predictions, then of each bin of the posterior with pairs.

    Each p-value is below a level with at most that probability if the posteriors are right.
    """
    tests = [(rows["correct"].sum(), rows["signals"].sum(), rows["expected_correct"].sum())]
    tests += zip(*(np.sum(list(rows[name]), axis=0) for name in ("hits", "pairs", "expected_hits")), strict=True)
    found = [
        stats.binomtest(int(hits), int(pairs), float(min(expected / pairs, 1.0))).pvalue
        for hits, pairs, expected in tests
        if pairs
    ]
    return np.array(found)


def findings(table: pd.DataFrame) -> list[Finding]:
    """The default data first, then all noises, then whether the posteriors are right."""
    noises = sorted(table["noise"].unique())
    found = _default(table) if DEFAULT in noises else []
    for noise in noises:
        found += [*(_of_bayes(table, noise) if noise != DEFAULT else ()), *_of_networks(table, noise)]
    return found + _consistency(select(table, classifier=BAYES))


def _default(table: pd.DataFrame) -> list[Finding]:
    rows = select(table, classifier=BAYES, noise=DEFAULT)
    name = f"the Bayes classifier on {_count(rows)} fresh signals of the default data"
    accuracy, loss = _of_bayes(table, DEFAULT)
    entropy = by_seed(rows, "expected_loss")
    return [
        dataclasses.replace(accuracy, name="accuracy", text=f"Accuracy of {name}"),
        find_mean(
            "expected accuracy",
            f"Expected accuracy of {name}: the mean of the largest posterior",
            100 * by_seed(rows, "expected_correct") / by_seed(rows, "signals"),
            "%",
        ),
        dataclasses.replace(loss, name="loss", text=f"Loss of {name}: the mean of -log p(label given x)"),
        find_mean("expected loss", f"Expected loss of {name}: the mean entropy of the posterior", entropy, "nats"),
        _confused(rows),
    ]


def _confused(rows: pd.DataFrame) -> Finding:
    """The pair of classes that is confused most, by the expected errors."""
    each = np.array(list(rows["expected_confusion"])).reshape(-1, CLASSES, CLASSES)
    both = np.triu(each + each.transpose(0, 2, 1), 1)  # (parts, classes, classes), either one taken for the other
    first, second = np.unravel_index(both.sum(0).argmax(), both.shape[1:])
    errors = pd.Series(100 * both[:, first, second] / both.sum((1, 2)), index=pd.Index(rows["seed"], name="seed"))
    text = f"Expected errors on the default data that take a {first} for a {second} or a {second} for a {first}"
    return find_mean("most confused", text, errors, "% of all")


def _of_bayes(table: pd.DataFrame, noise: float) -> list[Finding]:
    """Accuracy and loss of the Bayes classifier. The interval of the accuracy is that of independent signals."""
    rows = select(table, classifier=BAYES, noise=noise)
    name = f"Noise x {noise:g}{TITLES.get(noise, '')}: {{}} of the Bayes classifier on {_count(rows)} signals"
    mean, low, high = accuracy_of(rows)
    interval: dict[str, Any] = {"mean": mean, "low": low, "high": high, "n": len(rows), "unit": "%"}
    loss = by_seed(rows, "loss")
    return [
        Finding(name=f"accuracy, x {noise:g}", text=name.format("accuracy"), **interval),
        find_mean(f"loss, x {noise:g}", name.format("loss"), loss.where(loss > PRECISION, 0.0), "nats"),
    ]


def _of_networks(table: pd.DataFrame, noise: float) -> list[Finding]:
    return [_of_network(table, network, noise) for network in NETWORKS]


def _of_network(table: pd.DataFrame, network: str, noise: float) -> Finding:
    """The mean accuracy, with the wider one of two intervals at each end: over seeds, which share the signals, and over
    signals (Wilson)."""
    text = f"Noise x {noise:g}{TITLES.get(noise, '')}: accuracy of the {network}"
    over_seeds = find_mean(f"{network}, x {noise:g}", text, accuracies(table, network, noise), "%")
    signals = int(select(table, classifier=network, noise=noise)["signals"].iloc[0])
    low, high = wilson_interval(round(over_seeds.mean / 100 * signals), signals)
    low, high = np.fmin(over_seeds.low, 100 * low), np.fmin(100.0, np.fmax(over_seeds.high, 100 * high))
    return dataclasses.replace(over_seeds, low=float(low), high=float(high))


def _consistency(rows: pd.DataFrame) -> list[Finding]:
    groups = [group for _, group in rows.groupby("noise")]
    surprises = [surprise(group) for group in groups]
    p = np.concatenate([p_values(group) for group in groups])
    largest, n = max(surprises, key=abs), rows["seed"].nunique()
    corrected = min(1.0, len(p) * float(p.min()))
    exact = {"low": np.nan, "high": np.nan, "n": n}
    return [
        Finding(
            name="right predictions",
            text=f"Right predictions of the Bayes classifier less the expected number: the largest of {len(groups)} "
            "noises, in standard deviations",
            mean=largest,
            **exact,
        ),
        Finding(
            name="calibration",
            text=f"The smallest p-value of {len(p)} exact tests that labels are as frequent as the posterior says, "
            f"times {len(p)} (Bonferroni): below 0.000001 by chance once in a million times",
            mean=corrected,
            **exact,
        ),
    ]


def _count(rows: pd.DataFrame) -> str:
    return f"{int(rows['signals'].sum()):,}"


def noise_table(table: pd.DataFrame) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Names of columns, and a row of text for each noise: the Bayes classifier and the networks."""
    columns = ("noise", "Bayes: accuracy, %", "Bayes: loss, nats", "ResNet: accuracy, %", "CNN: accuracy, %")
    rows: list[tuple[str, ...]] = []
    for noise in sorted(table["noise"].unique()):
        found = [*_of_bayes(table, noise), *_of_networks(table, noise)]
        rows.append((f"x {noise:g}{TITLES.get(noise, '')}", *(finding.measured for finding in found)))
    return columns, rows


def markdown() -> str:
    """The recorded numbers in words and as a table, for the README of the data and the card of the dataset."""
    kept = recorded(STUDY.name)
    if kept is None:
        return "No full run is recorded yet."
    table = kept.table()
    found = {finding.name: finding.measured for finding in findings(table)}
    signals = _count(select(table, classifier=BAYES, noise=DEFAULT))
    return (
        f"On {signals} fresh signals of the default data the Bayes classifier is right in {found['accuracy']} % of the "
        f"cases, and its loss is {found['loss']} nats; in brackets are 95 % intervals. The posterior itself expects an "
        f"accuracy of {found['expected accuracy']} %, the mean of its largest values, and a loss of "
        f"{found['expected loss']}, its mean entropy.\n\n{markdown_table(*noise_table(table))}"
    )


def figure(table: pd.DataFrame) -> Figure:
    """Error against noise, and the confusion of the classes by the Bayes classifier on the default data."""
    drawn, (left, right) = new_figure("MNIST-1D: how good could anyone be?", 2, width=5.6, height=4.6)
    _draw_errors(left, table)
    _draw_confusion(right, select(table, classifier=BAYES, noise=DEFAULT))
    return drawn


def _draw_errors(axis: Any, table: pd.DataFrame) -> None:
    noises = np.sort(table["noise"].unique())
    for color, network in (("C0", CNN), ("C1", RESNET)):
        found = [_of_network(table, network, noise) for noise in noises]
        errors = _draw_points(axis, noises, [(one.mean, one.low, one.high) for one in found], color)
        axis.plot(noises, np.where(errors > 0, errors, np.nan), "o-", color=color, markersize=4, label=network)
    sums = select(table, classifier=BAYES).groupby("noise")[["expected_correct", "signals"]].sum()
    axis.plot(noises, 100 - 100 * sums["expected_correct"] / sums["signals"], color="C2", label="Bayes, expected")
    measured = [accuracy_of(select(table, classifier=BAYES, noise=noise)) for noise in noises]
    errors = _draw_points(axis, noises, measured, "C2")
    axis.plot(noises[errors > 0], errors[errors > 0], "o", color="C2", markersize=4, label="Bayes, measured")
    axis.plot([], [], "v", color="0.4", markersize=5, label="no error seen: upper limit")
    axis.set(
        yscale="log", ylim=(1e-4, 100), xlabel="noise, multiple of the default", ylabel="error on fresh signals, %"
    )
    axis.set_xticks(noises, [f"{noise:g}" for noise in noises], fontsize=8)
    axis.legend(loc="lower right", frameon=False)


def _draw_points(axis: Any, noises: NDArray[Any], accuracies: Sequence[tuple[float, float, float]], color: str) -> Any:
    """Draw the intervals of errors, from accuracies with both ends in percent. Returns the errors (noises,)."""
    errors, most, least = 100 - np.array(accuracies).T
    seen = errors > 0
    spread = errors[seen] - np.maximum(least[seen], 1e-9), most[seen] - errors[seen]
    axis.errorbar(noises[seen], errors[seen], spread, fmt="none", ecolor=color, capsize=3)
    axis.plot(noises[~seen], most[~seen], "v", color=color, markersize=5)
    return errors


def _draw_confusion(axis: Any, rows: pd.DataFrame) -> None:
    if not len(rows):
        axis.set_axis_off()
        axis.set_title("No signals of the default data (noise x 1)", fontsize=10)
        return
    counts = np.sum(list(rows["expected_confusion"]), axis=0).reshape(CLASSES, CLASSES)
    counts *= 1e6 / rows["signals"].sum()
    np.fill_diagonal(counts, 0.0)
    axis.imshow(np.log10(np.maximum(counts, 0.01)), cmap="Blues", vmin=-2, vmax=1.5)
    for row, column in np.ndindex(*counts.shape):
        if counts[row, column] >= 0.05:
            color = "white" if counts[row, column] > 4 else "black"
            text = f"{counts[row, column]:.1f}"
            axis.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
    axis.set_xticks(range(CLASSES))
    axis.set_yticks(range(CLASSES))
    axis.grid(visible=False)
    axis.set(xlabel="predicted class", ylabel="true class")
    axis.set_title(f"Errors of Bayes in a million signals: {counts.sum():.0f}, by class", fontsize=10)


STUDY = Study(
    name="bayes-error",
    question="How good could anyone be on MNIST-1D, and how does that change with the noise?",
    source="the generator of Greydanus & Kobak 2024 (arXiv 2011.14439)",
    full=BayesErrorSettings(),
    quick=BayesErrorSettings(
        seeds=2,
        noises=(0.0, 1.0, 2.0),
        many=1000,
        few=200,
        test_samples=1000,
        cnn_seeds=2,
        cnn_samples=500,
        cnn_steps=50,
        resnet_seeds=2,
        resnet_steps=5,
    ),
    units=units,
    figure=figure,
    claims=lambda _: [],
    findings=findings,
    minutes=60,
)
