"""Repositories, blobs and collections of a loopback Hub, as files under one folder. Several threads may use it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

MAIN = "refs/heads/main"
KINDS = ("model", "dataset")
LFS_SUFFIXES = (
    *(".7z", ".arrow", ".bin", ".bz2", ".ckpt", ".ftz", ".gz", ".h5", ".joblib", ".mlmodel", ".model", ".msgpack"),
    *(".npy", ".npz", ".onnx", ".ot", ".parquet", ".pb", ".pickle", ".pkl", ".pt", ".pth", ".rar", ".safetensors"),
    *(".tar", ".tflite", ".tgz", ".wasm", ".xz", ".zip", ".zst"),
    *(".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tiff", ".webp", ".flac", ".mp3", ".mp4", ".ogg", ".wav"),
)
LFS_SIZE = 10 * 2**20  # larger files go through LFS whatever their name
_NAME = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}")

Tree = dict[str, "Entry"]
Repo = tuple[str, str]  # type and name


class HubError(Exception):
    """A request that the Hub refuses.

    Args:
        status: of the answer.
        message: for people; also sent as X-Error-Message.
        code: X-Error-Code, from which the client chooses an exception class.
        fields: more fields of the JSON answer.
        headers: more headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        fields: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.fields = fields or {}
        self.headers = headers or {}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file of a commit: the blob that holds its bytes, and its name in git (that of the pointer for LFS)."""

    sha256: str
    size: int
    oid: str
    lfs: bool

    @classmethod
    def of(cls, sha256: str, size: int, data: bytes | None) -> Entry:
        """The entry for a regular file with these bytes, or for an LFS file where data is None."""
        return cls(sha256, size, git_oid(pointer(sha256, size) if data is None else data), data is None)

    @property
    def etag(self) -> str:
        """What the client names its cached copy by: the SHA-256 of an LFS file, else the name in git."""
        return self.sha256 if self.lfs else self.oid


@dataclasses.dataclass(frozen=True)
class Commit:
    """One state of a repository. `tree` maps paths to entries."""

    sha: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    tree: Tree

    @classmethod
    def from_json(cls, text: str) -> Commit:
        """The commit that `to_json` wrote down."""
        items = json.loads(text)
        return cls(**{**items, "tree": {path: Entry(**entry) for path, entry in items["tree"].items()}})

    def to_json(self) -> str:
        """The commit as text."""
        return json.dumps(dataclasses.asdict(self))


def git_oid(data: bytes) -> str:
    """The name of a blob in git.

    >>> git_oid(b"")
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """The small file that stands in git for a large one."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def wants_lfs(path: str, size: int) -> bool:
    """Whether the Hub takes such a file through LFS.

    >>> wants_lfs("data/train.parquet", 10), wants_lfs("README.md", 10)
    (True, False)
    """
    return path.endswith(LFS_SUFFIXES) or size > LFS_SIZE


def namespace(repo_id: str) -> str:
    """Whose repository it is.

    >>> namespace("user/name")
    'user'
    """
    return repo_id.partition("/")[0]


def now() -> str:
    """The time, as the Hub writes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class HubStorage:
    """All that a Hub remembers. What is written is complete when the call returns, and is found again after a restart.

    Args:
        root: a folder of its own.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self._commits: dict[tuple[str, str, str], Commit] = {}

    def next_number(self) -> int:
        """1, 2, 3, ... also over restarts."""
        with self.lock:
            path = self.root / "counter"
            number = int(path.read_text()) + 1 if path.exists() else 1
            _write(path, str(number).encode())
            return number

    # blobs: regular files of all repositories together, LFS files by repository

    def _blob(self, sha256: str, lfs: Repo | None) -> Path:
        return self.root.joinpath("blobs", sha256) if lfs is None else self._folder(*lfs) / "lfs" / sha256

    def has_blob(self, sha256: str, size: int | None = None, lfs: Repo | None = None) -> bool:
        """Whether these bytes are there, in this repository's LFS store if `lfs` (only the size is compared)."""
        path = self._blob(sha256, lfs)
        return path.exists() and size in (None, path.stat().st_size)

    def read_blob(self, sha256: str, lfs: Repo | None = None) -> bytes:
        """The bytes of this SHA-256, or what became of them."""
        return self._blob(sha256, lfs).read_bytes()

    def put_blob(self, data: bytes, lfs: Repo | None = None, corrupt: bool = False) -> str:
        """Store bytes; `corrupt` changes one of them, under the name of the right ones. Returns the SHA-256."""
        name = hashlib.sha256(data).hexdigest()
        with self.lock:
            _write(self._blob(name, lfs), _flipped(data) if corrupt else data)
        return name

    def read_entry(self, kind: str, repo_id: str, entry: Entry) -> bytes:
        """The bytes of a file."""
        return self.read_blob(entry.sha256, (kind, repo_id) if entry.lfs else None)

    def damage_entry(self, kind: str, repo_id: str, entry: Entry) -> None:
        """Change one byte of what is stored for a file."""
        with self.lock:
            data = _flipped(self.read_entry(kind, repo_id, entry))
            _write(self._blob(entry.sha256, (kind, repo_id) if entry.lfs else None), data)

    # repositories

    def _folder(self, kind: str, repo_id: str) -> Path:
        return self.root / "repos" / f"{kind}s" / repo_id

    def has_repo(self, kind: str, repo_id: str) -> bool:
        """Whether there is such a repository."""
        return (self._folder(kind, repo_id) / "repo.json").exists()

    def repos(self, kind: str) -> list[str]:
        """The repositories of a type, sorted."""
        folder = self.root / "repos" / f"{kind}s"
        return sorted(str(path.parent.relative_to(folder).as_posix()) for path in folder.glob("*/*/repo.json"))

    def create_repo(self, kind: str, repo_id: str, private: bool, author: str) -> None:
        """A repository with one commit, which holds `.gitattributes`.

        Raises:
            HubError: a bad name (400); it is there already (409).
        """
        parts = repo_id.split("/")
        if kind not in KINDS or len(parts) != 2 or not all(_NAME.fullmatch(part) for part in parts):
            raise HubError(400, f'Invalid repo name or type: "{repo_id}", {kind}')
        with self.lock:
            if self.has_repo(kind, repo_id):
                raise HubError(409, f"You already created this {kind} repo: {repo_id}")
            lines = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()
            tree = {".gitattributes": Entry.of(self.put_blob(lines), len(lines), lines)}
            head = self._write_commit(kind, repo_id, None, tree, "initial commit", "", author)
            self._save(
                kind,
                repo_id,
                {"private": private, "refs": {MAIN: head}, "pulls": [], "created": now(), "author": author},
            )

    def delete_repo(self, kind: str, repo_id: str) -> None:
        """Remove a repository with its LFS files."""
        with self.lock:
            self.state(kind, repo_id)
            shutil.rmtree(self._folder(kind, repo_id))
            self._commits = {key: commit for key, commit in self._commits.items() if key[:2] != (kind, repo_id)}

    def state(self, kind: str, repo_id: str) -> dict[str, Any]:
        """`private`, `refs` (full name -> commit), `pulls`, `created`, `author` of a repository.

        Raises:
            HubError: 404, RepoNotFound.
        """
        with self.lock:
            if not self.has_repo(kind, repo_id):
                raise HubError(404, "Repository not found", "RepoNotFound")
            return json.loads((self._folder(kind, repo_id) / "repo.json").read_text())

    @contextlib.contextmanager
    def update(self, kind: str, repo_id: str) -> Iterator[dict[str, Any]]:
        """Like `state`, for changes: they are written at the end, unless there was an error."""
        with self.lock:
            state = self.state(kind, repo_id)
            yield state
            self._save(kind, repo_id, state)

    def _save(self, kind: str, repo_id: str, state: dict[str, Any]) -> None:
        _write(self._folder(kind, repo_id) / "repo.json", json.dumps(state, indent=1).encode())

    # commits

    def resolve(self, kind: str, repo_id: str, revision: str) -> str:
        """The commit that a branch, a tag, a full reference or (the beginning of) a commit's name stands for.

        Raises:
            HubError: 404, RevisionNotFound.
        """
        refs = self.state(kind, repo_id)["refs"]
        for name in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if name in refs:
                return refs[name]
        if re.fullmatch(r"[0-9a-f]{7,40}", revision):
            for path in (self._folder(kind, repo_id) / "commits").glob(f"{revision}*.json"):
                return path.stem
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def read_commit(self, kind: str, repo_id: str, sha: str) -> Commit:
        """A commit by its full name."""
        key = (kind, repo_id, sha)
        if key not in self._commits:
            path = self._folder(kind, repo_id) / "commits" / f"{sha}.json"
            self._commits[key] = Commit.from_json(path.read_text())
        return self._commits[key]

    def at(self, kind: str, repo_id: str, revision: str) -> Commit:
        """The commit of a revision."""
        return self.read_commit(kind, repo_id, self.resolve(kind, repo_id, revision))

    def history(self, kind: str, repo_id: str, revision: str) -> list[Commit]:
        """The commit of a revision and those before it, newest first."""
        commits = [self.at(kind, repo_id, revision)]
        while commits[-1].parent is not None:
            commits.append(self.read_commit(kind, repo_id, commits[-1].parent))
        return commits

    def commit(
        self,
        kind: str,
        repo_id: str,
        ref: str,
        change: Callable[[Tree], Tree],
        title: str,
        message: str = "",
        author: str = "user",
        parent: str | None = None,
    ) -> str:
        """Put a commit on a reference, all or nothing, and return its name.

        Args:
            kind, repo_id, ref: where to; the full name of a reference that is there.
            change: from the files of the parent to those of the commit.
            title, message, author: its description.
            parent: (the beginning of) the commit that the caller believes is the last one.

        Raises:
            HubError: no such reference (404), `parent` is not the last commit (412), or what `change` raises.
        """
        with self.update(kind, repo_id) as state:
            if ref not in state["refs"]:
                raise HubError(404, f"Invalid rev id: {ref}", "RevisionNotFound")
            head = state["refs"][ref]
            if parent is not None and not head.startswith(parent.lower()):
                raise HubError(412, "A commit has happened since. Please refresh and try again.")
            tree = change(dict(self.read_commit(kind, repo_id, head).tree))
            sha = self._write_commit(kind, repo_id, head, tree, title, message, author)
            state["refs"][ref] = sha
            return sha

    def _write_commit(
        self, kind: str, repo_id: str, parent: str | None, tree: Tree, title: str, message: str, author: str
    ) -> str:
        names = [f"{path}\0{entry.oid}" for path, entry in sorted(tree.items())]
        content = json.dumps([self.next_number(), kind, repo_id, parent, names, title])
        sha = hashlib.sha1(content.encode()).hexdigest()
        commit = Commit(sha, parent, title, message, author, now(), dict(sorted(tree.items())))
        _write(self._folder(kind, repo_id) / "commits" / f"{sha}.json", commit.to_json().encode())
        return sha

    # collections

    @contextlib.contextmanager
    def collections(self) -> Iterator[list[dict[str, Any]]]:
        """All collections; changes are written at the end, unless there was an error."""
        path = self.root / "collections.json"
        with self.lock:
            before = path.read_text() if path.exists() else "[]"
            items = json.loads(before)
            yield items
            after = json.dumps(items, indent=1)
            if items != json.loads(before):
                _write(path, after.encode())


