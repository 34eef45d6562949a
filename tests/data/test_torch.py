"""The data as tensors, and through the `DataLoader` of torch."""

import datasets
import numpy as np
import pytest
from datasets.distributed import split_dataset_by_node

from mnist1d_hf import load_dataset, make_dataset, sample, stream, to_numpy, to_torch
from mnist1d_hf.data.stream import BLOCK

torch = pytest.importorskip("torch", reason="needs the extra torch")
DataLoader = torch.utils.data.DataLoader

N = 21_000  # 42 blocks, the last of them not full: 40 shards, two of them with two blocks


@pytest.fixture(scope="module")
def index_of():
    """Which index a signal has, for the first samples of seed 5."""
    return {row.tobytes(): index for index, row in enumerate(sample(range(N), 5)[0])}


@pytest.mark.parametrize(
    "change",
    [
        lambda dataset: dataset,
        lambda dataset: dataset.with_format("torch").shuffle(seed=1),
        lambda dataset: dataset.select([3, 3, 1]),
        lambda dataset: dataset.select([]),
        lambda dataset: dataset.cast_column("x", datasets.List(datasets.Value("float64"))),
    ],
)
def test_tensors_are_the_arrays_and_own_their_memory(change, cache):
    dataset = change(load_dataset(split="test", cache_dir=cache))
    x, label = to_torch(dataset, device="cpu")
    assert (x.dtype, label.dtype) == (torch.float32, torch.int64)
    for found, expected in zip((x, label), to_numpy(dataset), strict=True):
        np.testing.assert_array_equal(found.numpy().reshape(expected.shape), expected)
    before = to_numpy(dataset)[0].copy()
    x.fill_(7)
    np.testing.assert_array_equal(to_numpy(dataset)[0], before)
    assert to_torch(dataset, device="meta")[0].device.type == "meta"


def test_the_format_torch_gives_batches(cache):
    """What a newcomer writes: without the format, a `DataLoader` would transpose the lists."""
    train = load_dataset(split="train", cache_dir=cache).with_format("torch")
    batch = next(iter(DataLoader(train, batch_size=64)))
    assert (batch["x"].shape, batch["x"].dtype) == ((64, 40), torch.float32)
    np.testing.assert_array_equal(batch["x"].numpy(), make_dataset()["x"][:64].astype("f4"))
    assert batch["label"].tolist() == make_dataset()["y"][:64].tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_get_each_row_of_a_streamed_split_once(workers):
    streamed = load_dataset(split="test", streaming=True).with_format("torch")
    batches = list(DataLoader(streamed, batch_size=100, num_workers=workers))
    found = np.sort(np.concatenate([batch["x"][:, 0].numpy() for batch in batches]))
    np.testing.assert_array_equal(found, np.sort(make_dataset()["x_test"][:, 0].astype("f4")))


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores: wanted here
@pytest.mark.parametrize("world", [1, 2, 4, 5, 8, 3])
@pytest.mark.parametrize("workers", [0, 1, 2, 4])
def test_ranks_and_workers_see_each_index_once(world, workers, index_of):
    """A real `DataLoader` for one rank; for more, what its workers would read, without their processes."""
    seen, counts = [], []
    for rank in range(world):
        node = split_dataset_by_node(stream(5, num_samples=N), rank=rank, world_size=world).with_format("arrow")
        if world == 1 or workers == 0:
            loader = DataLoader(node.batch(256), batch_size=None, num_workers=workers, collate_fn=to_torch)
            found = [index_of[row.numpy().tobytes()] for x, _ in loader for row in x]
        else:
            found = []
            for worker in range(workers):
                found += _as_worker(node, worker, workers, index_of)
        seen += found
        counts.append(len(found))
    assert sorted(seen) == list(range(N))
    assert max(counts) - min(counts) <= 2 * BLOCK


def _as_worker(dataset, worker, workers, index_of):
    """What worker `worker` of a `DataLoader` would read, without the process."""
    info = torch.utils.data._utils.worker.WorkerInfo(id=worker, num_workers=workers, seed=0, dataset=dataset)
    torch.utils.data._utils.worker._worker_info = info
    try:
        return [index_of[row.tobytes()] for table in dataset.batch(256) for row in to_numpy(table)[0]]
    finally:
        torch.utils.data._utils.worker._worker_info = None


def test_rows_of_the_stream_through_a_plain_data_loader(index_of):
    loader = DataLoader(stream(5, num_samples=3000).with_format("torch"), batch_size=100, num_workers=2)
    batches = list(loader)
    assert (batches[0]["x"].shape, batches[0]["x"].dtype) == ((100, 40), torch.float32)
    assert batches[0]["label"].dtype == torch.int64
    assert sorted(index_of[row.numpy().tobytes()] for batch in batches for row in batch["x"]) == list(range(3000))


@pytest.mark.parametrize(("channels", "shape"), [("first", (20, 1, 40)), ("last", (20, 40, 1)), (None, (20, 40))])
def test_tensors_have_an_axis_of_channels_where_it_is_asked_for(channels, shape, cache):
    dataset = load_dataset(split="test", num_samples=100, cache_dir=cache)
    x, _ = to_torch(dataset, channels=channels)
    assert tuple(x.shape) == shape
    np.testing.assert_array_equal(x.numpy().reshape(20, 40), to_numpy(dataset)[0])
