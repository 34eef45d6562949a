"""Who writes the shards: this process, several on this machine, or a Ray cluster. The files are the same."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from mnist1d_hf.data.config import check_integer
from mnist1d_hf.errors import OutputError, UserError
from mnist1d_hf.export.plan import ShardPlan
from mnist1d_hf.export.shards import Engine, ensure_shard
from mnist1d_hf.processes import process_pool, results


def in_this_process(plan: ShardPlan, place: str, numbers: list[int]) -> Iterator[tuple[int, str]]:
    """One shard after the other, here."""
    for number in numbers:
        yield ensure_shard(plan, place, number)


def on_this_machine(num_proc: Any = 1) -> Engine:
    """So many processes at a time.

    Raises:
        InvalidTypeError, InvalidValueError: not an integer of at least 1.

    >>> on_this_machine(1) is in_this_process
    True
    """
    count = check_integer("num_proc", num_proc, 1)
    if count == 1:
        return in_this_process

    def engine(plan: ShardPlan, place: str, numbers: list[int]) -> Iterator[tuple[int, str]]:
        try:
            with process_pool(min(count, len(numbers))) as pool:
                for finished in results(pool, ensure_shard, [(plan, place, number) for number in numbers]):
                    assert finished is not None  # which is for those who ask for a timeout
                    yield finished
        except BrokenProcessPool:
            raise OutputError(
                f"{place}: a process ended suddenly (out of memory?); finished shards are kept, "
                f"the same command goes on from there"
            ) from None

    return engine


def on_ray(address: str | None = None) -> Engine:
    """Ray Data on a cluster: each shard is a task, repeated elsewhere when its node is lost.

    All nodes need this package and the place: a shared folder, or object storage through fsspec.

    Args:
        address: of the cluster ("auto", "host:6379", "ray://host:10001"); None starts one on this machine.

    Raises:
        OutputError: Ray is not installed, or the cluster cannot be reached.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise OutputError("engine ray: Ray is not installed; pip install 'mnist1d_hf[ray]'") from None

    def engine(plan: ShardPlan, place: str, numbers: list[int]) -> Iterator[tuple[int, str]]:
        with _cluster(address):
            ray.data.DataContext.get_current().enable_progress_bars = False
            logging.getLogger("ray.data").setLevel(logging.ERROR)

            def write(row: dict[str, Any]) -> dict[str, Any]:
                number, digest = ensure_shard(plan, place, int(row["number"]))
                return {"number": number, "digest": digest}

            # One block, and so one task, for each shard: that is what is repeated when a node is lost.
            rows = ray.data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
            try:
                for row in rows.map(write).iter_rows():
                    yield int(row["number"]), str(row["digest"])
            except ray.exceptions.RayError as error:
                raise _cause(error, place) from error

    return engine


def _cause(error: BaseException, place: str) -> UserError:
    """What a person can act upon in an error from a cluster."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, UserError):
            return OutputError(str(inner))
        inner = getattr(inner, "cause", None) or inner.__cause__
    lines = str(error).strip().splitlines()
    return OutputError(f"{place}: the cluster gave up: {lines[-1] if lines else type(error).__name__}")


def _require_reachable(address: str | None) -> None:
    """Ray itself would try for minutes and then end the process."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, ValueError, OverflowError) as error:
        raise OutputError(f"engine ray: no cluster at {address}: {error}") from None


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    import ray

    if ray.is_initialized():  # the caller's own
        yield
        return
    _require_reachable(address)
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise OutputError(f"engine ray: no cluster at {address}: {str(error).splitlines()[0]}") from None
    try:
        yield
    finally:
        ray.shutdown()
