"""`mnist1d-hf study` in this process: what it prints, what it leaves, and how it refuses."""

import contextlib
import io
import shutil
import sys

import pytest

from mnist1d_hf import cli
from tests.test_cli_training import Done, refused

SMALL = ("--quick", "--set", "samples=200", "--set", "poolings=stride", "--num-proc", "1")


def call(*arguments):
    """The command line in this process; a function, for fixtures of the module to use."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        pytest.raises(SystemExit) as ended,
    ):
        patch.setattr(sys, "argv", ["mnist1d-hf", *map(str, arguments)])
        cli.main()
    return Done(ended.value.code, output.getvalue(), errors.getvalue())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "out"
    done = call("study", "pooling", *SMALL, "-o", folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_a_run_says_what_it_costs_and_what_it_found(finished):
    folder, text = finished
    assert "1 units; cost: not known for these settings" in text
    assert "Not the settings of the full run" in text
    assert f"{folder}: 2 rows" in text
    assert {path.name for path in folder.iterdir()} >= {"table.parquet", "figure.png", "verdict.json", "study.json"}


def test_the_verdict_is_recomputed(finished):
    folder, _ = finished
    done = call("study", "pooling", "--verdict", "-o", folder)
    assert done.returncode == 0, done.stderr
    assert "recomputed from 2 rows, equal to the verdict that is kept there" in done.stdout
    assert "Not the settings of the full run" in done.stdout


def test_another_verdict_is_told(finished, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "out")
    path = folder / "verdict.json"
    path.write_text(path.read_text().replace('"headline": "', '"headline": "Surely: '))
    refused(call("study", "pooling", "--verdict", "-o", folder), "the verdict that is kept there is another")


def test_the_list_names_all_studies():
    from mnist1d_hf.studies.study import all_studies

    for arguments in (("study",), ("study", "--list")):
        done = call(*arguments)
        assert done.returncode == 0, done.stderr
        assert all(name in done.stdout for name in all_studies())
    done = call("study", "pooling", "--list")
    assert "6000" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("poling",), "unknown study 'poling': did you mean 'pooling'?"),
        (("pooling", "--set", "sede=3"), "unknown setting 'sede': did you mean 'seeds'?"),
        (("pooling", "--set", "seeds"), "--set: expected SETTING=VALUE, found 'seeds'"),
        (("pooling", "--set", "seeds=3", "--set", "seeds=4"), "--set: expected each setting once, found seeds twice"),
        (("pooling", "--set", "poolings=maximum"), "poolings: unknown value 'maximum'"),
        (("pooling", "--quick", "--device", "quantum"), "device: torch cannot compute on 'quantum' here; use cpu"),
        (("pooling", "--quick", "--num-proc", "0"), "num_proc: expected an integer of at least 1, found 0"),
        (("pooling", "--verdict", "-o", "nowhere"), "nowhere: no study.json; expected the output of a finished run"),
        (("pooling", "--quick", "--device", "meta"), "device: torch cannot compute on 'meta' here; use cpu"),
        (("pooling", "--verdict", "--quick"), "--verdict: goes with --output alone"),
        (("pooling", "--verdict", "--num-proc", "2"), "--verdict: goes with --output alone"),
        (("pooling", "--list", "--quick"), "--list: goes with the name of a study alone"),
        (("pooling", "--list", "--device", "cuda"), "--list: goes with the name of a study alone"),
        (("--quick",), "study: give the name of one"),
        (("--num-proc", "3"), "study: give the name of one"),
        (("--device", "cuda"), "study: give the name of one"),
        (("pooling", "--set", "learning=3"), "unknown setting 'learning': use one of: seeds, "),
        (("",), "unknown study '': use one of: "),
        (("pooling", "--quick", "-o", "s3://bucket/x"), "s3://bucket/x: expected a folder of this machine"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_arguments_end_in_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(call("study", *arguments), message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [SMALL, ("--verdict",)], ids=["run", "verdict"])
def test_a_file_in_place_of_a_folder_is_named(arguments, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.json").mkdir()
    (tmp_path / "thesis.tex").touch()
    refused(call("study", "pooling", *arguments, "-o", tmp_path / "out"), "expected a folder with a file study.json")
    refused(call("study", "pooling", *arguments, "-o", tmp_path / "thesis.tex"), "thesis.tex: expected a folder")


def test_a_damaged_unit_is_named(finished, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "out")
    (folder / "units" / "stride-200.json").write_bytes(b"nothing")
    refused(call("study", "pooling", *SMALL, "-o", folder), "units/stride-200.json: damaged")
