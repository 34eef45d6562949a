"""The column `posterior`: what `mnist1d_hf.posterior` says of the rows as they stand there, in every configuration."""

from importlib.util import find_spec

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets.distributed import split_dataset_by_node

import mnist1d_hf
from mnist1d_hf import GeneratorConfig, get_templates, load_dataset, posterior, standardization, stream, to_numpy
from mnist1d_hf.data import posterior as answers
from mnist1d_hf.data.builder import Mnist1d
from mnist1d_hf.data.configurations import CONFIGURATIONS, EXACT
from mnist1d_hf.data.schema import Mnist1dBuilderConfig
from mnist1d_hf.export.build import build
from mnist1d_hf.export.plan import ShardPlan
from mnist1d_hf.export.whole import SplitPlan

THREE = {"x": get_templates()["x"][:3], "t": np.arange(12), "y": [7, 8, 9]}
HARD = {"padding": (6, 9), "max_translation": 5, "final_seq_length": 12, "iid_noise_scale": 0.1}  # many are unsure


def column(rows):
    return np.asarray(rows.with_format("numpy")[:]["posterior"])


def as_they_stand(rows, config, templates=None):
    """The posterior of the rows of an exact dataset, float32, by the public function."""
    scale = standardization(config, templates)
    return posterior(to_numpy(rows)[0], config, standardization=scale, templates=templates).astype("f4")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in EXACT),
        ("custom", HARD),
        ("custom", {"seed": 7, "shuffle_seq": True, "corr_noise_scale": 0.5}),
        ("default", {"dtype": "float64", "validation": 0.1, "latents": True, "clean": True, "label_noise": 0.5}),
        ("custom", {"templates": THREE, "num_samples": 300}),
    ],
    ids=str,
)
def test_equals_the_function_in_every_exact_configuration(name, options, cache):
    options = {"num_samples": 500, **options}
    loaded = load_dataset(name, posterior=True, cache_dir=cache, **options)
    config = Mnist1dBuilderConfig.resolve(name, options)
    classes = config.num_classes
    plain = load_dataset(name, cache_dir=cache, **options)
    for split, rows in loaded.items():
        assert rows.features["posterior"] == datasets.List(datasets.Value("float32"), length=classes)
        found = column(rows)
        np.testing.assert_array_equal(found, as_they_stand(rows, config.generator, config.templates))
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
        truth = np.asarray(rows["clean_label" if "label_noise" in options else "label"][:])
        assert (found.argmax(1) == truth).mean() > 0.5  # also where many are unsure
        rest = rows.remove_columns("posterior")  # all else is as without it
        assert rest.features == plain[split].features
        assert rest.with_format("arrow")[:].equals(plain[split].with_format("arrow")[:])


def test_all_test_rows_of_the_paper_are_right(cache):
    test = load_dataset("default", split="test", posterior=True, cache_dir=cache)
    assert (column(test).argmax(1) == test["label"][:]).all()


def test_with_label_noise_it_is_about_the_true_label(cache):
    rows = load_dataset(posterior=True, label_noise=1.0, num_samples=500, split="train", cache_dir=cache)
    likeliest = column(rows).argmax(1)
    assert (likeliest == rows["clean_label"][:]).mean() > 0.98
    assert (likeliest == rows["label"][:]).mean() < 0.3


@pytest.mark.parametrize("arguments", [{}, {"shuffle_seq": True}], ids=str)
def test_the_stream_however_it_is_read(arguments, cache):
    """Rows, batches, tensors, map style, shards, shuffled and resumed: every row has its own posterior."""
    seed, n = 2**33 + 5, 700  # a seed that the exact generator does not take
    config = GeneratorConfig(**arguments)
    options = {"num_samples": n, "posterior": True}
    x, _ = mnist1d_hf.sample(range(n), seed, config)
    if config.shuffle_seq:  # the function knows permutations of smaller seeds only
        scale = answers.stream_scale(config, None, seed)
        expected = answers.score(x.astype(float), scale, config).probability.astype("f4")
    else:
        expected = posterior(x, config).astype("f4")
    index = {row.tobytes(): number for number, row in enumerate(x)}

    def check(batches, count=n):
        seen = 0
        for batch in batches:
            signals = np.asarray(batch["x"], dtype="f4")
            where = [index[row.tobytes()] for row in signals]
            np.testing.assert_allclose(np.asarray(batch["posterior"]), expected[where], atol=1e-9)
            seen += len(signals)
        assert seen == count

    made = stream(seed, config, **options)
    assert list(made.features) == ["x", "label", "posterior"]
    check({key: [value] for key, value in row.items()} for row in made)
    for name in ("numpy", *(["torch"] if find_spec("torch") else [])):
        check({key: value[None] for key, value in row.items()} for row in made.with_format(name))
    check(made.with_format("numpy").iter(500))
    check(made.skip(300).with_format("numpy").iter(500), n - 300)
    check(made.shuffle(seed=1, buffer_size=600).with_format("numpy").iter(500))
    parts = [split_dataset_by_node(made, rank, 2).with_format("numpy").iter(500) for rank in range(2)]
    check(batch for part in parts for batch in part)
    loaded = load_dataset("stream", split="train", seed=seed, num_proc=2, cache_dir=cache, **options, **arguments)
    check([loaded.with_format("numpy")[:]])
    check(
        load_dataset("stream", split="train", seed=seed, streaming=True, **options, **arguments)
        .with_format("numpy")
        .iter(500)
    )


