"""The stream in other people's loops: any number of ranks, skips, shuffles, epochs, rows one by one."""

import collections
import itertools
import json

import datasets
import numpy as np
import pytest
from datasets.distributed import split_dataset_by_node

from mnist1d_hf import load_dataset, sample, stream
from mnist1d_hf.data.stream import BLOCK

torch = pytest.importorskip("torch", reason="needs the extra torch")
from torch.utils.data import DataLoader  # noqa: E402


def signals(rows):
    return [np.asarray(row["x"], dtype="f4").tobytes() for row in rows]


def expected(indices, seed=0):
    return [row.tobytes() for row in sample(indices, seed)[0]]


@pytest.mark.parametrize("world", [1, 2, 3, 7, 8, 11, 13, 31])
@pytest.mark.parametrize("form", ["arrow", "torch", None])
def test_ranks_of_any_number_make_only_their_own_blocks(world, form, made):
    for rank in range(world):
        del made[:]
        part = split_dataset_by_node(stream().with_format(form), rank, world)
        rows = part.batch(BLOCK) if form == "arrow" else part
        assert len(list(itertools.islice(rows, 2 if form == "arrow" else BLOCK + 1))) > 1
        assert made[:2] == [rank, rank + world]
        assert len(made) <= 3


@pytest.mark.parametrize("world", [2, 3, 7, 16])
@pytest.mark.parametrize("num_samples", [1, 600, 5000])
def test_each_sample_comes_exactly_once_whatever_the_world(world, num_samples):
    parts = [split_dataset_by_node(stream(num_samples=num_samples), rank, world) for rank in range(world)]
    found = collections.Counter(itertools.chain.from_iterable(signals(part) for part in parts))
    assert found == collections.Counter(expected(range(num_samples)))


@pytest.mark.parametrize("form", ["torch", None])
def test_each_sample_comes_exactly_once_over_ranks_and_workers(form):
    found = []
    for rank in range(3):
        part = split_dataset_by_node(stream(num_samples=9000).with_format(form), rank, 3)
        loader = DataLoader(part, batch_size=None, num_workers=2)
        found += signals(loader)
    assert collections.Counter(found) == collections.Counter(expected(range(9000)))


@pytest.mark.parametrize("saved", [1, 2, 3])
@pytest.mark.parametrize("loaded", [1, 2, 4])
@pytest.mark.parametrize(("form", "stop"), [(None, 0), (None, 1), ("torch", 0), ("torch", 1000), ("numpy", 1)])
def test_a_state_of_another_world_is_refused(saved, loaded, form, stop):
    """Unless nothing was read before it: then all readers begin at their first sample."""

    def part(world):
        whole = stream(num_samples=3000).with_format(form)
        return whole if world == 1 else split_dataset_by_node(whole, 0, world)

    first = part(saved)
    before = signals(itertools.islice(first, stop))
    state = json.loads(json.dumps(first.state_dict()))
    other = part(loaded)
    other.load_state_dict(state)
    if saved == loaded or not stop:
        assert before + signals(other) == signals(part(loaded))
    else:
        with pytest.raises(ValueError, match=f"saved by {saved} readers .* loaded by {loaded}"):
            next(iter(other))


@pytest.mark.parametrize("n", [0, 1, 511, 512, 1000, 10**6, 2**59])
def test_skip_and_start_cost_nothing(n, made):
    wanted = expected(range(n, n + 3), 7)
    for skipped in (
        stream(7, start=n),
        stream(7).skip(n),
        stream(7).with_format("numpy").skip(n),
        stream(7).skip(n // 2).skip(n - n // 2),
        load_dataset("stream", seed=7, split="train", streaming=True).skip(n),
    ):
        del made[:]
        assert signals(itertools.islice(skipped, 3)) == wanted
        assert len(made) <= 2


def test_start_and_num_samples():
    assert signals(stream(7, num_samples=700, start=300)) == expected(range(300, 1000), 7)
    assert signals(stream(7, num_samples=700).skip(600)) == expected(range(600, 700), 7)
    assert signals(stream(7, num_samples=700).skip(800)) == []
    parts = [split_dataset_by_node(stream(7, num_samples=3000, start=1700), rank, 3) for rank in range(3)]
    found = collections.Counter(itertools.chain.from_iterable(signals(part) for part in parts))
    assert found == collections.Counter(expected(range(1700, 4700), 7))
    # A skip after the split is each rank's own, as in the library.
    part = split_dataset_by_node(stream(7, num_samples=3000), 1, 2)
    assert signals(part.skip(100)) == signals(part)[100:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"start": -1}, "start: expected an integer"), ({"start": 2**60 - 1, "num_samples": 2}, "at most 2\\*\\*60")],
)
def test_bad_starts_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        stream(**arguments)
    with pytest.raises(ValueError, match="n: expected an integer"):
        stream().skip(-1)


