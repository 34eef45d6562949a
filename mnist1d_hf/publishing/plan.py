"""What a publish would change: a folder compared with a repository on the Hub. Nothing here writes there."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from mnist1d_hf.export.folder import sums_text
from mnist1d_hf.files import Store
from mnist1d_hf.publishing.cards import merge_card
from mnist1d_hf.publishing.repositories import CARD, SUMS, Repository
from mnist1d_hf.publishing.retry import RetryPolicy, is_transient, status_of

T = TypeVar("T")
Report = Callable[[str], object]


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
        folder: the files that shall be there; the card has the keys that others added.
        parent: the commit that was compared with; None where there is no repository yet, or it cannot be seen.
        changes: additions, changes and deletions, sorted by path.
        unchanged: how many files are there already.
        foreign: paths that someone else added; they stay.
    """

    folder: Path
    parent: str | None
    changes: tuple[Change, ...]
    unchanged: int = 0
    foreign: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = {kind: sum(change.kind == kind for change in self.changes) for kind in ("add", "change", "delete")}
        sizes = sum(change.size or 0 for change in self.changes)
        return (
            f"{counts['add']} to add, {counts['change']} to change, {counts['delete']} to delete ({sizes:,} bytes to "
            f"send), {self.unchanged} unchanged, {len(self.foreign)} by others"
        )


class Remote:
    """One repository on the Hub. Each method raises HubError where the Hub refuses or cannot be reached.

    Args:
        repository: which.
        token: None reads what is public.
        policy: for the calls that the client does not retry.
        report: takes a line before each retry.
        work: an empty folder.
    """

    def __init__(
        self, repository: Repository, token: str | None, policy: RetryPolicy, report: Report, work: Path
    ) -> None:
        self.repo_id = repository.repo_id
        self.repository = repository
        self.place: dict[str, Any] = {"repo_id": repository.repo_id, "repo_type": repository.repo_type}
        self.api = HfApi(token=token or False)
        self.url = f"{self.api.endpoint}/{'datasets/' if repository.repo_type == 'dataset' else ''}{self.repo_id}"
        self.token, self.policy, self.report, self.work = token, policy, report, work

    def call(
        self, doing: str, function: Callable[[], T], retry_if: Callable[[BaseException], bool] = is_transient
    ) -> T:
        """Call with retries."""
        return self.policy.call(f"{self.repo_id}: {doing}", function, self.report, self.token, retry_if)

    def new_folder(self) -> Path:
        """A folder that goes away at the end."""
        return Path(tempfile.mkdtemp(dir=self.work))

    def is_private(self) -> bool | None:
        """Whether it is private; None where there is none, or the token may not see it."""

        def ask() -> bool | None:
            try:
                return bool(self.api.repo_info(**self.place).private)
            except RepositoryNotFoundError as error:
                if self.token is not None and status_of(error) == 401:
                    raise  # the Hub knows no such token
                return None

        return self.call("looking for the repository", ask)

    def refs(self, kind: str) -> dict[str, str]:
        """Branches or tags, and their commits."""
        found = self.call(f"listing {kind}", lambda: self.api.list_repo_refs(**self.place))
        return {ref.name: ref.target_commit for ref in getattr(found, kind)}

    def read(self, path: str, sha: str) -> str:
        """A small text of a commit, downloaded anew."""

        def ask() -> str:
            options = {**self.place, "revision": sha, "cache_dir": self.new_folder()}
            return self.api.hf_hub_download(filename=path, **options)

        return Path(self.call(f"reading {path}", ask)).read_text(encoding="utf-8", errors="replace")

    def plan(self, folder: Path, revision: str) -> Plan:
        """Compare a folder with a branch, a tag, a commit or a pull request.

        Ours are the files of the folder, and those that the SHA256SUMS on the Hub names: an earlier publish put them
        there. Everything else was added by someone else.
        """
        options: dict[str, Any] = {"revision": revision, "files_metadata": True}
        info: Any = self.call(f"reading {revision}", lambda: self.api.repo_info(**self.place, **options))
        sizes = {item.rfilename: item.size for item in info.siblings}
        view = self.new_folder() / "files"
        shutil.copytree(folder.absolute(), view, copy_function=os.symlink)
        if CARD in sizes:
            _keep_keys(view, self.read(CARD, info.sha))
        before = self.read(SUMS, info.sha) if SUMS in sizes else ""
        # The client retries this itself, so that it is called once.
        once = dataclasses.replace(self.policy, attempts=1)
        found = once.call(
            f"{self.repo_id}: comparing with {revision}",
            lambda: self.api.verify_repo_checksums(**self.place, revision=info.sha, local_dir=view),
            self.report,
            self.token,
        )
        earlier = {line.partition("  ")[2] for line in before.splitlines()} | {SUMS}
        gone = [path for path in found.missing_paths if path in earlier]
        changes = [Change("add", path, (view / path).stat().st_size, None) for path in found.extra_paths]
        differing = [item["path"] for item in found.mismatches]
        changes += [Change("change", path, (view / path).stat().st_size, sizes.get(path)) for path in differing]
        changes += [Change("delete", path, None, sizes.get(path)) for path in gone]
        return Plan(
            view,
            info.sha,
            tuple(sorted(changes, key=lambda change: change.path)),
            found.checked_count - len(differing),
            tuple(path for path in found.missing_paths if path not in earlier),
        )


def _keep_keys(view: Path, theirs: str) -> None:
    """Give the card of a folder of links the keys that others added on the Hub; SHA256SUMS follows."""
    ours = (view / CARD).read_text(encoding="utf-8")
    merged = merge_card(ours, theirs)
    if merged != ours:
        for name in (CARD, SUMS):
            (view / name).unlink()
        (view / CARD).write_text(merged, encoding="utf-8", newline="\n")
        store = Store(view)
        (view / SUMS).write_text(sums_text({name: store.digest(name) for name in store.names()}), encoding="utf-8")
