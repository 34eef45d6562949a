"""Models beside the labels and beside the exact posterior."""

import json
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from mnist1d_hf import load_pretrained, posterior
from mnist1d_hf.data.configurations import FRESH_SAMPLES
from mnist1d_hf.models.catalog import FOLDER, list_pretrained, results
from mnist1d_hf.training import evaluation
from mnist1d_hf.training.baseline import record_bayes, write_bayes
from mnist1d_hf.training.statistics import wilson_interval
from mnist1d_hf.training.tables import BAYES_RESULTS, bayes_results

ON_SIGNALS = [entry.name for entry in list_pretrained() if entry.data != "shuffled"]


class Copies(nn.Module):
    """Sure that the class is the first number of the signal."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, x):
        return SimpleNamespace(logits=self.scale * nn.functional.one_hot(x[:, 0].long(), 3))


def test_evaluation_counts():
    x = np.array([[0.0], [1.0], [1.0], [2.0]], dtype=np.float32)
    model = Copies().train()
    found = evaluation.evaluate(model, x, np.array([0, 1, 2, 2]), batch_size=3)
    assert found.confusion.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert found.accuracy == 0.75
    assert found.interval == wilson_interval(3, 4)
    assert found.loss == pytest.approx(5.0, abs=1e-3)
    assert found.per_class() == [(1, 1.0, 1.0), (1, 1.0, 0.5), (2, 0.5, 1.0)]
    assert model.training
    with pytest.raises(ValueError, match="labels: expected 0 to 2, found 3"):
        evaluation.evaluate(model, x, np.array([0, 1, 2, 3]))
    with pytest.raises(ValueError, match="expected as many labels as signals"):
        evaluation.evaluate(model, x[:0], np.array([]))


def test_fresh_samples_are_of_the_configuration():
    x, label = evaluation.fresh_samples("noise-free", 100)
    assert x.shape == (100, 40)
    assert (evaluation.fresh_samples("noise-free", 50)[0] == x[:50]).all()
    assert set(label.tolist()) <= set(range(10))
    with pytest.raises(ValueError, match="shuffled: the permutation belongs to its seed"):
        evaluation.fresh_samples("shuffled", 10)


class Gives(nn.Module):
    """The logits that the signal consists of."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return SimpleNamespace(logits=self.scale * x)


