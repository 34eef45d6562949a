"""The stream as a `datasets.IterableDataset`: whoever reads it, in whatever way, gets each index exactly once."""

import itertools
import json
from importlib.util import find_spec

import datasets
import numpy as np
import pytest
from datasets.distributed import split_dataset_by_node

from mnist1d_hf import GeneratorConfig, get_templates, load_dataset, sample, stream, to_numpy
from mnist1d_hf.data.examples import StreamExamples
from mnist1d_hf.data.schema import stream_table
from mnist1d_hf.data.stream import BLOCK

N = 21_000  # 42 blocks, the last of them not full: 40 shards, two of them with two blocks


@pytest.fixture(scope="module")
def index_of():
    """Which index a signal has, for the first samples of seed 5."""
    x, _ = sample(range(100_000), 5)
    return {row.tobytes(): index for index, row in enumerate(x)}


def indices(tables, index_of):
    return [index_of[row.tobytes()] for table in tables for row in to_numpy(table)[0]]


def arrow(dataset, batch_size=500):
    return dataset.with_format("arrow").iter(batch_size)


def test_rows_are_those_of_sample():
    x, label = sample(range(1200), seed=3)
    rows = list(stream(seed=3, num_samples=1200))
    assert np.asarray([row["x"] for row in rows], dtype=np.float32).tobytes() == x.tobytes()
    assert [row["label"] for row in rows] == label.tolist()
    batch = next(stream(seed=3).with_format("numpy").iter(1200))
    assert batch["x"].tobytes() == x.tobytes()
    assert batch["label"].tolist() == label.tolist()


def test_tables_carry_their_features_and_latents():
    dataset = stream(latents=True, config=GeneratorConfig(final_seq_length=20))
    table = next(arrow(dataset, 512))
    assert dataset.features["x"] == datasets.List(datasets.Value("float32"), length=20)
    assert dataset.features["label"].names == [str(digit) for digit in range(10)]
    assert table.schema == dataset.features.arrow_schema
    _, _, latents = sample(range(512), 0, GeneratorConfig(final_seq_length=20), latents=True)
    for name, values in latents.items():
        assert table[name].to_numpy().tolist() == values.astype(table[name].to_numpy().dtype).tolist()


def test_own_templates_and_arguments():
    templates = {"x": get_templates()["x"][:3], "t": np.arange(12), "y": [7, 8, 9]}
    dataset = stream(seed=1, config=GeneratorConfig(shuffle_seq=True, num_samples=1), templates=templates)
    assert dataset.features["label"].names == ["7", "8", "9"]
    expected = sample(range(100), 1, GeneratorConfig(shuffle_seq=True), templates=templates)
    assert to_numpy(next(arrow(dataset, 100)))[0].tobytes() == expected[0].tobytes()


def test_it_has_no_end_and_shards_are_equal():
    dataset = stream()
    assert dataset.num_shards == 480
    for world in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16):
        assert dataset.num_shards % world == 0
    assert sum(len(table) for table in itertools.islice(arrow(dataset, 512), 1000)) == 512_000
    finite = stream(num_samples=480 * BLOCK * 2)
    for shard in (0, 13, 479):
        assert [len(table) for table in arrow(finite.shard(480, shard), 10**6)] == [2 * BLOCK]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"num_samples": 1}, 1),
        ({"num_samples": 5000}, 8),
        ({"num_samples": N}, 40),
        ({"num_samples": N, "num_shards": 42}, 42),
        ({"num_samples": 2**60}, 480),
        ({"num_shards": 7}, 7),
    ],
    ids=str,
)
def test_number_of_shards(arguments, expected):
    assert stream(**arguments).num_shards == expected


@pytest.mark.parametrize("num_samples", [1, 511, 512, 513, 5000, N])
def test_one_reader_sees_the_indices_in_order(num_samples, index_of):
    assert indices(arrow(stream(5, num_samples=num_samples)), index_of) == list(range(num_samples))


def test_take_skip_map_filter_batch(index_of):
    dataset = stream(5, num_samples=N)
    assert indices(arrow(dataset.take(700)), index_of) == list(range(700))
    assert indices(arrow(dataset.skip(20_000)), index_of) == list(range(20_000, N))
    assert indices(arrow(stream(5).skip(1000).take(600)), index_of) == list(range(1000, 1600))
    mapped = stream(5).map(lambda row: {"double": [2 * value for value in row["x"]]})
    row = next(iter(mapped))
    assert row["double"] == [2 * value for value in row["x"]]
    labels = [row["label"] for row in stream(5).filter(lambda row: row["label"] == 3).take(50)]
    assert labels == [3] * 50
    batch = next(iter(stream(5).with_format("numpy").batch(64)))
    assert indices([next(arrow(dataset, 64))], index_of) == [index_of[row.tobytes()] for row in batch["x"]]
    assert next(iter(stream(5).rename_column("label", "labels").select_columns("labels"))) == {
        "labels": int(sample([0], 5)[1][0])
    }


