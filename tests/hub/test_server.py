"""The loopback Hub under the real clients, each in a process of its own: they read HF_ENDPOINT when imported."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import textwrap
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub.cards import check_card
from tests.hub.server import (
    TOKENS,
    Answer,
    Call,
    Corrupt,
    Delay,
    Drop,
    Fault,
    HubServer,
    LoseAnswer,
    Truncate,
)

PREAMBLE = """
import json, sys, warnings
from huggingface_hub import *
from huggingface_hub.errors import *
from huggingface_hub.utils import disable_progress_bars
disable_progress_bars()
api = HfApi()
def add(path, data):
    return CommitOperationAdd(path, data)
def outcome(function, *arguments, **options):
    try:
        return ["ok", str(function(*arguments, **options))]
    except Exception as error:
        return [type(error).__name__, getattr(getattr(error, "response", None), "status_code", None), str(error)]
def report(**items):
    print(json.dumps(items))
"""

Client = Callable[..., dict[str, Any]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HubServer]:
    """A Hub without repositories."""
    with HubServer(tmp_path / "hub") as running:
        yield running
    assert running.errors == []


@pytest.fixture
def client(server: HubServer, tmp_path: Path) -> Client:
    """Runs a script against the Hub; gives back what it reports."""
    return lambda script, **options: run_client(server.url, tmp_path, script, **options)


def run_client(url: str, folder: Path, script: str, token: str | None = "hf_write", **more: str) -> dict[str, Any]:
    """Run a script in a fresh process, whose home is in the folder."""
    legal = {name: value for name, value in os.environ.items() if not name.startswith("HF_") and "proxy" not in name}
    settings = {
        "HF_ENDPOINT": url,
        "HF_HOME": str(folder / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **({"HF_TOKEN": token} if token else {}),
    }
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(script)],
        env={**legal, **settings, **more},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def calls(server: HubServer, method: str, part: str) -> list[int]:
    """The statuses of the requests with this method and this in their path."""
    return [entry.status for entry in server.log if entry.method == method and part in entry.path]


# publishing and reading


def test_dataset_is_published_and_loaded(server: HubServer, client: Client) -> None:
    """Two configurations in YAML; map-style, streaming, and by file system."""
    client(
        """
        import pyarrow as pa, pyarrow.parquet as pq, os
        for config in ("plain", "noisy"):
            for split, start, stop in (("train", 0, 30), ("test", 30, 40)):
                os.makedirs(f"data/{config}", exist_ok=True)
                table = pa.table({"x": [[float(i)] * 4 for i in range(start, stop)], "y": list(range(start, stop))})
                pq.write_table(table, f"data/{config}/{split}-00000-of-00001.parquet")
        configs = [
            {"config_name": c, "data_files": [{"split": s, "path": f"data/{c}/{s}-*"} for s in ("train", "test")]}
            for c in ("plain", "noisy")
        ]
        card = DatasetCard.from_template(DatasetCardData(license="mit", configs=configs), pretty_name="Numbers")
        api.create_repo("user/numbers", repo_type="dataset")
        info = api.create_commit(
            "user/numbers",
            [add("README.md", str(card).encode())]
            + [add(f"data/{c}/{s}-00000-of-00001.parquet", f"data/{c}/{s}-00000-of-00001.parquet")
               for c in ("plain", "noisy") for s in ("train", "test")],
            commit_message="Publish", repo_type="dataset",
        )
        report(oid=info.oid)
        """
    )
    entries = server.repo("dataset", "user/numbers").entries()
    assert sorted(path for path, entry in entries.items() if entry.lfs) == [
        f"data/{config}/{split}-00000-of-00001.parquet" for config in ("noisy", "plain") for split in ("test", "train")
    ]
    found = client(
        """
        import datasets, posixpath
        datasets.config.USE_PARQUET_EXPORT = False
        whole = datasets.load_dataset("user/numbers", "noisy")
        stream = datasets.load_dataset("user/numbers", "plain", split="test", streaming=True)
        fs = HfFileSystem()
        names = [posixpath.basename(name) for name in fs.ls("datasets/user/numbers/data/plain", detail=False)]
        with fs.open("datasets/user/numbers/README.md") as file:
            head = file.read(3).decode()
        report(
            rows={name: split.num_rows for name, split in whole.items()}, last=whole["test"][-1],
            stream=[row["y"] for row in stream], names=names, head=head,
            glob=len(fs.glob("datasets/user/numbers/data/*/*.parquet")),
            configs=datasets.get_dataset_config_names("user/numbers"),
        )
        """
    )
    assert found == {
        "rows": {"train": 30, "test": 10},
        "last": {"x": [39.0] * 4, "y": 39},
        "stream": list(range(30, 40)),
        "names": ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"],
        "head": "---",
        "glob": 4,
        "configs": ["plain", "noisy"],
    }


def test_model_with_code_is_published_and_loaded(server: HubServer, client: Client, tmp_path: Path) -> None:
    """A folder of weights, configuration and code; loaded with trust_remote_code where the package is not imported."""
    spec = importlib.util.find_spec("mnist1d_hf")
    if spec is None or spec.origin is None:
        pytest.skip("mnist1d_hf is not installed")
    models, folder = Path(spec.origin).parent / "models", tmp_path / "folder"
    folder.mkdir()
    for name in ("configuration_mnist1d.py", "modeling_mnist1d.py", "pretrained/cnn/model.safetensors"):
        (folder / Path(name).name).write_bytes((models / name).read_bytes())
    config = json.loads((models / "pretrained/cnn/config.json").read_text())
    config["auto_map"] = {
        "AutoConfig": "configuration_mnist1d.Mnist1dConfig",
        "AutoModelForSequenceClassification": "modeling_mnist1d.Mnist1dForSequenceClassification",
    }
    (folder / "config.json").write_text(json.dumps(config))
    found = client(
        """
        api.create_repo("user/net")
        first = api.upload_folder(repo_id="user/net", folder_path="folder")
        again = api.upload_folder(repo_id="user/net", folder_path="folder")
        from transformers import AutoModelForSequenceClassification
        model = AutoModelForSequenceClassification.from_pretrained("user/net", trust_remote_code=True)
        report(
            same=first.oid == again.oid, module=type(model).__module__.split(".")[0],
            parameters=sum(p.numel() for p in model.parameters()),
        )
        """
    )
    assert found == {"same": True, "module": "transformers_modules", "parameters": 5210}
    repo = server.repo("model", "user/net")
    assert repo.files()["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert [path for path, entry in repo.entries().items() if entry.lfs] == ["model.safetensors"]
    assert [commit.title for commit in repo.commits()] == ["Upload folder using huggingface_hub", "initial commit"]


def test_calls_that_read(server: HubServer, client: Client) -> None:
    """Information, trees, paths, references, downloads, ranges, and what is missing."""
    card = b"---\nlicense: mit\ntags:\n- small\n---\nText"
    sha = server.push("model", "user/net", {"README.md": card, "a/b/c.txt": b"0123456789", "a/w.bin": b"weights"})
    found = client(
        """
        info = api.model_info("user/net", files_metadata=True)
        files = {s.rfilename: [s.size, s.lfs.sha256[:4] if s.lfs else None] for s in info.siblings}
        head = get_hf_file_metadata(hf_hub_url("user/net", "a/w.bin"))
        fs = HfFileSystem()
        with fs.open("user/net/a/b/c.txt", block_size=4) as file:
            file.seek(3)
            part = file.read(4).decode()
        folder = snapshot_download("user/net")
        report(
            sha=info.sha, license=info.card_data.license, tags=info.tags, files=files,
            expanded=api.model_info("user/net", expand=["sha"]).siblings,
            tree=[type(e).__name__ + " " + e.path for e in api.list_repo_tree("user/net", "a")],
            last=[e.last_commit.title for e in api.list_repo_tree("user/net", expand=True)],
            all=api.list_repo_files("user/net"),
            paths=[p.path for p in api.get_paths_info("user/net", ["a/w.bin", "a/b", "nothing"], expand=True)],
            refs=[b.name for b in api.list_repo_refs("user/net").branches],
            commits=[c.title for c in api.list_repo_commits("user/net")],
            head=[head.commit_hash == info.sha, head.etag[:4], head.size], part=part,
            read=open(folder + "/a/b/c.txt").read(), same=hf_hub_download("user/net", "a/w.bin") == folder + "/a/w.bin",
            file=outcome(hf_hub_download, "user/net", "nothing")[:2],
            rev=outcome(hf_hub_download, "user/net", "README.md", revision="nothing")[:2],
            repo=outcome(api.model_info, "user/nothing")[:2],
            exists=[api.repo_exists("user/net"), api.repo_exists("user/net", repo_type="dataset"),
                    api.file_exists("user/net", "a/w.bin"), api.revision_exists("user/net", "v9")],
            listed=[m.id for m in api.list_models(author="user")],
            short=api.model_info("user/net", revision=info.sha[:8]).sha,
        )
        """
    )
    assert (found.pop("sha"), found.pop("short")) == (sha, sha)
    assert found == {
        "license": "mit",
        "tags": ["small", "license:mit"],
        "files": {
            ".gitattributes": [server.repo("model", "user/net").entries()[".gitattributes"].size, None],
            "README.md": [len(card), None],
            "a/b/c.txt": [10, None],
            "a/w.bin": [7, "9a12"],
        },
        "expanded": None,
        "tree": ["RepoFolder a/b", "RepoFile a/w.bin"],
        "last": ["initial commit", "push", "push"],
        "all": [".gitattributes", "README.md", "a/b/c.txt", "a/w.bin"],
        "paths": ["a/w.bin", "a/b"],
        "refs": ["main"],
        "commits": ["push", "initial commit"],
        "head": [True, "9a12", 7],
        "part": "3456",
        "read": "0123456789",
        "same": True,
        "file": ["RemoteEntryNotFoundError", 404],
        "rev": ["RevisionNotFoundError", 404],
        "repo": ["RepositoryNotFoundError", 404],
        "exists": [True, False, True, False],
        "listed": ["user/net"],
    }


def test_calls_that_write(server: HubServer, client: Client) -> None:
    """Repositories, files, deletions, tags and branches; what is there already is refused."""
    found = client(
        """
        results = dict(
            create=outcome(api.create_repo, "org/set", repo_type="dataset", private=True),
            again=outcome(api.create_repo, "org/set", repo_type="dataset")[:2],
            exist_ok=outcome(api.create_repo, "org/set", repo_type="dataset", exist_ok=True)[0],
            foreign=outcome(api.create_repo, "other/set", repo_type="dataset")[:2],
        )
        options = dict(repo_id="org/set", repo_type="dataset")
        files = [add("a/one.txt", b"1"), add("a/two.txt", b"2"), add("three.txt", b"3")]
        first = api.create_commit(operations=files, commit_message="m", commit_description="d", **options)
        api.create_tag(tag="v1", **options)
        second = api.delete_folder("a", **options)
        api.delete_file("three.txt", **options)
        api.create_branch(branch="dev/x", revision="v1", **options)
        api.upload_file(path_or_fileobj=b"4", path_in_repo="four.txt", revision="dev/x", **options)
        report(
            **results, url=first.commit_url.endswith("/datasets/org/set/commit/" + first.oid),
            id=first.repo_url.repo_id, missing=outcome(api.delete_file, "nothing", **options)[:2],
            tag=[outcome(api.create_tag, tag="v1", exist_ok=ok, **options)[:2] for ok in (False, True)],
            no_tag=outcome(api.create_tag, tag="v2", revision="nothing", **options)[:2],
            branch=[outcome(api.create_branch, branch="dev/x", exist_ok=ok, **options)[:2] for ok in (False, True)],
            tags={t.name: t.target_commit == first.oid for t in api.list_repo_refs(**options).tags},
        )
        """
    )
    repo = server.repo("dataset", "org/set")
    assert found.pop("create") == ["ok", f"{server.url}/datasets/org/set"]
    assert found == {
        "again": ["HfHubHTTPError", 409],
        "exist_ok": "ok",
        "foreign": ["HfHubHTTPError", 403],
        "url": True,
        "id": "org/set",
        "missing": ["RemoteEntryNotFoundError", 404],
        "tag": [["HfHubHTTPError", 409], ["ok", "None"]],
        "no_tag": ["RevisionNotFoundError", 404],
        "branch": [["HfHubHTTPError", 409], ["ok", "None"]],
        "tags": {"v1": True},
    }
    assert repo.private
    assert sorted(repo.files()) == [".gitattributes"]
    assert sorted(repo.files("v1")) == [".gitattributes", "a/one.txt", "a/two.txt", "three.txt"]
    assert repo.files("dev/x")["four.txt"] == b"4"
    assert (repo.commits("v1")[0].title, repo.commits("v1")[0].message) == ("m", "d")
    shas = {commit.sha for rev in ("main", "dev/x") for commit in repo.commits(rev)}
    assert len(shas) == 5
    client("api.delete_repo('org/set', repo_type='dataset'); report(gone=api.repo_exists('org/set'))")
    assert not repo.exists


def test_large_files_are_sent_once(server: HubServer, client: Client) -> None:
    """The second upload of the same bytes has no PUT; a file too large for git goes through LFS whatever its name."""
    client(
        """
        api.create_repo("user/net")
        for path, data in [("a.bin", b"w" * 5000), ("b.bin", b"w" * 5000), ("c.txt", b"t" * (10 * 2**20 + 1))]:
            api.upload_file(path_or_fileobj=data, path_in_repo=path, repo_id="user/net")
        report()
        """
    )
    assert calls(server, "PUT", "/_lfs/") == [200, 200]
    assert [path for path, entry in server.repo("model", "user/net").entries().items() if entry.lfs] == [
        *("a.bin", "b.bin", "c.txt")
    ]
    assert calls(server, "POST", "objects/verify") == [200, 200]


def test_uploads_are_checked(server: HubServer) -> None:
    """An upload that no batch allowed, or of other bytes than announced, is refused; so is a commit that needs it."""
    server.push("model", "user/net", {})
    oid = hashlib.sha256(b"right").hexdigest()
    line = {"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", "oid": oid, "size": 5}}
    commit = b"\n".join(json.dumps(item).encode() for item in ({"key": "header", "value": {"summary": "m"}}, line))
    batch = json.dumps({"operation": "upload", "ref": {"name": "main"}, "objects": [{"oid": oid, "size": 5}]}).encode()
    upload, api = f"{server.url}/_lfs/models/user/net/{oid}", f"{server.url}/api/models/user/net"
    assert _status(upload, "PUT", b"right") == 403
    assert _status(f"{server.url}/user/net.git/info/lfs/objects/batch", "POST", batch, "hf_write") == 200
    assert _status(upload, "PUT", b"wrong") == 400
    assert _status(f"{api}/commit/main", "POST", commit, "hf_write") == 400
    assert _status(upload, "PUT", b"right") == 200
    assert _status(f"{api}/commit/main", "POST", commit, "hf_write") == 200
    assert server.repo("model", "user/net").files()["w.bin"] == b"right"


def test_pull_requests(server: HubServer, client: Client) -> None:
    """Opened by a commit of another user, read by its reference, merged by the owner; the branch stays as it was."""
    before = server.push("dataset", "user/set", {"a.txt": b"a"})
    found = client(
        """
        info = api.create_commit("user/set", [add("b.bin", b"b")], commit_message="More", repo_type="dataset",
                                 create_pr=True)
        path = hf_hub_download("user/set", "b.bin", repo_type="dataset", revision=info.pr_revision)
        api.upload_file(path_or_fileobj=b"c", path_in_repo="c.txt", repo_id="user/set", repo_type="dataset",
                        revision="refs/pr/1")
        refs = api.list_repo_refs("user/set", repo_type="dataset", include_pull_requests=True)
        details = api.get_discussion_details("user/set", info.pr_num, repo_type="dataset")
        report(
            revision=info.pr_revision, read=open(path).read(), refs=[r.ref for r in refs.pull_requests],
            details=[details.title, details.author, details.status, details.target_branch],
            forbidden=outcome(api.upload_file, path_or_fileobj=b"", path_in_repo="d", repo_id="user/set",
                              repo_type="dataset")[:2],
            stale=outcome(api.create_commit, "user/set", [add("e", b"e")], commit_message="m", repo_type="dataset",
                          create_pr=True, parent_commit="0" * 40)[:2],
        )
        """,
        token="hf_other",
    )
    assert found == {
        "revision": "refs/pr/1",
        "read": "b",
        "refs": ["refs/pr/1"],
        "details": ["More", "other", "open", "refs/heads/main"],
        "forbidden": ["HfHubHTTPError", 403],
        "stale": ["HfHubHTTPError", 412],
    }
    repo = server.repo("dataset", "user/set")
    assert (repo.head(), len(repo.pulls)) == (before, 1)
    server.push("dataset", "user/set", {"z.txt": b"z"})
    client(
        """
        api.merge_pull_request("user/set", 1, repo_type="dataset")
        report(status=[d.status for d in api.get_repo_discussions("user/set", repo_type="dataset")])
        """
    )
    assert sorted(repo.files()) == [".gitattributes", "a.txt", "b.bin", "c.txt", "z.txt"]


def test_collections(server: HubServer, client: Client) -> None:
    """Made once, filled once."""
    server.push("dataset", "user/set", {})
    found = client(
        """
        made = api.create_collection("My things", namespace="org", description="d")
        again = outcome(api.create_collection, "My things", namespace="org")[:2]
        same = api.create_collection("My things", namespace="org", exists_ok=True)
        full = api.add_collection_item(made.slug, "user/set", "dataset", note="first")
        item = outcome(api.add_collection_item, made.slug, "user/set", "dataset")[:2]
        twice = api.add_collection_item(made.slug, "user/set", "dataset", exists_ok=True)
        absent = outcome(api.add_collection_item, made.slug, "user/nothing", "model")[:2]
        api.update_collection_item(made.slug, full.items[0].item_object_id, note="second")
        api.update_collection_metadata(made.slug, title="Other")
        got = api.get_collection(made.slug)
        listed = [c.slug for c in api.list_collections(owner="org", item="datasets/user/set")]
        api.delete_collection_item(made.slug, full.items[0].item_object_id)
        empty = len(api.get_collection(made.slug).items)
        api.delete_collection(made.slug)
        report(
            slug=made.slug, again=again, same=same.slug == made.slug, item=item, twice=len(twice.items), absent=absent,
            got=[got.title, got.description, got.items[0].item_id, got.items[0].note], listed=listed == [made.slug],
            empty=empty, gone=outcome(api.get_collection, made.slug)[:2],
        )
        """
    )
    assert found.pop("slug").startswith("org/my-things-")
    assert found == {
        "again": ["HfHubHTTPError", 409],
        "same": True,
        "item": ["HfHubHTTPError", 409],
        "twice": 1,
        "absent": ["RepositoryNotFoundError", 404],
        "got": ["Other", "d", "user/set", "second"],
        "listed": True,
        "empty": 0,
        "gone": ["HfHubHTTPError", 404],
    }


def test_tokens(server: HubServer, client: Client) -> None:
    """None, a wrong one, one for reading, one of somebody else's."""
    server.push("model", "user/net", {"a.txt": b"a"})
    client("api.create_repo('user/secret', private=True); report()")
    script = """
        who = outcome(whoami)
        report(
            who=who[:2] + [eval(who[1])["name"]] if who[0] == "ok" else who,
            read=outcome(api.model_info, "user/net")[:1],
            write=outcome(api.upload_file, path_or_fileobj=b"b", path_in_repo="b.txt", repo_id="user/net")[:2],
            create=outcome(api.create_repo, "user/new")[:2],
            secret=outcome(api.model_info, "user/secret")[:2],
            download=outcome(hf_hub_download, "user/secret", ".gitattributes")[:2],
        )
    """
    none, wrong = client(script, token=None), client(script, token="hf_wrong")
    read, other = client(script, token="hf_read"), client(script, token="hf_other")
    lost = ["RepositoryNotFoundError", 401]
    assert (none["read"], none["write"], none["create"]) == (["ok"], lost, ["HfHubHTTPError", 401])
    assert (none["who"][0], none["secret"], none["download"]) == ("LocalTokenNotFoundError", lost, lost)
    assert wrong["who"][:2] == ["HfHubHTTPError", 401]
    assert "Invalid user token" in wrong["who"][2]
    assert (wrong["read"], wrong["write"], wrong["secret"]) == (["HfHubHTTPError"], *[["HfHubHTTPError", 401]] * 2)
    assert (read["write"], read["create"]) == (["HfHubHTTPError", 403], ["HfHubHTTPError", 403])
    assert (read["who"][2], read["secret"][0], read["download"][0]) == ("user", "ok", "ok")
    assert (other["write"], other["secret"]) == (["HfHubHTTPError", 403], ["RepositoryNotFoundError", 404])
    assert not [token for token in (*TOKENS, "hf_wrong") if token in repr((server.requests, server.log))]
    assert all("authorization" not in request.headers for request in server.requests)


