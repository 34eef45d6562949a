"""Publishing a folder through the real client to a loopback Hub: what is sent, and every fault on the way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import huggingface_hub.utils._auth
import pytest

from tests.hub.client import client_environment
from tests.hub.server import Answer, Corrupt, Drop, Fault, HubServer, LoseAnswer
from tests.publishing.folders import contents, make_folder

CARD = b"---\nlicense: mit\n---\n# Numbers\n"
FIRST = {"README.md": CARD, "data/train.parquet": b"PAR1" * 99, "data/test.parquet": b"PAR1 test", "gone.txt": b"old"}
SECOND = {"README.md": CARD + b"More.\n", "data/train.parquet": b"PAR1" * 98, "data/test.parquet": b"PAR1 test"}
SECOND |= {"new.bin": b"new"}
NUMBERS = ("dataset", "user/numbers")


@pytest.fixture
def first(tmp_path):
    """A folder to publish."""
    return make_folder(tmp_path / "first", FIRST)


@pytest.fixture
def second(tmp_path):
    """The next version of it: a file gone, one added, two changed."""
    return make_folder(tmp_path / "second", SECOND)


def writes(server: HubServer) -> list[tuple[str, str]]:
    """The requests that may change something."""
    return [(method, path) for method, path in server.log if method not in ("GET", "HEAD")]


# Without faults


def test_a_new_repository_then_nothing_to_do(server, publish, tmp_path):
    """One commit that holds the folder, odd names included; the same again sends nothing and changes nothing."""
    folder = make_folder(tmp_path / "odd", {**FIRST, "data/[a] *b?.txt": b"odd"})
    done = publish(folder, tag="1.0", collection="All").result
    repo = server.repo(*NUMBERS)
    assert repo.files() == contents(folder)
    assert [commit.title for commit in repo.log()] == ["Publish with mnist1d-hf", "initial commit"]
    assert (done.url, done.sha, done.changed) == (f"{server.url}/datasets/user/numbers", repo.at("main").sha, True)
    assert (repo.tags, repo.private, server.state.listed("All")) == ({"1.0": done.sha}, False, [["user/numbers"]])
    server.log.clear()
    assert publish(folder, tag="1.0").result == done._replace(changed=False, collection=None)
    assert writes(server) == []


def test_an_update_spares_what_others_added(server, publish, first, second):
    """Only what changed is sent; what an earlier publish left is deleted, what somebody else put there is not."""
    publish(first)
    theirs: dict[str, bytes | None] = {"data/foreign.parquet": b"theirs", "notes.md": b"theirs"}
    server.push(*NUMBERS, theirs)
    server.bodies.clear()
    assert publish(second).result.changed
    repo = server.repo(*NUMBERS)
    assert repo.files() == {**contents(second), **theirs}
    assert [commit.author for commit in repo.log()] == ["user", "somebody", "user", "somebody"]
    assert not any(b'"data/test.parquet"' in body for body in server.bodies)


def test_keys_that_were_added_on_the_hub_survive(server, publish, first, second):
    """Through a publish of the same files, which makes no commit, and through one of others; the sums follow."""
    tagged = publish(first, tag="1.0").result.sha
    card = CARD.replace(b"---\n#", b"theirs: kept\n---\n#")
    changed = server.push(*NUMBERS, {"README.md": card})
    repo = server.repo(*NUMBERS)
    again = publish(first, tag="1.0").result  # SHA256SUMS gets the new checksum of the card
    assert (again.tag, repo.tags, repo.at("main").parent) == ("1.0", {"1.0": tagged}, changed)
    once_more = publish(first, tag="1.0").result
    assert (once_more.sha, once_more.changed) == (again.sha, False)
    assert repo.files()["README.md"] == card
    assert publish(second).error is None
    assert repo.files()["README.md"] == card + b"More.\n"


def test_a_plan_needs_no_token_and_writes_nothing(server, publish, first, second):
    """Everything is new where there is no repository; else what is added, changed and deleted, with sizes."""
    planned = publish(first, token=None, plan=True).result
    assert [change.kind for change in planned.changes] == ["add"] * 5
    assert "there is no such repository yet" in planned.compared
    publish(first, tag="1.0")
    server.log.clear()
    outcome = publish(second, token=None, plan=True, tag="1.0")
    assert [tuple(change) for change in outcome.result.changes if change.path != "SHA256SUMS"] == [
        ("change", "README.md", len(CARD) + 6, len(CARD)),
        ("change", "data/train.parquet", 392, 396),
        ("delete", "gone.txt", None, 3),
        ("add", "new.bin", 3, None),
    ]
    assert "1 to add, 3 to change, 1 to delete" in str(outcome.result)
    assert "This would be refused: user/numbers: tag 1.0: expected this content" in outcome.lines[-1]
    assert writes(server) == []


def test_private(server, publish, first, second):
    """A new repository; without the option it stays so. One that is public is refused before anything is sent."""
    publish(first, private=True)
    publish(second)
    assert server.repo(*NUMBERS).private
    server.push("dataset", "user/public", {})
    server.log.clear()
    failed = publish(first, repo_id="user/public", private=True)
    assert "expected a private repository, found a public one; nothing was sent" in str(failed.error)
    assert writes(server) == []


def test_a_pull_request_is_opened_once(server, publish, first, second):
    """main stays; a second run finds the open one, and so does a run whose answer got lost."""
    publish(first)
    pull = publish(second, create_pr=True).result
    repo = server.repo(*NUMBERS)
    assert pull.url == f"{server.url}/datasets/user/numbers/discussions/1"
    assert repo.files() == contents(first)
    assert repo.files("refs/pr/1") == contents(second)
    again = publish(second, create_pr=True).result
    assert (again.url, again.changed, len(repo.pulls)) == (pull.url, False, 1)
    server.push(*NUMBERS, {"gone.txt": b"changed"})
    server.faults = [Fault("POST", "/commit/main", LoseAnswer())]
    lost = publish(first, create_pr=True).result
    assert (lost.url[-1], lost.changed, len(repo.pulls)) == ("2", True, 2)


def test_other_branches(server, publish, first, second):
    """A missing one starts at main; tags and commits are none."""
    sha = publish(first, tag="1.0").result.sha
    publish(second, revision="next")
    repo = server.repo(*NUMBERS)
    assert (repo.files(), repo.files("next")) == (contents(first), contents(second))
    for name in ("1.0", sha):
        assert "revision: expected a branch" in str(publish(second, revision=name).error)


def test_a_tag_is_never_moved(server, publish, first, second):
    """One at other content is an error before anything is sent; also one that somebody makes at the last moment."""
    old = publish(first, tag="1.0").result.sha
    server.log.clear()
    failed = publish(second, tag="1.0")
    assert f"tag 1.0: expected this content, found commit {old[:10]} with other files: " in str(failed.error)
    assert "raise the version, choose another --tag, or publish with --no-tag" in str(failed.error)
    assert writes(server) == []
    repo = server.repo(*NUMBERS)
    server.faults = [Fault("POST", "/tag/", lambda _: repo.refs.update({"refs/tags/2.0": old}))]
    assert "tag 2.0: expected this content" in str(publish(second, tag="2.0").error)
    assert repo.tags == {"1.0": old, "2.0": old}
    assert repo.files() == contents(second)


def test_a_collection_is_made_once_and_filled(server, publish, first):
    """By title, and by the slug that this gives."""
    slug = publish(first, collection="All").result.collection
    assert publish(first, repo_id="user/net", collection="All").result.collection == slug
    assert publish(first, collection=slug).result.collection == slug
    assert server.state.listed("All") == [["user/numbers", "user/net"]]


# Errors of the user, each one line, with nothing written


@pytest.mark.parametrize(
    ("token", "place", "message"),
    [
        (None, "user/none", "no token to publish with; run `hf auth login` or set HF_TOKEN"),
        ("hf_wrong", "user/none", "the token is missing, wrong or expired; run `hf auth login` or set HF_TOKEN"),
        ("hf_wrong", "user/present", "looking for the repository: answer 401 (Invalid credentials in"),
        ("hf_read", "user/none", "`hf auth whoami` says whose it is; use one with write permission"),
        ("hf_read", "user/present", "use one with write permission here"),
        ("hf_other", "user/present", "`hf auth whoami` says whose it is"),
        ("hf_write", "other/hidden", 'rights to create a dataset under the namespace "other"'),
    ],
)
def test_without_permission_nothing_is_written(server, publish, first, token, place, message):
    """401 and 403: no token, a wrong one, one for reading, one of somebody else."""
    server.push("dataset", "user/present", {"a.txt": b"a"})
    server.push("dataset", "other/hidden", {"a.txt": b"a"})
    server.repo("dataset", "other/hidden").private = True
    failed = publish(first, token=token, repo_id=place)
    assert message in str(failed.error)
    assert ("dataset", "user/none") not in server.state.repos
    assert server.repo("dataset", "user/present").files() == {"a.txt": b"a"}
    assert failed.waits == []


def test_a_card_that_the_hub_refuses(server, publish, tmp_path):
    """Before anything is uploaded."""
    folder = make_folder(tmp_path / "bad", {**FIRST, "README.md": b"---\nlicense: nonsense\n---\n"})
    assert "the Hub does not accept the card; correct its YAML" in str(publish(folder).error)
    assert server.repo(*NUMBERS).files() == {}


@pytest.mark.parametrize("card", [b"---\na: [\n---\n", b"---\n- a\n---\n"])
def test_a_card_on_the_hub_that_cannot_be_read_is_not_lost(server, publish, first, card):
    """It is for its author to correct."""
    server.push(*NUMBERS, {"README.md": card})
    assert re.search(r"README\.md on the Hub: its YAML cannot be read: .* correct it there", publish(first).error)
    assert server.repo(*NUMBERS).files() == {"README.md": card}


def test_a_token_is_not_shown_and_not_sent(server, publish, first, tmp_path):
    """Not where the server repeats it, in messages and in lines about another try; not from a file of the folder."""
    server.push(*NUMBERS, {})
    said = {"X-Error-Message": "your token hf_write is odd"}
    server.faults = [Fault("POST", "/commit/", Answer(503, said)), Fault("POST", "/commit/", Answer(403, said))]
    failed = publish(first)
    assert "your token [token] is odd" in str(failed.error)
    assert "your token [token] is odd" in "".join(failed.lines)
    server.log.clear()
    leak = publish(make_folder(tmp_path / "leak", {**FIRST, "notes.txt": b"token: hf_write."}))
    assert "notes.txt: expected no secret, found the token; nothing was sent" in str(leak.error)
    assert server.log == []


# Logins


@pytest.fixture
def job(server, monkeypatch):
    """A job of GitHub Actions that may ask for its identity."""
    monkeypatch.setattr(huggingface_hub.utils._auth, "_OIDC_TOKEN_CACHE", None)
    monkeypatch.setenv("HF_OIDC_RESOURCE", "datasets/user/numbers")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{server.url}/mint")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-runner")


@pytest.mark.usefixtures("job")
def test_keyless_login_of_a_ci_job(server, publish, first):
    """The job's identity is exchanged for a token, which may not make repositories."""
    server.push(*NUMBERS, {})
    exchanged = Answer(200, body=b'{"access_token": "hf_write", "token_type": "bearer", "expires_in": 3600}')
    server.faults = [
        Fault("GET", "/mint", Answer(200, body=b'{"value": "identity-of-the-job"}'), times=2),
        Fault("POST", "/oauth/token", Answer(503)),
        Fault("POST", "/oauth/token", exchanged),
        Fault("POST", "/api/repos/create", Answer(403), times=99),
    ]
    outcome = publish(first, token=None)
    assert (outcome.error, outcome.waits) == (None, [1.0])
    assert server.repo(*NUMBERS).files() == contents(first)


