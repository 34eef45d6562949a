"""The settings of a study: numbers and names, frozen, checked, and changed by name from the command line."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from mnist1d_hf.data.config import check_integer
from mnist1d_hf.errors import InvalidTypeError, InvalidValueError, did_you_mean

S = TypeVar("S", bound="Settings")


def choice(default: Any, legal: Sequence[str]) -> Any:
    """A field of settings that takes one of some names, or a tuple of them."""
    return dataclasses.field(default=default, metadata={"legal": tuple(legal)})


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the settings of every study have; a study adds its own fields.

    Integers are at least 1, other numbers finite and at least 0, tuples not empty.

    Attributes:
        seeds: how many, from 0 on.
    """

    seeds: int = 10

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, default = getattr(self, field.name), field.default
            if isinstance(default, tuple):
                if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
                    raise InvalidTypeError(f"{field.name}: expected a tuple, found {value!r}")
                if not value:
                    raise InvalidValueError(f"{field.name}: expected at least one value")
                if len(set(value)) < len(value):
                    raise InvalidValueError(f"{field.name}: expected each value once, found {_text(tuple(value))}")
                checked: Any = tuple(_check(field, item, default[0]) for item in value)
            else:
                checked = _check(field, value, default)
            object.__setattr__(self, field.name, checked)

    def to_dict(self) -> dict[str, Any]:
        """In plain types, for files: tuples are lists."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def changed(self: S, assignments: Mapping[str, str]) -> S:
        """A copy with other values, given as text; those of a tuple with commas.

        Raises:
            InvalidValueError: an unknown setting, or a value that it does not take.

        >>> Settings().changed({"seeds": "3"})
        Settings(seeds=3)
        """
        fields = {field.name: field for field in dataclasses.fields(self)}
        values = {}
        for name, text in assignments.items():
            if name not in fields:
                raise InvalidValueError(f"unknown setting {name!r}: {did_you_mean(name, fields)}")
            values[name] = _parse(name, text, fields[name].default)
        return dataclasses.replace(self, **values)


def _check(field: dataclasses.Field[Any], value: Any, like: Any) -> Any:
    if isinstance(like, bool):
        if not isinstance(value, bool):
            raise InvalidTypeError(f"{field.name}: expected True or False, found {value!r}")
        return value
    if isinstance(like, int):
        return check_integer(field.name, value, 1)
    if isinstance(like, float):
        if isinstance(value, (bool, str)) or not isinstance(value, (int, float)):
            raise InvalidTypeError(f"{field.name}: expected a number, found {value!r}")
        if not (math.isfinite(value) and value >= 0):
            raise InvalidValueError(f"{field.name}: expected a finite number of at least 0, found {value!r}")
        return float(value)
    legal = field.metadata.get("legal")
    if legal is not None and value not in legal:
        raise InvalidValueError(f"{field.name}: unknown value {value!r}: {did_you_mean(value, legal)}")
    return value


def _parse(name: str, text: str, like: Any) -> Any:
    if isinstance(like, tuple):
        return tuple(_parse(name, part.strip(), like[0]) for part in text.split(",") if part.strip())
    if isinstance(like, bool):
        if text.lower() not in ("true", "false"):
            raise InvalidValueError(f"{name}: expected true or false, found {text!r}")
        return text.lower() == "true"
    if isinstance(like, (int, float)):
        kind = type(like)
        try:
            return kind(text)
        except ValueError:
            expected = "an integer" if kind is int else "a number"
            raise InvalidValueError(f"{name}: expected {expected}, found {text!r}") from None
    return text


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
