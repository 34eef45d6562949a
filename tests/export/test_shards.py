"""Builds of the stream: the same bytes whoever writes them, and whatever happens on the way."""

import contextlib
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import filelock
import numpy as np
import pyarrow.parquet as pq
import pytest

from mnist1d_hf import GeneratorConfig, get_templates, sample, to_numpy
from mnist1d_hf.data.schema import Mnist1dBuilderConfig
from mnist1d_hf.errors import OutputError
from mnist1d_hf.export import engines, plan, shards
from mnist1d_hf.export.folder import PLAN, SUMS, verify_folder
from mnist1d_hf.export.plan import ShardPlan
from mnist1d_hf.export.shards import build_shards, rebuild_damaged
from mnist1d_hf.export.store import Store

N = 20_000  # 40 blocks, the last not full
COMMAND = [sys.executable, "-m", "mnist1d_hf.cli", "build", "--config", "stream", "--num-samples", str(N)]
COMMAND += ["--num-shards", "40", "--output"]


def shard_plan(num_shards=40, **arguments):
    return ShardPlan.of(Mnist1dBuilderConfig.resolve("stream", {"num_samples": N, **arguments}), num_shards)


def contents(folder):
    """The SHA-256 of all that is there."""
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build") / "undisturbed"
    build_shards(shard_plan(), folder, engines.in_this_process)
    return contents(folder)


def test_the_folder_loads_and_holds_the_stream(cache):
    place = build_shards(shard_plan(8, latents=True, seed=3), "out", engines.in_this_process)
    assert [name for name in place.names() if "data/" not in name] == ["README.md", SUMS, PLAN]
    assert verify_folder("out") == 10
    x, label, latents = sample(range(N), 3, latents=True)
    for dataset in (
        datasets.load_dataset("out", split="train", cache_dir=cache),
        datasets.Dataset.from_parquet("out/data/*.parquet", cache_dir=cache),
    ):
        assert to_numpy(dataset)[0].tobytes() == x.tobytes()
        assert to_numpy(dataset)[1].tolist() == label.tolist()
        assert dataset["translation"][:] == latents["translation"].tolist()
    loaded = datasets.load_dataset("out", split="train", cache_dir=cache)
    assert loaded.features["x"] == datasets.List(datasets.Value("float32"), length=40)
    assert loaded.features["label"].names[9] == "9"
    assert datasets.load_dataset("out", split="train", streaming=True).num_shards == 8
    assert b"huggingface" not in (pq.read_schema("out/data/train-00000-of-00008.parquet").metadata or {})
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd="out", check=True, capture_output=True)


@pytest.mark.parametrize("num_proc", [2, 3])
def test_any_number_of_processes_gives_the_same_bytes(undisturbed, num_proc):
    reported = []
    build_shards(shard_plan(), "out", engines.on_this_machine(num_proc), progress=reported.append)
    assert contents("out") == undisturbed
    assert sum(reported) == N


def test_own_templates_and_arguments_survive_the_plan():
    templates = {"x": get_templates()["x"][:3] / 3, "t": np.arange(12), "y": [7, 8, 9]}
    config = Mnist1dBuilderConfig.for_stream(GeneratorConfig(padding=(3, 9), max_translation=4), 1, 1000, templates)
    first = ShardPlan.of(config, 2)
    again = ShardPlan.from_json(first.to_json())
    assert again.to_json() == first.to_json()
    assert plan.make_shard(again, 1) == plan.make_shard(first, 1)
    assert plan.make_shard(ShardPlan.of(Mnist1dBuilderConfig.resolve("stream", {"num_samples": 1000}), 2), 1) != (
        plan.make_shard(first, 1)
    )


@pytest.mark.parametrize(
    ("num_samples", "expected"),
    [(1, 1), (262_144, 1), (262_145, 2), (10**6, 4), (2 * 10**6, 8), (5 * 10**6, 20), (10**7, 40), (2 * 10**7, 80)],
)
def test_usual_number_of_files(num_samples, expected):
    made = shard_plan(None, num_samples=num_samples)
    assert made.num_shards == expected
    sizes = [stop - start for start, stop in made.ranges()]
    assert sum(sizes) == num_samples
    assert max(sizes) - min(sizes) <= 1024
    assert max(sizes) <= 262_144


