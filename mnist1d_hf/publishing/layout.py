"""What is published, and where it lies in its repository."""

from __future__ import annotations

import re

from mnist1d_hf.data.configurations import EXACT
from mnist1d_hf.data.schema import Mnist1dBuilderConfig
from mnist1d_hf.errors import InvalidTypeError, InvalidValueError
from mnist1d_hf.export.folder import CARD, SUMS

__all__ = ["CARD", "SUMS"]

RESULTS = "results.json"  # as in mnist1d_hf.models.catalog, whose import would load torch
CONFIGURATIONS = (*(name for name in EXACT if name != "custom"), "stream")
STREAM_SAMPLES, STREAM_SEED = 200_000, 0  # the part of the stream that is published
CROISSANT = "croissant.json"
FIGURES = {
    f"figures/{kind}.png": kind for kind in ("overview", "templates", "transformations", "class-means", "pca")
}  # path -> kind, for `mnist1d_hf.plots.plot`
BASELINES = "figures/baselines.png"
CONFUSION = "figures/confusion.png"
EVAL_RESULTS = ".eval_results/mnist1d.yaml"
# File of the package -> its name beside the weights.
MODEL_CODE = {
    "configuration_mnist1d.py": "configuration_mnist1d.py",
    "modeling_mnist1d.py": "modeling_mnist1d.py",
    "pipeline.py": "pipeline_mnist1d.py",
}
_NAME = r"(?!.*(?:--|\.\.))(?!.*\.git$)[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_REPO_ID = re.compile(f"{_NAME}/{_NAME}")
OLDEST_TRANSFORMERS = "5.4"  # as in pyproject.toml: the published code needs it too
FRESH_SAMPLES = 100_000  # of the stream, on which the published weights are read too


def published_config(name: str) -> Mnist1dBuilderConfig:
    """The configuration `name` as it is published.

    >>> published_config("stream").split_sizes
    {'train': 200000}
    """
    rows = {"num_samples": STREAM_SAMPLES, "seed": STREAM_SEED} if name == "stream" else {}
    return Mnist1dBuilderConfig.resolve(name, rows)


def data_path(configuration: str, split: str) -> str:
    """Where the rows of a split lie.

    >>> data_path("default", "test")
    'default/test-00000-of-00001.parquet'
    """
    return f"{configuration}/{split}-00000-of-00001.parquet"


def model_repo(dataset_id: str, name: str) -> str:
    """The repository of a baseline beside that of the dataset.

    >>> model_repo("someone/mnist1d", "cnn")
    'someone/mnist1d-cnn'
    """
    return f"{dataset_id.partition('/')[0]}/mnist1d-{name}"


def evaluated_on(configuration: str) -> str:
    """The configuration whose test split belongs to a training configuration: the stream has none of its own.

    >>> evaluated_on("stream"), evaluated_on("shuffled")
    ('default', 'shuffled')
    """
    return "default" if configuration == "stream" else configuration


def check_repo_id(repo_id: object) -> str:
    """Give back a name of the form NAMESPACE/NAME, as the Hub takes it.

    Raises:
        InvalidTypeError, InvalidValueError: anything else.

    >>> check_repo_id("someone/mnist1d")
    'someone/mnist1d'
    """
    expected = "repo id: expected NAMESPACE/NAME in letters, digits, '-', '_' and '.'"
    if not isinstance(repo_id, str):
        raise InvalidTypeError(f"{expected}, found {type(repo_id).__name__}")
    if not _REPO_ID.fullmatch(repo_id):
        raise InvalidValueError(f"{expected}, found {repo_id!r}")
    return repo_id
