"""The commands about models: arguments and tables. Whatever needs torch is imported when it is used."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from huggingface_hub.errors import StrictDataclassError

from mnist1d_hf.cli.terminal import console, messages, option, print_table, progress
from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.configurations import FRESH_SEED, find_configuration
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
    model: Annotated[str, typer.Argument(help="A baseline, `bayes`, or a folder with config.json and weights.")],
    config: Annotated[str | None, option("Configuration; the baseline's own.", "--config", "-c")] = None,
    fresh: Annotated[int, typer.Option(help="Samples of the stream; 0 for none. The tables have 100000.")] = 10_000,
    figure: Annotated[Path | None, option("Write the confusion matrices to this PNG or SVG.", "--figure")] = None,
) -> None:
    """Accuracy with its 95 % interval, recall and precision, and how far a model is from the best possible one.

    On the paper's test split and on fresh samples, with the exact probability p(class | signal) of every class:

    - Bayes loss: mean of -log p(label | signal), in nats. No model does better on average.

    - Excess loss: the model's loss minus the Bayes loss on the same signals, with its 95 % interval.

    - KL divergence: from p to the model's probabilities q, mean over the signals. It estimates the same number as the
    excess loss, without the chance of which label each signal has.

    - Calibration error: mean of |q - p| of the predicted class: by how much the model's confidence differs from the
    probability that its prediction is right.

    The name `bayes` stands for the best possible classifier itself: it predicts the class with the largest p. The mean
    of this p is its expected accuracy.
    """
    from mnist1d_hf.models.catalog import BAYES, folder_of

    if fresh < 0:
        raise InvalidValueError(f"fresh: expected at least 0, found {fresh}")
    if figure is not None:
        from mnist1d_hf import plots

        plots.kind_of(figure)  # refuse a wrong name before the work
    network, configuration = None, config or "default"
    is_folder = Path(model).is_dir()
    if is_folder or model != BAYES:
        folder = Path(model) if is_folder else folder_of(model)
        configuration = config or _trained_on(folder)
        network = _load(folder)
        model = model if is_folder else folder.name  # the present name, where an old one was given
    names = [str(number) for number in range(10)]
    generator = find_configuration(configuration).generator
    title = f"test split of {'default' if configuration == 'stream' else configuration}"  # the stream has none
    if network is not None:
        names = [network.config.id2label[number] for number in range(network.config.num_labels)]
        if len(names) < 10:
            raise OutputError(f"{model}: tells {len(names)} classes apart, {configuration} has 10")
        length = network.config.sequence_length
        if length != generator.final_seq_length:
            generator = dataclasses.replace(generator, final_seq_length=length)
            title += f" with {length} points"
    if fresh and generator.shuffle_seq:
        messages.print(f"no fresh samples: the permutation of {configuration} belongs to its dataset")
    found = _evaluations(network, title, generator, fresh)
    _print_evaluations(model, found, names, network is None)
    if figure is not None:
        titles = {name: item.confusion for name, item in found.items()}
        console.print(str(plots.save(plots.plot_confusion(titles, names), figure)))


def _evaluations(network: Any, title: str, generator: GeneratorConfig, fresh: int) -> dict[str, Any]:
    """By title: of a network, or of the exact posterior for None; on the test split and on `fresh` samples."""
    from mnist1d_hf.data.posterior import standardization
    from mnist1d_hf.data.stream import sample
    from mnist1d_hf.training import evaluation
    from mnist1d_hf.training.data import load_splits

    splits = load_splits(generator)
    data = {title: (splits.x_test, splits.label_test, standardization(generator))}
    if fresh and not generator.shuffle_seq:
        data[f"{fresh:,} fresh samples"] = (*sample(range(fresh), FRESH_SEED, generator), None)
    found = {}
    for name, (x, label, scale) in data.items():
        with progress("exact posterior", len(x)) as advance:
            posterior = evaluation.exact_posterior(x, generator, scale, advance)
        if network is None:
            found[name] = evaluation.evaluate_bayes(posterior, label)
        else:
            found[name] = evaluation.evaluate(network, x, label, posterior=posterior)
    return found


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
    from mnist1d_hf.models.catalog import BAYES
    from mnist1d_hf.training import evaluation, tables
    from mnist1d_hf.training.data import load_arrays

    logging.disable_progress_bar()
    recorded = {entry.name: (entry.data, entry.released_accuracy) for entry in list_pretrained()}
    recorded[BAYES] = "default", tables.bayes_results()["test"]["accuracy"]
    rows: list[tuple[str, ...]] = []
    with progress("baselines", len(recorded)) as advance:
        for row in tables.baseline_rows():
            name = row["baseline"]
            data, expected = recorded[name]
            if name == BAYES:
                (item,) = _evaluations(None, data, find_configuration(data).generator, fresh=0).values()
            else:
                arrays = load_arrays(data)
                item = evaluation.evaluate(load_pretrained(name), arrays.x_test, arrays.label_test)
            if abs(item.accuracy - expected) > 1e-6:
                raise OutputError(
                    f"{name}: expected accuracy {expected} on the test split, found {item.accuracy}; "
                    f"this machine's arithmetic rounds differently, or the package is damaged"
                )
            literature = row["test accuracy, %"], row["best reading"], row["literature"]
            rows.append((name, f"{100 * item.accuracy:.1f}", *literature))
            advance(1)
    columns = ("baseline", "released, %", "all seeds, %", "best reading, %", "literature, %")
    print_table("Trained baselines on their test splits", columns, rows, right=range(1, 5))


def _print_evaluations(model: str, found: Mapping[str, Any], names: list[str], is_bayes: bool) -> None:
    rows: list[tuple[str, ...]] = []
    for name, item in found.items():
        low, high = (100 * edge for edge in item.interval)
        row = name, f"{100 * item.accuracy:.2f} %", f"{low:.2f} to {high:.2f}", f"{item.loss:.4f}"
        rows.append((*row, f"{100 * item.bayes.expected_accuracy:.3f} %") if is_bayes else row)
    columns = ("data", "accuracy", "95 % interval", "loss", *(["expected"] if is_bayes else []))
    print_table(model, columns, rows, right=range(1, 5))
    if not is_bayes:
        _print_comparison(model, found)
    for title, item in found.items():
        classes: list[tuple[str, ...]] = [
            (name, f"{count:,}", f"{100 * recall:.1f}", f"{100 * precision:.1f}")
            for name, (count, recall, precision) in zip(names, item.per_class(), strict=True)
        ]
        print_table(title, ("class", "samples", "recall, %", "precision, %"), classes, right=range(1, 4))


def _print_comparison(model: str, found: Mapping[str, Any]) -> None:
    """A model beside the exact posterior: a column for each of the data."""
    bayes = [item.bayes for item in found.values()]
    rows = [
        ("accuracy of bayes", *(f"{100 * item.accuracy:.2f} %" for item in bayes)),
        ("Bayes loss", *(f"{item.loss:.4f}" for item in bayes)),
        ("excess loss", *(f"{item.excess_loss.mean:.4f}" for item in bayes)),
        ("its 95 % interval", *(f"{item.excess_loss.low:.4f} to {item.excess_loss.high:.4f}" for item in bayes)),
        ("KL divergence", *(f"{item.kl_divergence:.4f}" for item in bayes)),
        ("calibration error", *(f"{100 * item.calibration_error:.2f} %" for item in bayes)),
    ]
    print_table(f"{model} beside bayes, the best possible classifier", ("", *found), rows, right=(1, 2))


def _trained_on(folder: Path) -> str:
    """The configuration that a model was trained on, from its results.json; "default" without one."""
    from mnist1d_hf.models.catalog import RESULTS

    try:
        return str(json.loads((folder / RESULTS).read_text(encoding="utf-8"))["data"]["configuration"])
    except (OSError, ValueError, KeyError, TypeError):
        return "default"
