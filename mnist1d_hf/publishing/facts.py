"""What is measured before anything is written about it: the cards and the Croissant description stand on these."""

from __future__ import annotations

import dataclasses
import hashlib
import os
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


@dataclasses.dataclass(frozen=True)
class SplitFacts:
    """A Parquet file, as read back.

    Attributes:
        configuration, split, path: what it holds, and where it lies in the folder.
        rows: samples.
        num_bytes: of the numbers in memory.
        size, sha256: of the file.
        checksums: SHA-256 of `x` in float32 and of `label` in int64, C order, little endian.
        counts: samples of each class.
    """

    configuration: str
    split: str
    path: str
    rows: int
    num_bytes: int
    size: int
    sha256: str
    checksums: Mapping[str, str]
    counts: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class DatasetFacts:
    """What the card of the dataset states.

    Attributes:
        repo_id: "NAMESPACE/NAME".
        splits: of every configuration, in the order of the card.
        variance: share of the variance that each principal component of the training signals holds.
        repeated: test samples of `default` whose draws `large-40k` has in its training split, and their classes.
        baselines: the recorded results of each baseline, by name.
    """

    repo_id: str
    splits: tuple[SplitFacts, ...]
    variance: tuple[float, ...]
    repeated: tuple[int, tuple[int, ...]]
    baselines: Mapping[str, Mapping[str, Any]]

    def of(self, configuration: str) -> dict[str, SplitFacts]:
        """The splits of a configuration."""
        return {item.split: item for item in self.splits if item.configuration == configuration}

    @property
    def configurations(self) -> list[str]:
        """The names, in order."""
        return list(dict.fromkeys(item.configuration for item in self.splits))


@dataclasses.dataclass(frozen=True)
class Reading:
    """How the published weights did on some data: int64 (classes, classes), rows are true classes; the mean loss."""

    confusion: NDArray[Any]
    loss: float

    @property
    def total(self) -> int:
        """Samples."""
        return int(self.confusion.sum())

    @property
    def right(self) -> int:
        """Right answers."""
        return int(np.trace(self.confusion))


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """What the card of a baseline states.

    Attributes:
        name: of the baseline.
        repo_id, dataset_id: "NAMESPACE/NAME" of its repository and of the dataset's.
        config: what config.json holds.
        results: what results.json holds.
        test: the published weights on the test split.
        fresh: the same on samples of the stream that no training has seen; None where there can be none.
    """

    name: str
    repo_id: str
    dataset_id: str
    config: Mapping[str, Any]
    results: Mapping[str, Any]
    test: Reading
    fresh: Reading | None = None


def read_table(path: Path) -> pa.Table:
    """A Parquet file.

    Raises:
        OutputError: it is missing or damaged.
    """
    try:
        return pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise OutputError(f"{path}: expected a Parquet file ({str(error).splitlines()[0]})") from None


def columns(table: pa.Table) -> tuple[NDArray[Any], NDArray[Any]]:
    """`x` (n, length) and `label` (n,) of a table with these columns."""
    x = table.column("x").combine_chunks()
    length = x.type.list_size
    return x.flatten().to_numpy(zero_copy_only=False).reshape(-1, length), table.column("label").to_numpy()


def split_facts(folder: str | os.PathLike[str], configuration: str, split: str, path: str) -> SplitFacts:
    """Read a Parquet file back and measure it.

    Raises:
        OutputError: it is missing or damaged.
    """
    place = Path(folder) / path
    table = read_table(place)
    x, label = columns(table)
    return SplitFacts(
        configuration=configuration,
        split=split,
        path=path,
        rows=table.num_rows,
        num_bytes=x.nbytes + label.nbytes,
        size=place.stat().st_size,
        sha256=hashlib.sha256(place.read_bytes()).hexdigest(),
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
