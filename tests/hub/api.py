"""What a loopback Hub answers: the calls that publishing and loading make, one method each."""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from tests.hub.state import DATE, Commit, HubError, Repo, State, User, git_name

if TYPE_CHECKING:
    from tests.hub.server import Request

_R = r"/api/(?P<kind>models|datasets|spaces)/(?P<repo_id>[^/]+/[^/]+)"
_V = r"(?P<rev>refs/(?:pr|convert)/[^/]+|[^/]+)"
_ROUTES = [
    ("POST", r"/api/validate-yaml", "validate_yaml"),
    ("POST", r"/api/repos/create", "create_repo"),
    ("GET", _R, "info"),
    ("GET", f"{_R}/revision/{_V}", "info"),
    ("GET", f"{_R}/tree/{_V}(?:/(?P<path>.+))?", "tree"),
    ("GET", f"{_R}/refs", "refs"),
    ("POST", f"{_R}/preupload/{_V}", "preupload"),
    ("POST", f"{_R}/commit/{_V}", "commit"),
    ("POST", f"{_R}/tag/{_V}", "create_tag"),
    ("POST", f"{_R}/branch/(?P<name>[^/]+)", "create_branch"),
    ("GET", f"{_R}/discussions", "discussions"),
    ("GET", rf"/(?P<kind>datasets/|spaces/)?(?P<repo_id>[^/]+/[^/]+)/resolve/{_V}/(?P<path>.+)", "resolve"),
    ("GET", r"/api/collections", "list_collections"),
    ("POST", r"/api/collections", "create_collection"),
    ("GET", r"/api/collections/(?P<slug>[^/]+/[^/]+)", "collection"),
    ("POST", r"/api/collections/(?P<slug>[^/]+/[^/]+)/items", "add_item"),
]
_PATTERNS = [(method, re.compile(pattern), name) for method, pattern, name in _ROUTES]
_KINDS = {"datasets": "dataset", "spaces": "space"}
_PREFIXES = {"dataset": "datasets/", "space": "spaces/"}  # of pages; models have none
_LICENSES = ("apache-2.0", "mit", "cc-by-4.0", "unknown", "other")


