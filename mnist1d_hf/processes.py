"""Worker processes that end with their parent."""

from __future__ import annotations

import _thread
import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

# Memory that was given back stays with the process: numerical work asks for the same sizes again and again, and the
# system takes long to hand out fresh pages. Read by glibc when a process starts; elsewhere it means nothing.
_TUNABLES = "glibc.malloc.trim_threshold=2000000000:glibc.malloc.mmap_threshold=33554432:glibc.malloc.top_pad=268435456"


@contextlib.contextmanager
def process_pool(
    workers: int,
    initializer: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
    numerical: bool = False,
) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh processes. Each ends when its parent does, even by SIGKILL, and leaves Ctrl-C to it.

    Args:
        workers: how many.
        initializer, arguments: called first in each.
        numerical: let them keep their memory (see above); they also take one thread each, since they share the cores.
    """
    context = multiprocessing.get_context("spawn")
    with _environment({"GLIBC_TUNABLES": _TUNABLES, "OMP_NUM_THREADS": "1"} if numerical else {}):
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(initializer, arguments))
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    if initializer is not None:
        initializer(*arguments)


def results(
    pool: Executor, function: Callable[..., T], tasks: Iterable[tuple[Any, ...]], timeout: float | None = None
) -> Iterator[T | None]:
    """What `function(*task)` gives for each task, in the order in which it comes.

    May be interrupted anywhere by the exception of a signal's handler. `concurrent.futures.wait` and `Future.result`
    may not: they take locks by code in Python, where an exception can leave them taken, and the pool never shuts down.
    So a thread, which no handler interrupts, deals with the pool, and a queue written in C is all that is waited for.

    Args:
        pool: of threads or processes; what it has not begun is cancelled when it shuts down.
        function, tasks: as in `pool.submit`.
        timeout: gives None whenever so many seconds have passed without a result.

    Raises:
        Whatever `function` raises, or BrokenProcessPool.
    """
    todo = list(tasks)
    arrived: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def take(future: Future[T]) -> None:
        if not future.cancelled():
            error = future.exception()
            arrived.put((None, error) if error is not None else (future.result(), None))

    def submit() -> None:
        try:
            for task in todo:
                pool.submit(function, *task).add_done_callback(take)
        except RuntimeError as error:  # broken; or shut down, and then nobody asks
            arrived.put((None, error))

    _thread.start_new_thread(submit, ())  # threading's own start() is code in Python, too
    left = len(todo)
    while left:
        try:
            result, error = arrived.get(timeout=timeout)
        except queue.Empty:
            yield None
            continue
        if error is not None:
            raise error
        left -= 1
        yield result


_counter: Any = None  # of what is done, shared by the processes of a pool


def run_counted(
    function: Callable[..., object],
    tasks: Sequence[tuple[Any, ...]],
    workers: int,
    progress: Callable[[int], object],
) -> None:
    """Call `function(*task, count)` for every task, in processes of one numerical thread each, in the tasks' order.

    Args:
        function: of a module; its last argument is a function to be called with the number of things just done.
        tasks: its other arguments; they are pickled.
        workers: processes.
        progress: called in this process with the numbers that all of them counted.

    Interrupted (Ctrl-C, SIGTERM), the processes are ended at once: a task may take many minutes.

    Raises:
        BrokenProcessPool: a process ended suddenly.
    """
    counter = multiprocessing.get_context("spawn").Value("q", 0)
    told, others = 0, multiprocessing.active_children()
    with process_pool(workers, _share, (counter,), numerical=True) as pool:
        try:
            for _ in results(pool, _call_counted, [(function, task) for task in tasks], timeout=0.2):
                now = counter.value
                progress(now - told)
                told = now
        except (KeyboardInterrupt, SystemExit):
            for process in set(multiprocessing.active_children()) - set(others):
                process.terminate()
            raise


def _share(counter: Any) -> None:
    global _counter  # noqa: PLW0603
    _counter = counter
    import torch

    torch.set_num_threads(1)


def _count(number: int) -> None:
    with _counter.get_lock():
        _counter.value += number


def _call_counted(function: Callable[..., object], task: tuple[Any, ...]) -> None:
    function(*task, _count)
