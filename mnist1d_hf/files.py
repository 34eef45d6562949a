"""Files that are there whole or not at all: in a local folder, or anywhere that fsspec reaches (s3://..., memory://...)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from mnist1d_hf.errors import OutputError


def write_file(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write a file so that its name always stands for the whole old content or the whole new one.

    The data go to a draft beside the file, then to the disk, and then the draft is renamed. Folders are made as needed.

    Raises:
        OSError: the file cannot be written; the old one is still there.

    >>> write_file("folder/file.txt", b"hello").read_bytes()
    b'hello'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # unique over all machines that share the folder
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return path


def is_draft(name: str) -> bool:
    """Whether a file is the draft of a `write_file` that was killed.

    >>> is_draft("data/.train.parquet.0123456789abcdef0123456789abcdef"), is_draft(".bashrc")
    (True, False)
    """
    return re.fullmatch(r"\..+\.[0-9a-f]{32}", name.rpartition("/")[2]) is not None


@contextlib.contextmanager
def write_errors(place: object, remedy: str = "") -> Iterator[None]:
    """Turn an OSError of the block into an OutputError that names the place; errors for the user pass as they are."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{place}: cannot be written: {error.strerror or error}{remedy}") from error


class Store:
    """Files under one folder, by names like "data/train-00000-of-00008.parquet". A file is there whole or not at all.

    Args:
        place: a path, or the URL of a folder in a file system that fsspec knows.

    Raises:
        OutputError: no such file system, or its package is not installed.

    >>> store = Store("memory://example")
    >>> store.write("a/b.txt", b"hello")
    >>> store.names(), store.read("a/b.txt")
    (['a/b.txt'], b'hello')
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        text = os.fspath(place)
        if "://" not in text:
            text = os.path.abspath(os.path.expanduser(text))
        self.place = text
        try:
            self._fs, self._root = fsspec.core.url_to_fs(text)
        except (ValueError, ImportError) as error:
            raise OutputError(f"{text}: {str(error).rstrip('.')}") from None
        self._root = self._root.rstrip("/")
        self.folder = Path(text) if isinstance(self._fs, LocalFileSystem) else None  # None: not on this machine

    def __str__(self) -> str:
        return self.place

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def exists(self, name: str = "") -> bool:
        """Whether there is such a file or folder."""
        return bool(self._fs.exists(self._path(name)))

    def names(self) -> list[str]:
        """The names of all files, sorted."""
        self._fs.invalidate_cache()
        found = self._fs.find(self._root) if self._fs.exists(self._root) else []
        return sorted(path[len(self._root) + 1 :] for path in found)

    def size(self, name: str) -> int:
        """The size of a file in bytes."""
        return int(self._fs.size(self._path(name)))

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return bytes(self._fs.cat_file(self._path(name)))

    def digest(self, name: str) -> str:
        """SHA-256 of a file, hexadecimal."""
        digest = hashlib.sha256()
        with self._fs.open(self._path(name), "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
        return digest.hexdigest()

    def write(self, name: str, data: bytes) -> None:
        """Write a file, in a local folder by `write_file`; in object storage an object appears when it is complete."""
        if self.folder is None:
            self._fs.pipe_file(self._path(name), data)
        else:
            write_file(self.folder / name, data)

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that is in it. Nothing happens where there is none."""
        if self.exists(name):
            self._fs.rm(self._path(name), recursive=True)
