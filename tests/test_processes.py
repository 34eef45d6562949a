"""Results of a pool, also when a signal interrupts at an arbitrary place."""

import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from mnist1d_hf.processes import process_pool, results, run_counted


class InterruptedHereError(Exception):
    pass


def doubled(number):
    time.sleep(2e-5)
    return 2 * number


@pytest.fixture
def alarm():
    def interrupt(*_):
        raise InterruptedHereError

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
def test_an_interrupt_leaves_no_lock_behind():
    """400 pools, each interrupted at a random moment, all shut down. With `concurrent.futures.wait` some 15 of them
    hang or raise something else."""
    chance, interrupts = random.Random(0), 0
    for _ in range(400):
        pool = ThreadPoolExecutor(2)
        pool.submit(int).result()
        try:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-4, 3e-3))
            list(results(pool, doubled, [(number,) for number in range(40)]))
            signal.setitimer(signal.ITIMER_REAL, 0)
        except InterruptedHereError:
            interrupts += 1
        end = threading.Thread(target=pool.shutdown, kwargs={"cancel_futures": True}, daemon=True)
        end.start()
        end.join(10)
        assert not end.is_alive()
    assert interrupts > 100


def test_all_results_come_and_errors_too():
    with process_pool(2) as pool:
        assert sorted(results(pool, doubled, [(number,) for number in range(50)])) == list(range(0, 100, 2))
        assert list(results(pool, doubled, [])) == []
        with pytest.raises(TypeError, match="unsupported operand"):
            list(results(pool, doubled, [(1,), ({},)]))


def test_nothing_comes_whenever_the_time_is_over():
    with ThreadPoolExecutor(1) as pool:
        found = list(results(pool, time.sleep, [(0.3,)], timeout=0.1))
    assert len(found) in (2, 3, 4)  # one of them the result


def end_suddenly(count):
    count(1)
    signal.raise_signal(signal.SIGKILL)


def test_a_process_that_ends_suddenly_is_an_error():
    with pytest.raises(BrokenProcessPool):
        run_counted(end_suddenly, [(), ()], 2, lambda _: None)
