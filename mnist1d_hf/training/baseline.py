"""A baseline: a folder with the released weights of a recipe and the results of all its seeds."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mnist1d_hf.data.checksums import measure
from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.configurations import FRESH_SAMPLES, find_configuration
from mnist1d_hf.data.posterior import standardization
from mnist1d_hf.data.schema import VERSION
from mnist1d_hf.files import write_errors, write_file
from mnist1d_hf.models.catalog import RESULTS
from mnist1d_hf.models.modeling_mnist1d import Mnist1dForSequenceClassification
from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.evaluation import (
    Evaluation,
    evaluate,
    evaluate_bayes,
    exact_posterior,
    fresh_samples,
)
from mnist1d_hf.training.population import Arrays, network_config
from mnist1d_hf.training.runs import Run
from mnist1d_hf.training.statistics import summarize
from mnist1d_hf.training.tables import BAYES_RESULTS


def write_baseline(run: Run, arrays: Arrays, folder: str | os.PathLike[str]) -> Path:
    """Write config.json, model.safetensors and results.json of a run.

    Args:
        run: with all its seeds.
        arrays: the data that it was trained on.
        folder: of the baseline, which is returned; files of these names are replaced.

    Raises:
        OutputError: it cannot be written.
    """
    place = Path(folder)
    number = released(run)
    model = Mnist1dForSequenceClassification(network_config(run.recipe.network))
    model.load_state_dict(run.states[number])
    with tempfile.TemporaryDirectory() as draft:
        model.save_pretrained(draft)
        weights = (Path(draft) / "model.safetensors").read_bytes()
        config = json.loads((Path(draft) / "config.json").read_text(encoding="utf-8"))
    for code in ("auto_map", "custom_pipelines"):  # it is in the package, not beside every baseline
        config.pop(code, None)
    content = results(run, arrays, model.num_parameters())
    content["released"] |= {"fresh": fresh_accuracy(model, run.recipe.data), "bayes": None}  # see `record_bayes`
    with write_errors(place):
        write_file(place / "model.safetensors", weights)
        write_file(place / "config.json", f"{json.dumps(config, indent=2)}\n".encode())
        _write_results(place, content)
    return place


def _write_results(place: Path, content: dict[str, Any]) -> None:
    rows = ",\n".join(f"  {json.dumps(row)}" for row in content["members"])  # one line for each seed
    text = json.dumps({**content, "members": []}, indent=1).replace('"members": []', f'"members": [\n{rows}\n ]')
    write_file(place / RESULTS, f"{text}\n".encode())


def record_bayes(folder: str | os.PathLike[str], posterior: NDArray[Any] | None) -> None:
    """Compare the weights of a baseline with the exact posterior on fresh samples: `released.bayes` in results.json.

    Args:
        folder: of the baseline.
        posterior: of the first `FRESH_SAMPLES` fresh samples, float64 (n, classes); None for shuffled data.
    """
    place = Path(folder)
    content = json.loads((place / RESULTS).read_text(encoding="utf-8"))
    content["released"]["bayes"] = None
    if posterior is not None:
        x, label = fresh_samples(content["data"]["configuration"], FRESH_SAMPLES)
        model = Mnist1dForSequenceClassification.from_pretrained(place)
        content["released"]["bayes"] = bayes_numbers(evaluate(model, x, label, posterior=posterior))
    with write_errors(place):
        _write_results(place, content)


def bayes_numbers(found: Evaluation) -> dict[str, Any]:
    """The numbers of an evaluation beside the exact posterior, for files. Losses and divergence are in nats."""
    assert found.bayes is not None
    return {
        "samples": int(found.confusion.sum()),
        "accuracy": found.accuracy,
        "loss": found.loss,
        "bayes_accuracy": found.bayes.accuracy,
        "bayes_loss": found.bayes.loss,
        "excess_loss": found.bayes.excess_loss._asdict(),
        "kl_divergence": found.bayes.kl_divergence,
        "calibration_error": found.bayes.calibration_error,
    }


def write_bayes(fresh: NDArray[Any], path: str | os.PathLike[str] = BAYES_RESULTS) -> None:
    """Record how good the exact posterior itself is, on the test split of "default" and on fresh samples.

    Args:
        fresh: the posterior of the first `FRESH_SAMPLES` fresh samples of "default", float64 (n, classes).
        path: of the file, which is replaced.
    """
    config, arrays = GeneratorConfig(), load_arrays()
    test = exact_posterior(arrays.x_test, config, standardization(config))
    parts = {"test": (test, arrays.label_test), "fresh": (fresh, fresh_samples("default", FRESH_SAMPLES)[1])}
    content = {}
    for name, (posterior, label) in parts.items():
        found = evaluate_bayes(posterior, label)
        assert found.bayes is not None
        content[name] = {"samples": len(label), "accuracy": found.accuracy}
        content[name] |= {"expected_accuracy": found.bayes.expected_accuracy, "loss": found.loss}
    with write_errors(Path(path)):
        write_file(Path(path), f"{json.dumps(content, indent=1)}\n".encode())


def released(run: Run) -> int:
    """The index of the released member: the best on held-out data, else the first. Test data never choose it."""
    if not run.recipe.holdout:
        return 0
    scores = [-1.0 if member.diverged else member.validation or 0.0 for member in run.members]
    return scores.index(max(scores))


def fresh_accuracy(model: Mnist1dForSequenceClassification, configuration: str) -> float | None:
    """The accuracy on `FRESH_SAMPLES` samples of the stream; None for shuffled data, of which there are none."""
    if find_configuration(configuration).generator.shuffle_seq:
        return None
    return evaluate(model, *fresh_samples(configuration, FRESH_SAMPLES)).accuracy


def results(run: Run, arrays: Arrays, parameters: int) -> dict[str, Any]:
    """The content of results.json: recipe, data, one row for each seed, and summaries of the rows."""
    number = released(run)
    splits = {"train": (arrays.x, arrays.label), "test": (arrays.x_test, arrays.label_test)}
    made = {split: rows for split, rows in splits.items() if len(rows[0])}  # the stream has no training split
    best_reading = None
    if run.recipe.watch_test:  # at the step with the best test accuracy: chosen on the test data, so biased upwards
        best_reading = summarize([max(accuracy for _, accuracy in member.history) for member in run.members])._asdict()
    return {
        "recipe": run.recipe.to_dict(),
        "parameters": parameters,
        "data": {"configuration": run.recipe.data, "version": str(VERSION), "sha256": measure(made)},
        "test_accuracy": summarize([member.test for member in run.members])._asdict(),
        "best_reading": best_reading,
        "diverged": [member.seed for member in run.members if member.diverged],
        "released": {"seed": run.members[number].seed, "test": run.members[number].test}
        | {"validation": run.members[number].validation, "step": run.members[number].step},
        "members": [dataclasses.asdict(member) for member in run.members],
    }
