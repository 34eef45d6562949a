"""Where the peaks of double descent are, by number of samples, classes and training time: places, exponents, figure."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from mnist1d_hf.studies.claims import Claim, Finding, claim_law, interval, resampled
from mnist1d_hf.studies.figures import new_figure
from mnist1d_hf.studies.frames import grid, select
from mnist1d_hf.studies.places import HUGE, exponents, peaks

NAMES = {"cross-entropy": "cross-entropy", "squared-error": "squared error"}
LAW = {"cross-entropy": "n", "squared-error": "nK"}  # where the peak is claimed to be
FACTORS = {"samples": "n", "classes": "K", "time": "t"}
SOURCE = "blog post of 2020; dl.reviews 2020-12-06"
_WORDS = {"samples": "the number of samples", "classes": "the number of classes", "time": "training time"}
# The networks that are searched for the peak: the power of K, and the least and greatest number of parameters in
# multiples of n times that power of K. Above the last number no training time is longer than `SHORT`: a first look at
# three seeds showed that the peak is at smaller networks then.
WINDOWS = {"cross-entropy": (0.5, 0.19, 2.2, 0.95), "squared-error": (1.0, 0.2, 2.5, 1.5)}
SHORT = 2.0
PROMINENT = 0.05  # fraction of the test loss by which a peak exceeds the minima on both sides
_MISSING = 0.025  # fraction of the resampled curves that may have no peak


def parameters(architecture: str, width: Any, classes: int) -> Any:
    """The number of parameters of a network, biases included; widths between integers are legal.

    >>> parameters("mlp", 47, 10), parameters("cnn", 25, 10)
    (4663, 5210)
    """
    if architecture == "mlp":
        return width * width + (42 + classes) * width + classes
    return 6 * width * width + (8 + 5 * classes) * width + classes


def window(loss: str, samples: int, classes: int) -> tuple[float, float, float]:
    """The least and greatest number of parameters, and that above which training is short."""
    power, *edges = WINDOWS[loss]
    low, high, early = (edge * samples * classes**power for edge in edges)
    return low, high, early


class Peaks(NamedTuple):
    """Where the mean test loss of the dense networks peaks.

    Attributes:
        known: a row for each condition and training time with a peak: loss, noise, samples, classes, time, and the
            parameters at the peak with the 95 % bootstrap interval: place, low, high.
        places: parameters (rows, 1 + draws): of the mean over all seeds, then of the means over resampled seeds.
        seeds: how many.
    """

    known: pd.DataFrame
    places: NDArray[Any]
    seeds: int

    def where(self, **wanted: Any) -> Peaks:
        """The peaks of some conditions; as in `frames.select`."""
        some = select(self.known, **wanted)
        return Peaks(some.reset_index(drop=True), self.places[some.index], self.seeds)

    def noisy(self) -> Peaks:
        """The peaks with label noise."""
        return self.where(noise=[noise for noise in self.known["noise"].unique() if noise])

    def finding(self, name: str, text: str, values: NDArray[Any]) -> Finding:
        """A finding about a statistic of the places, (1 + draws,)."""
        low, high = interval(values[1:], self.seeds)
        return Finding(name=name, text=text, mean=float(values[0]), low=low, high=high, n=self.seeds)


def find_peaks(table: pd.DataFrame) -> Peaks:
    """The peaks of a table. The same seeds are drawn for all conditions, because they share training samples."""
    dense = select(table, architecture="mlp")
    seeds = dense["seed"].nunique()
    counts = [np.bincount(rows, minlength=seeds) for rows in resampled(seeds)]
    weights = np.array([np.ones(seeds), *counts]) / max(seeds, 1)
    rows, places = [], []
    for known, some in dense[_searched(dense)].groupby(["loss", "noise", "samples", "classes", "time"], sort=False):
        width, loss = grid(some, "test_loss", "width")
        mean = weights @ np.where(np.isfinite(loss), loss, HUGE)
        place = parameters("mlp", peaks(width, mean, PROMINENT), known[3])
        if np.isfinite(place[0]) and np.isnan(place).mean() <= _MISSING:
            rows.append((*known, place[0], *interval(place[1:], seeds)))
            places.append(place)
    columns = ["loss", "noise", "samples", "classes", "time", "place", "low", "high"]
    return Peaks(pd.DataFrame(rows, columns=columns), np.array(places).reshape(len(places), len(weights)), seeds)


def _searched(table: pd.DataFrame) -> list[bool]:
    """Whether each row is of a network in the window. The widths of the notebook lie outside too, with gaps between."""
    columns = ("loss", "samples", "classes", "parameters")
    found = []
    for *shape, size in zip(*(table[column] for column in columns), strict=True):
        low, high, _ = window(*shape)
        found.append(low <= size <= high)
    return found


def power_law(found: Peaks) -> dict[str, NDArray[Any]]:
    """The exponents of n, K and training time, float64 (1 + draws,) each, for those that vary."""
    varied = [factor for factor in FACTORS if found.known[factor].nunique() > 1]
    if not varied:
        return {}
    fitted = exponents(found.places.T, found.known[varied].to_numpy(dtype=float))
    return dict(zip(varied, fitted.T, strict=True))


def claims(found: Peaks) -> list[Claim]:
    """What the law says: the exponents of K and n with label noise, and the places at the notebook's n and K."""
    noisy = found.noisy()
    fitted = {loss: power_law(noisy.where(loss=loss)) for loss in NAMES}
    made = []
    for factor, loss, law, words in (
        ("classes", "cross-entropy", 0, " whatever the number of classes"),
        ("classes", "squared-error", 1, ""),
        ("samples", "cross-entropy", 1, ", after equally many epochs"),
        ("samples", "squared-error", 1, ", after equally many epochs"),
    ):
        if factor in fitted[loss]:
            symbol = FACTORS[factor]
            peak = f"With {NAMES[loss]} the test loss peaks at P = {LAW[loss]} parameters"
            text = f"{peak}{words} (the exponent of {symbol} is {law})"
            finding = noisy.finding("", "", fitted[loss][factor])
            made.append(_law(f"{symbol}, {NAMES[loss]}", text, finding, law, f"{symbol}^{law}", effect=1.0))
    for loss, where in LAW.items():
        places = noisy.where(loss=loss, samples=4000, classes=10, time=1.0)
        if len(places.known):
            text = f"With {NAMES[loss]} P / {where} is 1 at the peak, for n = 4,000, K = 10 and 500 epochs"
            place = places.finding("", "", places.places[0] / _claimed(loss, 4000, 10))
            rival = 9.0 if loss == "cross-entropy" else 0.9  # the other loss's law lies so far from 1
            made.append(_law(f"place, {NAMES[loss]}", text, place, 1, f"P = {where}", effect=rival))
    return made


