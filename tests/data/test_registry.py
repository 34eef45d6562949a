"""What `datasets` does with the name "mnist1d", in processes of their own: importing is what is tested."""

import subprocess
import sys
import textwrap

import datasets
import datasets.inspect
import datasets.load
import pytest

import mnist1d_hf
from mnist1d_hf.data import registry


def run(code, cwd):
    script = textwrap.dedent(code)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("with_folder", [False, True], ids=["empty folder", "folder called mnist1d"])
def test_plain_datasets_functions_find_it(tmp_path, with_folder):
    if with_folder:  # what a clone of the paper's repository leaves
        (tmp_path / "mnist1d").mkdir()
        (tmp_path / "mnist1d" / "data.csv").write_text("a,b\n1,2\n")
    run(
        """
        import mnist1d_hf, datasets
        from datasets import load_dataset
        names = ["default", "noise-free", "large-40k", "shuffled", "custom", "stream"]
        options = {"cache_dir": "cache"}
        assert datasets.get_dataset_config_names("mnist1d") == names
        assert datasets.get_dataset_split_names("mnist1d") == ["train", "test"]
        assert datasets.get_dataset_split_names("mnist1d", "shuffled") == ["train", "test"]
        assert datasets.get_dataset_split_names("mnist1d", "stream") == ["train"]
        assert datasets.get_dataset_default_config_name("mnist1d") == "default"
        infos = datasets.get_dataset_infos("mnist1d")
        assert infos["large-40k"].splits["train"].num_examples == 40_000
        assert datasets.load_dataset_builder("mnist1d", "noise-free").config.generator.iid_noise_scale == 0
        whole = load_dataset("mnist1d", **options)
        assert whole.num_rows == {"train": 4000, "test": 1000}
        assert load_dataset("mnist1d", split="train[:10%]", **options).num_rows == 400
        assert len(list(load_dataset("mnist1d", split="test", streaming=True))) == 1000
        assert load_dataset("mnist1d", seed=3, num_proc=2, split="test", **options).num_rows == 1000
        kept = load_dataset("mnist1d", keep_in_memory=True, split="test", **options)
        assert kept.cache_files == [] and kept[0] == whole["test"][0]
        forced = load_dataset("mnist1d", download_mode="force_redownload", split="test", **options)
        assert forced[:] == whole["test"][:]
        """,
        tmp_path,
    )


def test_own_loader_works_with_the_library_untouched(tmp_path):
    run(
        """
        import datasets.load
        original = datasets.load.dataset_module_factory
        import mnist1d_hf
        from mnist1d_hf.data import registry
        registry.unregister()
        assert datasets.load.dataset_module_factory is original
        assert mnist1d_hf.load_dataset(cache_dir="cache")["train"].num_rows == 4000
        assert datasets.load.dataset_module_factory is original
        """,
        tmp_path,
    )


def test_registering_twice_and_undoing_it():
    once = datasets.load.dataset_module_factory
    registry.register()
    assert datasets.load.dataset_module_factory is once
    try:
        registry.unregister()
        assert not hasattr(datasets.load.dataset_module_factory, "_mnist1d_original")
        assert not hasattr(datasets.inspect.dataset_module_factory, "_mnist1d_original")
    finally:
        registry.register()
    assert hasattr(datasets.inspect.dataset_module_factory, "_mnist1d_original")


@pytest.mark.parametrize("path", ["mnist", "mnist1d/mnist1d", "./mnist1d", "MNIST1D", "csv"])
def test_other_names_go_to_the_library_untouched(path):
    seen = []
    wrapped = registry._wrapped(lambda *args, **kwargs: seen.append((args, kwargs)) or "the library's")
    assert wrapped(path, revision=None, anything=1) == "the library's"
    assert seen == [((path,), {"revision": None, "anything": 1})]


@pytest.mark.parametrize("name", ["revision", "data_files", "data_dir"])
def test_other_sources_go_to_the_library_untouched(name):
    wrapped = registry._wrapped(lambda *args, **kwargs: (args, kwargs))
    assert wrapped("mnist1d", **{name: "x"}) == (("mnist1d",), {name: "x"})


def test_a_local_folder_beside_it_still_loads(tmp_path):
    (tmp_path / "mnist1d").mkdir()
    (tmp_path / "mnist1d" / "train.csv").write_text("a,b\n1,2\n")
    assert datasets.load_dataset("./mnist1d", cache_dir="cache")["train"].column_names == ["a", "b"]


def test_version_stands_in_one_place(repository):
    assert f'version = "{mnist1d_hf.__version__}"' in (repository / "pyproject.toml").read_text()
