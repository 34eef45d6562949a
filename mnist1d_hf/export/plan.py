"""Which rows of a stream go into which Parquet file, and the bytes of such a file."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mnist1d_hf.data.config import GeneratorConfig, check_integer
from mnist1d_hf.data.ranges import block_ranges
from mnist1d_hf.data.schema import EXTRAS, Mnist1dBuilderConfig, stream_table
from mnist1d_hf.data.stream import BLOCK, VALUES_VERSION
from mnist1d_hf.errors import InvalidValueError, OutputError
from mnist1d_hf.export.folder import PLAN
from mnist1d_hf.processes import Report

_SHARD_BLOCKS = 512  # blocks of a shard, about: 262,144 samples, 39 MB
_GROUP_ROWS = 128 * BLOCK


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """Which rows of which stream go into which file.

    >>> plan = ShardPlan.of(Mnist1dBuilderConfig.resolve("stream", {"num_samples": 2000}), 2)
    >>> plan.names(), plan.ranges()
    (['data/train-00000-of-00002.parquet', 'data/train-00001-of-00002.parquet'], [(0, 1024), (1024, 2000)])
    """

    config: Mnist1dBuilderConfig
    num_shards: int

    @classmethod
    def of(cls, config: Mnist1dBuilderConfig, num_shards: Any = None) -> ShardPlan:
        """A plan for a part of a stream.

        Args:
            config: from `Mnist1dBuilderConfig.resolve("stream", ...)`, with a number of samples.
            num_shards: files, 1 .. number of blocks (512 samples each); None for about 262,144 samples each.

        Raises:
            InvalidTypeError, InvalidValueError: no number of samples; a bad number of shards.
        """
        if config.rows is None or config.rows.num_samples is None:
            raise InvalidValueError("num_samples: the stream has no end; say how many samples you want")
        blocks = -(-config.rows.num_samples // BLOCK)
        count = _usual_number(blocks) if num_shards is None else check_integer("num_shards", num_shards, 1)
        if count > blocks:
            raise InvalidValueError(
                f"num_shards: expected at most the number of blocks ({BLOCK} samples each), {blocks}, found {count}"
            )
        return cls(config, count)

    def names(self) -> list[str]:
        """The files, in order."""
        return [f"data/train-{number:05d}-of-{self.num_shards:05d}.parquet" for number in range(self.num_shards)]

    def ranges(self) -> list[tuple[int, int]]:
        """The rows of each file: whole blocks."""
        return block_ranges(sum(self.config.split_sizes.values()), self.num_shards)

    def rows(self) -> list[int]:
        """The number of rows of each file."""
        return [stop - start for start, stop in self.ranges()]

    def settings(self) -> dict[str, Any]:
        """All that decides the bytes of the shards."""
        assert self.config.rows is not None
        generator = {name: getattr(self.config.generator, name) for name in _SHAPING}
        numbers = {**self.config.rows._asdict(), "num_shards": self.num_shards}
        return common_settings(self.config, numbers, generator, VALUES_VERSION)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> ShardPlan:
        """The plan whose `settings` these are.

        Raises:
            OutputError: they are of no plan, or of values or a pyarrow that are not the present ones.
        """
        with checked_settings(settings, VALUES_VERSION) as templates:
            generator = GeneratorConfig(**{name: settings[name] for name in _SHAPING})
            columns = {"latents": settings["latents"]} | {name: settings[name] for name in EXTRAS if name in settings}
            config = Mnist1dBuilderConfig.for_stream(
                generator, settings["seed"], settings["num_samples"], templates, **columns
            )
            return cls.of(config, settings["num_shards"])

    def make(self, number: int, report: Report) -> bytes:
        """The bytes of a file; `report` is called with the number of samples just made."""
        return make_shard(self, number, report)


def common_settings(
    config: Mnist1dBuilderConfig, numbers: Mapping[str, Any], generator: Mapping[str, Any], values: Any
) -> dict[str, Any]:
    """The content of build.json; what is special to a kind of plan comes in the middle."""
    templates = config.templates
    return {
        "configuration": config.name,
        **numbers,
        "latents": config.latents,
        **config.extras,
        **generator,
        "templates": None if templates is None else {key: array.tolist() for key, array in templates.items()},
        "values": values,
        "pyarrow": pa.__version__,
    }


@contextlib.contextmanager
def checked_settings(settings: Mapping[str, Any], values: Any) -> Iterator[dict[str, Any] | None]:
    """The templates of build.json, for a block that makes a plan of the rest.

    Raises:
        OutputError: the block finds an error in the settings, or they are of other values or another pyarrow.
    """
    for name, present in (("values", values), ("pyarrow", pa.__version__)):
        if settings.get(name) != present:
            raise OutputError(f"{PLAN}: written with {name} {settings.get(name)}, this is {name} {present}")
    try:
        templates = settings["templates"]
        yield None if templates is None else {key: np.asarray(array) for key, array in templates.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise OutputError(f"{PLAN}: expected the arguments of a build ({error})") from None


_SHAPING = tuple(
    field.name
    for field in dataclasses.fields(GeneratorConfig)
    if field.name not in ("num_samples", "train_split", "seed")
)


def _usual_number(blocks: int) -> int:
    """So many shards that each has about 512 blocks, and that 2, 4, 5, 8 or 10 workers get equal numbers of them."""
    needed = -(-blocks // _SHARD_BLOCKS)
    return next((count for count in (1, 2, 4, 8, 20) if count >= needed), -(-needed // 40) * 40)


def make_shard(plan: ShardPlan, number: int, report: Report = lambda _: None) -> bytes:
    """The Parquet file of a shard. The same plan and number give the same bytes."""
    start, stop = plan.ranges()[number]
    schema = plan.config.features.arrow_schema.remove_metadata()
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=["label"]) as writer:
        for first in range(start, stop, _GROUP_ROWS):
            tables = []
            for part in range(first, min(first + _GROUP_ROWS, stop), BLOCK):
                tables.append(stream_table(plan.config, part, min(part + BLOCK, stop)))
                report(len(tables[-1]))
            writer.write_table(pa.concat_tables(tables).select(schema.names).cast(schema), row_group_size=_GROUP_ROWS)
    return sink.getvalue().to_pybytes()
