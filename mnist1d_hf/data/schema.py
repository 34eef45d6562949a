"""What a built dataset is: its configuration with a name for the cache, its columns, its description, its tables."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from mnist1d_hf.data.config import ARGUMENTS, GeneratorConfig
from mnist1d_hf.data.configurations import find_configuration, name_of
from mnist1d_hf.data.generator import Generated
from mnist1d_hf.data.templates import Templates, check_templates
from mnist1d_hf.errors import InvalidTypeError, InvalidValueError, did_you_mean

DATASET_NAME = "mnist1d"
HOMEPAGE = "https://github.com/greydanus/mnist1d"
LICENSE = "Apache-2.0"
DESCRIPTION = (
    "MNIST-1D: synthetic one-dimensional signals of ten classes, a small analogue of MNIST that separates linear, "
    "dense and convolutional networks clearly (32, 68 and 94 % in the paper). Ten templates are padded, scaled, "
    "translated, covered with noise, sheared and sampled at 40 points."
)
CITATION = """\
@inproceedings{greydanus2024scaling,
  title     = {Scaling Down Deep Learning with {MNIST-1D}},
  author    = {Greydanus, Sam and Kobak, Dmitry},
  booktitle = {Proceedings of the 41st International Conference on Machine Learning},
  year      = {2024},
  url       = {https://arxiv.org/abs/2011.14439}
}
"""
VERSION = datasets.Version("1.0.0")  # of the data: raised when the numbers change
DTYPES = ("float32", "float64")
OPTIONS = (*ARGUMENTS, "dtype", "latents", "templates")


@dataclasses.dataclass
class Mnist1dBuilderConfig(datasets.BuilderConfig):
    """What is built: the generator's arguments, the type of the numbers, and whether latents are columns too."""

    generator: GeneratorConfig = dataclasses.field(default_factory=GeneratorConfig)
    dtype: str = "float32"
    latents: bool = False
    templates: Templates | None = None

    @classmethod
    def resolve(cls, name: str | None, arguments: Mapping[str, Any]) -> Mnist1dBuilderConfig:
        """The configuration `name` with `arguments` on top; an argument that is None keeps its default."""
        base = find_configuration("default" if name is None else name)
        given = {key: value for key, value in arguments.items() if value is not None}
        for key in given:
            if key not in OPTIONS:
                raise InvalidTypeError(f"unknown argument {key!r} of mnist1d: {did_you_mean(key, OPTIONS)}")
        dtype, latents, templates = (given.pop(key, None) for key in ("dtype", "latents", "templates"))
        generator = dataclasses.replace(base.generator, **given)
        checked = None if templates is None else check_templates(templates)
        if checked is not None:
            base = find_configuration("custom")
        elif generator != base.generator:
            base = find_configuration(name_of(generator))
        config = cls(
            name=base.name,
            version=VERSION,
            description=base.description,
            generator=generator,
            dtype=_check_dtype(dtype),
            latents=_check_latents(latents),
            templates=checked,
        )
        _ = config.split_sizes  # raises where a split would be empty
        return config

    @property
    def identifier(self) -> str:
        """Names the content: the same arguments always give the same, different ones never do."""
        name, default = name_of(self.generator), GeneratorConfig()
        parts = []
        if self.templates is not None:
            name = "custom"
            parts.append(f"templates={templates_digest(self.templates)}")
        if name == "custom":
            for argument in ARGUMENTS:
                value = getattr(self.generator, argument)
                if value != getattr(default, argument):
                    text = "-".join(map(str, value)) if argument == "padding" else repr(value)
                    parts.append(f"{argument}={text}")
        if self.dtype != "float32":
            parts.append(f"dtype={self.dtype}")
        if self.latents:
            parts.append("latents=True")
        suffix = ",".join(parts)
        if len(suffix) > 64:
            suffix = hashlib.sha256(suffix.encode()).hexdigest()[:32]
        return f"{name}-{suffix}" if suffix else name

    @property
    def split_sizes(self) -> tuple[int, int]:
        """Rows of the training and the test split."""
        return self.generator.split_sizes(10 if self.templates is None else len(self.templates["y"]))

    @property
    def features(self) -> datasets.Features:
        """The columns: `x`, `label`, and with `latents` what was drawn for each sample."""
        labels = range(10) if self.templates is None else self.templates["y"].tolist()
        columns: dict[str, Any] = {
            "x": datasets.List(datasets.Value(self.dtype), length=self.generator.final_seq_length),
            "label": datasets.ClassLabel(names=[str(label) for label in labels]),
        }
        if self.latents:
            for name in ("padding", "translation"):
                columns[name] = datasets.Value("int32")
            for name in ("scale", "shear"):
                columns[name] = datasets.Value(self.dtype)
        return datasets.Features(columns)


def _check_dtype(dtype: Any) -> str:
    if dtype is None:
        return "float32"
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", str(dtype))
    if name not in DTYPES:
        raise InvalidValueError(f"dtype: expected {' or '.join(map(repr, DTYPES))}, found {name!r}")
    return str(name)


def _check_latents(latents: Any) -> bool:
    if latents is None or isinstance(latents, bool):
        return bool(latents)
    raise InvalidTypeError(f"latents: expected True or False, found {latents!r} ({type(latents).__name__})")


def templates_digest(templates: Templates) -> str:
    """A name for templates: the same dtypes, shapes and numbers always give the same."""
    digest = hashlib.sha256()
    for key in ("x", "t", "y"):
        array = templates[key]
        digest.update(f"{key} {array.dtype.str} {array.shape}".encode())
        digest.update(repr(array.tolist()).encode())
    return digest.hexdigest()[:16]


def dataset_info(config: Mnist1dBuilderConfig) -> datasets.DatasetInfo:
    """What is known of a dataset before it is built: description, columns, splits with rows and bytes."""
    number_bytes = np.dtype(config.dtype).itemsize
    row_bytes = config.generator.final_seq_length * number_bytes + 8
    if config.latents:
        row_bytes += 8 + 2 * number_bytes
    splits = datasets.SplitDict(dataset_name=DATASET_NAME)
    for name, size in zip(("train", "test"), config.split_sizes, strict=True):
        splits.add(datasets.SplitInfo(name, num_bytes=size * row_bytes, num_examples=size))
    return datasets.DatasetInfo(
        description=f"{DESCRIPTION}\n\nConfiguration {config.name}: {config.description}.",
        citation=CITATION,
        homepage=HOMEPAGE,
        license=LICENSE,
        features=config.features,
        splits=splits,
        download_size=0,
        dataset_size=sum(split.num_bytes for split in splits.values()),
    )


def to_table(made: Generated, config: Mnist1dBuilderConfig, start: int, stop: int) -> pa.Table:
    """Rows `start` to `stop` as an Arrow table with the columns of `config.features`."""
    x = np.ascontiguousarray(made.x[start:stop], dtype=config.dtype)
    columns = {
        "x": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1]),
        "label": pa.array(made.label[start:stop]),
    }
    if config.latents:
        for name in ("padding", "translation"):
            columns[name] = pa.array(made.latents[name][start:stop].astype(np.int32))
        for name in ("scale", "shear"):
            columns[name] = pa.array(made.latents[name][start:stop].astype(config.dtype))
    return pa.table(columns)