def test_cards_are_checked(server: HubServer, client: Client) -> None:
    """Errors before anything is sent; no metadata is only a warning."""
    found = client(
        """
        api.create_repo("user/set", repo_type="dataset")
        def card(text):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                return outcome(api.upload_file, path_or_fileobj=text, path_in_repo="README.md", repo_id="user/set",
                               repo_type="dataset")[::2][:2] + [len(caught)]
        report(bad=card(b"---\\nlicense: [mit\\n---\\n"), illegal=card(b"---\\nlicense: mine\\n---\\n"),
               bare=card(b"# Title"), good=card(b"---\\nlicense: mit\\nconfigs:\\n- config_name: a\\n---\\n"))
        """
    )
    assert found["bad"][0] == found["illegal"][0] == "ValueError"
    assert "parsing" in found["bad"][1]
    assert '"license" must be one of' in found["illegal"][1]
    assert (found["bare"], found["good"]) == (["ok", 1], ["ok", 0])
    assert len(server.repo("dataset", "user/set").commits()) == 3


@pytest.mark.parametrize(
    ("head", "kind", "part"),
    [
        ("license: mit\nlicense: mit", "model", "duplicated mapping key"),
        ("- a\n- b", "model", "expected a mapping"),
        ("tags: a", "model", '"tags" must be an array'),
        ("language: no", "model", "ISO 639"),
        ("size_categories: 1k", "dataset", '"size_categories" must be one of'),
        ("configs:\n- data_files: a", "dataset", '"configs[0].config_name"'),
        ("configs:\n- config_name: a\n- config_name: a", "dataset", "a is there twice"),
        ("model-index:\n- results: []", "model", '"model-index[0].name"'),
        ("model-index:\n- name: a\n  results:\n  - task: {type: t}", "model", "dataset.type"),
    ],
)
def test_errors_in_cards(head: str, kind: str, part: str) -> None:
    """One error of each sort."""
    errors, _ = check_card(f"---\n{head}\n---\n", kind)
    assert any(part in error for error in errors), errors


