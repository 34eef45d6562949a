import collections
import threading

import datasets
import numpy as np
import pyarrow as pa
import pytest
from datasets.distributed import split_dataset_by_node

import mnist1d_hf
from mnist1d_hf import GeneratorConfig, get_templates, load_dataset, make_dataset, to_numpy
from mnist1d_hf.data import builder as builder_module
from mnist1d_hf.data.builder import Mnist1d
from mnist1d_hf.data.checksums import expected_checksums, measure
from mnist1d_hf.data.configurations import CONFIGURATIONS, EXACT
from mnist1d_hf.data.schema import ALGORITHM_HASH

X = datasets.List(datasets.Value("float32"), length=40)
LABEL = datasets.ClassLabel(names=[str(digit) for digit in range(10)])


@pytest.mark.parametrize("name", EXACT)
def test_every_configuration_keeps_the_contract(name, cache):
    """Schema, counts, values, disjoint splits, complete info, and the same again from the cache."""
    loaded = load_dataset(name, cache_dir=cache)
    generator = CONFIGURATIONS[name].generator
    assert list(loaded) == ["train", "test"]
    assert (loaded["train"].num_rows, loaded["test"].num_rows) == generator.split_sizes()
    rows = {}
    for split, dataset in loaded.items():
        assert dataset.features == datasets.Features({"x": X, "label": LABEL})
        x, _ = to_numpy(dataset)
        rows[split] = {row.tobytes() for row in x}
        assert len(rows[split]) == len(x)
    assert measure({split: to_numpy(dataset) for split, dataset in loaded.items()}) == expected_checksums(name)
    assert not rows["train"] & rows["test"]
    info = loaded["train"].info
    for text in (info.description, info.citation, info.homepage, info.license):
        assert text
    assert "Greydanus" in info.citation
    assert {split: item.num_examples for split, item in info.splits.items()} == loaded.num_rows
    again = load_dataset(name, cache_dir=cache)
    assert again.cache_files == loaded.cache_files
    assert again["test"][:] == loaded["test"][:]


def test_float64_are_the_papers_doubles(cache):
    dataset = load_dataset(split="test", dtype="float64", cache_dir=cache)
    assert dataset.features["x"] == datasets.List(datasets.Value("float64"), length=40)
    assert to_numpy(dataset)[0].tobytes() == make_dataset()["x_test"].tobytes()


def test_latents_are_columns(cache):
    loaded = load_dataset(latents=True, cache_dir=cache, num_samples=1000)
    expected = make_dataset(GeneratorConfig(num_samples=1000), latents=True)
    for split, key in (("train", "latents"), ("test", "latents_test")):
        for name, values in expected[key].items():
            found = np.asarray(loaded[split][name])
            np.testing.assert_array_equal(found.astype(np.float32), values.astype(np.float32))
    assert loaded["train"].features["padding"].dtype == "int32"
    assert loaded["train"].features["shear"].dtype == "float32"


def test_overriding_a_named_configuration(cache):
    dataset = load_dataset("shuffled", split="train", seed=3, num_samples=200, cache_dir=cache)
    expected = make_dataset(GeneratorConfig(shuffle_seq=True, seed=3, num_samples=200))
    assert to_numpy(dataset)[0].tobytes() == expected["x"].astype("f4").tobytes()
    assert dataset.info.config_name == "custom"
    # An override that arrives at a named configuration is that configuration.
    assert Mnist1d(config_name="custom", shuffle_seq=True, cache_dir=cache).config.name == "shuffled"


def test_own_templates(cache):
    templates = {"x": np.eye(3, 7), "t": np.arange(7.0), "y": np.array([2, 4, 8])}
    dataset = load_dataset("custom", split="test", templates=templates, num_samples=90, cache_dir=cache)
    assert dataset.features["label"].names == ["2", "4", "8"]
    expected = make_dataset(GeneratorConfig(num_samples=90), templates)
    x, label = to_numpy(dataset)
    assert x.tobytes() == expected["x_test"].astype("f4").tobytes()
    assert [int(dataset.features["label"].int2str(int(item))) for item in label] == expected["y_test"].tolist()


