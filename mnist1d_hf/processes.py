"""Work in several processes, which end with their parent, and at once when it is interrupted."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Report = Callable[[int], object]  # called with the amount of work that was just done

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # the processes share the cores
    # For glibc: a process keeps the memory that it frees. Numerical work asks for the same sizes again and again, and
    # the system is slow to give fresh pages. Elsewhere this has no effect.
    "GLIBC_TUNABLES": "glibc.malloc.trim_threshold=2000000000:glibc.malloc.mmap_threshold=33554432"
    ":glibc.malloc.top_pad=268435456",
}
_SECONDS = 0.1  # between two reports of a process


class ProcessDiedError(Exception):
    """A process ended without a result: it was killed, perhaps because the memory was full."""


class _RemoteError(Exception):
    """The traceback of an error in another process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def run_in_processes(
    function: Callable[..., object], tasks: Sequence[tuple[Any, ...]], report: Report, workers: int
) -> None:
    """Call `function(*task, report)` for each task, in fresh processes with one numerical thread each.

    However this function ends, the processes end at once: a task may take many minutes.

    Args:
        function: of a module; it is pickled, and so are the tasks.
        tasks: arguments, in the order in which they are begun.
        report: called in this process with the amounts that the functions report.
        workers: number of processes, at least 1.

    Raises:
        ProcessDiedError: a process ended suddenly.
        Exception: whatever `function` raises.
    """
    waiting = list(reversed(tasks))
    with _processes(function, min(workers, len(tasks))) as busy:
        while busy:
            ready: Any = multiprocessing.connection.wait(busy)
            for pipe in ready:
                try:
                    message = pipe.recv()
                    if message is None and waiting:
                        pipe.send(waiting.pop())
                        continue
                except (EOFError, OSError):
                    raise ProcessDiedError from None
                if message is None:  # nothing is left for this process
                    busy.remove(pipe)
                elif isinstance(message, int):
                    report(message)
                else:
                    error, text = message
                    raise error from _RemoteError(text)


@contextlib.contextmanager
def _processes(function: Callable[..., object], count: int) -> Iterator[list[Any]]:
    """The pipes to fresh processes that wait for tasks. The processes are ended with the block."""
    context = multiprocessing.get_context("spawn")
    before, processes, pipes = dict(os.environ), [], []
    try:
        # Ctrl-C in a terminal reaches every process: these inherit that it is blocked, and leave it to their parent.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.environ.update(_ENVIRONMENT)
        try:
            for _ in range(count):
                pipe, other_end = context.Pipe()
                process = context.Process(target=_work, args=(function, other_end), daemon=True)
                process.start()
                processes.append(process)
                pipes.append(pipe)
                other_end.close()  # so that reading ends when the process ends
        finally:
            for name in _ENVIRONMENT:
                os.environ.pop(name)
                os.environ.update({name: before[name]} if name in before else {})
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield pipes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _work(function: Callable[..., object], pipe: Any) -> None:
    """Do tasks from a pipe. Sends None for "ready", integers for work done, and an error with its traceback."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    unsent, last = 0, 0.0

    def report(amount: int) -> None:
        nonlocal unsent, last
        unsent += int(amount)
        if time.monotonic() - last > _SECONDS:
            pipe.send(unsent)
            unsent, last = 0, time.monotonic()

    with contextlib.suppress(EOFError, ConnectionError):  # the parent is gone: nobody is there to be told
        while True:
            pipe.send(None)
            task = pipe.recv()
            try:
                function(*task, report)
            except Exception as error:
                pipe.send((error, traceback.format_exc()))
            last = 0.0  # the rest of a task is reported with its end
            report(0)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
