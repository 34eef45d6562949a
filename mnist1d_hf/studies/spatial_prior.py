"""How much of the gap between dense and convolutional networks is the spatial prior, and what closes it?

Question: a convolution knows that neighbouring points belong together and that a pattern may lie anywhere; a dense
network has to learn both. What is that knowledge worth, and can a dense network get it from more data, or from new
signals made of the same data?

Source: Greydanus & Kobak 2024 (arXiv 2011.14439), table 1, three runs of each network, accuracy in percent; a review of
it (dl.reviews, 2020-12-06) with larger networks and 100 seeds.

    network    signals    shuffled          network                 samples    accuracy
    logistic   32 ± 1     32 ± 1            review's CNN            4,000      96.8 ± 0.5
    MLP        68 ± 2     68 ± 2            review's dense          4,000      73.3 ± 1.4
    CNN        94 ± 2     56 ± 2            review's dense          40,000     above 93
    GRU        91 ± 2     57 ± 2            people (the paper)      -          95.8

The review conjectures that augmentation would lift the dense network a lot, and gives no number.

Protocol: (a) the paper's four networks and procedure on its dataset, signals as they are and with the order of their
points shuffled: all 4,000 samples, Adam at 1e-2, batches of 100 in the stored order, 6,000 steps, read at the last one.
(b) The recipes `cnn-review`, `mlp-review` and `mlp-40k` on 500 to 40,000 samples, with as many steps at every size; the
last two are one dense network with much dropout and one with little, and "dense" is, for each seed, the one that is
better on held-out data. (c) `cnn-review` and `mlp-augmented` on 4,000 samples, varied in each step (shifted round the
ring, stretched, scaled, with ramps and noise added: `training.augmentation`), or given new signals put together from
the parts of the old (`training.synthesis`) in the recipe's share of each batch; without augmentation they are those
of (b). In (b) and (c) each seed has a training set of its own (the stream of that seed), of which a tenth is held out
to choose the step by; accuracies are on 10,000 fresh samples. In (a) seeds differ in their initial weights alone.

Expected: (a) as in the paper, but for the 68 of the MLP, which its notebook does not reach at the last step; (b) the
dense network near 73 at 4,000 samples and above 93 at 40,000; (c) naive moves close most of its gap to the CNN, and
synthesis lifts it above what people reach.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist1d_hf.data.stream import sample
from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.studies.claims import Claim, compare, compare_published
from mnist1d_hf.studies.figures import curve, new_figure
from mnist1d_hf.studies.settings import Settings
from mnist1d_hf.studies.study import Context, Study, Unit
from mnist1d_hf.studies.table import Row, Table
from mnist1d_hf.training.augmentation import Augmentation
from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.evaluation import fresh_samples
from mnist1d_hf.training.population import Arrays, Population
from mnist1d_hf.training.recipe import Recipe
from mnist1d_hf.training.recipes import RECIPES
from mnist1d_hf.training.runs import GROUP

PAPER = {  # (network, signals) -> accuracy and its spread over three runs
    ("logistic", "normal"): (32, 1),
    ("mlp", "normal"): (68, 2),
    ("cnn", "normal"): (94, 2),
    ("gru", "normal"): (91, 2),
    ("logistic", "shuffled"): (32, 1),
    ("mlp", "shuffled"): (68, 2),
    ("cnn", "shuffled"): (56, 2),
    ("gru", "shuffled"): (57, 2),
}
NAMES = {"logistic": "logistic", "mlp": "MLP", "cnn": "CNN", "gru": "GRU"}
REVIEW = {"dense": (73.3, 1.4), "CNN": (96.8, 0.5)}  # on 4,000 samples, and the deviation over 100 seeds
HUMAN = 95.8
DENSE, CONVOLUTIONAL = ("mlp-review", "mlp-40k"), "cnn-review"
KINDS = ("none", "naive", "synthesis")
NAIVE = Augmentation(shift=20, scale=0.2, stretch=0.1, ramp=1.0, noise=0.05)
SOURCE = "Greydanus & Kobak 2024 (arXiv 2011.14439), table 1, three runs"
READER = "review of the paper, dl.reviews, 2020-12-06"
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
        """Of a recipe."""
        return int(getattr(self, f"{network.replace('-', '_')}_steps", self.paper_steps))


def units(settings: PriorSettings) -> list[Unit]:
    """One for each network and its data: all seeds, at most ten of them side by side."""
    paper = [("paper", network, {"signals": signals}) for network, signals in PAPER]
    sizes = itertools.product((*DENSE, CONVOLUTIONAL), settings.samples)
    sized = [("samples", network, {"samples": samples}) for network, samples in sizes]
    made = itertools.product(("mlp-augmented", CONVOLUTIONAL), KINDS[1:])
    augmented = [("augmentation", network, {"kind": kind}) for network, kind in made]
    parts: list[tuple[str, str, dict[str, Any]]] = [*paper, *sized, *augmented]
    functions: dict[str, Callable[..., list[Row]]] = {
        "paper": train_paper,
        "samples": train_size,
        "augmentation": train_augmented,
    }
    return [
        Unit(
            key="-".join([part, network, *map(str, details.values()), str(start)]),
            function=functions[part],
            arguments={
                "settings": settings,
                "network": network,
                **details,
                "seeds": tuple(range(start, min(start + GROUP, settings.seeds))),
            },
            work=settings.steps(network) * _step_cost(network),
        )
        for part, network, details in parts
        for start in range(0, settings.seeds, GROUP)
    ]


def train_paper(
    settings: PriorSettings, network: str, signals: str, seeds: tuple[int, ...], context: Context
) -> list[Row]:
    """One of the paper's networks on its dataset."""
    recipe = RECIPES[network if signals == "normal" else f"{network}-shuffled"]
    arrays = load_arrays(recipe.data)
    return _train("paper", settings, recipe, network, seeds, arrays, context, signals=signals)


