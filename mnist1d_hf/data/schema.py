"""What a built dataset is: its configuration with a name for the cache, its columns, its description, its tables."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow as pa

from mnist1d_hf.data.config import (
    ARGUMENTS,
    GeneratorConfig,
    check_boolean,
    check_config,
    check_integer,
    check_real,
)
from mnist1d_hf.data.configurations import find_configuration, name_of
from mnist1d_hf.data.generator import Generated
from mnist1d_hf.data.stream import (
    BLOCK,
    MAX_INDEX,
    MAX_SEED,
    VALUES_VERSION,
    Samples,
    collect,
    noisy_labels,
    plan_of,
)
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
COLUMN_OPTIONS = ("dtype", "latents", "clean", "label_noise", "posterior", "templates")
EXTRAS = ("clean", "label_noise", "posterior", "validation")  # leave no trace in names and files where they are not set
OPTIONS = (*ARGUMENTS, "num_train", "num_test", "validation", *COLUMN_OPTIONS)


class StreamRows(NamedTuple):
    """Which part of which stream: the samples 0 .. num_samples - 1 of `seed`; without a number there is no end."""

    seed: int = 0
    num_samples: int | None = None


@dataclasses.dataclass
class Mnist1dBuilderConfig(datasets.BuilderConfig):
    """What is built: the generator's arguments, the type of the numbers, the splits, and which columns there are.

    Attributes:
        validation: fraction of the training rows, the last ones, that is the split "validation"; 0 for no such split.
        latents, clean: whether there are columns for what was drawn, and for the signal without noise.
        label_noise: probability with which a training label is drawn anew; 0 for no column `clean_label`.
        posterior: whether there is a column for the probability of every class.

    With `rows` it is a part of the stream; then `num_samples`, `train_split` and `seed` of `generator` play no part.
    """

    generator: GeneratorConfig = dataclasses.field(default_factory=GeneratorConfig)
    dtype: str = "float32"
    latents: bool = False
    clean: bool = False
    label_noise: float = 0.0
    posterior: bool = False
    validation: float = 0.0
    templates: Templates | None = None
    rows: StreamRows | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.posterior:
            from mnist1d_hf.data.answer_key import check_size

            check_size(self.generator, self.num_classes)

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
        columns = {key: given.pop(key) for key in COLUMN_OPTIONS if key in given}
        validation = _check_fraction("validation", given.pop("validation", 0.0))
        templates = None if "templates" not in columns else check_templates(columns.pop("templates"))
        sizes = _sizes_as_generator_arguments(given, base.generator)
        generator = dataclasses.replace(base.generator, **given)
        if templates is not None:
            base = find_configuration("custom")
        elif generator != base.generator:
            base = find_configuration(name_of(generator))
        config = cls(
            name=base.name,
            version=VERSION,
            description=base.description,
            generator=generator,
            validation=validation,
            templates=templates,
            **_checked_columns(**columns),
        )
        if sizes and config.generator.num_samples % config.num_classes:
            raise InvalidValueError(
                f"num_train + num_test: expected a multiple of the {config.num_classes} classes (each has as many "
                f"samples), found {config.generator.num_samples}"
            )
        _ = config.split_sizes  # raises where a split would be empty
        return config

    @classmethod
    def _resolve_stream(cls, given: dict[str, Any]) -> Mnist1dBuilderConfig:
        for key in ("train_split", "num_train", "num_test", "validation"):
            if key in given:
                raise InvalidValueError(f"{key}: the stream has one split, train; for other data take another seed")
        if _check_dtype(given.pop("dtype", "float32")) != "float32":
            raise InvalidValueError("dtype: the stream is made in float32; for float64 choose another configuration")
        seed, num_samples = given.pop("seed", 0), given.pop("num_samples", None)
        columns = {key: given.pop(key) for key in COLUMN_OPTIONS if key in given}
        return cls.for_stream(GeneratorConfig(**given), seed, num_samples, **columns)

    @classmethod
    def for_stream(
        cls, generator: GeneratorConfig | None, seed: Any, num_samples: Any, templates: Any = None, **columns: Any
    ) -> Mnist1dBuilderConfig:
        """The first `num_samples` (None: all) of the stream `seed`; of `generator` only what shapes a sample counts.

        Args:
            columns: `latents`, `clean`, `label_noise`, `posterior`.
        """
        base = find_configuration("stream")
        generator = check_config(generator)
        ignored = {name: getattr(base.generator, name) for name in ("num_samples", "train_split", "seed")}
        return cls(
            name=base.name,
            version=VERSION,
            description=base.description,
            generator=dataclasses.replace(generator, **ignored),
            templates=None if templates is None else check_templates(templates),
            rows=StreamRows(
                check_integer("seed", seed, 0, MAX_SEED),
                None if num_samples is None else check_integer("num_samples", num_samples, 1, MAX_INDEX),
            ),
            **_checked_columns(**columns),
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
        parts += [f"{key}={value!r}" for key, value in self.extras.items()]
        suffix = ",".join(parts)
        if len(suffix) > 64:
            suffix = hashlib.sha256(suffix.encode()).hexdigest()[:32]
        return f"{name}-{suffix}" if suffix else name

    @property
    def extras(self) -> dict[str, Any]:
        """The options of `EXTRAS` that are set."""
        return {name: getattr(self, name) for name in EXTRAS if getattr(self, name)}

    @property
    def split_sizes(self) -> dict[str, int]:
        """Rows of each split; nothing is known of a stream without end."""
        if self.rows is not None:
            return {} if self.rows.num_samples is None else {"train": self.rows.num_samples}
        train, test = self.generator.split_sizes(self.num_classes)
        held_out = round(self.validation * train)
        if self.validation and not 0 < held_out < train:
            raise InvalidValueError(
                f"validation: {self.validation!r} of {train} training rows leaves a split empty ({train - held_out} "
                f"train, {held_out} validation); expected a fraction that gives both at least one row"
            )
        sizes = {"train": train - held_out, "validation": held_out, "test": test}
        return {split: size for split, size in sizes.items() if size}

    @property
    def num_classes(self) -> int:
        """Classes; ten with the paper's templates."""
        return 10 if self.templates is None else len(self.templates["y"])

    @property
    def num_training_rows(self) -> int | None:
        """Rows whose labels take noise: all but the test split's, or all of a stream (None)."""
        return None if self.rows is not None else self.generator.split_sizes(self.num_classes)[0]

    @property
    def table_rows(self) -> int:
        """Rows of the largest table that is made in one go: posteriors take a second, so that progress is seen."""
        return (8 if self.posterior else 200) * BLOCK

    @property
    def features(self) -> datasets.Features:
        """The columns: `x` and `label`; with `label_noise` `clean_label`, with `clean` `clean`, with `posterior`
        `posterior`, with `latents` what was drawn for each sample."""
        labels = range(10) if self.templates is None else self.templates["y"].tolist()
        columns: dict[str, Any] = {
            "x": datasets.List(datasets.Value(self.dtype), length=self.generator.final_seq_length),
            "label": datasets.ClassLabel(names=[str(label) for label in labels]),
        }
        if self.label_noise:
            columns["clean_label"] = columns["label"]
        if self.clean:
            columns["clean"] = columns["x"]
        if self.posterior:
            columns["posterior"] = datasets.List(datasets.Value("float32"), length=self.num_classes)
        if self.latents:
            for name in ("padding", "translation"):
                columns[name] = datasets.Value("int32")
            for name in ("scale", "shear"):
                columns[name] = datasets.Value(self.dtype)
        return datasets.Features(columns)


