"""The card of a built folder: YAML that tells `datasets` what is where, and a few lines to read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import datasets
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, DatasetCardData

from mnist1d_hf.data.schema import CITATION, HOMEPAGE, LICENSE, Mnist1dBuilderConfig, dataset_info


def folder_card(config: Mnist1dBuilderConfig, sizes: Mapping[str, int] | None = None) -> str:
    """README.md of a folder with Parquet files `data/SPLIT-*.parquet`.

    Args:
        config: what the folder holds.
        sizes: bytes of all files of each split; without them the card does not state any.

    >>> card = folder_card(Mnist1dBuilderConfig.resolve("default", {"seed": 7}), {"train": 1000, "test": 200})
    >>> "num_examples: 4000" in card, "| `seed` | `7` |" in card
    (True, True)
    """
    info = dataset_info(config)
    info.download_size = None if sizes is None else sum(sizes.values())
    metadata = DatasetCardData(license=LICENSE.lower(), pretty_name="MNIST-1D", task_categories=["other"])
    state_infos({"default": info}, metadata)
    files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in info.splits]
    MetadataConfigs({"default": {"data_files": files}}).to_dataset_card_data(metadata)
    arguments = "\n".join(f"| `{name}` | `{value}` |" for name, value in _options(config).items())
    body = f"""# MNIST-1D ({config.name})

{config.description[0].upper()}{config.description[1:]}.
Made by `mnist1d-hf build`; read with `datasets.load_dataset("path/to/this/folder")`.

| argument | value |
|---|---|
{arguments}

The dataset is by Greydanus and Kobak: <{HOMEPAGE}>.

```bibtex
{CITATION}```
"""
    return str(DatasetCard(f"---\n{metadata.to_yaml()}\n---\n\n{body}"))


def state_infos(infos: Mapping[str, datasets.DatasetInfo], metadata: DatasetCardData) -> None:
    """Put what is known of each configuration into the YAML of a card, so that datasets 3.6 reads it, too.

    `list` becomes `sequence`: the same to datasets 4 and 5, while datasets 3 loses the length of a `list`.

    >>> metadata = DatasetCardData()
    >>> state_infos({"default": dataset_info(Mnist1dBuilderConfig())}, metadata)
    >>> metadata["dataset_info"]["features"][0]
    {'name': 'x', 'sequence': 'float32', 'length': 40}
    """
    datasets.info.DatasetInfosDict(infos).to_dataset_card_data(metadata)
    found = metadata["dataset_info"]
    for stated in found if isinstance(found, list) else [found]:
        stated["features"] = [
            {"sequence" if key == "list" else key: value for key, value in feature.items()}
            for feature in stated["features"]
        ]


def _options(config: Mnist1dBuilderConfig) -> dict[str, object]:
    options = {**dataclasses.asdict(config.generator), "dtype": config.dtype, "latents": config.latents}
    if config.rows is not None:
        options |= config.rows._asdict()
        del options["train_split"]
    return options
