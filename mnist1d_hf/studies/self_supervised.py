"""Which layer of a network that was trained without labels tells the classes apart best?

Question: a convolutional network learns to recognise a signal in another view of it, shifted and with another slope.
How well does a linear classifier read the class off each of its layers, and is the layer that was trained the best?

Source: Greydanus & Kobak 2024 (arXiv 2011.14439), section on self-supervised learning, and its notebook; one run on the
paper's dataset. Linear classifier, accuracy in percent, the last layer being the one that the loss is computed from:

    layer                            0      1      2      3      4      5      6      7
    projector with two layers        32.8   75.1   80.9   82.1   76.1   75.0
    no projector                     32.8   84.6   78.2   54.1
    projector with four layers       32.8   76.5   85.1   84.4   78.4   74.1   65.9   62.0

Layer 0 are the signals, 1 to 3 the convolutions, the rest the projector. Ten nearest neighbours: 74.1 (±3) on the
output with two projector layers, 59.6 on the signals. An earlier run in the same notebook has 75.6, 83.0, 81.5, 78.6,
75.8 and neighbours 75.8; the networks without and with a deeper projector are only there.

Protocol: the paper's convolutions (25 channels, 125 features) and a projector 125-125-16 with ReLU between its layers;
InfoNCE with temperature 0.5 between two views of the samples of a batch; Adam at 1e-2, batches of 100 in a new order in
each epoch, 200 epochs. A view: the signal less its mean and slope, shifted around its ends by 0 to 9 points, with a new
slope (deviation 0.04 a point) and offset (0.3). Then a logistic regression on each layer's standardised features of the
training samples, and the neighbours by angle (for signals by distance). Data "paper": the paper's dataset, 4,000 to
train and 1,000 to test, the same for all seeds. Data "fresh": each seed has training samples of its own (4,000 of the
stream), and accuracies are on 10,000 fresh samples.

Expected: as in the paper. The convolutions tell more than the layers behind them, and with a deeper projector more than
without.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mnist1d_hf.data.stream import sample
from mnist1d_hf.studies.claims import Claim, compare, compare_published
from mnist1d_hf.studies.figures import curve, new_figure
from mnist1d_hf.studies.settings import Settings, choice
from mnist1d_hf.studies.study import Context, Study, Unit
from mnist1d_hf.studies.table import Row, Table
from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.ensemble import Ensemble, Procedure, seeded
from mnist1d_hf.training.evaluation import fresh_samples
from mnist1d_hf.training.probes import linear_accuracy, neighbour_accuracy

DATA = ("paper", "fresh")
PROJECTORS = {"none": 0, "two": 2, "four": 4}
LABELS = {"none": "no projector", "two": "projector with two layers", "four": "projector with four layers"}
PAPER = {  # (projector, layer) -> accuracy of a linear classifier
    **{("two", layer): value for layer, value in enumerate((75.1, 80.9, 82.1, 76.1, 75.0), 1)},
    **{("none", layer): value for layer, value in enumerate((84.6, 78.2, 54.1), 1)},
    **{("four", layer): value for layer, value in enumerate((76.5, 85.1, 84.4, 78.4, 74.1, 65.9, 62.0), 1)},
}
PIXELS, PIXEL_NEIGHBOURS, NEIGHBOURS = 32.8, 59.6, 74.1
SOURCE = "Greydanus & Kobak 2024 (arXiv 2011.14439), self-supervised learning, notebook, one run"
TOLERANCE = 3.0  # percentage points around a published accuracy, which is of one run on one dataset
PIXEL_TOLERANCE = 0.25  # nothing is random there, but a classifier that is nearly fitted may err on one sample more
_AT_ONCE = 5  # seeds that are trained side by side


@dataclasses.dataclass(frozen=True)
class SelfSupervisedSettings(Settings):
    """Settings of this study.

    Attributes:
        data: "paper", the paper's dataset; "fresh", training samples of its own for each seed.
        projectors: layers that follow the convolutions in training.
        samples: of each training set; of the paper's, the first.
        epochs: of the contrastive training.
        batch_size: samples a step.
        learning_rate: of Adam.
        temperature: that the similarities are divided by.
        shift: one more than the greatest circular shift of a view, in points.
        slope: deviation of a view's slope, in standard deviations of the signal a point.
        offset: deviation of a view's offset, in standard deviations of the signal.
        channels: of the convolutions.
        hidden: units of the projector's layers before the last.
        output: units of its last layer.
        neighbours: that vote on a class.
        test_samples: fresh ones, to measure on with data "fresh".
    """

    data: tuple[str, ...] = choice(DATA, DATA)
    projectors: tuple[str, ...] = choice(("two", "none", "four"), tuple(PROJECTORS))
    samples: int = 4000
    epochs: int = 200
    batch_size: int = 100
    learning_rate: float = 1e-2
    temperature: float = 0.5
    shift: int = 10
    slope: float = 0.04
    offset: float = 0.3
    channels: int = 25
    hidden: int = 125
    output: int = 16
    neighbours: int = 10
    test_samples: int = 10000


class Encoder(nn.Module):
    """From signals (..., length) to features: three convolutions and a projector.

    Args:
        projector: how many layers it has.
        channels: of the convolutions.
        hidden: units of the projector's layers before the last.
        output: of its last layer.
        length: of the signals.
    """

    def __init__(
        self, projector: int, channels: int = 25, hidden: int = 125, output: int = 16, length: int = 40
    ) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [
                nn.Conv1d(1, channels, 5, stride=2, padding=1),
                nn.Conv1d(channels, channels, 3, stride=2, padding=1),
                nn.Conv1d(channels, channels, 3, stride=2, padding=1),
            ]
        )
        for kernel in (5, 3, 3):
            length = (length + 2 - kernel) // 2 + 1
        sizes = [channels * length, *[hidden] * (projector - 1), output] if projector else []
        self.projector = nn.ModuleList([nn.Linear(before, after) for before, after in itertools.pairwise(sizes)])

    def layers(self, x: Tensor) -> list[Tensor]:
        """What each layer gives out, (..., features)."""
        x, found = x.unsqueeze(-2), []
        for convolution in self.convolutions:
            x = torch.relu(convolution(x))
            found.append(x.flatten(-2))
        for number, linear in enumerate(self.projector, 1):
            y = linear(found[-1])
            found.append(y if number == len(self.projector) else torch.relu(y))
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)[-1]


class Views:
    """Other views of signals.

    Args:
        shift, slope, offset: as in `SelfSupervisedSettings`.
    """

    def __init__(self, shift: int = 10, slope: float = 0.04, offset: float = 0.3) -> None:
        self.shift, self.slope, self.offset = shift, slope, offset

    def __call__(self, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Of signals (members, batch, length), each member with its own source of random numbers."""
        batch, length = x.shape[1:]
        shift = torch.stack([torch.randint(self.shift, (batch,), generator=source) for source in generators]).to(
            x.device
        )
        drawn = torch.stack([torch.randn((batch, 2), generator=source) for source in generators]).to(x)
        place = torch.arange(length, device=x.device)
        time = place.to(x) - (length - 1) / 2
        slope = (x * time).sum(-1, keepdim=True) / time.square().sum()
        plain = x - x.mean(-1, keepdim=True) - slope * time
        moved = plain.gather(-1, (place - shift[..., None]) % length)
        return moved + self.slope * drawn[..., :1] * time + self.offset * drawn[..., 1:]