def test_the_comparison_follows_its_definitions():
    """Against sums written out, with a class that is impossible and one more that only the model knows."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, 4)).astype(np.float32)
    p = rng.dirichlet([1, 1, 1], 50)
    p[:10] = [0.25, 0.75, 0]
    label = p.argmax(1)
    found = evaluation.evaluate(Gives(), logits, label, posterior=p)

    q = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(1, keepdims=True)
    gaps = [math.log(p[i, c]) - math.log(q[i, c]) for i, c in enumerate(label)]
    divergence = [sum(a * math.log(a / b) for a, b in zip(p[i], q[i], strict=False) if a > 0) for i in range(50)]
    predicted = logits.argmax(1)
    confidence = [abs(q[i, c] - (p[i, c] if c < 3 else 0.0)) for i, c in enumerate(predicted)]
    bayes = found.bayes
    assert bayes.loss == pytest.approx(-np.mean([math.log(p[i, c]) for i, c in enumerate(label)]))
    assert bayes.excess_loss.mean == pytest.approx(np.mean(gaps))
    assert bayes.excess_loss.mean == pytest.approx(found.loss - bayes.loss)
    interval = stats.t.interval(0.95, 49, np.mean(gaps), stats.sem(gaps))
    assert (bayes.excess_loss.low, bayes.excess_loss.high) == pytest.approx(interval, abs=1e-3)
    assert bayes.kl_divergence == pytest.approx(np.mean(divergence))
    assert bayes.calibration_error == pytest.approx(np.mean(confidence))
    assert (bayes.accuracy, bayes.expected_accuracy) == (1.0, pytest.approx(p.max(1).mean()))
    assert found.confusion.shape == (4, 4)
    without = evaluation.evaluate(Gives(), logits, label)
    assert (without.loss, without.bayes) == (found.loss, None)


@pytest.mark.parametrize("shape", [(49, 4), (50, 5), (50,)], ids=str)
def test_a_posterior_of_another_shape_is_refused(shape):
    x = np.zeros((50, 4), dtype=np.float32)
    with pytest.raises(ValueError, match=r"posterior: expected shape \(50, 4\), found"):
        evaluation.evaluate(Gives(), x, np.zeros(50, dtype=int), posterior=np.full(shape, 0.25))


def test_bayes_beside_itself_has_no_excess():
    p = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [0.1, 0.7, 0.2]])
    found = evaluation.evaluate_bayes(p, np.array([1, 2, 0]))
    assert found.confusion.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert found.loss == found.bayes.loss == pytest.approx(-np.log([0.5, 1.0, 0.1]).mean())
    assert found.bayes.expected_accuracy == pytest.approx(2.2 / 3)
    assert found.bayes.excess_loss[1:] == (0, 0, 0, 0)
    assert (found.bayes.kl_divergence, found.bayes.calibration_error) == (0, 0)
    certain = evaluation.evaluate_bayes(np.eye(3), np.array([0, 1, 2]))
    assert f"{certain.loss} {certain.bayes.loss}" == "0.0 0.0"
    impossible = evaluation.evaluate_bayes(np.eye(3), np.array([0, 1, 1]))
    assert (impossible.loss, impossible.bayes.excess_loss.mean) == (math.inf, 0)


@pytest.fixture(scope="module")
def fresh():
    """The first 2,000 of the fresh samples that are recorded, and their posterior."""
    x, label = evaluation.fresh_samples("default", 2000)
    return x, label, posterior(x)


@pytest.mark.parametrize("name", ON_SIGNALS)
def test_bayes_beats_every_network(name, fresh):
    """On 2,000 fresh samples; and the excess is the recorded one, within four standard errors."""
    x, label, p = fresh
    found = evaluation.evaluate(load_pretrained(name), x, label, posterior=p)
    assert found.loss > found.bayes.loss
    assert found.bayes.kl_divergence > 0
    recorded = results(name)["released"]["bayes"]["excess_loss"]
    assert abs(found.bayes.excess_loss.mean - recorded["mean"]) < 4 * recorded["std"] / math.sqrt(2000)


@pytest.mark.parametrize("name", ON_SIGNALS)
def test_bayes_beats_every_network_in_the_records(name):
    """On 100,000 fresh samples, with the whole interval."""
    found, bayes = results(name)["released"]["bayes"], bayes_results()["fresh"]
    assert found["samples"] == found["excess_loss"]["n"] == bayes["samples"] == FRESH_SAMPLES
    assert (found["bayes_loss"], found["bayes_accuracy"]) == (bayes["loss"], bayes["accuracy"])
    assert found["accuracy"] == results(name)["released"]["fresh"] < bayes["accuracy"]
    assert found["excess_loss"]["mean"] == pytest.approx(found["loss"] - found["bayes_loss"])
    assert found["excess_loss"]["low"] > 0
    estimate = found["excess_loss"]["mean"], found["kl_divergence"]  # of the same number
    assert abs(estimate[0] - estimate[1]) < found["excess_loss"]["high"] - found["excess_loss"]["low"]


def test_a_posterior_in_parts_is_the_same(fresh):
    x, _, p = fresh
    counts = []
    parts = evaluation.exact_posterior(x[:1500], evaluation.GeneratorConfig(), progress=counts.append)
    assert counts == [1024, 476]
    assert np.abs(parts - p[:1500]).max() < 1e-12


@pytest.mark.long
def test_the_records_are_made_again(tmp_path):
    """The command that wrote them gives them again: the network that is nearest to bayes, and bayes itself."""
    x, _ = evaluation.fresh_samples("default", FRESH_SAMPLES)
    p = evaluation.exact_posterior(x, evaluation.GeneratorConfig())
    write_bayes(p, tmp_path / "bayes.json")
    again = json.loads((tmp_path / "bayes.json").read_text())
    for data, expected in json.loads(BAYES_RESULTS.read_text()).items():
        assert again[data] == pytest.approx(expected, abs=2e-5)
    folder = shutil.copytree(FOLDER / "resnet-stream", tmp_path / "resnet-stream")
    record_bayes(folder, p)
    found, expected = (json.loads((place / "results.json").read_text()) for place in (folder, FOLDER / "resnet-stream"))
    excess, recorded = (item["released"]["bayes"].pop("excess_loss") for item in (found, expected))
    assert excess == pytest.approx(recorded, abs=1e-4)
    assert found["released"].pop("bayes") == pytest.approx(expected["released"].pop("bayes"), abs=2e-5)
    assert found == expected
