"""`pipeline("signal-classification")`: one signal or several, as lists, arrays or tensors."""

import numpy as np
import pytest
import torch
from transformers import pipeline

from mnist1d_hf import load_dataset, load_pretrained
from mnist1d_hf.models import register


@pytest.fixture(scope="module")
def classify():
    register()
    return pipeline("signal-classification", model=load_pretrained("cnn"))


@pytest.fixture(scope="module")
def signals(tmp_path_factory):
    return load_dataset(split="test", cache_dir=str(tmp_path_factory.mktemp("cache")))[:5]["x"]


def test_every_kind_of_input_gives_the_same(classify, signals):
    expected = classify(signals, top_k=3)
    assert len(expected) == 5
    for inputs in (np.asarray(signals), torch.tensor(signals), np.asarray(signals, dtype=np.float64)):
        assert classify(inputs, top_k=3) == expected
    assert classify(signals[0], top_k=3) == expected[0]


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
    ],
    ids=["length", "text", "ragged", "top_k", "nan"],
)
def test_bad_input_is_refused(classify, inputs, options, message):
    with pytest.raises(ValueError, match=message):
        classify(inputs, **options)
