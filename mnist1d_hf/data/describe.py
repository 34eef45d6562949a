"""The configurations and arguments in words: for `mnist1d-hf info`, README.md and the cards."""

from __future__ import annotations

import dataclasses

from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.configurations import CONFIGURATIONS, find_configuration
from mnist1d_hf.data.schema import Mnist1dBuilderConfig

CONFIGURATION_COLUMNS = ("configuration", "train", "test", "differs by", "what it is")
ARGUMENT_COLUMNS = ("argument", "value", "meaning")
OPTION_COLUMNS = ("option", "value", "meaning")

_MEANINGS = {
    "num_samples": "samples in both splits together",
    "train_split": "fraction of them in the training split",
    "template_len": "points before padding",
    "padding": "least and greatest number of zeros appended",
    "scale_coeff": "factor drawn from 1 ± half of this",
    "max_translation": "circular shift drawn from 0 to this, less one",
    "corr_noise_scale": "standard deviation of the noise that, smoothed, fills the padding",
    "iid_noise_scale": "standard deviation of the white noise everywhere",
    "shear_scale": "slope drawn from ± half of this",
    "shuffle_seq": "permute the positions, in all samples alike",
    "final_seq_length": "points of a signal",
    "seed": "of NumPy's legacy generator",
}
_SPLIT_OPTIONS = {
    "num_train": "training samples, instead of num_samples and train_split",
    "num_test": "test samples, likewise; 0 for no test split",
    "validation": "fraction of the training rows, the last ones, that is the split validation",
}
_COLUMN_OPTIONS = {
    "label_noise": "fraction of the training labels drawn anew, uniformly; adds the column clean_label",
    "clean": "add the column clean: the signal without both noises, on the same scale",
    "posterior": "add the column posterior: the exact probability of every class, of the clean one under label noise",
    "latents": "add the columns padding, scale, translation, shear: what was drawn",
    "dtype": "type of the signals, float32 or float64",
    "templates": "templates of your own, as a dictionary of arrays; in Python only",
}


def configuration_row(name: str) -> tuple[str, ...]:
    """Name, sizes, the arguments that differ from the default, and a description."""
    item = find_configuration(name)
    default = dataclasses.asdict(GeneratorConfig())
    differing = {key: value for key, value in dataclasses.asdict(item.generator).items() if value != default[key]}
    sizes = ("∞", "–") if item.endless else tuple(f"{size:,}" for size in item.generator.split_sizes())
    arguments = ", ".join(f"{key}={value}" for key, value in differing.items())
    return (name, *sizes, arguments or "–", item.description)


def argument_rows(name: str) -> list[tuple[str, ...]]:
    """Each generator argument, its value in the configuration `name`, and its meaning."""
    values = dataclasses.asdict(find_configuration(name).generator)
    return [(argument, str(value), _MEANINGS[argument]) for argument, value in values.items()]


def option_rows(name: str) -> list[tuple[str, ...]]:
    """Each option that is no argument of the generator, its value in the configuration `name`, and its meaning.

    The stream has one split, so that the options about splits are left out.
    """
    _, train, test, *_ = configuration_row(name)
    values = {"num_train": train, "num_test": test, "templates": "–"}
    options = _COLUMN_OPTIONS if find_configuration(name).endless else _SPLIT_OPTIONS | _COLUMN_OPTIONS
    defaults = Mnist1dBuilderConfig()
    return [
        (option, values.get(option) or str(getattr(defaults, option)), meaning) for option, meaning in options.items()
    ]


def markdown() -> str:
    """All tables in Markdown.

    >>> markdown().splitlines()[0]
    '| configuration | train | test | differs by | what it is |'
    """
    first = markdown_table(CONFIGURATION_COLUMNS, [configuration_row(name) for name in CONFIGURATIONS])
    second = markdown_table(ARGUMENT_COLUMNS, argument_rows("default"))
    third = markdown_table(OPTION_COLUMNS, option_rows("default"))
    return f"{first}\n\n{second}\n\n{third}"


def markdown_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table.

    >>> print(markdown_table(("a", "b"), [("1", "2")]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [columns, *rows]
    text = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([text[0], "|" + "---|" * len(columns), *text[1:]])
