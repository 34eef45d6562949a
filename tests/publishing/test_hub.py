"""Publishing a folder through the real client to a loopback Hub: what is sent, and every fault on the way."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.hub.server import Answer, Call, Corrupt, Delay, Drop, Fault, HubServer, LoseAnswer, Truncate
from tests.publishing.conftest import Publish, Worker
from tests.publishing.folders import stage

CARD = b"---\nlicense: mit\n---\n# Numbers\n"
FIRST = {"README.md": CARD, "data/train.parquet": b"PAR1" * 99, "data/test.parquet": b"PAR1 test", "gone.txt": b"old"}
SECOND = {"README.md": CARD + b"More.\n", "data/train.parquet": b"PAR1" * 98, "data/test.parquet": b"PAR1 test"}
SECOND |= {"new.bin": b"new"}


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A folder to publish."""
    return stage(tmp_path / "first", FIRST)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """The next version of it: a file gone, one added, two changed."""
    return stage(tmp_path / "second", SECOND)


def published(server: HubServer, repo_id: str, kind: str = "dataset", revision: str = "main") -> dict[str, bytes]:
    """What the Hub holds, without the file that it makes itself."""
    files = server.repo(kind, repo_id).files(revision)
    return {path: data for path, data in files.items() if path != ".gitattributes"}


