"""A staged folder of a baseline, checked without the Hub. All problems are collected, then raised."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError, safe_open

from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.publishing.cards import read_card
from mnist1d_hf.publishing.checking import (
    addresses,
    check_files,
    differences,
    load_json,
    verdict,
    wrong_card_links,
)
from mnist1d_hf.publishing.contents import leaks, wrong_sizes
from mnist1d_hf.publishing.layout import CARD, CONFUSION, EVAL_RESULTS, MODEL_CODE, RESULTS, evaluated_on

_WEIGHTS = "model.safetensors"
_SLACK = 65_536  # bytes that a file may have beside its numbers


def check_model(folder: str | os.PathLike[str]) -> int:
    """Check a folder of `stage_model`: files, code, weights, results against the card, sizes, links; load it.

    Returns:
        The number of files.

    Raises:
        CheckError: (an `OSError`) all that is wrong, each with file, what was expected and what was found.
    """
    place = Path(folder)
    expected = (CARD, "config.json", _WEIGHTS, RESULTS, EVAL_RESULTS, CONFUSION, *MODEL_CODE.values())
    files, problems = check_files(place, expected)
    results, wrong = load_json(place, RESULTS, files)
    problems += wrong + _check_code(place, files)
    limits = {}
    if results is not None:
        limits = {_WEIGHTS: 4 * int(results["parameters"]) + _SLACK}
        problems += _check_weights(place, files, int(results["parameters"]))
    if CARD in files and results is not None:
        problems += _check_model_card(place, (place / CARD).read_text(encoding="utf-8"), results, files)
    problems += wrong_sizes(place, files, limits) + leaks(place, files)
    return verdict(folder, problems or _not_loading(place, results or {}), files)


def _not_loading(place: Path, results: dict[str, Any]) -> list[str]:
    """Weights that transformers does not load, or that are not as good on the test split as is recorded."""
    from mnist1d_hf.models import Mnist1dForSequenceClassification
    from mnist1d_hf.training.data import load_arrays
    from mnist1d_hf.training.evaluation import evaluate

    try:
        model = Mnist1dForSequenceClassification.from_pretrained(place)
    except Exception as error:  # whatever it is: a reader would meet it too
        return [f"{_WEIGHTS}: does not load: {' '.join(str(error).split()) or type(error).__name__}"]
    arrays = load_arrays(evaluated_on(results["data"]["configuration"]))
    found, recorded = evaluate(model, arrays.x_test, arrays.label_test).accuracy, results["released"]["test"]
    if abs(found - recorded) > 1e-6:
        return [f"{_WEIGHTS}: expected the accuracy {recorded} on the test split, as {RESULTS} has it, found {found}"]
    return []


def _check_code(place: Path, files: list[str]) -> list[str]:
    """The code is that of this package, and the configuration leads to it."""
    from mnist1d_hf import models

    problems = []
    for source, name in MODEL_CODE.items():
        if name in files and (place / name).read_bytes() != (Path(models.__file__).parent / source).read_bytes():
            problems.append(f"{name}: expected the bytes of mnist1d_hf/models/{source}, found others")
    config, wrong = load_json(place, "config.json", files)
    if config is not None:
        named = {**config.get("auto_map", {}), "pipeline": _pipeline(config)}
        for key in ("AutoConfig", "AutoModelForSequenceClassification", "pipeline"):
            module, _, name = str(named.get(key)).rpartition(".")
            text = (place / f"{module}.py").read_text(encoding="utf-8") if f"{module}.py" in files else ""
            if not name or f"class {name}(" not in text:
                problems.append(f"config.json: {key}: expected a class of a file beside it, found {named.get(key)}")
    return problems + wrong


def _pipeline(config: dict[str, Any]) -> Any:
    return config.get("custom_pipelines", {}).get("signal-classification", {}).get("impl")


def _check_weights(place: Path, files: list[str], parameters: int) -> list[str]:
    if _WEIGHTS not in files:
        return []
    total = 0
    try:
        with safe_open(place / _WEIGHTS, framework="np") as file:
            for name in file.keys():  # noqa: SIM118  (not a mapping)
                if name.rpartition(".")[2] not in ("running_mean", "running_var", "num_batches_tracked"):
                    total += math.prod(file.get_slice(name).get_shape())
    except (SafetensorError, OSError) as error:
        return [f"{_WEIGHTS}: expected safetensors ({error})"]
    if total != parameters:
        return [f"{_WEIGHTS}: expected {parameters:,} parameters, as {RESULTS} has it, found {total:,}"]
    return []


def _check_model_card(place: Path, card: str, results: dict[str, Any], files: list[str]) -> list[str]:
    """Metadata and `.eval_results` against the recorded results; links."""
    try:
        metadata, _ = read_card(card)
        index = metadata["model-index"][0]
        dataset_id = str(metadata["datasets"][0])
        entry = index["results"][0]
    except InvalidValueError as error:
        return [str(error)]
    except (KeyError, IndexError, TypeError):
        return [f"{CARD}: expected datasets and model-index in the YAML, found {', '.join(metadata)}"]
    configuration = evaluated_on(results["data"]["configuration"])
    values = [round(item["value"], 6) for item in entry["metrics"]]
    recorded = [round(value, 6) for value in (results["released"]["test"], results["test_accuracy"]["mean"])]
    problems = differences(f"{CARD}: model-index", recorded, values)
    named = {"type": dataset_id, "config": configuration, "split": "test"}
    problems += differences(f"{CARD}: model-index", named, {key: entry["dataset"].get(key) for key in named})
    problems += _check_eval_results(place, files, dataset_id, configuration, results["released"]["test"])
    found = re.search(r'from_pretrained\(\s*"([^"]+)"', card)
    repo_id = found.group(1) if found else ""
    if repo_id.partition("/")[2] != index["name"]:
        problems.append(f"{CARD}: expected a snippet that loads .../{index['name']}, found {repo_id or 'none'}")
    return problems + wrong_card_links(place, card, (*addresses(dataset_id), f"https://huggingface.co/{repo_id}"))


def _check_eval_results(
    place: Path, files: list[str], dataset_id: str, configuration: str, accuracy: float
) -> list[str]:
    if EVAL_RESULTS not in files:
        return []
    try:
        (found,) = yaml.safe_load((place / EVAL_RESULTS).read_text(encoding="utf-8"))
        measured = {"id": found["dataset"]["id"], "task_id": found["dataset"]["task_id"], "value": found["value"]}
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        return [f"{EVAL_RESULTS}: expected one entry with dataset and value ({' '.join(str(error).split())})"]
    return differences(EVAL_RESULTS, {"id": dataset_id, "task_id": configuration, "value": accuracy}, measured)
