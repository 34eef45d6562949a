"""What a loopback Hub answers: the calls that huggingface_hub, datasets and transformers make."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.hub.cards import CardError, card_head, check_card
from tests.hub.faults import Request, Response
from tests.hub.social import CollectionsApi, DiscussionsApi
from tests.hub.storage import MAIN, Commit, Entry, HubError, HubStorage, Repo, Tree, namespace, pointer, wants_lfs

_R = r"/api/(?P<kind>models|datasets)/(?P<repo>[^/]+/[^/]+)"
_P = r"/(?P<kind>datasets/)?(?P<repo>[^/]+/[^/]+)"
_V = r"(?P<rev>refs/(?:pr|convert|heads|tags)/[^/]+|[^/]+)"
_ROUTES = [
    ("GET", r"/api/whoami-v2", "whoami"),
    ("POST", r"/api/validate-yaml", "validate_yaml"),
    ("POST", r"/api/repos/create", "create_repo"),
    ("DELETE", r"/api/repos/delete", "delete_repo"),
    ("GET", r"/api/(?P<kind>models|datasets)", "list_repos"),
    ("GET", _R, "info"),
    ("GET", f"{_R}/revision/{_V}", "info"),
    ("GET", f"{_R}/tree/{_V}(?:/(?P<path>.+))?", "tree"),
    ("POST", f"{_R}/paths-info/{_V}", "paths_info"),
    ("GET", f"{_R}/commits/{_V}", "commits"),
    ("GET", f"{_R}/refs", "refs"),
    ("PUT", f"{_R}/settings", "settings"),
    ("GET", f"{_R}/auth-check(?P<write>/write)?", "auth_check"),
    ("POST", f"{_R}/preupload/{_V}", "preupload"),
    ("POST", f"{_R}/commit/{_V}", "commit"),
    ("POST", f"{_R}/tag/{_V}", "create_tag"),
    ("DELETE", f"{_R}/tag/(?P<name>[^/]+)", "delete_tag"),
    ("POST", f"{_R}/branch/(?P<name>[^/]+)", "create_branch"),
    ("DELETE", f"{_R}/branch/(?P<name>[^/]+)", "delete_branch"),
    ("GET", f"{_R}/discussions", "list_discussions"),
    ("POST", f"{_R}/discussions", "create_discussion"),
    ("GET", rf"{_R}/discussions/(?P<num>\d+)", "discussion"),
    ("POST", rf"{_R}/discussions/(?P<num>\d+)/(?P<name>comment|status|merge)", "change_discussion"),
    ("POST", rf"{_P}\.git/info/lfs/objects/batch", "lfs_batch"),
    ("POST", rf"{_P}\.git/info/lfs/objects/verify", "lfs_verify"),
    ("PUT", r"/_lfs/(?P<kind>models|datasets)/(?P<repo>[^/]+/[^/]+)/(?P<oid>[0-9a-f]{64})", "lfs_upload"),
    ("GET", r"/_cdn/(?P<kind>models|datasets)/(?P<repo>[^/]+/[^/]+)/(?P<oid>[0-9a-f]{64})", "cdn"),
    ("GET", f"{_P}/resolve/{_V}/(?P<path>.+)", "resolve"),
    ("GET", r"/api/collections", "list_collections"),
    ("POST", r"/api/collections", "create_collection"),
    ("GET", r"/api/collections/(?P<slug>[^/]+/[^/]+)", "collection"),
    ("PATCH", r"/api/collections/(?P<slug>[^/]+/[^/]+)", "update_collection"),
    ("DELETE", r"/api/collections/(?P<slug>[^/]+/[^/]+)", "delete_collection"),
    ("POST", r"/api/collections/(?P<slug>[^/]+/[^/]+)/items", "add_item"),
    ("PATCH", r"/api/collections/(?P<slug>[^/]+/[^/]+)/items/(?P<item>[^/]+)", "update_item"),
    ("DELETE", r"/api/collections/(?P<slug>[^/]+/[^/]+)/items/(?P<item>[^/]+)", "delete_item"),
]
_PATTERNS = [(method, re.compile(pattern), name) for method, pattern, name in _ROUTES]
_NOT_A_PATH = re.compile(r"(^|/)(\.\.?|\.git|)(/|$)")


class HubApi(DiscussionsApi, CollectionsApi):
    """The calls, one method each; a method gets the request and the parts of its path.

    Args:
        storage: where everything is kept.
        page_size: entries of a page of a tree.
        redirect_lfs: send clients to `cdn_url` for LFS files, as the Hub does.
    """

    def __init__(self, storage: HubStorage, page_size: int = 1000, redirect_lfs: bool = False) -> None:
        super().__init__(storage)
        self.cdn_url = ""  # like `url`, by another host name
        self._page_size = page_size
        self._redirect_lfs = redirect_lfs
        self._granted: dict[tuple[str, str, str], int] = {}  # uploads that a batch allowed, and their sizes

    def handle(self, request: Request) -> Response:
        """Answer a request.

        Raises:
            HubError: where the answer is a refusal.
        """
        if request.authorized and request.user is None:
            raise HubError(401, "Invalid credentials in Authorization header", fields={"error": "Invalid user token."})
        method = "GET" if request.method == "HEAD" else request.method
        for legal, pattern, name in _PATTERNS:
            found = pattern.fullmatch(request.path)
            if legal == method and found:
                parts = {key: None if value is None else unquote(value) for key, value in found.groupdict().items()}
                if "kind" in parts:
                    parts["kind"] = "dataset" if (parts["kind"] or "").startswith("datasets") else "model"
                call: Callable[..., Response] = getattr(self, name)
                return call(request, **parts)
        raise HubError(404, "Sorry, we can't find the page you are looking for.")

    # people and repositories

    def whoami(self, request: Request) -> Response:
        """Whose token it is."""
        user = self.someone(request)
        orgs = [{"type": "org", "name": name, "fullname": name, "roleInOrg": user.role} for name in user.orgs]
        token = {"displayName": "test", "role": user.role}
        return Response.of_json(
            {
                "type": "user",
                "id": hashlib.sha1(user.name.encode()).hexdigest()[:24],
                "name": user.name,
                "fullname": user.name,
                "orgs": orgs,
                "auth": {"type": "access_token", "accessToken": token},
            }
        )

    def validate_yaml(self, request: Request) -> Response:
        """Check the head of a card: 400 where there are errors, and warnings in both cases."""
        items = request.json()
        errors, warnings = check_card(items["content"], items.get("repoType", "model"))
        answer = {"errors": [{"message": m} for m in errors], "warnings": [{"message": m} for m in warnings]}
        return Response.of_json(answer, 400 if errors else 200)

    def create_repo(self, request: Request) -> Response:
        """A new repository in a namespace of the user's."""
        user = self.writer(request)
        items = request.json()
        kind, owner = items.get("type") or "model", items.get("organization") or user.name
        if owner not in user.namespaces:
            raise HubError(403, f'You don\'t have the rights to create a {kind} under the namespace "{owner}"')
        repo, private = f"{owner}/{items['name']}", items.get("visibility") == "private" or items.get("private")
        answer = {"url": self.page(kind, repo), "name": repo, "id": repo}
        try:
            self.storage.create_repo(kind, repo, bool(private), user.name)
        except HubError as error:
            error.fields.update(answer if error.status == 409 else {})
            raise
        return Response.of_json(answer)

    def delete_repo(self, request: Request) -> Response:
        """Remove a repository."""
        user = self.writer(request)
        items = request.json()
        kind, repo = items.get("type") or "model", f"{items.get('organization') or user.name}/{items['name']}"
        self.write_repo(request, kind, repo)
        self.storage.delete_repo(kind, repo)
        return Response.of_json({})

    def settings(self, request: Request, kind: str, repo: str) -> Response:
        """Make a repository private or public."""
        self.write_repo(request, kind, repo)
        items = request.json()
        with self.storage.update(kind, repo) as state:
            state["private"] = items.get("visibility", "private" if items.get("private") else "public") == "private"
        return Response.of_json({"private": state["private"]})

    def auth_check(self, request: Request, kind: str, repo: str, write: str | None) -> Response:
        """Whether the token may read or write."""
        (self.write_repo if write else self.read_repo)(request, kind, repo)
        return Response.of_json({})

    def list_repos(self, request: Request, kind: str) -> Response:
        """The repositories that the user sees, chosen by author and by words in the name."""
        authors, words = request.query.get("author", []), request.query.get("search", [])
        found = []
        for repo in self.storage.repos(kind):
            wanted = all(namespace(repo) == name for name in authors) and all(word in repo for word in words)
            if wanted and self.sees(request, kind, repo):
                found.append(self._info(kind, repo, self.storage.at(kind, repo, MAIN), False))
        return Response.of_json(found)

    # reading

    def info(self, request: Request, kind: str, repo: str, rev: str = "main") -> Response:
        """What is known about a revision."""
        self.read_repo(request, kind, repo)
        info = self._info(kind, repo, self.storage.at(kind, repo, rev), request.flag("blobs"))
        wanted = request.query.get("expand", [])
        return Response.of_json({k: v for k, v in info.items() if not wanted or k in ("id", "_id", *wanted)})

    def _info(self, kind: str, repo: str, commit: Commit, blobs: bool) -> dict[str, Any]:
        state, head = self.storage.state(kind, repo), self._head(commit)
        tags = [*_strings(head.get("tags")), *(f"license:{name}" for name in _strings(head.get("license")))]
        return {
            "_id": hashlib.sha1(f"{kind} {repo}".encode()).hexdigest()[:24],
            "id": repo,
            **({"modelId": repo} if kind == "model" else {}),
            "author": namespace(repo),
            "sha": commit.sha,
            "lastModified": commit.date,
            "createdAt": state["created"],
            "private": state["private"],
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": tags,
            "cardData": head,
            "usedStorage": sum(entry.size for entry in commit.tree.values()),
            **{key: head[key] for key in ("pipeline_tag", "library_name", "model-index") if key in head},
            "siblings": [_sibling(path, entry, blobs) for path, entry in commit.tree.items()],
        }

    def _head(self, commit: Commit) -> dict[str, Any]:
        """The card's metadata, through JSON as the Hub sends it; none where it is not valid."""
        entry = commit.tree.get("README.md")
        try:
            text = "" if entry is None else self.storage.read_blob(entry.sha256).decode("utf-8")
            return json.loads(json.dumps(card_head(text) or {}, default=str))
        except (CardError, UnicodeDecodeError):
            return {}

    def tree(self, request: Request, kind: str, repo: str, rev: str, path: str | None) -> Response:
        """A page of the entries of a folder, or the entry of a file."""
        self.read_repo(request, kind, repo)
        commit, folder = self.storage.at(kind, repo, rev), (path or "").strip("/")
        names = [folder] if folder in commit.tree else _children(commit.tree, folder, request.flag("recursive"))
        if folder and not names:
            raise _no_entry(folder, commit)
        start = int(request.query.get("cursor", ["0"])[0])
        size = min(self._page_size, int(request.query.get("limit", ["1000"])[0]))
        page = self._entries(kind, repo, commit, names[start : start + size], request.flag("expand"))
        headers = {}
        if start + size < len(names):
            options = "&".join(f"{name}={str(request.flag(name)).lower()}" for name in ("recursive", "expand"))
            target = f"{self.url}{request.path}?{options}&limit={size}&cursor={start + size}"
            headers["Link"] = f'<{target}>; rel="next"'
        return Response.of_json(page, headers=headers)

    def paths_info(self, request: Request, kind: str, repo: str, rev: str) -> Response:
        """The entries of these files and folders; those that are missing are left out."""
        self.read_repo(request, kind, repo)
        commit = self.storage.at(kind, repo, rev)
        is_json = "json" in request.headers.get("content-type", "")
        items = request.json() if is_json else parse_qs(request.body.decode())
        paths = [path.strip("/") for path in items.get("paths", [])]
        names = [path for path in paths if path in commit.tree or _children(commit.tree, path, False)]
        expand = str(items.get("expand", "")).lower().strip("[]'") == "true"
        return Response.of_json(self._entries(kind, repo, commit, names, expand))

    def _entries(self, kind: str, repo: str, commit: Commit, names: list[str], expand: bool) -> list[dict[str, Any]]:
        last = _last_commits(self.storage.history(kind, repo, commit.sha)) if expand else None
        return [_entry(name, commit.tree, last) for name in names]

    def commits(self, request: Request, kind: str, repo: str, rev: str) -> Response:
        """The history, newest first."""
        self.read_repo(request, kind, repo)
        return Response.of_json(
            [
                {"id": c.sha, "title": c.title, "message": c.message, "date": c.date, "authors": [{"user": c.author}]}
                for c in self.storage.history(kind, repo, rev)
            ]
        )

    def refs(self, request: Request, kind: str, repo: str) -> Response:
        """Branches, tags and pull requests."""
        self.read_repo(request, kind, repo)
        groups: dict[str, list[dict[str, str]]] = {"heads": [], "tags": [], "pr": [], "convert": []}
        for ref, sha in self.storage.state(kind, repo)["refs"].items():
            _, group, name = ref.split("/", 2)
            groups[group].append({"name": name, "ref": ref, "targetCommit": sha})
        answer = {"branches": groups["heads"], "tags": groups["tags"], "converts": groups["convert"]}
        return Response.of_json({**answer, **({"pullRequests": groups["pr"]} if request.flag("include_prs") else {})})

    def resolve(self, request: Request, kind: str, repo: str, rev: str, path: str) -> Response:
        """The bytes of a file, or of a range of it."""
        self.read_repo(request, kind, repo)
        commit = self.storage.at(kind, repo, rev)
        entry = commit.tree.get(path)
        if entry is None:
            raise _no_entry(path, commit)
        headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{entry.etag}"', "Accept-Ranges": "bytes"}
        if entry.lfs:
            headers.update({"X-Linked-Etag": f'"{entry.etag}"', "X-Linked-Size": str(entry.size)})
            if self._redirect_lfs:
                return Response(302, b"", {**headers, "Location": f"{self.cdn_url}/_cdn/{kind}s/{repo}/{entry.sha256}"})
        return _ranged(request, self.storage.read_entry(kind, repo, entry), headers)

    def cdn(self, request: Request, kind: str, repo: str, oid: str) -> Response:
        """An LFS file, for those who were sent here."""
        if not self.storage.has_blob(oid, lfs=(kind, repo)):
            raise HubError(403, "Access denied")
        return _ranged(
            request, self.storage.read_blob(oid, (kind, repo)), {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"}
        )

    # writing

    def preupload(self, request: Request, kind: str, repo: str, rev: str) -> Response:
        """How each file is to be sent, and what the repository has in its place."""
        self.contribute(request, kind, repo, rev, request.flag("create_pr"))
        tree = self.storage.at(kind, repo, rev).tree
        answers = []
        for file in request.json()["files"]:
            mode = "lfs" if wants_lfs(file["path"], file["size"]) else "regular"
            present = {"oid": tree[file["path"]].etag} if file["path"] in tree else {}
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, **present})
        return Response.of_json({"files": answers})

    def lfs_batch(self, request: Request, kind: str, repo: str) -> Response:
        """Where to send large files; those that are stored already need not be sent."""
        items = request.json()
        ref = (items.get("ref") or {}).get("name")
        self.contribute(request, kind, repo, ref or "main", ref is None)
        answers = []
        for item in items["objects"]:
            answer: dict[str, Any] = {"oid": item["oid"], "size": item["size"]}
            if not self.storage.has_blob(item["oid"], item["size"], (kind, repo)):
                self._granted[kind, repo, item["oid"]] = item["size"]
                verify = f"{self.page(kind, repo)}.git/info/lfs/objects/verify"
                upload = f"{self.url}/_lfs/{kind}s/{repo}/{item['oid']}"
                answer["actions"] = {"upload": {"href": upload}, "verify": {"href": verify}}
            answers.append(answer)
        return Response.of_json(
            {"transfer": "basic", "objects": answers}, headers={"Content-Type": "application/vnd.git-lfs+json"}
        )

    def lfs_upload(self, request: Request, kind: str, repo: str, oid: str) -> Response:
        """Take a large file. As on the Hub no token is needed: that a batch gave out the address is enough."""
        size = self._granted.get((kind, repo, oid))
        if size is None or not self.storage.has_repo(kind, repo):
            raise HubError(403, "Request has expired")
        if len(request.body) != size or hashlib.sha256(request.body).hexdigest() != oid:
            raise HubError(400, "BadDigest: the SHA-256 or the size is not the one that was announced")
        self.storage.put_blob(request.body, (kind, repo), request.corrupt is not None)
        return Response(200, b"", {"ETag": f'"{oid}"'})

    def lfs_verify(self, request: Request, kind: str, repo: str) -> Response:
        """Whether a large file has come."""
        self.read_repo(request, kind, repo)
        items = request.json()
        if not self.storage.has_blob(items["oid"], items["size"], (kind, repo)):
            raise HubError(404, f"LFS object {items['oid']} of {items['size']} bytes not found")
        return Response.of_json({})

    def commit(self, request: Request, kind: str, repo: str, rev: str) -> Response:
        """One commit, on a branch, on a pull request, or as a new pull request."""
        new_pull = request.flag("create_pr")
        user = self.contribute(request, kind, repo, rev, new_pull)
        header, operations = self._operations(request, kind, repo)
        title, message, parent = header["summary"], header.get("description") or "", header.get("parentCommit")

        def change(tree: Tree) -> Tree:
            for operation in operations:
                operation(tree)
            return tree

        with self.storage.lock:
            before = self.storage.state(kind, repo)
            ref = self._ref(kind, repo, rev)
            num = self.open_pull(kind, repo, ref, title, message, user.name) if new_pull else 0
            try:
                ref = f"refs/pr/{num}" if new_pull else ref
                sha = self.storage.commit(kind, repo, ref, change, title, message, user.name, parent)
            except HubError:
                with self.storage.update(kind, repo) as state:
                    state.update(before)
                raise
        page = self.page(kind, repo)
        pull = {"pullRequestUrl": f"{page}/discussions/{num}"} if new_pull else {}
        answer = {"success": True, "commitOid": sha, "commitUrl": f"{page}/commit/{sha}", "hookOutput": "", **pull}
        return Response.of_json(answer)

    def _ref(self, kind: str, repo: str, rev: str) -> str:
        """The branch or pull request that a commit may go to."""
        ref = rev if rev.startswith(("refs/heads/", "refs/pr/")) else f"refs/heads/{rev}"
        if ref not in self.storage.state(kind, repo)["refs"]:
            raise HubError(404, f"Invalid rev id: {rev}", "RevisionNotFound")
        return ref

    def _operations(
        self, request: Request, kind: str, repo: str
    ) -> tuple[dict[str, Any], list[Callable[[Tree], None]]]:
        """The header of a commit, and its lines as functions that alter a tree. The bytes of files are stored now."""
        try:
            lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
            header = next(line["value"] for line in lines if line["key"] == "header")
            return header, [self._operation(request, (kind, repo), line) for line in lines if line["key"] != "header"]
        except (ValueError, KeyError, TypeError, StopIteration, binascii.Error) as error:
            raise HubError(400, f"Invalid commit payload: {error!r}") from None

    def _operation(self, request: Request, lfs: Repo, line: dict[str, Any]) -> Callable[[Tree], None]:
        key, value = line["key"], line["value"]
        path = value["path"].removesuffix("/") if key == "deletedFolder" else value["path"]
        if _NOT_A_PATH.search(path):
            raise HubError(400, f"Invalid path: {path!r}")
        if key == "file":
            entry = self._stored(request, path, value)
            return lambda tree: tree.update({path: entry})
        if key == "lfsFile":
            entry = self._linked(lfs, path, value)
            return lambda tree: tree.update({path: entry})
        if key in ("deletedFile", "deletedFolder"):
            return lambda tree: _delete(tree, path, key == "deletedFolder")
        raise HubError(400, f"Invalid commit payload: key {key!r}")

    def _stored(self, request: Request, path: str, value: dict[str, Any]) -> Entry:
        data = value["content"].encode()
        if value.get("encoding") == "base64":
            data = base64.b64decode(data, validate=True)
        corrupt = request.corrupt is not None and request.corrupt.search(path) is not None
        return Entry.of(self.storage.put_blob(data, corrupt=corrupt), len(data), data)

    def _linked(self, lfs: Repo, path: str, value: dict[str, Any]) -> Entry:
        size = value.get("size")
        if not self.storage.has_blob(value["oid"], size, lfs):
            raise HubError(
                400,
                "Your push was rejected because an LFS pointer pointed to a file that does not exist. "
                f"Offending file: {path}",
            )
        return Entry.of(value["oid"], len(self.storage.read_blob(value["oid"], lfs)) if size is None else size, None)

    def create_tag(self, request: Request, kind: str, repo: str, rev: str) -> Response:
        """A tag for a revision."""
        self.write_repo(request, kind, repo)
        return self._new_ref(kind, repo, f"refs/tags/{request.json()['tag']}", rev)

    def create_branch(self, request: Request, kind: str, repo: str, name: str) -> Response:
        """A branch from a revision, or from main."""
        self.write_repo(request, kind, repo)
        return self._new_ref(kind, repo, f"refs/heads/{name}", (request.json() or {}).get("startingPoint") or "main")

    def _new_ref(self, kind: str, repo: str, ref: str, rev: str) -> Response:
        with self.storage.update(kind, repo) as state:
            if ref in state["refs"]:
                raise HubError(409, f"Reference already exists: {ref}")
            state["refs"][ref] = self.storage.resolve(kind, repo, rev)
        return Response.of_json({"ref": ref, "targetCommit": state["refs"][ref]}, 201)

    def delete_tag(self, request: Request, kind: str, repo: str, name: str) -> Response:
        """Remove a tag."""
        return self._delete_ref(request, kind, repo, f"refs/tags/{name}")

    def delete_branch(self, request: Request, kind: str, repo: str, name: str) -> Response:
        """Remove a branch other than main."""
        if name == "main":
            raise HubError(403, "Cannot delete the main branch")
        return self._delete_ref(request, kind, repo, f"refs/heads/{name}")

    def _delete_ref(self, request: Request, kind: str, repo: str, ref: str) -> Response:
        self.write_repo(request, kind, repo)
        with self.storage.update(kind, repo) as state:
            if state["refs"].pop(ref, None) is None:
                raise HubError(404, f"Reference not found: {ref}", "RevisionNotFound")
        return Response.of_json({})