@pytest.mark.parametrize("stops", [(0, 1), (3, 5), (1000, 1), (1030, 700), (2999, 1)], ids=str)
@pytest.mark.parametrize("form", [None, "torch"])
def test_a_shuffled_stream_resumes_exactly(stops, form):
    def make():
        return stream(5, num_samples=3000).with_format(form).shuffle(seed=3, buffer_size=1000)

    whole = signals(make())
    assert sorted(whole) == sorted(expected(range(3000), 5))
    assert whole != expected(range(3000), 5)
    pieces, state = [], None
    for stop in (*stops, None):
        dataset = make()
        if state is not None:
            dataset.load_state_dict(state)
        pieces += signals(itertools.islice(dataset, stop))
        state = json.loads(json.dumps(dataset.state_dict()))
    assert pieces == whole


def test_a_shuffle_is_a_function_of_seed_and_epoch():
    def order(seed, epoch=0):
        dataset = stream(5, num_samples=2000).shuffle(seed=seed, buffer_size=1000)
        dataset.set_epoch(epoch)
        return signals(dataset)

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1) != order(1, 1)
    assert sorted(order(1, 1)) == sorted(order(1))


def test_rows_change_places_within_a_whole_window():
    """Of 4,096 rows in one window, a row moves by 4096 / 3 places on average; less than 1,000 of them never happens."""
    index = {row: number for number, row in enumerate(expected(range(4096), 5))}
    shuffled = signals(stream(5, num_samples=4096).shuffle(seed=3, buffer_size=4096))
    moved = np.abs(np.array([index[row] for row in shuffled]) - np.arange(4096))
    assert 1000 < moved.mean() < 1700


@pytest.mark.parametrize("form", [None, "torch", "numpy"])
def test_the_epoch_after_a_resumed_one_has_its_full_length(form):
    dataset = stream(5, num_samples=1000).with_format(form)
    list(itertools.islice(dataset, 400))
    resumed = stream(5, num_samples=1000).with_format(form)
    resumed.load_state_dict(dataset.state_dict())
    assert [len(list(resumed)), len(list(resumed))] == [600, 1000]


def test_rows_are_what_the_library_makes_of_them():
    """The rows that are cut from blocks equal those of a plain `IterableDataset` over the same examples."""
    quick = stream(5, num_samples=600, latents=True).with_format("torch")
    slow = datasets.IterableDataset(quick._ex_iterable, info=quick.info).with_format("torch")
    for one, other in zip(quick, slow, strict=True):
        assert list(one) == list(other)
        for name, value in one.items():
            assert type(value) is type(other[name])
            assert value.dtype == other[name].dtype
            np.testing.assert_array_equal(value, other[name])


def test_states_of_rows_and_of_the_librarys_rows_fit_each_other():
    def quick():
        return stream(5, num_samples=1500).with_format("torch")

    def slow():
        return datasets.IterableDataset(quick()._ex_iterable, info=quick().info).with_format("torch")

    whole = signals(quick())
    for first, second in ((quick, slow), (slow, quick)):
        for stop in (0, 1, 511, 512, 700):
            dataset, other = first(), second()
            before = signals(itertools.islice(dataset, stop))
            other.load_state_dict(dataset.state_dict())
            assert before + signals(other) == whole
