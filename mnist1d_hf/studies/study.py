"""What a study is: a question, settings, units of work that give rows, a figure, claims and findings. The studies by
name."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mnist1d_hf import studies
from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.stream import sample
from mnist1d_hf.errors import InvalidValueError, did_you_mean
from mnist1d_hf.studies.claims import Claim, Finding
from mnist1d_hf.studies.frames import Row
from mnist1d_hf.studies.settings import Settings

S = TypeVar("S", bound=Settings)
Summary = tuple[tuple[str, ...], list[tuple[str, ...]]]  # columns and rows


@dataclasses.dataclass(frozen=True)
class Context:
    """What a unit is given beside its arguments.

    Attributes:
        device: where to compute, "cpu", "cuda", ...
        report: to be called with the amount of work just done, measured as `Unit.work`.
    """

    device: str = "cpu"
    report: Callable[[int], object] = lambda _: None


@dataclasses.dataclass(frozen=True)
class Unit:
    """A piece of work that is done in one go and then kept: some seeds of one setting, a minute or two long.

    Attributes:
        key: its name, unique in the study, and the name of its file: letters, digits, hyphens and dots.
        function: of a module; `function(settings, context=Context, **arguments)` returns the rows. It is pure: the same
            settings and arguments give the same rows, in every process and order.
        arguments: plain values that can be pickled.
        work: how much work it is, in any measure that suits the study (steps, for example); for the progress bar.
    """

    key: str
    function: Callable[..., Sequence[Row]]
    arguments: Mapping[str, Any]
    work: int


@dataclasses.dataclass(frozen=True)
class Study(Generic[S]):
    """A study. The docstring of its module states question, source, protocol, its deviations from that of the source,
    and the expected result.

    Attributes:
        name: what the command line calls it.
        question: in one line.
        source: whose claims are tested.
        full: the settings of the full run. Its results can be kept in the package; they do not have to be.
        quick: settings with which everything runs once, in seconds.
        units: the units of work for some settings, in the order in which they are done and stand in the table.
        figure: drawn from the table.
        claims: what the literature claims, computed from the table alone. The first claim is the main one. A claim is
            left out if the settings left out its rows.
        minutes: time budget of the full run, in minutes of one core.
        findings: measurements without an outcome (see `claims`), computed from the table alone.
        libraries: what a run needs beside the extra "torch"; the extra "studies" installs it.
        summary: the result as one table for people, columns and rows, from the table and the seconds of one core that
            each unit took; None where claims and findings say all.
    """

    name: str
    question: str
    source: str
    full: S
    quick: S
    units: Callable[[S], list[Unit]]
    figure: Callable[[pd.DataFrame], Figure]
    claims: Callable[[pd.DataFrame], list[Claim]]
    minutes: float
    findings: Callable[[pd.DataFrame], list[Finding]] = lambda _: []
    libraries: tuple[str, ...] = ()
    summary: Callable[[pd.DataFrame, Mapping[str, float]], Summary] | None = None

    @property
    def deviations(self) -> list[str]:
        """What differs from the protocol of the source: the list in the docstring of the module."""
        items = self._section("\nDeviations:\n").split("\n- ")
        return [" ".join(item.removeprefix("- ").split()) for item in items if item]

    @property
    def answer(self) -> str:
        """The answer in plain words, in the docstring of the module; empty where claims and findings say it."""
        return " ".join(self._section("\nAnswer: ").split())

    def _section(self, begin: str) -> str:
        text = sys.modules[self.units.__module__].__doc__ or ""
        return text.partition(begin)[2].partition("\n\n")[0]


def seed_groups(seeds: int, size: int) -> list[range]:
    """The seeds from 0 on in groups of at most `size`, which are trained side by side.

    >>> seed_groups(5, 2)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    return [range(start, min(start + size, seeds)) for start in range(0, seeds, size)]


def training_sets(
    seeds: Sequence[int], samples: int, config: GeneratorConfig | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """A training set of its own for each seed, the first samples of the seed's stream: signals (seeds, samples, length)
    and labels (seeds, samples)."""
    length = (config or GeneratorConfig()).final_seq_length
    x, label = np.empty((len(seeds), samples, length), np.float32), np.empty((len(seeds), samples), np.int64)
    for number, seed in enumerate(seeds):  # one after the other: a million samples take 160 MB
        x[number], label[number] = sample(range(samples), seed, config)
    return x, label


def all_studies() -> dict[str, Study[Any]]:
    """Name -> study, sorted by name. Every module of this package that defines `STUDY` is one; nothing else lists them.

    >>> "pooling" in all_studies()
    True
    """
    names = [f"{studies.__name__}.{module.name}" for module in pkgutil.iter_modules(studies.__path__)]
    found = [vars(importlib.import_module(name)).get("STUDY") for name in names]
    return {study.name: study for study in sorted(filter(None, found), key=lambda study: study.name)}


def find_study(name: str) -> Study[Any]:
    """The study called `name`; an `InvalidValueError` lists those that exist.

    >>> find_study("pooling").quick.seeds
    2
    """
    known = all_studies()
    if name not in known:
        raise InvalidValueError(f"unknown study {name!r}: {did_you_mean(name, known)}")
    return known[name]
