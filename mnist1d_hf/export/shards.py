"""A stream as Parquet shards, written by any number of processes; a build that was stopped goes on.

A finished shard leaves its checksum in
`.build/`; a shard with a file that fits its checksum is never made again. SHA256SUMS, written last, says that all
is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import filelock

from mnist1d_hf.errors import OutputError
from mnist1d_hf.export.card import folder_card
from mnist1d_hf.export.folder import CARD, PLAN, SUMS, damaged_files, read_sums, sums_text
from mnist1d_hf.export.plan import ShardPlan, make_shard
from mnist1d_hf.export.store import Store

_RECORDS = ".build"


def ensure_shard(plan: ShardPlan, place: str, number: int) -> tuple[int, str]:
    """Write a shard under `place`, unless it is there already and whole.

    Returns:
        The shard's number and its SHA-256.

    Raises:
        OutputError: it cannot be written.
    """
    store = Store(place)
    name = plan.names()[number]
    record = f"{_RECORDS}/{number:05d}.sha256"
    try:
        if store.exists(record) and store.exists(name):
            digest = store.read(record).decode()
            if store.digest(name) == digest:
                return number, digest
        data = make_shard(plan, number)
        digest = hashlib.sha256(data).hexdigest()
        store.write(name, data)
        store.write(record, digest.encode())
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(_cannot_write(store, error)) from error
    return number, digest


def _cannot_write(store: Store, error: OSError) -> str:
    return (
        f"{store}: cannot be written: {error.strerror or error}; finished shards are kept, "
        f"the same command goes on from there"
    )


# Does `ensure_shard` for the numbers given, by whatever means, and yields its results as they come.
Engine = Callable[[ShardPlan, str, list[int]], Iterator[tuple[int, str]]]


def build_shards(
    plan: ShardPlan,
    output: Any,
    engine: Engine,
    *,
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Store:
    """Write all shards of `plan`, a card and checksums; go on where an earlier run of the same plan was stopped.

    Args:
        plan: what to write.
        output: a local folder, or a URL that fsspec knows.
        engine: who writes; see `mnist1d_hf.export.engines`.
        overwrite: replace a build of other arguments; a folder with anything else in it is refused.
        progress: called with the number of samples just finished.

    Returns:
        The place.

    Raises:
        OutputError: (an `OSError`) the place belongs to something else, or cannot be written.

    >>> from mnist1d_hf.data.schema import Mnist1dBuilderConfig
    >>> from mnist1d_hf.export.engines import in_this_process
    >>> plan = ShardPlan.of(Mnist1dBuilderConfig.resolve("stream", {"num_samples": 2000}), 2)
    >>> build_shards(plan, "memory://two", in_this_process).names()[2:]
    ['build.json', 'data/train-00000-of-00002.parquet', 'data/train-00001-of-00002.parquet']
    """
    store = Store(output)
    report = progress or (lambda _: None)
    try:
        _check_place(store, plan, overwrite)
        if store.exists(SUMS):
            missing = set(plan.names()) - set(store.names())
            if missing:
                raise OutputError(f"{store}: {min(missing)} is missing; verify --rebuild makes it again")
            report(plan.num_samples)
            return store
        with _only_writer(store):
            store.write(PLAN, plan.to_json().encode())
            # A card before any shard: whoever loads an unfinished folder is told that rows are missing.
            store.write(CARD, folder_card(plan.config).encode())
            ranges, digests = plan.ranges(), {}
            for number, digest in engine(plan, store.place, list(range(plan.num_shards))):
                digests[plan.names()[number]] = digest
                report(ranges[number][1] - ranges[number][0])
            _finish(store, plan, digests)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(_cannot_write(store, error)) from error
    return store


def _finish(store: Store, plan: ShardPlan, digests: dict[str, str]) -> None:
    sizes = {"train": sum(store.size(name) for name in plan.names())}
    store.write(CARD, folder_card(plan.config, sizes).encode())
    for name in store.names():  # drafts of a run that was killed
        if name.rpartition("/")[2].startswith(".") and _made_here(name):
            store.remove(name)
    store.write(SUMS, sums_text({**digests, **{name: store.digest(name) for name in (CARD, PLAN)}}).encode())
    store.remove(_RECORDS)


def _check_place(store: Store, plan: ShardPlan, overwrite: bool) -> None:
    """Refuse a place that holds anything else; make it empty where that was asked for."""
    if store.folder is not None and store.folder.exists() and not store.folder.is_dir():
        raise OutputError(f"{store}: expected a folder, found a file; choose another --output")
    names = store.names()
    strange = [name for name in names if not _made_here(name)]
    if PLAN not in names:
        other = strange or [name for name in (SUMS, CARD) if name in names]
        if other:
            raise OutputError(f"{store}: holds {other[0]}, which no sharded build made; choose another --output")
        return
    difference = _difference(store, plan)
    if overwrite:
        if strange:
            raise OutputError(
                f"{store}: holds {strange[0]}, which no build made, so it is not overwritten; move it first"
            )
        for name in (SUMS, "data", _RECORDS, CARD, PLAN):  # in this order: what is left always looks unfinished
            store.remove(name)
    elif difference:
        raise OutputError(f"{store}: {difference}; choose another --output, or replace it with --overwrite")


def _difference(store: Store, plan: ShardPlan) -> str:
    """How the build that is there differs from `plan`; empty if it does not."""
    try:
        found = dict(json.loads(store.read(PLAN)))
    except (ValueError, TypeError):
        return f"{PLAN} is damaged"
    wanted = json.loads(plan.to_json())
    return next(
        (
            f"belongs to a build with {name} {found.get(name)}, this one has {wanted[name]}"
            for name in wanted
            if found.get(name) != wanted[name]
        ),
        "",
    )


def _made_here(name: str) -> bool:
    """Whether a build leaves such a file, drafts of one that was killed included (see `Store.write`)."""
    folder, _, base = name.rpartition("/")
    if base.startswith(".") and base.count(".") > 1:
        base = base[1:].rpartition(".")[0]
    if folder == "data":
        return base.startswith("train-") and base.endswith(".parquet")
    return folder == _RECORDS or (not folder and base in (SUMS, CARD, PLAN))


@contextlib.contextmanager
def _only_writer(store: Store) -> Iterator[None]:
    """Keep a second run on this machine out. The system lets go of the lock when a process ends, however it ends."""
    if store.folder is None:
        yield
        return
    records = store.folder / _RECORDS
    records.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(records / "lock", timeout=0):
            yield
    except filelock.Timeout:
        raise OutputError(f"{store}: another build is at work there; wait for it, or choose another --output") from None


def rebuild_damaged(output: Any, progress: Callable[[str], object] | None = None) -> list[str]:
    """Make the missing and altered shards of a finished build again.

    Args:
        output: where the build is.
        progress: called with the name of each file that is made again.

    Returns:
        The names of the files that were made again.

    Raises:
        OutputError: not a sharded build, its plan is damaged itself, or the new file does not fit its checksum.
    """
    store = Store(output)
    expected = read_sums(store)
    damaged = damaged_files(store, expected)
    if not damaged:
        return []
    if PLAN not in expected:
        raise OutputError(f"{store}: {next(iter(damaged))} is damaged; only a build of --config stream can be repaired")
    if PLAN in damaged:
        raise OutputError(f"{store}: {PLAN} {damaged[PLAN]}; build the folder again with --overwrite")
    try:
        plan = ShardPlan.from_json(store.read(PLAN).decode())
    except OutputError as error:
        raise OutputError(f"{store}: {error}; build the folder again with --overwrite") from None
    for name in sorted(damaged, key=lambda name: name == CARD):  # the card last: it states sizes
        if progress is not None:
            progress(name)
        data = _file(store, plan, name)
        found = hashlib.sha256(data).hexdigest()
        if found != expected[name]:
            raise OutputError(f"{store}: {name} made again has SHA-256 {found}, expected {expected[name]}; it was left")
        store.write(name, data)
    return list(damaged)


def _file(store: Store, plan: ShardPlan, name: str) -> bytes:
    if name == CARD:
        return folder_card(plan.config, {"train": sum(store.size(shard) for shard in plan.names())}).encode()
    return make_shard(plan, plan.names().index(name))
