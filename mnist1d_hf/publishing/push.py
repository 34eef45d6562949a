"""A folder onto the Hub: plan, one commit, read back, tag, collection. Nothing else in this package writes there.

Every step can be repeated: a publish that was stopped anywhere is finished by the same command, and one that has
nothing to change makes no commit. An occupied tag is found before anything is sent, and a tag or a collection only
ever names what was read back and compared.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import CommitOperationAdd, CommitOperationDelete

from mnist1d_hf.errors import HubError, InvalidValueError
from mnist1d_hf.export.folder import damaged_files, sums_text
from mnist1d_hf.files import Store
from mnist1d_hf.publishing.cards import merge_card
from mnist1d_hf.publishing.hub import Hub, Report, RetryPolicy, UnreachableError, find_token
from mnist1d_hf.publishing.repositories import CARD, SUMS, Repository

MAIN = "main"
_PULL = re.compile(r"refs/pr/\d+")

Check = Callable[[Repository, Path], object]


@dataclasses.dataclass(frozen=True)
class Options:
    """How to publish.

    Args:
        private: make a new repository private. One that is public already is refused then.
        create_pr: open a pull request to main instead of committing to it; nothing is tagged or collected then.
        revision: the branch; made from main where it is missing.
        tag: for the commit, once it was read back; None for none.
        collection: title (or slug) of a collection in the repository's namespace; made where it is missing.
        message: of the commit, and title of a pull request.
        policy: how often to try what fails, and how long to wait.
    """

    private: bool = False
    create_pr: bool = False
    revision: str = MAIN
    tag: str | None = None
    collection: str | None = None
    message: str = "Publish with mnist1d-hf"
    policy: RetryPolicy = dataclasses.field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        if self.create_pr and self.revision != MAIN:
            raise InvalidValueError(f"revision: a pull request goes to {MAIN}, found {self.revision!r}; choose one")
        if self.create_pr and self.tag is not None:
            raise InvalidValueError(f"tag: a pull request gets none before it is merged, found {self.tag!r}")


class Change(NamedTuple):
    """One line of a plan: `size` is what it will be, `before` what it is; None where there is no such file."""

    kind: str  # "add", "change", "delete"
    path: str
    size: int | None
    before: int | None


class Plan(NamedTuple):
    """What a publish would do.

    Attributes:
        folder: the files that shall be there; the card has the keys that others added.
        parent: the commit that was compared with; None where nothing was compared.
        changes: additions, changes and deletions, sorted by path.
        unchanged: how many files are there already.
        foreign: how many files someone else added; they stay.
        compared: with what the folder was compared, in words.
    """

    folder: Path
    parent: str | None
    changes: list[Change]
    unchanged: int
    foreign: int
    compared: str

    def __str__(self) -> str:
        counts = [
            f"{sum(change.kind == kind for change in self.changes)} to {kind}" for kind in ("add", "change", "delete")
        ]
        size = sum(change.size or 0 for change in self.changes)
        return f"{', '.join(counts)} ({size:,} bytes to send), {self.unchanged} unchanged, {self.foreign} by others"


class Published(NamedTuple):
    """What is on the Hub now.

    Attributes:
        url: the page of the repository, or of the pull request.
        sha: the commit that holds everything and was read back.
        changed: whether a commit was made.
        tag: the tag that names these files.
        collection: the slug of the collection.
    """

    url: str
    sha: str
    changed: bool
    tag: str | None = None
    collection: str | None = None


def plan(repository: Repository, folder: Path, options: Options, report: Report = print) -> Plan:
    """What publishing this folder would change; writes nothing and needs no token. Transient errors are not retried.

    Where it cannot be known what is on the Hub, every file is new.

    Raises:
        HubError: the Hub refuses.
    """
    compared = "there is no such repository yet, or it cannot be seen without its owner's token"
    unknown = "what is there is unknown, so that every file is listed as new"
    if not repository.has_place:
        compared = f"{unknown} (no repository was named)"
    else:
        policy = dataclasses.replace(options.policy, attempts=1)
        with tempfile.TemporaryDirectory(prefix="mnist1d-hf-") as work:
            hub = _Publisher(repository, find_token(policy), policy, report, Path(work))
            try:
                if found := hub.dry_run(folder, options):
                    return found
            except UnreachableError as error:
                compared = f"{unknown} ({error})"
    store = Store(folder)
    changes = [Change("add", name, store.size(name), None) for name in store.names()]
    return Plan(folder, None, changes, unchanged=0, foreign=0, compared=compared)


def publish(
    repository: Repository, folder: Path, options: Options, check: Check | None = None, report: Report = print
) -> Published:
    """Make a repository hold the files of a folder, in one commit, and see that it does.

    Files that an earlier publish left and that are no longer in the folder are deleted; files that someone else added
    stay. What is equal is not sent. If someone else commits meanwhile, the plan is made again on top of that.

    Args:
        repository: where.
        folder: what shall be there, README.md and SHA256SUMS included.
        options: see `Options`.
        check: called with the repository and a folder that holds what the Hub gave back; raises if that is no good.
        report: takes lines about what goes on.

    Raises:
        HubError: no token; the Hub refuses or cannot be reached; the tag names other files; the commit does not
            hold what was sent.
    """
    token = find_token(options.policy)
    if not repository.has_place:
        raise InvalidValueError("repo id: expected the repository to publish to, found none; see --help")
    if token is None:
        raise HubError(f"{repository.repo_id}: no token to publish with; run `hf auth login` or set HF_TOKEN")
    for path in folder.rglob("*"):
        if path.is_file() and token.encode() in path.read_bytes():
            raise HubError(f"{path}: expected no secret, found the token; nothing was sent, remove it")
    with tempfile.TemporaryDirectory(prefix="mnist1d-hf-") as work:
        hub = _Publisher(repository, token, options.policy, report, Path(work))
        hub.prepare(options)
        done, sent = hub.commit(folder, options)
        hub.read_back(done.sha, sent, check)
        if options.tag is not None:
            hub.tag(options.tag, done.sha, folder)
        if options.collection is not None and not options.create_pr:
            done = done._replace(collection=hub.collect(options.collection, options.private))
    return done._replace(tag=options.tag)


class _Publisher(Hub):
    """Compares the repository with a folder, and changes it."""

    def plan(self, folder: Path, revision: str) -> Plan:
        """Compare a folder with a branch, a tag, a commit or a pull request.

        Ours are the files of the folder, and those that the SHA256SUMS on the Hub names: an earlier publish put them
        there. Everything else was added by someone else.
        """
        info = self.call(f"reading {revision}", self.api.repo_info, revision=revision, files_metadata=True)
        before = {item.rfilename: item.size for item in info.siblings}
        view = self.new_folder() / "files"
        shutil.copytree(folder.absolute(), view, copy_function=os.symlink)
        if CARD in before:
            _keep_keys(view, self.read(CARD, info.sha))
        sums = self.read(SUMS, info.sha) if SUMS in before else ""
        options = {"revision": info.sha, "local_dir": view}
        found = self.call(f"comparing with {revision}", self.api.verify_repo_checksums, **options)
        differing = [item["path"] for item in found.mismatches]
        earlier = {line.partition("  ")[2] for line in sums.splitlines()} | {SUMS}
        gone = [path for path in found.missing_paths if path in earlier]
        kinds = {**dict.fromkeys(found.extra_paths, "add"), **dict.fromkeys(differing, "change")}
        changes = [Change(kind, path, (view / path).stat().st_size, before.get(path)) for path, kind in kinds.items()]
        changes += [Change("delete", path, None, before.get(path)) for path in gone]
        return Plan(
            folder=view,
            parent=info.sha,
            changes=sorted(changes, key=lambda change: change.path),
            unchanged=found.checked_count - len(differing),
            foreign=len(found.missing_paths) - len(gone),
            compared=f"compared with commit {info.sha[:10]}",
        )

    def dry_run(self, folder: Path, options: Options) -> Plan | None:
        """What publishing would change; None where there is no repository."""
        private = self.is_private()
        if private is None:
            return None
        self.refuse_public(private, options)
        known = _PULL.fullmatch(options.revision) or options.revision in self.refs("branches")
        found = self.plan(folder, options.revision if known else MAIN)
        try:
            if options.tag is not None:
                self.is_tagged(options.tag, folder)
        except UnreachableError:
            raise
        except HubError as error:
            self.report(f"This would be refused: {error}")
        return found

    def is_tagged(self, tag: str, folder: Path) -> bool:
        """Whether the tag is there, at a commit where publishing this folder would change nothing.

        Raises:
            HubError: it names other content.
        """
        place = self.refs("tags").get(tag)
        others = [change.path for change in self.plan(folder, place).changes] if place else []
        if others:
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            raise HubError(
                f"{self.repo_id}: tag {tag}: expected this content, found commit {str(place)[:10]} with other files: "
                f"{', '.join(others[:3])}{more}; a tag is never moved: raise the version, choose another --tag, or "
                f"publish with --no-tag"
            )
        return place is not None

    def same_pull(self, folder: Path, title: str) -> tuple[Published, Path] | None:
        """An open pull request with this title and these files, of an earlier run or attempt."""
        found = self.call("listing pull requests", lambda **place: list(self.api.get_repo_discussions(**place)))
        for item in found:
            if item.is_pull_request and item.status == "open" and item.title == title:
                planned = self.plan(folder, str(item.git_reference))
                if not planned.changes:
                    return Published(f"{self.url}/discussions/{item.num}", str(planned.parent), False), planned.folder
        return None

    # Writing

    def refuse_public(self, private: bool, options: Options) -> None:
        """Raise where a private repository was asked for, and there is a public one."""
        if options.private and not private:
            raise HubError(
                f"{self.repo_id}: expected a private repository, found a public one; nothing was sent; "
                f"make it private in its settings, or publish without --private"
            )

    def prepare(self, options: Options) -> None:
        """See that there is a repository, as private as it should be, with the branch."""
        private = self.is_private()
        if private is None:
            self.report(f"{self.repo_id}: creating the repository")
            wanted: dict[str, Any] = {"private": options.private or None, "exist_ok": True}
            if self.repository.repo_type == "space":
                wanted["space_sdk"] = "static"
            self.call("creating the repository", self.api.create_repo, **wanted)
            private = self.is_private()
        if private is None:
            raise HubError(
                f"{self.repo_id}: the name is taken by something that this token may not see; choose another name"
            )
        self.refuse_public(private, options)
        branch = options.revision
        if branch == MAIN or _PULL.fullmatch(branch) or branch in (branches := self.refs("branches")):
            return
        if branch in self.refs("tags") or re.fullmatch(r"[0-9a-f]{40}", branch):
            raise InvalidValueError(f"revision: expected a branch, found the tag or commit {branch!r}")
        make = self.api.create_branch
        self.call(f"creating the branch {branch}", make, branch=branch, revision=branches[MAIN], exist_ok=True)

    def commit(self, folder: Path, options: Options) -> tuple[Published, Path]:
        """Bring the branch (or a pull request) to hold the files, with one commit if it does not.

        When a connection breaks, nobody knows whether the commit took effect. So each attempt begins with a new plan:
        nothing left to change means that it did.

        Returns:
            What is there now, and the folder with the files as they were sent.
        """
        first: str | None = None

        def attempt() -> tuple[Published, Path]:
            nonlocal first
            planned = self.plan(folder, options.revision)
            parent = str(planned.parent)
            again, first = first is not None, first or parent
            if not planned.changes:
                return Published(self.url, parent, parent != first), planned.folder
            if options.create_pr and (found := self.same_pull(folder, options.message)):
                return found[0]._replace(changed=again), found[1]
            if options.tag is not None:
                self.is_tagged(options.tag, folder)
            self.report(f"{self.repo_id}: {planned}")
            operations: list[Any] = [
                CommitOperationDelete(change.path, is_folder=False)
                if change.kind == "delete"
                else CommitOperationAdd(change.path, planned.folder / change.path)
                for change in planned.changes
            ]
            sent = self.api.create_commit(
                **self.place,
                operations=operations,
                commit_message=options.message,
                revision=options.revision,
                create_pr=options.create_pr,
                parent_commit=planned.parent,
            )
            return Published(sent.pr_url or self.url, sent.oid, True), planned.folder

        return self.policy.call(f"{self.repo_id}: committing", attempt, self.report, self.token, retry_stale=True)

    def read_back(self, sha: str, sent: Path, check: Check | None) -> None:
        """Download the files of a commit, compare their checksums with those of what was sent, and check them."""
        store = Store(sent)
        expected = {name: store.digest(name) for name in store.names()}

        def download(**place: Any) -> Path:
            new = self.new_folder()  # one for each attempt: the client prefers what is there
            options: dict[str, Any] = {"local_dir": new / "files", "cache_dir": new / "cache", "revision": sha}
            self.api.snapshot_download(**place, **options, allow_patterns=[glob.escape(name) for name in expected])
            shutil.rmtree(new / "files" / ".cache", ignore_errors=True)  # the client's notes, no part of the commit
            return new / "files"

        back = self.call(f"reading {sha[:10]} back", download)
        if wrong := damaged_files(Store(back), expected):
            raise HubError(
                f"{self.repo_id}: commit {sha[:10]} does not hold what was sent: "
                f"{'; '.join(f'{name} {what}' for name, what in wrong.items())}; "
                f"delete these files on the Hub and publish again"
            )
        try:
            if check is not None:
                check(self.repository, back)
        except OSError as error:
            raise HubError(
                f"{self.repo_id}: commit {sha[:10]} is on the Hub, but the check of what came back failed: "
                f"{' '.join(str(error).split())}; correct that and publish again"
            ) from error

    def tag(self, tag: str, sha: str, folder: Path) -> None:
        """Give the commit its tag, unless the tag is there already and names the same content."""
        if self.is_tagged(tag, folder):
            return
        self.call(f"creating the tag {tag}", self.api.create_tag, tag=tag, revision=sha, exist_ok=True)
        if not self.is_tagged(tag, folder):  # a name that was taken meanwhile is left alone by the Hub
            raise HubError(f"{self.repo_id}: tag {tag}: it was made and is gone again; publish again")

    def collect(self, title: str, private: bool) -> str:
        """Put the repository into the collection of that title, or slug, in its namespace; make it if need be.

        Returns:
            The collection's slug.
        """
        namespace = self.repo_id.partition("/")[0]

        def put(repo_id: str, repo_type: Any) -> str:
            slug = title if re.fullmatch(rf"{re.escape(namespace)}/\S+-[0-9a-f]{{24}}", title) else None
            if slug is None:
                present = self.api.list_collections(owner=namespace)
                slug = next((item.slug for item in present if item.title == title), None)
            if slug is None:
                slug = self.api.create_collection(title, namespace=namespace, private=private, exists_ok=True).slug
            self.api.add_collection_item(slug, item_id=repo_id, item_type=repo_type, exists_ok=True)
            return slug

        return str(self.call(f"adding to the collection {title!r}", put))


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
