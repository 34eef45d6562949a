"""The snippets of cards, run as a reader would: each by itself, in another process, without network.

All cards share two processes, one with this package and one without: to import torch takes longer than to run a card.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = "mnist1d_hf"
_NOT_CODE = ("bibtex", "text")
_SECONDS = 1800  # for all snippets together; those of a card take less than a second

# Runs in the other process. A snippet of those that need nothing but the Hub's libraries must not find the package.
# What is begun is written down first: if the process ends there, it is known where.
_RUNNER = """
import json, socket, sys, traceback

task = json.load(open(sys.argv[1], encoding="utf-8"))
if not task["package"]:
    sys.modules["mnist1d_hf"] = None

def refuse(self, address):
    if self.family != getattr(socket, "AF_UNIX", None):
        raise OSError(f"a snippet tried to reach {address}")
    return connect(self, address)

def say(*what):
    print(json.dumps(what), file=answer, flush=True)

connect, socket.socket.connect = socket.socket.connect, refuse
answer = open(sys.argv[2], "w", encoding="utf-8")
for number, code in enumerate(task["snippets"]):
    say(number)
    name = f"snippet {number}"
    try:
        exec(compile(code, name, "exec"), {"__name__": "snippet"})
    except BaseException as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
        text = str(error).strip().splitlines() or [""]
        say(number, lines[-1] if lines else None, f"{type(error).__name__}: {text[0]}")
say("end")
"""


class Trial(NamedTuple):
    """A card whose snippets are to be run, and which folder stands for which name on the Hub."""

    card: str
    places: Mapping[str, str | os.PathLike[str]]


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


def failing_snippets(trials: Sequence[Trial]) -> list[list[str]]:
    """Run the snippets of cards: for each card one line for each snippet that fails, none when all is well."""
    problems: list[list[str]] = [[] for _ in trials]
    python: list[tuple[int, Snippet]] = []
    for number, trial in enumerate(trials):
        for item in snippets(trial.card):
            if item.language == "python":
                python.append((number, item._replace(code=_localised(item.code, trial.places))))
            elif item.language not in _NOT_CODE:
                what = item.language or "no language"
                problems[number].append(f"snippet at line {item.line}: expected python, bibtex or text, found {what}")
    groups = [[(number, item) for number, item in python if item.needs_package == package] for package in (False, True)]
    with ThreadPoolExecutor() as pool:
        found = pool.map(_run, ([item.code for _, item in group] for group in groups), (False, True))
        for group, failed in zip(groups, found, strict=True):
            for position, what in failed:
                number, item = group[position]
                problems[number].append(f"snippet at line {item.line}{what}")
    return problems


def _localised(code: str, places: Mapping[str, str | os.PathLike[str]]) -> str:
    """The folders instead of the names on the Hub, which do not exist before they are published."""
    for name, folder in places.items():
        path = json.dumps(os.path.abspath(folder), ensure_ascii=False)
        code = code.replace(f"hf://datasets/{name}/", f"{path[1:-1]}/").replace(f'"{name}"', path)
    return code


def _run(codes: Sequence[str], package: bool) -> list[tuple[int, str]]:
    """The positions of those that fail, with what happened."""
    if not codes:
        return []
    with tempfile.TemporaryDirectory(prefix="mnist1d-snippets-") as folder:
        place = Path(folder)
        task, answer, work = place / "task.json", place / "answer", place / "work"
        task.write_text(json.dumps({"package": package, "snippets": codes}), encoding="utf-8")
        work.mkdir()
        command = [sys.executable, "-c", textwrap.dedent(_RUNNER), str(task), str(answer)]
        settings: dict[str, Any] = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
        try:
            done = subprocess.run(command, cwd=work, env=_environment(place), timeout=_SECONDS, check=False, **settings)
            last = (done.stderr.strip().splitlines() or [""])[-1]
            ended = f": the process ended with {done.returncode}: {last}"
        except subprocess.TimeoutExpired:
            ended = f": not finished after {_SECONDS} s"
        lines = [json.loads(line) for line in answer.read_text("utf-8").splitlines()] if answer.is_file() else [[0]]
    failed = [(item[0], f"{_at(item[1])}: {item[2]}") for item in lines if len(item) > 1]
    return failed if lines[-1] == ["end"] else [*failed, (lines[-1][0], ended)]


def _at(line: int | None) -> str:
    return "" if line is None else f", its line {line}"


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