# Faults


def finished(folder):
    return len(list(Path(folder, ".build").glob("*.sha256"))) if Path(folder).exists() else 0


@contextlib.contextmanager
def running(*options):
    process = subprocess.Popen([*COMMAND, "out", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def children(process):
    listing = subprocess.run(["ps", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listing.splitlines()]
    return [child for child, parent in pairs if parent == process]


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition, seconds=60):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.002)


@pytest.mark.parametrize(("options", "after"), [((), (1, 17)), (("--num-proc", "2"), (2, 25))], ids=["one", "two"])
def test_killed_and_started_again_it_goes_on(undisturbed, options, after, cache):
    """SIGKILL twice, at different points; then the bytes are those of an undisturbed run, and no work is done twice."""
    for count in after:
        with running(*options) as process:
            wait_for(lambda count=count: finished("out") >= count)
            workers = children(process.pid)
            process.send_signal(signal.SIGKILL)
            process.wait()
        wait_for(lambda workers=workers: not any(alive(worker) for worker in workers))
        assert not Path("out", SUMS).exists()
        with pytest.raises(OSError, match="not finished; give the same build command again to go on"):
            verify_folder("out")
        with pytest.raises(datasets.exceptions.DatasetsError):  # never taken for the whole
            datasets.load_dataset("out", cache_dir=f"{cache}-{count}")
    recorded = {path.stem for path in Path("out", ".build").glob("*.sha256")}
    before = {path.name: path.stat().st_mtime_ns for path in Path("out", "data").glob("train-*")}
    subprocess.run([*COMMAND, "out", *options], check=True, capture_output=True)
    assert contents("out") == undisturbed
    for number in recorded:
        name = f"train-{number}-of-00040.parquet"
        assert Path("out", "data", name).stat().st_mtime_ns == before[name]


def test_killed_before_the_plan_was_there(undisturbed):
    """The first things that a build leaves: a lock, a draft."""
    Path("out/.build").mkdir(parents=True)
    Path("out/.build/lock").touch()
    Path("out/.build.json.0123").write_text("{")
    build_shards(shard_plan(), "out", engines.in_this_process)
    assert contents("out") == undisturbed


def test_drafts_of_a_killed_run_are_removed(undisturbed):
    build_shards(shard_plan(), "out", engines.in_this_process)
    Path("out", SUMS).unlink()
    Path("out/data/.train-00001-of-00040.parquet.0123").write_text("half")
    build_shards(shard_plan(), "out", engines.in_this_process)
    assert contents("out") == undisturbed


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_soon_with_one_line(undisturbed, kind):
    with running("--num-proc", "2") as process:
        wait_for(lambda: finished("out") >= 2)
        process.send_signal(kind)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == (130 if kind == signal.SIGINT else 143)
    assert "Traceback" not in errors
    subprocess.run([*COMMAND, "out"], check=True, capture_output=True)
    assert contents("out") == undisturbed


def test_a_full_disk_costs_nothing(undisturbed):
    """The limit on file sizes stops the first write of a shard, as a full disk does; with room it goes on."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))  # noqa: E731
    for options in ((), ("--num-proc", "2")):
        done = subprocess.run(
            [*COMMAND, "out", *options], preexec_fn=limit, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "out: cannot be written: File too large; finished shards are kept" in done.stderr
        assert done.stderr.count("\n") == 1
    assert not list(Path("out/data").glob("*.parquet"))
    build_shards(shard_plan(), "out", engines.in_this_process)
    assert contents("out") == undisturbed


def test_a_worker_that_is_killed_is_an_error_and_costs_nothing(undisturbed):
    with running("--num-proc", "2") as process:
        wait_for(lambda: finished("out") >= 2)
        for child in children(process.pid):
            os.kill(child, signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    assert "a process ended suddenly" in errors
    build_shards(shard_plan(), "out", engines.in_this_process)
    assert contents("out") == undisturbed


def test_a_shard_damaged_between_two_runs_is_made_again(undisturbed):
    stopped = iter([False] * 20 + [True])

    def engine(*arguments):
        for result in engines.in_this_process(*arguments):
            if next(stopped):
                raise KeyboardInterrupt
            yield result

    with pytest.raises(KeyboardInterrupt):
        build_shards(shard_plan(), "out", engine)
    for number, data in ((3, b"short"), (5, None)):
        path = Path(f"out/data/train-{number:05d}-of-00040.parquet")
        path.unlink() if data is None else path.write_bytes(data)
    build_shards(shard_plan(), "out", engines.in_this_process)
    assert contents("out") == undisturbed


def test_a_second_build_keeps_out():
    Path("out/.build").mkdir(parents=True)
    with filelock.FileLock("out/.build/lock"):
        done = subprocess.run([*COMMAND, "out"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "out: another build is at work there" in done.stderr


def test_a_finished_build_is_not_written_again():
    for _ in range(2):
        build_shards(shard_plan(), "out", engines.in_this_process)
    stamps = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")}
    build_shards(shard_plan(), "out", engines.in_this_process)
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")} == stamps
    Path("out/data/train-00007-of-00040.parquet").unlink()
    with pytest.raises(OSError, match=r"train-00007-of-00040.parquet is missing; verify --rebuild makes it again"):
        build_shards(shard_plan(), "out", engines.in_this_process)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"seed": 4}, "seed 0, this one has 4"),
        ({"num_samples": 20_001}, "num_samples 20000, this one has 20001"),
        ({"padding": (0, 5)}, r"padding \[36, 60\], this one has \[0, 5\]"),
        ({"num_shards": 39}, "num_shards 40, this one has 39"),
        ({"latents": True}, "latents False, this one has True"),
    ],
    ids=str,
)
def test_other_arguments_are_refused(arguments, what, undisturbed):
    build_shards(shard_plan(), "out", engines.in_this_process)
    other = shard_plan(**{**arguments, "max_translation": 10} if "padding" in arguments else arguments)
    with pytest.raises(OSError, match=f"out: belongs to a build with {what}; choose another --output"):
        build_shards(other, "out", engines.in_this_process)
    assert contents("out") == undisturbed


def test_overwrite_replaces_a_build_and_nothing_else(tmp_path, undisturbed):
    build_shards(shard_plan(seed=4), "out", engines.in_this_process)
    Path("out/data/notes.txt").write_text("mine")
    with pytest.raises(OSError, match=r"out: holds data/notes.txt, which no build made, so it is not overwritten"):
        build_shards(shard_plan(), "out", engines.in_this_process, overwrite=True)
    Path("out/data/notes.txt").unlink()
    build_shards(shard_plan(), "out", engines.in_this_process, overwrite=True)
    assert contents("out") == undisturbed
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    (tmp_path / "file").write_text("")
    for name, message in (("mine", "holds thesis.tex, which no sharded build made"), ("file", "expected a folder")):
        for overwrite in (False, True):
            with pytest.raises(OSError, match=message):
                build_shards(shard_plan(), name, engines.in_this_process, overwrite=overwrite)
    exact = [*COMMAND[:4], "--output", "exact", "--num-samples", "100"]
    subprocess.run(exact, check=True, capture_output=True)
    with pytest.raises(OSError, match="which no sharded build made"):
        build_shards(shard_plan(), "exact", engines.in_this_process, overwrite=True)


def test_damaged_files_are_found_and_rebuilt_on_request(undisturbed):
    build_shards(shard_plan(), "out", engines.in_this_process)
    shard, card = Path("out/data/train-00011-of-00040.parquet"), Path("out/README.md")
    data = shard.read_bytes()
    shard.write_bytes(data[:999] + bytes([data[999] ^ 1]) + data[1000:])
    Path("out/data/train-00012-of-00040.parquet").unlink()
    card.write_text("# Mine\n")
    with pytest.raises(OSError, match=r"README.md is damaged: .*; verify --rebuild makes it again"):
        verify_folder("out")
    names = []
    assert sorted(rebuild_damaged("out", names.append)) == sorted(names)
    assert len(names) == 3
    assert contents("out") == undisturbed
    assert rebuild_damaged("out") == []
    assert verify_folder("out") == 42


def test_what_cannot_be_rebuilt_is_said_and_left():
    build_shards(shard_plan(2), "out", engines.in_this_process)
    path = Path("out", PLAN)
    text = path.read_text()
    path.write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(OSError, match=r"out: build.json is damaged: .*build the folder again with --overwrite"):
        rebuild_damaged("out")
    other = json.loads(text) | {"pyarrow": "1.0"}
    path.write_text(json.dumps(other))
    shard = Path("out/data/train-00000-of-00002.parquet")
    shard.write_bytes(b"")
    sums = Path("out", SUMS).read_text().splitlines()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    Path("out", SUMS).write_text("\n".join(line if PLAN not in line else f"{digest}  {PLAN}" for line in sums) + "\n")
    with pytest.raises(OSError, match=r"build.json: written with pyarrow 1.0, this is pyarrow"):
        rebuild_damaged("out")
    assert shard.read_bytes() == b""


def test_object_storage(undisturbed):
    """Through fsspec; the same files, and the same way on after a stop."""
    place = build_shards(shard_plan(), "memory://bucket/stream", engines.in_this_process)
    names = set(place.names())
    assert {name: place.digest(name) for name in names} == undisturbed
    place.remove(SUMS)
    place.remove("data/train-00003-of-00040.parquet")
    build_shards(shard_plan(), "memory://bucket/stream", engines.in_this_process)
    assert {name: place.digest(name) for name in place.names()} == undisturbed
    assert verify_folder("memory://bucket/stream") == 42
    place.write("data/train-00003-of-00040.parquet", b"damaged")
    assert rebuild_damaged("memory://bucket/stream") == ["data/train-00003-of-00040.parquet"]


def test_a_store_that_is_not_there():
    for place in ("nonsense://bucket", "s3://bucket/x"):
        with pytest.raises(OutputError, match=place):
            Store(place)


def run(*arguments):
    done = subprocess.run([*COMMAND[:4], *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "num_samples: the stream has no end; say how many samples you want"),
        (("--num-samples", "0"), "num_samples: expected an integer from 1 to"),
        (("--num-samples", "1000", "--num-shards", "0"), "num_shards: expected an integer of at least 1, found 0"),
        (("--num-samples", "1000", "--num-shards", "3"), "num_shards: expected at most the number of blocks"),
        (("--num-samples", "9", "--num-proc", "0"), "num_proc: expected an integer of at least 1, found 0"),
        (("--num-samples", "9", "--engine", "spark"), "engine: expected local or ray, found 'spark'"),
        (("--num-samples", "9", "--address", "auto"), "--address goes with --engine ray"),
        (("--num-samples", "9", "--engine", "ray", "--num-proc", "2"), "--num-proc goes with --engine local"),
        (("--num-samples", "9", "--train-split", "0.5"), "train_split: the stream has one split"),
        (("--config", "default", "--num-proc", "2"), "--num-proc goes with --config stream, not with default"),
    ],
    ids=str,
)
def test_bad_options_end_in_one_line(arguments, message):
    options = arguments if "--config" in arguments else ("--config", "stream", *arguments)
    code, errors = run("--output", "out", *options)
    assert code == 2
    assert message in errors
    assert errors.count("\n") == 1
    assert not Path("out").exists()


def test_verify_from_the_command_line():
    subprocess.run([*COMMAND, "out"], check=True, capture_output=True)
    Path("out/data/train-00011-of-00040.parquet").write_bytes(b"")
    verify = [*COMMAND[:3], "verify"]
    for options, code, text in (
        (["out"], 2, "train-00011-of-00040.parquet is damaged"),
        (["--rebuild", "out"], 0, "train-00011-of-00040.parquet made again\nout: 42 files as they were built"),
        (["out"], 0, "42 files"),
        (["--rebuild"], 2, "--rebuild goes with the folder of a build"),
        (["--rebuild", "default"], 2, "expected the folder of a build"),
    ):
        done = subprocess.run([*verify, *options], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert text in done.stdout + done.stderr
    assert shards.rebuild_damaged("out") == []
