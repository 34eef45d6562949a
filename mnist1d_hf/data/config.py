"""GeneratorConfig: the paper's arguments, checked once, frozen afterwards."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from typing import Any, TypeVar

from mnist1d_hf.errors import InvalidTypeError, InvalidValueError, did_you_mean

T = TypeVar("T")


def _naming_unknown_arguments(cls: type[T]) -> type[T]:
    """Make a dataclass name the legal arguments, and the nearest of them, when it is given an unknown one."""
    original = cls.__init__
    legal = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]

    @functools.wraps(original)
    def __init__(self: T, *args: Any, **arguments: Any) -> None:  # noqa: N807
        for name in arguments:
            if name not in legal:
                raise InvalidTypeError(f"unknown generator argument {name!r}: {did_you_mean(name, legal)}")
        original(self, *args, **arguments)

    cls.__init__ = __init__  # type: ignore[method-assign, assignment]
    return cls


@_naming_unknown_arguments
@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
    """The arguments of the generator, with the paper's names and defaults.

    Attributes:
        num_samples: samples in both splits together; rounded down to a multiple of the number of classes.
        train_split: fraction of them that goes to the training split, in (0, 1]; with 1 there is no test split.
        template_len: points of a signal before padding; the working grid has `template_len + padding[1]` points.
        padding: least and greatest number of zeros appended to a template, both inclusive.
        scale_coeff: width of the uniform factor, drawn from 1 ± scale_coeff / 2.
        max_translation: the circular shift is drawn from 0 .. max_translation - 1 points of the working grid; a shift
            by all of its points or more leaves the signal where it is, as in the original.
        corr_noise_scale: standard deviation of the white noise that, smoothed (Gaussian, 2 points), fills the padding.
        iid_noise_scale: standard deviation of the white noise added everywhere.
        shear_scale: width of the uniform slope, drawn from ± shear_scale / 2.
        shuffle_seq: whether to permute the positions of the signal, in all samples alike.
        final_seq_length: points of a finished signal.
        seed: of NumPy's legacy generator, 0 .. 2**32 - 1.

    Raises:
        InvalidTypeError: (a `TypeError`) an argument of the wrong type, or an unknown one.
        InvalidValueError: (a `ValueError`) an argument out of its range.

    Source: Greydanus & Kobak 2024 (arXiv 2011.14439), section 2, and the PyPI package `mnist1d`.

    >>> GeneratorConfig(seed=7).padding
    (36, 60)
    """

    num_samples: int = 5000
    train_split: float = 0.8
    template_len: int = 12
    padding: tuple[int, int] = (36, 60)
    scale_coeff: float = 0.4
    max_translation: int = 48
    corr_noise_scale: float = 0.25
    iid_noise_scale: float = 0.02
    shear_scale: float = 0.75
    shuffle_seq: bool = False
    final_seq_length: int = 40
    seed: int = 42

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("num_samples", check_integer("num_samples", self.num_samples, 1))
        put("train_split", check_real("train_split", self.train_split))
        if not 0 < self.train_split <= 1:
            raise InvalidValueError(f"train_split: expected a fraction above 0 and up to 1, found {self.train_split!r}")
        put("template_len", check_integer("template_len", self.template_len, 2))
        put("padding", _padding(self.padding))
        for name in ("scale_coeff", "corr_noise_scale", "iid_noise_scale", "shear_scale"):
            value = check_real(name, getattr(self, name))
            if value < 0:
                raise InvalidValueError(f"{name}: expected a finite number of at least 0, found {value!r}")
            put(name, value)
        put("max_translation", check_integer("max_translation", self.max_translation, 1, 2**31))
        put("shuffle_seq", check_boolean("shuffle_seq", self.shuffle_seq))
        put("final_seq_length", check_integer("final_seq_length", self.final_seq_length, 2))
        put("seed", check_integer("seed", self.seed, 0, 2**32 - 1))

    @property
    def padded_length(self) -> int:
        """Points of the working grid, on which noise and shear are applied: `template_len + padding[1]`."""
        return self.template_len + self.padding[1]

    def split_sizes(self, num_classes: int = 10) -> tuple[int, int]:
        """Samples of the training and the test split.

        Raises:
            InvalidValueError: fewer samples than classes, or an empty split that was not asked for.

        >>> GeneratorConfig().split_sizes()
        (4000, 1000)
        """
        if self.num_samples < num_classes:
            raise InvalidValueError(
                f"num_samples: expected at least one for each of the {num_classes} classes, found {self.num_samples}"
            )
        total = self.num_samples // num_classes * num_classes
        train = int(total * self.train_split)
        if train == 0:
            raise InvalidValueError(
                f"train_split: {self.train_split!r} of {total} samples leaves the training split empty; "
                f"expected a fraction that gives it at least one sample"
            )
        return train, total - train


ARGUMENTS = tuple(field.name for field in dataclasses.fields(GeneratorConfig))


def check_config(config: Any) -> GeneratorConfig:
    """`config`, the paper's when None; the error says what else it is."""
    if config is None:
        return GeneratorConfig()
    if not isinstance(config, GeneratorConfig):
        raise InvalidTypeError(f"config: expected a GeneratorConfig, found {type(config).__name__}")
    return config


def check_integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    """`value` as an int, if it is an integer of at least `least` and at most `most`; else the error says so."""
    allowed = f"an integer of at least {least}" if most is None else f"an integer from {least} to {most}"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InvalidTypeError(f"{name}: expected {allowed}, found {value!r} ({type(value).__name__})")
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidTypeError(f"{name}: expected {allowed}, found {value!r} ({type(value).__name__})") from None
    if number < least or (most is not None and number > most):
        raise InvalidValueError(f"{name}: expected {allowed}, found {number}")
    return number


def check_real(name: str, value: Any) -> float:
    """`value` as a float, if it is a finite number; else the error says so."""
    if isinstance(value, (bool, str, bytes)) or not hasattr(value, "__float__"):
        raise InvalidTypeError(f"{name}: expected a finite number, found {value!r} ({type(value).__name__})")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidTypeError(f"{name}: expected a finite number, found {value!r}") from None
    if not math.isfinite(number):
        raise InvalidValueError(f"{name}: expected a finite number, found {number!r}")
    return number


def check_boolean(name: str, value: Any) -> bool:
    """`value` as a bool, if it is one of Python or NumPy; else the error says so."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise InvalidTypeError(f"{name}: expected True or False, found {value!r} ({type(value).__name__})")
    return bool(value)


def _padding(value: Any) -> tuple[int, int]:
    expected = "padding: expected two integers (least, greatest) with 0 <= least <= greatest"
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__") or not hasattr(value, "__iter__"):
        raise InvalidTypeError(f"{expected}, found {value!r} ({type(value).__name__})")
    if len(value) != 2:
        raise InvalidValueError(f"{expected}, found {len(value)} values")
    least, greatest = (check_integer("padding", item, 0) for item in value)
    if least > greatest:
        raise InvalidValueError(f"{expected}, found ({least}, {greatest}); swap them")
    return least, greatest
