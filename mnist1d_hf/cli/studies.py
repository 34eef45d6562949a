"""`mnist1d-hf study`: arguments and tables. What needs torch is imported when it is used."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist1d_hf.cli.terminal import console, print_table, progress
from mnist1d_hf.errors import InvalidValueError, OutputError

if TYPE_CHECKING:
    from mnist1d_hf.studies.settings import Settings
    from mnist1d_hf.studies.study import Study

STUDY_EXAMPLES = (
    "Examples: mnist1d-hf study --list | mnist1d-hf study pooling --quick | "
    "mnist1d-hf study pooling --set seeds=3 --output runs/pooling | mnist1d-hf study pooling --verdict"
)


def study(
    name: Annotated[str | None, typer.Argument(help="Which; without it, all are listed.", show_default=False)] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small settings: the whole path in seconds.")] = False,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Folder of this run; study-NAME by default.", show_default=False),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SETTING=VALUE", help="Another setting; several with commas.", show_default=False
        ),
    ] = None,
    num_proc: Annotated[
        int | None, typer.Option(help="Processes; one for each core by default.", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, ...")] = "cpu",
    verdict: Annotated[
        bool,
        typer.Option("--verdict", help="Only recompute the verdict, from the table in --output or the recorded one."),
    ] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the studies: question, cost, settings.")] = False,
) -> None:
    """Run a study, and say which claims of the literature it reproduces. Interrupted, the same command continues."""
    tuned = quick or bool(changes) or num_proc is not None or device != "cpu"
    if name is None:
        if tuned or output is not None or verdict:
            raise InvalidValueError("study: give the name of one; `mnist1d-hf study --list` lists them")
        _list()
        return
    from mnist1d_hf.studies.study import find_study

    chosen = find_study(name)
    if listed:
        if tuned or output is not None or verdict:
            raise InvalidValueError("--list: goes with the name of a study alone")
        _describe(chosen)
    elif verdict:
        if tuned:
            raise InvalidValueError("--verdict: goes with --output alone; the table has its settings beside it")
        _recompute(chosen, output)
    else:
        settings = (chosen.quick if quick else chosen.full).changed(_assignments(changes or []))
        _run(chosen, settings, output or f"study-{name}{'-quick' if quick else ''}", num_proc, device)


def _run(chosen: Study[Any], settings: Settings, folder: str, num_proc: int | None, device: str) -> None:
    from mnist1d_hf.studies.recorded import describe_cost
    from mnist1d_hf.studies.run import Job

    job = Job(chosen, settings, folder, num_proc, device)
    done = len(job.units) - len(job.todo)
    if job.todo:
        cost = describe_cost(chosen, settings, job.todo, job.workers, device)
        kept = f"{done} of {len(job.units)} units are done; " if done else f"{len(job.units)} units; "
        _say(f"{chosen.name}: {chosen.question}\n{kept}cost: {cost}")
    started = time.perf_counter()
    with progress(chosen.name, job.work) as advance:
        table = job.run(advance)
    _print_summary(chosen, table, job.output.cost())
    _print_claims(chosen, job.output.verdict())
    _warn_of_other_settings(chosen, settings.to_dict())
    _say(f"{job.output.folder}: {len(table):,} rows, figure and verdict in {time.perf_counter() - started:.1f} s")


def _recompute(chosen: Study[Any], folder: str | None) -> None:
    """Compute the claims again from a table, and check that they are those that are kept with it."""
    from mnist1d_hf.studies.recorded import recorded
    from mnist1d_hf.studies.run import TABLE, Output
    from mnist1d_hf.studies.run import verdict as as_kept

    kept = recorded(chosen.name) if folder is None else Output(folder)
    if kept is None:
        raise OutputError(f"{chosen.name}: no full run is recorded; run it, or give the --output of a run")
    if kept.manifest()["study"] != chosen.name:
        raise OutputError(f"{kept.folder}: belongs to the study {kept.manifest()['study']!r}, not to {chosen.name!r}")
    table = kept.table()
    again = as_kept(chosen, table, kept.store.read(TABLE))
    _print_summary(chosen, table, kept.cost())
    _print_claims(chosen, again)
    _warn_of_other_settings(chosen, kept.manifest()["settings"])
    if again != kept.verdict():
        raise OutputError(f"{kept.folder}: the verdict that is kept there is another; the study's command renews it")
    _say(f"{kept.folder}: recomputed from {len(table):,} rows, equal to the verdict that is kept there")


def _warn_of_other_settings(chosen: Study[Any], settings: dict[str, Any]) -> None:
    if settings != chosen.full.to_dict():
        _say("Not the settings of the full run: this shows that everything works, not whether the claims hold.")


def _list() -> None:
    from mnist1d_hf.studies.recorded import full_cost
    from mnist1d_hf.studies.study import all_studies

    rows: list[tuple[str, ...]] = [(item.name, item.question, full_cost(item)) for item in all_studies().values()]
    print_table("Studies", ("study", "question", "full run"), rows)


def _describe(chosen: Study[Any]) -> None:
    from mnist1d_hf.studies.recorded import full_cost

    _say(f"{chosen.name}: {chosen.question}\nsource: {chosen.source}\nfull run: {full_cost(chosen)}")
    full, quick = chosen.full.to_dict(), chosen.quick.to_dict()
    rows: list[tuple[str, ...]] = [(key, _text(value), _text(quick[key])) for key, value in full.items()]
    print_table("Settings", ("setting", "full", "--quick"), rows)


def _print_summary(chosen: Study[Any], table: Any, cost: dict[str, Any]) -> None:
    if chosen.summary is not None:
        columns, rows = chosen.summary(table, cost["seconds"])
        print_table(chosen.question, columns, rows, right=tuple(range(1, len(columns))), width=120)


def _print_claims(chosen: Study[Any], verdict: dict[str, Any]) -> None:
    from mnist1d_hf.studies.recorded import kept_claims, kept_findings

    columns = ("claim", "published", "kind", "measured (95 % interval)", "n", "outcome")
    rows: list[tuple[str, ...]] = [
        (claim.name, claim.literature, claim.kind, claim.measured, str(claim.n), claim.outcome)
        for claim in kept_claims(verdict)
    ]
    if rows:
        print_table(chosen.question, columns, rows, right=(4,), width=120)
    if findings := kept_findings(verdict):
        found: list[tuple[str, ...]] = [
            (finding.name, f"{finding.measured} {finding.unit}".rstrip(), str(finding.n)) for finding in findings
        ]
        print_table("Findings", ("finding", "measured (95 % interval)", "n"), found, right=(2,), width=120)
    _say(verdict["headline"])


def _assignments(texts: list[str]) -> dict[str, str]:
    """SETTING=VALUE, several times.

    >>> _assignments(["seeds=3"])
    {'seeds': '3'}
    """
    found: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise InvalidValueError(f"--set: expected SETTING=VALUE, found {text!r}")
        if key in found:
            raise InvalidValueError(f"--set: expected each setting once, found {key} twice")
        found[key] = value
    return found


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _say(text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)