def _claimed(loss: str, samples: Any, classes: Any) -> Any:
    """The number of parameters where the peak is claimed to be."""
    return samples if loss == "cross-entropy" else samples * classes


def _law(name: str, text: str, finding: Finding, published: float, literature: str, effect: float) -> Claim:
    return claim_law(name, text, finding, published, effect=effect, literature=literature, source=SOURCE)


def findings(found: Peaks) -> list[Finding]:
    """How the places grow where the law says nothing: with training time, and without label noise."""
    made = []
    for noise, loss in itertools.product(sorted(found.known["noise"].unique(), reverse=True), NAMES):
        some = found.where(noise=noise, loss=loss)
        fitted = power_law(some)
        where = f"{NAMES[loss]}, {_noise_words(noise)}"
        for factor, values in fitted.items():
            if factor == "time" or not noise:
                name, text = f"{FACTORS[factor]}, {where}", f"Exponent of {_WORDS[factor]} {FACTORS[factor]}: {where}"
                made.append(some.finding(name, text, values))
        if {"samples", "time"} <= fitted.keys():
            text = f"Exponent of {_WORDS['samples']} n at a fixed number of steps instead of epochs: {where}"
            made.append(some.finding(f"n at fixed steps, {where}", text, fitted["samples"] - fitted["time"]))
    return made + _multiples(found.noisy())


