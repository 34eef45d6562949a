"""Curves of the study of scaling: loss against the number of training samples, fits, and the figure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist1d_hf.studies import power_laws
from mnist1d_hf.studies.claims import interval
from mnist1d_hf.studies.figures import new_figure
from mnist1d_hf.studies.frames import select

Array = NDArray[Any]

BAYES = "bayes"
LABELS = {
    "logistic": "logistic regression",
    "mlp": "MLP",
    "cnn": "CNN",
    "gru": "GRU",
    "resnet": "ResNet",
    "transformer": "transformer",
}
FIT_FROM = 1000  # training samples
LIMITED = 0.2  # a point is limited by steps if their second half lowered the loss by a larger fraction


class Curve(NamedTuple):
    """Losses of an architecture, at each number of samples with the width that is best on held-out samples.

    Attributes:
        samples, widths: (points,).
        losses: on each part of the test samples, (seeds, points, parts).
        limited: whether a point is limited by steps, bool (points,).
        bayes: the losses of the Bayes classifier, (parts,).
    """

    samples: Array
    widths: Array
    losses: Array
    limited: Array
    bayes: Array

    @property
    def excess(self) -> Array:
        """Mean excess loss, (points,)."""
        return np.asarray((self.losses - self.bayes).mean((0, 2)))

    @property
    def fitted(self) -> Array:
        """Whether a point is part of the fits, bool (points,)."""
        return np.asarray((self.samples >= FIT_FROM) & ~self.limited)


def bayes_losses(table: pd.DataFrame) -> Array:
    """The irreducible loss on each part of the test samples."""
    return np.array(select(table, architecture=BAYES)["test_losses"].iloc[0], dtype=float)


def curve_of(table: pd.DataFrame, architecture: str) -> Curve:
    """The curve of an architecture; of all seeds."""
    rows = select(table, architecture=architecture)
    points = []
    for samples, group in rows.groupby("samples"):
        width = group.groupby("width")["held_out_loss"].mean().idxmin()
        best = select(group, width=width).sort_values("seed")
        points.append((samples, width, np.array(best["test_losses"].tolist(), dtype=float), is_limited(best)))
    samples, widths, losses, limited = zip(*points, strict=True)
    return Curve(np.array(samples), np.array(widths), np.stack(losses, 1), np.array(limited), bayes_losses(table))


def is_limited(rows: pd.DataFrame) -> bool:
    """Whether more steps would have helped the networks of these rows: see the module's docstring."""
    gain = 1 - rows["held_out_loss"].mean() / rows["half_loss"].mean()
    return bool(rows["stopped"].astype(bool).mean() < 0.5 and gain > LIMITED)


class Fits(NamedTuple):
    """Both fits of a curve. The first one of each is that of all seeds, the others of resampled seeds.

    Attributes:
        known, fitted: with the irreducible loss known, and fitted with the rest.
        excess: the excess losses that were fitted, (fits, points).
        samples: (points,).
        seeds: how many.
    """

    known: power_laws.PowerLaw
    fitted: power_laws.PowerLaw
    excess: Array
    samples: Array
    seeds: int


def fits_of(curve: Curve) -> Fits:
    """Fit a curve."""
    samples, losses = curve.samples[curve.fitted], curve.losses[:, curve.fitted]
    loss, excess = (
        np.concatenate([values.mean((0, 2))[None], power_laws.resampled_means(values)])
        for values in (losses, losses - curve.bayes)
    )
    known, fitted = power_laws.fit(samples, excess, False), power_laws.fit(samples, loss, True)
    return Fits(known, fitted, excess, samples, len(losses))


def curves_and_fits(table: pd.DataFrame) -> dict[str, tuple[Curve, Fits]]:
    """Of each architecture; the last table's are kept."""
    key = tuple(table["test_loss"]), tuple(table["half_loss"].fillna(-1))
    if key not in _KEPT:
        _KEPT.clear()
        curves = {name: curve_of(table, name) for name in LABELS if name in set(table["architecture"])}
        _KEPT[key] = {name: (curve, fits_of(curve)) for name, curve in curves.items()}
    return _KEPT[key]


Both = Mapping[str, tuple[Curve, Fits]]
_KEPT: dict[Any, dict[str, tuple[Curve, Fits]]] = {}


