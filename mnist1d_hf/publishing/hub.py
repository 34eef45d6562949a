"""A folder onto the Hub: plan, one commit, read back, tag, collection. Nothing else in this package writes there.

Every step can be repeated: a publish that was stopped anywhere is finished by the same command, and one that has
nothing to change makes no commit. The order guards what others rely on: an occupied tag is found before anything is
sent, and a tag or a collection only ever names what was read back and found right.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mnist1d_hf.errors import HubError, InvalidValueError
from mnist1d_hf.publishing import planning, retrying
from mnist1d_hf.publishing.layout import CARD, SUMS, check_repo_id
from mnist1d_hf.publishing.planning import LocalFile, Plan
from mnist1d_hf.publishing.readback import read_back
from mnist1d_hf.publishing.remote import Remote, State, find_token
from mnist1d_hf.publishing.retrying import Patience

MAIN = "main"
_PULL = re.compile(r"refs/pr/\d+")

MergeCard = Callable[[str, str], str]
Report = Callable[[str], object]


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
        patience: how often to try what fails, and how long to wait.
    """

    private: bool = False
    create_pr: bool = False
    revision: str = MAIN
    tag: str | None = None
    collection: str | None = None
    message: str = "Publish with mnist1d-hf"
    patience: Patience = dataclasses.field(default_factory=Patience)

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


class _Committed(NamedTuple):
    sha: str
    changed: bool
    files: dict[str, LocalFile]
    pull_request: str | None = None


def plan_folder(
    folder: Path,
    repo_id: str,
    repo_type: str,
    options: Options = Options(),
    *,
    merge_card: MergeCard | None = None,
    report: Report = print,
) -> Plan:
    """What publishing this folder would change; writes nothing, neither here nor there, and needs no token.

    Raises:
        HubError: the Hub cannot be reached, or refuses.
        OutputError: the folder cannot be read.
    """
    files = planning.read_folder(folder)
    remote = Remote(check_repo_id(repo_id), repo_type, find_token(options.patience), options.patience, report)
    private = remote.is_private()
    if private is None:
        return planning.plan(repo_id, repo_type, None, files, {}, {})
    _refuse_public(remote, private, options)
    known = _PULL.fullmatch(options.revision) or options.revision in remote.branches()
    found, _ = _plan(remote, remote.state(options.revision if known else MAIN), files, merge_card)
    if options.tag is not None:
        try:
            _is_tagged(remote, options.tag, files, merge_card)
        except HubError as error:
            if retrying.is_out_of_reach(error):
                raise
            report(f"This would be refused: {error}")
    return found


def publish_folder(
    folder: Path,
    repo_id: str,
    repo_type: str,
    options: Options = Options(),
    *,
    merge_card: MergeCard | None = None,
    check_back: Callable[[Path], object] | None = None,
    report: Report = print,
) -> Published:
    """Make a repository hold the files of a folder, in one commit, and see that it does.

    Files that an earlier publish left and that are no longer in the folder are deleted; files that someone else added
    stay. What is equal is not sent. If someone else commits meanwhile, the plan is made again on top of that.

    Args:
        folder: what shall be there, README.md and SHA256SUMS included.
        repo_id, repo_type: "namespace/name"; "dataset" or "model".
        options: see `Options`.
        merge_card: from our card and the one on the Hub to the one to be published.
        check_back: called with a folder that holds what the Hub gave back; raises if that is no good.
        report: takes lines about what goes on.

    Raises:
        HubError: no token; the Hub refuses or cannot be reached; the tag names other files; the commit does not
            hold what was sent.
        InvalidValueError: a bad name.
        OutputError: the folder cannot be read.
    """
    files = planning.read_folder(folder)
    token = find_token(options.patience)
    if token is None:
        raise HubError(f"{check_repo_id(repo_id)}: no token to publish with; run `hf auth login` or set HF_TOKEN")
    for path, file in files.items():
        if token.encode() in file.read():
            raise HubError(f"{folder / path}: expected no secret, found the token; nothing was sent, remove it")
    remote = Remote(check_repo_id(repo_id), repo_type, token, options.patience, report)
    _prepare(remote, options)
    done = _commit(remote, files, options, merge_card)
    try:
        read_back(remote, done.sha, done.files, check_back)
    except HubError:
        raise
    except Exception as error:
        raise HubError(
            f"{repo_id}: commit {done.sha[:10]} is on the Hub, but the check of what came back failed: "
            f"{' '.join(str(error).split()) or type(error).__name__}; mend that and publish again"
        ) from error
    if options.tag is not None:
        _tag(remote, options.tag, done.sha, files, merge_card)
    collection = None
    if options.collection is not None and done.pull_request is None:
        collection = remote.collect(options.collection, options.private)
    url = done.pull_request or remote.url
    return Published(url, done.sha, done.changed, options.tag, done.pull_request, collection)


