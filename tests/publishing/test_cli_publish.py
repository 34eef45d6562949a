"""`mnist1d-hf publish` from end to end: staged, checked, published to a loopback Hub, loaded without this package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import mnist1d_hf
from mnist1d_hf import cli
from mnist1d_hf.data.checksums import expected_checksums, measure
from mnist1d_hf.publishing import items
from mnist1d_hf.publishing.hub import Options
from mnist1d_hf.publishing.layout import CONFIGURATIONS, STREAM_SAMPLES, STREAM_SEED, evaluated_on
from tests.hub.client import client_environment
from tests.hub.server import Corrupt, Fault, HubServer
from tests.publishing.folders import stage

ROOT = Path(__file__).resolve().parents[2]
VERSION = mnist1d_hf.__version__
DATASET = ("dataset", "--repo-id", "user/mnist1d")

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

found, x, label = {"configurations": {}, "streamed": {}, "models": {}}, {}, {}
for name in datasets.get_dataset_config_names("user/mnist1d"):
    whole = datasets.load_dataset("user/mnist1d", name)
    found["configurations"][name] = {split: digest(rows) for split, rows in whole.items()}
    if "test" in whole:
        x[name], label[name] = (torch.tensor(whole["test"][:][column]) for column in ("x", "label"))
    streams = datasets.load_dataset("user/mnist1d", name, streaming=True)
    found["streamed"][name] = {split: digest(rows) for split, rows in streams.items()}
for name, data in json.loads(sys.argv[1]).items():
    model = AutoModelForSequenceClassification.from_pretrained(f"user/mnist1d-{name}", trust_remote_code=True)
    with torch.no_grad():
        right = model(x[data]).logits.argmax(-1) == label[data]
    found["models"][name] = [type(model).__module__.split(".")[0], right.double().mean().item()]
print(json.dumps(found))
"""


