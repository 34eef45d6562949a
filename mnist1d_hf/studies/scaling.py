"""How does the loss beyond the irreducible one fall with the number of training samples?

Question: is the excess loss over the Bayes classifier a power law of the number n of training samples, with which
exponent and over which range? Do architectures differ in exponent or in constant? Where does more width stop to help?
And what goes wrong if the irreducible loss is fitted, as it must be where it is not known?

Source: for language models the law L(n) = E + A n^-a is fitted with E unknown (Hoffmann et al. 2022, arXiv 2203.15556;
its fits were wrong: Besiroglu et al. 2024, arXiv 2404.10102). Here E is known: the generator of Greydanus & Kobak 2024
(arXiv 2011.14439) has an exact posterior. Nobody published such fits for MNIST-1D, so there are findings and no claims.

Protocol: 100 to 1,000,000 training samples, 5 seeds, each with a stream of its own: its first 2,500 samples are held
out, the next n are trained on. Networks, each in up to three widths (`scaling_networks.WIDTHS`): logistic regression,
MLP, CNN, GRU, ResNet, transformer. AdamW, weight decay 0.05, a rate for each architecture that rises over 200 steps and
is then constant, batches of 100. The weights are averaged over about the last ninth of the steps (polynomial-decay
averaging, Shamir & Zhang 2013), which takes the place of a schedule. The average is evaluated at steps that grow by a
factor of 1.25; the training of a seed ends when 1.6 times the step with the smallest held-out loss and 50 more are
done, and that step is kept. It ends at the latest after 40 sqrt(n) steps, 2,000 for small n; 12,000 (ResNet), 10,000
(GRU) or 8,000 (transformer), which are expensive. A point is *limited by steps* if most seeds went on to the last step
and the second half of the steps lowered the mean held-out loss by more than a fifth: drawn hollow, left out of fits.
All widths are trained on up to 30,000 samples, beyond only the widest; of those tried the one with the best mean
held-out loss counts at each n.

Every network is measured once, on 50,000 fresh signals of another stream, the same for all. On these signals the Bayes
loss is exact (a unit of its own); the difference of the two losses on the same signals is the excess loss. Losses are
kept as means over 20 parts of the signals, so that intervals draw both the seeds and the parts anew.

Fits are over the points from 1,000 samples on (below, a class has fewer than 100), by a Huber loss (1e-3) on residuals
of the log loss: A and a for the excess loss, E known; and E, A and a for the loss itself, with several starts.
Intervals are percentiles over 1,000 resampled sets of seeds, stretched because five seeds are few
(`claims.interval`). They leave out that the width was chosen, and which points are limited by steps.

Deviations:
- Nothing of this kind is published for this dataset, so there is no protocol to deviate from.
- The 2,500 held-out samples of a seed are not among its n: they choose the step and, with those of the other seeds, the
  width, and for small n they are more than it has training samples.
- Learning rates, their rise and averaging were chosen in trials on held-out samples of other seeds, with one or two
  networks of each architecture on 100 to 30,000 samples; they do not change with n or width. A rate chosen at each n
  could change exponents.
- Steps, evaluations and held-out samples were set by what they cost. Four settings (on 300, 1,000, 3,000 and 10,000
  samples) had been measured on the fresh signals before the last of these were lowered; nothing else changed after it.
- The stopping rule and the networks are part of what is measured: the exponents are those of this training, not of the
  architectures as such.

Expected: networks with convolutions fall as a power law over two decades of n or more, and differ from the MLP in
constant more than in exponent; the logistic regression stops at the loss of the best linear model, far above Bayes; a
fitted E is above the true one, because each width has a floor of its own.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mnist1d_hf.data.configurations import FRESH_SEED
from mnist1d_hf.data.posterior import posterior
from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.studies import power_laws, scaling_networks
from mnist1d_hf.studies.claims import Claim, Finding, interval
from mnist1d_hf.studies.frames import Row, select
from mnist1d_hf.studies.scaling_curves import (
    BAYES,
    FIT_FROM,
    LABELS,
    Both,
    Fits,
    bayes_losses,
    curves_and_fits,
    figure,
    summary,
)
from mnist1d_hf.studies.scaling_networks import WIDTHS
from mnist1d_hf.studies.settings import Settings, choice
from mnist1d_hf.studies.study import Context, Study, Unit, seed_groups
from mnist1d_hf.training.evaluation import fresh_samples

Array = NDArray[Any]

TEST_SEED = FRESH_SEED + 2000  # of the stream that losses are measured on, which chooses nothing
REFERENCE = "cnn"  # exponents of the others are compared with its exponent
PARTS = 20  # of the test samples
LEVEL_OF_EXCESS = 0.1  # nats, at which architectures are compared in how many samples they need
MOST = {"resnet": 12_000, "gru": 10_000, "transformer": 8_000}  # steps of those that are expensive
COST = {  # milliseconds of a step of five seeds, by width
    "logistic": (0.8,),
    "mlp": (1.2, 2.1, 10),
    "cnn": (3, 4.6, 9),
    "gru": (15, 20, 26),
    "resnet": (12, 13, 20),
    "transformer": (38, 48),
}


@dataclasses.dataclass(frozen=True)
class ScalingSettings(Settings):
    """Settings of this study."""

    seeds: int = 5
    samples: tuple[int, ...] = (1000, 10_000, 100_000, 1_000_000, 30_000, 300_000, 3000, 300, 100)  # in this order
    architectures: tuple[str, ...] = choice(tuple(WIDTHS), tuple(WIDTHS))
    narrow_samples: int = 30_000  # of training, up to which all widths are tried; beyond only the widest
    steps: int = 40  # of the optimiser at most, times the root of the samples
    held_out: int = 2500  # samples of each seed that choose the step
    test_samples: int = 50_000  # fresh ones, to measure on

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.test_samples % PARTS:
            raise InvalidValueError(f"test_samples: expected a multiple of {PARTS}, found {self.test_samples}")


def most_steps(settings: ScalingSettings, architecture: str, samples: int) -> int:
    """The largest number of steps."""
    return min(round(settings.steps * max(50, samples**0.5)), MOST.get(architecture, 10**9))


def units(settings: ScalingSettings) -> list[Unit]:
    """Bayes; the widest networks, by number of samples; the narrower ones."""
    found = [Unit("bayes", bayes, {}, max(1, settings.test_samples // 2500))]
    widest = [(name, WIDTHS[name][-1]) for name in settings.architectures]
    narrow = [(name, width) for name in settings.architectures for width in WIDTHS[name][:-1]]
    up_to = [samples for samples in settings.samples if samples <= settings.narrow_samples]
    for samples, (name, width) in (*itertools.product(settings.samples, widest), *itertools.product(up_to, narrow)):
        for seeds in seed_groups(settings.seeds, _group(name, samples)):
            arguments = {"architecture": name, "width": width, "samples": samples, "seeds": seeds}
            work = _work(settings, name, width, samples, len(seeds))
            found.append(Unit(f"{name}-{width}-{samples}-{seeds[0]}", measure, arguments, work))
    return found


def _group(architecture: str, samples: int) -> int:
    """Seeds of a unit, so that it takes minutes. Transformers cannot be stacked: each seed costs the same as alone."""
    if architecture == "transformer" and samples >= 30_000:
        return 1
    return 5 if samples <= 100_000 else 3


def _work(settings: ScalingSettings, architecture: str, width: int, samples: int, seeds: int) -> int:
    """Of a unit, in about a second of one core with the full settings: small sets stop before their last step."""
    steps = min(most_steps(settings, architecture, samples), 10 * samples ** (2 / 3))
    return max(1, round(steps * COST[architecture][WIDTHS[architecture].index(width)] * seeds / 5 / 1000))


def bayes(settings: ScalingSettings, context: Context) -> list[Row]:
    """The irreducible loss, on the signals that all networks are measured on: one row."""
    x, label = fresh_samples("default", settings.test_samples, TEST_SEED)
    p = posterior(x)
    loss = -np.log(p[np.arange(len(x)), label])
    context.report(max(1, settings.test_samples // 2500))
    return [_row(BAYES, 0, 0, 0, loss, p.argmax(1) == label)]


def measure(
    settings: ScalingSettings, architecture: str, width: int, samples: int, seeds: Sequence[int], context: Context
) -> list[Row]:
    """Train a network for each seed, and measure it: a row for each seed."""
    work, reported = _work(settings, architecture, width, samples, len(seeds)), 0
    most = most_steps(settings, architecture, samples)

    def progress(step: int) -> None:
        nonlocal reported
        done = work * step // (most + 1)
        context.report(done - reported)
        reported = done

    trained = scaling_networks.train(
        architecture, width, samples, settings.held_out, seeds, most, context.device, progress
    )
    test = fresh_samples("default", settings.test_samples, TEST_SEED)  # only now
    x, label = (torch.from_numpy(values).to(context.device).expand(len(seeds), *values.shape) for values in test)
    loss, right = scaling_networks.losses(trained.network, x, label)
    context.report(work - reported)
    return [
        _row(
            *(architecture, width, samples, seed, loss[number], right[number]),
            parameters=trained.parameters,
            steps=int(trained.steps[number]),
            best_step=int(trained.best_step[number]),
            stopped=bool(trained.stopped[number]),
            held_out_loss=float(trained.loss[number]),
            half_loss=float(trained.half_loss[number]),
        )
        for number, seed in enumerate(seeds)
    ]


def _row(architecture: str, width: int, samples: int, seed: int, loss: Array, right: Array, **training: Any) -> Row:
    """All rows have the same columns; Bayes has no training."""
    columns = ("parameters", "steps", "best_step", "stopped", "held_out_loss", "half_loss")
    return {
        "architecture": architecture,
        "width": width,
        "samples": samples,
        "seed": seed,
        **{name: training.get(name) for name in columns},
        "test_accuracy": 100 * float(right.mean()),
        "test_loss": float(loss.mean()),
        "test_losses": loss.reshape(PARTS, -1).mean(1).tolist(),
    }


def found(name: str, text: str, values: Array, seeds: int, unit: str = "") -> list[Finding]:
    """A finding about a statistic (fits,), the first one of all seeds; none if that could not be fitted."""
    if not np.isfinite(values[0]):
        return []
    low, high = interval(values[1:], seeds)
    return [Finding(name=name, text=text, mean=float(values[0]), low=low, high=high, n=seeds, unit=unit)]


def findings(table: pd.DataFrame) -> list[Finding]:
    """Exponents first, then what fitting the irreducible loss does, curvature, constants, and widths."""
    both = curves_and_fits(table)
    names = sorted(both, key=lambda name: name != REFERENCE)
    listed = []
    for kind in (_exponent, _difference, _samples_needed, _fitted_floor, _fitted_exponent, _curvature):
        for name in names:
            listed += kind(both, name)
    return [*listed, *_irreducible(table), *_widths(table)]


def _range(fits: Fits) -> str:
    return f"{fits.samples.min():,} to {fits.samples.max():,} samples" if len(fits.samples) else "no samples"


def _exponent(both: Both, name: str) -> list[Finding]:
    fits = both[name][1]
    text = f"Exponent a of the excess loss A n^-a of the {LABELS[name]}, {_range(fits)}, irreducible loss known"
    return found(f"a, {LABELS[name]}", text, fits.known.exponent, fits.seeds)


def _difference(both: Both, name: str) -> list[Finding]:
    if name == REFERENCE or REFERENCE not in both:
        return []
    (_, fits), (_, other) = both[name], both[REFERENCE]
    text = f"Exponent of the {LABELS[name]} less that of the {LABELS[REFERENCE]}, the same seeds"
    return found(f"a, {LABELS[name]} - CNN", text, fits.known.exponent - other.known.exponent, fits.seeds)


def _samples_needed(both: Both, name: str) -> list[Finding]:
    fits = both[name][1]
    with np.errstate(invalid="ignore", over="ignore"):
        needed = (fits.known.factor / LEVEL_OF_EXCESS) ** (1 / fits.known.exponent)
    if not (len(fits.samples) and FIT_FROM / 10 <= needed[0] <= 10 * fits.samples.max()):
        return []  # far outside of what was measured
    text = f"Training samples with which the {LABELS[name]} has an excess loss of {LEVEL_OF_EXCESS:g} nats, by its fit"
    return found(f"samples, {LABELS[name]}", text, needed, fits.seeds)


def _fitted_floor(both: Both, name: str) -> list[Finding]:
    curve, fits = both[name]
    text = f"Irreducible loss E as fitted to the loss E + A n^-a of the {LABELS[name]}; the true one: "
    return found(f"E, {LABELS[name]}", f"{text}{curve.bayes.mean():.2g}", fits.fitted.floor, fits.seeds, "nats")


def _fitted_exponent(both: Both, name: str) -> list[Finding]:
    fits = both[name][1]
    text = f"Exponent with E fitted less exponent with E known, {LABELS[name]}"
    return found(f"a, E fitted, {LABELS[name]}", text, fits.fitted.exponent - fits.known.exponent, fits.seeds)


def _curvature(both: Both, name: str) -> list[Finding]:
    fits = both[name][1]
    text = f"By how much the local exponent of the {LABELS[name]} rises from one decade of n to the next"
    return found(f"curvature, {LABELS[name]}", text, power_laws.curvature(fits.samples, fits.excess), fits.seeds)


def _irreducible(table: pd.DataFrame) -> list[Finding]:
    """The Bayes loss on the test signals; no seed takes part in it, so there is no interval."""
    text = f"Bayes loss on the {PARTS} parts of the fresh signals, the true irreducible loss"
    mean = float(bayes_losses(table).mean())
    return [Finding(name="E", text=text, mean=mean, low=np.nan, high=np.nan, n=1, unit="nats")]


def _widths(table: pd.DataFrame) -> list[Finding]:
    """Of each architecture and number of samples: what the widest network gains over the next one."""
    listed = []
    base = bayes_losses(table)
    for name, samples in itertools.product(LABELS, sorted(set(table["samples"]) - {0})):
        rows = select(table, architecture=name, samples=samples)
        widths = sorted(set(rows["width"]))
        if len(widths) < 2:
            continue
        wide, narrow = (
            np.array(select(rows, width=width).sort_values("seed")["test_losses"].tolist())[:, None] - base
            for width in (widths[-1], widths[-2])
        )
        drawn = [power_laws.resampled_means(values)[:, 0] for values in (wide, narrow)]
        ratio = np.concatenate([[wide.mean() / narrow.mean()], drawn[0] / drawn[1]])
        text = f"Excess loss of the {LABELS[name]} of width {widths[-1]} as a fraction of that of width {widths[-2]}, "
        listed += found(f"width, {LABELS[name]}, {samples:,}", f"{text}{samples:,} samples", ratio, len(wide))
    return listed


def claims(table: pd.DataFrame) -> list[Claim]:  # noqa: ARG001
    """None: nobody published such fits for this dataset."""
    return []


STUDY = Study(
    name="scaling",
    question="How does the loss beyond the irreducible one fall with the number of training samples?",
    source="findings of this package, with the fits of Hoffmann et al. 2022 (arXiv 2203.15556)",
    full=ScalingSettings(),
    quick=ScalingSettings(
        seeds=2, samples=(100, 1000), architectures=("logistic", "mlp", "cnn"), steps=1, held_out=100, test_samples=200
    ),
    units=units,
    figure=figure,
    claims=claims,
    findings=findings,
    minutes=125,
    summary=summary,
)