def _noise_words(noise: float) -> str:
    return f"with {100 * noise:g} % label noise" if noise else "without label noise"


def _multiples(noisy: Peaks) -> list[Finding]:
    """The places as multiples of what the law says, for each number of classes, after the longest of the training times
    at which most of them have a peak."""
    made = []
    for loss, where in LAW.items():
        some = noisy.where(loss=loss)
        if not len(some.known):
            continue
        base = _base(some.known)
        counts = select(some.known, samples=base).groupby("time")["classes"].nunique()
        time = counts[counts == counts.max()].index.max()
        for classes in sorted(some.known["classes"].unique()):
            one = some.where(samples=base, classes=classes, time=time)
            if len(one.known):
                shape = f"n = {base:,}, K = {classes}, {500 * time:,g} epochs"
                text = f"P / {where} at the peak with {NAMES[loss]}, {_noise_words(one.known['noise'][0])}: {shape}"
                name = f"place, {NAMES[loss]}, {classes} classes"
                made.append(one.finding(name, text, one.places[0] / _claimed(loss, base, classes)))
    return made


def _base(table: pd.DataFrame) -> int:
    """The number of samples with which the number of classes varies."""
    return int(table.groupby("samples")["classes"].nunique().idxmax())


def figure(table: pd.DataFrame) -> Figure:
    """A row for each loss: curves by training time, and where the peak is by samples, classes and training time."""
    found = find_peaks(table)
    dense = select(table, architecture="mlp")
    losses = [loss for loss in NAMES if (dense["loss"] == loss).any()]
    colors = {"time": _colors("viridis", dense["time"]), "samples": _colors("plasma", dense["samples"])}
    title = (
        "Where the test loss of dense networks with P parameters peaks, for n samples and K classes\n"
        f"filled: {_noise_words(dense['noise'].max())}; open, dotted: without; dashed: where the literature says; "
        "bars and brackets: 95 % intervals"
    )
    drawn, axes = new_figure(title, 4 * len(losses), columns=4, width=4.4, height=4.2)
    for loss, row in zip(losses, (axes[:4], axes[4:]), strict=False):
        some = found.where(loss=loss)
        _draw_curves(row[0], select(dense, loss=loss, noise=dense["noise"].max()), colors["time"])
        for axis, factor in zip(row[1:], FACTORS, strict=True):
            _draw_places(axis, some, factor, colors)
    _draw_legend(drawn, "outside lower left", "training time, 1 is 500 epochs", "t", colors["time"])
    _draw_legend(drawn, "outside lower right", "samples, in the panels on the right", "n", colors["samples"])
    return drawn


def _draw_legend(drawn: Figure, place: Any, title: str, symbol: str, colors: dict[float, Any]) -> None:
    marks = [
        Line2D([], [], color=color, marker="o", markersize=4, label=f"{symbol} = {value:,g}")
        for value, color in colors.items()
    ]
    drawn.legend(handles=marks, loc=place, ncols=len(marks), title=title, fontsize=8)


def _draw_curves(axis: Any, table: pd.DataFrame, colors: dict[float, Any]) -> None:
    """The mean test loss by training time, with label noise, for the most classes."""
    base, classes, loss = _base(table), int(table["classes"].max()), table["loss"].iloc[0]
    some = select(table, samples=base, classes=classes)
    for time in some["time"].unique():
        size, values = grid(select(some, time=time), "test_loss", "parameters")
        axis.plot(size, values.mean(0), color=colors[time], marker="o", markersize=2.5, linewidth=1.2)
    axis.axvline(_claimed(loss, base, classes), color="0.4", linestyle="--", linewidth=1)
    axis.set(xscale="log", xlabel="parameters P", ylabel="test loss")
    axis.set_title(f"{NAMES[loss]}: n = {base:,}, K = {classes},\n{_noise_words(some['noise'].max())}", fontsize=9)
    _set_ticks(axis.xaxis, some["parameters"])


