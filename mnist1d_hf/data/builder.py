"""The `datasets` builder: from the generator into Arrow tables, without a row-by-row step."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, cast

import datasets
import numpy as np
import pyarrow as pa
from datasets.fingerprint import Hasher
from datasets.table import table_cast
from datasets.utils.info_utils import is_small_dataset

from mnist1d_hf.data.checksums import ALGORITHM_HASH
from mnist1d_hf.data.config import ARGUMENTS, GeneratorConfig
from mnist1d_hf.data.configurations import CONFIGURATIONS, find_configuration, name_of
from mnist1d_hf.data.generator import Generated, generate
from mnist1d_hf.data.templates import Templates, check_templates
from mnist1d_hf.errors import InvalidTypeError, InvalidValueError, did_you_mean

try:
    from datasets.builder import Key
except ImportError:  # before datasets 4.8.5

    def Key(shard: int, batch: int) -> str:  # type: ignore[no-redef]  # noqa: N802
        return f"{shard}_{batch}"


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

_NUM_SHARDS = 40  # divisible by 1, 2, 4, 5, 8, 10: equal shares for the usual numbers of workers
_TABLE_ROWS = 100_000  # rows of the largest table handed to the writer: small datasets stay in one Arrow chunk
_KEPT_BYTES = 256 * 2**20  # of datasets that a process keeps, so that the second split costs nothing


@dataclasses.dataclass
class Mnist1dBuilderConfig(datasets.BuilderConfig):  # type: ignore[misc]
    """What is built: the generator's arguments, the type of the numbers, and whether latents are columns too."""

    generator: GeneratorConfig = GeneratorConfig()
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
        generator.split_sizes(10 if checked is None else len(checked["y"]))
        if checked is not None:
            base = find_configuration("custom")
        elif generator != base.generator:
            base = find_configuration(name_of(generator))
        return cls(
            name=base.name,
            version=VERSION,
            description=base.description,
            generator=generator,
            dtype=_check_dtype(dtype),
            latents=_check_latents(latents),
            templates=checked,
        )

    @property
    def identifier(self) -> str:
        """Names the content: the same arguments always give the same, different ones never do."""
        name, default = name_of(self.generator), GeneratorConfig()
        parts = []
        if self.templates is not None:
            name = "custom"
            parts.append(f"templates={_digest(self.templates)}")
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


def _digest(templates: Templates) -> str:
    digest = hashlib.sha256()
    for key in ("x", "t", "y"):
        array = templates[key]
        digest.update(f"{key} {array.dtype.str} {array.shape}".encode())
        digest.update(repr(array.tolist()).encode())
    return digest.hexdigest()[:16]


