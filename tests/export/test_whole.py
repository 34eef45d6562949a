import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from mnist1d_hf import GeneratorConfig, make_dataset, to_numpy
from mnist1d_hf.data.schema import Mnist1dBuilderConfig
from mnist1d_hf.export.folder import SUMS, verify_folder
from mnist1d_hf.export.whole import export


def resolve(name="default", **arguments):
    return Mnist1dBuilderConfig.resolve(name, arguments)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("arguments", [{}, {"dtype": "float64", "latents": True}, {"final_seq_length": 60}], ids=str)
def test_the_folder_loads_and_holds_the_rows(arguments, cache):
    folder = export(resolve(seed=3, num_samples=500, **arguments), "out")
    loaded = datasets.load_dataset("out", cache_dir=cache)
    config = resolve(seed=3, num_samples=500, **arguments)
    assert loaded["train"].features == config.features
    assert loaded.num_rows == {"train": 400, "test": 100}
    shape = {"final_seq_length": arguments.get("final_seq_length", 40)}
    expected = make_dataset(GeneratorConfig(seed=3, num_samples=500, **shape))
    x, label = to_numpy(loaded["test"])
    np.testing.assert_array_equal(x, expected["x_test"].astype(config.dtype))
    np.testing.assert_array_equal(label, expected["y_test"])
    assert verify_folder(folder) == 3


def test_parquet_has_no_metadata_of_the_library_and_keeps_the_fixed_size():
    schema = pq.read_schema(export(resolve(), "out") / "data" / "train-00000-of-00001.parquet")
    assert not schema.metadata
    assert schema.field("x").type.list_size == 40


def test_same_arguments_same_bytes():
    first = contents(export(resolve("shuffled", seed=3), "a"))
    assert contents(export(resolve("custom", seed=3, shuffle_seq=True), "b")) == first
    assert contents(export(resolve("shuffled", seed=4), "c")) != first


def test_the_checksums_are_in_the_format_of_sha256sum():
    export(resolve(), "out")
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd="out", check=True, capture_output=True)
    lines = Path("out", SUMS).read_text().splitlines()
    assert [len(line.split("  ")[0]) for line in lines] == [64] * 3


def test_an_existing_target_is_refused_and_kept(tmp_path):
    export(resolve(), "out")
    before = contents(tmp_path / "out")
    with pytest.raises(OSError, match="out: exists already; choose another --output, or replace it with --overwrite"):
        export(resolve(seed=3), "out")
    assert contents(tmp_path / "out") == before
    export(resolve(seed=3), "out", overwrite=True)
    assert contents(tmp_path / "out") != before
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_overwrite_never_costs_anything_but_an_export(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(OSError, match="not a folder made by mnist1d-hf build, so it is not overwritten"):
        export(resolve(), "mine", overwrite=True)
    export(resolve(), "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(OSError, match=r"holds notes.txt, which no build made"):
        export(resolve(), "out", overwrite=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="not a folder"):
        export(resolve(), "file", overwrite=True)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years"
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "mine"


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    assert verify_folder(export(resolve(), "out")) == 3


def test_an_unwritable_place_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file/out: cannot be written: Not a directory; nothing was kept"):
        export(resolve(), "file/out")


def test_damage_is_found(tmp_path):
    folder = export(resolve(), "out")
    path = folder / "data" / "test-00000-of-00001.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    with pytest.raises(
        OSError, match=r"data/test-00000-of-00001.parquet is damaged: expected SHA-256 [0-9a-f]{64}, found"
    ):
        verify_folder(folder)
    path.unlink()
    with pytest.raises(OSError, match="is missing"):
        verify_folder(folder)
    path.write_bytes(whole)
    (folder / "extra").write_text("")
    with pytest.raises(OSError, match="extra is not part of the build"):
        verify_folder(folder)
    (folder / "extra").unlink()
    (folder / SUMS).write_text("nonsense\n")
    with pytest.raises(OSError, match="expected lines of a checksum and a file name"):
        verify_folder(folder)
    with pytest.raises(OSError, match="no SHA256SUMS there"):
        verify_folder(tmp_path)


_BUILD = [sys.executable, "-m", "mnist1d_hf.cli", "build", "--output", "out"]


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    """The limit on file sizes stops the write of the training split in its middle, as a full disk does."""
    export(resolve(seed=1), "kept")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # noqa: E731
    result = subprocess.run(_BUILD, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "out: cannot be written: " in result.stderr
    assert result.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["kept"]
    verify_folder("kept")


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_stopped_build_never_looks_whole(tmp_path, kind):
    export(resolve(seed=1), "out")
    before = contents(tmp_path / "out")
    code = """
        import sys, time
        import mnist1d_hf.export.draft
        from mnist1d_hf import cli

        def wait(path):
            print(".", flush=True)
            time.sleep(60)

        mnist1d_hf.export.draft._sync = wait
        sys.argv[1:] = ["build", "--output", "out", "--overwrite"]
        cli.main()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == ".\n"  # everything is written, and nothing has the target's name yet
    process.send_signal(kind)
    _, errors = process.communicate(timeout=30)
    assert process.returncode in (-kind, 128 + kind)
    assert "Traceback" not in errors
    assert contents(tmp_path / "out") == before
    drafts = [name for name in os.listdir(tmp_path) if "incomplete" in name]
    assert bool(drafts) == (kind == signal.SIGKILL)
    export(resolve(), "out", overwrite=True)  # the next build clears up
    assert os.listdir(tmp_path) == ["out"]


def test_a_build_killed_between_its_two_renames_loses_nothing(tmp_path):
    """The old folder was moved aside and the new one had not yet taken its name: the next build puts it back."""
    export(resolve(seed=1), "out")
    before = contents(tmp_path / "out")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    os.rename("out", f".out.replaced-{ended.pid}")
    (tmp_path / "out.txt").write_text("")
    with pytest.raises(OSError, match="out: exists already"):
        export(resolve(), "out")
    assert contents(tmp_path / "out") == before
    assert sorted(os.listdir(tmp_path)) == ["out", "out.txt"]


def test_a_signal_between_the_two_renames_puts_the_old_folder_back(tmp_path, monkeypatch):
    export(resolve(seed=1), "out")
    before = contents(tmp_path / "out")
    rename, calls = os.replace, []

    def interrupted(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise SystemExit(143)  # what the command line makes of SIGTERM
        rename(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(SystemExit):
        export(resolve(), "out", overwrite=True)
    assert contents(tmp_path / "out") == before
    assert os.listdir(tmp_path) == ["out"]