def test_streaming_and_processes_give_the_rows_of_the_exact_generator(cache):
    options = {"posterior": True, "num_samples": 1000, "split": "train"}
    loaded = load_dataset(cache_dir=cache, **options).with_format("arrow")[:]
    parallel = load_dataset(cache_dir=cache + "-2", num_proc=2, **options).with_format("arrow")[:]
    streamed = load_dataset(streaming=True, **options).with_format("arrow")
    for table in (parallel, next(streamed.iter(800))):
        assert table.drop_columns("posterior").equals(loaded.drop_columns("posterior"))
        rows = [np.asarray(item["posterior"].to_pylist()) for item in (table, loaded)]
        np.testing.assert_allclose(*rows, atol=1e-9)


@pytest.mark.parametrize("read", ["stream", "streaming", "builder"])
def test_nothing_is_computed_unless_it_is_asked_for(read, cache, monkeypatch):
    def score(*_, **__):
        raise AssertionError("a posterior was computed")

    monkeypatch.setattr("mnist1d_hf.data.posterior.score", score)

    def first(**options):
        if read == "stream":
            return next(iter(stream(**options)))
        if read == "streaming":
            return next(iter(load_dataset(split="train", streaming=True, num_samples=100, **options)))
        return load_dataset(split="train", num_samples=100, cache_dir=cache, **options)[0]

    assert set(first()) == {"x", "label"}
    with pytest.raises(Exception, match="a posterior was computed"):
        first(posterior=True)


def test_it_is_part_of_the_caches_identity_and_of_what_is_known_beforehand(cache):
    names = {Mnist1dBuilderConfig.resolve(name, {}).identifier for name in CONFIGURATIONS}
    for name in CONFIGURATIONS:
        assert Mnist1dBuilderConfig.resolve(name, {"posterior": True}).identifier not in names
        assert Mnist1dBuilderConfig.resolve(name, {"posterior": False}).identifier in names
    builder = Mnist1d(cache_dir=cache, posterior=True, num_samples=100)
    stated = builder.info.splits["train"].num_bytes
    builder.download_and_prepare()
    assert builder.info.splits["train"].num_bytes == stated


def test_progress_is_seen_while_posteriors_are_made(cache):
    """A table has about a second's worth of rows, so that the library's bar and that of `build` move."""
    options = {"posterior": True, "padding": (1, 2), "max_translation": 2, "num_samples": 10_000}
    builder = Mnist1d(cache_dir=cache, **options)
    (train, _) = builder._split_generators(None)
    sizes = [len(table) for _, table in builder._generate_tables(**train.gen_kwargs)]
    assert sizes == [4096, 3904]
    reported = []
    build(SplitPlan(builder.config), "exact", progress=reported.append)
    assert [amount for amount in reported if amount] == [4096, 3904, 2000]
    reported.clear()
    build(ShardPlan.of(Mnist1dBuilderConfig.resolve("stream", options), 1), "stream", progress=reported.append)
    assert max(reported) <= 512
    assert sum(reported) == 10_000


@pytest.mark.parametrize("config", ["default", "stream"])
def test_build_writes_it(run, cache, config):
    more = ("--num-samples", 200, "--posterior", "--shuffle-seq", "--output", "out")
    code, _, errors = run("build", "--config", config, *more)
    assert code == 0, errors
    loaded = datasets.load_dataset("out", cache_dir=cache)
    again = load_dataset(config, num_samples=200, shuffle_seq=True, posterior=True, cache_dir=cache)
    for split, rows in again.items():
        assert loaded[split].features == rows.features
        np.testing.assert_allclose(column(loaded[split]), column(rows), atol=1e-9)
    assert pq.read_schema("out/data/train-00000-of-00001.parquet").field("posterior").type.list_size == 10
    assert run("verify", "out")[0] == 0


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"posterior": "yes"}, TypeError, "posterior: expected True or False, found 'yes'"),
        ({"posterior": 1}, TypeError, "posterior: expected True or False, found 1"),
        ({"posteriors": True}, TypeError, "did you mean 'posterior'"),
        ({"posterior": True, "padding": (0, 3000)}, ValueError, "posterior: the tables of this configuration would"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["default", "stream"])
def test_wrong_values_are_refused(name, options, kind, message):
    with pytest.raises(kind, match=message):
        Mnist1dBuilderConfig.resolve(name, options)
