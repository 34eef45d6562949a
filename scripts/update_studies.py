#!/usr/bin/env python
"""Run the studies in full, keep their results in the package, and renew mnist1d_hf/studies/README.md.

    .venv/bin/python scripts/update_studies.py               # every study
    .venv/bin/python scripts/update_studies.py pooling       # some
    .venv/bin/python scripts/update_studies.py --readme-only # all but the tables, from the recorded ones

An interrupted run continues where it was: what is finished is kept in --work-dir.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from readme import README, put_section

from mnist1d_hf.cli.terminal import progress, run_main
from mnist1d_hf.studies import recorded
from mnist1d_hf.studies.run import TABLE, Job
from mnist1d_hf.studies.study import all_studies, find_study

BEGIN = "<!-- studies: made by scripts/update_studies.py -->"
END = "<!-- end of studies -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="studies (default: all)", metavar="NAME")
    parser.add_argument(
        "--work-dir", type=Path, default=README.parent / ".runs" / "studies", help="for unfinished runs"
    )
    parser.add_argument("--num-proc", type=int, help="processes (default: one for each core)")
    parser.add_argument("--readme-only", action="store_true", help="run nothing")
    options = parser.parse_args()
    for name in options.names or all_studies():
        if options.readme_only:
            renew(name)
        else:
            run(name, options.work_dir / name, options.num_proc)
    put_section(BEGIN, END, recorded.markdown(), recorded.RESULTS.parent / "README.md")


def run(name: str, folder: Path, num_proc: int | None) -> None:
    """The full run of a study, and its results in the package."""
    study, started = find_study(name), time.perf_counter()
    job = Job(study, study.full, folder, num_proc)
    with progress(name, job.work) as advance:
        job.run(advance)
    place = recorded.RESULTS / name
    place.mkdir(parents=True, exist_ok=True)
    for file in recorded.KEPT:
        shutil.copyfile(folder / file, place / file)
    print(f"{name}: {job.output.verdict()['headline']} ({time.perf_counter() - started:.0f} s)", flush=True)
    if recorded.full_seconds(study) > 60 * study.minutes:
        print(f"{name}: took longer than its budget of {study.minutes:g} minutes of one core", flush=True)


def renew(name: str) -> None:
    """Compute claims, findings and figure of a recorded run again, from its table."""
    kept, study = recorded.recorded(name), find_study(name)
    if kept is not None:
        kept.table()  # is it the one that was recorded?
        kept.finish(study, kept.store.read(TABLE), kept.cost())
        print(f"{name}: {kept.verdict()['headline']}", flush=True)


if __name__ == "__main__":
    run_main("update_studies.py", main)
