"""What users otherwise write by hand: a validation split, sizes, label noise, clean signals, an axis for channels."""

import datasets
import numpy as np
import pytest
from scipy.stats import chisquare

import mnist1d_hf
from mnist1d_hf import GeneratorConfig, load_dataset, make_dataset, sample, stream, to_numpy
from mnist1d_hf.data.builder import Mnist1d
from mnist1d_hf.data.schema import Mnist1dBuilderConfig


def test_the_last_tenth_of_the_training_rows_is_the_validation_split(cache):
    whole = load_dataset(cache_dir=cache)
    cut = load_dataset(cache_dir=cache, validation=0.1)
    assert cut.num_rows == {"train": 3600, "validation": 400, "test": 1000}
    x, label = to_numpy(whole["train"])
    for split, rows in (("train", slice(None, 3600)), ("validation", slice(3600, None))):
        found = to_numpy(cut[split])
        assert found[0].tobytes() == x[rows].tobytes()
        assert found[1].tobytes() == label[rows].tobytes()
    assert to_numpy(cut["test"])[0].tobytes() == to_numpy(whole["test"])[0].tobytes()
    assert cut["train"].cache_files != whole["train"].cache_files


@pytest.mark.parametrize(
    ("sizes", "rows", "same"),
    [
        (
            {"num_train": 9000, "num_test": 1000},
            {"train": 9000, "test": 1000},
            {"num_samples": 10_000, "train_split": 0.9},
        ),
        ({"num_train": 29, "num_test": 71}, {"train": 29, "test": 71}, None),  # 100 * 0.29 is less than 29
        ({"num_train": 8000}, {"train": 8000, "test": 1000}, None),
        ({"num_test": 0}, {"train": 4000}, {"num_samples": 4000, "train_split": 1.0}),
        ({"num_train": 500, "num_test": 0, "validation": 0.2}, {"train": 400, "validation": 100}, None),
        ({"train_split": 1.0}, {"train": 5000}, None),
    ],
    ids=str,
)
def test_sizes(sizes, rows, same, cache):
    loaded = load_dataset(cache_dir=cache, **sizes)
    assert loaded.num_rows == rows
    if same is not None:
        other = load_dataset(cache_dir=cache, **same)
        assert other.cache_files == loaded.cache_files  # however it was written
        expected = make_dataset(GeneratorConfig(**same))
        assert to_numpy(loaded["train"])[0].tobytes() == expected["x"].astype("f4").tobytes()


@pytest.mark.parametrize("name", ["clean", "latents", "posterior"])
def test_booleans_of_numpy_are_booleans(name):
    config = Mnist1dBuilderConfig.resolve("default", {name: np.bool_(True)})
    assert getattr(config, name) is True
    assert config.identifier == Mnist1dBuilderConfig.resolve("default", {name: True}).identifier


def test_label_noise_draws_that_fraction_of_the_training_labels_anew(cache):
    plain = load_dataset("large-40k", cache_dir=cache)
    noisy = load_dataset("large-40k", cache_dir=cache, label_noise=0.15)
    clean = to_numpy(plain["train"])[1]
    label = to_numpy(noisy["train"])[1]
    np.testing.assert_array_equal(noisy["train"]["clean_label"][:], clean)
    assert noisy["train"].features["clean_label"] == noisy["train"].features["label"]
    # 13.5 % differ (a tenth of the 15 % is drawn as it was); five standard deviations: once in two million seeds.
    assert abs((label != clean).mean() - 0.135) < 5 * np.sqrt(0.135 * 0.865 / 40_000)
    wrong = label[label != clean]
    assert chisquare(np.bincount(wrong, minlength=10)).pvalue > 1e-6
    np.testing.assert_array_equal(noisy["test"]["label"][:], noisy["test"]["clean_label"][:])
    assert to_numpy(noisy["train"])[0].tobytes() == to_numpy(plain["train"])[0].tobytes()


