"""Requests and answers of a loopback Hub, and the faults that a test can order."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit


class User(NamedTuple):
    """Whom a token belongs to. `role` is "write" or "read"; `orgs` are namespaces besides the own one."""

    name: str
    role: str = "write"
    orgs: tuple[str, ...] = ()

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Where the user's repositories may be."""
        return (self.name, *self.orgs)


@dataclasses.dataclass
class Request:
    """A request as it came, but for the Authorization header.

    `target` is the path with its query, as on the wire; header names are in small letters.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    authorized: bool = False  # an Authorization header was there
    user: User | None = None  # None: no token, or one that nobody has
    corrupt: re.Pattern[str] | None = None  # paths to be stored with a wrong byte

    @property
    def path(self) -> str:
        """The path without query, still quoted."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's fields."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def flag(self, name: str) -> bool:
        """Whether a field of the query says yes."""
        return self.query.get(name, [""])[-1].lower() in ("1", "true")

    def json(self) -> Any:
        """The body, from JSON."""
        return json.loads(self.body or b"null")


@dataclasses.dataclass
class Response:
    """An answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of_json(cls, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        """An answer in JSON."""
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})


class LogEntry(NamedTuple):
    """One request in the log: `status` is 0 where no answer was sent, `authorized` whether a token came with it."""

    method: str
    path: str
    status: int
    authorized: bool


@dataclasses.dataclass
class Answer:
    """Answer this instead of handling the request. The body is JSON with an error unless given."""

    status: int
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes | None = None

    def response(self) -> Response:
        """The answer."""
        if self.body is not None:
            return Response(self.status, self.body, {"Content-Type": "text/html", **self.headers})
        return Response.of_json({"error": f"fault {self.status}"}, self.status, self.headers)


@dataclasses.dataclass
class Drop:
    """Close the connection; the request has no effect."""


@dataclasses.dataclass
class LoseAnswer:
    """Handle the request, then close the connection: it took effect, but the client cannot know."""


@dataclasses.dataclass
class Truncate:
    """Send all headers but only a part of the body, then close the connection."""

    part: float = 0.5


@dataclasses.dataclass
class Corrupt:
    """Store files with one wrong byte: an LFS upload, or the regular files of a commit whose path matches."""

    path: str = ""


@dataclasses.dataclass
class Call:
    """Call a function with the request, then handle it: what another user does meanwhile."""

    function: Callable[[Request], Any]


@dataclasses.dataclass
class Delay:
    """Wait, then handle the request."""

    seconds: float


Action = Answer | Drop | LoseAnswer | Truncate | Corrupt | Call | Delay


@dataclasses.dataclass
class Fault:
    """What to do to which requests.

    Args:
        match: a function of the request, or a method ("*" for any) and a regular expression that is searched in the
            path with its query, as on the wire and unquoted.
        action: see the classes above.
        times: to how many requests; None for all.
        after: let so many matching ones pass first.

    `applied` counts the requests that it was applied to.

    >>> fault = Fault(("POST", r"/commit/main"), Answer(503), times=2, after=1)
    >>> request = Request("POST", "/api/models/a/b/commit/main", {}, b"")
    >>> [fault.take(request) for _ in range(4)], fault.applied
    ([False, True, True, False], 2)
    """

    match: Callable[[Request], bool] | tuple[str, str]
    action: Action
    times: int | None = 1
    after: int = 0
    applied: int = 0
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock, repr=False)

    def take(self, request: Request) -> bool:
        """Whether it applies to this request; this counts."""
        if not self._matches(request):
            return False
        with self._lock:
            if self.after > 0:
                self.after -= 1
                return False
            if self.times is not None and self.applied >= self.times:
                return False
            self.applied += 1
            return True

    def _matches(self, request: Request) -> bool:
        if callable(self.match):
            return bool(self.match(request))
        method, pattern = self.match
        targets = (request.target, unquote(request.target))
        return method in ("*", request.method) and any(re.search(pattern, target) for target in targets)
