"""States of a stream: from one that fits it goes on exactly, and once; any other is refused."""

import collections
import itertools
import json
from importlib.util import find_spec

import datasets
import numpy as np
import pytest
from datasets.distributed import split_dataset_by_node

from mnist1d_hf import sample, stream, to_numpy

TORCH = pytest.param("torch", marks=pytest.mark.skipif(find_spec("torch") is None, reason="needs the extra torch"))


def signals(rows):
    """The signals of rows in any format."""
    found = []
    for row in rows:
        x = row["x"] if isinstance(row, dict) else row["x"][0]  # a table or a frame of one row
        found.append(np.asarray(getattr(x, "as_py", lambda x=x: x)(), dtype="f4").tobytes())
    return found


def saved(dataset, stop):
    """The rows before a state, and the state as it comes from a file."""
    before = list(itertools.islice(dataset, stop))
    return before, json.loads(json.dumps(dataset.state_dict()))


def loaded(dataset, state):
    dataset.load_state_dict(state)
    return dataset


def count(rows):
    return sum(1 for _ in rows)


# Methods that give a new dataset, and functions that make one of several.
CALLS = {
    "take": lambda rows: rows.take(590),
    "skip": lambda rows: rows.take(595).skip(5),
    "repeat": lambda rows: rows.repeat(1),
    "select_columns": lambda rows: rows.select_columns(["x"]),
    "rename_column": lambda rows: rows.rename_column("label", "labels"),
    "remove_columns": lambda rows: rows.remove_columns("label"),
    "cast_column": lambda rows: rows.cast_column("label", datasets.Value("int8")),
    "cast": lambda rows: rows.cast(rows.features),
    "add_column": lambda rows: rows.add_column("number", list(range(600))),
    "map": lambda rows: rows.map(lambda row: row),
    "filter": lambda rows: rows.filter(lambda row: row["label"] >= 0),
    "batch": lambda rows: rows.batch(1),
    "with_format": lambda rows: rows.map(lambda row: row).with_format("numpy"),
    "shuffle": lambda rows: rows.map(lambda row: row).shuffle(seed=1, buffer_size=10),
    "shard": lambda rows: rows.map(lambda row: row).shard(1, 0),
    "reshard": lambda rows: rows.reshard(),
    "decode": lambda rows: rows.decode(False),
    "split": lambda rows: split_dataset_by_node(rows.map(lambda row: row), 0, 1),
    "concatenate": lambda rows: datasets.concatenate_datasets([rows.take(300), rows.skip(300)]),
    "interleave": lambda rows: datasets.interleave_datasets([rows, rows.skip(1)]).take(600),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_epochs_after_a_resumed_one_are_whole(call):
    whole = count(call(stream(num_samples=600)))
    _, state = saved(call(stream(num_samples=600)), 550)
    resumed = loaded(call(stream(num_samples=600)), state)
    rest = count(resumed)
    assert rest <= whole - 550  # the library's buffer of a shuffle is lost
    assert [count(resumed), count(resumed)] == [whole, whole]


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")  # the library's map
@pytest.mark.parametrize("form", [None, "numpy", TORCH])
@pytest.mark.parametrize("call", [CALLS[name] for name in ("select_columns", "take", "repeat", "map")])
@pytest.mark.parametrize(("before", "after"), [(2, 4), (2, 1), (1, 2)])
def test_a_state_of_the_first_samples_knows_its_world(form, call, before, after):
    def part(world):
        rows = stream(num_samples=4096).with_format(form)
        return call(split_dataset_by_node(rows, 0, world) if world > 1 else rows)

    _, state = saved(part(before), 3)
    with pytest.raises(ValueError, match=f"saved by {before} readers .* loaded by {after}"):
        next(iter(loaded(part(after), state)))
    _, state = saved(part(before), 0)
    assert signals(itertools.islice(loaded(part(after), state), 1)) == signals([next(iter(part(after)))])


@pytest.mark.parametrize("change", [lambda rows: rows, lambda rows: rows.map(lambda row: row)], ids=["rows", "map"])
@pytest.mark.parametrize("form", [None, "numpy", TORCH])
@pytest.mark.parametrize(
    ("num_samples", "strategy", "before", "after"),
    [(1500, "auto", 4, 8), (4096, "examples", 2, 4), (4096, "examples", 4, 2), (1500, "auto", 4, 1)],
)
@pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")  # the library's map
def test_ranks_that_share_single_samples_know_their_world(change, form, num_samples, strategy, before, after):
    def part(world):
        rows = change(stream(num_samples=num_samples).with_format(form))
        return split_dataset_by_node(rows, 0, world, strategy=strategy) if world > 1 else rows

    first, state = saved(part(before), 5)
    with pytest.raises(ValueError, match=f"saved by {before} readers .* loaded by {after}"):
        next(iter(loaded(part(after), state)))
    rest = itertools.islice(loaded(part(before), state), 5)
    assert signals(first) + signals(rest) == signals(itertools.islice(part(before), 10))


def test_a_world_of_one_is_no_split():
    """The order of a shuffle depends on the number of readers, so that a state of one fits the other only like this."""

    def make(split):
        rows = split_dataset_by_node(stream(num_samples=1000), 0, 1) if split else stream(num_samples=1000)
        return rows.shuffle(seed=1, buffer_size=1000)

    first, state = saved(make(False), 100)
    assert signals(first) + signals(loaded(make(True), state)) == signals(make(False))


FORMATS = {
    "": lambda rows: rows,
    **{name: lambda rows, name=name: rows.with_format(name) for name in ("numpy", "arrow")},
}
FORMATS |= {"pandas": lambda rows: rows.with_format("pandas"), "python": lambda rows: rows.with_format(None)}
FORMATS |= {"torch": lambda rows: rows.with_format("torch")}
PAIRS = [("numpy", ""), ("arrow", ""), ("pandas", ""), ("python", ""), ("", "numpy"), ("", "python")]
PAIRS += [pytest.param(*pair, marks=TORCH.marks) for pair in (("torch", ""), ("numpy", "torch"), ("arrow", "torch"))]


@pytest.mark.parametrize(("before", "after"), PAIRS)
@pytest.mark.parametrize(
    "call",
    [
        lambda rows: rows,
        lambda rows: rows.take(380),
        lambda rows: rows.select_columns(["x"]),
        lambda rows: rows.shuffle(seed=1, buffer_size=1000),
        lambda rows: split_dataset_by_node(rows, 1, 3, strategy="examples"),
        lambda rows: datasets.interleave_datasets([rows, rows.skip(1)]),
    ],
    ids=["plain", "take", "select", "shuffle", "single samples", "interleave"],
)
def test_a_state_of_one_format_fits_another(before, after, call):
    """Sample 1700 lies within a block that has 348 more. The next row is the first of a second table."""

    def make(form):
        return FORMATS[form](call(stream(start=1700, num_samples=400)))

    whole = signals(make("python"))
    for stop in (20, 349):
        first, state = saved(make(before), stop)
        resumed = loaded(make(after), state)
        assert signals(first) + signals(resumed) == whole
        assert resumed._formatting == make(after)._formatting


def test_a_state_of_a_loaded_state_is_the_same():
    _, state = saved(stream(), 700)
    fresh = loaded(stream(), state)
    assert fresh.state_dict() == state
    assert signals(itertools.islice(loaded(stream(), fresh.state_dict()), 1)) == [sample([700])[0].tobytes()]


@pytest.mark.parametrize("form", [None, "arrow", TORCH])
def test_the_state_of_other_calls_is_refused(form):
    """Batches of another size among them: the library counts batches, and loses samples."""

    def make(size):
        rows = stream().with_format(form) if form else stream()
        return rows.batch(size) if size else rows

    for before, after in ((256, 0), (0, 256), (256, 100)):
        _, state = saved(make(before), 2)
        with pytest.raises(
            ValueError, match=r"state: expected one of .*, found one of .*; load it into a dataset that"
        ):
            next(iter(loaded(make(after), state)))


@pytest.mark.parametrize("form", ["numpy", TORCH])
def test_a_state_of_iter_is_for_iter(form):
    def make():
        return stream(num_samples=1000).with_format(form)

    batches = make()
    collections.deque(itertools.islice(batches.iter(100), 7), maxlen=0)
    state = batches.state_dict()
    for reader in (loaded(make(), state), loaded(make(), state).iter(50), loaded(stream(num_samples=1000), state)):
        with pytest.raises(ValueError, match=r"saved where 100 rows .*; go on with .iter\(100\)"):
            next(iter(reader))
    for dataset in (make(), stream(num_samples=1000)):
        assert sum(len(batch["label"]) for batch in loaded(dataset, state).iter(100)) == 300
    if form == "numpy":
        _, state = saved(make(), 7)
        with pytest.raises(ValueError, match=r"saved where 1 rows .*; go on row by row"):
            next(loaded(make(), state).iter(100))


@pytest.mark.parametrize(("num_shards", "index"), [(2, 2), (2, -1), (0, 0)])
def test_shards_that_do_not_exist_are_refused(num_shards, index):
    for dataset in (stream(), stream().take(100)):
        with pytest.raises(ValueError, match="expected an integer"):
            dataset.shard(num_shards, index)


def test_to_numpy_says_what_to_do_with_a_stream():
    with pytest.raises(TypeError, match=r'found Stream; .*with_format\("arrow"\)\.batch\(1000\)'):
        to_numpy(stream())
    assert to_numpy(next(iter(stream().with_format("arrow").batch(1000))))[0].shape == (1000, 40)
