"""The Bayes error: posteriors are what they say, to a stated rate of false alarms; other ones are found out."""

import numpy as np
import pandas as pd
import pytest

from mnist1d_hf import GeneratorConfig, list_pretrained, load_pretrained, posterior, sample
from mnist1d_hf.data.posterior import score, stream_scale
from mnist1d_hf.studies.bayes_error import accuracy_of, figure, findings, measure, p_values, surprise, with_noise
from mnist1d_hf.training.evaluation import evaluate

FALSE_ALARMS = 1e-6  # of each test below, if the posteriors are right
SMALL = {"padding": (6, 9), "max_translation": 5, "final_seq_length": 12}
UNSURE = GeneratorConfig(**SMALL, corr_noise_scale=1.0, iid_noise_scale=0.08)


def scored(config, count, step=20_000, seed=2**61):
    """Posteriors and labels of the first samples of a stream, in parts."""
    for start in range(0, count, step):
        x, label = sample(range(start, min(start + step, count)), seed, config)
        yield posterior(x, config), label


def p_values_by_class(parts):
    """Of the tests of `p_values` for all classes together, and for each class against the others."""
    tables = [[measure(p, label) for p, label in parts]]
    for kind in range(parts[0][0].shape[1]):
        pairs = ((np.stack([p[:, kind], 1 - p[:, kind]], 1), (label != kind).astype(int)) for p, label in parts)
        tables.append([measure(np.clip(p, 1e-300, 1), label) for p, label in pairs])
    return np.concatenate([p_values(pd.DataFrame(rows)) for rows in tables])


def check(parts):
    """Accuracy is the mean of the largest posterior, and classes are as frequent as the posterior says (Bonferroni)."""
    p = p_values_by_class(parts)
    assert p.min() > FALSE_ALARMS / len(p)


@pytest.fixture(scope="module")
def unsure():
    return list(scored(UNSURE, 20_000))


def test_twenty_thousand_posteriors_are_frequencies():
    parts = list(scored(GeneratorConfig(), 20_000))
    check(parts)
    assert accuracy_of(pd.DataFrame([measure(p, label) for p, label in parts]))[0] > 99.9


def test_posteriors_of_unsure_signals_are_frequencies(unsure):
    check(unsure)
    rows = pd.DataFrame([measure(p, label) for p, label in unsure])
    assert accuracy_of(rows)[0] < 97
    assert abs(surprise(rows)) < 4.9  # a false alarm in a million


def test_no_bundled_network_has_a_smaller_loss():
    x, label = sample(range(5000), 2**61)
    best = measure(posterior(x), label)["loss"]
    for entry in list_pretrained():
        if entry.data != "shuffled":
            assert evaluate(load_pretrained(entry.name), x, label).loss > 2 * best, entry.name


@pytest.mark.long
@pytest.mark.parametrize(("noise", "count"), [(1.0, 1_000_000), (3.0, 50_000)])
def test_a_million_posteriors_are_frequencies(noise, count):
    check(list(scored(with_noise(noise), count)))


@pytest.mark.parametrize("power", [0.8, 1.25])
def test_posteriors_that_are_too_modest_or_too_sure_are_seen(unsure, power):
    with pytest.raises(AssertionError):
        check([(p**power / (p**power).sum(1, keepdims=True), label) for p, label in unsure])


def test_posteriors_of_other_noise_are_seen():
    x, label = sample(range(10_000), 2**61, UNSURE)
    other = GeneratorConfig(**SMALL, corr_noise_scale=1.25, iid_noise_scale=0.1)
    with pytest.raises(AssertionError):
        check([(score(x.astype(float), stream_scale(UNSURE), other).probability, label)])


def test_a_table_without_the_default_data_is_drawn():
    p, label = np.tile(np.eye(10), (2, 1)) * 0.9 + 0.01, np.arange(20) % 10
    rows = [{"classifier": "Bayes", "noise": 0.5, "seed": seed, **measure(p, label)} for seed in range(2)]
    for network in ("CNN", "ResNet"):
        rows += [{"classifier": network, "noise": 0.5, "seed": 0, "signals": 20, "correct": 19, "loss": 0.1}]
    table = pd.DataFrame(rows)
    assert figure(table).axes[1].get_title() == "No signals of the default data (noise x 1)"
    assert findings(table)


def test_measure_counts():
    p = np.array([[0.75, 0.25], [0.0, 1.0], [0.3, 0.7]])
    found = measure(p, np.array([0, 1, 0]))
    assert found["confusion"] == [1, 1, 0, 1]
    assert found["expected_confusion"] == pytest.approx([0.75, 0.3, 0.25, 1.7])
    assert found["expected_loss"] == pytest.approx(-np.sum(p * np.log(np.maximum(p, 1e-9))) / 3)
    assert found["loss"] == pytest.approx(-np.log([0.75, 1, 0.3]).mean())
    assert (sum(found["pairs"]), sum(found["hits"])) == (6, 3)
