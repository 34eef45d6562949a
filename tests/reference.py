"""The paper's own generator (PyPI package `mnist1d`), called with our arguments: slow, and right by definition."""

import dataclasses
import random

import numpy as np
from mnist1d.data import get_dataset_args
from mnist1d.data import make_dataset as original

from mnist1d_hf import GeneratorConfig


def reference_dataset(config: GeneratorConfig, templates=None) -> dict:
    """What the original makes; its effect on the global random states is undone."""
    args = get_dataset_args()
    for name, value in dataclasses.asdict(config).items():
        setattr(args, name, value)
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        return original(args, templates)
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def assert_same(found: dict, expected: dict) -> None:
    """Equal to the last bit, dtype and memory layout included."""
    for key in ("x", "x_test", "y", "y_test", "t"):
        assert found[key].dtype == expected[key].dtype, key
        assert found[key].shape == expected[key].shape, key
        assert found[key].strides == expected[key].strides, key
        assert found[key].tobytes() == expected[key].tobytes(), key
