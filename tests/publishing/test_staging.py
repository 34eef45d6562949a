import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import datasets
import matplotlib
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import mnist1d_hf
from mnist1d_hf.data.checksums import CHECKSUMS, measure
from mnist1d_hf.export.folder import verify_folder
from mnist1d_hf.models.catalog import RESULTS, folder_of
from mnist1d_hf.publishing import layout
from mnist1d_hf.publishing.staging import stage_data, stage_dataset, stage_model

DATASET = "NAMESPACE/mnist1d"


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_the_same_inputs_give_the_same_bytes(staged, staged_model, tmp_path):
    assert contents(stage_dataset("again", DATASET)) == contents(staged)
    assert contents(stage_model("cnn", "model", f"{DATASET}-cnn", DATASET, fresh=2000)) == contents(staged_model)
    assert sorted(os.listdir(tmp_path)) == ["again", "model"]


def test_every_configuration_loads_with_the_builders_rows_and_features(staged, cache):
    assert sorted(datasets.get_dataset_config_names(str(staged))) == sorted(layout.CONFIGURATIONS)
    for name in layout.CONFIGURATIONS:
        arguments = {"num_samples": layout.STREAM_SAMPLES} if name == "stream" else {}
        made = mnist1d_hf.load_dataset(name, cache_dir=cache, **arguments)
        loaded = datasets.load_dataset(str(staged), name, cache_dir=cache)
        assert loaded.num_rows == made.num_rows
        for split, rows in made.items():
            assert loaded[split].features == rows.features
            for published, own in zip(mnist1d_hf.to_numpy(loaded[split]), mnist1d_hf.to_numpy(rows), strict=True):
                np.testing.assert_array_equal(published, own)


def test_every_configuration_streams(staged):
    for name in layout.CONFIGURATIONS:
        for split in layout.published_config(name).split_sizes:
            rows = datasets.load_dataset(str(staged), name, split=split, streaming=True)
            first = next(iter(rows))
            assert len(first["x"]) == 40
            assert rows.features["label"].int2str(first["label"]) == str(first["label"])


def test_the_metadata_have_the_features_in_the_words_that_older_releases_read(staged):
    """`list` is what datasets 5 writes; datasets 3.6 reads it without the length, and `sequence` with it."""
    text = (staged / "README.md").read_text()
    assert text.count("sequence: float32\n    length: 40\n") == len(layout.CONFIGURATIONS)
    assert "list:" not in text.partition("\n---\n")[0]


def test_parquet_has_no_metadata_of_the_library(staged):
    for path in staged.rglob("*.parquet"):
        schema = pq.read_schema(path)
        assert not schema.metadata
        assert schema.field("x").type.list_size == 40


def arrays(staged, name, split="train"):
    table = pq.read_table(staged / layout.data_path(name, split))
    return table["x"].combine_chunks().flatten().to_numpy().reshape(-1, 40), table["label"].to_numpy()


def test_the_files_hold_the_published_numbers(staged):
    for name, expected in CHECKSUMS.items():
        assert measure({split: arrays(staged, name, split) for split in expected}) == expected
    x, label = arrays(staged, "stream")
    expected = mnist1d_hf.sample(range(layout.STREAM_SAMPLES), seed=layout.STREAM_SEED)
    np.testing.assert_array_equal(x, expected[0])
    np.testing.assert_array_equal(label, expected[1])


def test_what_the_card_says_about_the_configurations_is_so(staged):
    x, label = arrays(staged, "default")
    shuffled, same = arrays(staged, "shuffled")
    np.testing.assert_array_equal(label, same)
    order = [int(np.abs(x - column[:, None]).max(0).argmin()) for column in shuffled.T]
    assert sorted(order) == list(range(40))
    np.testing.assert_allclose(shuffled, x[:, order], atol=1e-6)

    clean, same = arrays(staged, "noise-free")
    np.testing.assert_array_equal(label, same)
    own = np.array([np.corrcoef(*pair)[0, 1] for pair in zip(x, clean, strict=True)])
    other = np.array([np.corrcoef(*pair)[0, 1] for pair in zip(x, np.roll(clean, 1, 0), strict=True)])
    assert own.mean() > 0.7 > 3 * abs(other.mean())


