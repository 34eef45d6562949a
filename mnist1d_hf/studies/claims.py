"""Claims of the literature, what was measured, and the rule that decides whether a claim is reproduced."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from mnist1d_hf.training.statistics import summarize, wilson_interval

REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided"

Values = Sequence[float] | NDArray[Any]  # one for each independent seed, (seeds,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim, the measured value, and the range of values in which the claim holds.

    Attributes:
        name: short, for tables: "peak for squared error".
        text: what is claimed, in one sentence.
        literature: the published value, in words: "73.4 and 72.2 %".
        source: where it was published.
        least, most: the range of the true mean in which the claim holds; None for no bound on that side.
        mean, low, high: of the measured values, with the 95 % interval: Student's of a mean, Wilson's of a fraction.
        n: number of values: independent seeds, never steps of a run. With one seed there is no interval.
        unit: of the numbers, "%" for example.
    """

    name: str
    text: str
    literature: str = ""
    source: str = ""
    least: float | None = None
    most: float | None = None
    mean: float
    low: float
    high: float
    n: int
    unit: str = ""

    @property
    def outcome(self) -> str:
        """Reproduced: the whole interval lies in the range. Not reproduced: all of it lies outside, on one side.
        Undecided: an end of the range lies in the interval, or there is no interval (fewer than two seeds, or a value
        that is not finite)."""
        least = -math.inf if self.least is None else self.least
        most = math.inf if self.most is None else self.most
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return UNDECIDED
        if least <= self.low and self.high <= most:
            return REPRODUCED
        return NOT_REPRODUCED if self.high < least or self.low > most else UNDECIDED

    @property
    def range(self) -> str:
        """The range in words.

        >>> claim_mean("a", "b", [1.0, 2.0], least=0).range
        'at least 0'
        """
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}"
        return f"at most {self.most:g}" if self.least is None else f"at least {self.least:g}"

    @property
    def measured(self) -> str:
        """Mean and interval in words.

        >>> claim_mean("a", "b", [0.9, 0.92, 0.94]).measured
        '0.920 (0.870 to 0.970)'
        """
        interval = f" ({_digits(self.low)} to {_digits(self.high)})" if math.isfinite(self.low) else ""
        return _digits(self.mean) + interval

    def to_dict(self) -> dict[str, Any]:
        """In plain types, for files: numbers with six digits, None for NaN and infinity."""
        values = {**dataclasses.asdict(self), "outcome": self.outcome}
        return {name: _plain(value) for name, value in values.items()}


def claim_mean(name: str, text: str, values: Values, **details: Any) -> Claim:
    """A claim about the mean of a measured value over seeds.

    For a claim that one thing exceeds another, the values are the differences of each seed, and the range is everything
    above 0. With a single value there is no interval, and the outcome is "undecided".

    Args:
        details: `least`, `most`, `literature`, `source` and `unit`, as in `Claim`.

    >>> claim_mean("better", "A is better than B", [1.0, 2.0, 1.5], least=0).outcome
    'reproduced'
    >>> claim_mean("equal", "A is 3", [1.0, 2.0, 1.5], least=2.9, most=3.1).outcome
    'not reproduced'
    """
    found = summarize([float(value) for value in values])
    return Claim(name=name, text=text, mean=found.mean, low=found.low, high=found.high, n=found.n, **details)


def claim_published(
    name: str, text: str, values: Values, published: float, tolerance: float, *, unit: str = "", **details: Any
) -> Claim:
    """A claim that the mean of a measured value is a published number, within a tolerance that the study states.

    Args:
        details: `literature`, by default the number; and `source`.

    >>> claim = claim_published("CNN", "Accuracy", [93.1, 93.4, 92.9], 94, 2, source="the paper", unit="%")
    >>> claim.literature, claim.range, claim.outcome
    ('94 %', '92 to 96', 'reproduced')
    """
    details = {"literature": f"{published:g} {unit}".strip(), **details}
    return claim_mean(name, text, values, least=published - tolerance, most=published + tolerance, unit=unit, **details)


def claim_fraction(name: str, text: str, holds: Sequence[bool] | NDArray[Any], **details: Any) -> Claim:
    """A claim about the percentage of the seeds of which something holds.

    Args:
        holds: (seeds,).
        details: as in `claim_mean`.

    >>> claim_fraction("ends", "More than half of them end", [True] * 9 + [False], least=50).measured
    '90.0 (59.6 to 98.2)'
    """
    low, high = wilson_interval(sum(map(bool, holds)), len(holds))
    claim = claim_mean(name, text, [100.0 * bool(value) for value in holds], unit="% of the seeds", **details)
    return dataclasses.replace(claim, low=100 * low, high=100 * high)


def headline(claims: Sequence[Claim]) -> str:
    """One line about all claims: the first one, and how many of the others have which outcome.

    >>> headline([claim_mean("better", "A is better than B", [1.0, 2.0, 1.5], least=0)])
    'A is better than B: reproduced, 1.50 (0.258 to 2.74).'
    """
    if not claims:
        return "No claim could be tested."
    first, *others = claims
    line = f"{first.text.rstrip('.')}: {first.outcome}, {first.measured} {first.unit}".rstrip() + "."
    if others:
        outcomes = [claim.outcome for claim in others]
        counts = [f"{outcomes.count(kind)} {kind}" for kind in (REPRODUCED, NOT_REPRODUCED, UNDECIDED)]
        line += f" Of {len(others)} further claims: {', '.join(counts)}."
    return line


def _digits(value: float) -> str:
    """Three significant digits, or all digits before the decimal point.

    >>> _digits(0.0056), _digits(73.44), _digits(123456.0), _digits(0.0)
    ('0.00560', '73.4', '123456', '0.00')
    """
    if not math.isfinite(value):
        return "nan"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
