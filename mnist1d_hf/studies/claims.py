"""The rule that decides whether a published claim is reproduced, and findings, which have no outcome.

A *claim* is a number or a direction of the literature; it is reproduced, not reproduced, undecided, or not decidable. A
*finding* is a measurement of ours that has no outcome: nobody published it before; or it has no seeds (the source's own
run, or a measurement in which nothing is random) and so no interval, and its text states the published number. All
intervals are two-sided 95 % intervals over independent seeds. Values are given as a pandas Series indexed by seed, as
`frames.by_seed` makes it, so that n can only be a number of seeds, and differences are taken seed by seed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from mnist1d_hf.errors import InvalidValueError
from mnist1d_hf.training.statistics import Summary, summarize, wilson_interval

REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_DECIDABLE = "reproduced", "not reproduced", "undecided", "not decidable"
RUN, MEAN, DIRECTION, LAW = "one run", "mean", "direction", "law"  # what was published
LEVEL = 0.95  # of every interval
MANY = 100  # seeds: a number that these cannot decide is not decidable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """A measurement of ours: an estimate with its 95 % interval.

    Attributes:
        name: short, for tables: "learned rate".
        text: what was measured, in one sentence.
        mean: the estimate: a mean over seeds, or what the text says.
        low, high: its 95 % interval; NaN with one seed.
        n: number of independent seeds, never of steps of a run.
        unit: of the numbers, "%" for example.
    """

    name: str
    text: str
    mean: float
    low: float
    high: float
    n: int
    unit: str = ""

    @property
    def measured(self) -> str:
        """Estimate and interval in words.

        >>> find_mean("a", "b", by_number([0.9, 0.92, 0.94])).measured
        '0.920 (0.870 to 0.970)'
        """
        if not math.isfinite(self.low):
            return _digits(self.mean)
        width = self.high - self.low
        return f"{_digits(self.mean, width)} ({_digits(self.low, width)} to {_digits(self.high, width)})"

    def to_dict(self) -> dict[str, Any]:
        """In plain types, for files: numbers with eight digits, None for NaN and infinity."""
        return {name: _plain(value) for name, value in dataclasses.asdict(self).items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim(Finding):
    """A published number or direction beside our measurement.

    Attributes:
        low, high: of one further run of ours (kind "one run"), of our mean with the published one's error included
            ("mean"), of our mean difference ("direction"), or of our estimate ("law").
        kind: what was published: "one run", "mean" (with its standard deviation), "direction" (a difference above 0),
            "law" (a number that a theory states, without an error), or in the study's own words something that is
            compared as if it were one run.
        published: the published number, in the unit of the measurement; 0 for a direction.
        effect: size of the effect that the source reports. An interval that is wider than that could hardly fail.
        least_width: width that the interval would have with a hundred seeds of the same standard deviation; 0 for
            directions and laws.
        literature: what was published, in words: "94 ± 2 %, three runs".
        source: where it was published.
        error_rate: probability that the published number lies outside by chance alone.
    """

    kind: str
    published: float
    effect: float = math.inf
    least_width: float = 0.0
    literature: str = ""
    source: str = ""
    error_rate: float = 1 - LEVEL

    @property
    def outcome(self) -> str:
        """A number is reproduced if it lies in the interval, and not reproduced if it lies outside; undecided if the
        interval is wider than the effect, although the number lies inside, and not decidable if it would be wider with
        a hundred seeds, too: single runs, or the published mean, scatter too much. A direction is reproduced if the
        interval lies above 0, not reproduced if it lies below, and undecided if it contains 0. Without an interval
        (fewer than two seeds, or a value that is not finite) everything is undecided."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return UNDECIDED
        if self.kind == DIRECTION:
            return REPRODUCED if self.low > 0 else NOT_REPRODUCED if self.high < 0 else UNDECIDED
        if not self.low <= self.published <= self.high:
            return NOT_REPRODUCED
        if self.high - self.low <= self.effect:
            return REPRODUCED
        return NOT_DECIDABLE if self.least_width > self.effect else UNDECIDED

    def to_dict(self) -> dict[str, Any]:
        """In plain types, for files, with the outcome."""
        return {**super().to_dict(), "outcome": self.outcome}