class Api:
    """The calls. Each gives what is sent as JSON, or bytes with headers; a refusal is a HubError."""

    def __init__(self, state: State, url: str) -> None:
        self.state, self.url = state, url

    def handle(self, request: Request) -> Any:
        """Answer a request."""
        method = "GET" if request.method == "HEAD" else request.method
        for legal, pattern, name in _PATTERNS:
            found = pattern.fullmatch(request.path)
            if legal == method and found:
                parts = {key: None if value is None else unquote(value) for key, value in found.groupdict().items()}
                if "kind" in parts:
                    parts["kind"] = _KINDS.get((parts["kind"] or "").strip("/"), "model")
                return getattr(self, name)(request, **parts)
        raise HubError(404, "Sorry, we can't find the page you are looking for.")

    # Who may do what

    def _writer(self, request: Request) -> User:
        if request.user is None:
            raise HubError(401, "Invalid username or password.")
        if request.user.role != "write":
            raise HubError(403, "Forbidden: you must use a write token to upload to a repository.")
        return request.user

    def _readable(self, request: Request, kind: str, repo_id: str) -> Repo:
        repo = self.state.repos.get((kind, repo_id))
        if repo is None or (repo.private and not (request.user and request.user.owns(repo_id))):
            raise HubError(404 if request.user else 401, "Repository not found", "RepoNotFound")
        return repo

    def _writable(self, request: Request, kind: str, repo_id: str) -> Repo:
        repo = self._readable(request, kind, repo_id)
        if not self._writer(request).owns(repo_id):
            raise HubError(403, f'Forbidden: you don\'t have the rights to write to "{repo_id}"')
        return repo

    # Reading

    def info(self, request: Request, kind: str, repo_id: str, rev: str = "main") -> Any:
        repo = self._readable(request, kind, repo_id)
        commit = repo.at(rev)
        siblings = [
            {"rfilename": path, "size": len(data), "blobId": git_name(data)} for path, data in commit.tree.items()
        ]
        more = {"private": repo.private, "siblings": siblings, "tags": [], "lastModified": DATE}
        return {"id": repo_id, "modelId": repo_id, "sha": commit.sha, **more}

    def tree(self, request: Request, kind: str, repo_id: str, rev: str, path: str | None) -> Any:
        commit = self._readable(request, kind, repo_id).at(rev)
        prefix = f"{path.strip('/')}/" if path else ""
        depth = 1000 if request.query.get("recursive", "").lower() in ("1", "true") else 1
        names = set()
        for name in commit.tree:
            if name.startswith(prefix):
                parts = name[len(prefix) :].split("/")
                names |= {prefix + "/".join(parts[:number]) for number in range(1, min(depth, len(parts)) + 1)}
        if path and not names:
            raise HubError(404, f"Entry not found: {path}", "EntryNotFound")
        return [_entry(commit, name) for name in sorted(names)]

    def refs(self, request: Request, kind: str, repo_id: str) -> Any:
        groups: dict[str, list[dict[str, str]]] = {"heads": [], "tags": [], "pr": []}
        for ref, sha in self._readable(request, kind, repo_id).refs.items():
            _, group, name = ref.split("/", 2)
            groups[group].append({"name": name, "ref": ref, "targetCommit": sha})
        return {"branches": groups["heads"], "tags": groups["tags"], "converts": []}

    def resolve(self, request: Request, kind: str, repo_id: str, rev: str, path: str) -> Any:
        repo = self._readable(request, kind, repo_id)
        commit = repo.at(rev)
        if path not in commit.tree:
            raise HubError(404, f"Entry not found: {path}", "EntryNotFound")
        name = git_name(commit.tree[path])
        data = repo.served.get(name, commit.tree[path])
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        part = data[int(found[1]) : int(found[2] or len(data)) + 1] if found else data
        media = mimetypes.guess_type(path)[0] or "application/octet-stream"
        return part, {"X-Repo-Commit": commit.sha, "ETag": f'"{name}"', "Content-Type": media}

    # Writing

    def create_repo(self, request: Request) -> Any:
        user, items = self._writer(request), request.json()
        kind, owner = items.get("type") or "model", items.get("organization") or user.name
        repo_id = f"{owner}/{items['name']}"
        if kind == "space" and not items.get("sdk"):
            raise HubError(400, "Missing sdk")
        if not user.owns(repo_id):
            raise HubError(403, f'You don\'t have the rights to create a {kind} under the namespace "{owner}"')
        answer = {"url": f"{self.url}/{_PREFIXES.get(kind, '')}{repo_id}"}
        if (kind, repo_id) in self.state.repos:
            raise HubError(409, "You already created this repo", **answer)
        self.state.create(kind, repo_id, items.get("visibility") == "private" or bool(items.get("private")))
        return answer

    def validate_yaml(self, request: Request) -> Any:
        """400 where the YAML does not parse, has no license that is known, or names a configuration twice."""
        found = REGEX_YAML_BLOCK.search(request.json()["content"])
        head = (yaml.safe_load(found.group(2)) if found else {}) or {}
        names = [item["config_name"] for item in head.get("configs") or []]
        if head.get("license", "unknown") not in _LICENSES or len(names) != len(set(names)):
            raise HubError(400, "Invalid card", errors=[{"message": '"license" must be one of the list'}], warnings=[])
        return {"errors": [], "warnings": []}

    def preupload(self, request: Request, kind: str, repo_id: str, rev: str) -> Any:
        tree = self._writable(request, kind, repo_id).at(rev).tree
        answers = []
        for file in request.json()["files"]:
            present = {"oid": git_name(tree[file["path"]])} if file["path"] in tree else {}
            answers.append({"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, **present})
        return {"files": answers}

    def commit(self, request: Request, kind: str, repo_id: str, rev: str) -> Any:
        """One commit, on a branch or as a new pull request."""
        repo = self._writable(request, kind, repo_id)
        user = self._writer(request)
        lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        base = repo.at(rev)
        if header.get("parentCommit", base.sha) != base.sha:
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        tree = dict(base.tree)
        for line in lines:
            path = line["value"].get("path")
            if line["key"] == "file":
                tree[path] = base64.b64decode(line["value"]["content"])
                if request.corrupt and re.search(request.corrupt, path):
                    repo.served[git_name(tree[path])] = tree[path][:-1] + bytes([tree[path][-1] ^ 1])
            elif line["key"] == "deletedFile":
                del tree[path]
        ref, answer = f"refs/heads/{rev}", {}
        if request.query.get("create_pr"):
            number = len(repo.pulls) + 1
            repo.pulls.append({"num": number, "title": header["summary"], "status": "open", "author": user.name})
            ref, page = f"refs/pr/{number}", f"{self.url}/{_PREFIXES.get(kind, '')}{repo_id}"
            repo.refs[ref] = base.sha
            answer = {"pullRequestUrl": f"{page}/discussions/{number}"}
        sha = repo.commit(ref, tree, header["summary"], user.name)
        return {"success": True, "commitOid": sha, "commitUrl": f"{self.url}/{repo_id}/commit/{sha}", **answer}

    def create_tag(self, request: Request, kind: str, repo_id: str, rev: str) -> Any:
        return self._new_ref(request, kind, repo_id, f"refs/tags/{request.json()['tag']}", rev)

    def create_branch(self, request: Request, kind: str, repo_id: str, name: str) -> Any:
        start = (request.json() or {}).get("startingPoint") or "main"
        return self._new_ref(request, kind, repo_id, f"refs/heads/{name}", start)

    def _new_ref(self, request: Request, kind: str, repo_id: str, ref: str, rev: str) -> Any:
        repo = self._writable(request, kind, repo_id)
        if ref in repo.refs:
            raise HubError(409, f"Reference already exists: {ref}")
        repo.refs[ref] = repo.at(rev).sha
        return {"ref": ref}

    def discussions(self, request: Request, kind: str, repo_id: str) -> Any:
        pulls = self._readable(request, kind, repo_id).pulls
        more = {"createdAt": DATE, "isPullRequest": True, "repo": {"name": repo_id, "type": kind}}
        found = [{**pull, **more, "author": {"name": pull["author"]}} for pull in pulls]
        return {"discussions": found, "count": len(found), "start": 0}

    # Collections

    def list_collections(self, request: Request) -> Any:
        owner = request.query.get("owner")
        found = [item for item in self.state.collections if owner in (None, item["owner"]["name"])]
        return [{key: value for key, value in item.items() if key != "position"} for item in found]

    def create_collection(self, request: Request) -> Any:
        user, wanted = self._writer(request), request.json()
        owner, title = wanted.get("namespace") or user.name, wanted["title"]
        if not user.owns(f"{owner}/"):
            raise HubError(403, f'You don\'t have the rights to create a collection under "{owner}"')
        for item in self.state.collections:
            if (item["owner"]["name"], item["title"]) == (owner, title):
                raise HubError(409, "You already have a collection of that title", slug=item["slug"])
        words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        number = hashlib.sha1(f"{len(self.state.collections)}".encode()).hexdigest()[:24]
        made = {"slug": f"{owner}/{words}-{number}", "title": title, "owner": {"name": owner}, "items": []}
        more = {"lastUpdated": DATE, "position": 0, "private": bool(wanted.get("private")), "theme": "orange"}
        self.state.collections.append({**made, **more, "upvotes": 0})
        return self.state.collections[-1]

    def collection(self, _: Request, slug: str) -> Any:
        found = next((item for item in self.state.collections if item["slug"] == slug), None)
        if found is None:
            raise HubError(404, "Collection not found")
        return found

    def add_item(self, request: Request, slug: str) -> Any:
        self._writer(request)
        wanted, found = request.json()["item"], self.collection(request, slug)
        if wanted in [{"type": item["type"], "id": item["id"]} for item in found["items"]]:
            raise HubError(409, "Item already in collection")
        found["items"].append({"_id": f"{len(found['items']):024x}", "position": len(found["items"]), **wanted})
        return found


def _entry(commit: Commit, name: str) -> dict[str, Any]:
    """How the Hub describes a file or a folder."""
    data = commit.tree.get(name)
    kind, content = ("directory", b"") if data is None else ("file", data)
    return {"type": kind, "oid": git_name(content), "size": len(content), "path": name}
