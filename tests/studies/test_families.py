"""Families of models: MiniRocket against loops, classifiers against scikit-learn, what may see the test samples."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

from mnist1d_hf.data.stream import sample
from mnist1d_hf.errors import MissingExtraError
from mnist1d_hf.studies import classifiers, families, minirocket
from mnist1d_hf.studies.families import BASE, FAMILIES, NOTEBOOK, STUDY, claims, findings, fitted, summary
from mnist1d_hf.studies.run import Job


def loops(x, transform):
    """The features of the paper's definition, one number at a time."""
    found = []
    for signal in x.astype(float):
        row = []
        for number, (dilation, biases) in enumerate(zip(transform.dilations, transform.biases, strict=True)):
            for kernel, heavy in enumerate(itertools.combinations(range(9), 3)):
                values = []
                for centre in range(len(signal)):
                    places = [centre + (step - 4) * dilation for step in range(9)]
                    inside = [0 <= place < len(signal) for place in places]
                    if (number + kernel) % 2 and not all(inside):
                        continue  # these kernels do not see zeros beyond the ends
                    weights = [2 if step in heavy else -1 for step in range(9)]
                    terms = zip(weights, places, inside, strict=True)
                    values.append(sum(weight * signal[place] for weight, place, within in terms if within))
                row += [np.mean([value > bias for value in values]) for bias in biases[kernel]]
        found.append(row)
    return np.array(found)


@pytest.mark.parametrize(("length", "features"), [(40, 84 * 5), (40, 84 * 9 + 3), (23, 84 * 3)])
def test_minirocket_is_that_of_the_paper(length, features):
    random = np.random.default_rng(0)
    x = random.integers(-9, 10, (5, length)).astype(np.float32)  # sums without rounding
    transform = minirocket.fit(x, features, seed=1)
    shifted = [biases + np.float32(0.25) for biases in transform.biases]  # no value equals a bias
    transform = dataclasses.replace(transform, biases=tuple(shifted))
    assert transform.features == features // 84 * 84
    np.testing.assert_allclose(transform.transform(x), loops(x, transform), atol=1e-6)


def test_biases_are_quantiles_of_a_training_signal():
    x = np.random.default_rng(0).standard_normal((1, 40)).astype(np.float32)
    transform = minirocket.fit(x, 84 * 119)
    values = minirocket.convolve(x, 1)[:, 7, 0]
    golden = (np.sqrt(5) + 1) / 2
    places = [(number + 1) * golden % 1 for number in range(7 * 53, 8 * 53)]
    np.testing.assert_allclose(transform.biases[0][7], np.quantile(values, places), rtol=1e-5)


@pytest.mark.parametrize("rows", [1, minirocket.ROWS, minirocket.ROWS + 1])
def test_minirocket_does_not_depend_on_the_parts_that_signals_are_computed_in(rows):
    x, _ = sample(range(minirocket.ROWS + 1), 3)
    transform = minirocket.fit(x, 168)
    np.testing.assert_array_equal(transform.transform(x[:rows]), transform.transform(x)[:rows])


def test_nearest_neighbours_by_hand():
    x = np.array([[0.0], [1.0], [2.0], [10.0], [11.0]], dtype=np.float32)
    label = np.array([0, 0, 1, 2, 2])
    model = classifiers.fit("neighbours", {"n_neighbors": 3}, x, label, 0, trees=1, features=84)
    assert model.predict(np.array([[0.4], [9.0]], dtype=np.float32)).tolist() == [0, 2]
    assert model.parameters == 5
    assert model.accuracy(np.array([[0.4], [9.0]], dtype=np.float32), np.array([0, 1])) == 0.5


def test_predictions_of_support_vectors_are_those_of_scikit_learn():
    from sklearn.svm import SVC

    x, label = sample(range(400), 5)
    label = np.where(label > 6, 6, label)  # classes of different sizes
    model = SVC(C=3.0, gamma=0.1).fit(x, label)
    others, _ = sample(range(2000), 6)
    assert (classifiers._svm_predictions(model)(others) == model.predict(others)).mean() > 0.999


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ("forest", "gru", "transformer")])
def test_a_family_is_fitted_the_same_way_again_whether_or_not_it_is_tested(family):
    settings = dataclasses.replace(STUDY.quick, steps=3)
    test = sample(range(50), 99)
    first = fitted(settings, family, 1, 120, [0, 1], test, "cpu")
    again = fitted(settings, family, 1, 120, [0, 1], None, "cpu")
    assert [(one[0], one[2]) for one in first] == [(one[0], one[2]) for one in again]
    assert np.isnan([one[1] for one in again]).all()


