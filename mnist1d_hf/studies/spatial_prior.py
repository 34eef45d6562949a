"""How much of the gap between dense and convolutional networks is the spatial prior, and what closes it?

Question: a convolution knows that neighbouring points belong together and that a pattern may be anywhere; a dense
network has to learn both. What is that knowledge worth? Can a dense network get it from more data, or from new signals
that are made of the same data?

Source: Greydanus & Kobak 2024 (arXiv 2011.14439), table 1, three runs of each network, and its classification notebook,
one run of each, printed at step 6,000; GLE (Nature Communications 2025, unibe-cns/gle-code), ten runs; accuracies in
percent. A review of the paper (dl.reviews, 2020-12-06) with larger networks and 100 seeds.

    network     table     shuffled    notebook   shuffled    GLE             review               samples    accuracy
    logistic    32 ± 1    32 ± 1      31.5       31.5                        convolutional        4,000      96.8 ± 0.5
    MLP         68 ± 2    68 ± 2      65.1       66.0        64.99 ± 1.18    dense                4,000      73.3 ± 1.4
    CNN         94 ± 2    56 ± 2      92.3       58.7        93.71 ± 0.94    dense                40,000     above 93
    GRU         91 ± 2    57 ± 2      89.1       53.3        90.34 ± 2.48    people (the paper)   -          95.8

Table and notebook of the paper differ for the MLP and the shuffled GRU; how the table was read is not said. The review
conjectures that augmentation would lift the dense network a lot, and gives no number. It says nothing about the sizes,
the optimiser or the number of steps of its networks.

Protocol: (a) the paper's four networks and procedure on its dataset, with the signals as they are, with their points in
the notebook's shuffled order, and with their points in an order of each seed's own ("permuted"): all 4,000 samples,
Adam at 1e-2, batches of 100 in the stored order, 6,000 steps, read at the last one. (b) The recipes `cnn-review`,
`mlp-review` and `mlp-40k` on 500 to 40,000 samples, with as many steps at every size. The last two are a dense network
with much dropout and one with little; "dense" is, for each seed, the one that is better on held-out data. (c)
`cnn-review` and `mlp-augmented` on 4,000 samples, either varied in each step (shifted circularly, stretched, scaled,
with ramps and noise added: `training.augmentation`), or with a part of each batch replaced by new signals that are put
together from parts of the old ones (`training.synthesis`); without augmentation they are those of (b). The synthesis
knows the form of the generator: the length of the templates, the ranges of padding and ramp, and how the noise is made.
In (b) and (c) each seed has its own training set (the stream of that seed), of which a tenth is held out to choose the
step by; accuracies are measured on 10,000 fresh samples.

Deviations:
- The ± of table 1 is taken as the standard deviation over its three runs.
- In (a) all seeds share the paper's training and test set, as in the sources; the intervals leave that choice out. One
  shuffled order is one draw too, so directions about shuffled signals are tested with an order of each seed's own.
- The networks of (b) are our reading of a text that gives no sizes, made with its accuracies in view: "reproduced" is
  near circular there. The review measures on the paper's test set, or does not say; the intervals contain the sampling
  error of 1,000 and of our 10,000 samples.
- "A lot" is taken as better at all; how much is a finding.

Expected: (a) as in the notebook; (b) the dense network near 73 at 4,000 samples and above 93 at 40,000; (c) variations
close most of its gap to the CNN, and synthesis lifts it above what people reach.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mnist1d_hf.data.describe import markdown_table
from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.studies.claims import (
    Claim,
    Finding,
    claim_average,
    claim_direction,
    claim_run,
    find_mean,
    sampling_error,
)
from mnist1d_hf.studies.figures import bars, curve, new_figure
from mnist1d_hf.studies.frames import Row, by_seed, select
from mnist1d_hf.studies.recorded import recorded
from mnist1d_hf.studies.settings import Settings
from mnist1d_hf.studies.study import Context, Study, Unit, seed_groups, training_sets
from mnist1d_hf.training.augmentation import Augmentation
from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.evaluation import fresh_samples
from mnist1d_hf.training.population import Arrays, Population
from mnist1d_hf.training.recipe import Recipe
from mnist1d_hf.training.recipes import RECIPES
from mnist1d_hf.training.runs import GROUP

PAPER = {  # signals -> network -> accuracy in table 1 and its ± over three runs
    "normal": {"logistic": (32, 1), "mlp": (68, 2), "cnn": (94, 2), "gru": (91, 2)},
    "shuffled": {"logistic": (32, 1), "mlp": (68, 2), "cnn": (56, 2), "gru": (57, 2)},
}
NOTEBOOK = {  # signals -> network -> accuracy of one run at step 6,000
    "normal": {"logistic": 31.5, "mlp": 65.1, "cnn": 92.3, "gru": 89.1},
    "shuffled": {"logistic": 31.5, "mlp": 66.0, "cnn": 58.7, "gru": 53.3},
}
GLE = {"mlp": (64.99, 1.18), "cnn": (93.71, 0.94), "gru": (90.34, 2.48)}  # accuracy and standard deviation, ten runs
EFFECT = {"normal": 94 - 68, "shuffled": 68 - 56}  # points between MLP and CNN in table 1
SIGNALS = ("normal", "shuffled", "permuted")  # as they are, in the notebook's order, in an order of each seed
NAMES = {"logistic": "logistic", "mlp": "MLP", "cnn": "CNN", "gru": "GRU"}
REVIEW = {"dense": (73.3, 1.4), "CNN": (96.8, 0.5)}  # on 4,000 samples, and the standard deviation over 100 seeds
HUMAN = 95.8
DENSE, CONVOLUTIONAL = ("mlp-review", "mlp-40k"), "cnn-review"
KINDS = ("none", "naive", "synthesis")
VARIED = {
    "naive": "4,000 varied signals",
    "synthesis": "signals put together from 4,000 samples and the form of the generator",
}
NAIVE = Augmentation(shift=20, scale=0.2, stretch=0.1, ramp=1.0, noise=0.05)
TABLE_1, PRINTED, REVIEWED = "table 1", "classification notebook, step 6,000", "review"
THEIR_TEST, OUR_TEST = 1000, 10000  # test samples of the review, and ours in (b) and (c)
MEASURED = {  # milliseconds of one core for a step of ten members, with evaluation; an AMD EPYC that knows bfloat16
    "logistic": 0.9,
    "mlp": 2.9,
    "cnn": 8.5,
    "gru": 30.0,
    "mlp-review": 19.5,
    "mlp-40k": 37.0,
    "mlp-augmented": 31.0,
    "cnn-review": 33.0,
}


@dataclasses.dataclass(frozen=True)
class PriorSettings(Settings):
    """Settings of this study."""

    paper_steps: int = 6000  # of the optimiser, for the paper's networks on its dataset
    samples: tuple[int, ...] = (500, 1500, 4000, 12000, 40000)  # sizes of the training sets
    base_samples: int = 4000  # the size that is augmented; one of them
    mlp_review_steps: int = 4000  # of the optimiser, for the dense network with much dropout
    mlp_40k_steps: int = 6000  # for that with little
    cnn_review_steps: int = 3000  # for the convolutional network
    mlp_augmented_steps: int = 12000  # for the dense network on augmented signals
    test_samples: int = 10000  # fresh ones, to measure on

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base_samples not in self.samples:
            raise InvalidValueError(f"base_samples: expected one of {self.samples}, found {self.base_samples}")
        if min(self.samples) < 100:  # a tenth is held out, and parts are found in the signals of each class
            raise InvalidValueError(f"samples: expected at least 100, found {min(self.samples)}")

    def steps(self, network: str) -> int:
        """How many steps a network is trained for."""
        return int(getattr(self, f"{network.replace('-', '_')}_steps", self.paper_steps))


def units(settings: PriorSettings) -> list[Unit]:
    """One for each part, network, kind of data, and group of seeds."""
    parts: list[tuple[str, str, Any]] = [("paper", network, data) for data in SIGNALS for network in NAMES]
    for network, samples in itertools.product((*DENSE, CONVOLUTIONAL), settings.samples):
        parts.append(("samples", network, samples))
    for network, kind in itertools.product(("mlp-augmented", CONVOLUTIONAL), KINDS[1:]):
        parts.append(("augmentation", network, kind))
    found = []
    for (part, network, data), seeds in itertools.product(parts, seed_groups(settings.seeds, GROUP)):
        arguments = {"part": part, "network": network, "data": data, "seeds": seeds}
        work = settings.steps(network) * _step_cost(network)
        found.append(Unit(f"{part}-{network}-{data}-{seeds[0]}", train, arguments, work))
    return found


def train(
    settings: PriorSettings, part: str, network: str, data: Any, seeds: Sequence[int], context: Context
) -> list[Row]:
    """Train a network: a row for each seed.

    Args:
        part: "paper" (a), "samples" (b) or "augmentation" (c).
        data: in these parts one of `SIGNALS`, the number of samples, or "naive" or "synthesis".
    """
    recipe, arrays = _problem(settings, part, network, data, seeds)
    population, cost = Population(recipe, seeds, arrays, context.device), _step_cost(network)
    population.run(progress=lambda _: context.report(cost))
    return [
        {
            "part": part,
            "network": network,
            "signals": data if part == "paper" else "normal",
            "samples": arrays.x.shape[-2],
            "augmentation": data if part == "augmentation" else "none",
            "seed": member.seed,
            "step": member.step,
            "diverged": member.diverged,
            "validation_accuracy": None if member.validation is None else 100 * member.validation,
            "best_reading": 100 * max(value for _, value in member.history) if recipe.watch_test else None,
            "test_accuracy": 100 * member.test,
        }
        for member in population.finish()[0]
    ]


def _problem(
    settings: PriorSettings, part: str, network: str, data: Any, seeds: Sequence[int]
) -> tuple[Recipe, Arrays]:
    """How to train, and the training set of each seed with the test samples."""
    recipe = RECIPES[f"{network}-shuffled" if data == "shuffled" else network]
    recipe = dataclasses.replace(recipe, steps=settings.steps(network))
    if part == "paper":
        arrays = load_arrays(recipe.data)
        return recipe, permuted(arrays, seeds) if data == "permuted" else arrays
    if part == "augmentation":
        fraction = RECIPES["mlp-augmented"].synthetic if data == "synthesis" else 0.0
        recipe = dataclasses.replace(recipe, synthetic=fraction, augmentation=NAIVE if data == "naive" else None)
    samples = data if part == "samples" else settings.base_samples
    arrays = Arrays(*training_sets(seeds, samples), *fresh_samples("default", settings.test_samples))
    return dataclasses.replace(recipe, data="default"), arrays


def permuted(arrays: Arrays, seeds: Sequence[int]) -> Arrays:
    """The same samples with their points in another order for each seed: signals (seeds, samples, 40)."""
    orders = [np.random.default_rng([seed, 4]).permutation(arrays.x.shape[1]) for seed in seeds]
    x, x_test = (np.stack([part[:, order] for order in orders]) for part in (arrays.x, arrays.x_test))
    return Arrays(x, np.stack([arrays.label] * len(seeds)), x_test, arrays.label_test)


def _step_cost(network: str) -> int:
    """Of a step of ten members, in hundredths of a millisecond."""
    return round(100 * MEASURED[network])


def accuracy(table: pd.DataFrame, kind: str, samples: int, augmentation: str = "none") -> pd.Series:
    """Test accuracy of the "dense" network or the "CNN" of parts (b) and (c), by seed.

    For each seed, "dense" is the one of the trained dense networks that is better on its held-out data.
    """
    some = select(table, part=["samples", "augmentation"], samples=samples, augmentation=augmentation)
    if kind == "CNN":
        return by_seed(some, "test_accuracy", network=CONVOLUTIONAL)
    dense = pd.concat([select(some, network=name) for name in (*DENSE, "mlp-augmented")], ignore_index=True)
    better = dense.groupby("seed")["validation_accuracy"].idxmax()  # of equally good ones the first
    return by_seed(dense.loc[better], "test_accuracy")


def base_samples(table: pd.DataFrame) -> int:
    """The size of the training set that was augmented."""
    return int(select(table, part="augmentation")["samples"].iloc[0])


def figure(table: pd.DataFrame) -> Figure:
    """The paper's networks on signals and on shuffled ones; training-set size; augmentation."""
    drawn, (networks, sizes, augmentation) = new_figure("What the spatial prior is worth", 3)
    _draw_paper(networks, table)
    _draw_sizes(sizes, table)
    _draw_augmentation(augmentation, table)
    return drawn


