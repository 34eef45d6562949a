"""The page on this machine: its folder, made anew, behind a small web server on the loopback interface."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mnist1d_hf.errors import InvalidValueError, OutputError
from mnist1d_hf.playground.build import build

HOST = "127.0.0.1"


@contextlib.contextmanager
def serving(port: int = 0) -> Iterator[tuple[ThreadingHTTPServer, str]]:
    """A server of the page, which nobody beyond this machine reaches, and the page's address.

    Args:
        port: 0 to 65535; 0 takes one that is free.

    Raises:
        InvalidValueError: not a port.
        OutputError: (an `OSError`) the port is in use, or may not be used.
    """
    if not 0 <= port <= 65535:
        raise InvalidValueError(f"port: expected 0 to 65535, found {port}")
    with tempfile.TemporaryDirectory(prefix="mnist1d-hf-") as place:
        build(Path(place))
        try:
            server = ThreadingHTTPServer((HOST, port), functools.partial(_Handler, directory=place))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise OutputError(f"port {port}: {reason}; choose another --port, or none for one that is free") from None
        with server:
            yield server, f"http://{HOST}:{server.server_port}/"


class _Handler(SimpleHTTPRequestHandler):
    """Files of a folder. Their types do not depend on this machine's tables, which some systems have wrong."""

    extensions_map = {
        "": "application/octet-stream",
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".md": "text/markdown; charset=utf-8",
    }

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # another version of the package may be at the same address
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