def held(folder: Path) -> dict[str, bytes]:
    """What a folder holds."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def writes(server: HubServer) -> list[tuple[str, str]]:
    """The requests that may change something."""
    return [(entry.method, entry.path) for entry in server.log if entry.method not in ("GET", "HEAD")]


# without faults


def test_a_new_repository_then_nothing_to_do(server: HubServer, publish: Publish, repo_id: str, tmp_path: Path) -> None:
    """One commit that holds the folder, odd names included; the same again sends nothing and changes nothing."""
    folder = stage(tmp_path / "odd", {**FIRST, "data/[a] *b?.txt": b"odd"})
    done = publish(folder, options={"tag": "1.0", "collection": repo_id})["result"]
    repo = server.repo("dataset", repo_id)
    assert published(server, repo_id) == held(folder)
    assert [commit.title for commit in repo.commits()] == ["Publish with mnist1d-hf", "initial commit"]
    assert (done["url"], done["sha"], done["changed"]) == (f"{server.url}/datasets/{repo_id}", repo.head(), True)
    assert (repo.tags, repo.private) == ({"1.0": done["sha"]}, False)
    assert not any(b"[token]" in request.body for request in server.requests)  # the server writes this for a token
    server.log.clear()
    again = publish(folder, options={"tag": "1.0"})["result"]
    assert again == {**done, "changed": False, "collection": None}
    assert writes(server) == []


def test_an_update_sends_what_changed_and_spares_what_others_added(
    server: HubServer, publish: Publish, repo_id: str, first: Path, second: Path
) -> None:
    """What an earlier publish left is deleted, what somebody else put there is not, in one commit."""
    publish(first)
    server.push("dataset", repo_id, {"data/foreign.parquet": b"theirs", "notes.md": b"theirs"})
    server.requests.clear()
    assert publish(second)["result"]["changed"]
    assert published(server, repo_id) == {**held(second), "data/foreign.parquet": b"theirs", "notes.md": b"theirs"}
    asked = next(request.json() for request in server.requests if "/preupload/" in request.target)
    names = sorted(file["path"] for file in asked["files"])
    assert names == ["README.md", "SHA256SUMS", "data/train.parquet", "new.bin"]
    assert len(server.repo("dataset", repo_id).commits()) == 4


def test_keys_that_were_added_on_the_hub_survive(
    server: HubServer, publish: Publish, repo_id: str, first: Path, second: Path
) -> None:
    """Through a publish of the same files, which makes no commit, and through one of others; the sums follow."""
    tag = {"tag": "1.0"}
    tagged = publish(first, options=tag)["result"]["sha"]
    card = CARD.replace(b"---\n#", b"theirs: kept\n---\n#")
    server.push("dataset", repo_id, {"README.md": card})
    again = publish(first, options=tag)["result"]
    assert (again["tag"], server.repo("dataset", repo_id).tags) == ("1.0", {"1.0": tagged})
    assert published(server, repo_id)["README.md"] == card
    once_more = publish(first, options=tag)["result"]
    assert (once_more["sha"], once_more["changed"]) == (again["sha"], False)
    assert publish(second)["error"] is None
    assert published(server, repo_id)["README.md"] == card + b"More.\n"


def test_a_plan_needs_no_token_and_writes_nothing(
    server: HubServer, publish: Publish, repo_id: str, first: Path, second: Path
) -> None:
    """Everything is new where there is no repository; else what is added, changed and deleted, with sizes."""
    plan = publish(first, token=None, plan=True)["result"]
    assert [change[0] for change in plan["changes"]] == ["add"] * 5
    publish(first)
    server.log.clear()
    plan = publish(second, token=None, plan=True)["result"]
    assert [change for change in plan["changes"] if change[1] != "SHA256SUMS"] == [
        ["change", "README.md", len(CARD) + 6, len(CARD)],
        ["change", "data/train.parquet", 392, 396],
        ["delete", "gone.txt", None, 3],
        ["add", "new.bin", 3, None],
    ]
    assert (plan["unchanged"], plan["foreign"]) == (["data/test.parquet"], [".gitattributes"])
    with server.storage.update("dataset", repo_id) as state:
        state["refs"]["refs/tags/1.0"] = state["refs"]["refs/heads/main"]
    lines = publish(second, token=None, plan=True, options={"tag": "1.0"})["lines"]
    assert "This would be refused" in lines[0]
    assert publish(first, token=None, plan=True, options={"tag": "1.0"})["lines"] == []
    assert writes(server) == []


def test_private(server: HubServer, publish: Publish, repo_id: str, first: Path, second: Path) -> None:
    """A new repository; without the option it stays so. One that is public is refused before anything is sent."""
    publish(first, options={"private": True})
    assert server.repo("dataset", repo_id).private
    publish(second)
    assert server.repo("dataset", repo_id).private
    server.push("dataset", f"{repo_id}-public", {})
    server.log.clear()
    failed = publish(first, repo_id=f"{repo_id}-public", options={"private": True})
    assert "expected a private repository, found a public one; nothing was sent" in failed["error"]
    assert writes(server) == []


def test_a_pull_request_is_opened_once(
    server: HubServer, publish: Publish, repo_id: str, first: Path, second: Path
) -> None:
    """main stays; a second run finds the open one; merged, there is nothing left to do."""
    publish(first)
    pull = publish(second, options={"create_pr": True})["result"]
    repo = server.repo("dataset", repo_id)
    assert pull["pull_request"] == pull["url"] == f"{server.url}/datasets/{repo_id}/discussions/1"
    assert published(server, repo_id) == held(first)
    assert published(server, repo_id, revision="refs/pr/1") == held(second)
    again = publish(second, options={"create_pr": True})["result"]
    assert (again["pull_request"], again["changed"], len(repo.pulls)) == (pull["url"], False, 1)
    server.faults = [Fault(("POST", "/commit/main"), LoseAnswer())]
    third = publish(first, options={"create_pr": True, "revision": "main"})["result"]
    assert third["pull_request"] is None  # main holds them
    server.push("dataset", repo_id, {"gone.txt": b"changed"})
    lost = publish(first, options={"create_pr": True})["result"]
    assert (lost["pull_request"][-1], lost["changed"], len(repo.pulls)) == ("2", True, 2)


def test_other_branches(server: HubServer, publish: Publish, repo_id: str, first: Path, second: Path) -> None:
    """A missing one starts at main; tags and commits are none."""
    sha = publish(first, options={"tag": "1.0"})["result"]["sha"]
    publish(second, options={"revision": "next"})
    assert published(server, repo_id) == held(first)
    assert published(server, repo_id, revision="next") == held(second)
    for name in ("1.0", sha):
        assert "revision: expected a branch" in publish(second, options={"revision": name})["error"]
    assert (
        "revision: a pull request goes to main"
        in publish(second, options={"revision": "next", "create_pr": True})["error"]
    )


def test_a_tag_is_never_moved(
    server: HubServer, publish: Publish, repo_id: str, first: Path, second: Path, tmp_path: Path
) -> None:
    """One at other content, be it the card's, is an error before anything is sent; also one that comes at the end."""
    old = publish(first, options={"tag": "1.0"})["result"]["sha"]
    server.log.clear()
    failed = publish(second, options={"tag": "1.0"})
    assert f"tag 1.0: expected this content, found commit {old[:10]} with other files: " in failed["error"]
    assert "raise the version, choose another --tag, or publish with --no-tag" in failed["error"]
    assert writes(server) == []
    repo = server.repo("dataset", repo_id)
    card = stage(tmp_path / "card", {**FIRST, "README.md": CARD + b"More.\n"})
    assert "with other files: README.md, SHA256SUMS; " in publish(card, options={"tag": "1.0"})["error"]
    assert repo.head() == old

    def occupy(_: Any) -> None:
        with server.storage.update("dataset", repo_id) as state:
            state["refs"]["refs/tags/2.0"] = old

    server.faults = [Fault(("POST", "/tag/"), Call(occupy))]
    failed = publish(second, options={"tag": "2.0"})
    assert "tag 2.0: expected this content" in failed["error"]
    assert repo.tags == {"1.0": old, "2.0": old}
    assert published(server, repo_id) == held(second)