def _draw_paper(axis: Any, table: pd.DataFrame) -> None:
    place = np.arange(len(NAMES))
    labels = ("as they are", "in the notebook's order", "each seed in its own order")
    for shift, signals, label in zip((-0.27, 0.0, 0.27), SIGNALS, labels, strict=True):
        values = [paper_accuracy(table, network, signals) for network in NAMES]
        bars(axis, place + shift, values, width=0.25, alpha=0.75, label=label)
    for shift, signals in ((-0.27, "normal"), (0.0, "shuffled")):
        means, errors = zip(*PAPER[signals].values(), strict=True)
        axis.errorbar(place + shift, means, errors, fmt="x", color="0.2", label=None if shift else "table 1")
        axis.plot(place + shift, NOTEBOOK[signals].values(), "k.", markersize=5, label=None if shift else "notebook")
    axis.set_axisbelow(True)
    axis.set(xticks=place, xticklabels=NAMES.values(), ylabel="test accuracy, %", title="the paper's networks")
    axis.set_ylim(0, 108)
    axis.legend(fontsize=8, loc="upper left")


def _draw_sizes(axis: Any, table: pd.DataFrame) -> None:
    sizes = sorted(select(table, part="samples")["samples"].unique())
    for kind, color in (("CNN", "C2"), ("dense", "C3")):
        values = np.stack([accuracy(table, kind, samples) for samples in sizes], axis=1)
        curve(axis, sizes, values, kind, color=color)
        axis.errorbar(4000, *REVIEW[kind], fmt="x", color=color)
    axis.plot(40000, 93, marker="$\\uparrow$", color="C3", linestyle="none")
    axis.errorbar([], [], [], fmt="x", color="0.4", label="review")
    axis.set(xscale="log", xlabel="training samples", ylabel="test accuracy, %", title="training-set size")
    axis.legend(fontsize=8)


