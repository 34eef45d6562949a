"""Run folders: any stop is gone on from, settings are not mixed, damage is named. The work is a toy, without torch."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from mnist1d_hf.errors import OutputError
from mnist1d_hf.files import write_file
from mnist1d_hf.processes import run_in_processes
from mnist1d_hf.runs import RunFolder, Unit, in_processes, in_this_process
from tests.faults import full_disk

SETTINGS = {"seed": 1, "options": {"padding": [36, 60], "kind": None}}
ENGINES = pytest.mark.parametrize("engine", [in_this_process, in_processes(2)], ids=["here", "processes"])


def square(number, report):
    report(1)
    report(20)  # more than the unit says it is
    with Path("done").open("a") as file:
        file.write(f"{number} ")
    return str(number**2).encode()


def stop_at_two(number, report):
    if number == 2:
        raise KeyboardInterrupt
    return square(number, report)


def die_at_two(number, report):
    if number == 2:
        signal.raise_signal(signal.SIGKILL)
    return square(number, report)


def fail(number, report):
    report(1)
    return {}[number]


def sleep(number, report):
    report(1)
    time.sleep(600)
    return str(number).encode()


def run(function=square, engine=in_this_process, settings=SETTINGS, place="out", told=None):
    """Do four units, with what they did in the order in which they did it."""
    folder, count = RunFolder(place, "run.json"), (lambda _: None) if told is None else told.append
    units = [Unit(f"unit-{number}", function, (number,), 10) for number in range(4)]
    with folder.claimed(settings):
        folder.do(folder.left(units), engine, count)
        return [int(folder.get(unit.key)) for unit in units]


def done():
    """The units that were done, in order; and forget them."""
    path = Path("done")
    found = sorted(map(int, path.read_text().split())) if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def contents(folder="out"):
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@ENGINES
def test_every_engine_does_every_unit_once(engine):
    told = []
    assert run(engine=engine, told=told) == [0, 1, 4, 9]
    assert sum(told) == 40
    assert done() == [0, 1, 2, 3]
    assert run(engine=engine) == [0, 1, 4, 9]
    assert done() == []


def test_interrupted_it_goes_on():
    with pytest.raises(KeyboardInterrupt):
        run(stop_at_two)
    assert done() == [0, 1]
    assert run() == [0, 1, 4, 9]
    assert done() == [2, 3]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_it_goes_on():
    """SIGKILL in the middle; before the draft of a unit gets its name, and before that of the manifest does."""
    rename = os.replace
    for count, left in ((0, [0, 1, 2, 3]), (2, [1, 2, 3])):
        child = os.fork()
        if not child:
            signal.alarm(60)
            calls = iter(range(100))
            os.replace = lambda *paths: rename(*paths) if next(calls) < count else os.kill(os.getpid(), signal.SIGKILL)  # noqa: B023
            run(place=f"out-{count}")
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        done()
        assert run(place=f"out-{count}") == [0, 1, 4, 9]
        assert done() == left
        assert not list(Path(f"out-{count}").rglob(".*"))


def test_a_process_that_ends_suddenly_is_an_error():
    with pytest.raises(OutputError, match=r"a process ended suddenly \(out of memory\?\); what is finished is kept"):
        run(die_at_two, in_processes(1))
    assert run() == [0, 1, 4, 9]


def test_an_error_in_a_process_comes_with_its_traceback():
    with pytest.raises(KeyError) as caught:
        run(fail, in_processes(2))
    assert "return {}[number]" in str(caught.value.__cause__)
    with pytest.raises(TypeError, match="unsupported operand"):
        run_in_processes(square, [({},)], lambda _: None, 1)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_does_not_wait_for_units(kind):
    """Ctrl-C and SIGTERM: units of ten minutes are given up, and their processes end."""

    def stop(_):
        raise kind

    started = time.monotonic()
    with pytest.raises(kind):
        run(sleep, in_processes(2), told=type("Told", (), {"append": staticmethod(stop)}))
    assert time.monotonic() - started < 300
    assert not multiprocessing.active_children()
    assert not list(Path("out/units").glob("unit*"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": 2, "options": SETTINGS["options"]}, "seed is 1 there and 2 here"),
        ({"seed": 1, "options": {"padding": [36, 61], "kind": None}}, "padding is 36,60 there and 36,61 here"),
        ({**SETTINGS, "more": "x" * 100}, f"more is None there and {'x' * 57}... here"),
        ({"options": SETTINGS["options"]}, "seed is 1 there and None here"),
    ],
    ids=["value", "nested", "new", "missing"],
)
def test_other_settings_are_refused(settings, message):
    run()
    before = contents()
    with pytest.raises(OutputError) as caught:
        run(settings=settings)
    assert str(caught.value).endswith(f"out: belongs to other settings ({message}); choose another --output")
    assert contents() == before


def test_a_folder_of_something_else_is_left_alone():
    Path("thesis").mkdir()
    Path("thesis/thesis.tex").touch()
    with pytest.raises(OutputError, match=r"thesis: holds other files \(thesis.tex\); choose another --output"):
        run(place="thesis")
    with pytest.raises(OutputError, match="expected a folder, found a file; choose another --output"):
        run(place="thesis/thesis.tex")
    with pytest.raises(OutputError, match="cannot be written: Not a directory"):
        run(place="thesis/thesis.tex/out")
    assert os.listdir("thesis") == ["thesis.tex"]


def test_a_damaged_manifest_is_named():
    run()
    Path("out/run.json").write_text('{"seed": ')
    with pytest.raises(OutputError, match=r"out/run\.json: damaged \(.*\); choose another --output"):
        run()
    Path("out/run.json").unlink()
    Path("out/run.json").mkdir()
    with pytest.raises(OutputError, match=r"out: expected a folder with a file run\.json"):
        run()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data[:-1] + b"5",
        lambda data: b"",  # noqa: ARG005
        lambda data: data[65:],
        lambda data: Path("out/units/unit-3").read_bytes(),  # noqa: ARG005
        lambda data: Path("other/units/unit-2").read_bytes(),  # noqa: ARG005
    ],
    ids=["short", "changed", "empty", "headless", "another unit", "another run"],
)
def test_a_damaged_unit_is_named_and_the_rest_kept(change):
    run()
    run(settings={"seed": 2}, place="other")
    damaged = Path("out/units/unit-2")
    damaged.write_bytes(change(damaged.read_bytes()))
    before = contents()
    with pytest.raises(OutputError, match=r"units/unit-2: damaged, .*remove it, and the same command makes it again"):
        run()
    assert contents() == before
    damaged.unlink()
    done()
    assert run() == [0, 1, 4, 9]
    assert done() == [2]


def test_a_full_disk_costs_nothing():
    write_file("file", b"old")
    with full_disk(100), pytest.raises(OSError, match="File too large"):
        write_file("file", bytes(200))
    assert contents(".") == {"file": b"old"}
    message = r"out: cannot be written: File too large; what is finished is kept"
    with full_disk(100), pytest.raises(OutputError, match=message):
        run(lambda number, report: bytes(200 * number))  # noqa: ARG005
    assert sorted(os.listdir("out/units")) == ["lock", "unit-0"]


@pytest.mark.parametrize(
    ("arguments", "manifest", "units"),
    [
        (("build", "-o", "out"), "build.json", ".build"),
        (("train", "logistic", "-o", "."), "run.json", "units"),
        (("study", "pooling", "--quick", "-o", "out"), "study.json", "units"),
    ],
    ids=["build", "train", "study"],
)
def test_a_second_process_is_refused_by_every_command(arguments, manifest, units):
    pytest.importorskip("torch")
    from tests.test_cli_studies import call

    folder = RunFolder("out" if arguments[0] != "train" else "seeds", manifest, units=units)
    with folder.locked():
        ended = call(*arguments)
    assert ended.returncode == 2
    assert f"{folder}: another process is at work in this folder; wait for its end" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not folder.store.exists(manifest)