@pytest.mark.usefixtures("job")
def test_keyless_login_that_fails(server, publish, first):
    """It was asked for, so no other token takes its place."""
    server.faults = [
        Fault("GET", "/mint", Answer(200, body=b'{"value": "unknown-job"}')),
        Fault("POST", "/oauth/token", Answer(401)),
    ]
    failed = publish(first, token="hf_write")
    assert str(failed.error).startswith("keyless login: answer 401")
    assert "the repository on the Hub must name it as a trusted publisher" in str(failed.error)
    assert "unknown-job" not in str(failed.error)
    assert server.state.repos == {}


# Faults

STEPS = {
    "look": ("GET", r"api/datasets/[^/]+/[^/]+$"),
    "create": ("POST", "/api/repos/create"),
    "state": ("GET", "/revision/main"),
    "tree": ("GET", "/tree/"),
    "tags": ("GET", "/refs"),
    "card": ("POST", "/api/validate-yaml"),
    "preupload": ("POST", "/preupload/"),
    "commit": ("POST", "/commit/main"),
    "metadata": ("HEAD", "/resolve/.*train"),
    "download": ("GET", "/resolve/.*train"),
    "tag": ("POST", "/tag/"),
    "find collection": ("GET", r"/api/collections\?"),
    "make collection": ("POST", "/api/collections$"),
    "collect": ("POST", "/items"),
}
TRANSIENT = {
    "429": Answer(429, {"Retry-After": "0"}),
    "502 in HTML": Answer(502, body=b"<html>Bad gateway</html>"),
    "dropped": Drop(),
    "answer lost": LoseAnswer(),
}


