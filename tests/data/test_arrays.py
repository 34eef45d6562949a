import datasets
import numpy as np
import pytest

from mnist1d_hf import load_dataset, make_dataset, to_numpy


@pytest.fixture
def train(cache):
    return load_dataset(split="train", cache_dir=cache)


def test_whole_split_without_a_copy(train):
    x, label = to_numpy(train)
    assert (x.shape, x.dtype, label.shape, label.dtype) == ((4000, 40), np.float32, (4000,), np.int64)
    assert np.shares_memory(x, to_numpy(train)[0])
    assert np.shares_memory(label, to_numpy(train)[1])
    np.testing.assert_array_equal(x, make_dataset()["x"].astype("f4"))
    np.testing.assert_array_equal(label, make_dataset()["y"])


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: ds.shuffle(seed=1),
        lambda ds: ds.filter(lambda row: row["label"] == 3),
        lambda ds: ds.select(range(10, 200)),
        lambda ds: ds.select(range(10, 200)).select(range(5, 20)),
        lambda ds: ds.select([3, 3, 1]),
        lambda ds: ds.select([]),
        lambda ds: datasets.concatenate_datasets([ds, ds.select(range(7, 50))]),
        lambda ds: datasets.concatenate_datasets([ds.shuffle(seed=2), ds.select([5, 2])]).shuffle(seed=3),
        lambda ds: ds.train_test_split(0.3, seed=1)["test"],
        lambda ds: ds.with_format("numpy").shuffle(seed=1),
        lambda ds: ds.with_format("numpy", columns=["label"]),
        lambda ds: ds.sort("label"),
        lambda ds: ds.map(lambda row: {"x": row["x"][::-1]}),
        lambda ds: ds.add_column("more", list(range(len(ds)))),
        lambda ds: ds.cast_column("x", datasets.List(datasets.Value("float32"))),
        lambda ds: ds.cast_column("label", datasets.Value("int32")),
    ],
)
def test_rows_are_those_of_the_changed_dataset(train, change):
    dataset = change(train.select(range(300)))
    x, label = to_numpy(dataset)
    plain = dataset.with_format(None)
    assert len(x) == len(label) == len(plain)
    assert label.dtype == np.int64
    for number in range(len(plain)):
        assert x[number].tolist() == plain[number]["x"]
        assert label[number] == plain[number]["label"]


def test_float64_stays_float64(cache):
    assert to_numpy(load_dataset(split="test", dtype="float64", cache_dir=cache))[0].dtype == np.float64


def _with(x):
    return datasets.Dataset.from_dict({"x": x, "label": list(range(len(x)))})


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (load_dataset, TypeError, r"expected one split, found all of them; .* \['train', 'test'\]"),
        (lambda: load_dataset(split="test", streaming=True), TypeError, "load it without streaming=True"),
        (lambda: np.zeros((3, 4)), TypeError, "found ndarray"),
        (
            lambda: _with([[1.0]]).remove_columns("label"),
            ValueError,
            r"expected the columns x and label, found \['x'\]",
        ),
        (lambda: _with([[1.0, 2.0], [3.0]]), ValueError, r"signals of one length, found the lengths \[1, 2\]"),
        (lambda: _with([[1.0], None]), ValueError, "x: expected no missing"),
        (lambda: _with([[1.0], [None]]), ValueError, "x: expected no missing"),
        (lambda: _with(["a", "b"]), ValueError, "x: expected a column of lists of numbers, found string"),
        (lambda: _with([["a"], ["b"]]), ValueError, r"x: expected a column of lists of numbers, found list<.*string>"),
        (lambda: _with([[[1.0, 2.0]]]), ValueError, "x: expected a column of lists of numbers, found list<.*list<"),
        (
            lambda: _with([[1.0]]).cast_column("label", datasets.Value("string")),
            ValueError,
            "label: expected a column of integers, found string; cast it",
        ),
        (
            lambda: _with([[1.0]]).cast_column("label", datasets.Value("bool")),
            ValueError,
            "label: expected a column of integers, found bool; cast it",
        ),
    ],
)
def test_what_is_no_split_is_refused(make, kind, message):
    with pytest.raises(kind, match=message):
        to_numpy(make())