def test_a_tag_at_the_same_content_is_fine(server: HubServer, publish: Publish, repo_id: str, first: Path) -> None:
    """Whatever others pushed since then: it stays, there is no commit and no error."""
    old = publish(first, options={"tag": "1.0"})["result"]["sha"]
    head = server.push("dataset", repo_id, {"notes.md": b"theirs"})
    again = publish(first, options={"tag": "1.0"})["result"]
    assert (again["changed"], again["sha"], again["tag"]) == (False, head, "1.0")
    assert server.repo("dataset", repo_id).tags == {"1.0": old}


def test_a_collection_is_made_once_and_filled(server: HubServer, publish: Publish, repo_id: str, first: Path) -> None:
    """By title, and by the slug that this gives."""
    slug = publish(first, options={"collection": f"All of {repo_id}"})["result"]["collection"]
    other = {"repo_id": f"{repo_id}-net", "repo_type": "model"}
    assert publish(first, options={"collection": f"All of {repo_id}"}, **other)["result"]["collection"] == slug
    assert publish(first, options={"collection": slug})["result"]["collection"] == slug
    with server.storage.collections() as found:
        mine = [item for item in found if item["title"] == f"All of {repo_id}"]
    assert [[item["id"] for item in one["items"]] for one in mine] == [[repo_id, f"{repo_id}-net"]]
    assert (server.url + "/" + f"{repo_id}-net") == publish(first, **other)["result"]["url"]


# people's mistakes, each one line, with nothing written