def test_the_repeated_samples_are_the_same_signals(staged):
    """Signals that differ by the standardisation only are equal once each has its own mean and deviation."""

    def plain(x):
        return ((x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)).astype(np.float64)

    test, label = arrays(staged, "default", "test")
    train, _ = arrays(staged, "large-40k")
    near = (plain(test) @ plain(train).T / 40).max(1) > 1 - 1e-6
    classes = ", ".join(map(str, sorted(set(label[near]))))
    assert (
        f"{near.sum()} of the\n  1,000 test samples of `default` (class {classes})"
        in (staged / "README.md").read_text()
    )


def test_the_checksums_fit(staged, staged_model):
    assert verify_folder(staged) == len(contents(staged)) - 1
    assert verify_folder(staged_model) == len(contents(staged_model)) - 1
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=staged, check=True, capture_output=True)


def test_a_model_has_the_packages_weights_results_and_code(staged_model):
    source = folder_of("cnn")
    assert layout.RESULTS == RESULTS
    for name in ("model.safetensors", "results.json"):
        assert (staged_model / name).read_bytes() == (source / name).read_bytes()
    for name, copied in layout.MODEL_CODE.items():
        assert (staged_model / copied).read_bytes() == (source.parents[1] / name).read_bytes()
    ours, theirs = (json.loads((folder / "config.json").read_text()) for folder in (staged_model, source))
    assert {key: ours[key] for key in theirs} == theirs
    assert set(ours) - set(theirs) == {"auto_map", "custom_pipelines"}


def test_a_model_loads_without_this_package_and_gives_the_same_logits(staged_model, tmp_path):
    x, _ = mnist1d_hf.sample(range(64), seed=9)
    signals = torch.from_numpy(x)
    torch.save(signals, tmp_path / "x.pt")
    code = f"""
        import sys
        sys.modules["mnist1d_hf"] = None
        import torch
        from transformers import AutoConfig, AutoModelForSequenceClassification, pipeline
        folder = {str(staged_model)!r}
        model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
        assert AutoConfig.from_pretrained(folder, trust_remote_code=True).architecture == "cnn"
        x = torch.load("x.pt")
        torch.save(model(x).logits.detach(), "logits.pt")
        classify = pipeline("signal-classification", model=folder, trust_remote_code=True)
        labels = [answer[0]["label"] for answer in classify(x)]
        assert labels == [str(int(n)) for n in model(x).logits.argmax(-1)], labels
    """
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = mnist1d_hf.load_pretrained("cnn")(signals).logits
    assert torch.equal(torch.load(tmp_path / "logits.pt"), expected)


def test_a_shuffled_model_is_not_read_on_fresh_samples():
    folder = stage_model("logistic-shuffled", "out", f"{DATASET}-logistic-shuffled", DATASET)
    text = (folder / "README.md").read_text()
    assert "fresh samples" not in text
    assert "**Anything but `shuffled`.**" in text


def test_weights_that_do_not_give_the_recorded_accuracy_are_not_staged(monkeypatch, tmp_path):
    from mnist1d_hf.models import catalog

    recorded = catalog.results("logistic")
    recorded["released"]["test"] += 0.001
    monkeypatch.setattr(catalog, "results", lambda _: recorded)
    with pytest.raises(OSError, match=r"logistic: expected the recorded accuracy 0.31\d* on the test split of default"):
        stage_model("logistic", "out", f"{DATASET}-logistic", DATASET)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["mnist1d", "a/b/c", "/mnist1d", "a b/c", "a/b--c", "a/b.git", "a/é", "", 3])
