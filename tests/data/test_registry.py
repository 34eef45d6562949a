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


def write(folder, *names):
    for name in names:
        path = folder / "mnist1d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a,b\n1,2\n")


CLONE = ("mnist1d/data.py", "mnist1d.py", "mnist1d_data.pkl", "notebooks/mpl_style.txt", "static/a.png", ".git/a.json")


@pytest.mark.parametrize("files", [(), CLONE], ids=["empty folder", "the paper's repository"])
def test_plain_datasets_functions_find_it(tmp_path, files):
    write(tmp_path, *files)
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


@pytest.mark.parametrize("file", ["train.csv", "data/train-0.csv", "config/train/0.csv", "train.csv.gz"])
def test_a_folder_with_data_files_is_named_in_one_warning(tmp_path, file):
    write(tmp_path, "README.md", file)
    with pytest.warns(UserWarning, match="which were not read") as caught:
        assert datasets.load_dataset("mnist1d", cache_dir="cache", split="test").column_names == ["x", "label"]
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith(f"the folder {tmp_path / 'mnist1d'} holds data files ({file}), which were not read")
    assert message.endswith("""to read the folder: load_dataset("./mnist1d"), or data_dir=".\"""")


def test_what_the_warning_says_reads_the_folder(tmp_path):
    write(tmp_path, "train.csv")
    for arguments in ({"path": "./mnist1d"}, {"path": "mnist1d", "data_dir": "."}):
        assert datasets.load_dataset(**arguments, cache_dir="cache")["train"].column_names == ["a", "b"]


def test_a_folder_of_save_to_disk_is_named_with_the_function_that_reads_it():
    mnist1d_hf.load_dataset(cache_dir="cache", num_samples=100).save_to_disk("mnist1d")
    with pytest.warns(UserWarning, match=r'to read the folder: load_from_disk\("mnist1d"\)$'):
        assert datasets.load_dataset("mnist1d", cache_dir="cache", split="test").num_rows == 1000
    assert datasets.load_from_disk("mnist1d").num_rows == {"train": 80, "test": 20}


def test_version_stands_in_one_place(repository):
    assert f'version = "{mnist1d_hf.__version__}"' in (repository / "pyproject.toml").read_text()
