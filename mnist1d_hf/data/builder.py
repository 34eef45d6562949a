"""The `datasets` builder: writes what the generator makes as Arrow tables, many rows at a time."""

from __future__ import annotations

import fcntl
import functools
import itertools
import os
import tempfile
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, cast

import datasets
import pyarrow as pa
from datasets.arrow_reader import ReadInstruction
from datasets.builder import Key
from datasets.exceptions import DatasetGenerationError
from datasets.fingerprint import Hasher
from datasets.table import table_cast
from datasets.utils import tqdm as hf_tqdm
from datasets.utils.file_utils import is_remote_url
from datasets.utils.info_utils import is_small_dataset
from datasets.utils.py_utils import map_nested

from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.configurations import CONFIGURATIONS
from mnist1d_hf.data.examples import StreamExamples
from mnist1d_hf.data.generator import Generated, generate
from mnist1d_hf.data.iterable import Stream
from mnist1d_hf.data.ranges import block_ranges, row_ranges
from mnist1d_hf.data.schema import (
    ALGORITHM_HASH,
    DATASET_NAME,
    VERSION,
    Mnist1dBuilderConfig,
    dataset_info,
    stream_table,
    templates_digest,
    to_table,
)
from mnist1d_hf.data.templates import Templates
from mnist1d_hf.errors import InvalidValueError, OutputError

_NUM_SHARDS = 40  # divisible by 1, 2, 4, 5, 8, 10: the usual numbers of workers get equally many
_TABLE_ROWS = Mnist1dBuilderConfig().table_rows  # small datasets stay in one Arrow chunk
_KEPT_BYTES = 256 * 2**20  # of datasets that a process keeps, so that the second split costs nothing
_IN_MEMORY_BYTES = 2**30  # of the largest dataset that is made in memory where the cache cannot be used