def test_shuffle_and_epochs(index_of):
    """Every epoch has all indices in an order of its own, the same for the same seed."""
    dataset = stream(5, num_samples=N).shuffle(seed=1, buffer_size=100)
    orders = []
    for epoch in (0, 1, 0):
        tables = dataset.with_format("arrow")
        tables.set_epoch(epoch)
        orders.append(indices(tables.iter(500), index_of))
    assert all(sorted(order) == list(range(N)) for order in orders)
    assert orders[0] == orders[2] != orders[1]
    plain = stream(5, num_samples=N).with_format("arrow")
    plain.set_epoch(3)
    assert sorted(indices(plain.iter(500), index_of)) == list(range(N))
    ranks = [split_dataset_by_node(dataset, rank=rank, world_size=4) for rank in range(4)]
    assert sorted(itertools.chain(*(indices(arrow(rank), index_of) for rank in ranks))) == list(range(N))


PIPELINES = {
    "rows": (lambda dataset: dataset, lambda rows: [row["x"] for row in rows]),
    "torch rows": (lambda dataset: dataset.with_format("torch"), lambda rows: [row["x"].tolist() for row in rows]),
    "map": (
        lambda dataset: dataset.map(lambda row: {"x": [value + 1 for value in row["x"]]}),
        lambda rows: [row["x"] for row in rows],
    ),
    "batches": (
        lambda dataset: dataset.with_format("arrow").batch(100),
        lambda rows: [x for row in rows for x in row["x"][0].as_py()],
    ),
    "odd torch batches": (
        lambda dataset: dataset.with_format("torch").batch(7),
        lambda rows: [x for row in rows for x in row["x"].tolist()],
    ),
    "take": (lambda dataset: dataset.take(900), lambda rows: [row["x"] for row in rows]),
    "node": (
        lambda dataset: split_dataset_by_node(dataset, rank=1, world_size=2),
        lambda rows: [row["x"] for row in rows],
    ),
    "uneven node": (
        lambda dataset: split_dataset_by_node(dataset, rank=1, world_size=3),
        lambda rows: [row["x"] for row in rows],
    ),
}


NEEDS_TORCH = pytest.mark.skipif(find_spec("torch") is None, reason="needs the extra torch")


@pytest.mark.parametrize("name", [pytest.param(n, marks=NEEDS_TORCH) if "torch" in n else n for n in PIPELINES])
@pytest.mark.parametrize("stops", [(0, 1), (3, 5), (511, 2), (512, 1), (6, 7), (700, 100)], ids=str)
def test_resumed_twice_in_a_row(name, stops):
    """Stopped, saved, loaded into a new pipeline, stopped, saved, loaded again: what comes is what would have come."""
    pipeline, values = PIPELINES[name]
    make = lambda: pipeline(stream(5, num_samples=1200))  # noqa: E731
    whole = values(make())
    pieces, state = [], None
    for stop in (*stops, None):
        dataset = make()
        if state is not None:
            dataset.load_state_dict(state)
        pieces += values(itertools.islice(dataset, stop))
        # A state taken before the first row is that of a new pipeline.
        state = dataset.state_dict()
    assert pieces == whole


def test_a_state_is_plain_and_belongs_to_its_stream():
    dataset = stream(5)
    next(iter(dataset))
    state = dataset.state_dict()
    json.dumps(state)
    for other, name in ((stream(6), "stream-seed=6 in 480 shards"), (stream(5, num_shards=7), "stream-seed=5 in 7")):
        other.load_state_dict(state)
        with pytest.raises(ValueError, match=f"state: expected one of {name}.*, found one of stream-seed=5 in 480"):
            next(iter(other))


def test_resuming_costs_the_same_everywhere(monkeypatch):
    """Counted in samples made, not in time: two blocks or three, however far the state is."""
    made = []

    def counting(config, start, stop):
        made.append(stop - start)
        return stream_table(config, start, stop)

    monkeypatch.setattr("mnist1d_hf.data.examples.stream_table", counting)
    for steps in (3, 4000):
        dataset = stream(5).with_format("arrow").batch(256)
        for _ in itertools.islice(dataset, steps):
            pass
        resumed = stream(5).with_format("arrow").batch(256)
        resumed.load_state_dict(dataset.state_dict())
        made.clear()
        table = next(iter(resumed))
        assert sum(made) <= 3 * BLOCK
        assert to_numpy(table)[0].tobytes() == sample(range(256 * steps, 256 * steps + 256), 5)[0].tobytes()


