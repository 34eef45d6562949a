"""A stream that is shared among ranks: as fast as a whole one, and as exact, whatever comes after."""

import collections
import itertools
import json

import datasets
import numpy as np
import pytest
from datasets.distributed import split_dataset_by_node

from mnist1d_hf import load_dataset, sample, stream
from mnist1d_hf.data.iterable import Stream
from mnist1d_hf.data.sharing import register
from mnist1d_hf.data.stream import BLOCK

torch = pytest.importorskip("torch", reason="needs the extra torch")
from datasets.formatting import TorchFormatter  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from torchdata.stateful_dataloader import StatefulDataLoader  # noqa: E402


@pytest.fixture(scope="module")
def index_of():
    return {row.tobytes(): index for index, row in enumerate(sample(range(20_000))[0])}


@pytest.fixture(scope="module")
def indices(index_of):
    return lambda rows: [index_of[np.asarray(row["x"], dtype="f4").tobytes()] for row in rows]


def own(rank, world, start, stop):
    """The samples of one rank, in order: every `world`-th block."""
    first = start // BLOCK
    return [index for index in range(start, stop) if (index // BLOCK - first) % world == rank]


def test_rows_are_cut_from_whole_blocks(made, monkeypatch):
    """Counted: one call of the formatter for a block. The library calls it for every row, which takes ten times as
    long (scripts/benchmark.py)."""
    part = split_dataset_by_node(stream().with_format("torch"), 3, 7)
    calls = []
    format_batch = TorchFormatter.format_batch
    monkeypatch.setattr(TorchFormatter, "format_batch", lambda *args: calls.append(1) or format_batch(*args))
    monkeypatch.setattr(TorchFormatter, "format_row", None)
    assert len(list(itertools.islice(DataLoader(part, batch_size=128), 8))) == 8
    assert made == [3, 10]
    assert len(calls) == 2


@pytest.mark.parametrize(("form", "start"), [(None, 1700), ("torch", 0), ("torch", 1700)])
def test_calls_after_the_split(form, start, indices):
    def split(rank):
        return split_dataset_by_node(stream(start=start, num_samples=5000).with_format(form), rank, 3)

    for rank in (0, 1):
        part, rows = split(rank), own(rank, 3, start, start + 5000)
        assert isinstance(part, Stream)
        assert indices(part) == rows
        for n in (0, 347, 348, 349, 1300, 9000):  # 348: what the block of sample 1700 has
            assert indices(part.skip(n)) == rows[n:]
        assert indices(part.skip(300).skip(400)) == rows[700:]
        assert indices(part.skip(300).take(400)) == rows[300:700]
        skipped = indices(part.skip(300).shuffle(seed=1, buffer_size=1000))
        assert sorted(skipped) == rows[300:] != skipped
        shuffled = part.shuffle(seed=1, buffer_size=1000)
        assert indices(shuffled.skip(300)) == indices(shuffled)[300:]
        again = [split_dataset_by_node(part, half, 2) for half in range(2)]
        assert sorted(itertools.chain.from_iterable(map(indices, again))) == rows
    later = [split(rank) for rank in range(3)]
    for part in later:
        part.set_epoch(1)
    for parts in (later, [split(rank).shuffle(seed=1, buffer_size=1000) for rank in range(3)]):
        found = list(map(indices, parts))
        assert sorted(itertools.chain.from_iterable(found)) == list(range(start, start + 5000))
        assert found[1] != rows


def test_the_split_by_single_samples_is_the_librarys(indices):
    part = split_dataset_by_node(stream(num_samples=3000), 1, 3, strategy="examples")
    assert indices(part) == list(range(1, 3000, 3))
    few_blocks = [split_dataset_by_node(stream(num_samples=600).with_format("torch"), rank, 3) for rank in range(3)]
    assert [len(list(part)) for part in few_blocks] == [200] * 3


@pytest.mark.parametrize("n", [0, 777, 2**50])
@pytest.mark.parametrize("world", [1, 2, 480])
def test_a_rank_skips_in_constant_time(n, world, made):
    """Without end: the samples behind `n` of this rank's own are computed here by hand."""
    part = split_dataset_by_node(stream(3, start=100), world - 1, world)
    lacking = 100 if world == 1 else 0  # samples before the start, in the first block of the first rank
    block, row = divmod(n + lacking, BLOCK)
    found = next(iter(part.skip(n)))
    assert len(made) == 1
    index = (block * world + world - 1) * BLOCK + row
    assert np.asarray(found["x"], dtype="f4").tobytes() == sample([index], 3)[0].tobytes()


def test_an_epoch_skips_the_same_samples_in_the_same_order(indices):
    part = split_dataset_by_node(stream(num_samples=9000), 0, 2).skip(700)
    for form in (None, "torch"):
        part = part.with_format(form)
        part.set_epoch(2)
        assert indices(part) == own(0, 2, 0, 9000)[700:]


def test_workers_share_what_a_rank_has_left(indices):
    """Two workers leave out equally many samples of their own: what they read together in so many batches."""
    part = split_dataset_by_node(stream(num_samples=5000).with_format("torch"), 1, 2)
    first = indices(itertools.islice(DataLoader(part, batch_size=None, num_workers=2), 1000))
    rest = indices(DataLoader(part.skip(1000), batch_size=None, num_workers=2))
    assert sorted(first + rest) == own(1, 2, 0, 5000)


# What others do with a part. Each holds the samples in "x", and goes on from a state exactly where it was.
CALLS = {
    "skip": lambda part: part.skip(300),
    "take": lambda part: part.take(1000),
    "shuffle": lambda part: part.shuffle(seed=3, buffer_size=1000),
    "map": lambda part: part.map(lambda row: {"double": 2 * row["label"]}),
    "batched map": lambda part: part.map(lambda rows: {"double": rows["label"]}, batched=True, batch_size=100),
    "filter": lambda part: part.filter(lambda row: row["label"] != 3),
    "select": lambda part: part.select_columns(["x"]),
    "rename": lambda part: part.rename_column("label", "labels"),
    "remove": lambda part: part.remove_columns("label"),
    "concatenate": lambda part: datasets.concatenate_datasets([part, part.skip(600)]),
    "interleave": lambda part: datasets.interleave_datasets([part, part.skip(600)]),
    "chance": lambda part: datasets.interleave_datasets([part, part.skip(600)], probabilities=[0.7, 0.3], seed=1),
}


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")  # the library's map and filter
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("form", [None, "torch"])
def test_calls_of_the_library_resume_exactly(call, form, indices):
    def make():
        return call(split_dataset_by_node(stream(num_samples=3600).with_format(form), 1, 3))

    rows = indices(make())
    for stop in (0, 515):
        first, second = make(), make()
        before = indices(itertools.islice(first, stop))
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert before + indices(second) == rows


def test_other_datasets_go_to_the_library_untouched():
    register()  # a second time
    rows = datasets.Dataset.from_dict({"a": range(10)}).to_iterable_dataset(num_shards=2)
    part = split_dataset_by_node(rows, 1, 2)
    assert type(part) is datasets.IterableDataset
    assert [row["a"] for row in part] == [5, 6, 7, 8, 9]
    exact = split_dataset_by_node(load_dataset(split="train", streaming=True), 0, 2)
    assert not isinstance(exact, Stream)


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")  # torchdata 0.11 under torch 2.13
@pytest.mark.parametrize("stop", [0, 7])
@pytest.mark.parametrize(
    ("change", "batch_size"),
    [
        (lambda rows: rows, 100),
        (lambda rows: rows.shuffle(seed=1, buffer_size=1000), 100),
        (lambda rows: rows.batch(100), None),
    ],
    ids=["rows", "shuffled", "batch"],
)
def test_a_stateful_loader_resumes_exactly_and_its_next_epochs_are_whole(change, batch_size, stop, indices):
    """Real workers that live through all epochs; the samples are compared in order."""

    def loader():
        dataset = change(stream(num_samples=2500).with_format("torch"))
        return StatefulDataLoader(dataset, batch_size, num_workers=2, persistent_workers=True)

    def read(batches):
        return indices({"x": x} for batch in batches for x in batch["x"])

    saved = loader()
    batches = iter(saved)
    first = read(itertools.islice(batches, stop))
    resumed = loader()
    resumed.load_state_dict(saved.state_dict())
    del batches, saved
    rest, following, last = (read(resumed) for _ in range(3))
    assert sorted(first + rest) == list(range(2500))
    assert first + rest == following == last


@pytest.mark.parametrize("form", [None, "arrow", "torch"])
def test_batches_after_a_resumed_epoch_have_its_full_length(form):
    dataset = stream(5, num_samples=1000).with_format(form)
    collections.deque(itertools.islice(dataset.iter(100), 4), maxlen=0)
    resumed = stream(5, num_samples=1000).with_format(form)
    resumed.load_state_dict(dataset.state_dict())
    assert [len(list(resumed.iter(100))) for _ in range(2)] == [6, 10]


@pytest.mark.parametrize("dispatch", [None, False])
@pytest.mark.parametrize(
    "split",
    [
        lambda rows, rank: split_dataset_by_node(rows, rank, 2),
        lambda rows, rank: split_dataset_by_node(rows, rank, 2).select_columns(["x"]),
        lambda rows, rank: split_dataset_by_node(rows.select_columns(["x"]), rank, 2),
    ],
    ids=["split", "then a call", "after a call"],
)
def test_accelerate_does_not_split_a_second_time(split, dispatch, indices):
    from accelerate import PartialState
    from accelerate.accelerator import prepare_data_loader

    PartialState(cpu=True)
    found = []
    for rank in range(2):
        loader = DataLoader(split(stream(num_samples=2048).with_format("torch"), rank), batch_size=64)
        loader = prepare_data_loader(loader, num_processes=2, process_index=rank, dispatch_batches=dispatch)
        found += indices({"x": x} for batch in loader for x in batch["x"])
    assert sorted(found) == list(range(2048))
