"""`mnist1d-hf train` and `evaluate`: what they print, what they write, and what they refuse."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
from transformers.utils import logging

from mnist1d_hf import Mnist1dForSequenceClassification, cli, list_pretrained
from mnist1d_hf.models.catalog import FOLDER, results


@dataclasses.dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def call(monkeypatch, capfd):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mnist1d-hf", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Done(ended.value.code, *capfd.readouterr())

    yield run
    logging.enable_progress_bar()  # what `evaluate` switches off in its own process
    logging.set_verbosity_warning()


def refused(done, message):
    assert done.returncode == 2, done.stderr
    assert message in " ".join(done.stderr.split())
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_train_then_evaluate(call, tmp_path):
    folder = tmp_path / "logistic"
    done = call("train", "logistic", "--seeds", "3,5", "--output", folder, "--num-proc", "2")
    assert done.returncode == 0, done.stderr
    mean = float(re.search(r"([\d.]+) ± [\d.]+ % on the test split over 2 seeds", done.stdout).group(1))
    recorded = {row["seed"]: row["test"] for row in results("logistic")["members"]}
    assert mean == pytest.approx(100 * (recorded[3] + recorded[5]) / 2, abs=0.3)
    assert sum(value.numel() for value in Mnist1dForSequenceClassification.from_pretrained(folder).parameters()) == 410

    again = call("train", "logistic", "--seeds", "3,5", "--output", folder)  # finished: read, not trained again
    assert f"{mean:.2f}" in again.stdout

    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    refused(
        call("train", "logistic", "--seeds", "7", "--output", folder),
        "belongs to other settings (seeds is 3,5 there and 7 here)",
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    figure = tmp_path / "confusion.png"
    done = call("evaluate", folder, "--fresh", "2000", "--figure", figure)
    assert done.returncode == 0, done.stderr
    assert "test split of default" in done.stdout
    assert "2,000 fresh samples" in done.stdout
    assert "recall, %" in done.stdout
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_evaluate_says_what_is_recorded(call):
    entry = next(entry for entry in list_pretrained() if entry.name == "cnn-shuffled")
    done = call("evaluate", "cnn-shuffled")
    assert f"{100 * entry.released_accuracy:.2f} %" in done.stdout
    assert "fresh" not in done.stdout  # the permutation belongs to the dataset's seed


def test_a_process_of_its_own_prints_one_line():
    """As the shell sees it: nothing that a library says at import or loading stands beside the message."""
    command = [sys.executable, "-m", "mnist1d_hf.cli", "evaluate", "cnn", "--config", "nose-free"]
    refused(subprocess.run(command, capture_output=True, text=True, check=False), "did you mean 'noise-free'?")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "cmn", "-o", "x"), "unknown recipe 'cmn': did you mean 'cnn'?"),
        (("train", "cnn", "-o", "x", "--seeds", "0,0"), "seeds: expected each once, found 0 several times"),
        (
            ("train", "cnn", "-o", "x", "--seeds", "five"),
            "seeds: expected FIRST:END or numbers with commas, found 'five'",
        ),
        (("train", "cnn", "-o", "x", "--seeds", "5:5"), "seeds: expected at least one"),
        (("train", "cnn", "-o", "x", "--seeds=-1"), "seeds: expected an integer from 0 to 4294967295, found -1"),
        (("train", "cnn", "-o", "x", "--num-proc", "0"), "num_proc: expected an integer of at least 1, found 0"),
        (("evaluate", "cmn"), "unknown baseline 'cmn': did you mean 'cnn'?"),
        (("evaluate", "."), "no config.json; give a folder that save_pretrained"),
        (("evaluate", "cnn", "--fresh", "-1"), "fresh: expected at least 0, found -1"),
        (("evaluate", "cnn", "--config", "nose-free"), "did you mean 'noise-free'?"),
        (("evaluate", "cnn", "--fresh", "0", "--figure", "x.pdf"), "expected a file name that ends in .png or .svg"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_arguments_end_in_one_line(call, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(call(*arguments), message)
    assert not any(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", lambda data: data[:50], "no model of this package can be read"),
        ("config.json", lambda data: data.replace(b'"cnn"', b'"cnm"'), "expected one of logistic"),
        ("config.json", lambda data: data.replace(b"25,", b"24,"), "weights"),
        ("model.safetensors", lambda data: data[:-10], "model.safetensors is damaged"),
    ],
    ids=["truncated", "unknown", "other widths", "short"],
)
def test_damaged_folders_end_in_one_line(call, file, change, message, tmp_path):
    folder = shutil.copytree(FOLDER / "cnn", tmp_path / "cnn")
    (folder / file).write_bytes(change((folder / file).read_bytes()))
    refused(call("evaluate", folder), message)


def test_signals_of_another_length_are_refused(call, tmp_path):
    folder = shutil.copytree(FOLDER / "logistic", tmp_path / "short")
    config = json.loads((folder / "config.json").read_text()) | {"sequence_length": 39}
    (folder / "config.json").write_text(json.dumps(config))
    weights = Mnist1dForSequenceClassification.from_pretrained(FOLDER / "logistic").state_dict()
    weights["network.output.weight"] = weights["network.output.weight"][:, :39].contiguous()
    (folder / "model.safetensors").write_bytes(safetensors.torch.save(weights, {"format": "pt"}))
    refused(call("evaluate", folder), "takes signals of 39 points, default has 40")
    assert np.prod(weights["network.output.weight"].shape) == 390