@pytest.mark.parametrize(
    ("token", "place", "message"),
    [
        (None, "user/none", "no token to publish with; run `hf auth login` or set HF_TOKEN"),
        (
            "hf_wrong",
            "user/none",
            "the token is missing, wrong or expired; run `hf auth login` or set HF_TOKEN",
        ),
        (
            "hf_wrong",
            "user/present",
            "looking for the repository: answer 401 (Invalid credentials in Authorization header",
        ),
        ("hf_read", "user/none", "(this one is of user, role read, namespaces user, org)"),
        ("hf_read", "user/present", "use one with write permission for this namespace"),
        ("hf_other", "user/present", "(this one is of other, role write, namespaces other)"),
        ("hf_other", "user/none", 'rights to create a dataset under the namespace "user"'),
        ("hf_write", "other/hidden", 'rights to create a dataset under the namespace "other"'),
        ("hf_write", "no-namespace", "repo id: expected NAMESPACE/NAME"),
        ("hf_write", "user/a--b", "repo id: expected NAMESPACE/NAME"),
    ],
)
def test_without_permission_nothing_is_written(
    server: HubServer, publish: Publish, first: Path, token: str | None, place: str, message: str
) -> None:
    """No token, a wrong one, one for reading, one of somebody else, a bad name."""
    if not server.repo("dataset", "user/present").exists:
        server.push("dataset", "user/present", {"a.txt": b"a"})
        server.push("dataset", "other/hidden", {"a.txt": b"a"}, author="other")
        with server.storage.update("dataset", "other/hidden") as state:
            state["private"] = True
    failed = publish(first, token=token, repo_id=place)
    assert message in failed["error"]
    assert "\n" not in failed["error"]
    assert not server.repo("dataset", "user/none").exists
    assert published(server, "user/present") == {"a.txt": b"a"}
    assert failed["waits"] == []


def test_a_name_that_is_taken(server: HubServer, publish: Publish, repo_id: str, first: Path) -> None:
    """It cannot be made, because it is there, and cannot be seen."""
    server.push("dataset", repo_id, {"a.txt": b"theirs"})
    hidden = Answer(404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
    server.faults = [Fault(("GET", f"{repo_id}$"), hidden, times=None)]
    assert "the name is taken by something that this token may not see" in publish(first)["error"]
    assert published(server, repo_id) == {"a.txt": b"theirs"}


def test_a_repository_that_goes_away(server: HubServer, publish: Publish, repo_id: str, first: Path) -> None:
    """Deleted by somebody else between two calls."""
    server.push("dataset", repo_id, {})
    gone = Call(lambda _: server.storage.delete_repo("dataset", repo_id))
    server.faults = [Fault(("POST", "/preupload/"), gone)]
    assert "committing: answer 404" in publish(first)["error"]
    assert publish(first)["error"] is None


def test_a_card_that_the_hub_refuses(server: HubServer, publish: Publish, repo_id: str, tmp_path: Path) -> None:
    """Before anything is uploaded."""
    folder = stage(tmp_path / "bad", {**FIRST, "README.md": b"---\nlicense: nonsense\n---\n"})
    failed = publish(folder)
    assert "the Hub does not accept the card; correct its YAML" in failed["error"]
    assert published(server, repo_id) == {}


def test_a_token_that_the_server_repeats_is_not_shown(
    server: HubServer, publish: Publish, repo_id: str, first: Path
) -> None:
    """In messages, and in lines about another try."""
    server.push("dataset", repo_id, {})
    said = {"X-Error-Message": "your token hf_write is odd"}
    server.faults = [Fault(("POST", "/commit/"), Answer(503, said)), Fault(("POST", "/commit/"), Answer(403, said))]
    failed = publish(first)
    assert "your token [token] is odd" in failed["error"]
    assert "your token [token] is odd" in "".join(failed["lines"])


def test_a_token_in_a_file_is_not_sent(server: HubServer, publish: Publish, tmp_path: Path) -> None:
    """Whatever it looks like; the file is named, nothing is asked of the Hub."""
    failed = publish(stage(tmp_path / "leak", {**FIRST, "notes.txt": b"token: hf_write."}))
    assert "notes.txt: expected no secret, found the token; nothing was sent" in failed["error"]
    assert server.log == []


@pytest.mark.parametrize(
    ("files", "message"), [({}, "expected files to publish"), ({"link": b""}, "expected a plain file, found a link")]
)
def test_folders_that_are_none(
    server: HubServer, publish: Publish, tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    """Empty, missing, with a link: nothing is asked of the Hub."""
    assert "expected a folder to publish" in publish(tmp_path / "missing")["error"]
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in files:
        (folder / name).symlink_to("/etc/hostname")
    assert message in publish(folder)["error"]
    assert server.log == []


# logins


def test_keyless_login_of_a_ci_job(server: HubServer, publish: Publish, repo_id: str, first: Path) -> None:
    """The job's identity for a token of an hour: that may neither make repositories nor ask whose it is."""
    server.push("dataset", repo_id, {})
    minted = Answer(200, body=b'{"value": "identity-of-the-job"}')
    exchanged = Answer(200, body=b'{"access_token": "hf_write", "token_type": "bearer", "expires_in": 3600}')
    server.faults = [
        Fault(("GET", "/mint"), minted),
        Fault(("POST", "/oauth/token"), Answer(503)),
        Fault(("GET", "/mint"), minted),
        Fault(("POST", "/oauth/token"), exchanged),
        Fault(("GET", "/api/whoami"), Answer(401), times=None),
        Fault(("POST", "/api/repos/create"), Answer(403), times=None),
    ]
    job = {
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{server.url}/mint",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-runner",
        "HF_OIDC_RESOURCE": f"datasets/{repo_id}",
    }
    answer = publish(first, token=None, environment=job)
    assert answer["error"] is None
    assert published(server, repo_id) == held(first)
    wanted = next(request.json() for request in server.requests if request.target == "/oauth/token")
    assert answer["waits"] == [1.0]
    assert (wanted["subject_token"], wanted["resource"]) == ("identity-of-the-job", f"datasets/{repo_id}")


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ({}, "no OIDC id token is available"),
        ({"GITHUB_ACTIONS": "true"}, "the job needs `id-token: write`"),
        ({"HF_OIDC_ID_TOKEN": "unknown-job"}, "the repository on the Hub must name it as a trusted publisher"),
    ],
)
def test_keyless_login_that_fails(
    server: HubServer, publish: Publish, repo_id: str, first: Path, job: dict[str, str], message: str
) -> None:
    """It was asked for, so no other token takes its place."""
    server.faults = [Fault(("POST", "/oauth/token"), Answer(401))]
    failed = publish(first, environment={"HF_OIDC_RESOURCE": f"datasets/{repo_id}", **job})
    assert failed["error"].startswith("keyless login: ")
    assert message in failed["error"]
    assert "unknown-job" not in failed["error"]
    assert not server.repo("dataset", repo_id).exists


