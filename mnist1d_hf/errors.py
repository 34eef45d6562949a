"""Errors that the user can cause and fix.

Each is also the built-in type that Python programmers expect (`ValueError`, `TypeError`, `OSError`, `ImportError`).
The command line shows them as one line; anything else is a bug and shows its traceback.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable


class UserError(Exception):
    """Base of all errors that say where, what was expected, what was found and what to do."""


class InvalidValueError(UserError, ValueError):
    """An argument has a value that is not allowed."""


class InvalidTypeError(UserError, TypeError):
    """An argument has a type that is not allowed, or is not known at all."""


class MissingExtraError(UserError, ImportError):
    """A library of an optional part of the package (an extra) is not installed."""


class OutputError(UserError, OSError):
    """A file or folder cannot be written, or does not hold what it should."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class HubError(OutputError):
    """The Hub refuses something, cannot be reached, or does not hold what it should."""


def require(*libraries: str, extra: str = "torch") -> None:
    """Check that libraries are installed, without importing them.

    Args:
        libraries: the names under which they are imported.
        extra: the extra of this package that installs them.

    Raises:
        MissingExtraError: one is missing; the message has the command that installs it.

    >>> require("numpy")
    >>> require("torch_of_2099")
    Traceback (most recent call last):
    mnist1d_hf.errors.MissingExtraError: this needs torch_of_2099, not installed here: \
pip install "mnist1d_hf[torch]", or from a clone pip install ".[torch]"
    """
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"this needs {', '.join(missing)}, not installed here: "
            f'pip install "mnist1d_hf[{extra}]", or from a clone pip install ".[{extra}]"'
        )


def did_you_mean(name: object, legal: Iterable[str]) -> str:
    """The legal names, and the nearest one if `name` looks like a slip.

    >>> did_you_mean("sed", ["seed", "padding"])
    "did you mean 'seed'? Allowed: seed, padding"
    >>> did_you_mean("learning", ["seed", "padding"])
    'use one of: seed, padding'
    """
    legal = list(legal)
    near = nearest(name, legal)
    return f"{'use one of' if near is None else f'did you mean {near!r}? Allowed'}: {', '.join(legal)}"


def nearest(name: object, legal: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The legal name that `name` is most likely a slip of; None if none is as similar as `cutoff` (1 is equal).

    >>> nearest("sed", ["seed", "padding"])
    'seed'
    """
    return next(iter(difflib.get_close_matches(str(name), list(legal), n=1, cutoff=cutoff)), None)
