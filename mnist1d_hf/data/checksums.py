"""SHA-256 of rows, and the comparison with those recorded in `mnist1d_hf.data.configurations`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from mnist1d_hf.data.configurations import Checksums, find_configuration


def checksum(array: NDArray[Any], column: str) -> str:
    """SHA-256 of a column as the file of the paper holds it: `x` in float32, `label` in int64.

    >>> import numpy as np
    >>> checksum(np.zeros((1, 2)), "x")[:8]
    'af5570f5'
    """
    dtype = "<f4" if column == "x" else "<i8"
    return hashlib.sha256(array.astype(dtype).tobytes("C")).hexdigest()


def measure(splits: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> dict[str, dict[str, str]]:
    """The checksums of splits given as (x, label)."""
    return {split: {"x": checksum(x, "x"), "label": checksum(label, "label")} for split, (x, label) in splits.items()}


def expected_checksums(name: str) -> Checksums:
    """The recorded checksums of a configuration; empty where there are none.

    >>> expected_checksums("custom") == expected_checksums("default"), expected_checksums("stream")
    (True, {})
    """
    return find_configuration(name).checksums


def checksum_differences(measured: Checksums, expected: Checksums) -> list[str]:
    """One line for each checksum that is not as expected; empty when all agree.

    >>> checksum_differences({"train": {"x": "ab"}}, {"train": {"x": "cd"}})
    ['train x: expected cd, found ab']
    """
    return [
        f"{split} {column}: expected {digest}, found {measured.get(split, {}).get(column)}"
        for split, columns in expected.items()
        for column, digest in columns.items()
        if measured.get(split, {}).get(column) != digest
    ]
