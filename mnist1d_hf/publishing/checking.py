"""What the checks of a dataset's and of a model's folder share: problems, files, JSON, links."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mnist1d_hf.data.schema import HOMEPAGE
from mnist1d_hf.errors import InvalidValueError, OutputError
from mnist1d_hf.export.folder import damaged_files, read_sums, strange_files
from mnist1d_hf.files import Store
from mnist1d_hf.publishing.cards import read_card
from mnist1d_hf.publishing.contents import wrong_links
from mnist1d_hf.publishing.layout import CARD, SUMS

_KNOWN = ("https://arxiv.org/abs/2011.14439", HOMEPAGE, "https://docs.mlcommons.org/croissant")


class CheckError(OutputError):
    """A staged folder is not fit to be published. `problems` has a line for each reason."""

    def __init__(self, folder: str | os.PathLike[str], problems: list[str]) -> None:
        self.problems = problems
        count = "" if len(problems) == 1 else f"{len(problems)} problems: "
        super().__init__(f"{folder}: {count}{'; '.join(problems)}; nothing was published, stage it again")


def verdict(folder: str | os.PathLike[str], problems: list[str], files: list[str]) -> int:
    """How many files were checked.

    Raises:
        CheckError: there are problems; it lists each once.
    """
    if problems:
        raise CheckError(folder, list(dict.fromkeys(problems)))
    return len(files)


def differences(where: str, expected: Any, found: Any) -> list[str]:
    """Where two values of plain types differ, each place with both.

    >>> differences("a.json", {"n": [1, 2]}, {"n": [1, 3], "m": 0})
    ['a.json: n[1]: expected 2, found 3', 'a.json: m: expected nothing, found 0']
    """
    return [
        f"{where}: {path.lstrip('.')}: expected {left}, found {right}" for path, left, right in _walk(expected, found)
    ]


def _walk(expected: Any, found: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in dict.fromkeys((*expected, *found)):
            yield from _walk(expected.get(key, _NOTHING), found.get(key, _NOTHING), f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, (left, right) in enumerate(zip(expected, found, strict=True)):
            yield from _walk(left, right, f"{path}[{number}]")
    elif expected != found:
        yield path, _short(expected), _short(found)


_NOTHING = object()


def _short(value: Any) -> str:
    if value is _NOTHING:
        return "nothing"
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]} ..."


def plain(value: Any) -> Any:
    """The value as JSON gives it back: tuples are lists, keys are text.

    >>> plain({1: (2, 3)})
    {'1': [2, 3]}
    """
    return json.loads(json.dumps(value))


def check_files(place: Path, expected: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The names of the files that are there, and what is wrong with them as files."""
    if not place.is_dir():
        raise CheckError(place, ["expected a staged folder, found none"])
    store = Store(place)
    names = store.names()
    try:
        sums = read_sums(store)
    except OutputError as error:
        return names, [str(error).removeprefix(f"{store}: ")]
    problems = [f"{name}: {what}" for name, what in damaged_files(store, sums).items()]
    problems += [f"{name}: expected in {SUMS}, found no line for it" for name in strange_files(store, sums)]
    problems += [f"{name}: is missing" for name in expected if name not in names and name not in sums]
    problems += [f"{name}: expected no such file; remove it" for name in names if name not in (*expected, SUMS)]
    return names, problems


def load_json(place: Path, name: str, files: list[str]) -> tuple[dict[str, Any] | None, list[str]]:
    """The object in a JSON file of the folder, and what is wrong with it; None where there is none to be read.

    Args:
        files: the names that are there; one that is missing has been reported by `check_files`.
    """
    if name not in files:
        return None, []
    try:
        found = json.loads((place / name).read_text(encoding="utf-8"))
    except ValueError as error:
        return None, [f"{name}: expected JSON ({error})"]
    return (found, []) if isinstance(found, dict) else (None, [f"{name}: expected an object, found something else"])


def addresses(dataset_id: str) -> tuple[str, ...]:
    """How texts may refer to a dataset repository: its page, and the path that clients open.

    >>> addresses("me/mnist1d")[1]
    'hf://datasets/me/mnist1d'
    """
    return f"https://huggingface.co/datasets/{dataset_id}", f"hf://datasets/{dataset_id}"


def wrong_card_links(place: Path, card: str, known: Iterable[str]) -> list[str]:
    """Links of the card that lead nowhere that is known."""
    try:
        _, body = read_card(card)
    except InvalidValueError as error:
        return [str(error)]
    return [f"{CARD}: {what}" for what in wrong_links(place, body, (*_KNOWN, *known))]
