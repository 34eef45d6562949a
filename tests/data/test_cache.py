"""Where the cache of `datasets` cannot be used. The tests may run as root, so permissions are not what stops them."""

import errno
import fcntl
import os
import warnings

import datasets
import pytest

import mnist1d_hf
from mnist1d_hf import load_dataset
from mnist1d_hf.data.builder import Mnist1d
from mnist1d_hf.errors import InvalidValueError, OutputError
from tests.faults import full_disk

SPLITS = [None, "test", "train[:10%]+test", ["train", "test[-5:]"], "all", {"a": "train[:1]"}, datasets.Split.TEST]
SPLITS += [datasets.ReadInstruction("train", from_=90, unit="%")]


def load_by_name(**arguments):
    return datasets.load_dataset("mnist1d", **arguments)


def contents(loaded):
    if isinstance(loaded, list):
        return [contents(rows) for rows in loaded]
    if isinstance(loaded, dict):
        return {split: contents(rows) for split, rows in loaded.items()}
    assert loaded.cache_files == []
    return loaded.features, str(loaded.split), loaded.data.num_columns, loaded[:], loaded._fingerprint


@pytest.fixture(params=["file", "below a file", "no file system", "file inside"])
def unusable(request, tmp_path):
    """A cache folder that nobody can use, and what the system says about it."""
    file = tmp_path / "file"
    file.write_text("something else")
    if request.param == "file inside":  # the folder can be written, its part for this dataset cannot
        (tmp_path / "shared").mkdir()
        file.rename(tmp_path / "shared" / "mnist1d")
        return str(tmp_path / "shared"), "Not a directory|File exists"
    places = {"file": file, "below a file": file / "cache", "no file system": "/proc/mnist1d-cache"}
    return str(places[request.param]), "Not a directory|File exists|No such file|Permission denied"


@pytest.mark.parametrize("load", [load_dataset, load_by_name], ids=["own", "hf"])
def test_the_data_are_made_in_memory_with_one_warning(unusable, load, cache):
    folder, reason = unusable
    with pytest.warns(UserWarning, match=f"cannot be used .*({reason})") as caught:
        loaded = load(cache_dir=folder, num_samples=1000)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith(f"the cache folder {folder} cannot be used (")
    assert message.endswith("choose another folder with cache_dir=... or the environment variable HF_HOME")
    assert "\n" not in message
    assert isinstance(loaded, datasets.DatasetDict)
    assert contents(loaded) == contents(load(cache_dir=cache, num_samples=1000, keep_in_memory=True))
    assert loaded["train"].map(lambda row: {"first": row["x"][0]}).filter(lambda row: row["first"] > 0).num_rows


def test_it_is_said_once_in_a_process(tmp_path):
    (tmp_path / "file").touch()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for load in (load_dataset, load_by_name, load_by_name):
            load(cache_dir="file", num_samples=100)
    assert len(caught) == 1


@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_every_kind_of_split_is_the_same_in_memory(split, tmp_path, cache):
    (tmp_path / "file").touch()
    arguments = {"split": split, "num_samples": 1000, "latents": True, "keep_in_memory": True}
    with pytest.warns(UserWarning, match="in memory"):
        loaded = load_dataset(cache_dir="file", **arguments)
    assert contents(loaded) == contents(load_dataset(cache_dir=cache, **arguments))


def test_an_unknown_split_is_the_same_error_in_memory(tmp_path, cache):
    (tmp_path / "file").touch()
    for folder in (cache, "file"):
        with warnings.catch_warnings(), pytest.raises(ValueError, match='Unknown split "val"'):
            warnings.simplefilter("ignore")
            load_dataset(cache_dir=folder, num_samples=100, split="val")


@pytest.mark.parametrize("num_proc", [None, 2])
def test_a_full_disk(num_proc, cache):
    """The write of the Arrow file stops in its middle."""
    message = r"cannot be used \(.*File too large.*\): mnist1d was made in memory"
    with pytest.warns(UserWarning, match=message) as caught, full_disk(50_000):
        loaded = load_by_name(cache_dir=cache, num_proc=num_proc, num_samples=1000)
    assert len(caught) == 1
    assert not [name for _, _, names in os.walk(cache) for name in names if name.endswith((".arrow", ".json"))]
    again = load_by_name(cache_dir=cache, num_samples=1000)
    assert again["test"].cache_files
    assert again["test"][:] == loaded["test"][:]


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def no_locks(request, monkeypatch):
    """The system call behind every file lock fails, as on some network file systems."""

    def flock(_file, _operation):
        raise OSError(request.param, os.strerror(request.param))

    return lambda: monkeypatch.setattr(fcntl, "flock", flock)


def test_a_file_system_without_locks(no_locks, cache):
    no_locks()
    with pytest.warns(UserWarning, match="no file locks: .* in memory") as caught:
        loaded = load_by_name(cache_dir=cache, num_samples=100)
    assert len(caught) == 1
    assert loaded.num_rows == {"train": 80, "test": 20}


def test_data_that_are_in_the_cache_are_read_without_a_lock(no_locks, cache):
    """A cache that was filled by somebody else, and can be read only."""
    first = load_by_name(cache_dir=cache, num_proc=2, num_samples=1000)
    no_locks()
    again = load_by_name(cache_dir=cache, num_samples=1000)
    assert again.cache_files == first.cache_files
    assert again["train"][:] == first["train"][:]
    with pytest.warns(UserWarning, match="in memory"):
        forced = load_by_name(cache_dir=cache, num_samples=1000, download_mode="force_redownload")
    assert forced["train"].cache_files == []


@pytest.mark.parametrize("load", [load_dataset, load_by_name], ids=["own", "hf"])
def test_streams_and_descriptions_write_nothing(load, tmp_path):
    (tmp_path / "file").touch()
    for folder in ("cache", "file", "file/cache"):
        assert len(list(load(split="test", streaming=True, cache_dir=folder, num_samples=100))) == 20
        assert next(iter(load(name="stream", split="train", streaming=True, cache_dir=folder)))["x"]
        assert datasets.load_dataset_builder("mnist1d", cache_dir=folder).info.splits["train"].num_examples == 4000
    assert next(iter(mnist1d_hf.stream()))["x"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_builder_made_by_hand(tmp_path):
    (tmp_path / "file").touch()
    builder = datasets.load_dataset_builder("mnist1d", cache_dir="file", num_samples=100)
    with pytest.warns(UserWarning, match="in memory"):
        builder.download_and_prepare()
    assert builder.as_dataset(split="test").num_rows == 20
    with pytest.raises(OSError, match="file"):  # files were asked for: memory is no replacement
        builder.download_and_prepare("file/output", file_format="parquet")
    builder.download_and_prepare("output", file_format="parquet")
    assert len(list((tmp_path / "output").glob("*.parquet"))) == 2


def test_what_is_too_large_for_the_memory_is_refused(tmp_path):
    (tmp_path / "file").touch()
    expected = r"^the cache folder file cannot be used \(.*\), and 1.6 GiB are too much .*cache_dir=.*streaming=True$"
    with pytest.raises(OutputError, match=expected):
        load_by_name(name="stream", num_samples=10_000_000, cache_dir="file")
    with pytest.raises(InvalidValueError, match="the stream has no end"):
        load_by_name(name="stream", cache_dir="file")


def test_an_error_of_the_generator_is_no_fault_of_the_cache(monkeypatch, cache):
    def fails(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Mnist1d, "_table", fails)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        load_dataset(cache_dir=cache, num_samples=100)