def summary(table: pd.DataFrame, seconds: Mapping[str, float]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:  # noqa: ARG001
    """Columns and rows: excess loss by number of samples, and the local exponents between them. In brackets: limited by
    steps."""
    both = curves_and_fits(table)
    sizes = sorted(set(table["samples"]) - {0})
    rows: list[tuple[str, ...]] = []
    for name, (curve, _) in both.items():
        points = zip(curve.samples, curve.excess, curve.limited, strict=True)
        cells = {size: f"({value:.3g})" if limited else f"{value:.3g}" for size, value, limited in points}
        rows.append((LABELS[name], *(cells.get(size, "") for size in sizes)))
        local = dict(zip(curve.samples[1:], power_laws.slopes(curve.samples, curve.excess)[0], strict=True))
        rows.append(("local exponent", *(f"{local[size]:.2f}" if size in local else "" for size in sizes)))
    return ("excess loss, nats, by number of samples", *(f"{size:,}" for size in sizes)), rows


def figure(table: pd.DataFrame) -> Figure:
    """Excess loss against the number of samples with its fits; fitted and true irreducible loss; width."""
    drawn, axes = new_figure("Scaling with the irreducible loss known", 3, width=5.4, height=4.8)
    both = curves_and_fits(table)
    colors = {name: f"C{number}" for number, name in enumerate(LABELS)}
    _draw_curves(axes[0], both, colors, bayes_losses(table).mean())
    _draw_floors(axes[1], both, colors, bayes_losses(table).mean())
    _draw_widths(axes[2], table, colors)
    return drawn


def _draw_curves(axis: Any, both: Both, colors: Mapping[str, str], floor: float) -> None:
    for name, (curve, fits) in both.items():
        style = {"color": colors[name], "linewidth": 1.4}
        values = power_laws.resampled_means(curve.losses - curve.bayes)
        ends = [interval(column, fits.seeds) for column in values.T]
        low, high = np.nan_to_num(np.array(ends).T, nan=0.0) if len(values) else (curve.excess, curve.excess)
        bars = np.abs(np.stack([curve.excess - low, high - curve.excess]))
        for kept, fill in ((~curve.limited, colors[name]), (curve.limited, "white")):
            marks = {"color": colors[name], "markerfacecolor": fill, "markersize": 4.5, "elinewidth": 1}
            axis.errorbar(curve.samples[kept], curve.excess[kept], bars[:, kept], fmt="o", **marks)
        label = LABELS[name]
        if np.isfinite(fits.known.exponent[0]):
            low, high = interval(fits.known.exponent[1:], fits.seeds)
            label += f": a = {fits.known.exponent[0]:.2f} ({low:.2f} to {high:.2f})"
            line = np.geomspace(fits.samples.min(), fits.samples.max(), 50)
            axis.plot(line, fits.known.at(line)[0], label=label, **style)
        else:
            axis.plot([], [], label=label, **style)
        axis.plot(curve.samples, curve.excess, color=colors[name], linewidth=0.7, linestyle=":")
    axis.axhline(floor, color="0.3", linestyle="--", linewidth=1.1, label="Bayes loss, for comparison")
    axis.plot([], [], "o", color="0.3", markerfacecolor="white", markersize=4.5, label="limited by steps, not fitted")
    axis.set_ylim(bottom=floor / 4)
    axis.set(xscale="log", yscale="log", xlabel="training samples n", ylabel="loss above the Bayes loss, nats")
    axis.set_title("excess loss and its fits A n$^{-a}$", fontsize=10)
    axis.legend(fontsize=7.5, loc="lower left")


def _draw_floors(axis: Any, both: Both, colors: Mapping[str, str], floor: float) -> None:
    for place, (name, (_, fits)) in enumerate(both.items()):
        value = fits.fitted.floor[0]
        if np.isfinite(value):
            low, high = interval(fits.fitted.floor[1:], fits.seeds)
            lengths = np.nan_to_num(np.abs([[value - low], [high - value]]))
            axis.errorbar([value], [place], xerr=lengths, fmt="o", color=colors[name], capsize=3)
            note = f"a = {fits.fitted.exponent[0]:.2f}, with E known {fits.known.exponent[0]:.2f}"
            axis.annotate(note, (value, place), (0, 7), textcoords="offset points", fontsize=7.5, ha="center")
    axis.axvline(floor, color="0.3", linestyle="--", linewidth=1.1, label=f"true: {floor:.2g}")
    axis.set_yticks(range(len(both)), [LABELS[name] for name in both])
    axis.set_ylim(len(both) - 0.4, -0.6)
    axis.set(xscale="log", xlabel="irreducible loss E, nats")
    axis.set_xlim(floor / 20, 20)
    axis.set_title("E fitted, as where it is not known", fontsize=10)
    axis.legend(fontsize=8, loc="lower right")


def _draw_widths(axis: Any, table: pd.DataFrame, colors: Mapping[str, str]) -> None:
    floor, networks = bayes_losses(table).mean(), table[table["architecture"] != BAYES]
    tried = networks.groupby("samples")["width"].nunique()
    sizes = sorted(tried[tried == tried.max()].index)
    sizes = sorted({sizes[0], *(size for size in (1000,) if size in sizes), sizes[-1]})
    for name, (size, style) in itertools.product(colors, zip(sizes, ("-", "--", ":"), strict=False)):
        means = select(networks, architecture=name, samples=size).groupby("parameters")["test_loss"].mean()
        if len(means) > 1:
            axis.plot(means.index, means - floor, style, marker="o", markersize=4, color=colors[name])
    for name in (name for name in LABELS if name in set(networks["architecture"]) and name != "logistic"):
        axis.plot([], [], color=colors[name], label=LABELS[name])
    for size, style in zip(sizes, ("-", "--", ":"), strict=False):
        axis.plot([], [], style, color="0.4", label=f"n = {size:,}")
    axis.set(xscale="log", yscale="log", xlabel="parameters", ylabel="loss above the Bayes loss, nats")
    axis.set_ylim(bottom=axis.get_ylim()[0] / 8)  # room for the legend
    axis.set_title("width at a fixed number of samples", fontsize=10)
    axis.legend(fontsize=7.5, loc="lower left", ncols=2)
