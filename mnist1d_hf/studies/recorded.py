"""The results of full runs that ship with the package: their cost, their verdicts, and the section of README.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mnist1d_hf.data.describe import markdown_table
from mnist1d_hf.studies.catalog import STUDIES, find_study
from mnist1d_hf.studies.claims import NOT_REPRODUCED, UNDECIDED, Claim
from mnist1d_hf.studies.output import COST, FIGURE, MANIFEST, TABLE, VERDICT, Output
from mnist1d_hf.studies.settings import Settings
from mnist1d_hf.studies.study import Study, Unit

RESULTS = Path(__file__).parent / "results"
KEPT = (MANIFEST, TABLE, FIGURE, VERDICT, COST)
COLUMNS = ("claim", "literature", "holds if", "measured (95 % interval)", "seeds", "outcome")


def recorded(name: str) -> Output | None:
    """The results of a study's full run; None where there are none yet."""
    place = RESULTS / name
    return Output(place) if (place / MANIFEST).is_file() else None


def describe_cost(study: Study[Any], settings: Settings, units: list[Unit], workers: int, device: str = "cpu") -> str:
    """How long these units of a study will take, in words: measured in the recorded run, else estimated.

    Args:
        units: those that are left to do.
        workers: processes that do them.
        device: where; what is known is of a CPU.
    """
    if device != "cpu":
        return f"not known on {device}; the bar tells after the first units"
    kept = recorded(study.name)
    if kept is not None and kept.manifest()["settings"] == settings.to_dict():
        cost = kept.cost()
        seconds = sum(cost["seconds"][unit.key] for unit in units)
        return f"about {_duration(seconds / workers)} on {_processes(workers)} (recorded on {cost['machine']})"
    if settings == study.full:
        share = sum(unit.work for unit in units) / sum(unit.work for unit in study.units(study.full))
        minutes = study.minutes * share
        return f"estimated at {_duration(60 * minutes / workers)} on {_processes(workers)}; no full run is recorded yet"
    if settings == study.quick:
        return "under a minute"
    return "not known for these settings; the bar tells after the first units"


def full_cost(study: Study[Any]) -> str:
    """What the full run takes, in words."""
    kept = recorded(study.name)
    return f"{'' if kept is not None else 'estimated: '}{_duration(full_seconds(study))} of one core"


def full_seconds(study: Study[Any]) -> float:
    """What the full run takes of one core: recorded, else estimated."""
    kept = recorded(study.name)
    return sum(kept.cost()["seconds"].values()) if kept is not None else 60 * study.minutes


def claim_rows(verdict: dict[str, Any]) -> list[tuple[str, ...]]:
    """The claims of a kept verdict as lines of a table with `COLUMNS`."""
    return [
        (claim.name, claim.literature, claim.range, claim.measured, str(claim.n), outcome)
        for claim, outcome in _claims(verdict)
    ]


def _claims(verdict: dict[str, Any]) -> list[tuple[Claim, str]]:
    """The claims of a kept verdict, each with its outcome."""
    found = []
    for item in verdict["claims"]:
        numbers = {name: float("nan") if item[name] is None else item[name] for name in ("mean", "low", "high")}
        claim = Claim(**{key: value for key, value in {**item, **numbers}.items() if key != "outcome"})
        found.append((claim, item["outcome"]))
    return found


def markdown() -> str:
    """The section of README.md: of each study its question, its verdict in a line, what else is not reproduced, and its
    figure.

    >>> markdown().splitlines()[0]
    '| study | question | full run |'
    """
    studies = [find_study(name) for name in STUDIES]
    table = markdown_table(
        ("study", "question", "full run"), [(study.name, study.question, full_cost(study)) for study in studies]
    )
    total = sum(full_seconds(study) for study in studies)
    parts = [table, f"All together: {_duration(total)} of one core, {_duration(total / 2)} on two."]
    for study in studies:
        kept = recorded(study.name)
        if kept is not None:
            figure = f"mnist1d_hf/studies/results/{study.name}/{FIGURE}"
            verdict = kept.verdict()
            parts.append(f"**{study.name}.** {verdict['headline']}")
            parts += ["\n".join(lines) for lines in [_further(verdict)] if lines]
            parts.append(f"![{study.question}]({figure})")
    return "\n\n".join(parts)


def _further(verdict: dict[str, Any]) -> list[str]:
    """Of the claims behind the first one: each that is not reproduced, and the names of those that are undecided."""
    claims = _claims(verdict)[1:]
    lines = []
    for claim, outcome in claims:
        if outcome == NOT_REPRODUCED:
            measured = f"{claim.measured} {claim.unit}".strip()
            lines.append(
                f"- Not reproduced, *{claim.name}*: {claim.text}. Literature: {claim.literature}; measured: {measured}."
            )
    undecided = [claim.name for claim, outcome in claims if outcome == UNDECIDED]
    return [*lines, f"- Undecided: {'; '.join(undecided)}."] if undecided else lines


def _processes(workers: int) -> str:
    return "one process" if workers == 1 else f"{workers} processes"


def _duration(seconds: float) -> str:
    """A length of time to be read.

    >>> _duration(30), _duration(90), _duration(5400)
    ('30 s', '2 min', '1.5 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