def test_a_token_from_the_login(
    running: tuple[HubServer, Worker], server: HubServer, publish: Publish, repo_id: str, first: Path
) -> None:
    """The file that `hf auth login` writes."""
    login = running[1].folder.parent / "home" / "token"
    login.parent.mkdir(exist_ok=True)
    login.write_text("hf_write\n")
    try:
        assert publish(first, token=None)["error"] is None
    finally:
        login.unlink()
    assert published(server, repo_id) == held(first)


# faults that pass: one try more, the same end

STEPS = {
    "look": ("GET", r"api/datasets/[^/]+/[^/]+$"),
    "create": ("POST", r"/api/repos/create"),
    "head": ("GET", r"/revision/main"),
    "tree": ("GET", r"/tree/"),
    "tags": ("GET", r"/refs"),
    "card": ("POST", r"/api/validate-yaml"),
    "preupload": ("POST", r"/preupload/"),
    "batch": ("POST", r"/lfs/objects/batch"),
    "put": ("PUT", r"/_lfs/"),
    "verify": ("POST", r"/lfs/objects/verify"),
    "commit": ("POST", r"/commit/main"),
    "metadata": ("HEAD", r"/resolve/.*train"),
    "download": ("GET", r"/resolve/.*train"),
    "tag": ("POST", r"/tag/"),
    "find collection": ("GET", r"/api/collections\?"),
    "make collection": ("POST", r"/api/collections$"),
    "collect": ("POST", r"/items"),
}
PASSING = {
    "429": Answer(429, {"Retry-After": "0"}),
    "500": Answer(500),
    "502 in HTML": Answer(502, body=b"<html>Bad gateway</html>"),
    "dropped": Drop(),
    "answer lost": LoseAnswer(),
}


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("step", STEPS)
def test_a_fault_that_passes(
    server: HubServer, publish: Publish, repo_id: str, first: Path, step: str, fault: str
) -> None:
    """Once at each step: the same files, one commit, the tag, one collection with one item."""
    server.faults = [Fault(STEPS[step], PASSING[fault])]
    answer = publish(first, options={"tag": "1.0", "collection": repo_id})
    assert answer["error"] is None, answer["trace"]
    assert server.faults[0].applied == 1
    repo = server.repo("dataset", repo_id)
    assert published(server, repo_id) == held(first)
    assert len(repo.commits()) == 2
    assert repo.tags == {"1.0": repo.head()}
    assert (answer["result"]["sha"], answer["result"]["changed"]) == (repo.head(), True)
    assert answer["waits"] in ([], [1.0])  # [] where the client itself tries again
    with server.storage.collections() as found:
        assert [len(item["items"]) for item in found if item["title"] == repo_id] == [1]


