"""The splits of an exact configuration as Parquet files, one file for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mnist1d_hf.data.config import ARGUMENTS
from mnist1d_hf.data.generator import Generated, generate
from mnist1d_hf.data.schema import EXTRAS, VERSION, Mnist1dBuilderConfig, to_table
from mnist1d_hf.export.plan import checked_settings, common_settings
from mnist1d_hf.files import write_file
from mnist1d_hf.processes import Report


@dataclasses.dataclass
class SplitPlan:
    """The files of an exact configuration; `config` is from `Mnist1dBuilderConfig.resolve`.

    >>> plan = SplitPlan(Mnist1dBuilderConfig.resolve("default", {"seed": 7}))
    >>> plan.names(), plan.rows()
    (['data/train-00000-of-00001.parquet', 'data/test-00000-of-00001.parquet'], [4000, 1000])
    """

    config: Mnist1dBuilderConfig
    _made: Generated | None = dataclasses.field(default=None, repr=False)

    def names(self) -> list[str]:
        """The files, in order."""
        return [f"data/{_file_name(split)}" for split in self.config.split_sizes]

    def rows(self) -> list[int]:
        """The number of rows of each file."""
        return list(self.config.split_sizes.values())

    def settings(self) -> dict[str, Any]:
        """All that decides the bytes of the files."""
        generator = {name: getattr(self.config.generator, name) for name in ARGUMENTS}
        return common_settings(self.config, {"dtype": self.config.dtype}, generator, str(VERSION))

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> SplitPlan:
        """The plan whose `settings` these are.

        Raises:
            OutputError: they are of no plan, or of values or a pyarrow that are not the present ones.
        """
        with checked_settings(settings, str(VERSION)) as templates:
            arguments = {name: settings[name] for name in (*ARGUMENTS, "dtype", "latents")}
            arguments |= {name: settings[name] for name in EXTRAS if name in settings}
            return cls(Mnist1dBuilderConfig.resolve(settings["configuration"], {**arguments, "templates": templates}))

    def make(self, number: int, report: Report) -> bytes:
        """The bytes of a file. The first call generates all splits.

        What takes the time reports the number of samples: the generation, or the posteriors.
        """
        config = self.config
        if self._made is None:
            generated = None if config.posterior else report
            self._made = generate(config.generator, config.templates, generated, clean=config.clean)
        return _split_file(self._made, config, number, report if config.posterior else lambda _: None)


def write_splits(made: Generated, config: Mnist1dBuilderConfig, folder: Path) -> dict[str, int]:
    """Write one Parquet file for each split of `made`. Returns the number of bytes of each."""
    sizes = {}
    for number, split in enumerate(config.split_sizes):
        data = _split_file(made, config, number, lambda _: None)
        write_file(folder / _file_name(split), data)
        sizes[split] = len(data)
    return sizes


def _file_name(split: str) -> str:
    return f"{split}-00000-of-00001.parquet"


def _split_file(made: Generated, config: Mnist1dBuilderConfig, number: int, report: Report) -> bytes:
    sizes = list(config.split_sizes.values())
    start, stop = sum(sizes[:number]), sum(sizes[: number + 1])
    tables = []
    for first in range(start, stop, config.table_rows):
        tables.append(to_table(made, config, first, min(first + config.table_rows, stop)))
        report(len(tables[-1]))
    # Without the library's own schema metadata, which older releases of datasets cannot read.
    schema = config.features.arrow_schema.remove_metadata()
    table = pa.concat_tables(tables).combine_chunks().select(schema.names).cast(schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=["label"])  # signals never repeat a number
    return sink.getvalue().to_pybytes()
