"""A description of the dataset for programs: Croissant 1.1, JSON-LD (https://docs.mlcommons.org/croissant/)."""

from __future__ import annotations

from typing import Any

from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.schema import CITATION, DESCRIPTION, HOMEPAGE, VERSION
from mnist1d_hf.publishing.facts import DatasetFacts, SplitFacts

_PARQUET = "application/x-parquet"
# The standard's own context.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        key: f"cr:{key}"
        for key in (
            *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject"),
            *("fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5"),
            *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate"),
            *("separator", "source", "subField", "transform"),
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "sc": "https://schema.org/",
}


def croissant(facts: DatasetFacts) -> dict[str, Any]:
    """The description: every Parquet file with its checksum, and a record set with its columns for each."""
    home = f"https://huggingface.co/datasets/{facts.repo_id}"
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": "mnist1d",
        "description": DESCRIPTION,
        "citeAs": CITATION,
        "creator": [{"@type": "sc:Person", "name": name} for name in ("Sam Greydanus", "Dmitry Kobak")],
        "keywords": ["synthetic", "signals", "classification", "education"],
        "license": "https://www.apache.org/licenses/LICENSE-2.0",
        "url": home,
        "sameAs": HOMEPAGE,
        "version": str(VERSION),
        "distribution": [_file(item, home) for item in facts.splits],
        "recordSet": [_records(item) for item in facts.splits],
    }


def _name(item: SplitFacts) -> str:
    return f"{item.configuration}/{item.split}"


def _file(item: SplitFacts, home: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": item.path,
        "name": item.path,
        "description": f"The {item.split} split of the configuration {item.configuration}.",
        "contentUrl": f"{home}/resolve/main/{item.path}",
        "contentSize": f"{item.size} B",
        "encodingFormat": _PARQUET,
        "sha256": item.sha256,
    }


def _records(item: SplitFacts) -> dict[str, Any]:
    length = GeneratorConfig().final_seq_length
    signal = _field(item, "x", "cr:Float32", f"The signal: {length} numbers.")
    label = _field(item, "label", "cr:Int64", "The class, 0 to 9.")
    return {
        "@type": "cr:RecordSet",
        "@id": _name(item),
        "name": _name(item),
        "description": f"{item.rows} samples.",
        "field": [{**signal, "isArray": True, "arrayShape": str(length)}, label],
    }


def _field(item: SplitFacts, column: str, kind: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{_name(item)}/{column}",
        "name": column,
        "description": description,
        "dataType": kind,
        "source": {"fileObject": {"@id": item.path}, "extract": {"column": column}},
    }
