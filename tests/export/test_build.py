"""Builds: the same bytes whoever writes them, and whatever happens on the way."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from mnist1d_hf import GeneratorConfig, cli, get_templates, make_dataset, sample, to_numpy
from mnist1d_hf.data.schema import Mnist1dBuilderConfig
from mnist1d_hf.errors import OutputError
from mnist1d_hf.export.build import build, rebuild_damaged
from mnist1d_hf.export.folder import PLAN, SUMS, verify_folder
from mnist1d_hf.export.plan import ShardPlan, make_shard
from mnist1d_hf.export.whole import SplitPlan
from mnist1d_hf.files import Store
from mnist1d_hf.runs import in_processes
from tests.faults import full_disk

N, SHARDS = 2000, 4  # 4 blocks, the last not full


def shard_plan(num_shards=SHARDS, **arguments):
    return ShardPlan.of(Mnist1dBuilderConfig.resolve("stream", {"num_samples": N, **arguments}), num_shards)


def split_plan(name="default", **arguments):
    return SplitPlan(Mnist1dBuilderConfig.resolve(name, {"num_samples": 100, **arguments}))


PLANS = {"stream": shard_plan, "exact": split_plan}
both = pytest.mark.parametrize("kind", PLANS)


def contents(folder="out"):
    """The SHA-256 of all that is there."""
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The contents of both kinds of build."""
    place = tmp_path_factory.mktemp("builds")
    for kind, plan in PLANS.items():
        build(plan(), place / kind)
    return {kind: contents(place / kind) for kind in PLANS}