def claim_run(
    name: str,
    text: str,
    values: Any,
    published: float,
    *,
    effect: float,
    test_error: float = 0.0,
    unit: str = "",
    **details: Any,
) -> Claim:
    """A claim about a single published run: is it one of ours?

    The interval is the prediction interval of one further run, mean ± t std sqrt(1 + 1/n).

    Args:
        values: a Series over seeds.
        published: the number of the published run.
        effect: size of the effect that the source reports, in the same unit; a wider interval decides nothing.
        test_error: standard error from the choice of test samples (see `sampling_error`), where the source has others.
        details: `literature`, by default the number; `source`; and `kind`, by default one run.

    Raises:
        InvalidValueError: the values are not one for each seed.

    >>> values = by_number([93.1, 93.4, 92.9, 93.3])
    >>> claim = claim_run("CNN", "Accuracy", values, 92.3, effect=26, unit="%")
    >>> claim.measured, claim.outcome
    ('93.2 (92.4 to 94.0)', 'not reproduced')
    """
    found = _summary(values)

    def half(n: int) -> float:
        return _quantile(n - 1) * found.std * math.sqrt(1 + 1 / n)

    return _number(details.pop("kind", RUN), name, text, found, half, published, test_error, effect, unit, details)


def claim_average(
    name: str,
    text: str,
    values: Any,
    published: float,
    std: float,
    runs: int,
    *,
    effect: float,
    test_error: float = 0.0,
    unit: str = "",
    **details: Any,
) -> Claim:
    """A claim about a published mean: is it ours? The interval is Welch's for the difference of two means, around ours.

    With up to three published runs the interval misses in about 7 % of cases instead of 5 %.

    Args:
        values: a Series over seeds.
        published, std, runs: the published mean, standard deviation and number of runs.
        effect, test_error, details: as in `claim_run`.

    >>> claim_average("CNN", "Accuracy", by_number([93.1, 93.4, 92.9]), 94, 2, 3, effect=26, unit="%").outcome
    'reproduced'
    """
    found, theirs = _summary(values), std**2 / runs

    def half(n: int) -> float:
        ours = found.std**2 / n
        if runs < 2 or ours + theirs == 0:
            return 0.0 if runs > 1 else math.nan
        freedom = (ours + theirs) ** 2 / (ours**2 / (n - 1) + theirs**2 / (runs - 1))
        return _quantile(freedom) * math.sqrt(ours + theirs)

    details = {"literature": f"{published:g} ± {std:g} {unit}".strip() + f", {runs} runs", **details}
    details["error_rate"] = 1 - LEVEL if runs > 3 else 0.07
    return _number(MEAN, name, text, found, half, published, test_error, effect, unit, details)


def claim_direction(name: str, text: str, differences: Any, **details: Any) -> Claim:
    """A claim that one thing exceeds another.

    Args:
        differences: a Series over seeds, of the one that is claimed to be greater less the other.
        details: `literature`, `source` and `unit`, as in `Claim`.

    >>> claim_direction("better", "A is better than B", by_number([1.0, 2.0, 1.5])).outcome
    'reproduced'
    """
    found = _summary(differences)
    measured: dict[str, Any] = {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n}
    return Claim(name=name, text=text, kind=DIRECTION, published=0.0, **measured, **details)


def claim_law(name: str, text: str, finding: Finding, published: float, *, effect: float, **details: Any) -> Claim:
    """A claim that a theory makes without an error, such as an exponent: does our interval contain it?

    Args:
        finding: our measurement; its name and text are not used.
        published: the number that the theory states.
        effect: by how much it differs from that of the rival theory; a wider interval decides nothing.
        details: `literature`, by default the number; and `source`.

    >>> measured = find_mean("slope", "Slope", by_number([1.0, 1.1, 0.9, 1.0]))
    >>> claim_law("linear", "It is linear", measured, 1, effect=1.0).outcome
    'reproduced'
    """
    measured: dict[str, Any] = {field: getattr(finding, field) for field in ("mean", "low", "high", "n", "unit")}
    details = {"literature": f"{published:g}", **details}
    return Claim(name=name, text=text, kind=LAW, published=published, effect=effect, **measured, **details)


