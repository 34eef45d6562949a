"""What the command line and the scripts have in common: how they end, what they print, tables, progress bars."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mnist1d_hf.errors import UserError

INTERRUPTED = 130  # exit code
_INTERRUPTED = "interrupted; nothing half-written was kept, and the same command goes on from what is finished"

console = Console(soft_wrap=True, highlight=False, markup=False)  # lines are printed as they are
messages = Console(stderr=True)


def option(text: str, *names: str) -> Any:
    """An option of a command whose help says all, without a default."""
    return typer.Option(*names, help=text, show_default=False)


def run_main(name: str, main: Callable[[], int | None]) -> NoReturn:
    """Call the main function of a command or script, and end the process.

    Errors that the user can fix end in one line and exit code 2, an interrupt in one line and 130; a bug shows its
    traceback. A warning is one line, without the place in the code. Characters that the terminal's encoding does not
    have are printed in ASCII.

    Args:
        name: what the line begins with.
        main: its result is the exit code; None for 0.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="mnist1d_ascii")
    warnings.formatwarning = lambda message, *_: f"{name}: {_joined(message)}\n"
    signal.signal(signal.SIGTERM, _exit)  # so that drafts are removed on the way out
    try:
        sys.exit(main() or 0)
    except (UserError, OSError) as error:
        message, code = _one_line(error), 2
    except KeyboardInterrupt:
        message, code = _INTERRUPTED, INTERRUPTED
    print(f"{name}: {message.rstrip('.')}", file=sys.stderr)
    sys.exit(code)


def _exit(*_: object) -> NoReturn:
    sys.exit(143)


def _end_at_once() -> None:
    """In a forked process, SIGTERM ends it as usual. `_exit` may come while Python drops all exceptions, and is lost.

    The pool of datasets (num_proc) ends its processes by one SIGTERM, and waits for them without limit.
    """
    if signal.getsignal(signal.SIGTERM) is _exit:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_end_at_once)

_ASCII = {"±": "+-", "–": "-", "—": "-", "∞": "inf", "×": "x", "…": "...", "→": "->", "≤": "<=", "≥": ">="}


def _ascii_instead(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: other characters for those that cannot be encoded; lines for box drawings."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(_ASCII.get(char, "-" if "─" <= char <= "╿" else "?") for char in found), error.end


codecs.register_error("mnist1d_ascii", _ascii_instead)


def _one_line(error: UserError | OSError) -> str:
    if isinstance(error, OSError) and not isinstance(error, UserError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}; choose another place or make room"
    return _joined(error)


def _joined(message: object) -> str:
    return " ".join(str(message).split())


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


@contextlib.contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal with count, rate and time left, gone when done."""
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), _RateColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)


def print_table(
    title: str,
    columns: tuple[str, ...],
    rows: list[tuple[str, ...]],
    right: range | tuple[int, ...] = (),
    width: int = 80,
) -> None:
    """A table with a title; the columns numbered in `right` are aligned to the right.

    `width` is that of the output, at least, where it is not a terminal.
    """
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number in right else "left", overflow="fold", no_wrap=number == 0)
    for row in rows:
        # Encoded here already, so that columns stay aligned where a character takes the place of two.
        table.add_row(*(cell.encode(console.encoding, "mnist1d_ascii").decode(console.encoding) for cell in row))
    narrow = not console.is_terminal and console.width < width
    (Console(width=width, markup=False) if narrow else console).print(table, soft_wrap=False)