# concurrency


def test_stale_parent_is_refused(server: HubServer, client: Client) -> None:
    """412, nothing is written; the same commit with the right parent goes through."""
    old = server.push("dataset", "user/set", {"a.txt": b"a"})
    new = server.push("dataset", "user/set", {"a.txt": b"b"})
    found = client(
        f"""
        def push(parent):
            return outcome(api.create_commit, "user/set", [add("a.txt", b"c")], commit_message="m",
                           repo_type="dataset", parent_commit=parent)[:2]
        report(stale=push("{old}"), fresh=push("{new}")[0])
        """
    )
    assert found == {"stale": ["HfHubHTTPError", 412], "fresh": "ok"}
    assert [commit.parent for commit in server.repo("dataset", "user/set").commits()][:2] == [new, old]


def test_another_user_commits_meanwhile(server: HubServer, client: Client) -> None:
    """Between what the client read and what it writes: without a parent nobody notices, with one it is refused."""
    server.push("dataset", "user/set", {"a.txt": b"a"})
    push = Call(lambda request: server.push("dataset", "user/set", {"meanwhile.txt": request.method.encode()}))
    server.faults = [Fault(("POST", "/commit/main"), push, times=2)]
    found = client(
        """
        head = api.dataset_info("user/set").sha
        options = dict(repo_id="user/set", commit_message="m", repo_type="dataset")
        report(guarded=outcome(api.create_commit, operations=[add("a.txt", b"c")], parent_commit=head, **options)[:2],
               blind=outcome(api.create_commit, operations=[add("a.txt", b"d")], **options)[0])
        """
    )
    assert found == {"guarded": ["HfHubHTTPError", 412], "blind": "ok"}
    assert server.repo("dataset", "user/set").files()["meanwhile.txt"] == b"POST"


