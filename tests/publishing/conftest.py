"""A loopback Hub that the real client talks to in this process, and folders that are staged once."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from huggingface_hub import constants

from mnist1d_hf import cli
from mnist1d_hf.data import schema
from mnist1d_hf.errors import UserError
from mnist1d_hf.export.folder import verify_folder
from mnist1d_hf.publishing import push, staging
from mnist1d_hf.publishing.hub import RetryPolicy
from mnist1d_hf.publishing.repositories import Repository
from tests.hub.server import TOKENS, HubServer


class Outcome(NamedTuple):
    """How a publish ended: what it returned or the error's text, the waits in seconds, the lines that it reported."""

    result: Any
    error: str | None
    waits: list[float]
    lines: list[str]


Publish = Callable[..., Outcome]


@contextlib.contextmanager
def client_of(hub: HubServer) -> Iterator[None]:
    """The client's settings as HF_ENDPOINT would make them. Its own waits are short."""
    wait = time.sleep
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda seconds: wait(min(seconds, 0.001)))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
        yield


@pytest.fixture
def server() -> Iterator[HubServer]:
    """An empty Hub."""
    with HubServer() as hub, client_of(hub):
        yield hub
    assert hub.errors == []


class Ended(NamedTuple):
    """How a command ended."""

    code: int | str | None
    out: str
    errors: str


def command(*arguments: str, token: str | None = "hf_write") -> Ended:
    """`mnist1d-hf publish` in this process; whatever it says, it does not say the token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mnist1d-hf", "publish", *arguments])
        patch.delenv("HF_TOKEN", raising=False)
        if token is not None:
            patch.setenv("HF_TOKEN", token)
        out, errors = io.StringIO(), io.StringIO()
        patch.setattr(staging, "FRESH_SAMPLES", 2000)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(SystemExit) as ended:
                cli.main()
    assert "hf_w" not in out.getvalue() + errors.getvalue()
    return Ended(ended.value.code, out.getvalue(), errors.getvalue())


class Everything(NamedTuple):
    """A Hub to which the dataset, two baselines and the playground were published, the staged folders, how it ended."""

    server: HubServer
    folder: Path
    dataset: Ended
    models: Ended
    space: Ended


POSTERIORS = 2048  # samples of the published stream whose posteriors are computed: all of them take a minute


def _few_posteriors(patch: pytest.MonkeyPatch) -> None:
    """Compute the posteriors of `default` and of the first samples of the stream; all others are uniform."""
    exact, left = schema._posteriors, 5000 + POSTERIORS

    def quick(made: Any, config: Any, start: int, stop: int) -> Any:
        nonlocal left
        left -= stop - start
        return exact(made, config, start, stop) if left >= 0 else np.full((stop - start, 10), 0.1)

    patch.setattr(schema, "_posteriors", quick)


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    """Published once for all tests that only look at it."""
    folder = tmp_path_factory.mktemp("everything")
    more = ("--output", str(folder), "--collection", "MNIST-1D")
    with HubServer() as hub:
        with client_of(hub), pytest.MonkeyPatch.context() as patch:
            _few_posteriors(patch)
            dataset = command("dataset", "--repo-id", "user/mnist1d", *more)
            models = command("models", "--namespace", "user", "cnn", "logistic-shuffled", *more)
            space = command("space", "--repo-id", "user/mnist1d-playground", *more)
        yield Everything(hub, folder, dataset, models, space)
    assert hub.errors == []


@pytest.fixture(scope="session")
def staged(everything: Everything) -> Path:
    """The dataset's folder."""
    assert everything.dataset.code == 0, everything.dataset.errors
    return everything.folder / "mnist1d"


@pytest.fixture(scope="session")
def staged_model(everything: Everything) -> Path:
    """The folder of the baseline `cnn`."""
    assert everything.models.code == 0, everything.models.errors
    return everything.folder / "mnist1d-cnn"


@pytest.fixture(scope="session")
def staged_space(everything: Everything) -> Path:
    """The folder of the playground."""
    assert everything.space.code == 0, everything.space.errors
    return everything.folder / "mnist1d-playground"


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