def test_configurations_are_chosen_without_test_samples_and_held_out_rows_are_not_trained_on(monkeypatch):
    settings = dataclasses.replace(STUDY.quick, families=("logistic",))
    seen = []

    def spy(family, configuration, x, label, seed, **options):
        seen.append(x)
        return classifiers.fit(family, configuration, x, label, seed, **options)

    monkeypatch.setattr(families, "fit", spy)
    monkeypatch.setattr(families, "fresh_samples", lambda *_: pytest.fail("test samples were read"))
    tried = families.tuning(settings, "logistic", 250, "cpu")
    assert len(tried) == 4
    assert len(seen) == 8  # configurations and seeds
    whole = sample(range(200), 0)[0]
    rows = {signal.tobytes() for signal in whole}
    assert len(seen[0]) == 150  # of 200, 50 are held out
    assert {signal.tobytes() for signal in seen[0]} < rows


def table(shift=0.0):
    """Ten seeds at the published accuracies, with another CNN."""
    random, rows = np.random.default_rng(0), []
    published = {"logistic": 32, "mlp": 65, "gru": 90, "cnn": 94 + shift, "minirocket": 92, "forest": 75}
    for (family, value), samples, seed in itertools.product(published.items(), (250, BASE), range(10)):
        rows.append((family, samples, seed, "C 1", value + random.normal(), 410))
    rows += [("neighbours", BASE, seed, NOTEBOOK, 59.6 + random.normal(), 160_000) for seed in range(10)]
    rows += [("neighbours", BASE, seed, "k 5", 20.0, 144_000) for seed in range(10)]
    rows.append(("bayes", 0, 0, "the exact posterior", 99.98, 0))
    return pd.DataFrame(rows, columns=["family", "samples", "seed", "configuration", "test_accuracy", "parameters"])


def test_the_order_of_the_families_is_tested():
    assert {claim.outcome for claim in claims(table())} == {"reproduced"}
    assert len(claims(table())) == 5
    found = {claim.name: claim.outcome for claim in claims(table(shift=-10))}
    assert found["CNN above GRU"] == "not reproduced"
    assert found["CNN above MLP"] == "reproduced"


def test_findings_are_of_the_chosen_configurations():
    found = {finding.name: finding for finding in findings(table())}
    assert found["nearest neighbours"].mean == pytest.approx(20)
    assert found["Bayes"].n == 1
    assert found["MiniRocket - random forest, 250"].mean == pytest.approx(17, abs=1)


def test_the_summary_has_a_row_for_each_family_and_the_seconds_of_its_units():
    seconds = {f"cnn-{BASE}-0": 30.0, f"cnn-{BASE}-5": 31.0, "cnn-250-0": 7.0}
    columns, rows = summary(table(), seconds)
    assert all(len(row) == len(columns) for row in rows)
    cells = {row[0]: row for row in rows}
    assert cells["CNN"][-2:] == ("410", "61")
    assert cells["Bayes"][1:3] == ("99.98", "99.98")
    assert cells["nearest neighbours"][1] == ""
    assert cells["nearest neighbours"][2] == "20.0 ± 0.0"
    assert cells["nearest neighbours"][3] == "144,000"


def test_without_scikit_learn_one_line_says_what_to_install(tmp_path):
    study = dataclasses.replace(STUDY, libraries=("sklearn_of_2099",))
    with pytest.raises(MissingExtraError, match=r"mnist1d_hf\[studies\]"):
        Job(study, study.quick, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_small_run_goes_through(tmp_path):
    settings = dataclasses.replace(STUDY.quick, families=("logistic", "minirocket", "mlp"), test_samples=200)
    job = Job(STUDY, settings, tmp_path / "out", num_proc=1)
    found = job.run()
    assert set(found["family"]) == {"logistic", "minirocket", "mlp", "bayes"}
    assert job.output.verdict()["claims"]
    assert len(found) == 1 + 2 * 2 * 3
    assert all(len(tried) == 4 for tried in found[found["family"] != "bayes"]["tried"])