class Contrastive(Ensemble):
    """Encoders in training to recognise a signal in another view of it (InfoNCE, van den Oord et al. 2018).

    Args:
        views: makes them.
        temperature: that the similarities are divided by.
        arguments: of `Ensemble`; labels are not looked at.
    """

    def __init__(self, *arguments: Any, views: Views, temperature: float, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.views, self.temperature = views, temperature

    def losses(self, x: Tensor, label: Tensor) -> Tensor:  # noqa: ARG002
        """The loss of each member on a batch."""
        batch = x.shape[1]
        both = torch.cat([self.views(x, self.generators), self.views(x, self.generators)], dim=1)
        left, right = functional.normalize(self.network(both).float(), dim=-1).split(batch, dim=1)
        return info_nce(left, right, self.temperature)

    def layers(self, x: Any) -> list[Tensor]:
        """What each layer gives for signals (rows, length) or (members, rows, length): (members, rows, features)."""
        signals = self.shared(x, 2).float()
        self.network.eval()
        with torch.no_grad():
            parts = [self.network.layers(part) for part in signals.split(1000, dim=1)]
        return [torch.cat(some, dim=1) for some in zip(*parts, strict=True)]


def info_nce(left: Tensor, right: Tensor, temperature: float) -> Tensor:
    """How badly each of the left features finds its partner among the right ones, in nats (members,).

    Args:
        left, right: of length 1, (members, batch, features); partners have the same place.
        temperature: that the similarities are divided by.

    >>> one = torch.eye(2)[None]
    >>> info_nce(one, one, 1.0)
    tensor([0.3133])
    """
    similarity = torch.bmm(left, right.transpose(1, 2)) / temperature
    return (similarity.logsumexp(-1) - similarity.diagonal(dim1=1, dim2=2)).mean(1)


def units(settings: SelfSupervisedSettings) -> list[Unit]:
    """For each kind of data one for the signals, then some seeds of each kind of projector side by side."""
    steps = settings.epochs * (settings.samples // settings.batch_size)
    found = []
    for data in settings.data:
        arguments = {"settings": settings, "data": data}
        found.append(Unit(f"signals-{data}", measure_signals, arguments, 200 * settings.seeds))
        for projector, start in itertools.product(settings.projectors, range(0, settings.seeds, _AT_ONCE)):
            seeds = list(range(start, min(start + _AT_ONCE, settings.seeds)))
            more = {"projector": projector, "seeds": seeds}
            found.append(Unit(f"{data}-{projector}-{start}", train, {**arguments, **more}, (steps + 800) * len(seeds)))
    return found


def load(settings: SelfSupervisedSettings, data: str, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Signals and labels of a seed, to train and to test."""
    if data == "paper":
        arrays = load_arrays("default")
        values = arrays.x[: settings.samples], arrays.label[: settings.samples], arrays.x_test, arrays.label_test
    else:
        values = *sample(range(settings.samples), seed), *fresh_samples("default", settings.test_samples)
    x, label, x_test, label_test = (torch.from_numpy(one) for one in values)
    return x.float(), label.long(), x_test.float(), label_test.long()


def measure_signals(settings: SelfSupervisedSettings, data: str, context: Context) -> list[Row]:
    """The rows of the signals themselves; of the paper's, which are the same for all seeds, they are all equal."""
    rows: list[Row] = []
    known: dict[int, tuple[float, float]] = {}
    for seed in range(settings.seeds):
        drawn = 0 if data == "paper" else seed
        if drawn not in known:
            given = load(settings, data, drawn)
            near = neighbour_accuracy(*given, neighbours=settings.neighbours)
            known[drawn] = linear_accuracy(*given), near
        linear, near = known[drawn]
        rows.append(_row(data, "signals", "linear", 0, seed, linear))
        rows.append(_row(data, "signals", "neighbours", 0, seed, near))
        context.report(200)
    return rows


def train(
    settings: SelfSupervisedSettings, data: str, projector: str, seeds: Sequence[int], context: Context
) -> list[Row]:
    """Train networks without labels, and see what their layers tell."""
    count, size = PROJECTORS[projector], (settings.channels, settings.hidden, settings.output)
    drawn = [[values.to(context.device) for values in load(settings, data, seed)] for seed in seeds]
    x, label = torch.stack([one[0] for one in drawn]), torch.stack([one[1] for one in drawn])
    steps = settings.epochs * (settings.samples // settings.batch_size)
    ensemble = Contrastive(
        [seeded(lambda: Encoder(count, *size), seed) for seed in seeds],
        Procedure(steps, settings.batch_size, settings.learning_rate, shuffle=True),
        x,
        label,
        seeds=seeds,
        device=context.device,
        views=Views(settings.shift, settings.slope, settings.offset),
        temperature=settings.temperature,
    )
    ensemble.run(report=lambda _: context.report(len(seeds)))
    x_test, label_test = drawn[0][2:]
    known, asked = ensemble.layers(x), ensemble.layers(x_test)
    rows: list[Row] = []
    for member, seed in enumerate(seeds):
        for layer, (features, others) in enumerate(zip(known, asked, strict=True), 1):
            given = features[member], label[member], others[member], label_test
            rows.append(_row(data, projector, "linear", layer, seed, linear_accuracy(*given)))
            if layer == len(known):
                near = neighbour_accuracy(*given, neighbours=settings.neighbours, cosine=True)
                rows.append(_row(data, projector, "neighbours", layer, seed, near))
        context.report(800)
    return rows


def _row(data: str, projector: str, measure: str, layer: int, seed: int, accuracy: float) -> Row:
    return {
        "data": data,
        "projector": projector,
        "measure": measure,
        "layer": layer,
        "seed": seed,
        "test_accuracy": 100 * accuracy,
    }


def figure(table: Table) -> Figure:
    """Accuracy by layer, and of the neighbours."""
    kinds = table.unique("data")
    drawn, axes = new_figure("Self-supervised learning", len(kinds) + 1)
    names = [name for name in table.unique("projector") if name != "signals"]
    for axis, data in zip(axes, kinds, strict=False):
        linear = table.where(measure="linear", data=data)
        signals = linear.where(projector="signals").by_seed("test_accuracy")
        for name, color in zip(names, ("C0", "C1", "C2"), strict=False):
            some = linear.where(projector=name)
            layers = sorted(some.unique("layer"))
            values = np.column_stack([signals, some.grid("test_accuracy", "layer")])
            curve(axis, [0, *layers], values, LABELS[name], color=color)
            known = [(layer, value) for (kind, layer), value in PAPER.items() if kind == name and layer in layers]
            axis.plot(*zip(*known, strict=True), "x", color=color, markersize=6)
        axis.plot([], [], "x", color="0.4", label="notebook, one run")
        axis.set(xlabel="layer", ylabel="accuracy of a linear classifier, %", title=f"{data} data")
        axis.legend(fontsize=8)
    bars, places = axes[-1], np.arange(len(names) + 1)
    for number, data in enumerate(kinds):
        near = table.where(measure="neighbours", data=data)
        found = [near.where(projector=kind).by_seed("test_accuracy") for kind in ("signals", *names)]
        spread = [one.std(ddof=min(1, len(one) - 1)) for one in found]
        bars.bar(places + 0.4 * number, [one.mean() for one in found], 0.4, yerr=spread, label=f"{data} data")
    bars.plot([0.2], [PIXEL_NEIGHBOURS], "kx", label="notebook, one run")
    if "two" in names:
        bars.plot([names.index("two") + 1.2], [NEIGHBOURS], "kx")
    bars.set_xticks(places + 0.2, ["signals", *(LABELS[name] for name in names)], fontsize=7)
    bars.set(ylabel="accuracy of nearest neighbours, %", title="output")
    bars.legend(fontsize=7, loc="upper right")
    return drawn


def claims(table: Table) -> list[Claim]:
    """The verdict: inner layers against the output first, neighbours and projectors, then every published accuracy."""
    found = []
    for data in table.unique("data"):
        found += _comparisons(table.where(data=data), data)
    paper = table.where(data="paper")
    for projector, measure, layer, name, value, tolerance in (
        ("signals", "linear", 0, "signals, linear", PIXELS, PIXEL_TOLERANCE),
        ("signals", "neighbours", 0, "signals, neighbours", PIXEL_NEIGHBOURS, PIXEL_TOLERANCE),
        ("two", "neighbours", 5, "output, neighbours", NEIGHBOURS, TOLERANCE),
        *(
            (kind, "linear", layer, f"{kind}, layer {layer}", value, TOLERANCE)
            for (kind, layer), value in PAPER.items()
        ),
    ):
        some = paper.where(projector=projector, measure=measure, layer=layer)
        if len(some):
            reader = "Linear classifier" if measure == "linear" else "Nearest neighbours"
            place = "the signals" if layer == 0 else f"layer {layer}, {LABELS[projector]}"
            text, values = f"{reader} on {place}", some.by_seed("test_accuracy")
            found.append(compare_published(name, text, values, value, tolerance, source=SOURCE, unit="%"))
    return found


def _comparisons(table: Table, data: str) -> list[Claim]:
    """Claims that one layer, or one network, does better than another, on one kind of data."""
    linear, near = table.where(measure="linear"), table.where(measure="neighbours")

    def layer(projector: str, number: int) -> NDArray[Any]:
        return linear.where(projector=projector, layer=number).by_seed("test_accuracy")

    def neighbours(projector: str) -> NDArray[Any]:
        return near.where(projector=projector).by_seed("test_accuracy")

    pairs: list[tuple[set[str], str, str, float, Callable[[], NDArray[Any]]]] = [
        (
            {"two"},
            "convolutions above output",
            "A linear classifier reads the class off the last convolution better than off the output",
            PAPER["two", 3] - PAPER["two", 5],
            lambda: layer("two", 3) - layer("two", 5),
        ),
        (
            {"two", "signals"},
            "neighbours",
            "Nearest neighbours do better on the output than on the signals",
            NEIGHBOURS - PIXEL_NEIGHBOURS,
            lambda: neighbours("two") - neighbours("signals"),
        ),
        (
            {"two", "none"},
            "a projector helps",
            "The last convolution tells more if a projector was trained behind it",
            PAPER["two", 3] - PAPER["none", 3],
            lambda: layer("two", 3) - layer("none", 3),
        ),
        (
            {"two", "four"},
            "a deeper one more",
            "The last convolution tells more with four projector layers behind it than with two",
            PAPER["four", 3] - PAPER["two", 3],
            lambda: layer("four", 3) - layer("two", 3),
        ),
    ]
    there = set(table.unique("projector"))
    return [
        compare(
            f"{name}, {data}",
            text,
            differences(),
            least=0.0,
            literature=f"{gap:+.1f}",
            source=SOURCE,
            unit="points",
        )
        for needed, name, text, gap, differences in pairs
        if needed <= there
    ]


STUDY = Study(
    name="self-supervised",
    question="Which layer of a network that was trained without labels tells the classes apart best?",
    source="Greydanus & Kobak 2024 (arXiv 2011.14439)",
    full=SelfSupervisedSettings(seeds=30),  # seeds differ by more than 10 points
    quick=SelfSupervisedSettings(
        seeds=2, samples=200, epochs=4, batch_size=50, channels=6, hidden=16, output=8, test_samples=500
    ),
    units=units,
    figure=figure,
    claims=claims,
    minutes=45,
)