@pytest.mark.parametrize("fault", TRANSIENT)
@pytest.mark.parametrize("step", STEPS)
def test_a_transient_fault(server, publish, first, step, fault):
    """Once at each step, also after the server has done it: the same files, one commit, the tag, one collection."""
    server.faults = [Fault(*STEPS[step], TRANSIENT[fault])]
    outcome = publish(first, tag="1.0", collection="All")
    assert (outcome.error, server.faults[0].applied) == (None, 1)
    repo = server.repo(*NUMBERS)
    assert repo.files() == contents(first)
    assert len(repo.log()) == 2
    assert repo.tags == {"1.0": repo.at("main").sha}
    assert (outcome.result.sha, outcome.result.changed) == (repo.at("main").sha, True)
    assert outcome.waits in ([], [1.0])  # [] where the client itself tries again
    assert server.state.listed("All") == [["user/numbers"]]


@pytest.mark.parametrize("step", STEPS)
def test_a_fault_that_stays(server, publish, first, step):
    """A bounded number of tries, one line, and the next run finishes what was begun with one commit."""
    server.faults = [Fault(*STEPS[step], Answer(500) if step in ("look", "tree", "tag") else Drop(), times=999)]
    failed = publish(first, tag="1.0", collection="All", attempts=3)
    assert str(failed.error).startswith("user/numbers: ")
    assert "try again" in str(failed.error)
    assert failed.waits in ([], [1.0, 2.0])
    assert server.faults[0].applied <= 18  # the client makes six of one where it tries itself
    server.faults = []
    assert publish(first, tag="1.0", collection="All").error is None
    repo = server.repo(*NUMBERS)
    assert repo.files() == contents(first)
    assert (len(repo.log()), repo.tags) == (2, {"1.0": repo.at("main").sha})