def test_concurrent_commits_are_all_kept(server: HubServer) -> None:
    """Twenty threads at once: a line of twenty commits, with different names."""
    server.push("model", "user/net", {})
    pushes = [
        threading.Thread(target=server.push, args=("model", "user/net", {f"{i}.txt": b"same"})) for i in range(20)
    ]
    for thread in pushes:
        thread.start()
    for thread in pushes:
        thread.join()
    repo = server.repo("model", "user/net")
    assert len(repo.files()) == 21
    assert len({commit.sha for commit in repo.commits()}) == 22


# faults


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_the_commit_is_not_sent_again_by_the_client(server: HubServer, client: Client, status: int) -> None:
    """Statuses that pass: the client sends reads again, but not the commit; a second try of the caller succeeds."""
    server.push("model", "user/net", {})
    server.faults = [
        Fault(("POST", "/preupload/"), Answer(status, {"Retry-After": "0"})),
        Fault(("POST", "/commit/"), Answer(status, {"Retry-After": "0"})),
    ]
    found = client(
        """
        def upload():
            return outcome(api.upload_file, path_or_fileobj=b"a", path_in_repo="a.txt", repo_id="user/net")[:2]
        report(first=upload(), second=upload()[0])
        """
    )
    assert found == {"first": ["HfHubHTTPError", status], "second": "ok"}
    assert calls(server, "POST", "/preupload/") == [status, 200, 200]
    assert calls(server, "POST", "/commit/") == [status, 200]