def _prepare(remote: Remote, options: Options) -> None:
    """See that there is a repository, as private as it should be, with the branch."""
    private = remote.is_private()
    if private is None:
        remote.report(f"{remote.repo_id}: creating the repository")
        remote.create(options.private)
        private = remote.is_private()
        if private is None:
            raise HubError(
                f"{remote.repo_id}: the name is taken by something that this token may not see; choose another name"
            )
    _refuse_public(remote, private, options)
    if options.revision == MAIN or _PULL.fullmatch(options.revision):
        return
    branches = remote.branches()
    if options.revision not in branches:
        if options.revision in remote.tags() or re.fullmatch(r"[0-9a-f]{40}", options.revision):
            raise InvalidValueError(f"revision: expected a branch, found the tag or commit {options.revision!r}")
        remote.create_branch(options.revision, branches[MAIN])


def _refuse_public(remote: Remote, private: bool, options: Options) -> None:
    if options.private and not private:
        raise HubError(
            f"{remote.repo_id}: expected a private repository, found a public one; nothing was sent; "
            f"make it private in its settings, or publish without --private"
        )


def _plan(
    remote: Remote, state: State, files: dict[str, LocalFile], merge_card: MergeCard | None
) -> tuple[Plan, dict[str, LocalFile]]:
    """Compare with a state of the repository. Returns also the files, with the card merged."""
    sums = remote.read(SUMS, state.sha).decode("utf-8", "replace") if SUMS in state.files else ""
    if merge_card is not None and CARD in state.files and not state.files[CARD].holds(files.get(CARD, _NOTHING)):
        files = planning.with_card(files, remote.read(CARD, state.sha).decode("utf-8", "replace"), merge_card)
    before = planning.parse_sums(sums) | ({SUMS: ""} if sums else {})
    found = planning.plan(remote.repo_id, remote.repo_type, state.sha, files, state.files, before)
    return found, files


_NOTHING = LocalFile.of(b"")


def _commit(remote: Remote, files: dict[str, LocalFile], options: Options, merge_card: MergeCard | None) -> _Committed:
    """Bring the branch (or a pull request) to hold the files, with one commit if it does not.

    The client does not repeat a commit, and when a connection breaks nobody knows whether it took effect. So each
    attempt begins with reading where the branch is now: nothing left to change means that it did.
    """
    first: str | None = None
    for attempt in itertools.count(1):
        state = remote.state(options.revision)
        first = first or state.sha
        planned, merged = _plan(remote, state, files, merge_card)
        if not planned.changes:
            return _Committed(state.sha, state.sha != first, merged)
        if options.create_pr and (found := _same_pull(remote, files, options, merge_card)):
            return found._replace(changed=attempt > 1)
        if options.tag is not None:
            _is_tagged(remote, options.tag, files, merge_card)
        remote.report(f"{remote.repo_id}: {planned}")
        try:
            sent = remote.commit(planned, merged, options.message, options.revision, options.create_pr)
            return _Committed(sent.sha, sent.sha != planned.parent, merged, sent.pull_request)
        except Exception as error:
            again = retrying.is_stale(error) or retrying.is_passing(error)
            remote.wait_or_raise("committing", error, attempt, again)
    raise AssertionError("unreachable")


def _same_pull(
    remote: Remote, files: dict[str, LocalFile], options: Options, merge_card: MergeCard | None
) -> _Committed | None:
    """An open pull request of this title that holds the files: of an earlier run, or of a commit without an answer."""
    for ref, url in remote.open_pulls(options.message).items():
        state = remote.state(ref)
        planned, merged = _plan(remote, state, files, merge_card)
        if not planned.changes:
            return _Committed(state.sha, False, merged, url)
    return None


def _tag(remote: Remote, tag: str, sha: str, files: dict[str, LocalFile], merge_card: MergeCard | None) -> None:
    """Give the commit its tag, unless the tag is there already and names the same content."""
    if not _is_tagged(remote, tag, files, merge_card):
        remote.create_tag(tag, sha)
        if not _is_tagged(remote, tag, files, merge_card):
            raise HubError(f"{remote.repo_id}: tag {tag}: it was made and is gone again; publish again")


def _is_tagged(remote: Remote, tag: str, files: dict[str, LocalFile], merge_card: MergeCard | None) -> bool:
    """Whether the tag is there, at a commit where publishing these files would change nothing.

    Raises:
        HubError: it names other content.
    """
    place = remote.tags().get(tag)
    if place is None:
        return False
    planned, _ = _plan(remote, remote.state(place), files, merge_card)
    if planned.changes:
        others = ", ".join(change.path for change in planned.changes[:3])
        more = f" and {len(planned.changes) - 3} more" if len(planned.changes) > 3 else ""
        raise HubError(
            f"{remote.repo_id}: tag {tag}: expected this content, found commit {place[:10]} with other files: {others}"
            f"{more}; a tag is never moved: raise the version, choose another --tag, or publish with --no-tag"
        )
    return True
