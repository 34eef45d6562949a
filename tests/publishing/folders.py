"""Folders to publish: plain ones, and what they hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mnist1d_hf.export.folder import SUMS, sums_text
from mnist1d_hf.files import Store


def make_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A folder to publish: these files, and SHA256SUMS."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return sign(folder)


def sign(folder: Path) -> Path:
    """Write checksums that fit what is there, so that something else has to notice a change."""
    store = Store(folder)
    text = sums_text({name: store.digest(name) for name in store.names() if name != SUMS})
    (folder / SUMS).unlink(missing_ok=True)
    (folder / SUMS).write_text(text)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """What a folder holds."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def snippets(folder: Path) -> list[str]:
    """The Python snippets of a card."""
    card = (folder / "README.md").read_text()
    found = re.findall(r"^```(.*)\n([\s\S]*?)^```$", card, flags=re.MULTILINE)
    assert {language for language, _ in found} == {"python", "bibtex"}
    return [code for language, code in found if language == "python"]