@pytest.mark.parametrize("status", [409, 412])
def test_statuses_that_the_client_leaves_to_the_caller(server: HubServer, client: Client, status: int) -> None:
    """Once, although such an answer to a commit says that nothing was written."""
    server.push("model", "user/net", {})
    server.faults = [Fault(lambda request: request.path.endswith("/commit/main"), Answer(status))]
    script = 'report(r=outcome(api.upload_file, path_or_fileobj=b"a", path_in_repo="a.txt", repo_id="user/net")[:2])'
    assert client(script) == {"r": ["HfHubHTTPError", status]}
    assert "a.txt" not in server.repo("model", "user/net").files()


def test_dropped_connections(server: HubServer, client: Client) -> None:
    """Before: nothing happened. After: the commit is there, and the client cannot tell the two apart."""
    server.push("model", "user/net", {})
    server.faults = [
        Fault(("POST", "/commit/"), Drop()),
        Fault(("POST", "/commit/"), LoseAnswer()),
        Fault(("PUT", "/_lfs/"), Drop()),
    ]
    found = client(
        """
        def upload(path):
            return outcome(api.upload_file, path_or_fileobj=b"a" * 99, path_in_repo=path, repo_id="user/net")[0]
        report(before=upload("a.txt"), after=upload("b.txt"), large=upload("c.bin"))
        """
    )
    assert found["before"] == found["after"]
    assert found["before"] in ("RemoteProtocolError", "ReadError")
    assert found["large"] == "ok"
    assert sorted(server.repo("model", "user/net").files()) == [".gitattributes", "b.txt", "c.bin"]
    assert calls(server, "PUT", "/_lfs/") == [0, 200]