@pytest.fixture
def call(monkeypatch, capfd):
    """The command line in this process: exit code, output and errors together."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mnist1d-hf", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, "".join(capfd.readouterr())

    return run


# What is built


@pytest.mark.parametrize("arguments", [{}, {"dtype": "float64", "latents": True}, {"final_seq_length": 60}], ids=str)
def test_an_exact_folder_loads_and_holds_the_rows(arguments, cache):
    plan = split_plan(seed=3, num_samples=500, **arguments)
    reported = []
    build(plan, "out", progress=reported.append)
    assert sum(reported) == 500
    loaded = datasets.load_dataset("out", cache_dir=cache)
    assert loaded["train"].features == plan.config.features
    assert loaded.num_rows == {"train": 400, "test": 100}
    shape = {"final_seq_length": arguments.get("final_seq_length", 40)}
    expected = make_dataset(GeneratorConfig(seed=3, num_samples=500, **shape))
    x, label = to_numpy(loaded["test"])
    np.testing.assert_array_equal(x, expected["x_test"].astype(plan.config.dtype))
    np.testing.assert_array_equal(label, expected["y_test"])
    schema = pq.read_schema("out/data/train-00000-of-00001.parquet")
    assert not schema.metadata
    assert schema.field("x").type.list_size == shape["final_seq_length"]
    assert verify_folder("out") == 4


def test_a_folder_of_the_stream_loads_and_holds_the_rows(cache):
    place = build(shard_plan(latents=True, seed=3), "out")
    assert [name for name in place.names() if "data/" not in name] == ["README.md", SUMS, PLAN]
    assert verify_folder("out") == SHARDS + 2
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
    assert datasets.load_dataset("out", split="train", streaming=True).num_shards == SHARDS
    assert b"huggingface" not in (pq.read_schema("out/data/train-00000-of-00004.parquet").metadata or {})
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd="out", check=True, capture_output=True)


def test_any_number_of_processes_gives_the_same_bytes(undisturbed):
    reported = []
    build(shard_plan(), "out", in_processes(3), progress=reported.append)
    assert contents() == undisturbed["stream"]
    assert sum(reported) == N


def test_the_same_arguments_give_the_same_bytes(undisturbed):
    build(split_plan("shuffled", seed=3), "a")
    build(split_plan("custom", seed=3, shuffle_seq=True), "b")
    build(split_plan("shuffled", seed=4), "c")
    assert contents("a") == contents("b") != contents("c")
    assert contents("a") != undisturbed["exact"]


def test_own_templates_and_arguments_survive_the_plan():
    templates = {"x": get_templates()["x"][:3] / 3, "t": np.arange(12), "y": [7, 8, 9]}
    config = Mnist1dBuilderConfig.for_stream(GeneratorConfig(padding=(3, 9), max_translation=4), 1, 1000, templates)
    first = ShardPlan.of(config, 2)
    again = ShardPlan.from_settings(json.loads(json.dumps(first.settings())))
    assert again.settings() == first.settings()
    assert make_shard(again, 1) == make_shard(first, 1) != make_shard(shard_plan(2, num_samples=1000), 1)
    exact = split_plan(templates=templates, dtype="float64", latents=True, train_split=0.5)
    again = SplitPlan.from_settings(json.loads(json.dumps(exact.settings())))
    assert again.make(1, print) == exact.make(1, print) != split_plan().make(1, print)


@pytest.mark.parametrize(
    ("num_samples", "expected"),
    [(1, 1), (262_144, 1), (262_145, 2), (10**6, 4), (2 * 10**6, 8), (5 * 10**6, 20), (10**7, 40), (2 * 10**7, 80)],
)
def test_usual_number_of_files(num_samples, expected):
    sizes = shard_plan(None, num_samples=num_samples).rows()
    assert len(sizes) == expected
    assert sum(sizes) == num_samples
    assert max(sizes) - min(sizes) <= 1024
    assert max(sizes) <= 262_144


# Stops


def killed_at(count, function):
    """Call a function in a process that is killed (SIGKILL) before the renaming or removal number `count`.

    Returns:
        Whether the function went on to such a number.
    """
    child = os.fork()
    if not child:
        signal.alarm(60)
        calls = iter(range(count))

        def mortal(original):
            def change(*arguments):
                if next(calls, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*arguments)

            return change

        os.replace, Store.remove = mortal(os.replace), mortal(Store.remove)
        function()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


def without_records():
    return {name: digest for name, digest in contents().items() if not name.startswith(".build/")}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@both
@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
def test_killed_anywhere_and_started_again_it_goes_on(undisturbed, kind, overwrite):
    """At every change of a file's name: nothing looks whole that is not, nothing is done twice, the end is the same."""
    old, count, going = {}, 0, True
    while going:
        Store("out").remove("")
        if overwrite:
            build(PLANS[kind](seed=8), "out")
            old = contents()
        going = killed_at(count, lambda: build(PLANS[kind](), "out", overwrite=overwrite))
        try:
            verify_folder("out")
            assert without_records() in (old, undisturbed[kind])
        except OutputError as error:
            assert re.search("not finished; give the same build command again|no SHA256SUMS there", str(error))  # noqa: PT017
        records = [int(path.name) for path in Path("out").glob(".build/0*")]
        files = [Path("out", PLANS[kind]().names()[number]) for number in records]
        stamps = [path.stat().st_mtime_ns for path in files]
        build(PLANS[kind](), "out", overwrite=overwrite)
        assert contents() == undisturbed[kind]
        assert overwrite or [path.stat().st_mtime_ns for path in files] == stamps
        count += 1
    assert count > 8


@both
def test_an_unfinished_folder_does_not_load(kind, cache):
    def engine(function, tasks, report):
        function(*tasks[0], report)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(PLANS[kind](), "out", engine)
    with pytest.raises(OutputError, match="not finished; give the same build command again to go on"):
        verify_folder("out")
    with pytest.raises((datasets.exceptions.DatasetsError, ValueError)):
        datasets.load_dataset("out", cache_dir=cache)


