"""A loopback Hub, and a process that publishes to it, for all tests of a module."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.hub.server import TOKENS, HubServer

Publish = Callable[..., dict[str, Any]]


def client_environment(url: str, home: Path, token: str | None = None) -> dict[str, str]:
    """Of a process whose clients talk to this Hub only."""
    legal = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    legal = {name: value for name, value in legal.items() if "proxy" not in name.lower()}
    settings = {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HF_HUB_ETAG_TIMEOUT": "5",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {**legal, **settings, **({"HF_TOKEN": token} if token else {})}


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


def stage(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A folder to publish: these files, and SHA256SUMS."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    lines = [f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(files.items())]
    (folder / "SHA256SUMS").write_text("".join(lines))
    return folder
