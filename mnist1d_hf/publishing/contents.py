"""What no file that is published may have: a secret, a path of somebody's machine, a size or a link nobody expects."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

_SECRETS = re.compile(
    rb"|".join(
        (
            rb"(?P<token_of_the_Hub>\b(?:hf|api_org)_[A-Za-z0-9]{30,})",
            rb"(?P<key_of_AWS>\bAKIA[0-9A-Z]{16}\b)",
            rb"(?P<token_of_GitHub>\b(?:gh[opsur]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40}))",
            rb"(?P<token_of_GitLab>\bglpat-[A-Za-z0-9_-]{20})",
            rb"(?P<token_of_PyPI>\bpypi-AgE[A-Za-z0-9_-]{20})",
            rb"(?P<token_of_Slack>\bxox[abprs]-[A-Za-z0-9-]{20})",
            rb"(?P<secret_key>\bsk-[A-Za-z0-9_-]{32})",
            rb"(?P<private_key>-----BEGIN [A-Z ]*PRIVATE KEY-----)",
            rb"(?P<web_token>\beyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.)",
            rb"(?P<password_in_a_URL>\b[a-z][a-z0-9+.-]{1,9}://[^\s/:@\"'<>]{1,64}:[^\s/:@\"'<>]{3,64}@)",
        )
    )
)
_PATHS = re.compile(rb"(?<![\w.~/-])(?:/(?:home|root|Users|tmp|work|mnt)/[\w.-]+|[A-Z]:\\Users\\[\w.-]+|file://)")
_BINARY = (".parquet", ".safetensors", ".png")
_LIMITS = {  # bytes; Parquet and weights depend on what they hold
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
        for found in _SECRETS.finditer(data):
            kind = str(found.lastgroup).replace("_", " ")
            problems.append(f"{name}: line {_line(data, found)}: expected no secret, found what looks like a {kind}")
        if not name.endswith(_BINARY):
            problems += [
                f"{name}: line {_line(data, found)}: expected no path of a machine, found {found.group().decode()!r}"
                for found in _PATHS.finditer(data)
            ]
    return problems


def _line(data: bytes, found: re.Match[bytes]) -> int:
    return data.count(b"\n", 0, found.start()) + 1


def wrong_sizes(folder: Path, names: Iterable[str], expected: Mapping[str, int]) -> list[str]:
    """Files that are larger than expected, empty, or of a kind that nobody expects.

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
            problems.append(f"{name}: expected no such file; remove it")
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
