"""What a loopback Hub holds: repositories with their history, pull requests, collections."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from typing import Any, NamedTuple

DATE = "2026-01-01T00:00:00.000Z"


class User(NamedTuple):
    """Whom a token belongs to. `role` is "write" or "read"; `orgs` are namespaces besides the own one."""

    name: str
    role: str
    orgs: tuple[str, ...] = ()

    def owns(self, repo_id: str) -> bool:
        """Whether the namespace is one of the user's."""
        return repo_id.partition("/")[0] in (self.name, *self.orgs)


class HubError(Exception):
    """A refusal: status, message and the Hub's code for it; `fields` are added to the body."""

    def __init__(self, status: int, message: str, code: str = "", **fields: Any) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.fields = status, message, code, fields


class Commit(NamedTuple):
    """One state of a repository."""

    sha: str
    parent: str | None
    title: str
    author: str
    tree: dict[str, bytes]


@dataclasses.dataclass
class Repo:
    """A repository. `served` are bytes that are given out in the place of others, by the git name of these."""

    private: bool
    history: dict[str, Commit] = dataclasses.field(default_factory=dict)
    refs: dict[str, str] = dataclasses.field(default_factory=dict)
    pulls: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    served: dict[str, bytes] = dataclasses.field(default_factory=dict)

    _numbers = itertools.count()  # every commit gets a name that no other has, in any repository

    def at(self, revision: str) -> Commit:
        """The commit of a branch, a tag, a reference or a commit's name.

        Raises:
            HubError: there is none.
        """
        for name in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if name in self.refs:
                return self.history[self.refs[name]]
        if revision in self.history:
            return self.history[revision]
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def commit(self, ref: str, tree: dict[str, bytes], title: str, author: str) -> str:
        """Put a commit on a reference; its name."""
        sha = hashlib.sha1(f"{next(self._numbers)}".encode()).hexdigest()
        self.history[sha] = Commit(sha, self.refs.get(ref), title, author, tree)
        self.refs[ref] = sha
        return sha

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """What was sent to a revision, without the file that the Hub makes itself."""
        return {path: data for path, data in self.at(revision).tree.items() if path != ".gitattributes"}

    def log(self, revision: str = "main") -> list[Commit]:
        """The history, newest first."""
        found = [self.at(revision)]
        while found[-1].parent:
            found.append(self.history[found[-1].parent])
        return found

    @property
    def tags(self) -> dict[str, str]:
        """Tags and their commits."""
        return {ref[10:]: sha for ref, sha in self.refs.items() if ref.startswith("refs/tags/")}


def git_name(data: bytes) -> str:
    """The name of a file's bytes in git."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class State:
    """Everything on the Hub."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.collections: list[dict[str, Any]] = []

    def create(self, kind: str, repo_id: str, private: bool) -> None:
        """A new repository, with the commit that the Hub makes."""
        repo = self.repos[kind, repo_id] = Repo(private)
        repo.commit("refs/heads/main", {".gitattributes": b"*.bin filter=lfs\n"}, "initial commit", "somebody")

    def listed(self, title: str) -> list[list[str]]:
        """The repositories in each collection of a title."""
        return [[item["id"] for item in found["items"]] for found in self.collections if found["title"] == title]