def test_a_name_that_the_hub_would_not_take(name, tmp_path):
    with pytest.raises(
        (ValueError, TypeError), match=r"repo id: expected NAMESPACE/NAME in letters, digits, .*, found"
    ):
        stage_dataset("out", name)
    assert os.listdir(tmp_path) == []


def test_a_baseline_that_does_not_exist():
    with pytest.raises(ValueError, match="unknown baseline 'cn': did you mean 'cnn'"):
        stage_model("cn", "out", f"{DATASET}-cn", DATASET)


def test_only_a_staged_folder_is_replaced(tmp_path):
    Path("out").mkdir()
    Path("out", "notes.txt").write_text("mine")
    with pytest.raises(OSError, match="out: not a folder made by mnist1d-hf publish, so it is not overwritten"):
        stage_data("out", "default")
    assert contents("out") == {"notes.txt": b"mine"}
    assert contents(stage_data("new", "default")) == contents(stage_data("new", "default"))
    Path("new", "notes.txt").write_text("mine")
    with pytest.raises(OSError, match=r"new: holds notes.txt, which no publish made, so it is not overwritten"):
        stage_data("new", "default")
    assert sorted(os.listdir(tmp_path)) == ["new", "out"]


def test_a_full_disk_leaves_the_old_folder_and_one_clear_error(tmp_path):
    stage_data("out", "noise-free")
    before = contents("out")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # bytes of a file: the first one is larger
        with pytest.raises(OSError, match=r"out: cannot be written: .*nothing was kept") as raised:
            stage_dataset("out", DATASET)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert "\n" not in str(raised.value)
    assert contents("out") == before
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("old", [True, False])
def test_a_killed_staging_leaves_the_old_folder_or_none(tmp_path, old):
    if old:
        stage_data("out", "noise-free")
    before = contents("out")
    code = """
        import time
        import mnist1d_hf.publishing.draft
        from mnist1d_hf.publishing.staging import stage_data

        def wait(path):
            print(".", flush=True)
            time.sleep(60)

        mnist1d_hf.publishing.draft._sync = wait
        stage_data("out", "default")
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b".\n"  # everything is written, and nothing has the name yet
        process.kill()
    assert contents("out") == before
    assert any("incomplete" in name for name in os.listdir(tmp_path))
    stage_data("out", "default")  # the next one clears up
    assert os.listdir(tmp_path) == ["out"]


def test_the_folder_of_the_repository_is_the_staged_card(staged, repository):
    """dataset_card/ shows what is published; the sizes of files depend on the release of pyarrow."""

    def plain(text):
        lines = text.splitlines()
        return [line for line in lines if "download_size" not in line and "MB |" not in line]

    kept = repository / "dataset_card"
    remedy = "make it again: scripts/update_dataset_card.py"
    assert plain((kept / "README.md").read_text()) == plain((staged / "README.md").read_text()), remedy
    assert {str(path.relative_to(kept)) for path in kept.rglob("*.png")} == {*layout.FIGURES, layout.BASELINES}, remedy
    version = f"Matplotlib version{matplotlib.__version__}".encode()
    for name in (*layout.FIGURES, layout.BASELINES):
        drawn = (kept / name).read_bytes()
        if version in drawn.replace(b"\0", b""):
            assert drawn == (staged / name).read_bytes(), remedy


def test_the_wheel_has_what_staging_needs(repository, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(repository / "mnist1d_hf", source / "mnist1d_hf", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(repository / name, source / name)
    code = "import setuptools.build_meta as b; print(b.build_wheel('..'))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=source, capture_output=True, text=True, check=True
    )
    names = zipfile.ZipFile(tmp_path / done.stdout.split()[-1]).namelist()
    for path in (repository / "mnist1d_hf" / "publishing").rglob("*.*"):
        if "__pycache__" not in str(path):
            assert str(path.relative_to(repository)) in names
    assert "mnist1d_hf/publishing/templates/dataset.md" in names
    assert "mnist1d_hf/models/pretrained/cnn/results.json" in names