def _draw_augmentation(axis: Any, table: pd.DataFrame) -> None:
    samples, place, lowest = base_samples(table), np.arange(len(KINDS)), 70.0
    for shift, kind, color in ((-0.2, "dense", "C3"), (0.2, "CNN", "C2")):
        values = [accuracy(table, kind, samples, name) for name in KINDS]
        bars(axis, place + shift, values, width=0.36, alpha=0.75, label=kind, color=color)
        lowest = min(lowest, *(value.min() for value in values))
    axis.set_axisbelow(True)
    axis.axhline(HUMAN, color="0.3", linestyle=":", linewidth=1, label="people")
    axis.set(xticks=place, xticklabels=KINDS, ylabel="test accuracy, %", title=f"augmentation of {samples:,} samples")
    axis.set_ylim(max(0.0, lowest - 10), 105)
    axis.legend(fontsize=8, loc="upper center", ncols=3)


def paper_accuracy(table: pd.DataFrame, network: str, signals: str) -> pd.Series:
    """Test accuracy of one of the paper's networks, by seed."""
    return by_seed(table, "test_accuracy", part="paper", network=network, signals=signals)


def claims(table: pd.DataFrame) -> list[Claim]:
    """What shuffling costs, what the review says, then every published accuracy of the paper's networks.

    The effect of an accuracy is the published distance between MLP and CNN on these signals.
    """
    found = _shuffling(table) + _review(table)
    for signals, network in itertools.product(PAPER, NAMES):
        name = NAMES[network] if signals == "normal" else f"{NAMES[network]}, shuffled"
        text, values = f"Test accuracy of the {name}, at the last step", paper_accuracy(table, network, signals)
        details: dict[str, Any] = {"effect": EFFECT[signals], "unit": "%"}
        one, table_1 = NOTEBOOK[signals][network], PAPER[signals][network]
        found.append(claim_run(f"{name}, notebook", text, values, one, source=PRINTED, **details))
        found.append(claim_average(f"{name}, table", text, values, *table_1, 3, source=TABLE_1, **details))
        if signals == "normal" and network in GLE:
            found.append(claim_average(f"{name}, GLE", text, values, *GLE[network], 10, source="GLE", **details))
    return found