def processes_of(parent):
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listing.splitlines()]
    return [int(pid) for pid, ppid, state in rows if int(ppid) == parent and state[0] != "Z"]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition, seconds=120):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("kind", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGKILL", -9)])
def test_a_signal_ends_the_command_and_its_processes(kind, code):
    """When the first of 1,000 shards, two minutes of work, is finished."""
    command = [sys.executable, "-m", "mnist1d_hf.cli", "build", "--config", "stream", "--num-samples", "10000000"]
    command += ["--num-shards", "1000", "--num-proc", "2", "--output", "out"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: list(Path("out").glob(".build/0*")) or process.poll() is not None)
        workers = processes_of(process.pid)
        assert len(workers) >= 2
        process.send_signal(getattr(signal, kind))
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.startswith("mnist1d-hf: interrupted; nothing half-written was kept" if kind == "SIGINT" else "")
    assert errors.count("\n") == (kind == "SIGINT")
    wait_for(lambda: not any(map(alive, workers)))
    assert not Path("out", SUMS).exists()


# Other faults


@both
def test_a_file_damaged_between_two_runs_is_made_again(undisturbed, kind):
    plan = PLANS[kind]()
    build(plan, "out")
    for change in (lambda path: path.unlink(), lambda path: path.write_bytes(b"short")):

        def engine(function, tasks, report, change=change):
            for task in tasks:
                function(*task, report)
            change(Path("out", plan.names()[0]))
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build(PLANS[kind](), "out", engine, overwrite=True)
        build(PLANS[kind](), "out")
        assert contents() == undisturbed[kind]


def test_a_full_disk_costs_nothing(undisturbed, call):
    """The write of a shard stops in its middle; with room it goes on."""
    with full_disk(50_000):
        code, errors = call("build", "--config", "stream", "--num-samples", str(N), "--num-shards", "4", "-o", "out")
    assert code == 2
    assert "out: cannot be written: File too large; what is finished is kept" in errors
    assert errors.count("\n") == 1
    assert not list(Path("out/data").iterdir())
    build(shard_plan(), "out")
    assert contents() == undisturbed["stream"]


@both
def test_a_finished_build_is_not_written_again(kind):
    build(PLANS[kind](), "out")
    stamps = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")}
    reported = []
    build(PLANS[kind](), "out", progress=reported.append)
    assert sum(reported) == sum(PLANS[kind]().rows())
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")} == stamps
    next(Path("out/data").glob("train-00000*")).unlink()
    with pytest.raises(OutputError, match=r"train-00000-of-0000..parquet is missing; verify --rebuild makes it again"):
        build(PLANS[kind](), "out")


@pytest.mark.parametrize(
    ("kind", "arguments", "what"),
    [
        ("stream", {"seed": 4}, "seed is 0 there and 4 here"),
        ("stream", {"num_samples": 2001}, "num_samples is 2000 there and 2001 here"),
        ("stream", {"padding": (0, 5), "max_translation": 10}, "padding is 36,60 there and 0,5 here"),
        ("stream", {"num_shards": 3}, "num_shards is 4 there and 3 here"),
        ("exact", {"dtype": "float64"}, "dtype is float32 there and float64 here"),
        ("exact", {"latents": True}, "latents is False there and True here"),
    ],
    ids=str,
)
def test_other_arguments_are_refused(kind, arguments, what, undisturbed):
    build(PLANS[kind](), "out")
    message = rf"out: belongs to other settings \({what}\); choose another --output, or replace it with --overwrite"
    with pytest.raises(OutputError, match=message):
        build(PLANS[kind](**arguments), "out")
    assert contents() == undisturbed[kind]


def test_overwrite_replaces_a_build_and_nothing_else(undisturbed):
    build(shard_plan(5, num_samples=5000, seed=4), "out")
    Path("out/data/notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"out: holds data/notes.txt, which no build made, so it is not overwritten"):
        build(split_plan(), "out", overwrite=True)
    Path("out/data/notes.txt").unlink()
    for kind in ("exact", "stream"):
        build(PLANS[kind](), "out", overwrite=True)
        assert contents() == undisturbed[kind]
    Path("out", PLAN).unlink()  # builds of exact configurations by earlier versions had none
    build(split_plan(), "out", overwrite=True)
    assert contents() == undisturbed["exact"]


@pytest.mark.parametrize("name", ["thesis.tex", "README.md", "data/train-00000-of-00001.parquet"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_no_build_made_is_left_alone(name, overwrite):
    path = Path("mine", name)
    path.parent.mkdir(parents=True)
    path.write_text("years")
    with pytest.raises(OutputError, match=rf"mine: holds (other files \()?{name}"):
        build(split_plan(), "mine", overwrite=overwrite)
    with pytest.raises(OutputError, match="expected a folder, found a file"):
        build(split_plan(), path, overwrite=overwrite)
    with pytest.raises(OutputError, match="cannot be written: Not a directory"):
        build(split_plan(), path / "out", overwrite=overwrite)
    assert contents(".").keys() == {f"mine/{name}"}


# Checks and repairs


@both
def test_damaged_files_are_found_and_rebuilt_on_request(undisturbed, kind):
    build(PLANS[kind](), "out")
    first, second = (Path("out", name) for name in PLANS[kind]().names()[:2])
    data = first.read_bytes()
    first.write_bytes(data[:999] + bytes([data[999] ^ 1]) + data[1000:])
    second.unlink()
    Path("out/README.md").write_text("# Mine\n")
    with pytest.raises(OutputError, match=r"README.md is damaged: .*; verify --rebuild makes it again"):
        verify_folder("out")
    names = []
    assert sorted(rebuild_damaged("out", names.append)) == sorted(names)
    assert len(names) == 3
    assert contents() == undisturbed[kind]
    assert rebuild_damaged("out") == []


def test_what_a_build_did_not_make_is_named(tmp_path):
    build(split_plan(), "out")
    Path("out/extra").touch()
    with pytest.raises(OutputError, match="extra is not part of the build"):
        verify_folder("out")
    Path("out", SUMS).write_text("nonsense\n")
    with pytest.raises(OutputError, match="expected lines of a checksum and a file name"):
        verify_folder("out")
    with pytest.raises(OutputError, match="no SHA256SUMS there"):
        verify_folder(tmp_path)


def test_what_cannot_be_rebuilt_is_said_and_left():
    build(shard_plan(2), "out")
    path, sums = Path("out", PLAN), Path("out", SUMS)
    text, before = path.read_text(), hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(OutputError, match=r"out: build.json is damaged: .*build the folder again with --overwrite"):
        rebuild_damaged("out")
    path.write_text(json.dumps(json.loads(text) | {"pyarrow": "1.0"}))
    shard = Path("out/data/train-00000-of-00002.parquet")
    shard.write_bytes(b"")
    sums.write_text(sums.read_text().replace(before, hashlib.sha256(path.read_bytes()).hexdigest()))
    with pytest.raises(OutputError, match=r"build.json: written with pyarrow 1.0, this is pyarrow"):
        rebuild_damaged("out")
    assert shard.read_bytes() == b""


def test_verify_from_the_command_line(call):
    build(shard_plan(), "out")
    Path("out/data/train-00001-of-00004.parquet").write_bytes(b"")
    for options, expected, text in (
        (["out"], 2, "train-00001-of-00004.parquet is damaged"),
        (["--rebuild", "out"], 0, "train-00001-of-00004.parquet made again\nout: 6 files as they were built"),
        (["out"], 0, "6 files"),
        (["--rebuild"], 2, "--rebuild goes with the folder of a build"),
        (["--rebuild", "default"], 2, "expected the folder of a build"),
    ):
        code, said = call("verify", *options)
        assert code == expected
        assert text in said


def test_object_storage(undisturbed):
    """Through fsspec; the same files, and the same way on after a stop."""
    place = build(shard_plan(), "memory://bucket/stream")
    assert {name: place.digest(name) for name in place.names()} == undisturbed["stream"]
    place.remove(SUMS)
    place.remove("data/train-00003-of-00004.parquet")
    build(shard_plan(), "memory://bucket/stream")
    assert {name: place.digest(name) for name in place.names()} == undisturbed["stream"]
    place.write("data/train-00003-of-00004.parquet", b"damaged")
    assert rebuild_damaged("memory://bucket/stream") == ["data/train-00003-of-00004.parquet"]
    assert verify_folder("memory://bucket/stream") == 6


def test_a_store_that_is_not_there():
    for place in ("nonsense://bucket", "s3://bucket/x"):
        with pytest.raises(OutputError, match=place):
            Store(place)


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
def test_bad_options_end_in_one_line(arguments, message, call):
    options = arguments if "--config" in arguments else ("--config", "stream", *arguments)
    code, errors = call("build", "--output", "out", *options)
    assert code == 2
    assert message in errors
    assert errors.count("\n") == 1
    assert not Path("out").exists()
