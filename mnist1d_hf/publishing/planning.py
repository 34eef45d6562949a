"""What a publish would change in a repository: pure comparison of files here with files there.

Ours are the files that are staged now and those that the repository's own SHA256SUMS names, which is what an earlier
publish put there. Everything else was added by someone else and stays.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from mnist1d_hf.errors import OutputError
from mnist1d_hf.export.folder import CARD, SUMS

_LINE = re.compile(r"([0-9a-f]{64})[ \t]+\*?(.+)")


class LocalFile(NamedTuple):
    """A file to be published: where its bytes are, and the two names that the Hub may give it."""

    source: Path | bytes
    size: int
    sha256: str
    blob_id: str

    @classmethod
    def of(cls, source: Path | bytes) -> LocalFile:
        """Measure bytes, or a file.

        >>> LocalFile.of(b"").blob_id
        'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
        """
        size = source.stat().st_size if isinstance(source, Path) else len(source)
        sha256, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
        if isinstance(source, bytes):
            sha256.update(source)
            blob.update(source)
        else:
            with source.open("rb") as file:
                while part := file.read(2**20):
                    sha256.update(part)
                    blob.update(part)
        return cls(source, size, sha256.hexdigest(), blob.hexdigest())

    def read(self) -> bytes:
        """All bytes."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


class RemoteFile(NamedTuple):
    """A file in a repository: `sha256` is known of large files only, `blob_id` is that of a pointer then."""

    size: int
    blob_id: str
    sha256: str | None = None

    def holds(self, file: LocalFile) -> bool:
        """Whether it is the same file, as far as the Hub says what it has."""
        if self.sha256 is not None:
            return (self.size, self.sha256) == (file.size, file.sha256)
        return (self.size, self.blob_id) == (file.size, file.blob_id)


class Change(NamedTuple):
    """One line of a plan: `size` is what it will be, `before` what it is; None where there is no such file."""

    kind: str  # "add", "change", "delete"
    path: str
    size: int | None
    before: int | None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a publish would do.

    Attributes:
        repo_id, repo_type: where.
        parent: the commit that was compared with; None where there is no repository yet, or it cannot be seen.
        changes: additions, changes and deletions, sorted by path.
        unchanged: paths that are there already.
        foreign: paths that someone else added; they stay.
    """

    repo_id: str
    repo_type: str
    parent: str | None
    changes: tuple[Change, ...]
    unchanged: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def sent(self) -> tuple[str, ...]:
        """Paths whose bytes go to the Hub."""
        return tuple(change.path for change in self.changes if change.kind != "delete")

    @property
    def deleted(self) -> tuple[str, ...]:
        """Paths that are removed there."""
        return tuple(change.path for change in self.changes if change.kind == "delete")

    def __str__(self) -> str:
        counts = {kind: sum(change.kind == kind for change in self.changes) for kind in ("add", "change", "delete")}
        sizes = sum(change.size or 0 for change in self.changes)
        return (
            f"{counts['add']} to add, {counts['change']} to change, {counts['delete']} to delete ({sizes:,} bytes to "
            f"send), {len(self.unchanged)} unchanged, {len(self.foreign)} by others"
        )


def read_folder(folder: Path) -> dict[str, LocalFile]:
    """All files of a folder by their path in it, with `/`.

    Raises:
        OutputError: there is no such folder, it is empty, or holds something that is not a plain file.
    """
    if not folder.is_dir():
        raise OutputError(f"{folder}: expected a folder to publish, found none")
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise OutputError(f"{path}: expected a plain file, found a link or a device; stage the folder again")
        if path.is_file():
            files[path.relative_to(folder).as_posix()] = LocalFile.of(path)
    if not files:
        raise OutputError(f"{folder}: expected files to publish, found none")
    return files


def plan(
    repo_id: str,
    repo_type: str,
    parent: str | None,
    ours: Mapping[str, LocalFile],
    theirs: Mapping[str, RemoteFile],
    before: Mapping[str, str],
) -> Plan:
    """Compare.

    Args:
        repo_id, repo_type, parent: what `theirs` is.
        ours: what shall be there.
        theirs: what is there.
        before: what the SHA256SUMS that is there names.

    >>> old, new = LocalFile.of(b"old"), LocalFile.of(b"new")
    >>> there = {name: RemoteFile(3, old.blob_id) for name in ("same", "other", "gone", "foreign")}
    >>> found = plan("a/b", "model", None, {"same": old, "other": new, "more": new}, there, {"gone": old.sha256})
    >>> [(change.kind, change.path) for change in found.changes], found.unchanged, found.foreign
    ([('delete', 'gone'), ('add', 'more'), ('change', 'other')], ('same',), ('foreign',))
    """
    changes, unchanged = [], []
    for path, file in ours.items():
        there = theirs.get(path)
        if there is None:
            changes.append(Change("add", path, file.size, None))
        elif there.holds(file):
            unchanged.append(path)
        else:
            changes.append(Change("change", path, file.size, there.size))
    rest = [path for path in theirs if path not in ours]
    changes += [Change("delete", path, None, theirs[path].size) for path in rest if path in before]
    foreign = tuple(sorted(path for path in rest if path not in before))
    ordered = tuple(sorted(changes, key=lambda change: change.path))
    return Plan(repo_id, repo_type, parent, ordered, tuple(sorted(unchanged)), foreign)


def parse_sums(text: str) -> dict[str, str]:
    """Path -> SHA-256 of a SHA256SUMS; lines that are none are left out, so that nothing is deleted on their account.

    >>> parse_sums("0" * 64 + "  data/a.parquet" + chr(10) + "nonsense")
    {'data/a.parquet': '0000000000000000000000000000000000000000000000000000000000000000'}
    """
    found = (_LINE.fullmatch(line.rstrip("\r")) for line in text.split("\n"))
    return {item[2].removeprefix("./"): item[1] for item in found if item}


def with_card(files: Mapping[str, LocalFile], theirs: str, merge: Callable[[str, str], str]) -> dict[str, LocalFile]:
    """The files with the card that `merge(ours, theirs)` makes; SHA256SUMS follows, if it names the card."""
    if CARD not in files:
        return dict(files)
    card = LocalFile.of(merge(files[CARD].read().decode("utf-8"), theirs).encode("utf-8"))
    changed = {**files, CARD: card}
    if SUMS in files:
        sums = files[SUMS].read().decode("utf-8")
        stated = parse_sums(sums).get(CARD)
        if stated is not None:
            changed[SUMS] = LocalFile.of(sums.replace(stated, card.sha256).encode("utf-8"))
    return changed