def test_truncated_download_is_resumed(server: HubServer, client: Client) -> None:
    """The client asks for the rest with Range, from the last whole 10 MiB on."""
    data = bytes(21 * 2**20)
    server.push("model", "user/net", {"w.bin": data})
    server.faults = [Fault(("GET", "/resolve/"), Truncate(0.6))]
    found = client(
        """
        import hashlib
        report(sha=hashlib.sha256(open(hf_hub_download("user/net", "w.bin"), "rb").read()).hexdigest())
        """
    )
    assert found == {"sha": hashlib.sha256(data).hexdigest()}
    ranges = [r.headers.get("range") for r in server.requests if r.method == "GET" and "/resolve/" in r.target]
    assert ranges == [None, f"bytes={10 * 2**20}-"]
    assert calls(server, "GET", "/resolve/") == [200, 206]


def test_wrong_byte_on_store(server: HubServer, client: Client) -> None:
    """Size and names are right, one byte is not; the client does not notice when it downloads."""
    server.push("model", "user/net", {})
    server.faults = [Fault(("PUT", "/_lfs/"), Corrupt()), Fault(("POST", "/commit/"), Corrupt(r"^a\.txt$"))]
    found = client(
        """
        api.create_commit("user/net", [add("w.bin", b"0" * 9), add("a.txt", b"0" * 9), add("b.txt", b"1" * 9)],
                          commit_message="m")
        report(**{name: open(hf_hub_download("user/net", name)).read() for name in ("w.bin", "a.txt", "b.txt")})
        """
    )
    assert found == {"w.bin": "000010000", "a.txt": "000010000", "b.txt": "111111111"}
    repo = server.repo("model", "user/net")
    repo.damage("b.txt")
    assert repo.files()["b.txt"] == b"111101111"


