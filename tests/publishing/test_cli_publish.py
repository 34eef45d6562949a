"""`mnist1d-hf publish` from end to end: staged, checked, published to a loopback Hub, loaded without this package."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

import mnist1d_hf
from mnist1d_hf.data.checksums import expected_checksums, measure
from mnist1d_hf.models import catalog
from mnist1d_hf.publishing.repositories import CONFIGURATIONS, STREAM_SAMPLES, STREAM_SEED, published_config
from tests.hub.client import client_environment
from tests.hub.server import Answer, Fault
from tests.publishing.conftest import client_of, command
from tests.publishing.folders import contents, snippets

VERSION = mnist1d_hf.__version__

# What a stranger runs: datasets and transformers, but not this package.
LOAD = """
import hashlib, json, sys
sys.modules["mnist1d_hf"] = None
import datasets, numpy, torch
from transformers import AutoModelForSequenceClassification
datasets.config.USE_PARQUET_EXPORT = False
datasets.disable_progress_bars()

def digest(rows):
    rows = rows.with_format("numpy")
    rows = rows[:] if isinstance(rows, datasets.Dataset) else next(rows.iter(10**6))
    columns = {"x": numpy.asarray(rows["x"], "<f4"), "label": numpy.asarray(rows["label"], "<i8")}
    return {name: hashlib.sha256(value.tobytes()).hexdigest() for name, value in columns.items()}

found = {"whole": {}, "streamed": {}, "columns": {}}
for name in datasets.get_dataset_config_names("user/mnist1d"):
    whole = datasets.load_dataset("user/mnist1d", name)
    found["whole"][name] = {split: digest(rows) for split, rows in whole.items()}
    found["columns"][name] = whole["train"].column_names
    if "posterior" in whole["train"].column_names:
        assert whole["train"].features["posterior"] == datasets.List(datasets.Value("float32"), length=10)
    if name == "default":
        test = whole["test"].with_format("torch")[:]
        streams = datasets.load_dataset("user/mnist1d", name, streaming=True)
        found["streamed"] = {split: digest(rows) for split, rows in streams.items()}
model = AutoModelForSequenceClassification.from_pretrained("user/mnist1d-cnn", trust_remote_code=True)
with torch.no_grad():
    right = model(test["x"]).logits.argmax(-1) == test["label"]
for code in json.loads(sys.argv[1]):  # the snippets of the cards that need nothing else
    exec(compile(code, "snippet", "exec"), {"__name__": "snippet"})