def test_the_same_arguments_share_a_cache_entry_and_different_ones_never_do(cache):
    def place(*args, **kwargs):
        return Mnist1d(*args, cache_dir=cache, **kwargs).cache_dir

    seven = place(config_name="default", seed=7)
    same = [
        place(seed=7),
        place(config_name="custom", seed=7),
        place(seed=np.int64(7)),
        place(seed=7, num_samples=5000, padding=[36, 60], scale_coeff=np.float64(0.4)),
        place(seed=7, dtype="float32", latents=False),
        place(seed=7, dtype=np.float32, train_split=None),
        place(config_name="shuffled", shuffle_seq=False, seed=7),
    ]
    assert set(same) == {seven}
    own = {"x": np.eye(2), "t": np.arange(2.0), "y": np.arange(2)}
    variants = [{}, {"seed": 7}, {"seed": 70}, {"dtype": "float64"}, {"latents": True}, {"shuffle_seq": True}]
    variants += [{"num_samples": 5010}, {"padding": (36, 61)}, {"padding": (3, 660)}, {"scale_coeff": 0.1 + 0.2}]
    variants += [{"scale_coeff": 0.3}, {"corr_noise_scale": 0}, {"corr_noise_scale": 0, "iid_noise_scale": 0}]
    variants += [{"template_len": 13}, {"max_translation": 47}, {"shear_scale": 0.5}, {"final_seq_length": 41}]
    variants += [{"train_split": 0.5}, {"templates": own}, {"templates": {**own, "x": 2 * np.eye(2)}}]
    variants += [{"templates": get_templates()}]
    variants += [{"seed": 7, "template_len": 13, "max_translation": 40, "shear_scale": step / 9} for step in range(9)]
    variants += [{"features": datasets.Features({"x": datasets.List(datasets.Value("float64")), "label": LABEL})}]
    places = [place(**variant) for variant in variants]
    assert len(set(places)) == len(places)
    assert all(ALGORITHM_HASH in item and "1.0.0" in item for item in places)


def test_a_changed_algorithm_is_not_served_from_an_old_cache(cache):
    first = Mnist1d(cache_dir=cache).cache_dir
    assert Mnist1d(cache_dir=cache, hash=None).cache_dir == first
    assert Mnist1d(cache_dir=cache, hash="another").cache_dir != first


def test_features_are_honoured(cache):
    features = datasets.Features(
        {"label": datasets.Value("int8"), "x": datasets.List(datasets.Value("float64"), length=40)}
    )
    dataset = load_dataset(split="test", features=features, cache_dir=cache)
    assert dataset.features == features
    x, label = to_numpy(dataset)
    assert x.tobytes() == make_dataset()["x_test"].astype("f4").astype("f8").tobytes()
    streamed = load_dataset(split="test", features=features, streaming=True)
    assert np.asarray(next(iter(streamed.with_format("arrow").iter(1000))).column("label")).tolist() == label.tolist()


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (
            {"name": "defualt"},
            ValueError,
            "unknown configuration 'defualt': did you mean 'default'\\? Allowed: default, noi",
        ),
        ({"sed": 3}, TypeError, "unknown argument 'sed' of mnist1d: did you mean 'seed'\\? Allowed: num_samples, "),
        ({"dtype": "float16"}, ValueError, "dtype: expected 'float32' or 'float64', found 'float16'"),
        ({"latents": 1}, TypeError, "latents: expected True or False, found 1"),
        ({"num_samples": 5}, ValueError, "at least one for each of the 10 classes, found 5"),
        ({"padding": (3, 1)}, ValueError, "padding"),
        ({"data_dir": "somewhere"}, TypeError, "unknown argument 'data_dir'"),
        ({"features": datasets.Features({"a": LABEL})}, ValueError, "features: expected the columns"),
    ],
    ids=str,
)
@pytest.mark.parametrize("load", [load_dataset, lambda **kw: datasets.load_dataset("mnist1d", **kw)], ids=["own", "hf"])
def test_bad_arguments_are_refused_before_anything_is_written(arguments, kind, message, load, cache, tmp_path):
    if load is not load_dataset and "data_dir" in arguments:
        kind, message = ConnectionError, "Couldn't reach"  # a name with data files is the library's business
    with pytest.raises(kind, match=message):
        load(**arguments, cache_dir=cache)
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".arrow"]


