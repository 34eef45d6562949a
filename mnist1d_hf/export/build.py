"""Building a folder: Parquet files, a card and checksums. A build that was stopped goes on.

Until it is finished, the folder is a run folder (see `mnist1d_hf.runs`). The unit of work is a data file, and its
SHA-256 is what is kept of it. SHA256SUMS is written last and says that all is there.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from mnist1d_hf.errors import OutputError
from mnist1d_hf.export.card import folder_card
from mnist1d_hf.export.folder import CARD, PLAN, SUMS, UNITS, damaged_files, read_sums, sums_text
from mnist1d_hf.export.plan import ShardPlan
from mnist1d_hf.export.whole import SplitPlan
from mnist1d_hf.files import Store, is_draft, write_errors
from mnist1d_hf.processes import Report
from mnist1d_hf.runs import GOES_ON, Engine, RunFolder, Unit, in_this_process, read_json

Plan = ShardPlan | SplitPlan


def build(
    plan: Plan,
    output: str | os.PathLike[str],
    engine: Engine = in_this_process,
    *,
    overwrite: bool = False,
    progress: Report | None = None,
) -> Store:
    """Write the data files of `plan`, a card and checksums; go on where an earlier build of the same plan was stopped.

    The same plan gives the same bytes, whoever writes them and in whatever order.

    Args:
        plan: what to write.
        output: a local folder, or a URL that fsspec knows.
        engine: who writes; see `mnist1d_hf.export.engines`. That of a `SplitPlan` is this process.
        overwrite: replace an earlier build; a folder with anything else in it is refused.
        progress: called with the number of samples just finished.

    Returns:
        The place.

    Raises:
        OutputError: (an `OSError`) the place belongs to something else, or cannot be written.

    >>> from mnist1d_hf.data.schema import Mnist1dBuilderConfig
    >>> plan = ShardPlan.of(Mnist1dBuilderConfig.resolve("stream", {"num_samples": 2000}), 2)
    >>> build(plan, "memory://two").names()[2:]
    ['build.json', 'data/train-00000-of-00002.parquet', 'data/train-00001-of-00002.parquet']
    """
    report = progress or (lambda _: None)
    folder = RunFolder(output, PLAN, units=UNITS, remedy="choose another --output, or replace it with --overwrite")
    store, settings = folder.store, plan.settings()
    with write_errors(store, GOES_ON):
        if overwrite and not _is_begun(folder, settings):
            _clear(folder)
        if store.exists(SUMS) and store.exists(PLAN):
            folder.check(settings)
            missing = set(plan.names()) - set(store.names())
            if missing:
                raise OutputError(f"{store}: {min(missing)} is missing; verify --rebuild makes it again")
            folder.remove_units()  # of a build that was killed at its very end
            report(sum(plan.rows()))
            return store
        with folder.claimed(settings):
            # The card comes before the data: whoever loads an unfinished folder is told that rows are missing.
            store.write(CARD, folder_card(plan.config).encode())
            units = [
                Unit(f"{number:05d}", _make_file, (folder, plan, number), rows)
                for number, rows in enumerate(plan.rows())
            ]
            folder.do(units, engine, report)
            digests = {name: folder.get(unit.key).decode() for name, unit in zip(plan.names(), units, strict=True)}
            store.write(CARD, _card(store, plan))
            folder.remove_drafts()
            digests |= {name: store.digest(name) for name in (CARD, PLAN)}
            store.write(SUMS, sums_text(digests).encode())
            folder.remove_units()
    return store


def _make_file(folder: RunFolder, plan: Plan, number: int, report: Report) -> bytes:
    """Write a data file, unless it is there and whole. Returns its SHA-256."""
    store, name, key = folder.store, plan.names()[number], f"{number:05d}"
    with write_errors(store, GOES_ON):
        if folder.has(key) and store.exists(name):
            digest = folder.get(key)
            if store.digest(name) == digest.decode():
                return digest
        data = plan.make(number, report)
        store.write(name, data)
    return hashlib.sha256(data).hexdigest().encode()


def _card(store: Store, plan: Plan) -> bytes:
    """The card of a finished folder: with the size of each split."""
    sizes: Counter[str] = Counter()
    for name in plan.names():
        split, _, _ = name.removeprefix("data/").partition("-")
        sizes[split] += store.size(name)
    return folder_card(plan.config, sizes).encode()


def _is_begun(folder: RunFolder, settings: Mapping[str, Any]) -> bool:
    """Whether the folder holds an unfinished build with these settings."""
    try:
        folder.check(settings)
    except OutputError:
        return False
    return folder.store.exists(PLAN) and not folder.store.exists(SUMS)


def _clear(folder: RunFolder) -> None:
    """Remove an earlier build.

    Raises:
        OutputError: the folder holds what no build made, or another process is at work in it.
    """
    store = folder.store
    names = store.names()
    strange = [name for name in names if not _made_here(name)]
    if names and not {PLAN, SUMS} & set(names):  # just a card, say: that may be of anything
        strange = strange or [name for name in names if not is_draft(name) and not name.startswith(UNITS)]
    if strange:
        raise OutputError(f"{store}: holds {strange[0]}, which no build made, so it is not overwritten; move it first")
    if names:
        with folder.locked():
            for name in (SUMS, "data", CARD, PLAN):  # in this order: what is left always looks unfinished
                store.remove(name)
            folder.remove_units()


def _made_here(name: str) -> bool:
    data = re.fullmatch(r"data/[a-z]+-\d{5}-of-\d{5}\.parquet", name)
    return name in (SUMS, CARD, PLAN) or name.startswith(f"{UNITS}/") or is_draft(name) or data is not None


def rebuild_damaged(output: str | os.PathLike[str], progress: Callable[[str], object] | None = None) -> list[str]:
    """Make the missing and altered files of a finished build again.

    Args:
        output: where the build is.
        progress: called with the name of each file that is made again.

    Returns:
        The names of the files that were made again.

    Raises:
        OutputError: not a build, its arguments are damaged too, or a new file does not fit its checksum.
    """
    store, remedy = Store(output), "build the folder again with --overwrite"
    expected = read_sums(store)
    damaged = damaged_files(store, expected)
    if not damaged:
        return []
    if PLAN not in expected:
        raise OutputError(f"{store}: {next(iter(damaged))} is damaged, and there is no {PLAN} to repair it; {remedy}")
    if PLAN in damaged:
        raise OutputError(f"{store}: {PLAN} {damaged[PLAN]}; {remedy}")
    settings = read_json(store, PLAN, remedy)
    try:
        kind = ShardPlan if "num_shards" in settings else SplitPlan
        plan: Plan = kind.from_settings(settings)
    except OutputError as error:
        raise OutputError(f"{store}: {error}; {remedy}") from None
    with write_errors(store):
        for name in sorted(damaged, key=lambda name: name == CARD):  # the card last: it states sizes
            if progress is not None:
                progress(name)
            data = _card(store, plan) if name == CARD else plan.make(plan.names().index(name), lambda _: None)
            found = hashlib.sha256(data).hexdigest()
            if found != expected[name]:
                raise OutputError(
                    f"{store}: {name} made again has SHA-256 {found}, expected {expected[name]}; it was left"
                )
            store.write(name, data)
    return list(damaged)
