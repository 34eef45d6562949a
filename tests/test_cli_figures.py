"""The commands that draw: plot and demo."""

import pytest

from mnist1d_hf import GeneratorConfig, posterior, sample
from mnist1d_hf.data.checksums import expected_checksums
from mnist1d_hf.data.configurations import CONFIGURATIONS, FRESH_SEED, Configuration
from mnist1d_hf.plots import KINDS, MISREAD, UNSURE, baseline_predictions


@pytest.mark.parametrize("kind", KINDS)
def test_plot_draws_every_kind(run, kind, tmp_path):
    for name in ("a.svg", "b.svg", "a.png"):
        assert run("plot", kind, "--output", name)[0] == 0
    drawn, again, pixels = ((tmp_path / name).read_bytes() for name in ("a.svg", "b.svg", "a.png"))
    assert drawn == again
    assert drawn.startswith(b"<?xml")
    assert pixels.startswith(b"\x89PNG")
    assert min(len(drawn), len(pixels)) > 5000


def test_the_readings_are_what_their_figure_says():
    assert (posterior(sample(UNSURE, FRESH_SEED)[0]).max(1) < 0.6).all()
    x, label = sample(MISREAD, FRESH_SEED)
    assert (posterior(x)[range(len(x)), label] > 0.99).all()
    assert (baseline_predictions(x) != label).all()


def test_plot_follows_its_options(run, tmp_path):
    drawings = set()
    for options in ([], ["--seed", 3], ["--config", "noise-free"], ["--label", 5]):
        assert run("plot", "transformations", "-o", "a.svg", *options)[0] == 0
        drawings.add((tmp_path / "a.svg").read_bytes())
    assert len(drawings) == 4


def test_demo_loads_checks_and_draws(run, tmp_path, monkeypatch):
    monkeypatch.setitem(CONFIGURATIONS, "tiny", Configuration("tiny", GeneratorConfig(num_samples=100), "no checksums"))
    code, out, errors = run("demo", "--output", "out", "--cache-dir", "cache")
    assert code == 0, errors
    for name in CONFIGURATIONS:
        assert name in out
    assert out.count("paper's") == 2
    assert next(line for line in out.splitlines() if "tiny" in line).split()[-1] == "–"
    assert next(line for line in out.splitlines() if "bayes" in line).split() == ["bayes", "100.0", "100.00", "–", "–"]
    assert (tmp_path / "out" / "mnist1d.png").stat().st_size > 50_000


def test_demo_fails_when_the_data_are_not_the_papers(run, monkeypatch):
    wrong = CONFIGURATIONS["noise-free"]._replace(checksums=expected_checksums("shuffled"))
    monkeypatch.setitem(CONFIGURATIONS, "noise-free", wrong)
    code, _, errors = run("demo", "--output", "out", "--cache-dir", "cache")
    assert code == 2
    assert "noise-free: train x: expected" in errors


def test_demo_needs_no_cache(run):
    with pytest.warns(UserWarning, match="/dev/null/x cannot be used .*made in memory"):
        code, _, errors = run("demo", "--output", "out", "--cache-dir", "/dev/null/x")
    assert code == 0
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plot", "sampels"], "unknown figure 'sampels': did you mean 'samples'?"),
        (["plot", "-o", "figure.pdf"], "expected a file name that ends in .png or .svg"),
        (["plot", "-o", "/dev/null/x.png"], "cannot be written"),
        (["plot", "samples", "--label", "3"], "--label goes with transformations"),
        (["plot", "transformations", "--label", "10"], "label: expected 0 to 9, found 10"),
        (["demo", "-o", "/dev/null/x", "--cache-dir", "c"], "cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_user_can_cause_ends_in_one_line(run, arguments, message):
    code, out, errors = run(*arguments)
    assert code == 2
    assert errors.startswith("mnist1d-hf: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert "Traceback" not in errors + out