def _shuffling(table: pd.DataFrame) -> list[Claim]:
    """Differences between signals as they are and signals in each seed's own order; and between networks there."""
    found = []
    for network in ("cnn", "gru"):
        loss = paper_accuracy(table, network, "normal") - paper_accuracy(table, network, "permuted")
        text = f"Shuffling the points of the signals costs the {NAMES[network]} accuracy"
        printed = NOTEBOOK["normal"][network] - NOTEBOOK["shuffled"][network]
        details = {"literature": f"{printed:+.1f}", "source": PRINTED, "unit": "points"}
        found.append(claim_direction(f"shuffling, {NAMES[network]}", text, loss, **details))
    lead = paper_accuracy(table, "mlp", "permuted") - paper_accuracy(table, "cnn", "permuted")
    details = {"literature": "+12 and +7.3", "source": f"{TABLE_1}; notebook", "unit": "points"}
    text = "On shuffled signals the MLP beats the CNN"
    return [*found, claim_direction("MLP above CNN, shuffled", text, lead, **details)]


def _review(table: pd.DataFrame) -> list[Claim]:
    """The claims of the review, as far as the sizes that it used were trained."""
    sizes, found = set(select(table, part="samples")["samples"]), []
    details = {"source": REVIEWED, "unit": "%"}
    if 40000 in sizes:
        text, values = "With 40,000 training samples a dense network exceeds 93 %, by", accuracy(table, "dense", 40000)
        found.append(claim_direction("dense, 40,000", text, values - 93, literature="above 93 %", **details))
    if 4000 not in sizes or base_samples(table) != 4000:
        return found
    text = "Varying the 4,000 signals lifts the dense network"
    gain = accuracy(table, "dense", 4000, "naive") - accuracy(table, "dense", 4000)
    points = {"literature": "a lot, no number", "source": REVIEWED, "unit": "points"}
    found.append(claim_direction("naive augmentation", text, gain, **points))
    for kind, (value, std) in REVIEW.items():
        text = f"Test accuracy of the larger {kind} network with 4,000 samples (our reading; near circular)"
        effect, error = REVIEW["CNN"][0] - REVIEW["dense"][0], sampling_error(value, THEIR_TEST, OUR_TEST)
        known: dict[str, Any] = {"effect": effect, "test_error": error, **details}
        found.append(claim_average(f"{kind}, 4,000", text, accuracy(table, kind, 4000), value, std, 100, **known))
    return found