def find_mean(name: str, text: str, values: Any, unit: str = "") -> Finding:
    """A finding about a mean over seeds, with Student's interval; with one seed there is none."""
    found = _summary(values)
    return Finding(name=name, text=text, mean=found.mean, low=found.low, high=found.high, n=found.n, unit=unit)


def find_fraction(name: str, text: str, holds: Any) -> Finding:
    """A finding about the percentage of the seeds of which something holds, with Wilson's interval.

    >>> find_fraction("ends", "Ends", by_number([True] * 9 + [False])).measured
    '90.0 (59.6 to 98.2)'
    """
    found = _summary(100.0 * holds.astype(bool))
    low, high = wilson_interval(int(holds.sum()), found.n)
    unit = "% of the seeds"
    return Finding(name=name, text=text, mean=found.mean, low=100 * low, high=100 * high, n=found.n, unit=unit)


def find_statistic(
    name: str, text: str, statistic: Callable[[NDArray[Any]], float], values: Any, unit: str = ""
) -> Finding:
    """A finding about any statistic of all seeds (a median, the place of a peak), with a bootstrap interval.

    Args:
        statistic: as in `bootstrap`.
        values: a Series over seeds, or a DataFrame with a row for each seed.

    >>> find_statistic("a", "Median", np.median, by_number([1.0, 1.0, 1.0, 1.0, 9.0])).measured
    '1.00 (1.00 to 13.7)'
    """
    _check_seeds(values)
    estimate, low, high = bootstrap(statistic, values.to_numpy(dtype=float))
    return Finding(name=name, text=text, mean=estimate, low=low, high=high, n=len(values), unit=unit)


def bootstrap(
    statistic: Callable[[NDArray[Any]], float], values: NDArray[Any], draws: int = 2000
) -> tuple[float, float, float]:
    """A statistic of all seeds, and its 95 % bootstrap interval over them (`interval`).

    Args:
        statistic: of an array of the same shape, the seeds on axis 0: where the mean curve peaks, for example.
        values: (seeds, ...).
        draws: how many times the seeds are drawn, with replacement; always the same draws.

    Returns:
        The statistic, and both ends of the interval; these are NaN if there are fewer than two seeds, or if the
        statistic is not finite for more than 2.5 % of the draws.

    >>> bootstrap(np.mean, np.array([1.0, 1.0, 1.0]))
    (1.0, 1.0, 1.0)
    """
    drawn = np.array([statistic(values[rows]) for rows in resampled(len(values), draws)], dtype=float)
    return float(statistic(values)), *interval(drawn, len(values))


def resampled(seeds: int, draws: int = 2000) -> NDArray[np.int64]:
    """Positions of seeds drawn with replacement, int64 (draws, seeds); always the same draws. None with one seed."""
    random = np.random.default_rng(0)
    drawn = [random.integers(0, seeds, seeds) for _ in range(draws if seeds > 1 else 0)]
    return np.array(drawn, dtype=np.int64).reshape(-1, seeds)


def interval(drawn: NDArray[Any], seeds: int) -> tuple[float, float]:
    """The 95 % interval of a statistic, from its values for resampled seeds (draws,).

    A bootstrap of few seeds sees too little scatter: of a mean of n values (n - 1) / n of the variance, and none of
    what Student's quantile stands for. So the interval of the percentiles is stretched around the median, by the factor
    that makes it Student's interval for a mean of normal values: 1.58 for five seeds, 1.22 for ten. It does not go
    below 0 if no value does.

    Returns:
        NaN with one seed, or if more than 2.5 % of the values are not finite.
    """
    finite = drawn[np.isfinite(drawn)]
    if seeds < 2 or not len(finite) or len(finite) < 0.975 * len(drawn):
        return math.nan, math.nan
    tail = (1 + LEVEL) / 2
    low, middle, high = np.quantile(finite, [1 - tail, 0.5, tail])
    stretch = math.sqrt(seeds / (seeds - 1)) * _quantile(seeds - 1) / stats.norm.ppf(tail)
    low, high = middle - stretch * (middle - low), middle + stretch * (high - middle)
    return float(max(low, 0.0) if finite.min() >= 0 else low), float(high)


