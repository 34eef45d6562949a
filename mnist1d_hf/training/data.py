"""The dataset's configurations as arrays for training."""

from __future__ import annotations

import numpy as np

from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.configurations import find_configuration
from mnist1d_hf.data.generator import generate
from mnist1d_hf.training.population import Arrays


def load_arrays(configuration: str = "default") -> Arrays:
    """Both splits of a named configuration, made by the exact generator.

    For "stream" the training split is empty, and the test split is that of "default".

    Raises:
        InvalidValueError: no such configuration.

    >>> load_arrays("default").x.shape
    (4000, 40)
    """
    if configuration == "stream":
        default = load_arrays("default")
        return Arrays(default.x[:0], default.label[:0], default.x_test, default.label_test)
    return load_splits(find_configuration(configuration).generator)


def load_splits(generator: GeneratorConfig) -> Arrays:
    """Both splits of the exact dataset with these arguments."""
    made = generate(generator)
    x, label, edge = made.x.astype(np.float32), made.label.astype(np.int64), made.num_train
    return Arrays(x[:edge], label[:edge], x[edge:], label[edge:])
