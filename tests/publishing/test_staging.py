import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mnist1d_hf import GeneratorConfig, posterior, standardization
from mnist1d_hf.models import catalog
from mnist1d_hf.models.catalog import folder_of
from mnist1d_hf.publishing import staging
from mnist1d_hf.publishing.repositories import (
    BASELINES,
    CONFIGURATIONS,
    FIGURES,
    MODEL_CODE,
    dataset_repository,
    model_repositories,
    space_repository,
)
from mnist1d_hf.publishing.staging import check, stage
from tests.faults import full_disk
from tests.publishing.conftest import POSTERIORS
from tests.publishing.folders import contents, sign, snippets

DATASET = dataset_repository("user/mnist1d")
(CNN, LOGISTIC, SHUFFLED) = model_repositories("user", ["cnn", "logistic", "logistic-shuffled"])
SPACE = space_repository("user/mnist1d-playground")


def test_the_same_inputs_give_the_same_bytes(staged, staged_model, tmp_path):
    staging.write_data(tmp_path / "data", ("default",), print)
    for path, data in contents(tmp_path / "data").items():
        assert (staged / path).read_bytes() == data
    assert contents(stage(CNN, "again", fresh=2000)) == contents(staged_model)
    assert sorted(os.listdir(tmp_path)) == ["again", "data"]


def test_older_releases_can_read_it(staged):
    """datasets 3.6 loses the length of a `list` in the metadata, and reads no schema with metadata of datasets 5."""
    text = (staged / "README.md").read_text()
    assert text.count("sequence: float32\n    length: 40\n") == len(CONFIGURATIONS)
    assert "list:" not in text.partition("\n---\n")[0]
    for path in staged.rglob("*.parquet"):
        assert not pq.read_schema(path).metadata
        assert pq.read_schema(path).field("x").type.list_size == 40


def test_default_and_the_stream_carry_the_posterior(staged):
    """Of each row, as accurate as float32; no other configuration has the column."""
    config = GeneratorConfig()
    tables = {path.parent.name: pq.read_table(path) for path in sorted(staged.rglob("*.parquet"))}  # of default: train
    assert {name for name, table in tables.items() if "posterior" in table.column_names} == {"default", "stream"}
    for name, scale in (("default", standardization(config)), ("stream", None)):
        rows = tables[name].slice(0, POSTERIORS)
        assert rows.column_names == ["x", "label", "posterior"]
        x, found = (np.array(rows[column].to_pylist(), dtype="f4") for column in ("x", "posterior"))
        np.testing.assert_allclose(found, posterior(x, config, standardization=scale), atol=1e-7)


def test_the_repeated_samples_are_the_same_signals(staged):
    """The card warns of them: the same but for the two numbers that they were standardised with."""

    def signals(path):
        table = pq.read_table(staged / path)
        x = table["x"].combine_chunks().flatten().to_numpy().reshape(-1, 40)
        unit = np.round((x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True), 3) + 0.0
        return [(label, row.tobytes()) for label, row in zip(table["label"].to_pylist(), unit, strict=True)]

    known = set(signals("large-40k/train-00000-of-00001.parquet"))
    found = [label for label, row in signals("default/test-00000-of-00001.parquet") if (label, row) in known]
    card = (staged / "README.md").read_text()
    said = re.search(r"numbers: (\d+) of the\s+1,000 test samples of `default` \(class ([\d, ]+)\)", card)
    assert said[2] == ", ".join(map(str, sorted(set(found))))
    assert len(found) > 0.9 * int(said[1])  # rounding parts a few


def test_a_model_has_the_packages_weights_results_and_code(staged_model):
    source = folder_of("cnn")
    for name in ("model.safetensors", "results.json"):
        assert (staged_model / name).read_bytes() == (source / name).read_bytes()
    for name in MODEL_CODE:
        assert (staged_model / name).read_bytes() == (source.parents[1] / name).read_bytes()


def test_a_shuffled_model_is_not_evaluated_on_fresh_samples(everything):
    text = (everything.folder / "mnist1d-logistic-shuffled" / "README.md").read_text()
    assert "fresh samples" not in text
    assert "**Anything but `shuffled`.**" in text


def test_weights_that_do_not_give_the_recorded_accuracy_are_not_staged(monkeypatch, tmp_path):
    recorded = catalog.results("logistic")
    recorded["released"]["test"] += 0.001
    monkeypatch.setattr(catalog, "results", lambda _: recorded)
    with pytest.raises(OSError, match=r"logistic: expected the recorded accuracy 0.31\d* on the test split of default"):
        stage(LOGISTIC, "out")
    assert os.listdir(tmp_path) == []


# The folder appears whole or not at all, and never costs anybody's files


def test_only_a_staged_folder_is_replaced(tmp_path):
    first = contents(stage(LOGISTIC, "out", fresh=0))
    assert contents(stage(LOGISTIC, "out", fresh=0)) == first
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(OSError, match=r"out: holds notes\.txt, which no publish made, so it is not replaced"):
        stage(LOGISTIC, "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    with pytest.raises(OSError, match="mine: not a folder made by mnist1d-hf publish, so it is not replaced"):
        stage(LOGISTIC, "mine")
    assert (tmp_path / "mine" / "file").read_text() == "mine"


@pytest.mark.parametrize("fault", ["interrupt", "disk"])
def test_what_stops_a_staging_leaves_the_old_folder(tmp_path, fault):
    old = contents(stage(LOGISTIC, "out", fresh=0))
    if fault == "interrupt":

        def interrupt(step):
            if step == "card":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            stage(LOGISTIC, "out", interrupt, fresh=0)
    else:
        message = "out: cannot be written: File too large; nothing was kept"
        with full_disk(4096), pytest.raises(OSError, match=message):
            stage(LOGISTIC, "out", fresh=0)
    assert contents(tmp_path / "out") == old
    assert os.listdir(tmp_path) == ["out"]


# The check


TEST = "test-00000-of-00001.parquet"


def linked(folder, copy):
    """The files of a folder under another name; a test that changes one makes a new file."""
    return Path(shutil.copytree(folder, copy, copy_function=os.link))


def edited(folder, old, new):
    path = folder / "README.md"
    text = path.read_text()
    assert old in text
    path.unlink()
    path.write_text(text.replace(old, new, 1))


def appended(path):
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data + b"\n")


