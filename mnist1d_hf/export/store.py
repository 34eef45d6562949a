"""A place for files: a local folder, or anything that fsspec reaches (s3://..., gs://..., memory://...)."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from mnist1d_hf.errors import OutputError


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
        """Bytes of a file."""
        return int(self._fs.size(self._path(name)))

    def read(self, name: str) -> bytes:
        """What a file holds."""
        return bytes(self._fs.cat_file(self._path(name)))

    def digest(self, name: str) -> str:
        """SHA-256 of a file, hexadecimal."""
        digest = hashlib.sha256()
        with self._fs.open(self._path(name), "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
        return digest.hexdigest()

    def write(self, name: str, data: bytes) -> None:
        """Put a file there: under its name is always the old one or the new one, whole."""
        if self.folder is None:
            self._fs.pipe_file(self._path(name), data)  # an object appears when it is complete
        else:
            _write_local(self.folder / name, data)

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all that it holds; nothing happens where there is none."""
        if self.exists(name):
            self._fs.rm(self._path(name), recursive=True)


def _write_local(path: Path, data: bytes) -> None:
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
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
