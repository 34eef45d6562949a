"""What no file that is published may have: a secret, a path of somebody's machine, a size or a link nobody expects."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

# Each begins with fixed letters, which `re` finds fast in megabytes; that they begin a word is asked behind them.
_SECRETS = {
    "token of the Hub": rb"hf_(?<!\whf_)[A-Za-z0-9]{30,}",
    "old token of the Hub": rb"api_org_[A-Za-z0-9]{30,}",
    "key of AWS": rb"AKIA(?<!\wAKIA)[0-9A-Z]{16}\b",
    "token of GitHub": rb"gh(?<!\wgh)(?:[opsur]_[A-Za-z0-9]{36})",
    "fine-grained token of GitHub": rb"github_pat_[A-Za-z0-9_]{40}",
    "token of GitLab": rb"glpat-[A-Za-z0-9_-]{20}",
    "token of PyPI": rb"pypi-AgE[A-Za-z0-9_-]{20}",
    "token of Slack": rb"xox[abprs]-[A-Za-z0-9-]{20}",
    "secret key": rb"sk-(?<!\wsk-)[A-Za-z0-9_-]{32}",
    "private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "web token": rb"eyJ(?<!\weyJ)[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.",
    "password in a URL": rb"://[^\s/:@\"'<>]{1,64}:[^\s/:@\"'<>]{3,64}@[A-Za-z0-9]",
}
_PATHS = re.compile(rb"(?<![\w.~/-])(?:/(?:home|root|Users|tmp|work|mnt)/[\w.-]+|[A-Z]:\\Users\\[\w.-]+|file://)")
_BINARY = (".parquet", ".safetensors", ".png")
_LIMITS = {  # bytes; of Parquet and weights that are as they should be, less: what they hold
    ".parquet": 100_000_000,
    ".safetensors": 10_000_000,
    "SHA256SUMS": 20_000,
    ".md": 200_000,
    ".json": 2_000_000,
    ".py": 200_000,
    ".yaml": 20_000,
    ".png": 1_000_000,
}


def leaks(folder: Path, names: Iterable[str]) -> list[str]:
    """Secret-looking strings in all files, and paths of this machine in those with text. The string is not repeated."""
    problems = []
    for name in names:
        data = (folder / name).read_bytes()
        problems += [
            f"{name}: line {_line(data, found)}: expected no secret, found what looks like a {kind}"
            for kind, pattern in _SECRETS.items()
            for found in re.finditer(pattern, data)
        ]
        if not name.endswith(_BINARY):
            problems += [
                f"{name}: line {_line(data, found)}: expected no path of a machine, found {found.group().decode()!r}"
                for found in _PATHS.finditer(data)
            ]
    return problems


def _line(data: bytes, found: re.Match[bytes]) -> int:
    return data.count(b"\n", 0, found.start()) + 1


def wrong_sizes(folder: Path, names: Iterable[str], expected: Mapping[str, int]) -> list[str]:
    """Files that are larger than expected, empty, or of a kind that nothing is known of.

    Args:
        folder: that they lie in.
        names: of the files.
        expected: the greatest size in bytes of those whose size depends on their content.
    """
    problems = []
    for name in names:
        limit = expected.get(name, _LIMITS.get(name, _LIMITS.get(os.path.splitext(name)[1])))
        size = (folder / name).stat().st_size
        if limit is None:
            problems.append(f"{name}: expected a file of a known kind: {', '.join(_LIMITS)}")
        elif not 0 < size <= limit:
            problems.append(f"{name}: expected 1 to {limit:,} bytes, found {size:,}")
    return problems


def wrong_links(folder: Path, body: str, known: Iterable[str]) -> list[str]:
    """Links of a card's body that are neither to a file beside it, nor to one of its headings, nor known.

    Args:
        folder: of the card.
        body: Markdown.
        known: addresses; what lies below one is known, too.
    """
    text = re.sub(r"^```[\s\S]*?^```$", "", body, flags=re.MULTILINE)
    anchors = {_slug(heading) for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)}
    targets = re.findall(r"\]\(\s*<?([^)\s>]+)", text) + re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)""", text)
    targets += re.findall(r"[a-z]+://[^\s)>\]\"'`}]+", body)
    problems = []
    for target in dict.fromkeys(targets):
        what = _wrong(folder, target, anchors, tuple(known))
        if what:
            problems.append(f"link {target}: {what}")
    return problems


def _wrong(folder: Path, target: str, anchors: set[str], known: tuple[str, ...]) -> str:
    if target.startswith("#"):
        return "" if target[1:] in anchors else f"expected a heading of the card: {', '.join(sorted(anchors))}"
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        plain = target.rstrip(".,;")
        fits = any(plain == address or plain.startswith((f"{address}/", f"{address}#")) for address in known)
        return "" if fits else "not one of the known addresses"
    if target.startswith("/"):
        return "expected a path beside the card, found an absolute one"
    path = os.path.normpath(target.partition("#")[0])
    if path.startswith("..") or not (folder / path).is_file():
        return "there is no such file beside the card"
    return ""


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
