"""A Hugging Face Hub on this machine, for tests: the real clients talk to it when HF_ENDPOINT is its address.

    with HubServer(tmp_path) as server:
        environment = {"HF_ENDPOINT": server.url, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_write"}
        subprocess.run([sys.executable, "publish.py"], env={**os.environ, **environment}, check=True)
        assert server.repo("dataset", "user/name").files() == {...}

Alone, until it is interrupted: `python -m tests.hub.server --root DIR --port 0` prints the address.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import re
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.hub.api import HubApi
from tests.hub.faults import (
    Answer,
    Call,
    Corrupt,
    Delay,
    Drop,
    Fault,
    LogEntry,
    LoseAnswer,
    Request,
    Response,
    Truncate,
    User,
)
from tests.hub.storage import Entry, HubError, HubStorage, Repo, Repository, Tree, wants_lfs

__all__ = [
    "TOKENS",
    "Answer",
    "Call",
    "Corrupt",
    "Delay",
    "Drop",
    "Fault",
    "HubError",
    "HubServer",
    "LogEntry",
    "LoseAnswer",
    "Repository",
    "Request",
    "Response",
    "Truncate",
    "User",
]

TOKENS: dict[str, dict[str, Any]] = {
    "hf_write": {"name": "user", "role": "write", "orgs": ["org"]},
    "hf_read": {"name": "user", "role": "read", "orgs": ["org"]},
    "hf_other": {"name": "other", "role": "write", "orgs": []},
}
_KEPT = 2**20  # bytes of a body that `requests` keeps


class HubServer:
    """A Hub on 127.0.0.1, in a thread. Its state lies under `root` and is found there by the next server.

    Args:
        root: a folder of its own.
        tokens: token -> {"name": ..., "role": "write" or "read", "orgs": [...]}; see TOKENS for the usual ones.
        port: 0 for any.
        page_size: entries of a page of a tree listing.
        redirect_lfs: send clients to another host name for LFS files, as the Hub does.

    Attributes:
        url: the address, without a slash at the end.
        faults: what to do to which requests; tests add to this list and clear it.
        log: (method, path with query, status, whether a token came), in the order of the answers.
        requests: the same requests whole, without Authorization header and tokens; bodies are cut after 1 MiB.
        errors: tracebacks of failures of the server itself, which were answered with 500.
    """

    def __init__(
        self,
        root: Path,
        tokens: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        port: int = 0,
        page_size: int = 1000,
        redirect_lfs: bool = False,
    ) -> None:
        self.storage = HubStorage(root)
        self.faults: list[Fault] = []
        self.log: list[LogEntry] = []
        self.requests: list[Request] = []
        self.errors: list[str] = []
        self._users = {
            token: User(user["name"], user.get("role", "write"), tuple(user.get("orgs", ())))
            for token, user in (TOKENS if tokens is None else tokens).items()
        }
        self._api = HubApi(self.storage, page_size, redirect_lfs)
        self._http = _HttpServer(("127.0.0.1", port), _Handler)
        self._http.hub = self
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._api.url = self.url
        self._api.cdn_url = f"http://localhost:{self._http.server_port}"

    @property
    def url(self) -> str:
        """The address, for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def start(self) -> HubServer:
        """Answer requests from now on."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close all connections and answer no more; doing it twice changes nothing."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()
        self._http.close_connections()

    def __enter__(self) -> HubServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # for tests

    def repo(self, kind: str, repo_id: str) -> Repository:
        """A look at a repository: `.files()`, `.head()`, `.commits()`, `.tags`, ..."""
        return Repository(self.storage, kind, repo_id)

    def push(
        self,
        kind: str,
        repo_id: str,
        files: Mapping[str, bytes | None],
        message: str = "push",
        branch: str = "main",
        author: str = "somebody",
    ) -> str:
        """Commit files (None: delete) as another user does, without a request; makes the repository if need be.

        Returns:
            The new commit.
        """
        with self.storage.lock:
            if not self.storage.has_repo(kind, repo_id):
                self.storage.create_repo(kind, repo_id, False, author)
            ref = branch if branch.startswith("refs/") else f"refs/heads/{branch}"
            return self.storage.commit(
                kind, repo_id, ref, lambda tree: self._changed((kind, repo_id), tree, files), message, "", author
            )

    def _changed(self, repo: Repo, tree: Tree, files: Mapping[str, bytes | None]) -> Tree:
        for path, data in files.items():
            if data is None:
                tree.pop(path)
            else:
                lfs = wants_lfs(path, len(data))
                name = self.storage.put_blob(data, repo if lfs else None)
                tree[path] = Entry.of(name, len(data), None if lfs else data)
        return tree

    # for the handler

    def received(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
        """The request, with its user in place of the token."""
        names = {name.lower(): value for name, value in headers.items() if name.lower() != "authorization"}
        given = next((value for name, value in headers.items() if name.lower() == "authorization"), None)
        token = (given or "").removeprefix("Bearer ").strip()
        return Request(method, target, names, body, given is not None, self._users.get(token))

    def _record(self, request: Request, status: int) -> None:
        """Keep a request without any token that it may hold."""
        target, body, headers = request.target, request.body[:_KEPT], dict(request.headers)
        for token in self._users:
            target, body = target.replace(token, "[token]"), body.replace(token.encode(), b"[token]")
            headers = {name: value.replace(token, "[token]") for name, value in headers.items()}
        with self._lock:
            self.log.append(LogEntry(request.method, target, status, request.authorized))
            self.requests.append(dataclasses.replace(request, target=target, headers=headers, body=body))

    def respond(self, request: Request) -> tuple[Response | None, float]:
        """The answer (None: close the connection instead) and the part of its body to send."""
        lost, part = False, 1.0
        for fault in list(self.faults):
            if not fault.take(request):
                continue
            match fault.action:
                case Answer() as answer:
                    return answer.response(), part
                case Drop():
                    return None, part
                case LoseAnswer():
                    lost = True
                case Truncate(part=part):
                    pass
                case Corrupt(path=path):
                    request.corrupt = re.compile(path)
                case Call(function=function):
                    function(request)
                case Delay(seconds=seconds):
                    time.sleep(seconds)
        response = self._api.handle(request)
        return (None if lost else response), part

    def safely_respond(self, request: Request) -> tuple[Response | None, float]:
        """Like `respond`, with refusals and failures as answers; writes the log."""
        try:
            response, part = self.respond(request)
        except HubError as error:
            response, part = _refusal(error), 1.0
        except Exception as error:
            self.errors.append(traceback.format_exc())
            response, part = Response.of_json({"error": f"failure of the test server: {error!r}"}, 500), 1.0
        self._record(request, 0 if response is None else response.status)
        return response, part


def _refusal(error: HubError) -> Response:
    message = error.message.encode("ascii", "replace").decode().replace("\n", " ")
    headers = {"X-Error-Message": message, **({"X-Error-Code": error.code} if error.code else {}), **error.headers}
    return Response.of_json({"error": error.message, **error.fields}, error.status, headers)


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    hub: HubServer

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connections: set[socket.socket] = set()

    def close_connections(self) -> None:
        """Close what clients keep open for their next request."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A client that went away is no news."""
        if not isinstance(sys.exc_info()[1], OSError):
            self.hub.errors.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave together
    disable_nagle_algorithm = True
    server: _HttpServer

    def setup(self) -> None:
        """Remember the connection."""
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        """Forget the connection."""
        self.server.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        request = self.server.hub.received(self.command, self.path, dict(self.headers.items()), self._body())
        response, part = self.server.hub.safely_respond(request)
        if response is None:
            self._hang_up()
        else:
            self._send(response, part)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._chunks()
        return self._read(int(self.headers.get("Content-Length") or 0))

    def _read(self, size: int) -> bytes:
        """So many bytes; a client that dies in the middle of its request did not make it."""
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionAbortedError(f"expected {size} bytes, found {len(data)}")
        return data

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self._line().split(b";")[0], 16):
            parts.append(self._read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _line(self) -> bytes:
        line = self.rfile.readline()
        if not line:
            raise ConnectionAbortedError("expected a chunk, found the end")
        return line

    def _send(self, response: Response, part: float) -> None:
        self.send_response(response.status)
        for name, value in {**response.headers, "Content-Length": str(len(response.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        body = b"" if self.command == "HEAD" else response.body
        self.wfile.write(body[: int(len(body) * part)])
        self.wfile.flush()
        if part < 1:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A Hugging Face Hub on this machine, for tests.")
    parser.add_argument("--root", type=Path, required=True, help="folder for its state")
    parser.add_argument("--port", type=int, default=0, help="0 for any")
    parser.add_argument("--tokens", type=Path, help='JSON: {token: {"name": ..., "role": "write", "orgs": []}}')
    options = parser.parse_args(arguments)
    tokens = None if options.tokens is None else json.loads(options.tokens.read_text(encoding="utf-8"))
    with HubServer(options.root, tokens, port=options.port) as server:
        print(server.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
