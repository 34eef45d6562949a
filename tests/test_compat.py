import inspect

import mnist1d
import mnist1d.data
import numpy as np
import pytest

from mnist1d_hf import GeneratorConfig, compat
from tests.reference import assert_same, reference_dataset


@pytest.mark.parametrize("name", ["get_templates", "get_dataset_args", "make_dataset", "get_dataset"])
def test_signatures_are_the_originals(name):
    expected = inspect.signature(getattr(mnist1d.data, name)).parameters
    found = inspect.signature(getattr(compat, name)).parameters
    assert [(p.name, p.default, p.kind) for p in found.values()] == [
        (p.name, p.default, p.kind) for p in expected.values()
    ]


def test_arguments_are_the_originals():
    assert compat.get_dataset_args(as_dict=True) == mnist1d.get_dataset_args(as_dict=True)
    assert vars(compat.get_dataset_args()) == vars(mnist1d.get_dataset_args())


def test_templates_are_the_originals():
    for key, value in mnist1d.get_templates().items():
        found = compat.get_templates()[key]
        assert found.dtype == value.dtype
        assert found.tobytes() == value.tobytes()


# What notebooks do with the original, `pkg` being the one import that changes.
def _notebook(pkg):
    args = pkg.get_dataset_args()
    args.shuffle_seq = True
    args.num_samples = 300
    args.padding = [10, 40]
    args.seed = 5
    return pkg.make_dataset(args)


def test_code_for_the_original_runs_and_gives_the_same():
    found = _notebook(compat)
    config = GeneratorConfig(shuffle_seq=True, num_samples=300, padding=(10, 40), seed=5)
    expected = reference_dataset(config)
    assert list(found) == list(expected)
    assert_same(found, expected)


def test_get_dataset_builds_what_was_asked_and_writes_nothing(tmp_path, capsys):
    args = compat.get_dataset_args()
    args.num_samples = 100
    (tmp_path / "mnist1d_data.pkl").write_bytes(b"not a pickle that anyone should open")
    data = compat.get_dataset(args, path="mnist1d_data.pkl", download=False, regenerate=True)
    assert data["x"].shape == (80, 40)
    assert "80 training and 20 test" in capsys.readouterr().out
    assert (tmp_path / "mnist1d_data.pkl").read_bytes().startswith(b"not a pickle")
    own = {"x": np.eye(3), "t": np.arange(3.0), "y": np.arange(3)}
    assert set(compat.get_dataset(args, verbose=False, template=own)["y"]) == {0, 1, 2}
    assert capsys.readouterr().out == ""


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match="wrap it: ObjectView"):
        compat.make_dataset({"seed": 1})
    with pytest.raises(ValueError, match=r"args: missing num_samples, .*start from get_dataset_args"):
        compat.make_dataset(compat.ObjectView({"seed": 1}))
    with pytest.raises(TypeError, match="unknown argument 'templates'"):
        compat.get_dataset(compat.get_dataset_args(), templates=None)
