"""`mnist1d-hf train` and `evaluate`: what they print, what they write, and what they refuse."""

import dataclasses
import re
import shutil
import subprocess
import sys
import warnings

import pytest
from transformers.utils import logging

from mnist1d_hf import Mnist1dForSequenceClassification, cli, list_pretrained
from mnist1d_hf.models.catalog import FOLDER, results
from mnist1d_hf.training.tables import bayes_results


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
    assert "excess loss" in done.stdout
    assert "recall, %" in done.stdout
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_evaluate_says_what_is_recorded(call):
    entry = next(entry for entry in list_pretrained() if entry.name == "cnn-shuffled")
    done = call("evaluate", "cnn-shuffled")
    assert f"{100 * entry.released_accuracy:.2f} %" in done.stdout
    assert "fresh" not in done.stdout
    assert done.stderr == "no fresh samples: the permutation of shuffled belongs to its dataset\n"


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
        (("evaluate", "bayse"), "unknown baseline 'bayse': did you mean 'bayes'?"),
        (("evaluate", "bayes", "--config", "nose-free"), "did you mean 'noise-free'?"),
        (("train", "bayes", "-o", "x"), "unknown recipe 'bayes'"),
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


def other_output(folder, **config):
    """A copy of the logistic baseline for signals of 39 points, or for another number of classes."""
    logistic = Mnist1dForSequenceClassification.from_pretrained(FOLDER / "logistic", **config)
    logistic.save_pretrained(folder)
    return folder


def test_signals_are_made_of_the_length_that_a_network_takes(call, tmp_path):
    folder = other_output(tmp_path / "long", sequence_length=60, ignore_mismatched_sizes=True)
    done = call("evaluate", folder, "--fresh", "500")
    assert done.returncode == 0, done.stderr
    assert "test split of default with 60 points" in done.stdout
    best = re.search(r"accuracy of bayes +([\d.]+) % +([\d.]+) %", done.stdout)
    assert min(float(value) for value in best.groups()) > 99


def test_networks_for_other_classes(call, tmp_path):
    three = other_output(tmp_path / "three", num_labels=3, ignore_mismatched_sizes=True)
    refused(call("evaluate", three, "--fresh", "0"), "three: tells 3 classes apart, default has 10")
    twelve = other_output(tmp_path / "twelve", num_labels=12, ignore_mismatched_sizes=True)
    done = call("evaluate", twelve, "--fresh", "0")
    assert done.returncode == 0, done.stderr
    assert "excess loss" in done.stdout


def numbers(line):
    return [float(value) for value in re.findall(r"-?\d+\.\d+", line)]


def test_evaluate_stands_beside_bayes(call):
    """Without noise the class is certain: the Bayes loss is 0, and the loss is the excess."""
    done = call("evaluate", "cnn", "--config", "noise-free", "--fresh", "500")
    assert done.returncode == 0, done.stderr
    lines = {line.strip().split("  ")[0]: numbers(line) for line in done.stdout.splitlines() if numbers(line)}
    assert lines["Bayes loss"] == [0, 0]
    assert lines["accuracy of bayes"] == [100, 100]
    losses = [lines[name][-1] for name in ("test split of noise-free", "500 fresh samples")]
    assert lines["excess loss"] == pytest.approx(losses, abs=2e-4)
    assert lines["KL divergence"] == pytest.approx(losses, abs=2e-4)
    assert "-0.0000" not in done.stdout


def test_evaluate_bayes(call, tmp_path):
    done = call("evaluate", "bayes", "--config", "shuffled", "--figure", tmp_path / "confusion.svg")
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if "test split of shuffled" in line)
    recorded = bayes_results()["test"]  # the same signals in another order
    accuracy, _, _, loss, expected = numbers(row)
    assert accuracy == 100
    assert loss == pytest.approx(recorded["loss"], abs=1e-4)
    assert expected == pytest.approx(100 * recorded["expected_accuracy"], abs=1e-3)
    assert "fresh" not in done.stdout
    assert "excess loss" not in done.stdout
    assert (tmp_path / "confusion.svg").read_text().startswith("<?xml")


def test_a_folder_called_bayes_wins(call, tmp_path):
    shutil.copytree(FOLDER / "logistic", tmp_path / "bayes")  # the folder where every test starts
    done = call("evaluate", "bayes", "--fresh", "0")
    assert f"{100 * results('logistic')['released']['test']:.2f} %" in done.stdout
    assert "excess loss" in done.stdout


def test_an_old_name_gives_one_line(call):
    with pytest.warns(FutureWarning, match="'ceiling' is now called 'resnet-stream'"):
        done = call("evaluate", "ceiling", "--fresh", "0")
    assert done.returncode == 0
    assert done.stdout.startswith("resnet-stream")
    printed = warnings.formatwarning(FutureWarning("a\nb"), FutureWarning, "file.py", 1)
    assert printed == "mnist1d-hf: a b\n"  # how the command prints it