found["model"] = [type(model).__module__.split(".")[0], right.double().mean().item()]
print(json.dumps(found))
"""


def test_all_is_published(everything):
    """One commit each, tagged with the version, in one collection; the addresses are told; no token is left."""
    server, folder, dataset, models, space = everything
    assert (dataset.code, models.code, space.code) == (0, 0, 0), dataset.errors + models.errors + space.errors
    names = ["mnist1d-cnn", "mnist1d-logistic-shuffled"]
    playground = "mnist1d-playground"
    for kind, name in [("dataset", "mnist1d"), *(("model", name) for name in names), ("space", playground)]:
        repo = server.repo(kind, f"user/{name}")
        assert repo.files() == contents(folder / name)
        assert [commit.title for commit in repo.log()] == [f"mnist1d_hf {VERSION}", "initial commit"]
        assert repo.tags == {VERSION: repo.at("main").sha}
        place, out = {"dataset": ("datasets/", dataset), "model": ("", models), "space": ("spaces/", space)}[kind]
        assert f"{server.url}/{place}user/{name}: published" in out.out
    listed = ["user/mnist1d", *(f"user/{name}" for name in names), f"user/{playground}"]
    assert server.state.listed("MNIST-1D") == [listed]
    assert not any(b"hf_w" in body for body in server.bodies)
    assert sorted(os.listdir(folder)) == ["mnist1d", *names, playground]


def test_all_loads_without_this_package(everything, tmp_path):
    """In another process: every configuration bit for bit, also streamed; a baseline as good as recorded; snippets."""
    cards = (everything.folder / "mnist1d", everything.folder / "mnist1d-cnn")
    chosen = [code for folder in cards for code in snippets(folder) if "import mnist1d_hf" not in code]
    assert len(chosen) == 8
    environment = client_environment(everything.server.url, tmp_path / "home")
    arguments = [sys.executable, "-W", "ignore", "-c", LOAD, json.dumps(chosen)]
    done = subprocess.run(arguments, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    rows = mnist1d_hf.sample(range(STREAM_SAMPLES), seed=STREAM_SEED)
    exact = {name: expected_checksums(name) for name in CONFIGURATIONS if name != "stream"}
    assert found["whole"] == {**exact, "stream": measure({"train": rows})}
    assert found["streamed"] == exact["default"]
    columns = {name: list(published_config(name).features) for name in CONFIGURATIONS}
    assert found["columns"] == columns
    assert columns["default"] == columns["stream"] == ["x", "label", "posterior"]
    module, accuracy = found["model"]
    assert (module, accuracy) == ("transformers_modules", pytest.approx(0.95, abs=1e-6))


def test_without_a_token_it_is_a_dry_run(everything):
    """It says so, and what would change; nothing is asked of the Hub but what is there."""
    server = everything.server
    repo = server.repo("model", "user/mnist1d-cnn")
    before = repo.at("main").sha
    sizes = {name: f"{len(data):,}" for name, data in repo.files().items()}
    server.push("model", "user/mnist1d-cnn", {"config.json": b"{}", "pipeline_mnist1d.py": None, "notes.md": b"theirs"})
    server.log.clear()
    try:
        with client_of(server):
            done = command("models", "--namespace", "user", "cnn", token=None)
        assert done.code == 0, done.errors
        rows = [line.split() for line in done.out.splitlines()]
        assert ["change", "config.json", "2", sizes["config.json"]] in rows
        assert ["add", "pipeline_mnist1d.py", sizes["pipeline_mnist1d.py"]] in rows
        assert "1 to add, 1 to change, 0 to delete" in done.out
        assert f"compared with commit {repo.at('main').sha[:10]}" in done.out
        assert "Nothing was published: no token; run `hf auth login` or set HF_TOKEN to publish." in done.out
        assert {method for method, _ in server.log} == {"GET", "HEAD"}
    finally:
        repo.refs["refs/heads/main"] = before


def test_a_dry_run_without_a_hub(tmp_path):
    """HF_HUB_OFFLINE is set for all tests: all files are new, it says why, and spares what is in the way."""
    dry = ("models", "--dry-run", "--namespace", "user", "logistic", "--output", "kept")
    done = command(*dry, token=None)
    assert (done.code, "model.safetensors" in done.out) == (0, True), done.errors
    assert "what is there is unknown, so that every file is listed as new" in done.out
    assert "unset HF_HUB_OFFLINE" in done.out
    (tmp_path / "kept" / "mnist1d-logistic" / "notes.md").write_text("mine")
    done = command(*dry, token=None)
    assert (done.code, "holds notes.md, which no publish made" in done.errors) == (2, True), done.errors


def test_one_that_fails_does_not_stop_the_others(server, monkeypatch):
    """Neither while it is staged nor while it is published; the summary names each, the exit code is 2."""
    recorded = {name: catalog.results(name) for name in ("cnn", "logistic-shuffled", "logistic")}
    recorded["logistic-shuffled"]["released"]["test"] = 0.5
    monkeypatch.setattr(catalog, "results", lambda name: recorded[name])
    server.faults = [Fault("POST", "mnist1d-cnn/commit", Answer(403, {"X-Error-Message": "not you"}), times=9)]
    done = command("models", "--namespace", "user", *recorded)
    assert (done.code, outcomes(done)) == (2, {"cnn": "FAILED", "logistic-shuffled": "FAILED", "logistic": "published"})
    assert "user/mnist1d-cnn: FAILED: user/mnist1d-cnn: committing: answer 403 (not you)" in done.errors
    assert "logistic-shuffled: expected the recorded accuracy 0.5" in done.errors
    assert ("model", "user/mnist1d-logistic-shuffled") not in server.state.repos
    assert server.repo("model", "user/mnist1d-logistic").tags
    server.faults = []
    again = command("models", "--namespace", "user", "cnn", "logistic")
    assert (again.code, outcomes(again)) == (0, {"cnn": "published", "logistic": "unchanged"})


def outcomes(done):
    """What the summary says of each baseline."""
    rows = [line.split() for line in done.out[done.out.index("Summary") :].splitlines()]
    return {row[0].removeprefix("user/mnist1d-"): row[1] for row in rows if row and row[0].startswith("user/")}


def test_an_interrupt_ends_everything(server):
    """Ctrl-C while the first is published: the second is not begun. Given again, the command finishes."""
    server.faults = [Fault("POST", "/commit/", lambda _: os.kill(os.getpid(), signal.SIGINT))]
    done = command("models", "--namespace", "user", "logistic", "logistic-shuffled")
    assert done.code == 130
    assert done.errors.splitlines()[-1].startswith("mnist1d-hf: interrupted; nothing half-written was kept")
    assert ("model", "user/mnist1d-logistic-shuffled") not in server.state.repos
    assert command("models", "--namespace", "user", "logistic").code == 0
    assert len(server.repo("model", "user/mnist1d-logistic").log()) == 2


@pytest.mark.parametrize(
    ("arguments", "token", "message"),
    [
        (["models", "nonsense"], None, "unknown baseline 'nonsense'"),
        (["models", "--namespace", "a b"], None, "repo id: expected NAMESPACE/NAME"),
        (["dataset", "--repo-id", "mnist1d"], None, "repo id: expected NAMESPACE/NAME"),
        (["dataset", "--repo-id", "user/a--b"], None, "repo id: expected NAMESPACE/NAME"),
        (["dataset"], "hf_write", "expected --repo-id (of models: --namespace), found none"),
        (["space"], "hf_write", "expected --repo-id (of models: --namespace), found none"),
        (["space", "--repo-id", "playground"], None, "repo id: expected NAMESPACE/NAME"),
        (["dataset", "--tag", "1", "--no-tag"], None, "expected --tag or --no-tag, found both"),
        (["dataset", "--create-pr", "--revision", "next"], None, "a pull request goes to main"),
        (["dataset", "--create-pr", "--tag", "1"], None, "a pull request gets none before it is merged"),
        ([], None, "Missing command"),
    ],
)
def test_errors_of_the_user_end_in_one_line(arguments, token, message):
    """Exit code 2, before anything is staged or asked of the Hub, which could not be reached from here."""
    done = command(*arguments, token=token)
    assert (done.code, done.out, done.errors.count("\n")) == (2, "", 1), done.errors
    assert message in done.errors