def test_label_noise_depends_on_the_seed_and_not_on_other_options(cache):
    def labels(**options):
        rows = load_dataset(cache_dir=cache, label_noise=0.5, num_samples=1000, **options)
        parts = [to_numpy(rows[split])[1] for split in ("train", "validation") if split in rows]
        return np.concatenate(parts)

    base = labels()
    np.testing.assert_array_equal(labels(validation=0.3, latents=True), base)
    assert (labels(seed=3) != base).mean() > 0.5
    streamed = load_dataset(label_noise=0.5, num_samples=1000, split="train", streaming=True)
    np.testing.assert_array_equal([row["label"] for row in streamed], base)


def test_label_noise_of_the_stream_is_a_function_of_seed_and_index():
    _, clean = sample(range(5000), seed=3)
    rows = list(stream(3, label_noise=0.2, num_samples=5000))
    label = np.array([row["label"] for row in rows])
    np.testing.assert_array_equal([row["clean_label"] for row in rows], clean)
    assert abs((label != clean).mean() - 0.18) < 5 * np.sqrt(0.18 * 0.82 / 5000)
    part = list(stream(3, label_noise=0.2).skip(1001).take(700))
    np.testing.assert_array_equal([row["label"] for row in part], label[1001:1701])
    built = load_dataset("stream", split="train", num_samples=5000, seed=3, label_noise=0.2, keep_in_memory=True)
    np.testing.assert_array_equal(built["label"][:], label)


@pytest.mark.parametrize("arguments", [{}, {"shuffle_seq": True}, {"padding": (10, 20)}, {"dtype": "float64"}], ids=str)
def test_clean_signals_are_those_without_noise_on_the_same_scale(arguments, cache):
    """`clean` is a linear function of the noise-free dataset; the noisy values do not change by a bit."""
    options = {"num_samples": 500, "cache_dir": cache, **arguments}
    plain, paired = load_dataset(**options), load_dataset(clean=True, **options)
    still = load_dataset(**options, corr_noise_scale=0.0, iid_noise_scale=0.0)
    assert to_numpy(paired["train"])[0].tobytes() == to_numpy(plain["train"])[0].tobytes()
    assert paired["train"].features["clean"] == paired["train"].features["x"]
    clean, alone = np.array(paired["train"]["clean"][:]), np.array(still["train"]["x"][:])
    factor, offset = np.polyfit(alone.ravel(), clean.ravel(), 1)
    np.testing.assert_allclose(clean, factor * alone + offset, atol=1e-5)
    noise = np.array(paired["train"]["x"][:]) - clean
    assert abs(noise.mean()) < 0.02
    assert noise.std() > 0.1


@pytest.mark.parametrize(
    "config", [None, GeneratorConfig(shuffle_seq=True), GeneratorConfig(final_seq_length=60)], ids=str
)
def test_clean_signals_of_the_stream(config):
    x, _ = sample(range(1000), 5, config)
    table = next(iter(stream(5, config, clean=True).with_format("arrow").batch(1000)))
    found = {name: np.stack(table[name].to_pylist()[0]).astype("f4") for name in ("x", "clean")}
    assert found["x"].tobytes() == x.tobytes()
    noise = found["x"] - found["clean"]
    assert abs(noise.mean()) < 0.02
    assert noise.std() > 0.1
    quiet = GeneratorConfig(corr_noise_scale=0.0, iid_noise_scale=0.0)
    table = next(iter(stream(5, quiet, clean=True).with_format("arrow").batch(1000)))
    np.testing.assert_array_equal(table["x"].to_pylist(), table["clean"].to_pylist())


def test_channels(cache):
    rows = load_dataset(split="test", cache_dir=cache, num_samples=100)
    x, _ = to_numpy(rows)
    for channels, shape in (("first", (20, 1, 40)), ("last", (20, 40, 1))):
        found, _ = to_numpy(rows, channels=channels)
        assert found.shape == shape
        assert found.tobytes() == x.tobytes()
        assert np.shares_memory(found, x)
    with pytest.raises(ValueError, match="channels: expected 'first', 'last' or None, found 'middle'"):
        to_numpy(rows, channels="middle")


