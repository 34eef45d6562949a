"""Results of full runs that are kept in the package: their cost, their claims, and the section of README.md.

A study without such results is a study like the others: its cost is its budget, and README.md says that no full run is
recorded.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mnist1d_hf.data.describe import markdown_table
from mnist1d_hf.studies.claims import Claim, Finding
from mnist1d_hf.studies.run import COST, FIGURE, MANIFEST, TABLE, VERDICT, Output
from mnist1d_hf.studies.settings import Settings
from mnist1d_hf.studies.study import Study, Unit, all_studies

RESULTS = Path(__file__).parent / "results"
KEPT = (MANIFEST, TABLE, FIGURE, VERDICT, COST)


def recorded(name: str) -> Output | None:
    """The results of a study's full run; None if none are kept."""
    place = RESULTS / name
    return Output(place) if (place / MANIFEST).is_file() else None


def describe_cost(study: Study[Any], settings: Settings, units: list[Unit], workers: int, device: str = "cpu") -> str:
    """How long the units that are left will take on so many processes, in words: as long as in the recorded run, else
    an estimate. Only times of a CPU are known."""
    processes = "one process" if workers == 1 else f"{workers} processes"
    if device != "cpu":
        return f"not known on {device}; the bar shows the time left after the first units"
    kept = recorded(study.name)
    if kept is not None and kept.manifest()["settings"] == settings.to_dict():
        cost = kept.cost()
        seconds = sum(cost["seconds"][unit.key] for unit in units)
        return f"about {_duration(seconds / workers)} on {processes} (recorded on {cost['machine']})"
    if settings == study.full:
        fraction = sum(unit.work for unit in units) / sum(unit.work for unit in study.units(study.full))
        seconds = 60 * study.minutes * fraction
        return f"estimated at {_duration(seconds / workers)} on {processes}; no full run is recorded yet"
    if settings == study.quick:
        return "under a minute"
    return "not known for these settings; the bar shows the time left after the first units"


def full_seconds(study: Study[Any]) -> float:
    """Seconds of one core that the full run takes: recorded, else the study's budget."""
    kept = recorded(study.name)
    return sum(kept.cost()["seconds"].values()) if kept is not None else 60 * study.minutes


def full_cost(study: Study[Any]) -> str:
    """What the full run takes, in words."""
    estimated = "" if recorded(study.name) is not None else "estimated: "
    return f"{estimated}{_duration(full_seconds(study))} of one core"


def kept_claims(verdict: dict[str, Any]) -> list[Claim]:
    """The claims in a verdict.json."""
    return [Claim(**_values(item)) for item in verdict["claims"]]


def kept_findings(verdict: dict[str, Any]) -> list[Finding]:
    """The findings in a verdict.json."""
    return [Finding(**_values(item)) for item in verdict["findings"]]


def _values(item: dict[str, Any]) -> dict[str, Any]:
    """The fields of a claim or finding; a number that was not finite is kept as None."""
    missing = {"mean": math.nan, "low": math.nan, "high": math.nan, "effect": math.inf, "least_width": math.nan}
    filled = {key: missing.get(key) if value is None else value for key, value in item.items()}
    return {key: value for key, value in filled.items() if key != "outcome"}


def markdown() -> str:
    """The section of README.md: of each study its question, answer, claims, findings, deviations and figure.

    >>> markdown().splitlines()[0]
    '| study | question | full run |'
    """
    studies = list(all_studies().values())
    total = sum(map(full_seconds, studies))
    rows: list[tuple[str, ...]] = [(study.name, study.question, full_cost(study)) for study in studies]
    parts = [
        markdown_table(("study", "question", "full run"), rows),
        f"All together: {_duration(total)} of one core, {_duration(total / 2)} on two.",
    ]
    for study in studies:
        kept = recorded(study.name)
        if kept is None:
            parts.append(f"**{study.name}.** No full run is recorded yet.")
            continue
        verdict = kept.verdict()
        parts.append(f"**{study.name}.** {verdict['headline']}")
        if study.answer:
            parts.append(study.answer)
        if study.summary is not None:
            parts.append(markdown_table(*study.summary(kept.table(), kept.cost()["seconds"])))
        if claims := kept_claims(verdict):
            parts.append(_claims_table(claims))
        if findings := kept_findings(verdict):
            parts.append(_findings_table(findings))
        if study.deviations:
            parts.append(
                "Deviations from the protocol of the source:\n\n" + "\n".join(f"- {one}" for one in study.deviations)
            )
        parts.append(f"![{study.question}](results/{study.name}/{FIGURE})")
    return "\n\n".join(parts)


def _claims_table(claims: list[Claim]) -> str:
    columns = ("claim", "published", "place", "measured (95 % interval)", "n", "outcome")
    rows: list[tuple[str, ...]] = [
        (
            claim.text,
            f"{claim.literature} ({claim.kind})",
            claim.source,
            f"{claim.measured} {claim.unit}".rstrip(),
            str(claim.n),
            claim.outcome,
        )
        for claim in claims
    ]
    return markdown_table(columns, rows)


def _findings_table(findings: list[Finding]) -> str:
    rows: list[tuple[str, ...]] = [
        (finding.text, f"{finding.measured} {finding.unit}".rstrip(), str(finding.n)) for finding in findings
    ]
    return markdown_table(("finding", "measured (95 % interval)", "n"), rows)


def _duration(seconds: float) -> str:
    """A length of time for people to read.

    >>> _duration(30), _duration(90), _duration(5400)
    ('30 s', '2 min', '1.5 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
