import io
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mnist1d_hf.publishing.cards import merge_card
from mnist1d_hf.publishing.check_dataset import check_dataset
from mnist1d_hf.publishing.check_model import check_model
from mnist1d_hf.publishing.checking import CheckError

TEST = "default/test-00000-of-00001.parquet"


def problems(check, copy, sign=True):
    """All that the check finds; the checksum file fits what is there, unless that is what is tested."""
    if sign:
        copy.sign()
    with pytest.raises(CheckError) as raised:
        check(copy.folder)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(str(copy.folder))
    return raised.value.problems


def test_what_is_staged_passes(staged, staged_model):
    assert check_dataset(staged) == 18
    assert check_model(staged_model) == 10


class TestDataset:
    """Each check is provoked by the one change that it is for."""

    def test_keys_of_a_maintainer_are_welcome(self, dataset):
        dataset.write("README.md", merge_card(dataset.read(), "---\nviewer: false\n---\n"))
        dataset.sign()
        assert check_dataset(dataset.folder) == 18

    @pytest.mark.parametrize(
        ("old", "new", "problem"),
        [
            (
                "num_examples: 4000",
                "num_examples: 4001",
                r"default\.splits\[0\]\.num_examples: expected 4000, found 4001",
            ),
            (
                "num_bytes: 672000",
                "num_bytes: 1",
                r"dataset_info\.default\.splits\[0\]\.num_bytes: expected 672000, found 1",
            ),
            ("download_size: ", "download_size: 9", r"dataset_info\.default\.download_size: expected \d+, found 9\d+"),
            ("sequence: float32", "sequence: float64", r"features\[0\]\.sequence: expected float32, found float64"),
            ("length: 40", "length: 41", r"features\[0\]\.length: expected 40, found 41"),
            ("'9': '9'", "'9': nine", r"class_label\.names\.9: expected 9, found nine"),
            (
                "  - split: test\n    path: default/test-00000-of-00001.parquet\n",
                "",
                r"configs\.default\.data_files: expected .*'test'.*, found",
            ),
            (
                "path: stream/train",
                "path: stream/tain",
                r"configs\.stream\.data_files\[0\]\.path: expected stream/train",
            ),
            ("100K<n<1M", "1K<n<10K", r"size_categories\[0\]: expected 100K<n<1M, found 1K<n<10K"),
            ("license: apache-2.0", "license: mit", "license: expected apache-2.0, found mit"),
            ("license: apache-2.0", "license: [", "expected YAML at the top, found what does not parse"),
            ("license: apache-2.0", "license: mit\nlicense: mit", "the key 'license' stands twice"),
        ],
    )
    def test_metadata_that_do_not_match_the_data(self, dataset, old, new, problem):
        dataset.replace(old, new)
        (found,) = problems(check_dataset, dataset)
        assert found.startswith("README.md: ")
        assert re.search(problem, found), found

    def test_a_configuration_that_is_missing_and_one_too_many(self, dataset):
        dataset.replace("- config_name: shuffled\n  data_files", "- config_name: mixed\n  data_files")
        missing, strange = problems(check_dataset, dataset)
        assert missing.startswith("README.md: configs.shuffled: expected {")
        assert missing.endswith("found nothing")
        assert strange.startswith("README.md: configs.mixed: expected nothing, found {")

    def test_a_missing_file_is_named(self, dataset):
        dataset.remove(TEST)
        found = problems(check_dataset, dataset)
        assert f"{TEST}: is missing" in found
        assert any(line.startswith("README.md: dataset_info.default.splits") for line in found)
        assert any(line.startswith("croissant.json: distribution") for line in found)

    def test_a_missing_figure_is_named_twice(self, dataset):
        dataset.remove("figures/pca.png")
        assert problems(check_dataset, dataset) == [
            "figures/pca.png: is missing",
            "README.md: link figures/pca.png: there is no such file beside the card",
        ]

    def test_an_altered_file(self, dataset):
        data = bytearray((dataset.folder / TEST).read_bytes())
        data[1000] ^= 1
        dataset.write(TEST, bytes(data))
        found = problems(check_dataset, dataset, sign=False)
        assert found[0].startswith(f"{TEST}: is damaged: expected SHA-256 ")

    def rewrite(self, dataset, change):
        table = change(pq.read_table(dataset.folder / TEST))
        sink = io.BytesIO()
        pq.write_table(table, sink)
        dataset.write(TEST, sink.getvalue())

    def test_altered_numbers_under_fitting_checksums(self, dataset):
        def change(table):
            label = table["label"].to_numpy().copy()
            label[[0, 1]] = label[[1, 0]] if label[0] != label[1] else (label[0] + 1) % 10
            return table.set_column(1, "label", pa.array(label))

        self.rewrite(dataset, change)
        found = problems(check_dataset, dataset)
        assert any(line.startswith(f"{TEST}: test label: expected 8de99be3") for line in found), found
        assert any(line.startswith("croissant.json: distribution[1].sha256: expected") for line in found)

    def test_a_row_less(self, dataset):
        self.rewrite(dataset, lambda table: table.slice(1))
        assert f"{TEST}: expected 1,000 rows, found 999" in problems(check_dataset, dataset)

    def test_other_columns(self, dataset):
        def change(table):
            label = pa.array(table["label"].to_numpy().astype(np.int32))
            return table.set_column(1, "label", label)

        self.rewrite(dataset, change)
        found = problems(check_dataset, dataset)[0]
        assert found == (
            f"{TEST}: expected the columns x fixed_size_list<element: float>[40], label int64; "
            "found x fixed_size_list<element: float>[40], label int32"
        )

    def test_metadata_of_the_library_in_the_schema(self, dataset):
        self.rewrite(dataset, lambda table: table.replace_schema_metadata({"huggingface": "{}"}))
        assert f"{TEST}: expected no metadata in the schema, found b'huggingface'" in problems(check_dataset, dataset)

    def test_what_is_no_parquet(self, dataset):
        dataset.write(TEST, "text")
        assert any(line.startswith(f"{TEST}: expected a Parquet file") for line in problems(check_dataset, dataset))

    def test_a_description_that_does_not_match(self, dataset):
        description = json.loads(dataset.read("croissant.json"))
        description["recordSet"][0]["field"][0]["arrayShape"] = "39"
        dataset.write("croissant.json", json.dumps(description))
        (found,) = problems(check_dataset, dataset)
        assert found == "croissant.json: recordSet[0].field[0].arrayShape: expected 40, found 39"
        dataset.write("croissant.json", "{")
        assert any(line.startswith("croissant.json: expected JSON") for line in problems(check_dataset, dataset))

    @pytest.mark.parametrize(
        ("secret", "kind"),
        [
            ("hf" + "_" + "aB3" * 12, "token of the Hub"),
            ("AKIA" + "ABCDEFGH12345678", "key of AWS"),
            ("ghp" + "_" + "a1" * 18, "token of GitHub"),
            ("-----BEGIN RSA " + "PRIVATE KEY-----", "private key"),
            ("https://user:" + "pass1234@example.org", "password in a URL"),
        ],
    )
    def test_a_secret_is_found_and_not_repeated(self, dataset, secret, kind):
        dataset.write("SOURCE.md", f"one\n{secret}\n")
        found = problems(check_dataset, dataset)
        assert f"SOURCE.md: line 2: expected no secret, found what looks like a {kind}" in found
        assert not any(secret in line for line in found)

    @pytest.mark.parametrize("path", ["/home/someone/data", "C:\\Users\\someone", "/tmp/run-3"])
    def test_a_path_of_a_machine(self, dataset, path):
        dataset.write("README.md", f"{dataset.read()}\nSee {path}.\n")
        (found,) = problems(check_dataset, dataset)
        assert "expected no path of a machine, found" in found

    def test_sizes(self, dataset):
        dataset.write("figures/pca.png", b"\0" * 1_000_001)
        dataset.write("figures/overview.png", b"")
        dataset.write("weights.bin", b"1")
        assert problems(check_dataset, dataset) == [
            "weights.bin: expected no such file; remove it",
            "figures/overview.png: expected 1 to 1,000,000 bytes, found 0",
            "figures/pca.png: expected 1 to 1,000,000 bytes, found 1,000,001",
            "weights.bin: expected a file of a known kind: .parquet, .safetensors, SHA256SUMS, .md, .json, .py, .yaml, "
            ".png",
        ]

    def test_parquet_that_is_larger_than_its_numbers(self, dataset):
        data = (dataset.folder / TEST).read_bytes()
        footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        dataset.write(TEST, data[:footer] + b"\0" * 400_000 + data[footer:])  # bytes that no reader looks at
        assert pq.read_table(dataset.folder / TEST).num_rows == 1000
        assert f"{TEST}: expected 1 to 233,536 bytes, found 550,047" in problems(check_dataset, dataset)

    @pytest.mark.parametrize(
        ("target", "problem"),
        [
            ("/figures/pca.png", "expected a path beside the card, found an absolute one"),
            ("figures/tsne.png", "there is no such file beside the card"),
            ("../README.md", "there is no such file beside the card"),
            ("https://example.org/x", "not one of the known addresses"),
            ("https://arxiv.org/abs/2011.144390", "not one of the known addresses"),
            ("https://huggingface.co/datasets/other/mnist1d", "not one of the known addresses"),
            ("http://github.com/greydanus/mnist1d", "not one of the known addresses"),
            ("#nowhere", "expected a heading of the card: "),
        ],
    )
    def test_links(self, dataset, target, problem):
        dataset.write("README.md", f"{dataset.read()}\n[there]({target})\n")
        (found,) = problems(check_dataset, dataset)
        assert found.startswith(f"README.md: link {target}: {problem}")

    def test_a_bare_address_is_a_link(self, dataset):
        dataset.write("README.md", f"{dataset.read()}\nSee https://example.org/x.\n")
        assert problems(check_dataset, dataset) == [
            "README.md: link https://example.org/x.: not one of the known addresses"
        ]

    def test_a_foreign_file(self, dataset):
        dataset.write("notes.md", "mine")
        found = problems(check_dataset, dataset, sign=False)
        assert found == [
            "notes.md: expected in SHA256SUMS, found no line for it",
            "notes.md: expected no such file; remove it",
        ]
        dataset.write("default/extra-00000-of-00001.parquet", (dataset.folder / TEST).read_bytes())
        dataset.remove("notes.md")
        assert problems(check_dataset, dataset) == [
            "default/extra-00000-of-00001.parquet: expected no such file; remove it"
        ]

    def test_no_checksums_and_no_folder(self, dataset):
        dataset.remove("SHA256SUMS")
        assert problems(check_dataset, dataset, sign=False)[0].startswith("no SHA256SUMS there")
        with pytest.raises(CheckError, match="nowhere: expected a staged folder, found none"):
            check_dataset("nowhere")

    def test_all_problems_are_told_at_once(self, dataset):
        dataset.replace("num_examples: 4000", "num_examples: 4001")
        dataset.remove("figures/templates.png")
        dataset.write("README.md", f"{dataset.read()}\n[there](https://example.org)\n")
        found = problems(check_dataset, dataset)
        assert len(found) == 4
        with pytest.raises(
            CheckError, match=r"4 problems: .*templates.png: is missing; .*num_examples.*; .*example.org"
        ):
            check_dataset(dataset.folder)


