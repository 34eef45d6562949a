"""Numbers in words, the same way on every card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mnist1d_hf.training.statistics import wilson_interval


def percent(share: float, digits: int) -> str:
    """A share in percent.

    >>> percent(0.934, 1)
    '93.4'
    """
    return f"{100 * share:.{digits}f}"


def interval(low: float, high: float, digits: int) -> str:
    """Two shares in percent; a dash where nothing is known.

    >>> interval(0.91, 0.93, 1), interval(float("nan"), float("nan"), 1)
    ('91.0–93.0', '–')
    """
    return "–" if math.isnan(low) or math.isnan(high) else f"{percent(low, digits)}–{percent(high, digits)}"


def spread(summary: Mapping[str, Any]) -> str:
    """Mean ± standard deviation over seeds, in percent.

    >>> spread({"mean": 0.9, "std": 0.01})  # with spaces that do not break
    '90.00\\xa0±\\xa01.00'
    """
    deviation = float(summary["std"])
    return percent(summary["mean"], 2) + ("" if math.isnan(deviation) else f"\u00a0±\u00a0{percent(deviation, 2)}")


def counted(share: float, total: int, digits: int = 1) -> tuple[str, str]:
    """An accuracy on `total` samples, and its 95 % interval (Wilson), in percent.

    >>> counted(0.95, 1000)
    ('95.0', '93.5–96.2')
    """
    return percent(share, digits), interval(*wilson_interval(round(share * total), total), digits)


def size(number: int) -> str:
    """Bytes in words.

    >>> size(512), size(2_000), size(3_400_000)
    ('512 B', '2.0 kB', '3.4 MB')
    """
    if number < 1000:
        return f"{number} B"
    return f"{number / 1000:.1f} kB" if number < 1_000_000 else f"{number / 1_000_000:.1f} MB"


def words(items: Sequence[str]) -> str:
    """An enumeration.

    >>> words(["one"]), words(["one", "two", "three"])
    ('one', 'one, two and three')
    """
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def seeds(number: int) -> str:
    """How many seeds.

    >>> seeds(1), seeds(20)
    ('1 seed', '20 seeds')
    """
    return f"{number} seed{'' if number == 1 else 's'}"
