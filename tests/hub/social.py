"""Who may do what on a loopback Hub; its discussions, pull requests and collections."""

from __future__ import annotations

import hashlib
import re
from typing import Any
from urllib.parse import quote

from tests.hub.faults import Request, Response, User
from tests.hub.storage import KINDS, MAIN, HubError, HubStorage, Tree, namespace, now


class AccessApi:
    """Whether a request may read or write; the Hub's way of saying no."""

    def __init__(self, storage: HubStorage) -> None:
        self.storage = storage
        self.url = ""  # known when the server listens

    def page(self, kind: str, repo: str) -> str:
        """The address of a repository's page."""
        return f"{self.url}/{'datasets/' if kind == 'dataset' else ''}{quote(repo)}"

    def someone(self, request: Request) -> User:
        """The user.

        Raises:
            HubError: 401, no token.
        """
        if request.user is None:
            raise HubError(401, "Invalid username or password.")
        return request.user

    def writer(self, request: Request) -> User:
        """The user, whose token may write.

        Raises:
            HubError: 401, no token; 403, a token for reading.
        """
        user = self.someone(request)
        if user.role != "write":
            raise HubError(403, "Forbidden: you must use a write token to upload to a repository.")
        return user

    def sees(self, request: Request, kind: str, repo: str) -> bool:
        """Whether there is such a repository, for this user."""
        if not self.storage.has_repo(kind, repo):
            return False
        own = request.user is not None and namespace(repo) in request.user.namespaces
        return own or not self.storage.state(kind, repo)["private"]

    def read_repo(self, request: Request, kind: str, repo: str) -> None:
        """Pass if the user may read the repository.

        Raises:
            HubError: RepoNotFound, with 401 where there is no token and 404 where there is one.
        """
        if not self.sees(request, kind, repo):
            if request.user is None:
                raise HubError(401, "Invalid username or password.", "RepoNotFound")
            raise HubError(404, "Repository not found", "RepoNotFound")

    def write_repo(self, request: Request, kind: str, repo: str) -> User:
        """The user, who may write to the repository.

        Raises:
            HubError: 401 or 404, RepoNotFound; 403, not a token for writing or not the user's namespace.
        """
        user = self.contribute(request, kind, repo, "main", True)
        if namespace(repo) not in user.namespaces:
            raise HubError(403, f'Forbidden: you don\'t have the rights to write to "{repo}"')
        return user

    def contribute(self, request: Request, kind: str, repo: str, rev: str, new_pull: bool) -> User:
        """The user, who may put a commit there: on a new pull request, on an own one, or in an own namespace."""
        self.read_repo(request, kind, repo)
        if request.user is None:
            raise HubError(401, "Invalid username or password.", "RepoNotFound")
        user = self.writer(request)
        if not new_pull and not self._own_pull(user, kind, repo, rev):
            return self.write_repo(request, kind, repo)
        return user

    def _own_pull(self, user: User, kind: str, repo: str, rev: str) -> bool:
        found = re.fullmatch(r"refs/pr/(\d+)", rev)
        pulls = self.storage.state(kind, repo)["pulls"]
        number = int(found[1]) if found else 0
        return any((pull["num"], pull["author"]) == (number, user.name) for pull in pulls)


