"""What is measured before anything is written about it: the cards stand on these facts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mnist1d_hf.data.checksums import measure
from mnist1d_hf.data.generator import Generated
from mnist1d_hf.errors import OutputError
from mnist1d_hf.publishing.repositories import evaluated_on


@dataclasses.dataclass(frozen=True)
class SplitFacts:
    """A Parquet file, as read back.

    Attributes:
        configuration, split, path: what it holds, and where it lies in the folder.
        rows: samples.
        num_bytes: of the numbers in memory.
        size: bytes of the file.
        checksums: SHA-256 of `x` in float32 and of `label` in int64, C order, little endian.
        counts: samples of each class.
    """

    configuration: str
    split: str
    path: str
    rows: int
    num_bytes: int
    size: int
    checksums: Mapping[str, str]
    counts: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class DatasetFacts:
    """What the card of the dataset states.

    Attributes:
        repo_id: "NAMESPACE/NAME".
        splits: of every configuration, in the order of the card.
        variance: fraction of the variance that each principal component of the training signals holds.
        repeated: test samples of `default` whose draws `large-40k` has in its training split, and their classes.
        baselines: the recorded results of each baseline, by name.
    """

    repo_id: str
    splits: tuple[SplitFacts, ...]
    variance: tuple[float, ...] = ()
    repeated: tuple[int, tuple[int, ...]] = (0, ())
    baselines: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def of(self, configuration: str) -> dict[str, SplitFacts]:
        """The splits of a configuration."""
        return {item.split: item for item in self.splits if item.configuration == configuration}

    @property
    def configurations(self) -> list[str]:
        """The names, in order."""
        return list(dict.fromkeys(item.configuration for item in self.splits))


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """What the card of a baseline states.

    Attributes:
        name: of the baseline.
        repo_id, dataset_id: "NAMESPACE/NAME" of its repository and of the dataset's.
        config: what config.json holds.
        results: what results.json holds.
        test: confusion of the published weights on the test split: int64 (classes, classes), rows are true classes.
        fresh: the same on samples of the stream that no training has seen; None where there can be none.
    """

    name: str
    repo_id: str
    dataset_id: str
    config: Mapping[str, Any]
    results: Mapping[str, Any]
    test: NDArray[Any]
    fresh: NDArray[Any] | None = None

    @property
    def tested_on(self) -> str:
        """The configuration of the test split."""
        return evaluated_on(str(self.results["data"]["configuration"]))

    @property
    def accuracy(self) -> float:
        """Accuracy of the published weights on the test split."""
        return int(np.trace(self.test)) / int(self.test.sum())


def split_facts(folder: Path, configuration: str, split: str, path: str) -> SplitFacts:
    """Read a Parquet file and measure it.

    Raises:
        OutputError: it is missing or damaged.
    """
    try:
        table = pq.read_table(folder / path, partitioning=None)
        signals = table.column("x").combine_chunks()
        x = signals.flatten().to_numpy(zero_copy_only=False).reshape(-1, signals.type.list_size)
    except (OSError, KeyError, AttributeError, pa.ArrowException) as error:
        raise OutputError(f"{path}: expected Parquet with x and label ({str(error).splitlines()[0]})") from None
    label = table.column("label").to_numpy()
    return SplitFacts(
        configuration=configuration,
        split=split,
        path=path,
        rows=table.num_rows,
        num_bytes=x.nbytes + label.nbytes,
        size=(folder / path).stat().st_size,
        checksums=measure({split: (x, label)})[split],
        counts=tuple(np.bincount(label, minlength=10).tolist()),
    )


def repeated_draws(test: Generated, train: Generated) -> tuple[int, tuple[int, ...]]:
    """Test samples of one dataset that were drawn with the numbers of a training sample of another: how many, classes.

    Two datasets of one seed begin with the same random numbers, so that their first samples are the same signals.
    """

    def draws(made: Generated, start: int, stop: int) -> list[tuple[float, ...]]:
        drawn = (made.label, *(made.latents[name] for name in sorted(made.latents)))
        return list(zip(*(array[start:stop].tolist() for array in drawn), strict=True))

    known = set(draws(train, 0, train.num_train))
    found = [item for item in draws(test, test.num_train, len(test.label)) if item in known]
    return len(found), tuple(sorted({int(item[0]) for item in found}))
