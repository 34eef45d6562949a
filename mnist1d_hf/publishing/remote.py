"""One repository on the Hub: its calls one by one, each tried again where that can help, with errors of one line."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    get_token,
    hf_hub_download,
)
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from mnist1d_hf.errors import HubError
from mnist1d_hf.publishing import retrying
from mnist1d_hf.publishing.planning import LocalFile, Plan, RemoteFile
from mnist1d_hf.publishing.retrying import Patience

T = TypeVar("T")


class State(NamedTuple):
    """A commit, and the files it holds by path."""

    sha: str
    files: dict[str, RemoteFile]


class Sent(NamedTuple):
    """What a commit made: `pull_request` is the address of one that was opened."""

    sha: str
    pull_request: str | None


def find_token(patience: Patience | None = None) -> str | None:
    """The token of huggingface_hub: exchanged for the identity of a CI job, from the environment, or from the login.

    Raises:
        HubError: HF_OIDC_RESOURCE asks for an exchange, and it failed.
    """
    token = _token(patience or Patience())
    if token is None and os.environ.get("HF_OIDC_RESOURCE"):
        raise HubError("keyless login: expected huggingface_hub 1.19 or newer, found an older one; upgrade it")
    return token


def _token(patience: Patience) -> str | None:
    for attempt in itertools.count(1):
        try:
            return get_token()
        except Exception as error:  # OIDCError only exists in the newer releases
            if retrying.is_passing(error) and not patience.is_over(attempt, error):
                patience.sleep(patience.seconds(attempt, error))
            elif type(error).__name__ == "OIDCError" or retrying.status_of(error) or retrying.is_passing(error):
                raise HubError(
                    f"keyless login: {retrying.cause(error)}; the job needs `id-token: write`, and the repository on "
                    f"the Hub must name it as a trusted publisher"
                ) from error
            else:
                raise
    raise AssertionError("unreachable")


@dataclasses.dataclass(frozen=True)
class Remote:
    """A repository.

    Args:
        repo_id, repo_type: "namespace/name"; "dataset" or "model".
        token: None reads what is public.
        patience: how often to try.
        report: takes a line for each failure that is tried again.

    Each method raises HubError where the Hub refuses or cannot be reached.
    """

    repo_id: str
    repo_type: str
    token: str | None
    patience: Patience
    report: Callable[[str], object]

    @property
    def api(self) -> HfApi:
        """The client."""
        return HfApi(token=self.token or False)

    @property
    def place(self) -> dict[str, Any]:
        """The two arguments that nearly every call takes."""
        return {"repo_id": self.repo_id, "repo_type": self.repo_type}

    @property
    def url(self) -> str:
        """The page."""
        return f"{self.api.endpoint}/{'datasets/' if self.repo_type == 'dataset' else ''}{self.repo_id}"

    def trying(self, doing: str, call: Callable[[], T]) -> T:
        """Make a call that may be made twice."""
        for attempt in itertools.count(1):
            try:
                return call()
            except Exception as error:
                self.wait_or_raise(doing, error, attempt, retrying.is_passing(error))
        raise AssertionError("unreachable")

    def wait_or_raise(self, doing: str, error: Exception, attempt: int, is_passing: bool) -> None:
        """After so many attempts that failed: wait for the next, or give up and say why."""
        doing = f"{self.repo_id}: {doing}"
        if not is_passing or self.patience.is_over(attempt, error):
            raise self._explained(doing, error)
        seconds = self.patience.seconds(attempt, error)
        self.report(f"{doing}: {retrying.cause(error, self.token)}; again in {seconds:g} s")
        self.patience.sleep(seconds)

    def _explained(self, doing: str, error: Exception) -> BaseException:
        """One line; about permission also with whom the token belongs to, if the Hub says so."""
        told = retrying.explained(error, doing, self.token)
        if retrying.status_of(error) != 403 or self.token is None:
            return told
        try:
            found = self.api.whoami()
            role = found.get("auth", {}).get("accessToken", {}).get("role", "unknown")
            names = [found["name"], *(org["name"] for org in found.get("orgs", []))]
        except Exception:  # it is a hint only, and tokens of CI jobs may not ask
            return told
        more = HubError(f"{told} (this one is of {found['name']}, role {role}, namespaces {', '.join(names)})")
        more.__cause__ = told.__cause__
        return more

    # reading

    def is_private(self) -> bool | None:
        """Whether it is private; None where there is none, or the token may not see it."""

        def ask() -> bool | None:
            try:
                return bool(self.api.repo_info(**self.place).private)
            except RepositoryNotFoundError as error:
                if self.token is not None and retrying.status_of(error) == 401:
                    raise  # the Hub knows no such token
                return None

        return self.trying("looking for the repository", ask)

    def branches(self) -> dict[str, str]:
        """Branches and their commits."""
        return self._refs("branches")

    def tags(self) -> dict[str, str]:
        """Tags and their commits."""
        return self._refs("tags")

    def _refs(self, kind: str) -> dict[str, str]:
        refs = self.trying(f"listing {kind}", lambda: self.api.list_repo_refs(**self.place))
        return {ref.name: ref.target_commit for ref in getattr(refs, kind)}

    def open_pulls(self, title: str) -> dict[str, str]:
        """Addresses of the open pull requests of that title, by their reference."""

        def ask() -> dict[str, str]:
            found = self.api.get_repo_discussions(**self.place)
            pulls = [item for item in found if item.is_pull_request and item.status == "open" and item.title == title]
            return {str(item.git_reference): f"{self.url}/discussions/{item.num}" for item in pulls}

        return self.trying("listing pull requests", ask)

    def state(self, revision: str) -> State:
        """Where a branch, a tag or a reference is, and what is there."""

        def ask() -> State:
            sha = str(self.api.repo_info(**self.place, revision=revision).sha)
            tree = self.api.list_repo_tree(**self.place, revision=sha, recursive=True)
            return State(sha, {item.path: _remote_file(item) for item in tree if isinstance(item, RepoFile)})

        return self.trying(f"reading {revision}", ask)

    def read(self, path: str, sha: str) -> bytes:
        """A small file of a commit; no cache takes part."""

        def ask() -> bytes:
            with tempfile.TemporaryDirectory(prefix="mnist1d-hf-") as folder:
                options = {**self.place, "revision": sha, "cache_dir": folder, "token": self.token or False}
                return Path(hf_hub_download(filename=path, **options)).read_bytes()

        return self.trying(f"reading {path}", ask)

    # writing

    def create(self, private: bool) -> None:
        """Make the repository; one that is there stays as it is."""

        def make() -> object:
            return self.api.create_repo(**self.place, private=private or None, exist_ok=True)

        self.trying("creating the repository", make)

    def create_branch(self, branch: str, sha: str) -> None:
        """Make a branch at a commit."""

        def make() -> None:
            self.api.create_branch(**self.place, branch=branch, revision=sha, exist_ok=True)

        self.trying(f"creating the branch {branch}", make)

    def commit(
        self, planned: Plan, files: Mapping[str, LocalFile], message: str, revision: str, create_pr: bool
    ) -> Sent:
        """Send what is planned as one commit on top of `planned.parent`. It is not tried again here.

        Raises:
            Exception: whatever the client raises; see `retrying` for what it means.
        """
        operations: list[Any] = [CommitOperationDelete(path, is_folder=False) for path in planned.deleted]
        operations += [CommitOperationAdd(path, files[path].source) for path in planned.sent]
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always", UserWarning)
            info = self.api.create_commit(
                **self.place,
                operations=operations,
                commit_message=message,
                revision=revision,
                create_pr=create_pr,
                parent_commit=planned.parent,
            )
        for remark in {" ".join(str(item.message).split()) for item in remarks}:
            self.report(f"{self.repo_id}: {remark}")
        return Sent(info.oid, info.pr_url)

    def create_tag(self, tag: str, sha: str) -> None:
        """Name a commit. A name that is taken is left alone: ask `tags` afterwards."""

        def make() -> None:
            self.api.create_tag(**self.place, tag=tag, revision=sha, exist_ok=True)

        self.trying(f"creating the tag {tag}", make)

    def collect(self, title: str, private: bool) -> str:
        """Put the repository into the collection of that title, or slug, in its namespace; make it if need be.

        Returns:
            The collection's slug.
        """
        namespace = self.repo_id.partition("/")[0]

        def put() -> str:
            slug = title if re.fullmatch(rf"{re.escape(namespace)}/\S+-[0-9a-f]{{24}}", title) else None
            if slug is None:
                present = self.api.list_collections(owner=namespace)
                slug = next((item.slug for item in present if item.title == title), None)
            if slug is None:
                made = self.api.create_collection(title, namespace=namespace, private=private, exists_ok=True)
                slug = made.slug
            kind: Any = self.repo_type
            self.api.add_collection_item(slug, item_id=self.repo_id, item_type=kind, exists_ok=True)
            return str(slug)

        return self.trying(f"adding to the collection {title!r}", put)


def _remote_file(item: RepoFile) -> RemoteFile:
    large = item.lfs
    return RemoteFile(item.size, item.blob_id) if large is None else RemoteFile(large.size, item.blob_id, large.sha256)