class DiscussionsApi(AccessApi):
    """The calls for discussions and pull requests."""

    def open_pull(self, kind: str, repo: str, base: str | None, title: str, text: str, author: str) -> int:
        """A discussion, or a pull request that starts at the reference `base`. Returns its number."""
        with self.storage.update(kind, repo) as state:
            num = len(state["pulls"]) + 1
            if base is not None:
                state["refs"][f"refs/pr/{num}"] = state["refs"][base]
            state["pulls"].append(
                {
                    "num": num,
                    "title": title,
                    "description": text,
                    "author": author,
                    "created": now(),
                    "pull": base is not None,
                    "status": "open",
                    "base": base,
                    "start": state["refs"].get(base),
                    "merged": None,
                }
            )
        return num

    def list_discussions(self, request: Request, kind: str, repo: str) -> Response:
        """All discussions, on one page."""
        self.read_repo(request, kind, repo)
        found = [self._discussion(kind, repo, pull) for pull in self.storage.state(kind, repo)["pulls"]]
        return Response.of_json({"discussions": found[::-1], "count": len(found), "start": 0})

    def create_discussion(self, request: Request, kind: str, repo: str) -> Response:
        """A discussion or a pull request without commits."""
        user, items = self.contribute(request, kind, repo, "main", True), request.json()
        base = MAIN if items.get("pullRequest") else None
        num = self.open_pull(kind, repo, base, items["title"], items.get("description") or "", user.name)
        return Response.of_json({"num": num, "url": f"{self.page(kind, repo)}/discussions/{num}"})

    def discussion(self, request: Request, kind: str, repo: str, num: str) -> Response:
        """One discussion with its first comment."""
        self.read_repo(request, kind, repo)
        pull = self._pull(kind, repo, num)
        answer = {**self._discussion(kind, repo, pull), "events": [_comment(pull, pull["description"])], "diff": ""}
        if pull["pull"]:
            answer |= {"changes": {"base": pull["base"], "mergeCommitId": pull["merged"]}, "filesWithConflicts": []}
        return Response.of_json(answer)

    def change_discussion(self, request: Request, kind: str, repo: str, num: str, name: str) -> Response:
        """Comment on it (which is not kept), close or open it, or merge it."""
        pull = self._pull(kind, repo, num)
        if name == "comment":
            user = self.contribute(request, kind, repo, "main", True)
            return Response.of_json({"newMessage": _comment({**pull, "author": user.name}, request.json()["comment"])})
        self.write_repo(request, kind, repo)
        if name == "merge":
            return self._merge(request, kind, repo, pull)
        status = request.json()["status"]
        self._set_pull(kind, repo, pull["num"], status=status)
        return Response.of_json({"newStatus": {**_event(pull, "status-change"), "data": {"status": status}}})

    def _merge(self, request: Request, kind: str, repo: str, pull: dict[str, Any]) -> Response:
        if not pull["pull"] or pull["status"] != "open":
            raise HubError(400, "This is not an open pull request")
        first = self.storage.at(kind, repo, pull["start"]).tree
        last = self.storage.at(kind, repo, f"refs/pr/{pull['num']}").tree
        changed = {path: last.get(path) for path in {**first, **last} if first.get(path) != last.get(path)}

        def change(tree: Tree) -> Tree:
            merged = {**tree, **changed}
            return {path: entry for path, entry in merged.items() if entry is not None}

        author = self.someone(request).name
        sha = self.storage.commit(kind, repo, pull["base"], change, f"{pull['title']} (#{pull['num']})", author=author)
        self._set_pull(kind, repo, pull["num"], status="merged", merged=sha)
        return Response.of_json({"mergeCommitId": sha})

    def _pull(self, kind: str, repo: str, num: str) -> dict[str, Any]:
        pulls = self.storage.state(kind, repo)["pulls"]
        if not 0 < int(num) <= len(pulls):
            raise HubError(404, f"Discussion not found: {num}")
        return pulls[int(num) - 1]

    def _set_pull(self, kind: str, repo: str, num: int, **changes: Any) -> None:
        with self.storage.update(kind, repo) as state:
            state["pulls"][num - 1].update(changes)

    def _discussion(self, kind: str, repo: str, pull: dict[str, Any]) -> dict[str, Any]:
        return {
            "num": pull["num"],
            "title": pull["title"],
            "author": {"name": pull["author"]},
            "createdAt": pull["created"],
            "status": pull["status"],
            "repo": {"name": repo, "type": kind},
            "isPullRequest": pull["pull"],
        }


