"""Every figure. Each function takes arrays or a configuration and returns a matplotlib figure."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist1d_hf.errors import InvalidValueError, did_you_mean, require

require("matplotlib")

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.configurations import FRESH_SEED
from mnist1d_hf.data.generator import LATENTS, Draws, SignalMaker, make_dataset
from mnist1d_hf.data.posterior import posterior, score, stream_scale
from mnist1d_hf.data.stages import transformation_stages
from mnist1d_hf.data.stream import sample
from mnist1d_hf.data.templates import get_templates
from mnist1d_hf.files import write_errors, write_file

if TYPE_CHECKING:
    from mnist1d_hf.training.tables import Accuracies

_COLORS = [f"C{number}" for number in range(10)]
_HUMAN = 95.8  # accuracy of a person over 500 signals, in percent (Greydanus & Kobak 2024)
_COLUMNS = (104, 110.5)  # where the numbers at the right of the baselines stand, on the axis in percent
_STYLE: dict[str, Any] = {"linewidth": 1.4, "solid_joinstyle": "round"}
# Signals of the stream `FRESH_SEED`, the one that networks are evaluated on.
UNSURE = (177655, 241770, 315768, 76354)  # of the least sure ones in the first million: four pairs of classes
MISREAD = (23025, 24624, 41695, 50653)  # all baselines of the default data err, the Bayes classifier does not


def plot_overview(config: GeneratorConfig | None = None) -> Figure:
    """The templates above four training samples of each class."""
    figure, axes = _grid(5, 10, "MNIST-1D: the ten templates and training samples of each class")
    _draw_templates(axes[0])
    _draw_samples(axes[1:], config)
    axes[0, 0].set_ylabel("template")
    axes[1, 0].set_ylabel("samples", loc="top")
    return figure


def plot_samples(config: GeneratorConfig | None = None) -> Figure:
    """Four training samples of each class."""
    figure, axes = _grid(4, 10, "MNIST-1D: training samples of each class")
    _draw_samples(axes, config)
    for digit, axis in enumerate(axes[0]):
        axis.set_title(str(digit))
    return figure


def plot_templates(config: GeneratorConfig | None = None) -> Figure:  # noqa: ARG001  (one signature for all kinds)
    """The ten templates with their twelve points."""
    figure, axes = _grid(2, 5, "MNIST-1D: the ten templates")
    _draw_templates(axes.ravel(), marker="o", markersize=3)
    return figure


def plot_confusion(confusions: Mapping[str, Any], names: list[str]) -> Figure:
    """Confusion matrices, in percent of each true class.

    Args:
        confusions: by title, counts int (classes, classes); rows are true classes, columns predicted ones.
        names: of the classes.
    """
    figure = Figure(figsize=(5.2 * len(confusions), 4.9), layout="constrained")
    axes = figure.subplots(1, len(confusions), squeeze=False)[0]
    for axis, (title, counts) in zip(axes, confusions.items(), strict=True):
        percent = 100 * np.asarray(counts) / np.maximum(np.sum(counts, axis=1, keepdims=True), 1)
        axis.imshow(np.sqrt(percent), cmap="Blues", vmin=0, vmax=10)  # square roots, so that small values are visible
        for row, column in np.ndindex(*percent.shape):
            if percent[row, column] >= 0.05:
                color = "white" if percent[row, column] > 40 else "black"
                axis.text(column, row, f"{percent[row, column]:.1f}", ha="center", va="center", fontsize=8, color=color)
        axis.set_xticks(range(len(names)), names)
        axis.set_yticks(range(len(names)), names)
        axis.set(title=title, xlabel="predicted class", ylabel="true class")
    figure.suptitle("Predictions in percent of each true class")
    return figure


def plot_baselines(accuracies: Mapping[str, Accuracies]) -> Figure:
    """Accuracy of every baseline: on fresh samples, and on the test split with every seed and both errors.

    Baselines that learn from different things do not compare, so each group has a heading and an order of its own.

    Args:
        accuracies: by name, fractions; the exact posterior, "bayes", is in no group.
    """

    def best(name: str) -> float:
        found = accuracies[name]
        return float(np.mean(found.seeds)) if found.fresh is None else found.fresh

    lines: list[str] = []  # from the top: names and headings
    for group in dict.fromkeys(found.group for found in accuracies.values()):
        names = [name for name, found in accuracies.items() if found.group == group]
        lines += [*([group] if group else []), *sorted(names, key=best, reverse=True)]
    figure = Figure(figsize=(9.5, 1.4 + 0.36 * len(lines)), layout="constrained")
    axis = figure.subplots()
    generator = np.random.default_rng(0)
    for row, line in enumerate(lines):
        if line in accuracies:
            _draw_baseline(axis, row, accuracies[line], generator)
        else:
            axis.text(25, row + 0.15, f"learns from {line}", va="center", ha="left", fontsize=9, fontweight="bold")
            axis.axhline(row - 0.45, color="0.8", linewidth=0.8)
    for place, title in zip(_COLUMNS, ("fresh", "test"), strict=True):
        axis.text(place, -1, title, va="center", ha="center", fontsize=9, fontweight="bold")
    axis.axvline(_HUMAN, color="0.5", linewidth=1, linestyle="--", label="people, default data")
    names_only = [line if line in accuracies else "" for line in lines]
    axis.set_yticks(range(len(lines)), names_only)
    axis.set(xlim=(25, 100.5), ylim=(len(lines) - 0.4, -0.6), xlabel="accuracy, %")
    axis.grid(axis="x", color="0.9")
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(left=False)
    handles, labels = axis.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    axis.set_title("MNIST-1D baselines", loc="left", fontsize=11)
    return figure


def _draw_baseline(axis: Any, row: int, found: Accuracies, generator: np.random.Generator) -> None:
    """One row of `plot_baselines`, with its numbers at the right."""
    values, bar = 100 * np.asarray(found.seeds), [row - 0.3, row + 0.3]
    mean = 100 * float(np.mean(found.seeds))  # rounds as in the tables
    if found.group is None:
        axis.plot([mean] * 2, bar, color="black", linewidth=2, label="bayes: the optimum")
    else:
        height = row + generator.uniform(-0.18, 0.18, len(values))
        half = 196 * found.split_error
        label = "95 % interval for the test samples"
        axis.barh(row, 2 * half, left=mean - half, height=0.5, color="C0", alpha=0.15, linewidth=0, label=label)
        axis.scatter(values, height, s=9, alpha=0.35, color="C0", linewidths=0, label="test split, one seed")
        axis.plot([mean] * 2, bar, color="C0", linewidth=2, label="test split, mean of the seeds")
    if found.literature is not None:
        axis.plot(100 * found.literature, row, "D", color="C1", markersize=5, label="literature")
    if found.fresh is not None and found.group is not None:
        style = {"markersize": 9, "markerfacecolor": "none", "markeredgewidth": 1.6, "clip_on": False}
        axis.plot(100 * found.fresh, row, "o", color="C3", label="released checkpoint, fresh samples", **style)
    fresh = "–" if found.fresh is None else f"{100 * found.fresh:.2f}"
    for place, text in zip(_COLUMNS, (fresh, f"{mean:.2f}"), strict=True):
        axis.text(place, row, text, va="center", ha="center", fontsize=9)


def plot_class_means(config: GeneratorConfig | None = None) -> Figure:
    """The mean training signal of each class, with one standard deviation around it."""
    data = make_dataset(config)
    figure, axes = _grid(2, 5, "MNIST-1D: mean of each class, shaded: one standard deviation")
    for digit, axis in enumerate(axes.ravel()):
        signals = data["x"][data["y"] == digit]
        mean, std = signals.mean(0), signals.std(0)
        position = np.arange(signals.shape[1])
        axis.fill_between(position, mean - std, mean + std, color=_COLORS[digit], alpha=0.2, linewidth=0)
        axis.plot(position, mean, color=_COLORS[digit], **_STYLE)
        axis.axhline(0, color="0.7", linewidth=0.6, zorder=0)
        axis.set_title(str(digit))
    low, high = zip(*(axis.get_ylim() for axis in axes.ravel()), strict=True)
    for axis in axes.ravel():
        axis.set_ylim(min(low), max(high))
    return figure


def plot_pca(config: GeneratorConfig | None = None) -> Figure:
    """The training signals on their first two principal components, and the variance that the first ones explain."""
    data = make_dataset(config)
    projected, fractions = principal_components(data["x"])
    figure, ((left, right),) = _grid(1, 2, "MNIST-1D: principal components of the training signals", height=4.4)
    for digit in range(10):
        points = projected[data["y"] == digit]
        left.scatter(points[:, 0], points[:, 1], s=5, alpha=0.5, color=_COLORS[digit], linewidths=0, label=str(digit))
    left.set(
        xlabel=f"first ({100 * fractions[0]:.0f} % of the variance)", ylabel=f"second ({100 * fractions[1]:.0f} %)"
    )
    left.legend(title="class", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, markerscale=2.5)
    count = np.arange(1, len(fractions) + 1)
    right.plot(count, 100 * np.cumsum(fractions), color="0.3", **_STYLE)
    right.set(
        xlabel="components", ylabel="variance explained by all of them, %", ylim=(0, 103), xlim=(0, len(fractions))
    )
    right.set_xticks(range(0, len(fractions) + 1, 10))
    right.set_yticks(range(0, 101, 20))
    right.grid(color="0.9")
    return figure


def principal_components(x: Any) -> tuple[Any, Any]:
    """Signals (n, length) on their principal components.

    Returns:
        The projections (n, length), and the fraction of the variance that each component explains (length,).

    >>> projected, fractions = principal_components([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    >>> abs(float(projected[0, 0])).__round__(3), fractions.round(3).tolist()
    (1.414, [1.0, 0.0])
    """
    centred = np.asarray(x, dtype=np.float64)
    centred = centred - centred.mean(0)
    _, scales, directions = np.linalg.svd(centred, full_matrices=False)
    largest = np.abs(directions).argmax(1)
    directions *= np.sign(directions[np.arange(len(directions)), largest])[:, None]  # else the sign is arbitrary
    return centred @ directions.T, scales**2 / (scales**2).sum()


def plot_transformations(config: GeneratorConfig | None = None, label: int = 3) -> Figure:
    """How one sample is made, from template to signal; each panel names the step and the value drawn for it."""
    stages = transformation_stages(label, config)
    figure, axes = _grid(3, 3, f"MNIST-1D: how a sample of class {label} is made", width=9, height=6)
    for number, (axis, stage) in enumerate(zip(axes.ravel(), stages, strict=True), start=1):
        axis.plot(np.arange(len(stage.values)), stage.values, color=_COLORS[label], **_STYLE)
        axis.axhline(0, color="0.7", linewidth=0.6, zorder=0)
        axis.set_title(f"{number}. {stage.name}: {stage.drawn}", fontsize=9)
        axis.margins(0.05, 0.15)
    return figure


def plot_readings(config: GeneratorConfig | None = None) -> Figure:  # noqa: ARG001  (one signature for all kinds)
    """Signals that are hard to read, each with two readings: what it most probably is without noise, as either class.

    Above, the Bayes classifier itself is unsure: the readings are its two most probable classes. Below, it is right and
    all baselines of the default data err: the readings are its class and the one that most of them say.
    """
    figure, axes = _grid(2, 4, "MNIST-1D: signals that are hard to read, and two readings of each", height=5.6)
    for row, indices in zip(axes, (UNSURE, MISREAD), strict=True):
        x, label = sample(indices, FRESH_SEED)
        said = baseline_predictions(x).T if indices is MISREAD else [None] * len(x)
        for axis, signal, truth, p, votes in zip(row, x, label, posterior(x), said, strict=True):
            first, second = np.argsort(-p)[:2]
            if votes is None:
                title = f"{first} ({100 * p[first]:.0f} %) or {second} ({100 * p[second]:.0f} %)? Made as {truth}"
            else:
                second = np.bincount(votes).argmax()
                sure = "> 99.99" if p[first] > 0.9999 else f"{100 * p[first]:.2f}"
                title = f"{first} ({sure} %); {(votes == second).sum()} of {len(votes)} networks say {second}"
            axis.set_title(title, fontsize=9)
            _draw_readings(axis, signal, (int(first), int(second)))
    axes[0, 0].set_ylabel("Bayes is unsure")
    axes[1, 0].set_ylabel("Bayes is right, all networks err")
    return figure


def baseline_predictions(x: Any) -> Any:
    """What the baselines of the default data say of signals float32 (n, 40): classes int64 (baselines, n)."""
    import torch

    from mnist1d_hf.models.catalog import list_pretrained, load_pretrained

    names = [entry.name for entry in list_pretrained() if entry.data == "default"]
    with torch.no_grad():
        return np.stack([load_pretrained(name)(torch.as_tensor(x)).logits.argmax(1).numpy() for name in names])


def _draw_readings(axis: Any, signal: Any, classes: tuple[int, int]) -> None:
    position = np.arange(len(signal))
    axis.plot(position, signal, ".-", color="0.3", linewidth=0.8, markersize=3, label="signal")
    for kind, style in zip(classes, ("-", "--"), strict=True):
        axis.plot(position, _reading(signal, kind), style, color=_COLORS[kind], linewidth=2, label=f"as {kind}")
    axis.legend(fontsize=7, frameon=False, loc="best")


def _reading(signal: Any, kind: int) -> Any:
    """The most probable signal (length,) without noise, if the class is known; NaN in the padding."""
    config, templates = GeneratorConfig(), get_templates()
    chosen = {"x": templates["x"][[kind]], "t": templates["t"], "y": templates["y"][[kind]]}
    scale = stream_scale(config)
    latents = score(signal[None].astype(float), scale, config, chosen, latents=True).latents
    assert latents is not None
    maker, first = SignalMaker(config, chosen["x"]), np.zeros(1, dtype=int)
    draws = Draws(**{name: latents.mode[name] for name in LATENTS}, normals=np.empty(0))
    clean = (maker.make_clean(first, draws)[0] - scale.mean) / scale.std
    template = maker.translate(maker.dilate(first, draws.padding), draws.translation)
    return np.where(maker.subsample((template != 0) * 1.0)[:, 0] > 0.5, clean, np.nan)


KINDS = {
    "overview": plot_overview,
    "samples": plot_samples,
    "templates": plot_templates,
    "class-means": plot_class_means,
    "pca": plot_pca,
    "transformations": plot_transformations,
    "readings": plot_readings,
}


def plot(kind: str, config: GeneratorConfig | None = None, **options: Any) -> Figure:
    """The figure called `kind`: overview, samples, templates, class-means, pca, transformations or readings.

    Raises:
        InvalidValueError: no such kind.

    >>> plot("templates").get_suptitle()
    'MNIST-1D: the ten templates'
    """
    if kind not in KINDS:
        raise InvalidValueError(f"unknown figure {kind!r}: {did_you_mean(kind, KINDS)}")
    return KINDS[kind](config, **options)


def kind_of(path: str | os.PathLike[str]) -> str:
    """The format that a figure's file name stands for, "png" or "svg".

    Raises:
        InvalidValueError: another ending.
    """
    kind = Path(path).suffix.lower().lstrip(".")
    if kind not in ("png", "svg"):
        raise InvalidValueError(f"{path}: expected a file name that ends in .png or .svg")
    return kind


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG or SVG.

    Raises:
        InvalidValueError: another ending.
        OutputError: (an `OSError`) the file cannot be written.
    """
    path, kind = Path(path).expanduser(), kind_of(path)
    data = io.BytesIO()
    # No date and no random identifiers inside: the same data give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "mnist1d"}):
        figure.savefig(data, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {})
    with write_errors(path):
        return write_file(path, data.getvalue())


def _grid(rows: int, columns: int, title: str, width: float = 10, height: float | None = None) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height or 1.0 + rows * 10 / columns * 0.95), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_color("0.85")
    return figure, axes


def _draw_templates(axes: Any, **style: Any) -> None:
    templates = get_templates()
    for digit, axis in enumerate(axes):
        axis.plot(templates["t"], templates["x"][digit], color=_COLORS[digit], **_STYLE, **style)
        axis.set_ylim(templates["x"].min() - 0.1, templates["x"].max() + 0.1)
        axis.set_title(str(digit))


def _draw_samples(axes: Any, config: GeneratorConfig | None) -> None:
    data = make_dataset(config)
    low, high = data["x"].min(), data["x"].max()
    for digit in range(10):
        signals = data["x"][data["y"] == digit]
        for row, axis in enumerate(axes[:, digit]):
            if row < len(signals):
                axis.plot(np.arange(signals.shape[1]), signals[row], color=_COLORS[digit], **_STYLE)
            else:
                axis.set_axis_off()
            axis.set_ylim(low, high)
