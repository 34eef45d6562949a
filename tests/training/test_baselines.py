"""The bundled baselines: their numbers come from their weights, and a recipe lands where it says."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats

from mnist1d_hf import list_pretrained, load_pretrained, sample
from mnist1d_hf.models.catalog import FOLDER, results
from mnist1d_hf.publishing.repositories import model_repositories
from mnist1d_hf.training import evaluation
from mnist1d_hf.training.baseline import fresh_accuracy, write_baseline
from mnist1d_hf.training.data import load_arrays
from mnist1d_hf.training.recipe import Recipe
from mnist1d_hf.training.recipes import RECIPES, find_recipe
from mnist1d_hf.training.runs import train
from mnist1d_hf.training.statistics import standard_error, summarize, wilson_interval

NAMES = [entry.name for entry in list_pretrained()]


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_give_the_accuracy_that_is_stated(name):
    """Exactly: the same predictions on the test split."""
    found = results(name)
    arrays = load_arrays(found["data"]["configuration"])
    measured = evaluation.evaluate(load_pretrained(name), arrays.x_test, arrays.label_test)
    assert measured.accuracy == pytest.approx(found["released"]["test"], abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_give_the_accuracy_on_fresh_samples(name):
    """On 3,000 of the 100,000: within four standard errors, false alarm 6e-5."""
    fresh, released = results(name)["released"]["fresh"], load_pretrained(name)
    assert (fresh is None) == (results(name)["data"]["configuration"] == "shuffled")
    if fresh is not None:
        measured = evaluation.evaluate(released, *evaluation.fresh_samples("default", 3000)).accuracy
        assert abs(measured - fresh) < 4 * standard_error(fresh, 3000)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("shuffled")])
def test_the_weights_give_that_accuracy_exactly(name):
    measured = fresh_accuracy(load_pretrained(name), results(name)["data"]["configuration"])
    assert measured == pytest.approx(results(name)["released"]["fresh"], abs=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_tables_follow_from_the_rows(name):
    found = results(name)
    rows = found["members"]
    assert len({row["seed"] for row in rows}) == len(rows) == RECIPES[name].seeds
    summary = summarize([row["test"] for row in rows])
    assert found["test_accuracy"] == pytest.approx(summary._asdict())
    assert found["diverged"] == [row["seed"] for row in rows if row["diverged"]]
    chosen = next(row for row in rows if row["seed"] == found["released"]["seed"])
    if found["recipe"]["holdout"]:
        assert chosen["validation"] == max(row["validation"] for row in rows)
    else:
        assert chosen["seed"] == 0
    assert found["recipe"]["name"] == name
    assert RECIPES[name].to_dict() == {**found["recipe"], "network": RECIPES[name].to_dict()["network"]}
    assert json.loads(json.dumps(RECIPES[name].to_dict()["network"])) == found["recipe"]["network"]


@pytest.mark.long
def test_a_recipe_lands_in_its_interval(tmp_path):
    """`logistic` trained again, 10 seeds: its mean is within four standard errors of the recorded population's, and
    its folder is a baseline. Training is deterministic here, elsewhere it may round differently: false alarm 6e-5."""
    recorded = results("logistic")["test_accuracy"]
    arrays = load_arrays("default")
    run = train(find_recipe("logistic"), range(100, 110), arrays, tmp_path / "run", num_proc=1)
    summary = summarize([member.test for member in run.members])
    assert abs(summary.mean - recorded["mean"]) < 4 * recorded["std"] / math.sqrt(10)
    folder = write_baseline(run, arrays, tmp_path / "logistic")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "results.json"]


def test_all_of_it_is_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 5_000_000


def test_an_old_name_loads_the_same_weights_with_a_warning():
    x, _ = sample(range(8))
    with pytest.warns(FutureWarning, match="^the baseline 'ceiling' is now called 'resnet-stream'") as caught:
        old = load_pretrained("ceiling")
    assert caught[0].filename == __file__
    logits = [model(torch.from_numpy(x)).logits for model in (old, load_pretrained("resnet-stream"))]
    assert torch.equal(*logits)
    assert "ceiling" not in NAMES
    with pytest.warns(FutureWarning):
        assert find_recipe("ceiling") == RECIPES["resnet-stream"]
    with pytest.warns(FutureWarning):
        (repository,) = model_repositories("someone", ["ceiling", "resnet-stream"])
    assert (repository.repo_id, repository.baseline) == ("someone/mnist1d-resnet-stream", "resnet-stream")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown baseline"):
        load_pretrained("../cnn")
    with pytest.raises(ValueError, match=r"unknown baseline 'bayse': did you mean 'bayes'\?"):
        load_pretrained("bayse")
    with pytest.raises(ValueError, match=r"the exact posterior, which has no weights; use mnist1d_hf\.posterior"):
        load_pretrained("bayes")
    with pytest.raises(TypeError, match="name: expected the name of a baseline, found int"):
        load_pretrained(3)


def test_intervals():
    """Against scipy, for the quantiles and for Wilson's interval."""
    for n in (2, 3, 10, 31, 32, 100):
        values = np.random.default_rng(n).normal(size=n)
        low, high = stats.t.interval(0.95, n - 1, values.mean(), values.std(ddof=1) / math.sqrt(n))
        summary = summarize(values)
        assert (summary.low, summary.high) == pytest.approx((low, high), abs=2e-3)
    for right, total in ((0, 10), (10, 10), (958, 1000)):
        expected = stats.binomtest(right, total).proportion_ci(method="wilson")
        assert wilson_interval(right, total) == pytest.approx((expected.low, expected.high), abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "sdg"}, "optimizer: expected one of adam, adamw, sgd, found 'sdg'"),
        ({"schedule": "linear"}, "schedule: expected one of constant, cosine"),
        ({"select": "last"}, "select: expected 'final' or 'best', found 'last'"),
        ({"holdout": 0.0}, "select: the best step is chosen on held-out data"),
        ({"synthetic": 1.5}, "synthetic: expected a fraction from 0 to 1, found 1.5"),
        ({"synthetic": 0.5, "data": "shuffled"}, "synthetic: signals of shuffled cannot be taken apart"),
        ({"data": "stream"}, "holdout: the stream has no rows to hold out"),
    ],
    ids=str,
)
def test_bad_recipes_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**{"name": "x", "network": {}, "steps": 1, **changes})