def _count_generations(monkeypatch):
    calls = []
    original = builder_module.generate
    monkeypatch.setattr(builder_module, "_kept", collections.OrderedDict())
    monkeypatch.setattr(builder_module, "generate", lambda *args, **more: calls.append(args) or original(*args, **more))
    return calls


def test_it_is_made_once_in_a_process_whatever_is_asked_for(monkeypatch, cache):
    calls = _count_generations(monkeypatch)
    load_dataset(cache_dir=cache)
    for split in ("train", "test"):
        streamed = load_dataset(split=split, streaming=True)
        for rank in range(4):
            assert sum(1 for _ in split_dataset_by_node(streamed, rank, 4))
    threads = [threading.Thread(target=lambda: list(load_dataset(split="test", streaming=True))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_what_a_process_keeps_is_bounded(monkeypatch):
    calls = _count_generations(monkeypatch)
    monkeypatch.setattr(builder_module, "_KEPT_BYTES", 100 * 40 * 8)
    for seed in range(5):
        next(iter(load_dataset(split="test", streaming=True, num_samples=100, seed=seed)))
    assert len(calls) == 5
    assert len(builder_module._kept) == 1


def test_streaming_gives_tables_and_the_same_rows(cache):
    streamed = load_dataset(split="train", streaming=True)
    assert streamed.num_shards == 40
    tables = list(streamed.with_format("arrow").iter(256))
    assert all(isinstance(table, pa.Table) for table in tables)
    x, label = to_numpy(load_dataset(split="train", cache_dir=cache))
    np.testing.assert_array_equal(np.concatenate([table["label"].to_numpy() for table in tables]), label)
    found = np.concatenate([np.stack(table["x"].to_numpy()) for table in tables])
    np.testing.assert_array_equal(found, x)
    # Whole shards reach the consumer as one table each: no step that handles rows one by one.
    builder = Mnist1d(cache_dir=cache)
    shards = builder._split_generators(None)[0].gen_kwargs["shards"]
    assert [len(table) for shard in shards for _, table in builder._generate_tables([shard])] == [100] * 40


@pytest.mark.parametrize("world", [1, 2, 4, 5, 8])
def test_ranks_get_each_row_once(world):
    streamed = load_dataset(split="train", streaming=True, num_samples=1000)
    parts = [[row["x"][0] for row in split_dataset_by_node(streamed, rank, world)] for rank in range(world)]
    assert {len(part) for part in parts} == {800 // world}
    everything = sorted(value for part in parts for value in part)
    np.testing.assert_allclose(
        everything, np.sort(make_dataset(GeneratorConfig(num_samples=1000))["x"][:, 0]), rtol=1e-6
    )


def test_two_processes_write_the_same_rows(cache):
    one = load_dataset(cache_dir=cache, num_samples=1000)
    two = load_dataset(cache_dir=cache + "2", num_samples=1000, num_proc=2)
    for split in one:
        for left, right in zip(to_numpy(one[split]), to_numpy(two[split]), strict=True):
            np.testing.assert_array_equal(left, right)


def test_registered_and_own_loader_share_the_cache(cache):
    own = mnist1d_hf.load_dataset("custom", seed=11, num_samples=100, cache_dir=cache)
    registered = datasets.load_dataset("mnist1d", seed=11, num_samples=100, cache_dir=cache)
    assert own.cache_files == registered.cache_files
    kept = mnist1d_hf.load_dataset(seed=11, num_samples=100, cache_dir=cache, keep_in_memory=True)
    assert kept["train"].cache_files == []
    forced = mnist1d_hf.load_dataset(seed=11, num_samples=100, cache_dir=cache, download_mode="force_redownload")
    assert forced["train"][:] == own["train"][:]


def test_long_work_shows_a_progress_bar_that_can_be_switched_off(capsys):
    def load(seed):
        next(iter(load_dataset(split="test", streaming=True, num_samples=102_410, seed=seed)))
        return capsys.readouterr().err

    assert load(1) == ""  # the tests switch the library's bars off
    datasets.enable_progress_bars()
    try:
        assert "Making samples" in load(2)
        next(iter(load_dataset(split="test", streaming=True, num_samples=1000)))
        assert capsys.readouterr().err == ""
    finally:
        datasets.disable_progress_bars()
