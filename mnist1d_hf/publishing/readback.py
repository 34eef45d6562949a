"""What the Hub gives back of a commit, compared byte for byte with what was sent."""

from __future__ import annotations

import glob
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from huggingface_hub import snapshot_download

from mnist1d_hf.errors import HubError
from mnist1d_hf.publishing.planning import LocalFile
from mnist1d_hf.publishing.remote import Remote


def read_back(
    remote: Remote, sha: str, files: Mapping[str, LocalFile], check: Callable[[Path], object] | None = None
) -> None:
    """Download these files of a commit to an empty folder, compare sizes and checksums, and run a check on the folder.

    The client itself compares sizes only, and prefers what is cached: a new folder for each attempt, and the name of
    the commit instead of a branch, keep any older copy out.

    Raises:
        HubError: the download fails, or a file is missing or differs; all such files are named.
        Exception: whatever `check` raises.
    """
    with tempfile.TemporaryDirectory(prefix="mnist1d-hf-readback-") as name:
        folder = remote.trying(f"reading {sha[:10]} back", lambda: _download(remote, sha, files, Path(name)))
        wrong = [text for path, file in files.items() if (text := _difference(folder / path, path, file))]
        if wrong:
            raise HubError(
                f"{remote.repo_id}: commit {sha[:10]} does not hold what was sent: {'; '.join(wrong)}; "
                f"delete these files on the Hub and publish again"
            )
        if check is not None:
            check(folder)


def _download(remote: Remote, sha: str, files: Mapping[str, LocalFile], parent: Path) -> Path:
    place = Path(tempfile.mkdtemp(dir=parent))
    folder = snapshot_download(
        **remote.place,
        revision=sha,
        token=remote.token or False,
        cache_dir=place / "cache",
        local_dir=place / "files",
        allow_patterns=[glob.escape(path) for path in files],
    )
    shutil.rmtree(Path(folder) / ".cache", ignore_errors=True)  # the client's notes, no part of the commit
    return Path(folder)


def _difference(found: Path, path: str, expected: LocalFile) -> str | None:
    """What is wrong with a file, if anything."""
    if not found.is_file():
        return f"{path} is missing"
    size = found.stat().st_size
    if size != expected.size:
        return f"{path}: expected {expected.size} bytes, found {size}"
    with found.open("rb") as file:
        digest = hashlib.sha256()
        while part := file.read(2**20):
            digest.update(part)
    if digest.hexdigest() != expected.sha256:
        return f"{path}: expected SHA-256 {expected.sha256}, found {digest.hexdigest()}"
    return None
