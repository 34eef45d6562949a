import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mnist1d_hf.publishing.layout import CONFIGURATIONS, published_config

TYPES = {"cr:Float32": pa.float32(), "cr:Int64": pa.int64()}


@pytest.fixture(scope="module")
def description(staged):
    return json.loads((staged / "croissant.json").read_text())


def test_the_form_is_that_of_the_standard(description):
    assert description["@type"] == "sc:Dataset"
    assert description["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    context = description["@context"]
    assert context["@vocab"] == "https://schema.org/"
    prefixes = {"sc", "cr", "dct", "rai"}
    assert prefixes <= set(context)
    nodes = [*description["distribution"], *description["recordSet"]]
    fields = [field for record_set in description["recordSet"] for field in record_set["field"]]
    kinds = [node["@type"] for node in (*nodes, *fields)]
    assert {kind.partition(":")[0] for kind in kinds} <= prefixes
    identifiers = [node["@id"] for node in (*nodes, *fields)]
    assert len(set(identifiers)) == len(identifiers)
    for key in ("name", "description", "license", "url", "version", "creator", "citeAs"):
        assert description[key]


def test_every_parquet_file_is_described_with_its_checksum(staged, description):
    paths = {str(path.relative_to(staged)) for path in staged.rglob("*.parquet")}
    assert {node["@id"] for node in description["distribution"]} == paths
    for node in description["distribution"]:
        data = (staged / node["@id"]).read_bytes()
        assert node["sha256"] == hashlib.sha256(data).hexdigest()
        assert node["contentSize"] == f"{len(data)} B"
        assert node["contentUrl"] == f"{description['url']}/resolve/main/{node['@id']}"
        assert node["encodingFormat"] == "application/x-parquet"


def test_every_split_is_a_record_set_with_the_columns_of_its_file(staged, description):
    splits = [f"{name}/{split}" for name in CONFIGURATIONS for split in published_config(name).split_sizes]
    assert [record_set["@id"] for record_set in description["recordSet"]] == splits
    for record_set in description["recordSet"]:
        (path,) = {field["source"]["fileObject"]["@id"] for field in record_set["field"]}
        schema = pq.read_schema(staged / path)
        assert path.startswith(f"{record_set['@id']}-")
        assert [field["source"]["extract"]["column"] for field in record_set["field"]] == schema.names
        for field, column in zip(record_set["field"], schema, strict=True):
            kind = TYPES[field["dataType"]]
            shape = field.get("arrayShape")
            assert column.type == (pa.list_(kind, int(shape)) if field.get("isArray") else kind)
        assert record_set["description"] == f"{pq.read_metadata(staged / path).num_rows} samples."