def test_a_state_reaches_the_end_of_the_indices():
    """A state may say any place: from 2**60 - 100 there are a hundred samples left."""
    dataset = stream(5, num_samples=2**60, num_shards=1)
    next(iter(dataset))
    state = dataset.state_dict()
    state["examples_iterable"]["examples_iterable"]["samples"] = 2**60 - 100
    resumed = stream(5, num_samples=2**60, num_shards=1)
    resumed.load_state_dict(state)
    rows = [row["x"] for row in resumed]
    assert np.asarray(rows, np.float32).tobytes() == sample(range(2**60 - 100, 2**60), 5)[0].tobytes()


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"num_shards": 0}, ValueError, "num_shards: expected an integer of at least 1, found 0"),
        ({"num_shards": 1.5}, TypeError, "num_shards"),
        (
            {"num_samples": 1000, "num_shards": 3},
            ValueError,
            r"num_shards: expected at most the number of blocks \(512 samples each\), 2, found 3",
        ),
        ({"num_samples": 0}, ValueError, "num_samples: expected an integer from 1 to 1152921504606846976, found 0"),
        ({"num_samples": 2**60 + 1}, ValueError, "num_samples"),
        ({"num_samples": "many"}, TypeError, "num_samples"),
        ({"seed": -1}, ValueError, "seed: expected an integer from 0"),
        ({"seed": 2**63}, ValueError, "seed"),
        ({"config": {}}, TypeError, "config: expected a GeneratorConfig, found dict"),
        ({"latents": 1}, TypeError, "latents: expected True or False, found 1"),
        ({"templates": {"x": 1}}, ValueError, "templates"),
    ],
    ids=str,
)
def test_bad_input_is_refused(arguments, kind, message):
    with pytest.raises(kind, match=message):
        stream(**arguments)


# The configuration "stream" of the builder


def test_map_style_num_proc_and_streaming_give_the_same_rows(cache, index_of):
    arguments = {"num_samples": N, "seed": 5, "split": "train"}
    loaded = load_dataset("stream", cache_dir=cache, **arguments)
    assert loaded.num_rows == N
    assert indices([loaded.with_format("arrow")[:]], index_of) == list(range(N))
    parallel = load_dataset("stream", cache_dir=cache + "-2", num_proc=2, **arguments)
    assert parallel.with_format("arrow")[:].equals(loaded.with_format("arrow")[:])
    streamed = load_dataset("stream", streaming=True, **arguments)
    assert isinstance(streamed._ex_iterable, StreamExamples)
    assert indices(arrow(streamed), index_of) == list(range(N))
    assert streamed.features == loaded.features


def test_plain_load_dataset_takes_the_streams_arguments(cache):
    loaded = datasets.load_dataset(
        "mnist1d",
        "stream",
        num_samples=600,
        seed=2**63 - 1,
        padding=(0, 10),
        latents=True,
        max_translation=5,
        cache_dir=cache,
    )
    assert list(loaded) == ["train"]
    config = GeneratorConfig(padding=(0, 10), max_translation=5)
    x, label, latents = sample(range(600), 2**63 - 1, config, latents=True)
    assert to_numpy(loaded["train"])[0].tobytes() == x.tobytes()
    assert loaded["train"]["label"][:] == label.tolist()
    assert loaded["train"]["padding"][:] == latents["padding"].tolist()
    assert loaded["train"].info.splits["train"].num_examples == 600


def test_streams_do_not_share_a_cache(cache):
    first = load_dataset("stream", num_samples=600, cache_dir=cache)
    assert load_dataset("stream", num_samples=600, seed=0, cache_dir=cache).cache_files == first.cache_files
    for arguments in ({"seed": 1}, {"num_samples": 601}, {"shear_scale": 0.5}, {"latents": True}):
        other = load_dataset("stream", **{"num_samples": 600, **arguments}, cache_dir=cache)
        assert other.cache_files != first.cache_files


def test_streaming_without_a_number_has_no_end():
    endless = load_dataset("stream", split="train", streaming=True, seed=5)
    assert len(list(endless.take(1000))) == 1000
    assert endless.num_shards == 480
    assert load_dataset("stream", streaming=True)["train"].info.splits is None


def test_own_features_of_a_stream(cache):
    features = datasets.Features({"label": datasets.Value("int8"), "x": datasets.List(datasets.Value("float64"))})
    for streaming in (False, True):
        rows = load_dataset(
            "stream", split="train", num_samples=20, features=features, streaming=streaming, cache_dir=cache
        )
        assert rows.features == features
        assert [row["label"] for row in rows] == sample(range(20))[1].tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "num_samples: the stream has no end; say how many samples you want, or load it with streaming=True"),
        ({"num_samples": 0}, "num_samples: expected an integer from 1"),
        ({"num_samples": 10, "train_split": 0.5}, "train_split: the stream has one split, train"),
        ({"num_samples": 10, "dtype": "float64"}, "dtype: the stream is made in float32"),
        ({"num_samples": 10, "seed": -3}, "seed: expected an integer from 0 to 9223372036854775807, found -3"),
        ({"num_samples": 10, "padding": (3, 1)}, "padding"),
    ],
    ids=str,
)
def test_bad_arguments_of_the_configuration(arguments, message, cache):
    with pytest.raises(ValueError, match=message):
        load_dataset("stream", cache_dir=cache, **arguments)