def _strings(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [] if value is None else [str(value)]


def _no_entry(path: str, commit: Commit) -> HubError:
    return HubError(404, f"Entry not found: {path}", "EntryNotFound", headers={"X-Repo-Commit": commit.sha})


def _sibling(path: str, entry: Entry, blobs: bool) -> dict[str, Any]:
    lfs = (
        {"sha256": entry.sha256, "size": entry.size, "pointerSize": len(pointer(entry.sha256, entry.size))}
        if entry.lfs
        else None
    )
    more = {"size": entry.size, "blobId": entry.oid, **({"lfs": lfs} if lfs else {})}
    return {"rfilename": path, **(more if blobs else {})}


def _children(tree: Tree, folder: str, recursive: bool) -> list[str]:
    """The files and folders in a folder, or under it, sorted."""
    prefix = f"{folder}/" if folder else ""
    names: set[str] = set()
    for path in tree:
        if path.startswith(prefix):
            parts = path[len(prefix) :].split("/")
            names.update(prefix + "/".join(parts[:depth]) for depth in range(1, len(parts) + 1 if recursive else 2))
    return sorted(names)


def _entry(name: str, tree: Tree, last: Callable[[str], Commit] | None) -> dict[str, Any]:
    """How the Hub describes a file or a folder."""
    entry = tree.get(name)
    if entry is None:
        inside = [f"{path}\0{item.oid}" for path, item in sorted(tree.items()) if path.startswith(f"{name}/")]
        oid = hashlib.sha1(json.dumps(inside).encode()).hexdigest()
        items: dict[str, Any] = {"type": "directory", "oid": oid, "size": 0, "path": name}
    else:
        items = {"type": "file", "oid": entry.oid, "size": entry.size, "path": name}
        if entry.lfs:
            items["lfs"] = {
                "oid": entry.sha256,
                "size": entry.size,
                "pointerSize": len(pointer(entry.sha256, entry.size)),
            }
    if last is not None:
        commit = last(name)
        items["lastCommit"] = {"id": commit.sha, "title": commit.title, "date": commit.date}
    return items


def _last_commits(history: list[Commit]) -> Callable[[str], Commit]:
    """Which commit touched a path last."""
    trees = [commit.tree for commit in history] + [{}]
    changed = [
        {path for path in {**new, **old} if new.get(path) != old.get(path)} for new, old in itertools.pairwise(trees)
    ]

    def last(name: str) -> Commit:
        def touched(path: str) -> bool:
            return path == name or path.startswith(f"{name}/")

        return next(commit for commit, paths in zip(history, changed, strict=True) if any(map(touched, paths)))

    return last


def _delete(tree: Tree, path: str, folder: bool) -> None:
    gone = [name for name in tree if name.startswith(f"{path}/")] if folder else [name for name in tree if name == path]
    if not gone:
        raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
    for name in gone:
        del tree[name]


def _ranged(request: Request, data: bytes, headers: dict[str, str]) -> Response:
    """The bytes, or the range of them that the request asks for."""
    headers = {"Content-Type": "application/octet-stream", **headers}
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", "").replace(" ", ""))
    if not found or not any(found.groups()):
        return Response(200, data, headers)
    first, last = found.groups()
    start = int(first) if first else max(len(data) - int(last), 0)
    stop = min(int(last) + 1, len(data)) if first and last else len(data)
    if start >= stop:
        raise HubError(416, "Range Not Satisfiable", headers={"Content-Range": f"bytes */{len(data)}"})
    return Response(206, data[start:stop], {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"})