def sampling_error(accuracy: float, *samples: int) -> float:
    """The standard error of an accuracy from the choice of test samples, in percentage points.

    Args:
        accuracy: in percent.
        samples: sizes of test sets that differ: the published one's and ours.

    >>> round(sampling_error(90.0, 1000), 2)
    0.95
    """
    return math.sqrt(accuracy * (100 - accuracy) * sum(1 / count for count in samples))


def by_number(values: Sequence[Any] | NDArray[Any]) -> Any:
    """Values of the seeds 0, 1, ... as a Series over seeds."""
    return pd.Series(values, index=pd.RangeIndex(len(values), name="seed"))


def chance(claims: Sequence[Claim]) -> float:
    """How many published numbers would lie outside their interval by chance alone, if all were reproducible."""
    return sum(claim.error_rate for claim in claims if claim.kind != DIRECTION and math.isfinite(claim.low))


def headline(claims: Sequence[Claim], findings: Sequence[Finding] = ()) -> str:
    """One line about all claims: the first one, how many have which outcome, and what chance alone would do. Without
    claims, the first finding.

    >>> headline([claim_direction("better", "A is better than B", by_number([1.0, 2.0, 1.5]))])
    'A is better than B: reproduced, 1.50 (0.258 to 2.74).'
    """
    if not claims and findings:
        return f"{findings[0].text.rstrip('.')}: {findings[0].measured} {findings[0].unit}".rstrip() + "."
    if not claims:
        return "No claim could be tested."
    first, *others = claims
    line = f"{first.text.rstrip('.')}: {first.outcome}, {first.measured} {first.unit}".rstrip() + "."
    if others:
        outcomes = [claim.outcome for claim in claims]
        counts = [f"{outcomes.count(kind)} {kind}" for kind in (REPRODUCED, NOT_REPRODUCED, UNDECIDED, NOT_DECIDABLE)]
        line += f" Of {len(claims)} claims: {', '.join(counts)}; by chance alone {chance(claims):.1f} not reproduced."
    return line


def _summary(values: Any) -> Summary:
    """n, mean, standard deviation and interval of a Series with one value for each seed."""
    _check_seeds(values)
    return summarize(values.to_numpy(dtype=float))


def _check_seeds(values: Any) -> None:
    index = getattr(values, "index", None)
    if not isinstance(index, pd.Index) or index.name != "seed":
        raise InvalidValueError("values: expected a Series with one value for each seed, found no index of seeds")
    if not index.is_unique or not len(index):
        raise InvalidValueError(f"values: expected a Series with one value for each seed, found seeds {list(index)}")


def _number(
    kind: str,
    name: str,
    text: str,
    found: Summary,
    half: Callable[[int], float],
    published: float,
    test_error: float,
    effect: float,
    unit: str,
    details: dict[str, Any],
) -> Claim:
    """A claim about a number; `half` is half the width of the interval for n seeds, without the test error."""
    error = stats.norm.ppf((1 + LEVEL) / 2) * test_error
    ours, least = (math.hypot(half(n), error) if found.n > 1 else math.nan for n in (found.n, MANY))
    details = {"literature": f"{published:g} {unit}".strip(), **details}
    return Claim(
        name=name,
        text=text,
        kind=kind,
        published=published,
        effect=effect,
        least_width=2 * least,
        mean=found.mean,
        low=found.mean - ours,
        high=found.mean + ours,
        n=found.n,
        unit=unit,
        **details,
    )


def _quantile(freedom: float) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))


def _digits(value: float, width: float = 0.0) -> str:
    """Three significant digits, or all digits before the decimal point (below 1e9); as many more as show an interval of
    this width.

    >>> _digits(0.0056), _digits(73.44), _digits(123456.0), _digits(0.0), _digits(31.352, 0.23), _digits(2e31)
    ('0.00560', '73.4', '123456', '0.00', '31.35', '2e+31')
    """
    if not math.isfinite(value):
        return "nan"
    if abs(value) >= 1e9:
        return f"{value:.3g}"
    places = [2 - math.floor(math.log10(abs(value))) if value else 2]
    if width > 0:
        places.append(1 - math.floor(math.log10(width)))
    return f"{value:.{max(0, *places)}f}"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.8g}") if math.isfinite(value) else None
    return value
