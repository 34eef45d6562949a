"""`pipeline("signal-classification")`: one signal or several, as lists, arrays or tensors."""

import numpy as np
import pytest
import torch
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from mnist1d_hf import load_dataset, load_pretrained
from mnist1d_hf.models import register


@pytest.fixture(scope="module")
def classify():
    register()
    return pipeline("signal-classification", model=load_pretrained("cnn"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset(split="test", cache_dir=str(tmp_path_factory.mktemp("cache"))).select(range(5))


@pytest.fixture(scope="module")
def signals(dataset):
    return dataset[:]["x"]


def test_every_kind_of_input_gives_the_same(classify, signals):
    expected = classify(signals, top_k=3)
    assert len(expected) == 5
    for inputs in (np.asarray(signals), torch.tensor(signals), np.asarray(signals, dtype=np.float64)):
        assert classify(inputs, top_k=3) == expected
    assert classify(signals[0], top_k=3) == expected[0]


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_batches_generators_and_datasets(classify, dataset, signals, batch_size):
    expected = classify(signals, top_k=3)
    options = {"top_k": 3, "batch_size": batch_size}
    for inputs in (signals, dataset["x"], np.asarray(signals)):
        assert same(classify(inputs, **options), expected)
    for inputs in ((row["x"] for row in dataset), map(np.asarray, signals), KeyDataset(dataset, "x")):
        results = classify(inputs, **options)
        assert not isinstance(results, list)  # signals are read while results are asked for
        assert same(list(results), expected)


def same(found, expected):
    """The same labels with the same scores; other batches round differently."""
    labels, scores = ([[answer[key] for answer in row] for row in found] for key in ("label", "score"))
    return labels == [[answer["label"] for answer in row] for row in expected] and np.allclose(
        scores, [[answer["score"] for answer in row] for row in expected], atol=1e-6
    )


def test_an_endless_generator_is_read_no_further_than_needed(classify, signals):
    read = []

    def endless():
        while True:
            read.append(1)
            yield signals[0]

    first = next(iter(classify(endless(), batch_size=2)))
    assert first == classify(signals[0])
    assert len(read) <= 4


def test_nothing_gives_nothing(classify, dataset):
    for inputs in ([], np.zeros((0, 40)), torch.zeros(0, 40), iter([]), KeyDataset(dataset.select([]), "x")):
        assert list(classify(inputs)) == []


def test_options_of_the_pipeline_hold_for_its_calls(signals):
    classify = pipeline("signal-classification", model=load_pretrained("cnn"), top_k=3, batch_size=2)
    assert [len(row) for row in classify(signals)] == [3] * 5
    assert len(classify(signals[0], top_k=1)) == 1
    assert len(classify(signals[0], top_k=np.int64(2))) == 2


def test_labels_and_scores(classify, signals):
    probabilities = load_pretrained("cnn")(torch.tensor(signals[:1])).logits.softmax(-1)[0]
    answers = classify(signals[0], top_k=None)
    assert [answer["label"] for answer in answers] == [
        str(label) for label in probabilities.argsort(descending=True).tolist()
    ]
    assert [answer["score"] for answer in answers] == pytest.approx(sorted(probabilities.tolist(), reverse=True))
    assert sum(answer["score"] for answer in answers) == pytest.approx(1)
    assert classify(signals[0]) == answers[:1]


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ([0.0] * 39, {}, r"signal: expected 40 numbers, or rows of so many, found shape \(39,\)"),
        ("signal", {}, "signal: expected 40 numbers"),
        ([[0.0] * 40, [0.0] * 3], {}, "signal: expected 40 numbers"),
        ([0.0] * 40, {"top_k": 0}, "top_k: expected an integer from 1 to 10 or None, found 0"),
        ([float("nan")] * 40, {}, "x: expected finite numbers"),
        (np.float64(3), {}, "signal: expected 40 numbers"),
        ((row for row in [[0.0] * 39]), {}, r"signal: expected 40 numbers, or rows of so many, found shape \(39,\)"),
        ((row for row in [[[0.0] * 40]]), {}, r"signal: expected 40 numbers, found shape \(1, 40\)"),
    ],
    ids=["length", "text", "ragged", "top_k", "nan", "number", "generator-length", "generator-rows"],
)
def test_bad_input_is_refused(classify, inputs, options, message):
    with pytest.raises(ValueError, match=message):
        list(classify(inputs, **options))
