"""The named configurations: which arguments each name stands for."""

from __future__ import annotations

from typing import NamedTuple

from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.errors import InvalidValueError, did_you_mean


class Configuration(NamedTuple):
    """A name, the generator arguments behind it, one line about its use, and whether it is the endless stream."""

    name: str
    generator: GeneratorConfig
    description: str
    endless: bool = False


CONFIGURATIONS: dict[str, Configuration] = {
    item.name: item
    for item in (
        Configuration("default", GeneratorConfig(), "the paper's dataset, bit for bit"),
        Configuration(
            "noise-free",
            GeneratorConfig(corr_noise_scale=0.0, iid_noise_scale=0.0),
            "both noises off: the transformed templates alone",
        ),
        Configuration("large-40k", GeneratorConfig(num_samples=50_000), "ten times the samples"),
        Configuration(
            "shuffled", GeneratorConfig(shuffle_seq=True), "one permutation of the positions: no spatial structure left"
        ),
        Configuration("custom", GeneratorConfig(), "any generator argument; without one, the rows of default"),
        Configuration(
            "stream", GeneratorConfig(), "new samples of the same distribution, as many as wanted", endless=True
        ),
    )
}
EXACT = tuple(name for name, item in CONFIGURATIONS.items() if not item.endless)  # made by the paper's generator


def find_configuration(name: str) -> Configuration:
    """The configuration called `name`.

    Raises:
        InvalidValueError: no such name; the message lists those that exist.

    >>> find_configuration("large-40k").generator.num_samples
    50000
    """
    if name not in CONFIGURATIONS:
        raise InvalidValueError(f"unknown configuration {name!r}: {did_you_mean(name, CONFIGURATIONS)}")
    return CONFIGURATIONS[name]


def name_of(generator: GeneratorConfig) -> str:
    """The name that stands for these arguments, "custom" when none does.

    >>> name_of(GeneratorConfig(shuffle_seq=True)), name_of(GeneratorConfig(seed=7))
    ('shuffled', 'custom')
    """
    return next((name for name in EXACT if CONFIGURATIONS[name].generator == generator), "custom")
