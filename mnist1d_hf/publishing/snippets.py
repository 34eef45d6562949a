"""The snippets of a card, run as a reader would: each by itself, in a process of its own, without network."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

PACKAGE = "mnist1d_hf"
_NOT_CODE = ("bibtex", "text")
_SECONDS = 600  # for all snippets of a card together; they take a few

# Runs in the other process. A snippet of those that need nothing but the Hub's libraries must not find the package.
_RUNNER = """
import json, socket, sys, traceback

task = json.load(open(sys.argv[1], encoding="utf-8"))
if not task["package"]:
    sys.modules["mnist1d_hf"] = None

def refuse(self, address):
    if self.family != getattr(socket, "AF_UNIX", None):
        raise OSError(f"a snippet tried to reach {address}")
    return connect(self, address)

connect, socket.socket.connect = socket.socket.connect, refuse
found = []
for name, code in task["snippets"]:
    try:
        exec(compile(code, name, "exec"), {"__name__": "snippet"})
    except BaseException as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
        text = str(error).strip().splitlines() or [""]
        found.append([name, lines[-1] if lines else None, f"{type(error).__name__}: {text[0]}"])
with open(sys.argv[2], "w", encoding="utf-8") as file:
    json.dump(found, file)
"""


class Snippet(NamedTuple):
    """A block of code: the line of the card that it begins after, its language, and the text."""

    line: int
    language: str
    code: str

    @property
    def needs_package(self) -> bool:
        """Whether it is for readers who have this package."""
        return re.search(rf"^\s*(import|from) {PACKAGE}\b", self.code, flags=re.MULTILINE) is not None


def snippets(card: str) -> list[Snippet]:
    """All fenced blocks of a card.

    >>> snippets("Text\\n```python\\nx = 1\\n```\\n")
    [Snippet(line=2, language='python', code='x = 1\\n')]
    """
    found = re.finditer(r"^```(.*)\n([\s\S]*?)^```$", card, flags=re.MULTILINE)
    return [Snippet(card[: item.start()].count("\n") + 1, item.group(1).strip(), item.group(2)) for item in found]


def failing_snippets(card: str, places: Mapping[str, str | os.PathLike[str]]) -> list[str]:
    """Run the snippets of a card: one line for each that fails, none when all is well.

    Args:
        card: the text.
        places: which folder stands for which name on the Hub.
    """
    problems, python = [], []
    for item in snippets(card):
        if item.language == "python":
            python.append(item._replace(code=_localised(item.code, places)))
        elif item.language not in _NOT_CODE:
            what = item.language or "no language"
            problems.append(f"snippet at line {item.line}: expected python, bibtex or text, found {what}")
    for package in (False, True):
        group = [item for item in python if item.needs_package == package]
        if group:
            problems += _run(group, package)
    return problems


def _localised(code: str, places: Mapping[str, str | os.PathLike[str]]) -> str:
    """The folders instead of the names on the Hub, which do not exist before they are published."""
    for name, folder in places.items():
        path = json.dumps(os.path.abspath(folder), ensure_ascii=False)
        code = code.replace(f"hf://datasets/{name}/", f"{path[1:-1]}/").replace(f'"{name}"', path)
    return code


def _run(group: Sequence[Snippet], package: bool) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="mnist1d-snippets-") as folder:
        place = Path(folder)
        task, answer = place / "task.json", place / "answer.json"
        named = [(f"line {item.line}", item.code) for item in group]
        task.write_text(json.dumps({"package": package, "snippets": named}), encoding="utf-8")
        command = [sys.executable, "-c", textwrap.dedent(_RUNNER), str(task), str(answer)]
        work = place / "work"
        work.mkdir()
        try:
            done = subprocess.run(
                command,
                cwd=work,
                env=_environment(place),
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            return [f"snippets from line {group[0].line} on: not finished after {_SECONDS} s"]
        if not answer.is_file():
            last = (done.stderr.strip().splitlines() or [""])[-1]
            return [f"snippets from line {group[0].line} on: the process ended with {done.returncode}: {last}"]
        failed = json.loads(answer.read_text(encoding="utf-8"))
    return [f"snippet at {name}{_at(number)}: {what}" for name, number, what in failed]


def _at(number: int | None) -> str:
    return "" if number is None else f", its line {number}"


def _environment(place: Path) -> dict[str, str]:
    """No token, no network, no cache but an empty one; and this very package, if it is asked for."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    source = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    cache = str(place / "cache")
    return {
        **kept,
        "HF_HOME": cache,
        "HF_HUB_OFFLINE": "1",
        "XDG_CACHE_HOME": cache,
        "MPLCONFIGDIR": cache,
        "PYTHONPATH": path,
        "PYTHONWARNINGS": "ignore",
    }