def other_rows(path):
    table = pq.read_table(path)
    path.unlink()
    pq.write_table(pa.concat_tables([table.slice(1), table.slice(0, 1)]), path)


def other_type(path):
    table = pq.read_table(path)
    path.unlink()
    pq.write_table(table.set_column(1, "label", table["label"].cast(pa.int32())), path)


def other_weights(path):
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-400] + bytes(400))


BROKEN = {  # what -> how to break which folder, and what is said of it; the checksums of the files fit the change
    "other rows": (DATASET, lambda f: other_rows(f / f"shuffled/{TEST}"), "shuffled: test x:"),
    "other type": (DATASET, lambda f: other_type(f / f"default/{TEST}"), "README.md: dataset_info of default"),
    "rows in the card": (
        DATASET,
        lambda f: edited(f, "num_examples: 40000", "num_examples: 40001"),
        "large-40k: does not",
    ),
    "sizes in the card": (
        DATASET,
        lambda f: edited(f, "dataset_size: 840000", "dataset_size: 84000"),
        "dataset_info of",
    ),
    "a path in the card": (DATASET, lambda f: edited(f, "path: stream/", "path: stream/*/"), "stream: does not load"),
    "no YAML": (DATASET, lambda f: edited(f, "---\n", "---\n[\n"), "while parsing"),
    "no card": (CNN, lambda f: (f / "README.md").unlink(), "README.md"),
    "other weights": (CNN, lambda f: other_weights(f / "model.safetensors"), "expected the recorded accuracy 0.95"),
    "other page": (SPACE, lambda f: appended(f / "app.js"), "app.js is damaged"),
    "no SDK": (SPACE, lambda f: edited(f, "sdk: static", "sdk: gradio"), "sdk: expected 'static', found 'gradio'"),
    "no page": (SPACE, lambda f: (f / "index.html").unlink(), "index.html is missing"),
    "accuracy in the card": (CNN, lambda f: edited(f, "value: 0.95", "value: 0.96"), "model-index"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", BROKEN)
def test_a_folder_that_is_not_good_is_found(staged, staged_model, staged_space, tmp_path, what):
    repository, break_it, message = BROKEN[what]
    source = {DATASET: staged, CNN: staged_model, SPACE: staged_space}[repository]
    folder = linked(source, tmp_path / "folder")
    break_it(folder)
    sign(folder)
    with pytest.raises(OSError, match=r"stage it again$") as raised:
        check(repository, folder)
    assert message in str(raised.value)


def test_every_file_that_does_not_fit_its_checksum_is_named(staged_model, tmp_path):
    folder = linked(staged_model, tmp_path / "folder")
    edited(folder, "cnn", "cNn")
    (folder / "config.json").unlink()
    (folder / "notes.md").write_text("")
    with pytest.raises(OSError, match=r"3 problems: .*stage it again$") as raised:
        check(CNN, folder)
    for problem in ("README.md is damaged", "config.json is missing", "notes.md: expected in SHA256SUMS"):
        assert problem in str(raised.value)


@pytest.mark.filterwarnings("ignore")
def test_the_snippets_that_use_this_package_run(staged, staged_model):
    """Those for readers without it are run against a Hub, by test_cli_publish.py."""
    chosen = [code for folder in (staged, staged_model) for code in snippets(folder) if "import mnist1d_hf" in code]
    assert len(chosen) == 2
    for code in chosen:
        exec(compile(code, "snippet", "exec"), {"__name__": "snippet"})


# What stands in the repository


def test_the_folder_of_the_repository_is_the_staged_card(staged, repository):
    """dataset_card/ shows what is published; the sizes of files depend on the release of pyarrow."""

    def plain(text):
        lines = text.replace("NAMESPACE/", "user/").splitlines()
        return [line for line in lines if not re.search(r"download_size|[kM]B \|", line)]

    kept = repository / "dataset_card"
    remedy = "make it again: scripts/update_dataset_card.py"
    assert plain((kept / "README.md").read_text()) == plain((staged / "README.md").read_text()), remedy
    assert {str(path.relative_to(kept)) for path in kept.rglob("*.png")} == {*FIGURES, BASELINES}, remedy
    version = f"Matplotlib version{matplotlib.__version__}".encode()
    for name in (*FIGURES, BASELINES):
        drawn = (kept / name).read_bytes()
        if version in drawn.replace(b"\0", b""):
            assert drawn == (staged / name).read_bytes(), remedy


def test_the_wheel_has_what_staging_needs(repository, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(repository / "mnist1d_hf", source / "mnist1d_hf", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(repository / name, source / name)
    code = "import setuptools.build_meta as b; print(b.build_wheel('..'))"
    arguments = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(arguments, cwd=source, capture_output=True, text=True, check=True)
    names = zipfile.ZipFile(tmp_path / done.stdout.split()[-1]).namelist()
    assert "mnist1d_hf/publishing/templates/dataset.md" in names
    assert "mnist1d_hf/models/pretrained/cnn/results.json" in names
    assert "mnist1d_hf/training/bayes.json" in names
    assert "mnist1d_hf/playground/index.html" in names