def train_size(
    settings: PriorSettings, network: str, samples: int, seeds: tuple[int, ...], context: Context
) -> list[Row]:
    """A larger network on as many samples."""
    recipe = dataclasses.replace(RECIPES[network], data="default")
    return _train("samples", settings, recipe, network, seeds, _arrays(settings, samples, seeds), context)


def train_augmented(
    settings: PriorSettings, network: str, kind: str, seeds: tuple[int, ...], context: Context
) -> list[Row]:
    """A larger network on signals that are varied, or put together from parts."""
    share = RECIPES["mlp-augmented"].synthetic if kind == "synthesis" else 0.0
    recipe = dataclasses.replace(RECIPES[network], synthetic=share, augmentation=NAIVE if kind == "naive" else None)
    arrays = _arrays(settings, settings.base_samples, seeds)
    return _train("augmentation", settings, recipe, network, seeds, arrays, context, kind=kind)


def _train(
    part: str,
    settings: PriorSettings,
    recipe: Recipe,
    network: str,
    seeds: tuple[int, ...],
    arrays: Arrays,
    context: Context,
    *,
    signals: str = "normal",
    kind: str = "none",
) -> list[Row]:
    """The rows of some seeds of a recipe."""
    recipe, cost = dataclasses.replace(recipe, steps=settings.steps(network)), _step_cost(network)
    population = Population(recipe, seeds, arrays, context.device)
    population.run(progress=lambda _: context.report(cost))
    members, _ = population.finish()
    return [
        {
            "part": part,
            "network": network,
            "signals": signals,
            "samples": arrays.x.shape[-2],
            "augmentation": kind,
            "seed": member.seed,
            "step": member.step,
            "diverged": member.diverged,
            "validation_accuracy": None if member.validation is None else 100 * member.validation,
            "best_reading": 100 * max(value for _, value in member.history) if recipe.watch_test else None,
            "test_accuracy": 100 * member.test,
        }
        for member in members
    ]


def _arrays(settings: PriorSettings, samples: int, seeds: tuple[int, ...]) -> Arrays:
    """The training set of each seed, the first samples of its stream, and fresh samples that are the same for all."""
    drawn = [sample(range(samples), seed) for seed in seeds]
    test = fresh_samples("default", settings.test_samples)
    return Arrays(np.stack([x for x, _ in drawn]), np.stack([label for _, label in drawn]), *test)