def findings(table: pd.DataFrame) -> list[Finding]:
    """What an order of each seed's own gives, and what augmentation gives."""
    found = []
    for network, name in NAMES.items():
        text = f"Test accuracy of the {name} with the points in an order of each seed's own"
        found.append(find_mean(f"{name}, permuted", text, paper_accuracy(table, network, "permuted"), "%"))
    loss = paper_accuracy(table, "mlp", "normal") - paper_accuracy(table, "mlp", "permuted")
    found.append(find_mean("shuffling, MLP", "What shuffling costs the MLP", loss, "points"))
    return found + (_augmentation(table) if base_samples(table) == 4000 else [])


def _augmentation(table: pd.DataFrame) -> list[Finding]:
    plain, found = accuracy(table, "dense", 4000), []
    gap = accuracy(table, "CNN", 4000) - plain
    for kind, what in VARIED.items():
        values = accuracy(table, "dense", 4000, kind)
        found.append(find_mean(f"dense, {kind}", f"Test accuracy of the dense network with {what}", values, "%"))
        text = f"Part of the gap between the dense network and the CNN that is closed by {what}"
        found.append(find_mean(f"gap, {kind}", text, 100 * (values - plain) / gap, "%"))
    text = f"What synthesis lifts the dense network above people ({HUMAN} %), who know no generator"
    found.append(find_mean("synthesis, people", text, accuracy(table, "dense", 4000, "synthesis") - HUMAN, "points"))
    for kind, what in VARIED.items():
        values = accuracy(table, "CNN", 4000, kind)
        found.append(find_mean(f"CNN, {kind}", f"Test accuracy of the CNN with {what}", values, "%"))
        gain, text = values - accuracy(table, "CNN", 4000), f"What the CNN gains by {what}"
        found.append(find_mean(f"CNN gain, {kind}", text, gain, "points"))
    return found


def markdown() -> str:
    """What plain augmentation reaches, in words and as a table from the recorded run: what a reader of a baseline that
    knows the form of the generator has to compare it with."""
    kept = recorded(STUDY.name)
    if kept is None:
        return "No full run is recorded yet."
    table, rows = kept.table(), []
    for kind in ("dense", "CNN"):
        values = [find_mean("", "", accuracy(table, kind, 4000, name)) for name in KINDS]
        rows.append((kind, *(value.measured for value in values)))
    columns = ("network", "as they are", "plain augmentation", "put together by the form of the generator")
    return (
        f"Accuracy in % on fresh samples of two networks that learn from 4,000 samples (study `{STUDY.name}`, "
        f"{values[0].n} seeds; in brackets 95 % intervals of the mean). Plain augmentation varies the signals by "
        "shifts, stretching, factors, ramps and noise. One set of ranges was tried with the CNN; for the dense network "
        f"it was the best of six tried.\n\n{markdown_table(columns, rows)}"
    )


STUDY = Study(
    name="spatial-prior",
    question="How much of the gap between dense and convolutional networks is the spatial prior, and what closes it?",
    source="Greydanus & Kobak 2024 (arXiv 2011.14439) and its review (dl.reviews, 2020-12-06)",
    full=PriorSettings(),
    quick=PriorSettings(
        seeds=2,
        paper_steps=20,
        samples=(200, 600),
        base_samples=600,
        mlp_review_steps=20,
        mlp_40k_steps=20,
        cnn_review_steps=20,
        mlp_augmented_steps=20,
        test_samples=1000,
    ),
    units=units,
    figure=figure,
    claims=claims,
    findings=findings,
    minutes=60,
)