def test_delay_and_after(server: HubServer) -> None:
    """`after` lets requests pass, `times` ends the fault, a delay changes nothing else."""
    server.push("model", "user/net", {})
    fault, delay = Fault(("GET", "user/net"), Answer(503), after=1), Fault(("*", "."), Delay(0.01), times=None)
    server.faults = [delay, fault]
    assert [_status(f"{server.url}/api/models/user/net") for _ in range(3)] == [200, 503, 200]
    assert (fault.applied, delay.applied) == (1, 3)
    assert server.log[0] == ("GET", "/api/models/user/net", 200, False)


# the server itself


def test_state_survives_a_restart(tmp_path: Path) -> None:
    """Files, tags, privacy, collections, and that no name of a commit comes back."""
    with HubServer(tmp_path / "hub") as server:
        first = server.push("model", "user/net", {"w.bin": b"w"})
        run_client(
            server.url,
            tmp_path,
            "api.create_tag('user/net', tag='v1'); api.create_repo('user/secret', private=True); report()",
        )
    with HubServer(tmp_path / "hub") as server:
        repo = server.repo("model", "user/net")
        assert (repo.head(), repo.tags, repo.files()["w.bin"]) == (first, {"v1": first}, b"w")
        assert server.repo("model", "user/secret").private
        second = server.push("model", "user/net", {"w.bin": b"v"})
        third = server.push("model", "user/net", {"w.bin": b"w"})
        assert len({first, second, third}) == 3