class CollectionsApi(AccessApi):
    """The calls for collections."""

    def list_collections(self, request: Request) -> Response:
        """Collections of an owner, or that hold an item such as datasets/ns/name."""
        owners, items = request.query.get("owner", []), request.query.get("item", [])
        with self.storage.collections() as all_collections:
            found = [c for c in all_collections if _visible(request, c)]
        found = [c for c in found if not owners or c["owner"]["name"] in owners]
        found = [c for c in found if not items or {f"{i['type']}s/{i['id']}" for i in c["items"]} & set(items)]
        return Response.of_json([{key: value for key, value in c.items() if key != "position"} for c in found])

    def create_collection(self, request: Request) -> Response:
        """A new collection; 409 with the slug where the namespace has one of that title."""
        user, wanted = self.writer(request), request.json()
        owner, title = wanted.get("namespace") or user.name, wanted["title"]
        if owner not in user.namespaces:
            raise HubError(403, f'You don\'t have the rights to create a collection under "{owner}"')
        with self.storage.collections() as all_collections:
            for item in all_collections:
                if (item["owner"]["name"], item["title"]) == (owner, title):
                    raise HubError(409, "You already have a collection of that title", fields={"slug": item["slug"]})
            number = hashlib.sha1(str(self.storage.next_number()).encode()).hexdigest()[:24]
            words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
            collection = {
                "slug": f"{owner}/{words}-{number}",
                "title": title,
                "description": wanted.get("description"),
                "owner": {"name": owner, "type": "user" if owner == user.name else "org"},
                "items": [],
                "lastUpdated": now(),
                "position": len(all_collections),
                "private": bool(wanted.get("private")),
                "theme": "orange",
                "upvotes": 0,
            }
            all_collections.append(collection)
        return Response.of_json(collection)

    def collection(self, request: Request, slug: str) -> Response:
        """A collection with its items."""
        with self.storage.collections() as all_collections:
            return Response.of_json(_find(request, all_collections, slug))

    def update_collection(self, request: Request, slug: str) -> Response:
        """Another title, description, theme, position or privacy."""
        self.writer(request)
        keys = ("title", "description", "theme", "position", "private")
        with self.storage.collections() as all_collections:
            collection = _find(request, all_collections, slug, write=True)
            collection.update({key: value for key, value in request.json().items() if key in keys})
            return Response.of_json({"success": True, "data": collection})

    def delete_collection(self, request: Request, slug: str) -> Response:
        """Remove a collection; what it points to stays."""
        self.writer(request)
        with self.storage.collections() as all_collections:
            all_collections.remove(_find(request, all_collections, slug, write=True))
        return Response.of_json({"success": True})

    def add_item(self, request: Request, slug: str) -> Response:
        """Put something into a collection; 409 where it is there already."""
        self.writer(request)
        wanted, note = request.json()["item"], request.json().get("note")
        if wanted["type"] in KINDS:
            self.read_repo(request, wanted["type"], wanted["id"])
        with self.storage.collections() as all_collections:
            collection = _find(request, all_collections, slug, write=True)
            if any((i["id"], i["type"]) == (wanted["id"], wanted["type"]) for i in collection["items"]):
                raise HubError(409, "Item already in collection")
            number = hashlib.sha1(str(self.storage.next_number()).encode()).hexdigest()[:24]
            item = {"_id": number, "id": wanted["id"], "type": wanted["type"], "position": len(collection["items"])}
            collection["items"].append({**item, **({"note": _note(note)} if note else {})})
            collection["lastUpdated"] = now()
            return Response.of_json(collection)

    def update_item(self, request: Request, slug: str, item: str) -> Response:
        """Another note or position of an item."""
        return self._change_item(request, slug, item, request.json())

    def delete_item(self, request: Request, slug: str, item: str) -> Response:
        """Take an item out."""
        return self._change_item(request, slug, item, None)

    def _change_item(self, request: Request, slug: str, number: str, changes: dict[str, Any] | None) -> Response:
        self.writer(request)
        with self.storage.collections() as all_collections:
            items = _find(request, all_collections, slug, write=True)["items"]
            found = next((item for item in items if item["_id"] == number), None)
            if found is None:
                raise HubError(404, "Collection item not found")
            items.remove(found)
            if changes is not None:
                found.update({"note": _note(changes["note"])} if "note" in changes else {})
                items.insert(changes.get("position", found["position"]), found)
            for position, item in enumerate(items):
                item["position"] = position
        return Response.of_json({"success": True})


def _note(text: str) -> dict[str, str]:
    return {"text": text, "html": text}


def _visible(request: Request, collection: dict[str, Any]) -> bool:
    own = request.user is not None and collection["owner"]["name"] in request.user.namespaces
    return own or not collection["private"]


def _find(request: Request, collections: list[dict[str, Any]], slug: str, write: bool = False) -> dict[str, Any]:
    found = next((item for item in collections if item["slug"] == slug and _visible(request, item)), None)
    if found is None:
        raise HubError(404, "Collection not found")
    if write and (request.user is None or found["owner"]["name"] not in request.user.namespaces):
        raise HubError(403, "Forbidden: this collection is not yours")
    return found


def _event(pull: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": f"{pull['num']:024x}", "type": kind, "createdAt": now(), "author": {"name": pull["author"]}}


def _comment(pull: dict[str, Any], text: str) -> dict[str, Any]:
    latest = {"raw": text, "html": text, "updatedAt": now(), "author": {"name": pull["author"]}}
    return {**_event(pull, "comment"), "data": {"edited": False, "hidden": False, "latest": latest, "history": []}}
