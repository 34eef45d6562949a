import copy
import dataclasses
import inspect
import pickle

import numpy as np
import pytest

from mnist1d_hf import GeneratorConfig, get_templates, make_dataset
from mnist1d_hf.errors import UserError


def test_defaults_are_those_of_the_original():
    from mnist1d.data import get_dataset_args

    expected = get_dataset_args(as_dict=True)
    expected.pop("url")
    assert dataclasses.asdict(GeneratorConfig()) == {**expected, "padding": tuple(expected["padding"])}


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (
            {"sed": 3},
            TypeError,
            "unknown generator argument 'sed': did you mean 'seed'\\? Allowed: num_samples, train_split",
        ),
        ({"num_samples": 0}, ValueError, "num_samples: expected an integer of at least 1, found 0"),
        ({"num_samples": 5000.0}, TypeError, "num_samples: expected an integer"),
        ({"num_samples": True}, TypeError, "num_samples: expected an integer"),
        ({"train_split": 0}, ValueError, "train_split: expected a fraction above 0 and up to 1, found 0"),
        ({"train_split": 1.1}, ValueError, "train_split"),
        ({"train_split": float("nan")}, ValueError, "train_split"),
        ({"train_split": "0.8"}, TypeError, "train_split"),
        ({"template_len": 1}, ValueError, "template_len"),
        ({"padding": (60, 36)}, ValueError, r"padding: .* found \(60, 36\); swap them"),
        ({"padding": (-1, 36)}, ValueError, "padding: expected an integer of at least 0, found -1"),
        ({"padding": (1, 2, 3)}, ValueError, "padding: .* found 3 values"),
        ({"padding": 36}, TypeError, "padding"),
        ({"padding": (1.5, 3)}, TypeError, "padding"),
        ({"max_translation": 0}, ValueError, "max_translation"),
        ({"max_translation": 2**31 + 1}, ValueError, "max_translation: expected an integer from 1 to 2147483648"),
        (
            {"corr_noise_scale": -0.1},
            ValueError,
            "corr_noise_scale: expected a finite number of at least 0, found -0.1",
        ),
        ({"iid_noise_scale": float("inf")}, ValueError, "iid_noise_scale: expected a finite number, found inf"),
        ({"scale_coeff": float("nan")}, ValueError, "scale_coeff"),
        ({"shear_scale": -1}, ValueError, "shear_scale"),
        ({"shear_scale": None}, TypeError, "shear_scale"),
        ({"shuffle_seq": 1}, TypeError, "shuffle_seq: expected True or False, found 1"),
        ({"final_seq_length": 1}, ValueError, "final_seq_length: expected an integer of at least 2, found 1"),
        ({"seed": -1}, ValueError, "seed: expected an integer from 0 to 4294967295, found -1"),
        ({"seed": 2**32}, ValueError, "seed"),
        ({"seed": None}, TypeError, "seed"),
    ],
    ids=str,
)
def test_bad_values_are_refused_by_name(arguments, kind, message):
    with pytest.raises(kind, match=message) as caught:
        GeneratorConfig(**arguments)
    assert isinstance(caught.value, UserError)


def test_numpy_numbers_are_taken_as_numbers():
    config = GeneratorConfig(seed=np.int64(7), padding=np.array([3, 5]), scale_coeff=np.float32(0.5), max_translation=9)
    assert config == GeneratorConfig(seed=7, padding=(3, 5), scale_coeff=0.5, max_translation=9)
    assert hash(config) == hash(dataclasses.replace(config))
    assert type(config.seed) is int


def test_a_configuration_shows_its_arguments_and_survives_copies():
    assert list(inspect.signature(GeneratorConfig).parameters)[:2] == ["num_samples", "train_split"]
    config = GeneratorConfig(seed=3)
    assert pickle.loads(pickle.dumps(config)) == dataclasses.replace(config) == copy.deepcopy(config) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 4


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (GeneratorConfig(num_samples=9), "at least one for each of the 10 classes, found 9"),
        (GeneratorConfig(num_samples=10, train_split=0.01), r"0.01 of 10 samples leaves the training split empty"),
        (GeneratorConfig(num_samples=1, train_split=0.5), "num_samples"),
    ],
)
def test_sizes_that_do_not_fit_the_classes_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        make_dataset(config)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"x": np.zeros(12)}, ValueError, r"templates\['x'\]: expected shape .* found \(12,\)"),
        ({"x": np.zeros((10, 1)), "t": np.zeros(1)}, ValueError, "points >= 2"),
        ({"t": np.zeros(11)}, ValueError, r"templates\['t'\]: expected shape \(12,\)"),
        ({"y": np.arange(9)}, ValueError, r"templates\['y'\]: expected shape \(10,\)"),
        ({"y": np.zeros(10)}, ValueError, "expected different labels"),
        ({"x": np.full((10, 12), np.nan)}, ValueError, "expected finite numbers"),
        ({"x": np.full((10, 12), "a")}, TypeError, "expected real numbers"),
        ({"x": [[1, 2], [3]]}, ValueError, "rectangular"),
    ],
    ids=str,
)
def test_bad_templates_are_refused(change, kind, message):
    with pytest.raises(kind, match=message):
        make_dataset(templates={**get_templates(), **change})


def test_templates_without_a_key_are_refused():
    with pytest.raises(ValueError, match="add t"):
        make_dataset(templates={"x": np.zeros((2, 3)), "y": np.arange(2)})
    with pytest.raises(TypeError, match="expected a dict"):
        make_dataset(templates=[1, 2])
