"""The baselines that come with the package."""

from __future__ import annotations

import functools
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mnist1d_hf.errors import InvalidTypeError, InvalidValueError, OutputError, did_you_mean

if TYPE_CHECKING:
    from mnist1d_hf.models.modeling_mnist1d import Mnist1dForSequenceClassification

FOLDER = Path(__file__).parent / "pretrained"
RESULTS = "results.json"
BAYES = "bayes"  # in tables and in `mnist1d-hf evaluate`: the exact posterior, which has no weights
RENAMED = {"ceiling": "resnet-stream"}  # names that go on loading, and what they are called now


class Pretrained(NamedTuple):
    """A bundled baseline.

    Attributes:
        name: for `load_pretrained`.
        architecture: "mlp", "cnn", ...
        parameters: how many numbers were trained.
        data: the configuration it was trained on and is tested on.
        seeds: how many were trained.
        accuracy, std: on the test split, mean and standard deviation over the seeds, as fractions.
        released_accuracy: on the test split, of the released checkpoint.
    """

    name: str
    architecture: str
    parameters: int
    data: str
    seeds: int
    accuracy: float
    std: float
    released_accuracy: float


def list_pretrained() -> list[Pretrained]:
    """What `load_pretrained` can load, sorted by name.

    >>> [entry.parameters for entry in list_pretrained() if entry.name == "cnn"]
    [5210]
    """
    return [_entry(name) for name in _names()]


def _entry(name: str) -> Pretrained:
    found = results(name)
    summary = found["test_accuracy"]
    return Pretrained(
        name=name,
        architecture=found["recipe"]["network"]["architecture"],
        parameters=found["parameters"],
        data=found["data"]["configuration"],
        seeds=summary["n"],
        accuracy=summary["mean"],
        std=summary["std"],
        released_accuracy=found["released"]["test"],
    )


def results(name: str) -> dict[str, Any]:
    """The evidence of a baseline: recipe, data, every seed's row.

    Raises:
        InvalidValueError: no such baseline.
        OutputError: its file is damaged.

    Warns:
        FutureWarning: an old name.
    """
    path = folder_of(name) / RESULTS
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise OutputError(f"{path}: damaged ({error}); install the package again") from None


def folder_of(name: str) -> Path:
    """The folder of a bundled baseline: what `from_pretrained` takes.

    Raises:
        InvalidTypeError, InvalidValueError: no such baseline.

    Warns:
        FutureWarning: an old name.
    """
    if not isinstance(name, str):
        raise InvalidTypeError(f"name: expected the name of a baseline, found {type(name).__name__}")
    name = present_name(name)
    if name == BAYES:
        raise InvalidValueError(
            f"{BAYES}: expected a network, found the exact posterior, which has no weights; use mnist1d_hf.posterior, "
            f"or `mnist1d-hf evaluate {BAYES}`"
        )
    if name not in _names():
        raise InvalidValueError(f"unknown baseline {name!r}: {did_you_mean(name, [*_names(), BAYES])}")
    return FOLDER / name


def present_name(name: str) -> str:
    """The name of a baseline or recipe today; a `FutureWarning` where `name` is an old one."""
    if name in RENAMED:
        message = f"the baseline {name!r} is now called {RENAMED[name]!r}: the same weights; use the new name"
        warnings.warn(message, FutureWarning, stacklevel=4)  # seen from load_pretrained
        return RENAMED[name]
    return name


@functools.cache
def _names() -> list[str]:
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{RESULTS}"))


def load_pretrained(name: str, **arguments: Any) -> Mnist1dForSequenceClassification:
    """A trained baseline, from the package itself: no network is needed.

    Args:
        name: see `list_pretrained`.
        arguments: as in `from_pretrained` of transformers. For a task with other classes, pass `num_labels=5,
            ignore_mismatched_sizes=True`: the output layer starts anew.

    Returns:
        The model, in evaluation mode.

    Raises:
        InvalidTypeError, InvalidValueError: no such baseline.
        ValueError: the weights do not fit the arguments.

    Warns:
        FutureWarning: an old name.

    >>> load_pretrained("cnn").num_parameters()
    5210
    """
    from mnist1d_hf.models.modeling_mnist1d import Mnist1dForSequenceClassification

    return Mnist1dForSequenceClassification.from_pretrained(folder_of(name), **arguments)
