"""The named configurations: the arguments behind each name, and the checksums of its rows.

To add one, add an entry. Its checksums are those of `mnist1d_hf.data.checksums.measure`; it also works without any.
What they cover: `x` as float32 and labels as int64, C order, little endian. Those of `default` are of the file that
the paper published (Greydanus & Kobak 2024); a test compares all of them with the PyPI package `mnist1d`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.errors import InvalidValueError, did_you_mean

FRESH_SEED = 2**62  # of the stream of fresh samples: far from the seeds that are used for training
FRESH_SAMPLES = 100_000  # on which a released checkpoint is evaluated
Checksums = Mapping[str, Mapping[str, str]]  # split -> column -> SHA-256 in hexadecimal digits


class Configuration(NamedTuple):
    """A named set of generator arguments.

    Attributes:
        name: for `load_dataset`.
        generator: the arguments.
        description: one line about its use.
        checksums: of its rows; empty where none are recorded.
        endless: whether it is the stream.
    """

    name: str
    generator: GeneratorConfig
    description: str
    checksums: Checksums = {}
    endless: bool = False


_TRAIN_LABELS = "d97dc7aecec8ad6b5d8f143ba3e9c4bd7e25c420d7dfc2eb990591cfc0ed3e15"  # of all that have 5,000 samples
_TEST_LABELS = "8de99be3ff9dab15ae0dc072c3d6ced7cf6b33d365888ce4a386fc944489452c"
_PAPER: Checksums = {
    "train": {"x": "d53506bddd12d3b72c7153b1ae7f34807724b1dd078a7273809bf9d0792319f6", "label": _TRAIN_LABELS},
    "test": {"x": "30addc43827c82aafa5db8bc97cea63349ca687e87db2f201cc4f5415d9a4ebd", "label": _TEST_LABELS},
}

CONFIGURATIONS: dict[str, Configuration] = {
    item.name: item
    for item in (
        Configuration("default", GeneratorConfig(), "the paper's dataset, bit for bit", _PAPER),
        Configuration(
            "noise-free",
            GeneratorConfig(corr_noise_scale=0.0, iid_noise_scale=0.0),
            "both noises off: the transformed templates alone",
            {
                "train": {
                    "x": "369cea6ddb62f7009104d03bba24ea6b613c0844e7ef321cefd39f6caab53db7",
                    "label": _TRAIN_LABELS,
                },
                "test": {
                    "x": "337bbe7ab2661dbc8708eb9236890d2d81cb03abd30a26b8e1cc41be280c017a",
                    "label": _TEST_LABELS,
                },
            },
        ),
        Configuration(
            "large-40k",
            GeneratorConfig(num_samples=50_000),
            "ten times the samples",
            {
                "train": {
                    "x": "e3792ab04f90b837fabca11333905cc6639318670acdc8095ee1125cfaea16d4",
                    "label": "a6643523ec88d8e80f645eac7d90b4597e1b82a2957b47ee91bb9d896d844e0c",
                },
                "test": {
                    "x": "70df70631ef23447834d82f84358a5cfcf22c8ccd6b38fac39e91b742fafc1d2",
                    "label": "a07c9798c8b2db736b04e4b562a83d55cb357a6b038dd1ff61ce350f43fc5187",
                },
            },
        ),
        Configuration(
            "shuffled",
            GeneratorConfig(shuffle_seq=True),
            "one permutation of the positions: no spatial structure left",
            {
                "train": {
                    "x": "c94aded3ac20330bce40bdf6306edca21558a1f13825c583ce522197c5fc9e0a",
                    "label": _TRAIN_LABELS,
                },
                "test": {
                    "x": "19d43390a6c3f3a65221833218fd31f3db8420f5fc3285730ccdfd409508915e",
                    "label": _TEST_LABELS,
                },
            },
        ),
        Configuration("custom", GeneratorConfig(), "any generator argument; without one, the rows of default", _PAPER),
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
    exact = (item for item in CONFIGURATIONS.values() if not item.endless)
    return next((item.name for item in exact if item.generator == generator), "custom")
