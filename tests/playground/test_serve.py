"""`mnist1d-hf playground`: from the command to the page, and back."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

# As in an installation without extras, on a machine that reaches nothing but itself.
BARE = """
import socket, sys
for name in ("torch", "transformers", "safetensors", "matplotlib"):
    sys.modules[name] = None
def refuse(*_):
    raise OSError("no network")
socket.socket.connect = socket.getaddrinfo = refuse
from mnist1d_hf.cli import main
main()
"""


def test_it_serves_the_page_until_ctrl_c(repository: Path):
    command = [sys.executable, "-c", BARE, "playground", "--no-browser"]
    with subprocess.Popen(
        command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        address = process.stdout.readline().split(" ")[0]
        assert address.startswith("http://127.0.0.1:"), process.stderr.read()
        kinds = {
            "": "text/html; charset=utf-8",
            "app.js": "text/javascript; charset=utf-8",
            "style.css": "text/css; charset=utf-8",
            "weights.json": "application/json",
            "weights.bin": "application/octet-stream",
        }
        for path, kind in kinds.items():
            with urllib.request.urlopen(address + path) as answer:
                assert answer.headers["Content-Type"] == kind
                assert int(answer.headers["Content-Length"]) == len(answer.read())
        with pytest.raises(urllib.error.HTTPError, match="404"), urllib.request.urlopen(address + "../pyproject.toml"):
            pass
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


def test_errors_of_the_user_end_in_one_line(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, errors = run("playground", "--no-browser", "--port", port)
    assert (code, out) == (2, "")
    assert errors == (
        f"mnist1d-hf: port {port}: address already in use; choose another --port, or none for one that is free\n"
    )
    code, _, errors = run("playground", "--port", 70000)
    assert (code, errors) == (2, "mnist1d-hf: port: expected 0 to 65535, found 70000\n")
