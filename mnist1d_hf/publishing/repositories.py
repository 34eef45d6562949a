"""What is published, and where: the dataset, one repository for each baseline, the playground; the files in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from mnist1d_hf.data.configurations import EXACT
from mnist1d_hf.data.schema import Mnist1dBuilderConfig
from mnist1d_hf.errors import InvalidTypeError, InvalidValueError
from mnist1d_hf.export.folder import CARD, SUMS

__all__ = ["CARD", "SUMS"]

NOBODY = "NAMESPACE"  # where a dry run would publish that was told no place
RESULTS = "results.json"  # as in mnist1d_hf.models.catalog, whose import would load torch
WEIGHTS = "model.safetensors"
CONFIGURATIONS = (*(name for name in EXACT if name != "custom"), "stream")
STREAM_SAMPLES, STREAM_SEED = 200_000, 0  # the part of the stream that is published
WITH_POSTERIOR = ("default", "stream")  # the configurations that are published with the column `posterior`
FIGURES = {
    f"figures/{kind}.png": kind
    for kind in ("overview", "templates", "transformations", "class-means", "pca", "readings")
}  # path -> kind, for `mnist1d_hf.plots.plot`
BASELINES = "figures/baselines.png"
CONFUSION = "figures/confusion.png"
EVAL_RESULTS = ".eval_results/mnist1d.yaml"
# Files of the package that lie beside the weights.
MODEL_CODE = ("configuration_mnist1d.py", "modeling_mnist1d.py", "pipeline_mnist1d.py")
OLDEST_TRANSFORMERS = "5.4"  # as in pyproject.toml: the published code needs it too
PLAYGROUND = "mnist1d-playground"  # name of the Space


@dataclasses.dataclass(frozen=True)
class Repository:
    """A repository to be published.

    Attributes:
        repo_id, repo_type: "NAMESPACE/NAME"; "dataset", "model" or "space".
        dataset_id: the dataset's repository, which the card of a baseline names.
        baseline: name of the baseline; None for the dataset and the Space.
    """

    repo_id: str
    repo_type: str
    dataset_id: str
    baseline: str | None = None

    @property
    def name(self) -> str:
        """The name without the namespace."""
        return self.repo_id.partition("/")[2]

    @property
    def has_place(self) -> bool:
        """Whether somebody said where to publish."""
        return not self.repo_id.startswith(f"{NOBODY}/")


def dataset_repository(repo_id: str) -> Repository:
    """The dataset with every configuration.

    Raises:
        InvalidTypeError, InvalidValueError: a bad name.
    """
    return Repository(check_repo_id(repo_id), "dataset", repo_id)


def model_repositories(namespace: str, names: Iterable[str] = (), dataset_id: str | None = None) -> list[Repository]:
    """The baselines of these names, all without names, as NAMESPACE/mnist1d-NAME.

    Args:
        namespace: a user or an organisation.
        names: see `mnist1d_hf.list_pretrained`.
        dataset_id: what their cards name as their data; NAMESPACE/mnist1d by default.

    Raises:
        InvalidTypeError, InvalidValueError: no such baseline, or a bad name.
    """
    from mnist1d_hf.models.catalog import folder_of, list_pretrained

    dataset_id = check_repo_id(dataset_id or f"{namespace}/mnist1d")
    chosen = list(dict.fromkeys(folder_of(name).name for name in names)) or [entry.name for entry in list_pretrained()]
    return [Repository(check_repo_id(f"{namespace}/mnist1d-{name}"), "model", dataset_id, name) for name in chosen]


def space_repository(repo_id: str) -> Repository:
    """The Space with the playground.

    Raises:
        InvalidTypeError, InvalidValueError: a bad name.
    """
    namespace = check_repo_id(repo_id).partition("/")[0]
    return Repository(repo_id, "space", f"{namespace}/mnist1d")


def published_config(name: str) -> Mnist1dBuilderConfig:
    """The configuration `name` as it is published.

    >>> published_config("stream").split_sizes
    {'train': 200000}
    """
    rows = {"num_samples": STREAM_SAMPLES, "seed": STREAM_SEED} if name == "stream" else {}
    return Mnist1dBuilderConfig.resolve(name, {**rows, "posterior": name in WITH_POSTERIOR})


def data_path(configuration: str, split: str) -> str:
    """Where the rows of a split lie.

    >>> data_path("default", "test")
    'default/test-00000-of-00001.parquet'
    """
    return f"{configuration}/{split}-00000-of-00001.parquet"


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
    try:
        validate_repo_id(repo_id)
        if all(repo_id.partition("/")):
            return repo_id
    except HFValidationError:
        pass
    raise InvalidValueError(f"{expected}, found {repo_id!r}")
