"""Folders made by `mnist1d-hf build`: their checksum file, and whether they are as they were built."""

from __future__ import annotations

import os

from mnist1d_hf.errors import OutputError
from mnist1d_hf.files import Store

SUMS = "SHA256SUMS"  # in the format of sha256sum: `sha256sum --check SHA256SUMS` works too
CARD = "README.md"
PLAN = "build.json"  # the arguments of the build
UNITS = ".build"  # only in an unfinished folder


def sums_text(digests: dict[str, str]) -> str:
    """The checksum file for these files.

    >>> sums_text({"b": "12", "a": "34"})
    '34  a\\n12  b\\n'
    """
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def read_sums(store: Store) -> dict[str, str]:
    """File names and their SHA-256.

    Raises:
        OutputError: no checksum file, or one that cannot be read.
    """
    try:
        lines = store.read(SUMS).decode("utf-8").splitlines()
        pairs = [line.split("  ", 1) for line in lines]
        return {name: digest for digest, name in pairs}
    except FileNotFoundError:
        if store.exists(PLAN):
            raise OutputError(f"{store}: not finished; give the same build command again to go on") from None
        raise OutputError(f"{store}: no {SUMS} there; expected a folder made by mnist1d-hf build") from None
    except (ValueError, NotADirectoryError) as error:
        raise OutputError(f"{store}/{SUMS}: expected lines of a checksum and a file name ({error})") from None


def damaged_files(store: Store, expected: dict[str, str]) -> dict[str, str]:
    """The files that are missing or altered, each with what is wrong."""
    damaged = {}
    for name, digest in expected.items():
        if not store.exists(name):
            damaged[name] = "is missing"
            continue
        found = store.digest(name)
        if found != digest:
            damaged[name] = f"is damaged: expected SHA-256 {digest}, found {found}"
    return damaged


def strange_files(store: Store, known: dict[str, str]) -> list[str]:
    """The files that no build made."""
    return [name for name in store.names() if name not in known and name != SUMS and not name.startswith(f"{UNITS}/")]


def verify_folder(folder: str | os.PathLike[str]) -> int:
    """Compare every file of a build with its checksum.

    Args:
        folder: a local folder, or a URL that fsspec knows.

    Returns:
        The number of files compared.

    Raises:
        OutputError: (an `OSError`) no checksum file, or a file that is missing, altered or unknown to it.
    """
    store = Store(folder)
    expected = read_sums(store)
    remedy = "verify --rebuild makes it again" if PLAN in expected else "build the folder again with --overwrite"
    for name, what in damaged_files(store, expected).items():
        raise OutputError(f"{folder}: {name} {what}; {remedy}")
    for name in strange_files(store, expected):
        raise OutputError(f"{folder}: {name} is not part of the build ({SUMS} does not list it); move it elsewhere")
    return len(expected)