class TestModel:
    """The same for a baseline's folder."""

    @pytest.mark.parametrize(
        ("name", "old", "new", "problem"),
        [
            (
                "modeling_mnist1d.py",
                "import torch",
                "import torch ",
                ": expected the bytes of mnist1d_hf/models/modeling_mnist1d.py, found others",
            ),
            (
                "config.json",
                '"configuration_mnist1d.Mnist1dConfig"',
                '"configuration.Mnist1dConfig"',
                ": AutoConfig: expected a class of a file beside it, found configuration.Mnist1dConfig",
            ),
            (
                "config.json",
                "pipeline_mnist1d.SignalClassificationPipeline",
                "pipeline_mnist1d.Pipeline",
                ": pipeline: expected a class of a file beside it, found pipeline_mnist1d.Pipeline",
            ),
            ("README.md", "value: 0.95\n", "value: 0.96\n", ": model-index: [0]: expected 0.95, found 0.96"),
            ("README.md", "value: 0.93401\n", "value: 0.94\n", ": model-index: [1]: expected 0.93401, found 0.94"),
            (
                "README.md",
                "config: default",
                "config: shuffled",
                ": model-index: config: expected default, found shuffled",
            ),
            (
                "README.md",
                "- name: mnist1d-cnn\n",
                "- name: cnn\n",
                ": expected a snippet that loads .../cnn, found NAMESPACE/mnist1d-cnn",
            ),
            (".eval_results/mnist1d.yaml", "value: 0.95", "value: 0.951", ": value: expected 0.95, found 0.951"),
            (
                "README.md",
                "figures/confusion.png",
                "figures/errors.png",
                ": link figures/errors.png: there is no such file beside the card",
            ),
        ],
    )
    def test_what_does_not_fit(self, model, name, old, new, problem):
        model.replace(old, new, name)
        assert problems(check_model, model) == [f"{name}{problem}"]

    def test_results_of_another_network(self, model):
        model.replace('"parameters": 5210', '"parameters": 5211', "results.json")
        (found,) = problems(check_model, model)
        assert found == "model.safetensors: expected 5,211 parameters, as results.json has it, found 5,210"

    def test_missing_and_damaged_files(self, model):
        model.remove("configuration_mnist1d.py")
        model.write("model.safetensors", b"\x08")
        found = problems(check_model, model)
        assert "configuration_mnist1d.py: is missing" in found
        assert any(line.startswith("model.safetensors: expected safetensors") for line in found)
        assert any(line.startswith("config.json: AutoConfig: expected a class of a file beside it") for line in found)

    def test_weights_that_are_larger_than_they_should_be(self, model):
        model.write("model.safetensors", (model.folder / "model.safetensors").read_bytes() + b"\0" * 100_000)
        assert any("model.safetensors: expected 1 to 86,376 bytes" in line for line in problems(check_model, model))

    def test_no_index(self, model):
        model.replace("model-index:", "model-list:")
        (found,) = problems(check_model, model)
        assert found.startswith("README.md: expected datasets and model-index in the YAML, found datasets, ")

    def test_damaged_eval_results(self, model):
        model.write(".eval_results/mnist1d.yaml", "- value: 1\n")
        (found,) = problems(check_model, model)
        assert found.startswith(".eval_results/mnist1d.yaml: expected one entry with dataset and value")