class Repository:
    """A look at one repository, for tests; it shows the present state, whoever changed it.

    Raises:
        HubError: by each member, where the repository (or the revision) is not there.
    """

    def __init__(self, storage: HubStorage, kind: str, repo_id: str) -> None:
        self._storage = storage
        self._key = (kind, repo_id)

    @property
    def exists(self) -> bool:
        """Whether it is there."""
        return self._storage.has_repo(*self._key)

    @property
    def private(self) -> bool:
        """Whether only its owners see it."""
        return self._storage.state(*self._key)["private"]

    @property
    def tags(self) -> dict[str, str]:
        """Tags and their commits."""
        return self._refs("refs/tags/")

    @property
    def branches(self) -> dict[str, str]:
        """Branches and their commits."""
        return self._refs("refs/heads/")

    @property
    def pulls(self) -> list[dict[str, Any]]:
        """Discussions and pull requests: `num`, `title`, `description`, `author`, `status`, `pull`, ..."""
        return self._storage.state(*self._key)["pulls"]

    def _refs(self, prefix: str) -> dict[str, str]:
        refs = self._storage.state(*self._key)["refs"]
        return {name[len(prefix) :]: sha for name, sha in refs.items() if name.startswith(prefix)}

    def head(self, revision: str = "main") -> str:
        """The commit of a branch, a tag or a reference such as refs/pr/1."""
        return self._storage.resolve(*self._key, revision)

    def commits(self, revision: str = "main") -> list[Commit]:
        """The history, newest first."""
        return self._storage.history(*self._key, revision)

    def entries(self, revision: str = "main") -> Tree:
        """The files with their SHA-256, size and whether they are LFS files."""
        return dict(self._storage.at(*self._key, revision).tree)

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """The files and what they hold."""
        entries = self.entries(revision)
        return {path: self._storage.read_entry(*self._key, entry) for path, entry in entries.items()}

    def damage(self, path: str, revision: str = "main") -> None:
        """Change one byte of what is stored for a file; sizes and names stay."""
        self._storage.damage_entry(*self._key, self.entries(revision)[path])


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if data else data


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{threading.get_ident()}")
    draft.write_bytes(data)
    os.replace(draft, path)