def test_options_are_part_of_the_caches_identity():
    options = [{}, {"validation": 0.1}, {"label_noise": 0.1}, {"label_noise": 0.2}, {"clean": True}, {"num_test": 0}]
    names = [Mnist1dBuilderConfig.resolve("default", option).identifier for option in options]
    assert len(set(names)) == len(options)
    assert (
        Mnist1dBuilderConfig.resolve("default", {"validation": 0, "label_noise": 0.0, "clean": False}).identifier
        == names[0]
    )


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"validation": 1.0}, ValueError, "validation: expected a fraction from 0 to below 1, found 1.0"),
        ({"validation": 0.00001}, ValueError, r"leaves a split empty \(4000 train, 0 validation\)"),
        ({"validation": "0.1"}, TypeError, "validation: expected a finite number, found '0.1'"),
        ({"label_noise": -0.1}, ValueError, "label_noise: expected a fraction from 0 to 1, found -0.1"),
        ({"label_noise": float("nan")}, ValueError, "label_noise"),
        ({"clean": 1}, TypeError, "clean: expected True or False, found 1"),
        ({"num_train": 100, "num_samples": 100}, ValueError, "num_samples: goes without num_train and num_test"),
        ({"num_train": 0}, ValueError, "num_train: expected an integer of at least 1, found 0"),
        ({"num_train": 1001, "num_test": 1}, ValueError, "expected a multiple of the 10 classes"),
        ({"num_train": -5}, ValueError, "num_train: expected an integer of at least 1, found -5"),
        ({"num_train": 5, "num_test": 0}, ValueError, r"num_train \+ num_test: expected a multiple of the 10 classes"),
        ({"num_test": -1}, ValueError, "num_test: expected an integer of at least 0, found -1"),
        ({"num_test": 10, "train_split": 0.5}, ValueError, "train_split: goes without num_train and num_test"),
        ({"num_trian": 5}, TypeError, "did you mean 'num_train'"),
        ({"validaton": 0.1}, TypeError, "did you mean 'validation'"),
        ({"label_nois": 0.1}, TypeError, "did you mean 'label_noise'"),
    ],
    ids=str,
)
def test_bad_options_are_refused_by_name(options, kind, message):
    with pytest.raises(kind, match=message):
        Mnist1dBuilderConfig.resolve("default", options)


@pytest.mark.parametrize("count", [10**12, 10**18])
def test_more_exact_samples_than_fit_into_memory_are_refused(count, tmp_path):
    with pytest.raises(ValueError, match=r"do not fit into memory.*use the configuration stream"):
        datasets.load_dataset("mnist1d", num_train=count, cache_dir=tmp_path)


def test_one_size_alone_leaves_the_other_as_in_the_configuration():
    sizes = Mnist1dBuilderConfig.resolve("large-40k", {"num_test": 0}).split_sizes
    assert sizes == {"train": 40_000}


@pytest.mark.parametrize("key", ["validation", "num_train", "num_test", "train_split"])
def test_the_stream_has_one_split(key):
    with pytest.raises(ValueError, match=f"{key}: the stream has one split, train"):
        Mnist1dBuilderConfig.resolve("stream", {key: 1})


def test_plain_datasets_functions_take_the_options(cache):
    builder = datasets.load_dataset_builder("mnist1d", cache_dir=cache, validation=0.25, label_noise=0.1, clean=True)
    assert list(builder.info.splits) == ["train", "validation", "test"]
    assert list(builder.info.features) == ["x", "label", "clean_label", "clean"]
    builder.download_and_prepare()
    stated = {split: (item.num_bytes, item.num_examples) for split, item in builder.info.splits.items()}
    expected = {
        split: (item.num_bytes, item.num_examples)
        for split, item in Mnist1d(cache_dir=cache, validation=0.25, label_noise=0.1, clean=True).info.splits.items()
    }
    assert stated == expected
    assert mnist1d_hf.to_numpy(builder.as_dataset("validation"))[0].shape == (1000, 40)
