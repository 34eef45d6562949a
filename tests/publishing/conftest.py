"""A loopback Hub and a process that publishes to it, for the tests of a module; folders that are staged once."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mnist1d_hf.publishing.staging import stage_dataset, stage_model
from tests.hub.client import client_environment
from tests.hub.server import TOKENS, HubServer
from tests.publishing.folders import DATASET, Copy

Publish = Callable[..., dict[str, Any]]


class Worker(NamedTuple):
    """`tests.publishing.worker` at work; `folder` holds the number of the process that publishes now, as `pid`."""

    process: subprocess.Popen[str]
    folder: Path

    def ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Have a job done."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(job), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HubServer, Worker]]:
    """The Hub and the process."""
    root = tmp_path_factory.mktemp("publishing")
    with HubServer(root / "hub") as server:
        folder = root / "worker"
        folder.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.publishing.worker", str(folder)],
            env=client_environment(server.url, root / "home"),
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        yield server, Worker(process, folder)
        process.communicate()


@pytest.fixture
def server(running: tuple[HubServer, Worker]) -> Iterator[HubServer]:
    """The Hub, as it was left, but without faults and with an empty log. No request ever told it a token."""
    server = running[0]
    server.faults.clear()
    server.log.clear()
    server.requests.clear()
    yield server
    assert server.errors == []


@pytest.fixture
def repo_id(request: pytest.FixtureRequest) -> str:
    """A repository that no other test uses."""
    digest = hashlib.sha1(request.node.nodeid.encode()).hexdigest()[:12]
    return f"user/test-{digest}"


@pytest.fixture
def worker(running: tuple[HubServer, Worker]) -> Worker:
    """The process that publishes."""
    return running[1]


@pytest.fixture
def publish(worker: Worker, repo_id: str) -> Publish:
    """Publish a folder; whatever the outcome, nothing that was said or sent shows a token."""

    def call(folder: Path, token: str | None = "hf_write", **more: Any) -> dict[str, Any]:
        answer = worker.ask({"folder": str(folder), "repo_id": repo_id, "token": token, **more})
        said = json.dumps(answer)
        assert not [name for name in (*TOKENS, "hf_wrong") if name in said]
        assert answer.get("kind") != "bug", answer["error"]
        return answer

    return call


@pytest.fixture(scope="session")
def staged(tmp_path_factory) -> Path:
    return stage_dataset(tmp_path_factory.mktemp("dataset") / "mnist1d", DATASET)


@pytest.fixture(scope="session")
def staged_model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "cnn"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return stage_model("cnn", folder, f"{DATASET}-cnn", DATASET, fresh=2000)


@pytest.fixture
def dataset(staged, tmp_path) -> Copy:
    return Copy(staged, tmp_path / "dataset")


@pytest.fixture
def model(staged_model, tmp_path) -> Copy:
    return Copy(staged_model, tmp_path / "model")
