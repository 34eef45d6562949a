"""The settings of a study: numbers and names, frozen, checked, and changed by name from the command line."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from mnist1d_hf.data.config import check_integer
from mnist1d_hf.errors import InvalidValueError, did_you_mean

S = TypeVar("S", bound="Settings")


def choice(default: Any, legal: Sequence[str]) -> Any:
    """A field of settings that takes one of some names, or a tuple of them."""
    return dataclasses.field(default=default, metadata={"legal": tuple(legal)})


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the settings of every study have; a study adds its own fields.

    Integers are at least 1, other numbers finite and at least 0; tuples are not empty, and have each value once.

    Attributes:
        seeds: how many, from 0 on.
    """

    seeds: int = 10

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, tuple):
                if not value:
                    raise InvalidValueError(f"{field.name}: expected at least one value")
                if len(set(value)) < len(value):
                    raise InvalidValueError(
                        f"{field.name}: expected each value once, found {','.join(map(str, value))}"
                    )
            for item in value if isinstance(field.default, tuple) else (value,):
                _check(field, item)

    def to_dict(self) -> dict[str, Any]:
        """In plain types, for files: tuples are lists."""
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def changed(self: S, assignments: Mapping[str, str]) -> S:
        """A copy with other values, given as text; those of a tuple with commas.

        Raises:
            InvalidValueError: an unknown setting, or a value that it does not take.

        >>> Settings().changed({"seeds": "3"})
        Settings(seeds=3)
        """
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        values: dict[str, Any] = {}
        for name, text in assignments.items():
            if name not in defaults:
                raise InvalidValueError(f"unknown setting {name!r}: {did_you_mean(name, defaults)}")
            default = defaults[name]
            if isinstance(default, tuple):
                parts = filter(None, map(str.strip, text.split(",")))
                values[name] = tuple(_parse(name, part, type(default[0])) for part in parts)
            else:
                values[name] = _parse(name, text, type(default))
        return dataclasses.replace(self, **values)


def _check(field: dataclasses.Field[Any], value: Any) -> None:
    like = field.default[0] if isinstance(field.default, tuple) else field.default
    legal = field.metadata.get("legal", (value,))
    if isinstance(like, int):
        check_integer(field.name, value, 1)
    elif isinstance(like, float):
        if not (math.isfinite(value) and value >= 0):
            raise InvalidValueError(f"{field.name}: expected a finite number of at least 0, found {value!r}")
    elif value not in legal:
        raise InvalidValueError(f"{field.name}: unknown value {value!r}: {did_you_mean(value, legal)}")


def _parse(name: str, text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        expected = "an integer" if kind is int else "a number"
        raise InvalidValueError(f"{name}: expected {expected}, found {text!r}") from None
