"""A small Hugging Face Hub on this machine, for tests: the real clients talk to it when HF_ENDPOINT is its address.

    with HubServer() as server:
        environment = client_environment(server.url, tmp_path / "home", "hf_write")
        subprocess.run([sys.executable, "publish.py"], env=environment, check=True)
        assert server.repo("dataset", "user/name").files() == {...}

It has what publishing and loading need, and keeps everything in memory. All files are sent in the commit itself
("regular"): there is no LFS and no Xet.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.api import Api
from tests.hub.state import HubError, Repo, State, User

TOKENS = {
    "hf_write": User("user", "write", ("org",)),
    "hf_read": User("user", "read", ("org",)),
    "hf_other": User("other", "write"),
}


@dataclasses.dataclass
class Request:
    """A request: `target` is the path with its query, unquoted; `user` is None without a token that is known."""

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    authorized: bool
    user: User | None
    corrupt: str | None = None  # paths to be stored with a wrong byte

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body or b"null")


@dataclasses.dataclass
class Answer:
    """A response; as a fault it is given instead of handling the request."""

    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""


class Drop:
    """Close the connection; the request has no effect."""


class LoseAnswer:
    """Handle the request, then close the connection: it took effect, but the client cannot know."""


@dataclasses.dataclass
class Corrupt:
    """Store the files of a commit whose path matches with one wrong byte, under the right checksum."""

    path: str


@dataclasses.dataclass
class Fault:
    """What to do to which requests.

    Args:
        method, path: a method ("*" for any), and a regular expression that is searched in the path with its query.
        action: one of the classes above; a function is called with the request, which is handled afterwards.
        times: to how many requests.
        after: let so many matching ones pass first.
    """

    method: str
    path: str
    action: Answer | Drop | LoseAnswer | Corrupt | Callable[[Request], object]
    times: float = 1
    after: int = 0
    applied: int = 0

    def take(self, request: Request) -> bool:
        """Whether it applies to this request; this counts."""
        if self.method not in ("*", request.method) or not re.search(self.path, request.target):
            return False
        self.after -= 1
        if self.after >= 0 or self.applied >= self.times:
            return False
        self.applied += 1
        return True


class HubServer:
    """A Hub on 127.0.0.1, in a thread.

    Attributes:
        url: the address, without a slash at the end.
        state: repositories and collections.
        faults: what to do to which requests; tests set this list.
        log: (method, target) of all requests, in order.
        bodies: of all requests.
        errors: failures of the server itself, which were answered with 500.
    """

    def __init__(self) -> None:
        self.state = State()
        self.faults: list[Fault] = []
        self.log: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.errors: list[Exception] = []
        self.lock = threading.RLock()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.hub = self
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._api = Api(self.state, self.url)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def repo(self, kind: str, repo_id: str) -> Repo:
        """A repository."""
        return self.state.repos[kind, repo_id]

    def push(self, kind: str, repo_id: str, files: dict[str, bytes | None], author: str = "somebody") -> str:
        """Commit files (None: delete) as another user does, without a request; makes the repository if need be."""
        with self.lock:
            if (kind, repo_id) not in self.state.repos:
                self.state.create(kind, repo_id, False)
            repo = self.repo(kind, repo_id)
            tree = {**repo.files(), **files}
            held = {path: data for path, data in tree.items() if data is not None}
            return repo.commit("refs/heads/main", held, "push", author)

    def respond(self, request: Request) -> Answer | None:
        """The response; None: close the connection instead."""
        with self.lock:
            self.log.append((request.method, request.target))
            self.bodies.append(request.body)
        lost = False
        for fault in self.faults:
            if not fault.take(request):
                continue
            match fault.action:
                case Answer() as answer:
                    return answer
                case Drop():
                    return None
                case LoseAnswer():
                    lost = True
                case Corrupt(path=path):
                    request.corrupt = path
                case function:
                    function(request)
        with self.lock:
            response = self._handle(request)
        return None if lost else response

    def _handle(self, request: Request) -> Answer:
        try:
            if request.authorized and request.user is None:
                raise HubError(401, "Invalid credentials in Authorization header")
            found = self._api.handle(request)
            if isinstance(found, tuple):
                return Answer(200, found[1], found[0])
            return Answer(200, {"Content-Type": "application/json"}, json.dumps(found).encode())
        except HubError as error:
            code = {"X-Error-Code": error.code} if error.code else {}
            body = json.dumps({"error": error.message, **error.fields}).encode()
            headers = {"X-Error-Message": error.message, "Content-Type": "application/json", **code}
            return Answer(error.status, headers, body)
        except Exception as error:
            self.errors.append(error)
            return Answer(500, {"X-Error-Message": f"failure of the test server: {error!r}"})


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    hub: HubServer

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave together
    disable_nagle_algorithm = True
    server: _Http

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length") or 0))
        token = headers.pop("authorization", "").removeprefix("Bearer ").strip()
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        request = Request(
            self.command, unquote(self.path), parts.path, query, headers, body, bool(token), TOKENS.get(token)
        )
        answer = self.server.hub.respond(request)
        if answer is None:
            self.close_connection = True
            return
        with contextlib.suppress(OSError):
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else answer.body)

    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815
