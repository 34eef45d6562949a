"""What a study is: a question, settings, pieces of work that give rows, a figure and a verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from matplotlib.figure import Figure

from mnist1d_hf.studies.claims import Claim
from mnist1d_hf.studies.settings import Settings
from mnist1d_hf.studies.table import Row, Table

S = TypeVar("S", bound=Settings)


@dataclasses.dataclass(frozen=True)
class Context:
    """What a piece of work is given beside its arguments.

    Attributes:
        device: where to compute, "cpu", "cuda", ...
        report: to be called with the amount of work just done, in the units of `Unit.work`.
    """

    device: str = "cpu"
    report: Callable[[int], object] = lambda _: None


@dataclasses.dataclass(frozen=True)
class Unit:
    """A piece of work that is done in one go and kept when done: some seeds of one setting, a minute or two long.

    Attributes:
        key: its name, unique in the study; also that of its file, so letters, digits, hyphens and dots.
        function: of a module; `function(**arguments, context=Context)` gives the rows. Pure: the same arguments give
            the same rows, in whatever process and order.
        arguments: plain values, that can be pickled.
        work: how much it is, in whatever measure suits the study (steps times parameters, say): for the progress bar.
    """

    key: str
    function: Callable[..., Sequence[Row]]
    arguments: Mapping[str, Any]
    work: int


@dataclasses.dataclass(frozen=True)
class Study(Generic[S]):
    """A study. Its module's docstring states question, protocol, source and expected result.

    Attributes:
        name: what the command line calls it.
        question: in one line.
        source: whose claims are tested.
        full: the settings of the full run, whose results are kept in the package.
        quick: settings that take the whole path in seconds.
        units: the pieces of work of some settings, in the order in which they are done and stand in the table.
        figure: from the table.
        claims: the verdict, from the table alone. The first claim is the main one. A claim whose rows the settings
            left out is left out, too.
        minutes: estimate of the full run, in minutes of one core, for as long as none is recorded.
    """

    name: str
    question: str
    source: str
    full: S
    quick: S
    units: Callable[[S], list[Unit]]
    figure: Callable[[Table], Figure]
    claims: Callable[[Table], list[Claim]]
    minutes: float
