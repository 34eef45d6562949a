"""What the card of a baseline says: its metadata, and the values for its template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, EvalResultEntry, ModelCardData, eval_result_entries_to_yaml

from mnist1d_hf.data.configurations import find_configuration
from mnist1d_hf.data.describe import markdown_table
from mnist1d_hf.data.schema import CITATION, HOMEPAGE, LICENSE
from mnist1d_hf.publishing.facts import ModelFacts, Reading
from mnist1d_hf.publishing.layout import OLDEST_TRANSFORMERS, evaluated_on
from mnist1d_hf.publishing.numbers import counted, interval, percent, seeds, spread

KINDS = {  # architectures in words
    "logistic": "logistic regression",
    "mlp": "dense network",
    "cnn": "convolutional network",
    "gru": "recurrent network (GRU)",
    "resnet": "residual convolutional network",
}
_OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW"}
_TASK = "signal-classification"
_NETWORK = {  # what of config.json shapes an architecture, in words
    "logistic": {},
    "mlp": {"widths": "units of the hidden layers", "residual": "layers of equal width add to their input"},
    "cnn": {"widths": "channels", "kernel_sizes": "kernel sizes", "strides": "strides", "paddings": "paddings"},
    "gru": {"widths": "hidden units", "bidirectional": "reads both ways"},
    "resnet": {
        "widths": "channels of the stages",
        "kernel_sizes": "kernel sizes (first convolution, all others)",
        "strides": "strides",
        "dilations": "dilations",
        "padding_mode": "padding",
        "pooling": "pooling before the output",
    },
}
_NOT_SHAPING = ("logistic", "gru")  # these have no activation and no normalisation to choose


def metadata(facts: ModelFacts) -> ModelCardData:
    """The YAML at the top of the card."""
    return ModelCardData(
        datasets=[facts.dataset_id],
        library_name="transformers",
        license=LICENSE.lower(),
        metrics=["accuracy"],
        pipeline_tag="other",  # else the Hub takes the name of the class for a classifier of text
        tags=["mnist1d", _TASK, facts.config["architecture"], "baseline", "education", "arxiv:2011.14439"],
        model_name=facts.repo_id.partition("/")[2],
        eval_results=_eval_results(facts),
    )


def _eval_results(facts: ModelFacts) -> list[EvalResult]:
    configuration = evaluated_on(facts.results["data"]["configuration"])
    summary = facts.results["test_accuracy"]
    common: dict[str, Any] = {
        "task_type": _TASK,
        "task_name": "Classification of signals",
        "dataset_type": facts.dataset_id,
        "dataset_name": f"MNIST-1D ({configuration})",
        "dataset_config": configuration,
        "dataset_split": "test",
        "metric_type": "accuracy",
    }
    mean = f"Mean accuracy over {seeds(summary['n'])}"
    return [
        EvalResult(
            **common, metric_name="Accuracy of this checkpoint", metric_value=facts.test.right / facts.test.total
        ),
        EvalResult(**common, metric_name=mean, metric_value=round(summary["mean"], 6)),
    ]


def eval_results(facts: ModelFacts) -> list[dict[str, Any]]:
    """The entries of `.eval_results/*.yaml`: this checkpoint on the test split."""
    _, edges = counted(facts.test.right / facts.test.total, facts.test.total)
    entry = EvalResultEntry(
        dataset_id=facts.dataset_id,
        task_id=evaluated_on(facts.results["data"]["configuration"]),
        value=facts.test.right / facts.test.total,
        notes=f"share of the {facts.test.total:,} test samples; 95 % interval {edges} %",
    )
    return eval_result_entries_to_yaml([entry])


def values(facts: ModelFacts) -> dict[str, Any]:
    """What the template asks for."""
    found, recipe = facts.results, facts.results["recipe"]
    trained_on = found["data"]["configuration"]
    train = found["data"]["sha256"].get("train")
    checksum = "" if train is None else f" (SHA-256 of `x`: `{train['x']}`)"
    return {
        "title": facts.repo_id.partition("/")[2],
        "name": facts.name,
        "repo_id": facts.repo_id,
        "dataset_id": facts.dataset_id,
        "kind": KINDS[facts.config["architecture"]],
        "parameters": f"{found['parameters']:,}",
        "length": facts.config["sequence_length"],
        "trained_on": trained_on,
        "tested_on": evaluated_on(trained_on),
        "shuffled": find_configuration(trained_on).generator.shuffle_seq,
        "version": found["data"]["version"],
        "train_checksum": checksum,
        "accuracy": f"{facts.test.right / facts.test.total:.4f}",
        "test": _counted(facts.test),
        "test_rows": f"{facts.test.total:,}",
        "fresh": None if facts.fresh is None else _counted(facts.fresh, 2),
        "fresh_rows": None if facts.fresh is None else f"{facts.fresh.total:,}",
        "seeds": seeds(found["test_accuracy"]["n"]),
        "results": _result_table(facts),
        "seeds_note": _seeds_note(found),
        "per_class": _class_table(facts),
        "recipe": _recipe_table(recipe),
        "choice": _choice(found),
        "network": _network_table(facts.config),
        "transformers": OLDEST_TRANSFORMERS,
        "homepage": HOMEPAGE,
        "citation": CITATION,
    }


def _counted(reading: Reading, digits: int = 1) -> tuple[str, str]:
    return counted(reading.right / reading.total, reading.total, digits)


def _result_table(facts: ModelFacts) -> str:
    found = facts.results
    summary, configuration = found["test_accuracy"], evaluated_on(found["data"]["configuration"])
    rows: list[tuple[str, ...]] = [
        (
            f"this checkpoint (seed {found['shipped']['seed']}), test split",
            f"{facts.test.total:,}",
            *_counted(facts.test),
        )
    ]
    if facts.fresh is not None:
        rows.append(("this checkpoint, fresh samples", f"{facts.fresh.total:,}", *_counted(facts.fresh, 2)))
    mean = f"mean ± standard deviation over {seeds(summary['n'])}, test split"
    rows.append((mean, f"{facts.test.total:,}", spread(summary), interval(summary["low"], summary["high"], 2)))
    fresh = [member["fresh"] for member in found["members"] if member.get("fresh") is not None]
    if len(fresh) > 1:
        text = spread({"mean": float(np.mean(fresh)), "std": float(np.std(fresh, ddof=1))})
        rows.append((f"the same over {len(fresh)} seeds, fresh samples", f"{found['recipe']['fresh']:,}", text, "–"))
    return markdown_table((f"on `{configuration}`", "samples", "accuracy, %", "95 % interval, %"), rows)


def _seeds_note(found: Mapping[str, Any]) -> str:
    """What has to be known about the seeds to read the table."""
    parts = [
        "The interval of one checkpoint is for the sampling of the test data (Wilson), that of the mean for the "
        "choice of the seeds (Student's t)."
    ]
    best, reach, failed = found["best_reading"], found["recipe"]["reference_accuracy"], found["diverged"]
    if best is not None:
        parts.append(
            f"Taking each seed's best reading of the test split along the way would give {spread(best)} %, "
            f"which is chosen on test data and therefore too good."
        )
    if reach is not None:
        parts.append(f"To compare with: {reach:g} % ({found['recipe']['source']}).")
    if failed:
        parts.append(f"Training failed for {seeds(len(failed))} ({', '.join(map(str, failed))}); they are counted.")
    return " ".join(parts)


def _class_table(facts: ModelFacts) -> str:
    names = [facts.config["id2label"][str(number)] for number in range(len(facts.config["id2label"]))]
    columns: tuple[str, ...] = ("class", "test samples", "found", "right")
    parts = [_classes(facts.test)]
    if facts.fresh is not None:
        columns += ("fresh samples", "found", "right")
        parts.append(_classes(facts.fresh))
    rows = [tuple(sum((part[number] for part in parts), (f"`{name}`",))) for number, name in enumerate(names)]
    return markdown_table(columns, rows)


def _classes(reading: Reading) -> list[tuple[str, ...]]:
    """Of each class: samples, recall, precision; a dash where there is nothing to divide by."""
    confusion = np.asarray(reading.confusion)
    rows = []
    for number in range(len(confusion)):
        right, truth, answered = (
            int(n) for n in (confusion[number, number], confusion[number].sum(), confusion[:, number].sum())
        )
        shares = [percent(right / total, 1) if total else "–" for total in (truth, answered)]
        rows.append((f"{truth:,}", *shares))
    return rows


def _recipe_table(recipe: dict[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [
        ("optimiser", f"{_OPTIMIZERS[recipe['optimizer']]}, weight decay {recipe['weight_decay']:g}"),
        ("learning rate", f"{recipe['learning_rate']:g}, {recipe['schedule']}"),
        ("steps", f"{recipe['steps']:,} of {recipe['batch_size']} samples"),
        ("order of the samples", _order(recipe)),
        ("held out", f"{100 * recipe['holdout']:g} % of the training split" if recipe["holdout"] else "nothing"),
        ("loss", f"cross-entropy, label smoothing {recipe['label_smoothing']:g}"),
        ("matrix products", recipe.get("precision", "float32")),
    ]
    if recipe.get("synthetic"):
        share = f"{100 * recipe['synthetic']:g} % of each batch"
        rows.append(("new signals", f"{share}, put together from parts of the training signals of the same seed"))
    if recipe["augmentation"]:
        varied = ", ".join(f"{key} {value:g}" for key, value in recipe["augmentation"].items() if value)
        rows.append(("augmentation", varied))
    rows += [(key.replace("_", " "), _plain(value)) for key, value in recipe.items() if key not in _TOLD and value]
    return markdown_table(("hyperparameter", "value"), rows)


# What of a recipe is told in words: in the table, or elsewhere on the card. The rest is told as it stands.
_TOLD = (
    *("name", "network", "data", "seeds", "reference_accuracy", "source", "fresh", "watch_test"),
    *("steps", "batch_size", "learning_rate", "schedule", "optimizer", "weight_decay", "label_smoothing", "precision"),
    *("shuffle", "holdout", "select", "eval_every", "augmentation", "synthetic"),
)


def _order(recipe: dict[str, Any]) -> str:
    if recipe["data"] == "stream":
        return "new samples in every step"
    return "new in each epoch" if recipe["shuffle"] else "as stored, the same in each epoch"


def _choice(found: Mapping[str, Any]) -> str:
    """How the step and the seed of the published weights were chosen."""
    recipe, shipped = found["recipe"], found["released"]
    if not recipe["holdout"]:
        return (
            f"No choice was made: the weights are those of the last step, and the first seed ({shipped['seed']}) is "
            f"published, however it did on the test split."
        )
    kept = {
        "final": "its last step",
        "best": f"the step of the best accuracy on its held-out samples, read every {recipe['eval_every']} steps",
        "loss": f"the step of the lowest loss on its held-out samples, read every {recipe['eval_every']} steps",
    }[recipe["select"]]
    return (
        f"Each seed keeps {kept}. Of the {found['test_accuracy']['n']} seeds, the one that is best on held-out samples "
        f"is published: seed {shipped['seed']}, step {shipped['step']:,}, {percent(shipped['validation'], 1)} % there "
        f"(the best of many, and so too good as an estimate). The test split played no part in it."
    )


def _network_table(config: Any) -> str:
    architecture = config["architecture"]
    rows: list[tuple[str, ...]] = [("architecture", f"`{architecture}`")]
    for key, words in _NETWORK[architecture].items():
        rows.append((words, _plain(config[key])))
    if architecture not in _NOT_SHAPING:
        rows += [("activation", config["activation"]), ("normalisation", config["normalization"])]
        rows.append(("dropout", f"{config['dropout']:g}"))
    return markdown_table(("", "value"), rows)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
