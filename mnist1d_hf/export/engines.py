"""Who writes the shards: this process, several on this machine, or a Ray cluster. The files are the same."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mnist1d_hf.data.config import check_integer
from mnist1d_hf.errors import OutputError, UserError
from mnist1d_hf.processes import Report
from mnist1d_hf.runs import Engine, in_processes, in_this_process


def on_this_machine(num_proc: Any = 1) -> Engine:
    """So many processes at a time.

    Raises:
        InvalidTypeError, InvalidValueError: not an integer of at least 1.

    >>> on_this_machine(1) is in_this_process
    True
    """
    count = check_integer("num_proc", num_proc, 1)
    return in_this_process if count == 1 else in_processes(count)


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

    def engine(function: Callable[..., object], tasks: Sequence[tuple[Any, ...]], report: Report) -> None:
        with _cluster(address):
            ray.data.DataContext.get_current().enable_progress_bars = False
            logging.getLogger("ray.data").setLevel(logging.ERROR)

            def do(row: dict[str, Any]) -> dict[str, Any]:
                done: list[int] = []
                try:
                    function(*tasks[int(row["number"])], done.append)
                except UserError as error:  # as a value: Ray wraps errors that are raised
                    return {"done": 0, "error": str(error)}
                return {"done": sum(done), "error": ""}

            # One block, and so one Ray task, for each of ours: that is what is repeated when a node is lost.
            numbers = [{"number": number} for number in range(len(tasks))]
            rows = ray.data.from_items(numbers, override_num_blocks=len(numbers))
            try:
                for row in rows.map(do).iter_rows():
                    if row["error"]:
                        raise OutputError(row["error"])
                    report(int(row["done"]))
            except ray.exceptions.RayTaskError:
                raise  # a bug
            except ray.exceptions.RayError as error:
                said = str(error).strip().splitlines() or [type(error).__name__]
                raise OutputError(f"engine ray: the cluster gave up: {said[0]}") from error

    return engine


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