class Mnist1d(datasets.ArrowBasedBuilder):
    """Builds MNIST-1D with the exact generator; `datasets.load_dataset("mnist1d", ...)` ends here.

    Columns: `x`, List(float32, length=40) standardised signals; `label`, ClassLabel "0".."9".
    Options: every argument of `GeneratorConfig`; `num_train` and `num_test` instead of `num_samples` and
    `train_split`; `validation` (fraction of the training rows, the last ones, as a split of its own); `dtype`
    ("float32" or "float64"); `latents` (adds the columns `padding`, `translation`, `scale`, `shear`); `clean` (adds the
    column `clean`, the signal without noise); `label_noise` (the fraction of the training labels that is drawn anew;
    adds the column `clean_label`); `posterior` (adds the column `posterior`, the exact probability of every class);
    `templates` (the user's own).

    The cache folder is needed by `download_and_prepare` only. Where it cannot be written or locked, the data are made
    in memory, with one warning.
    """

    VERSION = VERSION
    BUILDER_CONFIG_CLASS = Mnist1dBuilderConfig
    BUILDER_CONFIGS = [Mnist1dBuilderConfig.resolve(name, {}) for name in CONFIGURATIONS]
    DEFAULT_CONFIG_NAME = "default"
    DEFAULT_WRITER_BATCH_SIZE = _TABLE_ROWS

    def __init__(self, cache_dir: Any = None, *args: Any, hash: str | None = ALGORITHM_HASH, **kwargs: Any) -> None:
        # With a URL the library neither makes nor locks a folder here: streams and descriptions need none.
        # A builder made by hand passes no hash; without one, old data would survive a changed algorithm.
        super().__init__("memory://", *args, hash=hash or ALGORITHM_HASH, **kwargs)
        self._cache_dir_root = os.path.expanduser(cache_dir or datasets.config.HF_DATASETS_CACHE)
        self._cache_downloaded_dir = os.path.join(self._cache_dir_root, datasets.config.DOWNLOADED_DATASETS_DIR)
        self._cache_dir = self._output_dir = self._build_cache_dir()
        if self._is_cached():
            self.info = self._load_info()
        self._tables: dict[str, pa.Table] | None = None  # the splits that were made in memory
        self.name = self.info.builder_name = DATASET_NAME  # else the name of this module; model cards show it
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
        return dataset_info(self.config)

    def _is_cached(self) -> bool:
        return os.access(os.path.join(self._cache_dir, datasets.config.DATASET_INFO_FILENAME), os.R_OK)

    def download_and_prepare(
        self, output_dir: str | None = None, download_config: Any = None, download_mode: Any = None, **options: Any
    ) -> None:
        """As the library's; without `output_dir`, data that cannot be written to the cache are made in memory.

        Raises:
            OutputError: the cache cannot be used, and the data are too large for the memory.
            InvalidValueError: exact data are too large for the memory, where they are made.
        """
        self._tables = None
        prepare = functools.partial(super().download_and_prepare, output_dir, download_config, download_mode, **options)
        if output_dir is not None or is_remote_url(self._cache_dir_root):
            prepare()
            return
        try:
            _require_usable(self._cache_dir_root)
            prepare()
        except (OSError, DatasetGenerationError) as error:  # the library raises the second for errors of every kind
            if isinstance(error.__cause__, InvalidValueError):
                raise error.__cause__ from None
            reuse = datasets.DownloadMode.REUSE_DATASET_IF_EXISTS
            if self._is_cached() and datasets.DownloadMode(download_mode or reuse) is reuse:
                self.info = self._load_info()  # a cache that can only be read, and has the data
            else:
                self._prepare_in_memory(_reason(error))

    def _prepare_in_memory(self, reason: str) -> None:
        splits, size = self._split_generators(None), self.info.dataset_size
        trouble = f"the cache folder {self._cache_dir_root} cannot be used ({reason})"
        remedy = "choose another folder with cache_dir=... or the environment variable HF_HOME"
        assert size is not None  # a stream without end does not come this far
        if size > _IN_MEMORY_BYTES:
            raise OutputError(
                f"{trouble}, and {size / 2**30:.1f} GiB are too much for the memory; {remedy}, or read them with "
                "streaming=True"
            )
        self._tables = {
            item.name: pa.concat_tables(table for _, table in self._generate_tables(**item.gen_kwargs))
            for item in splits
        }
        # Its place is this line, so that Python shows it once in a process, however often data are loaded.
        warnings.warn(f"{trouble}: mnist1d was made in memory instead, and nothing was kept; {remedy}", stacklevel=1)

    def as_dataset(self, split: Any = None, in_memory: bool = False) -> Any:
        """The rows that `download_and_prepare` made: all splits, or what `split` says."""
        if self._tables is None:
            return super().as_dataset(split, in_memory)
        chosen = {name: name for name in self._tables} if split is None else split
        found = map_nested(self._rows_in_memory, chosen, map_tuple=True, disable_tqdm=True)
        return datasets.DatasetDict(found) if isinstance(found, dict) else found

    def _rows_in_memory(self, split: Any) -> datasets.Dataset:
        assert self._tables is not None
        text = "+".join(self._tables) if str(split) == "all" else str(split)
        instruction = split if isinstance(split, ReadInstruction) else ReadInstruction.from_spec(text)
        sizes = {name: len(table) for name, table in self._tables.items()}
        parts = [
            self._tables[part.splitname].slice(part.from_, part.to - part.from_)
            for part in instruction.to_absolute(sizes)
        ]
        return datasets.Dataset(
            pa.concat_tables(parts),
            info=self.info,
            split=datasets.Split(text),
            fingerprint=self._get_dataset_fingerprint(text),
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        if self.config.rows is not None:
            streaming = dl_manager is not None and dl_manager.is_streaming
            return [datasets.SplitGenerator("train", {"shards": self._stream_shards(streaming)})]
        edges = [0, *itertools.accumulate(self.config.split_sizes.values())]
        return [
            datasets.SplitGenerator(split, {"shards": row_ranges(start, stop, _NUM_SHARDS)})
            for split, (start, stop) in zip(self.config.split_sizes, itertools.pairwise(edges), strict=True)
        ]

    def _stream_shards(self, streaming: bool) -> list[tuple[int, int]]:
        num_samples = self.config.rows.num_samples
        if num_samples is not None:
            return block_ranges(num_samples, _NUM_SHARDS)
        if streaming:
            return []  # not used: see _get_examples_iterable_for_split
        raise InvalidValueError(
            "num_samples: the stream has no end; say how many samples you want, or load it with streaming=True"
        )

    def _get_examples_iterable_for_split(self, split_generator: datasets.SplitGenerator) -> Any:
        if self.config.rows is not None:
            return StreamExamples(self.config, self.info.features)
        return super()._get_examples_iterable_for_split(split_generator)

    def _as_streaming_dataset_single(self, splits_generator: Any, *args: Any, **kwargs: Any) -> Any:
        if self.config.rows is None:
            return super()._as_streaming_dataset_single(splits_generator, *args, **kwargs)
        examples = self._get_examples_iterable_for_split(splits_generator)
        return Stream(examples, info=self.info, split=splits_generator.name)

    def _generate_tables(self, shards: list[tuple[int, int]]) -> Iterator[tuple[Any, pa.Table]]:
        schema = self.info.features.arrow_schema
        for number, (start, stop) in enumerate(_joined(shards)):
            rows = self.config.table_rows
            for batch, first in enumerate(range(start, stop, rows)):
                table = self._table(first, min(first + rows, stop))
                yield Key(number, batch), table_cast(table.select(schema.names), schema)

    def _table(self, start: int, stop: int) -> pa.Table:
        if self.config.rows is not None:
            return stream_table(self.config, start, stop)
        made = _made(self.config.generator, self.config.templates, self.config.clean)
        return to_table(made, self.config, start, stop)


def _require_usable(folder: str) -> None:
    """Raise OSError where a folder cannot be made, written or locked.

    The locks of `datasets` must not meet a file system without locks: old releases of filelock wait there for ever, new
    ones leave a file behind that stops every later process if this one is killed.
    """
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OSError(error.errno, f"no file locks: {error.strerror}") from error


def _reason(error: BaseException) -> str:
    """What made the cache fail, in one line."""
    while error.__cause__ is not None and not isinstance(error, OSError):
        error = error.__cause__
    lines = str(error).splitlines()  # the whole traceback where another process failed
    return getattr(error, "strerror", None) or next((line for line in lines if "[Errno" in line), " ".join(lines))


def _joined(shards: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Neighbouring ranges as one: a job that has several shards writes them as one Arrow chunk."""
    start, stop = shards[0]
    for following in shards[1:]:
        if following[0] != stop:
            yield start, stop
            start = following[0]
        stop = following[1]
    yield start, stop


def _progress(num_samples: int) -> Any:
    """The library's own progress bar, silent where it would flash by; `datasets.disable_progress_bars` applies."""
    quick = num_samples <= _TABLE_ROWS
    # Without `disable` the library decides; passing None would override its switch.
    return hf_tqdm(total=num_samples, desc="Making samples", unit=" samples", **({"disable": True} if quick else {}))


_kept: OrderedDict[tuple[GeneratorConfig, str, bool], Generated] = OrderedDict()
_kept_lock = threading.Lock()


def _made(generator: GeneratorConfig, templates: Templates | None, clean: bool) -> Generated:
    """The generated dataset, made at most once in a process as long as it is among the recent ones."""
    key = (generator, "" if templates is None else templates_digest(templates), clean)
    with _kept_lock:
        if key not in _kept:
            with _progress(generator.num_samples) as bar:
                _kept[key] = generate(generator, templates, bar.update, clean=clean)
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
    """MNIST-1D: 4,000 training and 1,000 test rows of `x`, 40 numbers in float32, and `label`, an integer 0 to 9.

    The same as `datasets.load_dataset("mnist1d", name, ...)`, without touching that library. A column, `dataset["x"]`,
    is no array: `mnist1d_hf.to_numpy(dataset)` and `to_torch(dataset)` give x (n, 40) and label (n,).

    Args:
        name: one of "default", "noise-free", "large-40k", "shuffled", "custom", "stream".
        split, cache_dir, features, download_mode, verification_mode, keep_in_memory, streaming, num_proc:
            as in `datasets.load_dataset`.
        arguments: any option of `Mnist1d`: the generator's arguments, `validation`, `label_noise`, `posterior`, ...

    Returns:
        `DatasetDict`, or `Dataset` for one split; with `streaming`, their iterable counterparts.
        Columns: `x` List(float32, length=40), float64 with `dtype="float64"`; `label` ClassLabel "0".."9".
        Where the cache folder cannot be written or locked, the rows are in memory only, and a warning says so.

    Raises:
        InvalidValueError, InvalidTypeError: an unknown configuration or argument, or a value out of range.
        OutputError: the cache folder cannot be used, and the data are too large for the memory (1 GiB).

    >>> load_dataset("default", split="test", num_samples=100).num_rows
    20
    """
    builder = Mnist1d(cache_dir=cache_dir, dataset_name=DATASET_NAME, config_name=name, features=features, **arguments)
    if streaming:
        return builder.as_streaming_dataset(split=split)
    builder.download_and_prepare(download_mode=download_mode, verification_mode=verification_mode, num_proc=num_proc)
    if keep_in_memory is None:
        keep_in_memory = is_small_dataset(builder.info.dataset_size)
    return cast(Any, builder.as_dataset(split=split, in_memory=keep_in_memory))