class Outcome(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    errors: str


class Place(NamedTuple):
    """A Hub, and a folder for the commands that talk to it."""

    server: HubServer
    folder: Path

    def run(self, *command: str, token: str | None = "hf_write", shell: str = "", **environment: str) -> Outcome:
        """Run a command with the real clients; whatever it says, it does not say the token."""
        settings = client_environment(self.server.url, self.folder / "home", token)
        (self.folder / "temporary").mkdir(exist_ok=True)
        settings |= {"TMPDIR": str(self.folder / "temporary"), "PYTHONPATH": str(ROOT), **environment}
        arguments = ["bash", "-c", f'{shell} && exec "$@"', "bash", *command] if shell else [*command]
        done = subprocess.run(
            arguments, env=settings, cwd=self.folder, capture_output=True, text=True, timeout=300, check=False
        )
        assert "hf_w" not in done.stdout + done.stderr
        return Outcome(done.returncode, done.stdout, done.stderr)

    def publish(self, *arguments: str, **more: Any) -> Outcome:
        """`mnist1d-hf publish`."""
        return self.run(sys.executable, "-m", "mnist1d_hf.cli", "publish", *arguments, **more)

    def left_over(self) -> list[str]:
        """What is still in the folder for temporary files."""
        return sorted(path.name for path in (self.folder / "temporary").iterdir() if path.name.startswith("mnist1d"))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Outcome, Outcome]]:
    """A Hub with the dataset and all baselines, published by two commands, one with all that the client can log.

    The Hub lists in pages, and has a file store.
    """
    folder = tmp_path_factory.mktemp("everything")
    with HubServer(folder / "hub", page_size=3, redirect_lfs=True) as server:
        place = Place(server, folder)
        dataset = place.publish("dataset", "--repo-id", "user/mnist1d", "--collection", "MNIST-1D")
        models = place.publish("models", "--namespace", "user", "--collection", "MNIST-1D", HF_DEBUG="1")
        yield place, dataset, models
    assert server.errors == []


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An empty Hub."""
    with HubServer(tmp_path / "hub") as server:
        yield Place(server, tmp_path)
    assert server.errors == []


def test_all_is_published(everything: tuple[Place, Outcome, Outcome]) -> None:
    """One commit each, tagged with the version, in one collection; the addresses are told; no token is left."""
    place, dataset, models = everything
    assert (dataset.code, models.code) == (0, 0), dataset.errors + models.errors
    names = [f"mnist1d-{entry.name}" for entry in mnist1d_hf.list_pretrained()]
    for kind, name in [("dataset", "mnist1d"), *(("model", name) for name in names)]:
        repo = place.server.repo(kind, f"user/{name}")
        assert [commit.title for commit in repo.commits()] == [f"mnist1d_hf {VERSION}", "initial commit"]
        assert repo.tags == {VERSION: repo.head()}
        assert not [path for path, data in repo.files().items() if b"hf_w" in data]
        url = f"{place.server.url}/{'datasets/' if kind == 'dataset' else ''}user/{name}: published"
        assert url in (dataset.out if kind == "dataset" else models.out)
    with place.server.storage.collections() as found:
        listed = [[item["id"] for item in one["items"]] for one in found]
    assert listed == [["user/mnist1d", *(f"user/{name}" for name in names)]]
    assert place.left_over() == []
    assert not any(b"[token]" in request.body for request in place.server.requests)


def test_all_loads_without_this_package(everything: tuple[Place, Outcome, Outcome]) -> None:
    """In another process: every configuration, whole and streamed, bit for bit; every baseline, as good as recorded."""
    place, *_ = everything
    wanted = {entry.name: entry for entry in mnist1d_hf.list_pretrained()}
    data = json.dumps({name: evaluated_on(entry.data) for name, entry in wanted.items()})
    done = place.run(sys.executable, "-c", textwrap.dedent(LOAD), data, token=None)
    assert done.code == 0, done.errors
    found = json.loads(done.out.splitlines()[-1])
    assert set(found["configurations"]) == set(CONFIGURATIONS)
    for name, splits in found["configurations"].items():
        if name != "stream":
            assert splits == expected_checksums(name)
        assert found["streamed"][name] == splits
    rows = mnist1d_hf.sample(range(STREAM_SAMPLES), seed=STREAM_SEED)
    assert found["configurations"]["stream"] == measure({"train": rows})
    for name, (module, accuracy) in found["models"].items():
        assert module == "transformers_modules"
        assert accuracy == pytest.approx(wanted[name].released_accuracy, abs=1e-6)
    assert set(found["models"]) == set(wanted)


def test_again_changes_nothing(everything: tuple[Place, Outcome, Outcome]) -> None:
    """No commit, no upload; by the script, which is the same code."""
    place, *_ = everything
    place.server.log.clear()
    script = str(ROOT / "scripts" / "publish_dataset.py")
    done = place.run(sys.executable, script, "--repo-id", "user/mnist1d")
    assert (done.code, ": unchanged, commit" in done.out) == (0, True), done.errors
    assert {entry.method for entry in place.server.log} == {"GET", "HEAD"}


def test_keys_of_a_card_survive(everything: tuple[Place, Outcome, Outcome]) -> None:
    """One that a maintainer added on the Hub is there after another publish, and the tag stays where it was."""
    place, *_ = everything
    repo = place.server.repo("model", "user/mnist1d-logistic")
    tagged, card = repo.tags[VERSION], repo.files()["README.md"]
    place.server.push(
        "model", "user/mnist1d-logistic", {"README.md": card.replace(b"---\n", b"---\nthumbnail: t\n", 1)}
    )
    done = place.publish("models", "--namespace", "user", "logistic")
    assert done.code == 0, done.errors
    assert b"\nthumbnail: t\n" in repo.files()["README.md"]
    assert repo.tags == {VERSION: tagged}


def test_without_a_token_it_is_a_dry_run(everything: tuple[Place, Outcome, Outcome]) -> None:
    """It says so, and what would change; nothing is asked of the Hub but what is there."""
    place, *_ = everything
    repo = place.server.repo("dataset", "user/mnist1d")
    sizes = {name: f"{len(data):,}" for name, data in repo.files().items()}
    theirs = {"croissant.json": b"{}", "figures/pca.png": None, "notes.md": b"theirs"}
    place.server.push("dataset", "user/mnist1d", theirs)
    place.server.log.clear()
    done = place.publish(*DATASET, token=None)
    assert (done.code, place.left_over()) == (0, [])
    rows = [line.split() for line in done.out.splitlines()]
    assert ["change", "croissant.json", "2", sizes["croissant.json"]] in rows
    assert ["add", "figures/pca.png", sizes["figures/pca.png"]] in rows
    assert "1 to add, 1 to change, 0 to delete" in done.out
    assert f"compared with commit {repo.head()[:10]}" in done.out
    assert "Nothing was published: no token; run `hf auth login` or set HF_TOKEN to publish." in done.out
    assert {entry.method for entry in place.server.log} == {"GET", "HEAD"}


def test_a_dry_run_without_a_hub(place: Place) -> None:
    """As in a fresh clone on a train: the script shows what there is, keeps it, and spares what is in the way."""
    place.server.stop()
    script = [sys.executable, str(ROOT / "scripts" / "publish_models.py"), "--dry-run", "--namespace", "user"]
    done = place.run(*script, "logistic", "--output", "kept", token=None)
    assert (done.code, "model.safetensors" in done.out) == (0, True), done.errors
    assert "what is there is unknown, so that every file is listed as new" in done.out
    assert "the Hub cannot be reached" in done.out
    assert (place.folder / "kept" / "mnist1d-logistic" / "README.md").exists()
    (place.folder / "kept" / "mnist1d-logistic" / "notes.md").write_text("mine")
    done = place.run(*script, "logistic", "--output", "kept", token=None)
    assert (done.code, "holds notes.md, which no publish made" in done.errors) == (2, True), done.errors


def test_a_plan_by_a_client_that_is_offline(tmp_path: Path) -> None:
    """HF_HUB_OFFLINE is set for all tests: everything is new, and it says why."""
    item = items.dataset_item("user/mnist1d")
    plan, why = items.plan_item(item, stage(tmp_path / "folder", {"a.txt": b"a"}), Options())
    assert [change.kind for change in plan.changes] == ["add", "add"]
    assert why is not None
    assert "unset HF_HUB_OFFLINE" in why


@pytest.mark.parametrize(
    ("arguments", "token", "message"),
    [
        (["models", "nonsense"], None, "unknown baseline 'nonsense'"),
        (["models", "--namespace", "a b"], None, "repo id: expected NAMESPACE/NAME"),
        (["dataset", "--repo-id", "mnist1d"], None, "repo id: expected NAMESPACE/NAME"),
        (["dataset"], "hf_write", "expected --repo-id (of models: --namespace), found none"),
        (["dataset", "--tag", "1", "--no-tag"], None, "expected --tag or --no-tag, found both"),
        (["dataset", "--create-pr", "--revision", "next"], None, "a pull request goes to main"),
        (["dataset", "--create-pr", "--tag", "1"], None, "a pull request gets none before it is merged"),
        ([], None, "Missing command"),
    ],
)
def test_mistakes_end_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    token: str | None,
    message: str,
) -> None:
    """Exit code 2, before anything is staged or asked of the Hub, which could not be reached from here."""
    monkeypatch.setattr(sys, "argv", ["mnist1d-hf", "publish", *arguments])
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1), said.err
    assert message in said.err


def test_a_wrong_byte(place: Place) -> None:
    """Exit code 2; the last line names the file that the Hub damaged."""
    place.server.faults = [Fault(("PUT", "/_lfs/"), Corrupt(), times=None)]  # two configurations share a file
    done = place.publish(*DATASET)
    last = done.errors.splitlines()[-1]
    assert (done.code, "does not hold what was sent: " in last, ".parquet: expected SHA-256" in last) == (2, True, True)
    assert place.server.repo("dataset", "user/mnist1d").tags == {}
    assert place.left_over() == []


@pytest.mark.parametrize("how", ["a limit", "a full disk"])
def test_disk_full_while_staging(place: Place, how: str) -> None:
    """One line, nothing sent, nothing left behind."""
    shell = "ulimit -f 8"
    if how == "a full disk":
        shell = 'mount -t tmpfs -o size=64k none "$TMPDIR"'
        if shutil.which("unshare") is None or os.system("unshare -rm true 2> /dev/null") != 0:
            pytest.skip("needs a name space of its own for a small disk")
        command = ("unshare", "-rm", "bash", "-c", f'{shell} && "$@"; code=$?; ls "$TMPDIR"; exit $code', "bash")
        done = place.run(*command, sys.executable, "-m", "mnist1d_hf.cli", "publish", *DATASET)
    else:
        done = place.run(sys.executable, "-m", "mnist1d_hf.cli", "publish", *DATASET, shell=shell)
    assert (done.code, done.out) == (2, ""), done.errors
    last = done.errors.splitlines()[-1]
    assert last.startswith("mnist1d-hf: ")
    assert "File too large" in last if how == "a limit" else "No space left" in last
    assert "Traceback" not in done.errors
    assert place.left_over() == []
    assert place.server.log == []