def test_stopped_server_refuses_connections(tmp_path: Path) -> None:
    """Also those that were open."""
    with HubServer(tmp_path / "hub") as server:
        url = server.url
        assert _status(url) == 404
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)


def test_pages_and_redirects(tmp_path: Path) -> None:
    """A tree in pages of two; LFS files from another host name, without the token."""
    with HubServer(tmp_path / "hub", page_size=2, redirect_lfs=True) as server:
        server.push("model", "user/net", {f"{i}.bin": str(i).encode() for i in range(5)})
        found = run_client(
            server.url,
            tmp_path,
            "report(files=api.list_repo_files('user/net'), read=open(hf_hub_download('user/net', '3.bin')).read())",
        )
        assert found == {"files": [".gitattributes", *(f"{i}.bin" for i in range(5))], "read": "3"}
        assert [entry.authorized for entry in server.log if "/_cdn/" in entry.path] == [False]
        assert calls(server, "GET", "/tree/") == [200, 200, 200]


def test_command_line(tmp_path: Path) -> None:
    """Another process; tokens from a file."""
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"hf_mine": {"name": "me", "role": "write", "orgs": []}}))
    command = [sys.executable, "-m", "tests.hub.server", "--root", str(tmp_path / "hub")]
    process = subprocess.Popen(
        [*command, "--tokens", str(tokens)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert run_client(url, tmp_path, "report(name=whoami()['name'])", token="hf_mine") == {"name": "me"}
    finally:
        process.terminate()
        process.communicate()


def _status(url: str, method: str = "GET", body: bytes | None = None, token: str | None = None) -> int:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
