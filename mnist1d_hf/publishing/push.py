"""A folder onto the Hub: one commit, read back, tag, collection. Nothing else in this package writes there.

Every step can be repeated: a publish that was stopped anywhere is finished by the same command, and one that has
nothing to change makes no commit. An occupied tag is found before anything is sent, and a tag or a collection only
ever names what was read back and compared.
"""

from __future__ import annotations

import dataclasses
import filecmp
import glob
import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import CommitOperationAdd, CommitOperationDelete

from mnist1d_hf.errors import HubError, InvalidValueError
from mnist1d_hf.publishing.plan import Change, Plan, Remote, Report
from mnist1d_hf.publishing.repositories import Repository
from mnist1d_hf.publishing.retry import RetryPolicy, find_token, is_stale, is_transient, is_unreachable

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


class Published(NamedTuple):
    """What is on the Hub now.

    Attributes:
        url: the page of the repository, or of the pull request.
        sha: the commit that holds everything and was read back.
        changed: whether a commit was made.
        tag: the tag that names these files.
        pull_request: the address of the pull request.
        collection: the slug of the collection.
    """

    url: str
    sha: str
    changed: bool
    tag: str | None = None
    pull_request: str | None = None
    collection: str | None = None


def plan(repository: Repository, folder: Path, options: Options, report: Report = print) -> tuple[Plan, str | None]:
    """What publishing this folder would change; writes nothing and needs no token.

    Returns:
        The plan, and why it is not known what is on the Hub, if it is not: every file is new then.

    Raises:
        HubError: the Hub refuses.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    added = [Change("add", path.relative_to(folder).as_posix(), path.stat().st_size, None) for path in paths]
    new = Plan(folder, None, tuple(added))
    if not repository.has_place:
        return new, "no repository was named"
    policy = dataclasses.replace(options.policy, attempts=1)
    with tempfile.TemporaryDirectory(prefix="mnist1d-hf-") as work:
        hub = _Writer(repository, find_token(policy), policy, report, Path(work))
        try:
            return (hub.dry_run(folder, options) or new), None
        except HubError as error:
            if not is_unreachable(error):
                raise
            return new, str(error)


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
        hub = _Writer(repository, token, options.policy, report, Path(work))
        hub.prepare(options)
        done, sent = hub.commit(folder, options)
        hub.read_back(done.sha, sent, check)
        if options.tag is not None:
            hub.tag(options.tag, done.sha, folder)
        if options.collection is not None and done.pull_request is None:
            done = done._replace(collection=hub.collect(options.collection, options.private))
    return done._replace(tag=options.tag)


class _Writer(Remote):
    """Changes a repository on the Hub."""

    def dry_run(self, folder: Path, options: Options) -> Plan | None:
        """What publishing would change; None where there is no repository."""
        private = self.is_private()
        if private is None:
            return None
        self.refuse_public(private, options)
        known = _PULL.fullmatch(options.revision) or options.revision in self.refs("branches")
        found = self.plan(folder, options.revision if known else MAIN)
        if options.tag is not None:
            try:
                self.is_tagged(options.tag, folder)
            except HubError as error:
                if is_unreachable(error):
                    raise
                self.report(f"This would be refused: {error}")
        return found

    def prepare(self, options: Options) -> None:
        """See that there is a repository, as private as it should be, with the branch."""
        private = self.is_private()
        if private is None:
            self.report(f"{self.repo_id}: creating the repository")
            self.call(
                "creating the repository",
                lambda: self.api.create_repo(**self.place, private=options.private or None, exist_ok=True),
            )
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
        start = branches[MAIN]
        self.call(
            f"creating the branch {branch}",
            lambda: self.api.create_branch(**self.place, branch=branch, revision=start, exist_ok=True),
        )

    def refuse_public(self, private: bool, options: Options) -> None:
        """Raise where a private repository was asked for, and there is a public one."""
        if options.private and not private:
            raise HubError(
                f"{self.repo_id}: expected a private repository, found a public one; nothing was sent; "
                f"make it private in its settings, or publish without --private"
            )

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
            sent = self.api.create_commit(
                **self.place,
                operations=_operations(planned),
                commit_message=options.message,
                revision=options.revision,
                create_pr=options.create_pr,
                parent_commit=planned.parent,
            )
            return Published(sent.pr_url or self.url, sent.oid, True, pull_request=sent.pr_url), planned.folder

        return self.call("committing", attempt, retry_if=lambda error: is_transient(error) or is_stale(error))

    def same_pull(self, folder: Path, title: str) -> tuple[Published, Path] | None:
        """An open pull request with this title and these files, of an earlier run or attempt."""

        def ask() -> list[Any]:
            found = self.api.get_repo_discussions(**self.place)
            return [item for item in found if item.is_pull_request and item.status == "open" and item.title == title]

        for pull in self.call("listing pull requests", ask):
            planned = self.plan(folder, str(pull.git_reference))
            if not planned.changes:
                url = f"{self.url}/discussions/{pull.num}"
                return Published(url, str(planned.parent), False, pull_request=url), planned.folder
        return None

    def read_back(self, sha: str, sent: Path, check: Check | None) -> None:
        """Download the files of a commit, compare them byte by byte with what was sent, and check them."""
        names = sorted(path.relative_to(sent).as_posix() for path in sent.rglob("*") if path.is_file())

        def download() -> Path:
            place = self.new_folder()  # a new one for each attempt: the client prefers what is there
            options: dict[str, Any] = {"local_dir": place / "files", "cache_dir": place / "cache"}
            patterns = [glob.escape(name) for name in names]
            self.api.snapshot_download(**self.place, revision=sha, allow_patterns=patterns, **options)
            shutil.rmtree(place / "files" / ".cache", ignore_errors=True)  # the client's notes, no part of the commit
            return place / "files"

        back = self.call(f"reading {sha[:10]} back", download)
        wrong = [text for name in names if (text := _difference(sent / name, back / name, name))]
        if wrong:
            raise HubError(
                f"{self.repo_id}: commit {sha[:10]} does not hold what was sent: {'; '.join(wrong)}; "
                f"delete these files on the Hub and publish again"
            )
        if check is None:
            return
        try:
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
        self.call(
            f"creating the tag {tag}",
            lambda: self.api.create_tag(**self.place, tag=tag, revision=sha, exist_ok=True),
        )
        if not self.is_tagged(tag, folder):  # a name that was taken meanwhile is left alone by the Hub
            raise HubError(f"{self.repo_id}: tag {tag}: it was made and is gone again; publish again")

    def is_tagged(self, tag: str, folder: Path) -> bool:
        """Whether the tag is there, at a commit where publishing this folder would change nothing.

        Raises:
            HubError: it names other content.
        """
        place = self.refs("tags").get(tag)
        if place is None:
            return False
        changes = self.plan(folder, place).changes
        if changes:
            others = ", ".join(change.path for change in changes[:3])
            more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
            raise HubError(
                f"{self.repo_id}: tag {tag}: expected this content, found commit {place[:10]} with other files: "
                f"{others}{more}; a tag is never moved: raise the version, choose another --tag, or publish with "
                f"--no-tag"
            )
        return True

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
                slug = self.api.create_collection(title, namespace=namespace, private=private, exists_ok=True).slug
            kind: Any = self.repository.repo_type
            self.api.add_collection_item(slug, item_id=self.repo_id, item_type=kind, exists_ok=True)
            return str(slug)

        return self.call(f"adding to the collection {title!r}", put)


def _operations(planned: Plan) -> list[Any]:
    """What a commit does; the client leaves out what is equal."""
    return [
        CommitOperationDelete(change.path, is_folder=False)
        if change.kind == "delete"
        else CommitOperationAdd(change.path, planned.folder / change.path)
        for change in planned.changes
    ]


def _difference(sent: Path, back: Path, name: str) -> str | None:
    """What is wrong with a file that came back, if anything."""
    if not back.is_file():
        return f"{name} is missing"
    if filecmp.cmp(sent, back, shallow=False):
        return None
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (sent, back)]
    return f"{name}: expected SHA-256 {digests[0]}, found {digests[1]}"