@pytest.mark.parametrize("step", [("HEAD", r"/resolve/.*SUMS"), ("GET", r"/resolve/.*README")])
@pytest.mark.parametrize("fault", [*PASSING, "cut off"])
def test_a_fault_while_the_present_files_are_read(
    server: HubServer, publish: Publish, repo_id: str, first: Path, second: Path, step: tuple[str, str], fault: str
) -> None:
    """Nothing of theirs is lost for it: the file is deleted that we put there, the foreign one stays."""
    publish(first)
    server.push("dataset", repo_id, {"foreign.txt": b"theirs"})
    server.faults = [Fault(step, Truncate(0.5) if fault == "cut off" else PASSING[fault])]
    assert publish(second)["error"] is None
    assert published(server, repo_id) == {**held(second), "foreign.txt": b"theirs"}


@pytest.mark.parametrize("fault", ["500", "dropped"])
@pytest.mark.parametrize("step", [name for name in STEPS if name != "verify"])  # the file is there all the same
def test_a_fault_that_stays(
    server: HubServer, publish: Publish, repo_id: str, first: Path, step: str, fault: str
) -> None:
    """A bounded number of tries, one line, and the next run finishes what was begun with one commit."""
    server.faults = [Fault(STEPS[step], PASSING[fault], times=None)]
    options = {"tag": "1.0", "collection": repo_id}
    failed = publish(first, options=options, attempts=3)
    assert failed["kind"] == "HubError"
    assert failed["error"].startswith(f"{repo_id}: ")
    assert "try again" in failed["error"]
    assert "\n" not in failed["error"]
    assert failed["waits"] == [1.0, 2.0]
    assert 3 <= server.faults[0].applied <= 36  # the client makes six of one where it tries itself; two files are large
    server.faults.clear()
    assert publish(first, options=options)["error"] is None
    repo = server.repo("dataset", repo_id)
    assert published(server, repo_id) == held(first)
    assert (len(repo.commits()), repo.tags) == (2, {"1.0": repo.head()})