def _checked_columns(
    dtype: Any = "float32", latents: Any = False, clean: Any = False, label_noise: Any = 0.0, posterior: Any = False
) -> dict[str, Any]:
    """The options about columns, checked; None means the default."""
    return {
        "dtype": _check_dtype("float32" if dtype is None else dtype),
        "latents": check_boolean("latents", False if latents is None else latents),
        "clean": check_boolean("clean", False if clean is None else clean),
        "label_noise": _check_fraction("label_noise", 0.0 if label_noise is None else label_noise, most=1.0),
        "posterior": check_boolean("posterior", False if posterior is None else posterior),
    }


def _sizes_as_generator_arguments(given: dict[str, Any], base: GeneratorConfig) -> bool:
    """Put `num_samples` and `train_split` in the place of `num_train` and `num_test`; whether these were given.

    If only one of the two is given, the other is that of the configuration `base`.
    """
    if not given.keys() & {"num_train", "num_test"}:
        return False
    for key in ("num_samples", "train_split"):
        if key in given:
            raise InvalidValueError(f"{key}: goes without num_train and num_test, which say the same; give one pair")
    train, test = base.split_sizes()
    train = check_integer("num_train", given.pop("num_train", train), 1)
    test = check_integer("num_test", given.pop("num_test", test), 0)
    fraction = train / (train + test)
    while int((train + test) * fraction) < train:  # the division may have rounded down
        fraction = math.nextafter(fraction, 2.0)
    given |= {"num_samples": train + test, "train_split": fraction}
    return True