class Mnist1d(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """Builds MNIST-1D with the exact generator; `datasets.load_dataset("mnist1d", ...)` ends here.

    Columns: `x`, List(float32, length=40) standardised signals; `label`, ClassLabel "0".."9".
    Options: every argument of `GeneratorConfig`, `dtype` ("float32" or "float64"), `latents` (adds the columns
    `padding`, `translation`, `scale`, `shear`) and `templates` (the user's own).
    """

    VERSION = VERSION
    BUILDER_CONFIG_CLASS = Mnist1dBuilderConfig
    BUILDER_CONFIGS = [
        Mnist1dBuilderConfig(item.name, VERSION, description=item.description, generator=item.generator)
        for item in CONFIGURATIONS.values()
    ]
    DEFAULT_CONFIG_NAME = "default"
    DEFAULT_WRITER_BATCH_SIZE = _TABLE_ROWS

    def __init__(self, *args: Any, hash: str | None = ALGORITHM_HASH, **kwargs: Any) -> None:
        # A builder made by hand passes no hash; without one, old data would survive a changed algorithm.
        super().__init__(*args, hash=hash or ALGORITHM_HASH, **kwargs)
        self._check_features()

    def _create_builder_config(
        self,
        config_name: str | None = None,
        custom_features: datasets.Features | None = None,
        config_id: str | None = None,
        **config_kwargs: Any,
    ) -> tuple[Mnist1dBuilderConfig, str]:
        config = Mnist1dBuilderConfig.resolve(config_name, config_kwargs)
        identifier = config_id or config.identifier
        if custom_features is not None and config_id is None:
            identifier += f",features={Hasher.hash(custom_features)}"
        return config, identifier

    def _check_features(self) -> None:
        expected, found = list(self.config.features), list(self.info.features)
        if sorted(expected) != sorted(found):
            raise InvalidValueError(f"features: expected the columns {expected}, found {found}")

    def _info(self) -> datasets.DatasetInfo:
        config = self.config
        num_classes = 10 if config.templates is None else len(config.templates["y"])
        row_bytes = config.generator.final_seq_length * np.dtype(config.dtype).itemsize + 8
        if config.latents:
            row_bytes += 8 + 2 * np.dtype(config.dtype).itemsize
        splits = datasets.SplitDict(dataset_name=DATASET_NAME)
        for name, size in zip(("train", "test"), config.generator.split_sizes(num_classes), strict=True):
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

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        num_classes = 10 if self.config.templates is None else len(self.config.templates["y"])
        num_train, num_test = self.config.generator.split_sizes(num_classes)
        return [
            datasets.SplitGenerator("train", {"shards": _shards(0, num_train)}),
            datasets.SplitGenerator("test", {"shards": _shards(num_train, num_train + num_test)}),
        ]

    def _generate_tables(self, shards: list[tuple[int, int]]) -> Iterator[tuple[Any, pa.Table]]:
        made = _made(self.config.generator, self.config.templates)
        schema = self.info.features.arrow_schema
        for number, (start, stop) in enumerate(_joined(shards)):
            for batch, first in enumerate(range(start, stop, _TABLE_ROWS)):
                table = to_table(made, self.config, first, min(first + _TABLE_ROWS, stop))
                yield Key(number, batch), table_cast(table.select(schema.names), schema)


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


def _shards(start: int, stop: int) -> list[tuple[int, int]]:
    """Row ranges of nearly equal size."""
    edges = np.linspace(start, stop, min(_NUM_SHARDS, stop - start) + 1).astype(int).tolist()
    return list(zip(edges[:-1], edges[1:], strict=True))


def _joined(shards: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Neighbouring ranges as one: a job that has several shards writes them as one Arrow chunk."""
    start, stop = shards[0]
    for following in shards[1:]:
        if following[0] != stop:
            yield start, stop
            start = following[0]
        stop = following[1]
    yield start, stop


_kept: OrderedDict[tuple[GeneratorConfig, str], Generated] = OrderedDict()
_kept_lock = threading.Lock()


def _made(generator: GeneratorConfig, templates: Templates | None) -> Generated:
    """The generated dataset, made at most once in a process as long as it is among the recent ones."""
    key = (generator, "" if templates is None else _digest(templates))
    with _kept_lock:
        if key not in _kept:
            _kept[key] = generate(generator, templates)
        _kept.move_to_end(key)
        while len(_kept) > 1 and sum(made.x.nbytes for made in _kept.values()) > _KEPT_BYTES:
            _kept.popitem(last=False)
        return _kept[key]


def load_dataset(
    name: str = "default",
    *,
    split: Any = None,
    cache_dir: str | None = None,
    features: datasets.Features | None = None,
    download_mode: Any = None,
    verification_mode: Any = None,
    keep_in_memory: bool | None = None,
    streaming: bool = False,
    num_proc: int | None = None,
    **arguments: Any,
) -> Any:
    """The same as `datasets.load_dataset("mnist1d", name, ...)`, without touching that library.

    Args:
        name: one of "default", "noise-free", "large-40k", "shuffled", "custom".
        split, cache_dir, features, download_mode, verification_mode, keep_in_memory, streaming, num_proc:
            as in `datasets.load_dataset`.
        arguments: any argument of `GeneratorConfig`, `dtype`, `latents`, `templates`.

    Returns:
        `DatasetDict`, or `Dataset` for one split; with `streaming`, their iterable counterparts.
        Columns: `x` List(float32, length=40), `label` ClassLabel.

    Raises:
        InvalidValueError, InvalidTypeError: an unknown configuration or argument, or a value out of range.

    >>> load_dataset("default", split="test", cache_dir=getfixture("tmp_path"), num_samples=100).num_rows
    20
    """
    builder = Mnist1d(
        cache_dir=cache_dir, dataset_name=DATASET_NAME, config_name=name, features=features, **arguments
    )
    if streaming:
        return builder.as_streaming_dataset(split=split)
    builder.download_and_prepare(download_mode=download_mode, verification_mode=verification_mode, num_proc=num_proc)
    if keep_in_memory is None:
        keep_in_memory = is_small_dataset(builder.info.dataset_size)
    return cast(Any, builder.as_dataset(split=split, in_memory=keep_in_memory))
