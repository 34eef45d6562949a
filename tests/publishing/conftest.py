"""Folders that are staged once, and copies of them to be broken."""

import os
import shutil
import warnings
from pathlib import Path

import pytest

from mnist1d_hf.export.folder import SUMS, sums_text
from mnist1d_hf.export.store import Store
from mnist1d_hf.publishing import checking
from mnist1d_hf.publishing.staging import stage_dataset, stage_model

DATASET = "NAMESPACE/mnist1d"


class Copy:
    """A staged folder of one's own: the files are links to the original's, until one is written."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(source, folder, copy_function=os.link)

    def write(self, name: str, data: bytes | str) -> None:
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())

    def read(self, name: str = "README.md") -> str:
        return (self.folder / name).read_text()

    def replace(self, old: str, new: str, name: str = "README.md") -> None:
        text = self.read(name)
        assert old in text, old
        self.write(name, text.replace(old, new, 1))

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()

    def sign(self) -> None:
        """Checksums that fit what is there, so that something else has to notice the change."""
        store = Store(self.folder)
        self.write(SUMS, sums_text({name: store.digest(name) for name in store.names() if name != SUMS}))


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


@pytest.fixture
def no_snippets(monkeypatch):
    """Snippets take seconds; tests of the other checks go without them."""
    monkeypatch.setattr(checking, "failing_snippets", lambda *_: [])
