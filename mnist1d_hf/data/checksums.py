"""SHA-256 of every named configuration, and the comparison with them.

What is hashed: `x` as float32 and labels as int64, C order, little endian. Those of `default` are of the file
that the paper published (Greydanus & Kobak 2024); a test compares all of them with the PyPI package `mnist1d`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from mnist1d_hf.data.stream import VALUES_VERSION

Checksums = dict[str, dict[str, str]]  # split -> column -> hexadecimal digest

CHECKSUMS: dict[str, Checksums] = {
    "default": {
        "train": {
            "x": "d53506bddd12d3b72c7153b1ae7f34807724b1dd078a7273809bf9d0792319f6",
            "label": "d97dc7aecec8ad6b5d8f143ba3e9c4bd7e25c420d7dfc2eb990591cfc0ed3e15",
        },
        "test": {
            "x": "30addc43827c82aafa5db8bc97cea63349ca687e87db2f201cc4f5415d9a4ebd",
            "label": "8de99be3ff9dab15ae0dc072c3d6ced7cf6b33d365888ce4a386fc944489452c",
        },
    },
    "noise-free": {
        "train": {
            "x": "369cea6ddb62f7009104d03bba24ea6b613c0844e7ef321cefd39f6caab53db7",
            "label": "d97dc7aecec8ad6b5d8f143ba3e9c4bd7e25c420d7dfc2eb990591cfc0ed3e15",
        },
        "test": {
            "x": "337bbe7ab2661dbc8708eb9236890d2d81cb03abd30a26b8e1cc41be280c017a",
            "label": "8de99be3ff9dab15ae0dc072c3d6ced7cf6b33d365888ce4a386fc944489452c",
        },
    },
    "large-40k": {
        "train": {
            "x": "e3792ab04f90b837fabca11333905cc6639318670acdc8095ee1125cfaea16d4",
            "label": "a6643523ec88d8e80f645eac7d90b4597e1b82a2957b47ee91bb9d896d844e0c",
        },
        "test": {
            "x": "70df70631ef23447834d82f84358a5cfcf22c8ccd6b38fac39e91b742fafc1d2",
            "label": "a07c9798c8b2db736b04e4b562a83d55cb357a6b038dd1ff61ce350f43fc5187",
        },
    },
    "shuffled": {
        "train": {
            "x": "c94aded3ac20330bce40bdf6306edca21558a1f13825c583ce522197c5fc9e0a",
            "label": "d97dc7aecec8ad6b5d8f143ba3e9c4bd7e25c420d7dfc2eb990591cfc0ed3e15",
        },
        "test": {
            "x": "19d43390a6c3f3a65221833218fd31f3db8420f5fc3285730ccdfd409508915e",
            "label": "8de99be3ff9dab15ae0dc072c3d6ced7cf6b33d365888ce4a386fc944489452c",
        },
    },
}

# Names the bits that the builder makes: a cache from an algorithm that made other bits is never read.
_ALGORITHMS = ["columns x label 1", CHECKSUMS, VALUES_VERSION]
ALGORITHM_HASH = hashlib.sha256(json.dumps(_ALGORITHMS, sort_keys=True).encode()).hexdigest()


def checksum(array: NDArray[Any], column: str) -> str:
    """SHA-256 of a column as the file of the paper holds it: `x` in float32, `label` in int64.

    >>> import numpy as np
    >>> checksum(np.zeros((1, 2)), "x")[:8]
    'af5570f5'
    """
    dtype = "<f4" if column == "x" else "<i8"
    return hashlib.sha256(array.astype(dtype).tobytes("C")).hexdigest()


def measure(splits: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> Checksums:
    """The checksums of splits given as (x, label)."""
    return {split: {"x": checksum(x, "x"), "label": checksum(label, "label")} for split, (x, label) in splits.items()}


def expected_checksums(name: str) -> Checksums:
    """The checksums of a configuration; `custom` without arguments holds the rows of `default`."""
    return CHECKSUMS["default" if name == "custom" else name]


def compare(measured: Checksums, expected: Checksums) -> list[str]:
    """One line for each checksum that is not as expected; empty when all agree.

    >>> compare({"train": {"x": "ab"}}, {"train": {"x": "cd"}})
    ['train x: expected cd, found ab']
    """
    return [
        f"{split} {column}: expected {digest}, found {measured.get(split, {}).get(column)}"
        for split, columns in expected.items()
        for column, digest in columns.items()
        if measured.get(split, {}).get(column) != digest
    ]
