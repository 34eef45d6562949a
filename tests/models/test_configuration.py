"""The networks' configuration: defaults, and what it refuses."""

import numpy as np
import pytest
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig

from mnist1d_hf import Mnist1dConfig


def test_defaults_and_a_file(tmp_path):
    config = Mnist1dConfig()
    assert (config.architecture, config.sequence_length, config.num_labels) == ("cnn", 40, 10)
    assert config.id2label == {number: str(number) for number in range(10)}
    assert config.label2id == {str(number): number for number in range(10)}
    config = Mnist1dConfig(architecture="mlp", widths=[7], id2label={0: "a", 1: "b"}, label2id={"a": 0, "b": 1})
    config.save_pretrained(tmp_path)
    again = Mnist1dConfig.from_pretrained(tmp_path)
    assert again.to_dict() == config.to_dict()
    assert again.num_labels == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architecture": "cmn"}, "architecture: expected one of logistic, mlp, cnn, gru, resnet.*, found 'cmn'"),
        ({"architecture": 3}, "architecture"),
        ({"activation": "rely"}, "activation: expected one of relu"),
        ({"widths": ["a"]}, "widths"),
        ({"widths": [0]}, "widths: expected integers of at least 1, found 0"),
        ({"widths": []}, "widths: expected at least one for cnn, found none"),
        ({"architecture": "logistic", "widths": [3]}, "widths: a logistic regression has no hidden layer"),
        ({"architecture": "gru", "widths": [3, 4]}, "widths: the layers of a gru are equally wide"),
        ({"widths": [3, 4], "strides": [1]}, "strides: expected as many as widths, 2, found 1"),
        ({"architecture": "resnet", "kernel_sizes": [3, 4]}, "kernel_sizes: expected two odd numbers for resnet"),
        ({"architecture": "transformer", "widths": [8, 12]}, "widths: expected one multiple of 4 for all blocks"),
        ({"architecture": "transformer", "widths": [6]}, "widths: expected one multiple of 4 for all blocks"),
        ({"architecture": "transformer", "strides": [2, 2]}, "strides: expected one number for transformer"),
        ({"architecture": "transformer", "strides": [6]}, "strides: the last 1 of 40 points are in no patch"),
        ({"architecture": "transformer", "kernel_sizes": [45]}, "sequence_length: 40 points are too few for one patch"),
        ({"sequence_length": 0}, "sequence_length: expected at least 1, found 0"),
        ({"sequence_length": 2}, "sequence_length: 2 points are too few for stage 1"),
        ({"dropout": 1.0}, "dropout: expected a fraction from 0 to below 1, found 1.0"),
        ({"dropout": "much"}, "dropout"),
        ({"normalization": "layer"}, "normalization: expected none or batch for cnn, found 'layer'"),
        ({"architecture": "gru", "normalization": "batch"}, "normalization: expected none for gru, found 'batch'"),
        ({"pooling": "median"}, "pooling: expected one of flatten, mean, max"),
        ({"num_labels": 1}, "num_labels: expected an integer of at least 2, found 1"),
        ({"num_labels": 3, "id2label": {0: "a", 1: "b"}}, "num_labels: 3, but id2label has 2 names"),
        ({"num_labels": "3"}, "num_labels: expected an integer of at least 2, found '3'"),
        ({"width": [3]}, "unknown argument 'width': did you mean 'widths'"),
    ],
    ids=str,
)
def test_contradictions_are_refused(arguments, message):
    with pytest.raises((StrictDataclassError, ValueError), match=message):
        Mnist1dConfig(**arguments)


def test_another_number_of_classes(tmp_path):
    """As with the library's own configurations, the names of the classes are replaced."""
    Mnist1dConfig(architecture="mlp").save_pretrained(tmp_path)
    names = {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    for load in (Mnist1dConfig, AutoConfig):
        config = load.from_pretrained(tmp_path, num_labels=3)
        assert (config.num_labels, config.id2label) == (3, names)
        assert config.label2id == {name: number for number, name in names.items()}
        assert load.from_pretrained(tmp_path, num_labels=10).id2label[3] == "3"
        own = load.from_pretrained(tmp_path, num_labels=2, id2label={0: "a", 1: "b"}, label2id={"a": 0, "b": 1})
        assert (own.num_labels, own.id2label) == (2, {0: "a", 1: "b"})
    config = Mnist1dConfig.from_pretrained(tmp_path)
    config.num_labels = 3
    assert config.id2label == names
    config.save_pretrained(tmp_path)
    assert Mnist1dConfig.from_pretrained(tmp_path).num_labels == 3
    with pytest.raises(ValueError, match="num_labels: expected an integer of at least 2, found 1"):
        Mnist1dConfig.from_pretrained(tmp_path, num_labels=1)
    counted = Mnist1dConfig.from_pretrained(tmp_path, num_labels=np.int64(4))
    assert counted.to_json_string() == Mnist1dConfig.from_pretrained(tmp_path, num_labels=4).to_json_string()