def test_retry_after_is_respected(server: HubServer, publish: Publish, repo_id: str, first: Path) -> None:
    """Up to ten minutes; who asks for more is not waited for."""
    server.push("dataset", repo_id, {})
    server.faults = [
        Fault(("POST", "/commit/"), Answer(429, {"Retry-After": "7"})),
        Fault(("POST", "/commit/"), Answer(503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"})),
        Fault(("POST", "/commit/"), Answer(429, {"RateLimit": '"api";r=0;t=42'})),
    ]
    answer = publish(first)
    assert (answer["error"], answer["waits"]) == (None, [7.0, 2.0, 42.0])
    server.push("dataset", repo_id, {"gone.txt": None})
    server.faults = [Fault(("POST", "/commit/"), Answer(429, {"Retry-After": "3600"}))]
    answer = publish(first)
    assert ("the Hub wants fewer requests; try again later" in answer["error"], answer["waits"]) == (True, [])


def test_waits_grow_and_end(server: HubServer, publish: Publish, repo_id: str, first: Path) -> None:
    """The usual patience: six tries over half a minute."""
    server.push("dataset", repo_id, {})
    server.faults = [Fault(("POST", "/commit/"), Answer(503), times=None)]
    answer = publish(first)
    assert (answer["kind"], answer["waits"]) == ("HubError", [1.0, 2.0, 4.0, 8.0, 16.0])
    assert published(server, repo_id) == {}


def test_slow_answers_are_waited_for(server: HubServer, publish: Publish, first: Path, repo_id: str) -> None:
    """Each takes its time."""
    server.faults = [Fault(("*", repo_id), Delay(0.05), times=None)]
    assert publish(first)["error"] is None


# other people at the same time


def test_a_push_meanwhile_survives(
    server: HubServer, publish: Publish, repo_id: str, first: Path, second: Path
) -> None:
    """412: their new file stays, their key in the card too, and the plan is made again on top of that."""
    publish(first)
    theirs = {"theirs.txt": b"theirs", "README.md": CARD.replace(b"---\n#", b"theirs: 1\n---\n#")}
    server.faults = [Fault(("POST", "/commit/main"), Call(lambda _: server.push("dataset", repo_id, theirs)))]
    answer = publish(second)
    assert answer["error"] is None
    files = published(server, repo_id)
    assert files["theirs.txt"] == b"theirs"
    assert b"theirs: 1" in files["README.md"]
    assert files["README.md"].endswith(b"More.\n")
    assert "gone.txt" not in files
    assert [commit.author for commit in server.repo("dataset", repo_id).commits()][:2] == ["user", "somebody"]


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_that_is_none(server: HubServer, publish: Publish, repo_id: str, first: Path, status: int) -> None:
    """The answer alone: looked again, sent again."""
    server.faults = [Fault(("POST", "/commit/main"), Answer(status), times=2)]
    answer = publish(first)
    assert (answer["error"], answer["waits"]) == (None, [1.0, 2.0])
    assert published(server, repo_id) == held(first)
    assert len(server.repo("dataset", repo_id).commits()) == 2


def test_pushes_without_end(server: HubServer, publish: Publish, repo_id: str, first: Path) -> None:
    """Given up after some tries; all of theirs is there, nothing of ours."""
    server.push("dataset", repo_id, {})
    pushed: list[str] = []

    def push(_: Any) -> None:
        pushed.append(f"{len(pushed)}.txt")
        server.push("dataset", repo_id, {pushed[-1]: b"theirs"})

    server.faults = [Fault(("POST", "/commit/main"), Call(push), times=None)]
    answer = publish(first, attempts=4)
    assert "someone else keeps writing there" in answer["error"]
    assert published(server, repo_id) == dict.fromkeys(pushed, b"theirs")
    assert len(pushed) == 4


def test_a_push_on_top_of_a_commit_without_an_answer(
    server: HubServer, publish: Publish, repo_id: str, first: Path
) -> None:
    """Ours took effect, then somebody pushed: found in the history's end, not sent twice."""
    server.push("dataset", repo_id, {})
    lost = Fault(("POST", "/commit/main"), LoseAnswer())
    push = Call(lambda _: server.push("dataset", repo_id, {"theirs.txt": b"theirs"}))
    server.faults = [lost, Fault(("GET", "/revision/main"), push, after=1)]
    answer = publish(first)
    assert (answer["error"], answer["result"]["changed"]) == (None, True)
    assert published(server, repo_id) == {**held(first), "theirs.txt": b"theirs"}
    authors = [commit.author for commit in server.repo("dataset", repo_id).commits()]
    assert (authors[:2], authors.count("user")) == (["somebody", "user"], 1)


# a Hub that does not hold what it was sent


@pytest.mark.parametrize(
    ("step", "path"),
    [(("PUT", "/_lfs/"), "data/t"), (("POST", "/commit/"), "README.md"), (("POST", "/commit/"), "gone")],
)
def test_a_wrong_byte_is_found(
    server: HubServer, publish: Publish, repo_id: str, first: Path, step: tuple[str, str], path: str
) -> None:
    """The file is named, with both checksums; no tag points there, no collection lists it; each run says so again."""
    server.faults = [Fault(step, Corrupt(path))]
    options = {"tag": "1.0", "collection": f"Not {repo_id}"}
    failed = publish(first, options=options)
    assert f"does not hold what was sent: {path}" in failed["error"]
    assert "expected SHA-256" in failed["error"]
    assert publish(first, options=options)["error"] == failed["error"]
    assert server.repo("dataset", repo_id).tags == {}
    with server.storage.collections() as found:
        assert not [item for item in found if item["title"] == f"Not {repo_id}"]


def test_damage_after_the_publish_is_found(server: HubServer, publish: Publish, repo_id: str, first: Path) -> None:
    """All damaged files are named; a regular one is mended as the message says."""
    publish(first)
    repo = server.repo("dataset", repo_id)
    good = repo.files()
    for path in ("gone.txt", "data/test.parquet"):
        repo.damage(path)
    failed = publish(first)["error"]
    assert "gone.txt: expected SHA-256" in failed
    assert "data/test.parquet: expected SHA-256" in failed
    for path in ("gone.txt", "data/test.parquet"):
        repo.damage(path)
    assert repo.files() == good
    assert publish(first)["error"] is None


def test_a_check_that_fails_is_told(server: HubServer, publish: Publish, repo_id: str, tmp_path: Path) -> None:
    """Checksums are right, but the folder is not what it should be: the commit is named, there is no tag."""
    folder = stage(tmp_path / "folder", FIRST)
    (folder / "unnamed.txt").write_bytes(b"not in SHA256SUMS")
    failed = publish(folder, options={"tag": "1.0"})
    assert "is on the Hub, but the check of what came back failed" in failed["error"]
    assert "unnamed.txt" in failed["error"]
    assert server.repo("dataset", repo_id).tags == {}


# the process dies


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_killed_at_each_request_then_run_again(
    server: HubServer, worker: Worker, publish: Publish, repo_id: str, first: Path, second: Path, done: bool
) -> None:
    """Whether the request took effect or not: the second run ends where an undisturbed one does, with one commit."""
    number, killed = 0, True
    while killed:
        name = f"{repo_id}-{number}"
        server.push("dataset", name, {**held(first), "foreign.txt": b"theirs"})
        kill = Fault(("*", name), Call(lambda _: os.kill(int((worker.folder / "pid").read_text()), signal.SIGKILL)))
        kill.after = number
        server.faults = [kill] if done else [kill, Fault(("*", name), Drop(), after=number)]
        options = {"tag": "2.0", "collection": name}
        killed = publish(second, repo_id=name, options=options)["exit"] == -signal.SIGKILL
        server.faults.clear()
        assert publish(second, repo_id=name, options=options)["error"] is None
        repo = server.repo("dataset", name)
        assert published(server, name) == {**held(second), "foreign.txt": b"theirs"}
        assert [commit.author for commit in repo.commits()] == ["user", "somebody", "somebody"]
        assert repo.tags == {"2.0": repo.head()}
        with server.storage.collections() as found:
            assert [len(item["items"]) for item in found if item["title"] == name] == [1]
        number += 1
    assert number > 25