def _draw_places(axis: Any, found: Peaks, factor: str, colors: dict[str, dict[float, Any]]) -> None:
    """The places as multiples of what the law says, against one factor: filled with label noise, open without."""
    table = found.known
    if not len(table):
        axis.set_axis_off()
        axis.set_title("no peak found", fontsize=9)
        return
    base, most, loss = _base(table), table["classes"].max(), table["loss"].iloc[0]
    fixed = {"samples": base} if factor == "classes" else {"classes": most}
    line = "samples" if factor == "time" else "time"
    for place, (value, color) in enumerate(colors[line].items()):
        for noise in table["noise"].unique():
            some = select(table, noise=noise, **{line: value}, **fixed).sort_values(factor)
            claimed = _claimed(loss, some["samples"], some["classes"])
            middle, low, high = (some[column] / claimed for column in ("place", "low", "high"))
            error = [middle - low, high - middle] if np.isfinite(low).all() else None
            beside = 1.012 ** (2 * place - len(colors[line]) + bool(noise))  # so that bars do not cover each other
            style = {"markerfacecolor": color if noise else "white", "linestyle": "-" if noise else ":"}
            axis.errorbar(some[factor] * beside, middle, error, color=color, marker="o", markersize=4, **style)
    axis.axhline(1, color="0.4", linestyle="--", linewidth=1)
    fixed_words = f"n = {base:,}" if factor == "classes" else f"K = {most}"
    label = f"{_WORDS[factor]} {FACTORS[factor]} ({fixed_words})"
    axis.set(xscale="log", yscale="log", xlabel=label, ylabel=f"P / {LAW[loss]} at the peak")
    _set_exponents(axis, found, factor)
    ticks = sorted(select(table, **fixed)[factor].unique())
    axis.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    axis.set_xticks([], minor=True)
    claimed = _claimed(loss, table["samples"], table["classes"])
    _set_ticks(axis.yaxis, [1.0, *(table["place"] / claimed), *(table["low"] / claimed), *(table["high"] / claimed)])


def _set_exponents(axis: Any, found: Peaks, factor: str) -> None:
    """The exponents with and without label noise as title."""
    lines = []
    for noise in sorted(found.known["noise"].unique(), reverse=True):
        values = power_law(found.where(noise=noise)).get(factor)
        if values is not None:
            low, high = interval(values[1:], found.seeds)
            power = f"$P \\propto {FACTORS[factor]}^{{{values[0]:.2f}}}$"
            lines.append(f"{power} [{low:.2f}, {high:.2f}] {_noise_words(noise)}")
    axis.set_title("\n".join(lines), fontsize=9)


def _set_ticks(axis: Any, values: Any) -> None:
    """Limits around the values, and plain numbers at the ticks of a logarithmic axis."""
    low, high = np.nanmin(values) / 1.1, np.nanmax(values) * 1.1
    ticks = [digit * 10.0**power for power in range(-3, 7) for digit in (1, 2, 3, 5, 7)]
    axis.set_ticks([tick for tick in ticks if low <= tick <= high])
    axis.set_ticks([], minor=True)
    axis.set_major_formatter(lambda tick, _: f"{tick:,g}")
    axis.axes.set(**{f"{axis.axis_name}lim": (low, high)})


def _colors(name: str, values: Any) -> dict[float, Any]:
    """Values, rising, and colors from dark to light."""
    values = np.unique(values)
    return dict(zip(values.tolist(), colormaps[name](np.linspace(0, 0.85, len(values))), strict=True))