def _step_cost(network: str) -> int:
    """Of a step of ten members, in hundredths of a millisecond."""
    return round(100 * MEASURED[network])


def accuracy(table: Table, kind: str, samples: int, augmentation: str = "none") -> NDArray[Any]:
    """Test accuracy of the "dense" or the "CNN" of parts (b) and (c), float64 (seeds,).

    Of the dense networks that were trained, each seed has the one that is better on its held-out data.
    """
    some = table.where(part=("samples", "augmentation"), samples=samples, augmentation=augmentation)
    if kind == "CNN":
        return some.where(network=CONVOLUTIONAL).by_seed("test_accuracy")
    tried = [some.where(network=network) for network in (*DENSE, "mlp-augmented")]
    tried = [rows for rows in tried if len(rows)]
    choice = np.stack([rows.by_seed("validation_accuracy") for rows in tried]).argmax(0)
    return np.stack([rows.by_seed("test_accuracy") for rows in tried])[choice, np.arange(len(choice))]


def base_samples(table: Table) -> int:
    """The size that was augmented."""
    return int(table.where(part="augmentation").unique("samples")[0])


def figure(table: Table) -> Figure:
    """The paper's networks on signals and on shuffled ones; training-set size; augmentation."""
    drawn, axes = new_figure("What the spatial prior is worth", 3)
    _draw_paper(axes[0], table)
    _draw_sizes(axes[1], table)
    _draw_augmentation(axes[2], table)
    return drawn


def _draw_paper(axis: Any, table: Table) -> None:
    place = np.arange(len(NAMES))
    for shift, signals, color in ((-0.2, "normal", "C0"), (0.2, "shuffled", "C1")):
        values = [
            table.where(part="paper", network=network, signals=signals).by_seed("test_accuracy") for network in NAMES
        ]
        _bars(axis, place + shift, values, label="as they are" if signals == "normal" else signals, color=color)
        known = [PAPER[network, signals] for network in NAMES]
        axis.errorbar(
            place + shift, *zip(*known, strict=True), fmt="x", color="0.2", label="paper" if shift > 0 else None
        )
    axis.set(xticks=place, xticklabels=NAMES.values(), ylabel="test accuracy, %", title="the paper's networks")
    axis.set_ylim(0, 108)
    axis.legend(fontsize=8, loc="upper left")


def _draw_sizes(axis: Any, table: Table) -> None:
    some = table.where(part="samples")
    sizes = sorted(some.unique("samples"))
    for kind, color in (("CNN", "C2"), ("dense", "C3")):
        values = np.stack([accuracy(some, kind, samples) for samples in sizes], axis=1)
        curve(axis, sizes, values, kind, color=color)
        axis.errorbar(4000, *REVIEW[kind], fmt="x", color=color)
    axis.plot(40000, 93, marker="$\\uparrow$", color="C3", linestyle="none")
    axis.errorbar([], [], [], fmt="x", color="0.4", label="review")
    axis.set(xscale="log", xlabel="training samples", ylabel="test accuracy, %", title="training-set size")
    axis.legend(fontsize=8)


def _draw_augmentation(axis: Any, table: Table) -> None:
    samples, place, lowest = base_samples(table), np.arange(len(KINDS)), 70.0
    for shift, kind, color in ((-0.2, "dense", "C3"), (0.2, "CNN", "C2")):
        values = [accuracy(table, kind, samples, name) for name in KINDS]
        _bars(axis, place + shift, values, label=kind, color=color)
        lowest = min(lowest, *(value.min() for value in values))
    axis.axhline(HUMAN, color="0.3", linestyle=":", linewidth=1, label="people")
    axis.set(xticks=place, xticklabels=KINDS, ylabel="test accuracy, %", title=f"augmentation of {samples:,} samples")
    axis.set_ylim(max(0.0, lowest - 10), 105)
    axis.legend(fontsize=8, loc="upper center", ncols=3)


def _bars(axis: Any, place: NDArray[Any], values: list[NDArray[Any]], **style: Any) -> None:
    means, spreads = [value.mean() for value in values], [value.std(ddof=min(1, len(value) - 1)) for value in values]
    axis.bar(place, means, yerr=spreads, width=0.36, alpha=0.75, **style)
    axis.set_axisbelow(True)


