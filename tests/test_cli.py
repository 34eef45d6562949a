"""The commands that need no extra: info, build, verify, and what the command line does by itself."""

import io
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import datasets
import pytest

import mnist1d_hf
from mnist1d_hf import GeneratorConfig, cli, load_dataset
from mnist1d_hf.data import describe
from mnist1d_hf.data.builder import Mnist1d
from mnist1d_hf.data.checksums import expected_checksums
from mnist1d_hf.data.configurations import CONFIGURATIONS, EXACT, Configuration
from mnist1d_hf.data.schema import OPTIONS


def test_info_shows_everything(run):
    code, out, _ = run("info")
    assert code == 0
    for name in CONFIGURATIONS:
        assert name in out
    for name in EXACT:
        assert expected_checksums(name)["train"]["x"] in out
    assert all(f"  {option}  " in out for option in OPTIONS)
    code, out, _ = run("info", "shuffled")
    assert code == 0
    assert "large-40k" not in out
    assert "validation" not in run("info", "stream")[1]


def test_verify_checks_configurations_and_folders(run):
    code, out, _ = run("verify", "default", "custom")
    assert (code, out.count("bit for bit as expected")) == (0, 2)
    assert run("build", "-o", "out", "--num-samples", 100)[0] == 0
    code, out, _ = run("verify", "out")
    assert (code, out) == (0, "out: 4 files as they were built\n")


def test_verify_can_fail(run, monkeypatch):
    wrong = CONFIGURATIONS["default"]._replace(checksums=expected_checksums("shuffled"))
    monkeypatch.setitem(CONFIGURATIONS, "default", wrong)
    code, _, errors = run("verify", "default")
    assert code == 2
    assert errors.startswith("mnist1d-hf: default: train x: expected c94aded3")


def test_a_configuration_is_one_entry(run, monkeypatch, cache):
    """Added without checksums it works everywhere, and no other one's cache moves."""

    def places():
        return [Mnist1d(config_name=name, cache_dir=cache).cache_dir for name in EXACT]

    before = places()
    tiny = Configuration("tiny", GeneratorConfig(num_samples=100, seed=3), "a small one")
    monkeypatch.setitem(CONFIGURATIONS, "tiny", tiny)
    assert places() == before
    code, out, _ = run("info", "tiny")
    assert (code, "a small one" in out) == (0, True)
    code, out, _ = run("verify", "tiny")
    assert (code, out) == (0, "tiny: not verified, no checksums are recorded for it\n")
    assert run("verify")[1].splitlines()[-1].startswith("tiny: not verified")
    assert "(tiny)" in run("build", "--config", "tiny", "-o", "out")[1]
    assert datasets.load_dataset("mnist1d", "tiny", cache_dir=cache).num_rows == {"train": 80, "test": 20}
    assert load_dataset(num_samples=100, seed=3, cache_dir=cache)["train"].info.config_name == "tiny"


