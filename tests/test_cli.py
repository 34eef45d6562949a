import subprocess
import sys
from pathlib import Path

import pytest

from mnist1d_hf import cli
from mnist1d_hf.data.checksums import CHECKSUMS
from mnist1d_hf.data.configurations import CONFIGURATIONS, EXACT


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mnist1d-hf", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return call


def test_info_shows_everything(run):
    code, out, _ = run("info")
    assert code == 0
    for name in CONFIGURATIONS:
        assert name in out
    for columns in CHECKSUMS.values():
        assert columns["train"]["x"] in out
    assert "max_translation" in out
    code, out, _ = run("info", "shuffled")
    assert code == 0
    assert "large-40k" not in out


def test_verify_checks_configurations_and_folders(run):
    code, out, _ = run("verify", "default", "custom")
    assert (code, out.count("bit for bit as expected")) == (0, 2)
    assert run("build", "-o", "out", "--num-samples", 100)[0] == 0
    code, out, _ = run("verify", "out")
    assert (code, out) == (0, "out: 3 files as they were built\n")


def test_verify_can_fail(run, monkeypatch):
    monkeypatch.setitem(CHECKSUMS, "default", CHECKSUMS["shuffled"])
    code, _, errors = run("verify", "default")
    assert code == 2
    assert errors.startswith("mnist1d-hf: default: train x: expected c94aded3")


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


@pytest.mark.parametrize("kind", ["overview", "samples", "templates", "class-means", "pca", "transformations"])
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot_draws_every_kind(run, kind, ending, tmp_path):
    files = []
    for name in ("a", "b"):
        assert run("plot", kind, "--output", f"{name}.{ending}")[0] == 0
        files.append((tmp_path / f"{name}.{ending}").read_bytes())
    assert files[0] == files[1]
    assert files[0].startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    assert len(files[0]) > 5000


def test_plot_follows_its_options(run, tmp_path):
    drawings = set()
    for options in ([], ["--seed", 3], ["--config", "noise-free"], ["--label", 5]):
        assert run("plot", "transformations", "-o", "a.svg", *options)[0] == 0
        drawings.add((tmp_path / "a.svg").read_bytes())
    assert len(drawings) == 4


def test_demo_loads_checks_and_draws(run, tmp_path):
    for _ in range(2):
        code, out, errors = run("demo", "--output", "out", "--cache-dir", "cache")
        assert code == 0, errors
        for name in EXACT:
            assert name in out
        assert out.count("paper's") == 2
    assert (tmp_path / "out" / "mnist1d.png").stat().st_size > 50_000


def test_demo_fails_when_the_data_are_not_the_papers(run, monkeypatch):
    monkeypatch.setitem(CHECKSUMS, "noise-free", CHECKSUMS["shuffled"])
    code, _, errors = run("demo", "--output", "out", "--cache-dir", "cache")
    assert code == 2
    assert "noise-free: train x: expected" in errors


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
        (["build", "-o", "o", "--train-split", "1.5"], "train_split: expected a share between 0 and 1, found 1.5"),
        (["build", "-o", "o", "--dtype", "int8"], "dtype: expected 'float32' or 'float64', found 'int8'"),
        (["build"], "--output"),
        (["build", "-o", "/dev/null/x"], "cannot be written: Not a directory"),
        (["plot", "sampels"], "unknown figure 'sampels': did you mean 'samples'?"),
        (["plot", "-o", "figure.pdf"], "expected a file name that ends in .png or .svg"),
        (["plot", "-o", "/dev/null/x.png"], "cannot be written"),
        (["plot", "samples", "--label", "3"], "--label goes with transformations"),
        (["plot", "transformations", "--label", "10"], "label: expected 0 to 9, found 10"),
        (["verify", "nothing"], "unknown configuration 'nothing'"),
        (["verify", "."], "no SHA256SUMS there; expected a folder made by mnist1d-hf build"),
        (["info", "defualt"], "did you mean 'default'?"),
        (["demo", "--cache-dir", "/dev/null/x"], "/dev/null/x"),
        (["demo", "-o", "/dev/null/x", "--cache-dir", "c"], "cannot be written"),
        (["bulid"], "bulid"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_person_can_cause_ends_in_one_line(run, arguments, message, tmp_path):
    code, out, errors = run(*arguments)
    assert code == 2
    assert errors.startswith("mnist1d-hf: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert "Traceback" not in errors + out
    assert not (tmp_path / "o").exists()


def test_a_bug_shows_its_traceback(monkeypatch):
    def broken(*_args, **_kwargs):
        raise ValueError("a bug")

    monkeypatch.setattr(cli, "export", broken)
    monkeypatch.setattr(sys, "argv", ["mnist1d-hf", "build", "-o", "o"])
    with pytest.raises(ValueError, match="a bug"):
        cli.main()


@pytest.mark.parametrize("command", [[], ["build"], ["info"], ["verify"], ["plot"], ["demo"]])
def test_help_fits_the_screen_and_has_an_example(run, command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert not command or "Example" in out


def test_installed_command(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "mnist1d_hf.cli", "build", "-c", "nope", "-o", "o"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("mnist1d-hf: unknown configuration 'nope': Allowed: default, ")
    assert not list(tmp_path.iterdir())
