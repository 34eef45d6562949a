"""How commands and scripts end: errors that the user can fix in one line, bugs with their traceback."""

import contextlib
import os
import runpy
import signal
import sys
import time
from pathlib import Path

import pytest

from mnist1d_hf.cli.terminal import run_main
from mnist1d_hf.errors import InvalidValueError, OutputError

INTERRUPTED = "interrupted; nothing half-written was kept, and the same command goes on from what is finished"
SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InvalidValueError("seeds: expected 3,\nfound 2"), 2, "name: seeds: expected 3, found 2"),
        (OutputError("a: damaged"), 2, "name: a: damaged"),
        (FileNotFoundError(2, "No such file", "b"), 2, "name: b: No such file; choose another place or make room"),
        (KeyboardInterrupt(), 130, f"name: {INTERRUPTED}"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_user_can_fix_is_one_line(error, code, line, capsys):
    def main():
        raise error

    with pytest.raises(SystemExit) as ended:
        run_main("name", main)
    assert ended.value.code == code
    assert capsys.readouterr() == ("", line + "\n")


def test_a_bug_is_not_hidden():
    def main():
        try:
            raise FileNotFoundError(2, "No such file", "b")
        except OSError:
            return {}["key"]

    with pytest.raises(KeyError):
        run_main("name", main)


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (3, 3)])
def test_the_result_is_the_code(result, code, capsys):
    with pytest.raises(SystemExit) as ended:
        run_main("name", lambda: result)
    assert ended.value.code == code
    assert capsys.readouterr() == ("", "")


def test_it_can_be_ended():
    with pytest.raises(SystemExit) as ended:
        run_main("name", lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert ended.value.code == 143


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_can_be_ended_where_exceptions_are_lost():
    """As in a weakref's callback: SystemExit is dropped there."""

    def main():
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            with contextlib.suppress(SystemExit):
                os.write(writer, b"!")
                time.sleep(60)
            os._exit(0)
        os.read(reader, 1)
        os.kill(child, signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    with pytest.raises(SystemExit) as ended:
        run_main("name", main)
    assert ended.value.code == -signal.SIGTERM


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("update_studies.py", "unknown study 'poling': did you mean 'pooling'?"),
        ("train_baselines.py", "unknown recipe 'poling'"),
    ],
)
def test_scripts_refuse_in_one_line(script, message, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(SCRIPTS)  # a script finds its neighbours
    monkeypatch.setattr(sys, "argv", [script, "--work-dir", str(tmp_path / "runs"), "poling"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    errors = capsys.readouterr().err
    assert ended.value.code == 2
    assert errors.startswith(f"{script}: {message}")
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())