def test_build_takes_every_argument(run):
    code, out, errors = run(
        *("build", "--config", "shuffled", "--output", "out", "--num-samples", 200, "--train-split", 0.5),
        *("--template-len", 13, "--padding", 30, 50, "--scale-coeff", 0.1, "--max-translation", 20),
        *("--corr-noise-scale", 0.1, "--iid-noise-scale", 0.01, "--shear-scale", 0.2, "--no-shuffle-seq"),
        *("--final-seq-length", 32, "--seed", 9, "--dtype", "float64", "--latents"),
    )
    assert code == 0, errors
    assert "100 train and 100 test samples" in out
    card = Path("out/README.md").read_text()
    for text in ("`(30, 50)`", "`13`", "`0.5`", "length: 32", "float64", "| `shuffle_seq` | `False` |", "name: shear"):
        assert text in card


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "-o", "o", "--config", "shufled"], "unknown configuration 'shufled': did you mean 'shuffled'?"),
        (["build", "-o", "o", "--sed", "3"], "--sed"),
        (["build", "-o", "o", "--seed", "x"], "--seed"),
        (["build", "-o", "o", "--seed", "-1"], "seed: expected an integer from 0 to 4294967295, found -1"),
        (["build", "-o", "o", "--padding", "9", "3"], "found (9, 3); swap them"),
        (["build", "-o", "o", "--scale-coeff", "nan"], "scale_coeff: expected a finite number"),
        (["build", "-o", "o", "--num-samples", "5"], "num_samples: expected at least one for each of the 10 classes"),
        (
            ["build", "-o", "o", "--train-split", "1.5"],
            "train_split: expected a fraction above 0 and up to 1, found 1.5",
        ),
        (["build", "-o", "o", "--label-nois", "0.1"], "--label-noise"),
        (["build", "-o", "o", "--label-noise", "1.5"], "label_noise: expected a fraction from 0 to 1, found 1.5"),
        (["build", "-o", "o", "--validation", "1"], "validation: expected a fraction from 0 to below 1, found 1.0"),
        (["build", "-o", "o", "--num-train", "5"], "num_train + num_test: expected a multiple of the 10 classes"),
        (["build", "-o", "o", "--dtype", "int8"], "dtype: expected 'float32' or 'float64', found 'int8'"),
        (["build"], "--output"),
        (["build", "-o", "/dev/null/x"], "cannot be written: Not a directory"),
        (["verify", "nothing"], "unknown configuration 'nothing'"),
        (["verify", "."], "no SHA256SUMS there; expected a folder made by mnist1d-hf build"),
        (["info", "defualt"], "did you mean 'default'?"),
        (["bulid"], "bulid"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_user_can_cause_ends_in_one_line(run, arguments, message, tmp_path):
    code, out, errors = run(*arguments)
    assert code == 2
    assert errors.startswith("mnist1d-hf: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert "Traceback" not in errors + out
    assert not (tmp_path / "o").exists()


def test_a_bug_shows_its_traceback(monkeypatch):
    def broken(_):
        raise ValueError("a bug")

    monkeypatch.setattr(describe, "configuration_row", broken)
    monkeypatch.setattr(sys, "argv", ["mnist1d-hf", "info"])
    with pytest.raises(ValueError, match="a bug"):
        cli.main()


@pytest.mark.parametrize("command", [[], ["build"], ["info"], ["verify"], ["plot"], ["demo"]])
def test_help_fits_the_screen_and_has_an_example(run, command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert not command or "Example" in out


def test_version_and_no_command(run):
    assert run("--version") == (0, f"mnist1d-hf {mnist1d_hf.__version__}\n", "")
    code, out, errors = run()
    assert (code, out) == (2, "")
    assert errors == run("--help")[1]


def test_shell_completion(run, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")  # the tests may run without a shell
    code, out, _ = run("--show-completion", "bash")
    assert (code, "complete -o default -F _mnist1d_hf_completion mnist1d-hf" in out) == (0, True)
    monkeypatch.setenv("_MNIST1D_HF_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "mnist1d-hf ver")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert run()[:2] == (0, "verify\n")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_every_character_is_printed_in_any_encoding(encoding, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, for rich: it draws the progress bar
    for arguments, shown in ((["info"], "inf"), (["info", "--help"], "Usage"), (["verify", "default"], "5,000")):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        monkeypatch.setattr(sys, "argv", ["mnist1d-hf", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        streams[0].flush()
        assert shown in streams[0].buffer.getvalue().decode(encoding)


COMMANDS = """
    import contextlib, importlib, importlib.machinery, io, json, sys
    missing, find = json.loads(sys.argv[1]), importlib.machinery.PathFinder.find_spec
    hidden = lambda name, *rest: None if name in missing else find(name, *rest)  # as if they were not installed
    importlib.machinery.PathFinder.find_spec = hidden
    import mnist1d_hf
    from mnist1d_hf import load_dataset, make_dataset, sample, stream, to_numpy, to_torch
    from mnist1d_hf import cli, compat

    def lines(*arguments):
        sys.argv = ["mnist1d-hf", *arguments]
        with contextlib.redirect_stderr(io.StringIO()) as errors, contextlib.redirect_stdout(io.StringIO()):
            try:
                cli.main()
            except SystemExit as ended:
                return [ended.code, errors.getvalue()]

    def refusal(action, *arguments):
        try:
            action(*arguments)
        except ImportError as error:
            return f"{type(error).__name__}: {error}"

    rows = load_dataset(num_samples=100, split="test", cache_dir="cache")
    print(rows.num_rows, to_numpy(rows)[0].shape, make_dataset()["x"].shape, sample([3])[0].shape)
    assert set(mnist1d_hf.__all__) <= set(dir(mnist1d_hf))
    good = [["--version"], ["info"], ["build", "-o", "out", "--num-samples", "100"], ["verify", "out", "default"]]
    found = {"good": [lines(*arguments) for arguments in good], "loaded": sorted(sys.modules)}
    print(len(next(iter(stream()))["x"]), compat.get_dataset_args().seed)  # here `datasets` loads torch, if it is there
    if missing:
        from mnist1d_hf import *
        bad = ["plot", "demo", "train cnn -o o", "evaluate cnn", "study pooling", "publish dataset", "publish models"]
        found["bad"] = [lines(*line.split()) for line in bad]
        found["refused"] = [refusal(to_torch, rows), refusal(getattr, mnist1d_hf, "Mnist1dConfig")]
        found["refused"] += [refusal(lambda: mnist1d_hf.load_pretrained("cnn"))]
        for room in ("models", "plots", "training", "studies", "publishing"):
            found["refused"].append(refusal(importlib.import_module, f"mnist1d_hf.{room}"))
    print(json.dumps(found))
"""
HEAVY = ("torch", "transformers", "matplotlib")


@pytest.mark.parametrize("missing", [(), HEAVY], ids=["as installed", "no extra"])
def test_the_data_need_no_extra_and_the_rest_names_it(missing, tmp_path):
    code = textwrap.dedent(COMMANDS)
    command = [sys.executable, "-W", "error", "-c", code, json.dumps(missing)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()
    assert (first, second) == ("20 (20, 40) (4000, 40) (1, 40)", "40 42")
    found = json.loads(last)
    assert found["good"] == [[0, ""]] * 4
    if not missing:
        assert not set(HEAVY) & set(found["loaded"])
        return
    for code, line in found["bad"]:
        assert code == 2
        assert line.startswith("mnist1d-hf: this needs ")
        assert line.endswith('pip install "mnist1d_hf[torch]", or from a clone pip install ".[torch]"\n')
        assert line.count("\n") == 1
    assert all(line.startswith("MissingExtraError: this needs ") for line in found["refused"])


def test_installed_command(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "mnist1d_hf.cli", "build", "-c", "nope", "-o", "o"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("mnist1d-hf: unknown configuration 'nope': use one of: default, ")
    assert not list(tmp_path.iterdir())
