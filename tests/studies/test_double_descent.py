"""Double descent: conditions and data are what they should be, places are found, and the verdict follows."""

import numpy as np
import pytest
from mnist1d_hf.studies.table import Table

from mnist1d_hf.studies.double_descent import (
    STUDY,
    Condition,
    DescentSettings,
    _network,
    claims,
    conditions,
    parameters,
    peaks,
    thresholds,
    training_set,
    units,
)


@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
@pytest.mark.parametrize(("width", "classes"), [(4, 10), (7, 2)])
def test_parameters_are_counted(architecture, width, classes):
    network = _network(Condition(architecture, "cross-entropy", 0.0, 100, classes, 1), width)
    assert sum(values.numel() for values in network.parameters()) == parameters(architecture, width, classes)


def condition(**changes):
    return Condition(**{**{"architecture": "mlp", "loss": "cross-entropy", "noise": 0.15, "classes": 10}, **changes})


def test_training_sets_have_their_noise():
    """4,000 labels, each drawn anew with probability 0.15 and then another with 0.9: 540 ± 21, five deviations."""
    clean_x, clean = training_set(condition(samples=4000, noise=0.0, steps=1), 3)
    x, label = training_set(condition(samples=4000, steps=1), 3)
    assert x.shape == (4000, 40)
    assert np.array_equal(x, clean_x)
    assert abs((label != clean).sum() - 540) < 108
    _, other = training_set(condition(samples=4000, noise=0.0, steps=1), 4)
    assert not np.array_equal(clean, other)


@pytest.mark.parametrize("classes", [2, 5, 10])
def test_classes_are_the_first_ones(classes):
    x, label = training_set(condition(samples=700, classes=classes, steps=1), 0)
    assert len(x) == len(label) == 700
    assert set(label.tolist()) == set(range(classes))


def test_conditions_tell_n_and_k_apart():
    found = conditions(STUDY.full)
    assert len(found) == len(set(found))
    for loss in ("cross-entropy", "squared-error"):
        pairs = {(c.samples, c.classes) for c in found if c.loss == loss and c.architecture == "mlp" and c.noise}
        assert pairs == {(4000, 10), (500, 10), (1000, 10), (2000, 10), (1000, 2), (1000, 5)}
    for unit in units(STUDY.full):
        chosen = unit.arguments["condition"]
        size = parameters(chosen.architecture, unit.arguments["width"], chosen.classes)
        assert chosen.samples / 8 <= size <= 4 * chosen.samples * chosen.classes


def made_up(place, fall=8.0, noise=0.005, seeds=10, shift=0.0):
    """A table of the full settings whose peaks and thresholds are at `place(loss, samples, classes)` parameters, and
    whose errors are the notebook's."""
    random, rows, settings = np.random.default_rng(0), [], DescentSettings(seeds=seeds)
    published = {("mlp", 16): 47.2, ("mlp", 47): 54.0, ("mlp", 300): 45.5}
    published |= {("cnn", 10): 19.6, ("cnn", 18): 33.8, ("cnn", 100): 27.7}
    for unit in units(settings):
        chosen, width = unit.arguments["condition"], unit.arguments["width"]
        size = parameters(chosen.architecture, width, chosen.classes)
        where = place(chosen.loss, chosen.samples, chosen.classes)
        error = published.get((chosen.architecture, width), 46.0 if size < 4000 else 54.0 - fall * (size > 20000))
        for seed in range(seeds):
            rows.append(
                {
                    "architecture": chosen.architecture,
                    "loss": chosen.loss,
                    "noise": chosen.noise,
                    "samples": chosen.samples,
                    "classes": chosen.classes,
                    "width": width,
                    "parameters": size,
                    "seed": seed,
                    "train_loss": float(size < where),
                    "train_error": 30.0 * (size < where),
                    "test_loss": 3 - abs(np.log(size / where)) + noise * random.standard_normal(),
                    "test_error": (error if chosen.noise else 45 - np.log(size)) + shift + random.standard_normal() / 2,
                }
            )
    return Table(rows)


def claimed(loss, n, classes):
    return n * classes if loss == "squared-error" else n


def outcomes(found):
    return {claim.name: claim.outcome for claim in claims(found)}


def test_places_are_found():
    some = made_up(claimed).where(architecture="mlp", samples=4000, noise=0.15)
    sizes = np.array(sorted(some.unique("parameters")), dtype=float)
    for loss, where in (("cross-entropy", 4000), ("squared-error", 40000)):
        nearest = sizes[np.abs(np.log(sizes / where)).argmin()]
        assert (peaks(some.where(loss=loss)) == nearest).all()
        above = int((sizes < where).sum())
        assert (thresholds(some.where(loss=loss)) == np.sqrt(sizes[above - 1] * sizes[above])).all()


@pytest.mark.parametrize(("where", "end"), [(1, 0), (10**9, -1)])
def test_there_is_no_peak_at_the_ends(where, end):
    some = made_up(lambda *_: where).where(architecture="mlp", samples=4000, noise=0.15)
    for loss in ("cross-entropy", "squared-error"):
        found = some.where(loss=loss)
        assert np.isnan(peaks(found)).all()
        assert np.isnan(thresholds(found)).all()
        assert (peaks(found, ends=True) == sorted(found.unique("parameters"))[end]).all()
        assert (thresholds(found, ends=True) == sorted(found.unique("parameters"))[end]).all()


def test_a_peak_may_be_lower_than_the_loss_of_narrow_networks():
    some = made_up(claimed).where(architecture="mlp", samples=4000, noise=0.15, loss="cross-entropy")
    expected = peaks(some)
    for row in some:
        row["test_loss"] += 6 * np.exp(-((row["parameters"] / 700) ** 2))
    assert some.grid("test_loss", "parameters").mean(0).argmax() == 0
    assert (peaks(some) == expected).all()
    for row in some:
        row["test_loss"] = np.nan if row["parameters"] == expected[row["seed"]] else row["test_loss"]  # diverged
    assert (peaks(some) == expected).all()


def test_the_claims_are_reproduced_where_they_hold():
    found = outcomes(made_up(claimed))
    assert len(found) == 24
    assert set(found.values()) == {"reproduced"}


def test_and_not_where_they_do_not():
    """Both losses at n: the claims about the squared error fail, those about cross-entropy stand."""
    found = outcomes(made_up(lambda _, n, __: n))
    assert found["peak, squared error, MLP"] == "not reproduced"
    assert found["threshold, squared error, CNN"] == "not reproduced"
    assert found["peak, squared error: K^a"] == "not reproduced"
    assert found["peak, squared error: n^a"] == "reproduced"
    assert found["peak, cross-entropy, MLP"] == "reproduced"
    turned = outcomes(made_up(lambda _, n, classes: n * classes))
    assert turned["peak, cross-entropy: K^a"] == "not reproduced"
    assert turned["peak, squared error, MLP"] == "reproduced"


def test_errors_are_compared():
    found = outcomes(made_up(claimed, fall=0.0))
    assert found["second descent"] == "not reproduced"
    assert found["no peak when clean"] == "reproduced"
    assert outcomes(made_up(claimed, shift=10.0))["MLP 47, noise"] == "not reproduced"


def test_without_a_peak_it_is_not_there():
    found = made_up(claimed)
    for row in found:
        if row["loss"] == "squared-error":
            row["test_loss"] = 3 - np.log(row["parameters"]) / 100
    assert outcomes(found)["peak, squared error, MLP"] == "not reproduced"
    assert outcomes(found)["peak, squared error: K^a"] == "undecided"
    assert outcomes(found)["peak, cross-entropy, MLP"] == "reproduced"
