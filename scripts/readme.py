"""Generated sections of the READMEs, each between two marks; used by the other scripts here."""

from __future__ import annotations

from pathlib import Path

from mnist1d_hf.errors import UserError

README = Path(__file__).resolve().parents[1] / "README.md"


def put_section(start: str, end: str, section: str, readme: Path = README) -> None:
    """Put a text between two marks, in place of what stands there.

    Raises:
        UserError: a mark is missing.
    """
    before, found, rest = readme.read_text(encoding="utf-8").partition(start)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise UserError(f"{readme.name}: expected {start} and {end} after it, found one or none; put them back")
    readme.write_text(f"{before}{start}\n{section}\n{end}{after}", encoding="utf-8")
