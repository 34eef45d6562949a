"""A loopback Hub that the real client talks to in this process, and folders that are staged once."""

from __future__ import annotations

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from huggingface_hub import constants

from mnist1d_hf.errors import UserError
from mnist1d_hf.export.folder import verify_folder
from mnist1d_hf.publishing import push
from mnist1d_hf.publishing.repositories import Repository, dataset_repository, model_repositories
from mnist1d_hf.publishing.retry import RetryPolicy
from mnist1d_hf.publishing.staging import stage
from tests.hub.server import TOKENS, HubServer
from tests.publishing.folders import DATASET


class Outcome(NamedTuple):
    """How a publish ended: what it returned or the error's text, the waits in seconds, the lines that it reported."""

    result: Any
    error: str | None
    waits: list[float]
    lines: list[str]


Publish = Callable[..., Outcome]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """An empty Hub, and the client's settings as HF_ENDPOINT would make them. The client's own waits are short."""
    wait = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: wait(min(seconds, 0.001)))
    with HubServer() as hub:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield hub
    assert hub.errors == []


@pytest.fixture
def publish(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Publish a folder as user/numbers; whatever the outcome, nothing that was said or sent shows the token."""

    def call(
        folder: Path,
        token: str | None = "hf_write",
        repo_id: str = "user/numbers",
        kind: str = "dataset",
        attempts: int = 6,
        plan: bool = False,
        **options: Any,
    ) -> Outcome:
        monkeypatch.delenv("HF_TOKEN", raising=False)
        if token is not None:
            monkeypatch.setenv("HF_TOKEN", token)
        waits: list[float] = []
        lines: list[str] = []
        said = io.StringIO()
        chosen = push.Options(policy=RetryPolicy(attempts=attempts, sleep=waits.append), **options)
        repository = Repository(repo_id, kind, repo_id)
        result, error = None, None
        log = logging.StreamHandler(said)
        logging.getLogger().addHandler(log)
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                if plan:
                    result = push.plan(repository, folder, chosen, lines.append)
                else:
                    result = push.publish(repository, folder, chosen, lambda _, back: verify_folder(back), lines.append)
        except UserError as failure:
            error = str(failure)
            assert "\n" not in error
        finally:
            logging.getLogger().removeHandler(log)
        everything = said.getvalue() + str(result) + str(error) + str(lines) + str(server.bodies)
        assert not [name for name in (*TOKENS, "hf_wrong") if name in everything]
        return Outcome(result, error, waits, lines)

    return call


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset's folder."""
    return stage(dataset_repository(DATASET), tmp_path_factory.mktemp("dataset") / "mnist1d")


@pytest.fixture(scope="session")
def staged_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the baseline `cnn`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (repository,) = model_repositories("NAMESPACE", ["cnn"])
        return stage(repository, tmp_path_factory.mktemp("model") / "cnn", fresh=2000)

