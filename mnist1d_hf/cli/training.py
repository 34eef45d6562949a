"""The commands about models: arguments and tables. Whatever needs torch is imported when it is used."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from huggingface_hub.errors import StrictDataclassError

from mnist1d_hf.cli.terminal import console, option, print_table, progress
from mnist1d_hf.errors import InvalidValueError, OutputError


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe: the name of a bundled baseline.")],
    output: Annotated[Path, option("Folder for weights, results and checkpoints.", "--output", "-o")],
    seeds: Annotated[str, typer.Option(help="FIRST:END, or numbers with commas.")] = "0:1",
    num_proc: Annotated[int | None, option("Processes; one for each core by default.")] = None,
) -> None:
    """Train every seed of a recipe and keep the best on held-out data. After a stop, the same command continues."""
    from mnist1d_hf.training import baseline, runs
    from mnist1d_hf.training.data import load_arrays
    from mnist1d_hf.training.recipes import find_recipe
    from mnist1d_hf.training.statistics import summarize

    chosen, numbers = find_recipe(recipe), parse_seeds(seeds)
    arrays = load_arrays(chosen.data)
    started = time.perf_counter()
    with progress(recipe, chosen.steps * len(numbers)) as advance:
        run = runs.train(chosen, numbers, arrays, output / "seeds", num_proc=num_proc, progress=advance)
    folder = baseline.write_baseline(run, arrays, output)
    summary = summarize([member.test for member in run.members])
    spread = f" ± {100 * summary.std:.2f}" if summary.n > 1 else ""
    found = f"{100 * summary.mean:.2f}{spread} % on the test split over {summary.n} seeds"
    console.print(f"{folder}: {found} in {time.perf_counter() - started:.1f} s")
    diverged = ", ".join(str(member.seed) for member in run.members if member.diverged)
    if diverged:
        console.print(f"diverged: seeds {diverged}; the mean includes them")


def parse_seeds(text: str) -> list[int]:
    """The seeds that FIRST:END (without END) or a list with commas stands for.

    >>> parse_seeds("3:6"), parse_seeds("1,5")
    ([3, 4, 5], [1, 5])
    """
    try:
        if ":" in text:
            first, end = (int(part) for part in text.split(":"))
            return list(range(first, end))
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InvalidValueError(f"seeds: expected FIRST:END or numbers with commas, found {text!r}") from None


def evaluate(
    model: Annotated[str, typer.Argument(help="A bundled baseline, or a folder with config.json and weights.")],
    config: Annotated[str | None, option("Configuration; the baseline's own.", "--config", "-c")] = None,
    fresh: Annotated[int, typer.Option(help="Fresh samples of the stream; 0 for none.")] = 100_000,
    figure: Annotated[Path | None, option("Write the confusion matrices to this PNG or SVG.", "--figure")] = None,
) -> None:
    """Accuracy with its 95 % interval, recall and precision, on the paper's test split and on fresh samples."""
    from mnist1d_hf.models.catalog import folder_of
    from mnist1d_hf.training import evaluation
    from mnist1d_hf.training.data import load_arrays

    if fresh < 0:
        raise InvalidValueError(f"fresh: expected at least 0, found {fresh}")
    if figure is not None:
        from mnist1d_hf import plots

        plots.kind_of(figure)  # refuse a wrong name before the work
    folder = Path(model) if Path(model).is_dir() else folder_of(model)
    configuration = config or _trained_on(folder)
    network = _load(folder)
    arrays = load_arrays(configuration)
    length = network.config.sequence_length
    if arrays.x.shape[1] != length:
        raise OutputError(f"{model}: takes signals of {length} points, {configuration} has {arrays.x.shape[1]}")
    found = {f"test split of {configuration}": evaluation.evaluate(network, arrays.x_test, arrays.label_test)}
    if fresh and configuration != "shuffled":
        x, label = evaluation.fresh_samples(configuration, fresh)
        found[f"{fresh:,} fresh samples"] = evaluation.evaluate(network, x, label)
    names = [network.config.id2label[number] for number in range(network.config.num_labels)]
    _print_evaluations(model, found, names)
    if figure is not None:
        titles = {name: item.confusion for name, item in found.items()}
        console.print(str(plots.save(plots.plot_confusion(titles, names), figure)))


def _load(folder: Path) -> Any:
    """The model of a folder. All errors of transformers become one line."""
    from transformers.utils import logging

    from mnist1d_hf.models import Mnist1dForSequenceClassification

    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)  # its tables repeat what the exception says
    if not (folder / "config.json").is_file():
        raise OutputError(f"{folder}: no config.json; give a folder that save_pretrained or `mnist1d-hf train` wrote")
    try:
        return Mnist1dForSequenceClassification.from_pretrained(folder)
    except (ValueError, TypeError, OSError, StrictDataclassError) as error:
        raise OutputError(f"{folder}: no model of this package can be read: {error}") from error


def demo_baselines() -> None:
    """Evaluate every bundled baseline on its test split and compare with the recorded results.

    Raises:
        OutputError: the accuracy is not the recorded one.
    """
    from transformers.utils import logging

    from mnist1d_hf.models import list_pretrained, load_pretrained
    from mnist1d_hf.training import evaluation, tables
    from mnist1d_hf.training.data import load_arrays

    logging.disable_progress_bar()
    recorded = tables.baseline_rows()
    rows: list[tuple[str, ...]] = []
    with progress("baselines", len(recorded)) as advance:
        for entry, row in zip(list_pretrained(), recorded, strict=True):
            arrays = load_arrays(entry.data)
            found = evaluation.evaluate(load_pretrained(entry.name), arrays.x_test, arrays.label_test).accuracy
            if abs(found - entry.released_accuracy) > 1e-6:
                raise OutputError(
                    f"{entry.name}: expected accuracy {entry.released_accuracy} on the test split, found {found}; "
                    f"this machine's arithmetic rounds differently, or the package is damaged"
                )
            literature = row["test accuracy, %"], row["best reading"], row["literature"]
            rows.append((entry.name, f"{100 * found:.1f}", *literature))
            advance(1)
    columns = ("baseline", "released, %", "all seeds, %", "best reading, %", "literature, %")
    print_table("Trained baselines on their test splits", columns, rows, right=range(1, 5))


def _print_evaluations(model: str, found: Mapping[str, Any], names: list[str]) -> None:
    rows: list[tuple[str, ...]] = []
    for name, item in found.items():
        low, high = (100 * edge for edge in item.interval)
        rows.append((name, f"{100 * item.accuracy:.2f} %", f"{low:.2f} to {high:.2f}", f"{item.loss:.4f}"))
    print_table(model, ("data", "accuracy", "95 % interval", "loss"), rows, right=range(1, 4))
    for title, item in found.items():
        classes: list[tuple[str, ...]] = [
            (name, f"{count:,}", f"{100 * recall:.1f}", f"{100 * precision:.1f}")
            for name, (count, recall, precision) in zip(names, item.per_class(), strict=True)
        ]
        print_table(title, ("class", "samples", "recall, %", "precision, %"), classes, right=range(1, 4))


def _trained_on(folder: Path) -> str:
    """The configuration that a model was trained on, from its results.json; "default" without one."""
    from mnist1d_hf.models.catalog import RESULTS

    try:
        return str(json.loads((folder / RESULTS).read_text(encoding="utf-8"))["data"]["configuration"])
    except (OSError, ValueError, KeyError, TypeError):
        return "default"