def claims(table: Table) -> list[Claim]:
    """The verdict: what shuffling costs, what data and augmentation give, and every published accuracy."""
    return [*_claims_of_shuffling(table), *_claims_of_the_review(table), *_claims_of_the_paper(table)]


def _claims_of_shuffling(table: Table) -> list[Claim]:
    """Differences; the range is the published one, with both of its spreads."""
    of = _of_the_paper(table)
    points: dict[str, Any] = {"source": SOURCE, "unit": "points"}
    found = []
    for network in ("cnn", "mlp", "gru", "logistic"):
        (high, one), (low, other) = PAPER[network, "normal"], PAPER[network, "shuffled"]
        cost = f"{high - low} points" if high > low else "nothing"
        found.append(
            compare_published(
                f"shuffling, {NAMES[network]}",
                f"Shuffling the points of the signals costs the {NAMES[network]} {cost}",
                of(network, "normal") - of(network, "shuffled"),
                high - low,
                one + other,
                literature=f"{high} - {low} = {high - low}",
                **points,
            )
        )
    found.append(
        compare(
            "MLP above CNN, shuffled",
            "On shuffled signals the MLP beats the CNN",
            of("mlp", "shuffled") - of("cnn", "shuffled"),
            least=0.0,
            literature="68 - 56 = +12",
            **points,
        )
    )
    return found


def _claims_of_the_review(table: Table) -> list[Claim]:
    sizes, base = table.where(part="samples").unique("samples"), base_samples(table)
    found = []
    if 40000 in sizes:
        found.append(
            compare(
                "dense, 40,000",
                "With 40,000 training samples a dense network exceeds 93 %",
                accuracy(table, "dense", 40000),
                least=93.0,
                literature="above 93 %",
                source=READER,
                unit="%",
            )
        )
    if base == 4000:
        found += _claims_of_augmentation(table, base)
    for kind, (value, spread) in REVIEW.items() if 4000 in sizes else ():
        found.append(
            compare_published(
                f"{kind}, 4,000",
                f"With 4,000 training samples the larger {kind} network reaches {value:g} %",
                accuracy(table, kind, 4000),
                value,
                spread,
                literature=f"{value:g} ± {spread:g} %",
                source=READER,
                unit="%",
            )
        )
    return found


def _claims_of_augmentation(table: Table, samples: int) -> list[Claim]:
    """That it lifts the dense network "a lot" is taken as: by more than half of what the CNN is ahead."""
    plain = accuracy(table, "dense", samples)
    gap = accuracy(table, "CNN", samples) - plain
    found = []
    for kind, what in (("naive", "Varying the signals"), ("synthesis", "Putting signals together from parts")):
        found.append(
            compare(
                f"{kind}: share of the gap",
                f"{what} closes more than half of the gap between the dense network and the CNN",
                100 * (accuracy(table, "dense", samples, kind) - plain) / gap,
                least=50.0,
                literature="a lot, no number",
                source=READER,
                unit="% of the gap",
            )
        )
    found.append(
        compare(
            "synthesis: above people",
            "Signals put together from parts of 4,000 lift the dense network above people",
            accuracy(table, "dense", samples, "synthesis"),
            least=HUMAN,
            literature=f"people {HUMAN} %",
            source="Greydanus & Kobak 2024 (arXiv 2011.14439), 500 signals",
            unit="%",
        )
    )
    return found


def _claims_of_the_paper(table: Table) -> list[Claim]:
    of = _of_the_paper(table)
    found = []
    for (network, signals), (value, spread) in PAPER.items():
        shuffled = ", shuffled" if signals == "shuffled" else ""
        found.append(
            compare_published(
                f"{NAMES[network]}{shuffled}",
                f"Test accuracy of the {NAMES[network]}{shuffled}, at the last step",
                of(network, signals),
                value,
                spread,
                literature=f"{value} ± {spread} %",
                source=SOURCE,
                unit="%",
            )
        )
    return found


def _of_the_paper(table: Table) -> Callable[[str, str], NDArray[Any]]:
    paper = table.where(part="paper")
    return lambda network, signals: paper.where(network=network, signals=signals).by_seed("test_accuracy")


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
    minutes=61,
)
