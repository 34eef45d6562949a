"""Folders to publish: a plain one, and copies of staged ones to be broken."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from mnist1d_hf.export.folder import SUMS, sums_text
from mnist1d_hf.files import Store

DATASET = "NAMESPACE/mnist1d"


def stage(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A folder to publish: these files, and SHA256SUMS."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    lines = [f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(files.items())]
    (folder / "SHA256SUMS").write_text("".join(lines))
    return folder


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
