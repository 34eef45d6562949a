"""What a built dataset is: its configuration with a name for the cache, its columns, its description, its tables."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow as pa

from mnist1d_hf.data.config import ARGUMENTS, GeneratorConfig, check_integer
from mnist1d_hf.data.configurations import find_configuration, name_of
from mnist1d_hf.data.generator import Generated
from mnist1d_hf.data.stream import BLOCK, MAX_INDEX, MAX_SEED, VALUES_VERSION, Samples, plan_of, sample
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
VERSION = datasets.Version("1.0.0")  # of the data: raised when the numbers of the exact generator change
# Part of every cache folder's name: what another algorithm wrote is never read.
ALGORITHM_HASH = hashlib.sha256(json.dumps(["columns x label 1", str(VERSION), VALUES_VERSION]).encode()).hexdigest()
DTYPES = ("float32", "float64")
OPTIONS = (*ARGUMENTS, "dtype", "latents", "templates")


class StreamRows(NamedTuple):
    """Which part of which stream: the samples 0 .. num_samples - 1 of `seed`; without a number there is no end."""

    seed: int = 0
    num_samples: int | None = None


@dataclasses.dataclass
class Mnist1dBuilderConfig(datasets.BuilderConfig):
    """What is built: the generator's arguments, the type of the numbers, and whether latents are columns too.

    With `rows` it is a part of the stream; then `num_samples`, `train_split` and `seed` of `generator` play no part.
    """

    generator: GeneratorConfig = dataclasses.field(default_factory=GeneratorConfig)
    dtype: str = "float32"
    latents: bool = False
    templates: Templates | None = None
    rows: StreamRows | None = None

    @classmethod
    def resolve(cls, name: str | None, arguments: Mapping[str, Any]) -> Mnist1dBuilderConfig:
        """The configuration `name` with `arguments` on top; an argument that is None keeps its default."""
        base = find_configuration("default" if name is None else name)
        given = {key: value for key, value in arguments.items() if value is not None}
        for key in given:
            if key not in OPTIONS:
                raise InvalidTypeError(f"unknown argument {key!r} of mnist1d: {did_you_mean(key, OPTIONS)}")
        if base.endless:
            return cls._resolve_stream(given)
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

    @classmethod
    def _resolve_stream(cls, given: dict[str, Any]) -> Mnist1dBuilderConfig:
        if "train_split" in given:
            raise InvalidValueError("train_split: the stream has one split, train; for other data take another seed")
        if _check_dtype(given.pop("dtype", None)) != "float32":
            raise InvalidValueError("dtype: the stream is made in float32; for float64 choose another configuration")
        seed, num_samples = given.pop("seed", 0), given.pop("num_samples", None)
        latents, templates = given.pop("latents", None), given.pop("templates", None)
        return cls.for_stream(GeneratorConfig(**given), seed, num_samples, templates, latents)

    @classmethod
    def for_stream(
        cls, generator: GeneratorConfig, seed: Any, num_samples: Any, templates: Any = None, latents: Any = None
    ) -> Mnist1dBuilderConfig:
        """The first `num_samples` (None: all) of the stream `seed`; of `generator` only what shapes a sample counts."""
        base = find_configuration("stream")
        if not isinstance(generator, GeneratorConfig):
            raise InvalidTypeError(f"config: expected a GeneratorConfig, found {type(generator).__name__}")
        ignored = {name: getattr(base.generator, name) for name in ("num_samples", "train_split", "seed")}
        return cls(
            name=base.name,
            version=VERSION,
            description=base.description,
            generator=dataclasses.replace(generator, **ignored),
            latents=_check_latents(latents),
            templates=None if templates is None else check_templates(templates),
            rows=StreamRows(
                check_integer("seed", seed, 0, MAX_SEED),
                None if num_samples is None else check_integer("num_samples", num_samples, 1, MAX_INDEX),
            ),
        )

    @property
    def identifier(self) -> str:
        """Names the content: the same arguments always give the same, different ones never do."""
        name, default = name_of(self.generator), GeneratorConfig()
        parts = []
        if self.rows is not None:
            name = "stream"
            parts += [f"{key}={value}" for key, value in self.rows._asdict().items() if value is not None]
        elif self.templates is not None:
            name = "custom"
        if self.templates is not None:
            parts.append(f"templates={templates_digest(self.templates)}")
        if name in ("custom", "stream"):
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
    def split_sizes(self) -> dict[str, int]:
        """Rows of each split; nothing is known of a stream without end."""
        if self.rows is not None:
            return {} if self.rows.num_samples is None else {"train": self.rows.num_samples}
        sizes = self.generator.split_sizes(10 if self.templates is None else len(self.templates["y"]))
        return dict(zip(("train", "test"), sizes, strict=True))

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
    for name, size in config.split_sizes.items():
        splits.add(datasets.SplitInfo(name, num_bytes=size * row_bytes, num_examples=size))
    return datasets.DatasetInfo(
        description=f"{DESCRIPTION}\n\nConfiguration {config.name}: {config.description}.",
        citation=CITATION,
        homepage=HOMEPAGE,
        license=LICENSE,
        features=config.features,
        splits=splits or None,
        download_size=0,
        dataset_size=sum(split.num_bytes for split in splits.values()) if splits else None,
    )


def to_table(made: Generated | Samples, config: Mnist1dBuilderConfig, start: int, stop: int) -> pa.Table:
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


def stream_table(config: Mnist1dBuilderConfig, start: int, stop: int) -> pa.Table:
    """The samples `start` to `stop` of the stream that `config.rows` names, as `to_table` makes them."""
    assert config.rows is not None
    if stop - start == BLOCK and start % BLOCK == 0:  # what a reader asks for most: without a copy
        made = plan_of(config.generator, config.templates).block(config.rows.seed, start // BLOCK)
    else:
        made = Samples(
            *sample(range(start, stop), config.rows.seed, config.generator, templates=config.templates, latents=True)
        )
    return to_table(made, config, 0, stop - start)