def _check_dtype(dtype: Any) -> str:
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", str(dtype))
    if name not in DTYPES:
        raise InvalidValueError(f"dtype: expected {' or '.join(map(repr, DTYPES))}, found {name!r}")
    return str(name)


def _check_fraction(name: str, value: Any, most: float = math.nextafter(1.0, 0.0)) -> float:
    """`value` as a float from 0 to `most`."""
    number = check_real(name, value)
    if not 0 <= number <= most:
        end = "1" if most == 1 else "below 1"
        raise InvalidValueError(f"{name}: expected a fraction from 0 to {end}, found {value!r}")
    return number


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
    kinds = config.features.arrow_schema.types
    types = [(kind.value_type, kind.list_size) if pa.types.is_fixed_size_list(kind) else (kind, 1) for kind in kinds]
    row_bytes = sum(kind.bit_width // 8 * count for kind, count in types)
    splits = datasets.SplitDict(dataset_name=DATASET_NAME)
    for name, size in config.split_sizes.items():
        splits.add(datasets.SplitInfo(name, num_bytes=size * row_bytes, num_examples=size))
    return datasets.DatasetInfo(
        description=f"{DESCRIPTION}\n\nConfiguration {config.name}: {config.description}.",
        citation=CITATION,
        homepage=HOMEPAGE,
        license=LICENSE,
        features=config.features,
        builder_name=DATASET_NAME,
        dataset_name=DATASET_NAME,
        config_name=config.name,
        splits=splits or None,
        download_size=0,
        dataset_size=sum(split.num_bytes for split in splits.values()) if splits else None,
    )


def to_table(
    made: Generated | Samples, config: Mnist1dBuilderConfig, start: int, stop: int, first: int = 0
) -> pa.Table:
    """Rows `start` to `stop` as an Arrow table with the columns of `config.features`.

    Args:
        made: samples, of which the first is number `first` of the dataset or stream.
    """
    columns = {"x": _lists(made.x[start:stop], config.dtype), "label": pa.array(made.label[start:stop])}
    if config.label_noise:
        columns["clean_label"] = columns["label"]
        columns["label"] = pa.array(_noisy(made.label[start:stop], config, first + start))
    if config.clean:
        assert made.clean is not None
        columns["clean"] = _lists(made.clean[start:stop], config.dtype)
    if config.posterior:
        columns["posterior"] = _lists(_posteriors(made, config, start, stop), "float32")
    if config.latents:
        for name in ("padding", "translation"):
            columns[name] = pa.array(made.latents[name][start:stop].astype(np.int32))
        for name in ("scale", "shear"):
            columns[name] = pa.array(made.latents[name][start:stop].astype(config.dtype))
    return pa.table(columns)


def _lists(rows: Any, dtype: str) -> pa.Array:
    x = np.ascontiguousarray(rows, dtype=dtype)
    return pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])


def _posteriors(made: Generated | Samples, config: Mnist1dBuilderConfig, start: int, stop: int) -> Any:
    """p(class | x), float64 (rows, classes), of the signals as they stand in the column `x`, rounded to its type."""
    from mnist1d_hf.data.posterior import Scale, score, stream_scale  # not before someone asks for the column

    if isinstance(made, Generated):
        scale = Scale(*made.standardization, made.positions)
    else:
        assert config.rows is not None
        scale = stream_scale(config.generator, config.templates, config.rows.seed)
    x = made.x[start:stop].astype(config.dtype).astype(np.float64)
    return score(x, scale, config.generator, config.templates).probability


def _noisy(label: Any, config: Mnist1dBuilderConfig, start: int) -> Any:
    """The labels of rows from `start` on, with noise in those of the training split."""
    seed = config.generator.seed if config.rows is None else config.rows.seed
    noisy = noisy_labels(label, start, seed, config.label_noise, config.num_classes)
    edge = config.num_training_rows
    return noisy if edge is None else np.where(np.arange(start, start + len(label)) < edge, noisy, label)


def stream_table(config: Mnist1dBuilderConfig, start: int, stop: int) -> pa.Table:
    """The samples `start` to `stop` of the stream that `config.rows` names, as `to_table` makes them."""
    assert config.rows is not None
    plan, seed = plan_of(config.generator, config.templates), config.rows.seed
    if stop - start == BLOCK and start % BLOCK == 0:  # what a reader asks for most: without a copy
        made = plan.block(seed, start // BLOCK, clean=config.clean)
    else:
        made = collect(plan, np.arange(start, stop), seed, latents=config.latents, clean=config.clean)
    return to_table(made, config, 0, stop - start, first=start)
