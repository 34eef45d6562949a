"""No network but loopback, no token, no cache in the home directory: set before anything is imported."""

import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

_HOME = tempfile.TemporaryDirectory(prefix="mnist1d-tests-")
for _name in list(os.environ):
    if _name.startswith(("HF_", "HUGGING")):
        del os.environ[_name]
os.environ.update(HF_HOME=_HOME.name, HF_HUB_OFFLINE="1", XDG_CACHE_HOME=_HOME.name, MPLCONFIGDIR=_HOME.name)
os.environ["OMP_NUM_THREADS"] = "1"  # several test processes run side by side; numbers do not depend on the cores

import datasets
import pytest
from hypothesis import settings

# A shell starts its background jobs with SIGINT ignored, and children inherit that: the tests that interrupt a process
# would wait for ever. With a handler here, children start as they do in a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("mnist1d", deadline=None, derandomize=True, database=None)
settings.load_profile("mnist1d")
datasets.disable_progress_bars()


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the tests that take minutes, too (marker `long`)")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--long"):
        skip = pytest.mark.skip(reason="takes minutes: pass --long")
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Every test starts in an empty folder, and cannot reach beyond this machine."""
    monkeypatch.chdir(tmp_path)
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _signals():
    """A command that runs in this process leaves its handler behind."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run `mnist1d-hf ARGUMENTS` in this process: its exit code, and what it printed on stdout and stderr."""
    from mnist1d_hf import cli

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mnist1d-hf", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parents[1]


@pytest.fixture
def cache(tmp_path):
    return str(tmp_path / "cache")


@pytest.fixture
def made(monkeypatch):
    """The numbers of the blocks of a stream that are made, as a list that grows."""
    from mnist1d_hf.data.stream import StreamPlan

    numbers = []
    original = StreamPlan.block

    def block(self, seed, number, **more):
        numbers.append(number)
        return original(self, seed, number, **more)

    monkeypatch.setattr(StreamPlan, "block", block)
    return numbers