def test_retry_after_is_respected(server, publish, first):
    """Up to ten minutes; a server that asks for more is not waited for. Without a request the waits grow."""
    server.push(*NUMBERS, {})
    server.faults = [
        Fault("POST", "/commit/", Answer(429, {"Retry-After": "7"})),
        Fault("POST", "/commit/", Answer(503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"})),
        Fault("POST", "/commit/", Answer(429, {"RateLimit": '"api";r=0;t=42'})),
    ]
    outcome = publish(first)
    assert (outcome.error, outcome.waits) == (None, [7.0, 2.0, 42.0])
    server.push(*NUMBERS, {"gone.txt": None})
    server.faults = [Fault("POST", "/commit/", Answer(429, {"Retry-After": "3600"}))]
    outcome = publish(first)
    assert ("the Hub wants fewer requests; try again later" in str(outcome.error), outcome.waits) == (True, [])
    server.faults = [Fault("POST", "/commit/", Answer(503), times=99)]
    assert publish(first).waits == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_a_push_meanwhile_survives(server, publish, first, second):
    """412: their new file stays, their key in the card too, and the plan is made again on top of that."""
    publish(first)
    theirs = {"theirs.txt": b"theirs", "README.md": CARD.replace(b"---\n#", b"theirs: 1\n---\n#")}
    server.faults = [Fault("POST", "/commit/main", lambda _: server.push(*NUMBERS, {**theirs}))]
    assert publish(second).error is None
    repo = server.repo(*NUMBERS)
    assert (repo.files()["theirs.txt"], "gone.txt" in repo.files()) == (b"theirs", False)
    assert repo.files()["README.md"] == theirs["README.md"] + b"More.\n"
    assert [commit.author for commit in repo.log()][:2] == ["user", "somebody"]


def test_pushes_without_end(server, publish, first):
    """Given up after some tries; all of theirs is there, nothing of ours."""
    server.push(*NUMBERS, {})
    names = iter(range(99))
    fault = Fault("POST", "/commit/main", lambda _: server.push(*NUMBERS, {f"{next(names)}": b"theirs"}), times=99)
    server.faults = [fault]
    assert "someone else keeps writing there" in str(publish(first, attempts=4).error)
    assert server.repo(*NUMBERS).files() == dict.fromkeys(("0", "1", "2", "3"), b"theirs")


def test_a_push_on_top_of_a_commit_without_an_answer(server, publish, first):
    """Ours took effect, then somebody pushed: ours is found, not sent twice."""
    server.push(*NUMBERS, {})
    push = Fault("GET", "/revision/main", lambda _: server.push(*NUMBERS, {"theirs.txt": b"theirs"}), after=1)
    server.faults = [Fault("POST", "/commit/main", LoseAnswer()), push]
    outcome = publish(first)
    assert (outcome.error, outcome.result.changed) == (None, True)
    repo = server.repo(*NUMBERS)
    assert repo.files() == {**contents(first), "theirs.txt": b"theirs"}
    assert [commit.author for commit in repo.log()] == ["somebody", "user", "somebody", "somebody"]


@pytest.mark.parametrize("path", ["data/train.parquet", "README.md"])
def test_a_wrong_byte_is_found(server, publish, first, path):
    """The file is named, with both checksums; no tag points there, no collection lists it; each run says so again."""
    server.faults = [Fault("POST", "/commit/", Corrupt(path))]
    failed = publish(first, tag="1.0", collection="All")
    assert f"does not hold what was sent: {path} is damaged: expected SHA-256" in str(failed.error)
    server.faults = []
    if path != "README.md":  # a card that reads otherwise on the Hub is written again
        assert publish(first, tag="1.0", collection="All").error == failed.error
    assert (server.repo(*NUMBERS).tags, server.state.collections) == ({}, [])


def test_a_check_that_fails_is_told(server, publish, first):
    """The bytes are those that were sent, but the folder is not good: the commit is named, there is no tag."""
    (first / "unnamed.txt").write_bytes(b"not in SHA256SUMS")
    failed = publish(first, tag="1.0")
    assert "is on the Hub, but the check of what came back failed" in str(failed.error)
    assert "unnamed.txt" in str(failed.error)
    assert server.repo(*NUMBERS).tags == {}


# The process dies


def begin(server: HubServer, name: str, files: dict[str, bytes]) -> None:
    """A repository with an earlier version and somebody's file."""
    server.push("dataset", name, {**files, "foreign.txt": b"theirs"})


def finished(server: HubServer, name: str, folder: Path) -> bool:
    """Whether it ended as an undisturbed publish does, with one commit."""
    repo = server.repo("dataset", name)
    assert repo.files() == {**contents(folder), "foreign.txt": b"theirs"}
    assert [commit.author for commit in repo.log()] == ["user", "somebody", "somebody"]
    assert repo.tags == {"2.0": repo.at("main").sha}
    assert server.state.listed(name) == [[name]]
    return True


def test_stopped_after_each_write_then_run_again(server, publish, first, second):
    """Nothing reaches the Hub after it; the second run finishes. Requests that read leave nothing to finish."""
    number, stopped = 0, True
    while stopped:
        name = f"user/numbers-{number}"
        begin(server, name, contents(first))
        dead = Fault("*", ".", Drop(), times=999, after=10**6)
        kill = Fault("POST", ".", lambda _: setattr(dead, "after", 0), after=number)  # noqa: B023
        server.faults = [dead, kill, Fault("POST", ".", LoseAnswer(), after=number)]
        stopped = publish(second, repo_id=name, tag="2.0", collection=name, attempts=1).error is not None
        server.faults = []
        outcome = publish(second, repo_id=name, tag="2.0", collection=name)
        assert (outcome.error, finished(server, name, second)) == (None, True)
        number += 1
    assert number == 7  # card, preupload, commit, tag, collection, its item; then nothing was left to stop


KILLED = """
import sys
from pathlib import Path
from mnist1d_hf.publishing.push import Options, publish
from mnist1d_hf.publishing.repositories import dataset_repository
name = sys.argv[2]
print(publish(dataset_repository(name), Path(sys.argv[1]), Options(tag="2.0", collection=name)).changed)
"""


@pytest.mark.parametrize("step", ["commit", "tag"])
def test_killed_then_run_again(server, publish, first, second, tmp_path, step):
    """A process that is really killed, while it waits for an answer."""
    begin(server, "user/killed", contents(first))
    environment = {**client_environment(server.url, tmp_path / "home", "hf_write"), "TMPDIR": str(tmp_path)}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", KILLED, str(second), "user/killed"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    server.faults = [Fault(*STEPS[step], lambda _: os.kill(process.pid, signal.SIGKILL))]
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors
    server.faults = []
    assert publish(second, repo_id="user/killed", tag="2.0", collection="user/killed").error is None
    assert finished(server, "user/killed", second)
