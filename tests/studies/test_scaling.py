"""Scaling: fits find the law that made the losses, intervals cover it, and the test signals choose nothing."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mnist1d_hf.data.stream import sample
from mnist1d_hf.studies import power_laws, scaling, scaling_networks
from mnist1d_hf.studies.claims import interval
from mnist1d_hf.studies.power_laws import fit, resampled_means
from mnist1d_hf.studies.run import Job
from mnist1d_hf.studies.scaling import STUDY
from mnist1d_hf.studies.scaling_curves import BAYES, LABELS, curve_of, curves_and_fits, fits_of
from mnist1d_hf.studies.scaling_networks import WIDTHS, train
from mnist1d_hf.studies.study import Context, training_sets

SIZES = np.array([1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6])
FLOOR, FACTOR, EXPONENT = 0.005, 30.0, 0.6


def test_fits_of_exact_laws():
    laws = [(0.005, 30.0, 0.6), (0.5, 3.0, 0.2), (1.7, 400.0, 0.9), (1e-9, 5.0, 0.4)]
    found = fit(SIZES, [floor + factor * SIZES**-exponent for floor, factor, exponent in laws], fitted_floor=True)
    floors, factors, exponents = zip(*laws, strict=True)
    np.testing.assert_allclose(found.floor, floors, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found.factor, factors, rtol=1e-3)
    np.testing.assert_allclose(found.exponent, exponents, rtol=1e-3)
    known = fit(SIZES, [factor * SIZES**-exponent for _, factor, exponent in laws], fitted_floor=False)
    np.testing.assert_allclose(known.exponent, exponents, rtol=1e-6)
    assert (known.floor == 0).all()
    np.testing.assert_allclose(found.at(SIZES)[1], 0.5 + 3 * SIZES**-0.2, rtol=1e-4)


def test_no_other_start_finds_a_better_fit():
    from scipy.optimize import minimize

    random = np.random.default_rng(1)
    losses = (FLOOR + FACTOR * SIZES**-EXPONENT) * np.exp(0.05 * random.standard_normal((4, len(SIZES))))
    found = fit(SIZES, losses, fitted_floor=True)

    def cost(place, y):
        residual = np.abs(np.logaddexp(place[0], place[1] - place[2] * np.log(SIZES)) - y)
        linear = power_laws.HUBER * (residual - power_laws.HUBER / 2)
        return 1e3 * np.where(residual < power_laws.HUBER, residual**2 / 2, linear).sum()

    options = {"maxiter": 3000, "maxfev": 3000, "xatol": 1e-7, "fatol": 1e-12}
    for number, y in enumerate(np.log(losses)):
        ours = cost([np.log(found.floor[number]), np.log(found.factor[number]), found.exponent[number]], y)
        for start in ([-7, 3.4, 0.6], [-5, 2, 0.5]):
            theirs = minimize(cost, start, (y,), method="Nelder-Mead", options=options).fun
            assert ours <= theirs * 1.001


@pytest.mark.parametrize(("points", "fitted_floor"), [(2, False), (3, True)])
def test_too_few_points_are_not_fitted(points, fitted_floor):
    assert np.isnan(fit(SIZES[:points], SIZES[None, :points] ** -0.5, fitted_floor).exponent).all()


def test_losses_below_the_floor_are_not_fitted():
    found = fit(SIZES, [-SIZES, SIZES**-0.5], fitted_floor=False)
    assert np.isnan(found.exponent[0])
    assert found.exponent[1] == pytest.approx(0.5)


def synthetic(random, seeds=5, parts=20):
    """Losses (seeds, points, parts) of the law with noise of seeds and test signals, and the Bayes losses (parts,)."""
    law = FACTOR * SIZES**-EXPONENT
    of_seed = np.exp(0.06 * random.standard_normal((seeds, len(SIZES), 1)))
    of_part = np.exp(0.1 * random.standard_normal((len(SIZES), parts)))
    bayes = FLOOR * random.exponential(size=parts)
    return bayes + law[:, None] * of_seed * of_part, bayes


def test_intervals_of_exponents_cover_the_truth():
    """As often as they state, 95 %: a false alarm once in ten thousand times."""
    random, trials, draws = np.random.default_rng(0), 80, 200
    made = [synthetic(random) for _ in range(trials)]
    drawn = np.concatenate([resampled_means(losses - bayes, draws) for losses, bayes in made])
    exponents = fit(SIZES, drawn, fitted_floor=False).exponent.reshape(trials, draws)
    ends = np.array([interval(one, 5) for one in exponents])
    covered = int(((ends[:, 0] <= EXPONENT) & (ends[:, 1] >= EXPONENT)).sum())
    assert covered >= stats.binom.ppf(1e-4, trials, 0.95)
    assert (ends[:, 1] - ends[:, 0]).mean() < 0.1


def test_a_fitted_floor_is_far_less_certain_than_a_known_one():
    """Of the same losses: the interval of the exponent is wider by half at least, and contains the truth."""
    losses, bayes = synthetic(np.random.default_rng(3))
    known = fit(SIZES, resampled_means(losses - bayes), fitted_floor=False)
    fitted = fit(SIZES, resampled_means(losses), fitted_floor=True)
    (low, high), (lower, higher) = interval(known.exponent, 5), interval(fitted.exponent, 5)
    assert higher - lower > 1.5 * (high - low)
    assert lower < EXPONENT < higher
    assert interval(fitted.floor, 5)[0] < bayes.mean() < interval(fitted.floor, 5)[1]


def test_an_interval_without_the_correction_for_few_seeds_would_be_too_narrow():
    random = np.random.default_rng(2)
    values = random.standard_normal((300, 5, 1, 1))
    drawn = [resampled_means(one, 200)[:, 0] for one in values]
    plain = [np.quantile(one, [0.025, 0.975]) for one in drawn]
    ours = [interval(one, 5) for one in drawn]
    covered = [np.mean([low <= 0 <= high for low, high in ends]) for ends in (plain, ours)]
    assert covered[0] < 0.88
    assert 0.92 < covered[1] < 0.98


def test_means_of_resampled_seeds_and_parts():
    values = np.arange(24.0).reshape(2, 3, 4)
    drawn = resampled_means(values, 500)
    assert drawn.shape == (500, 3)
    assert np.abs(drawn.mean(0) - values.mean((0, 2))).max() < 0.5
    assert resampled_means(values[:1], 500).shape == (0, 3)


def row(architecture, width, samples, seed, losses, held_out=1.0, half=1.0, stopped=True):
    rows = scaling._row(architecture, width, samples, seed, np.asarray(losses), np.ones(len(losses), bool))
    parameters = 10 * width**2
    training = {"parameters": parameters, "steps": 9, "best_step": 8, "stopped": stopped}
    return {**rows, **training, "held_out_loss": held_out, "half_loss": half}


def made_table(limited=()):
    """A CNN with the law, a narrower one that is worse on held-out samples only."""
    losses, bayes = synthetic(np.random.default_rng(0))
    rows = [row(BAYES, 0, 0, 0, bayes)]
    for point, samples in enumerate(SIZES.astype(int)):
        for seed in range(5):
            more = {"half": 2.0, "stopped": False} if samples in limited else {}
            rows.append(row("cnn", 50, samples, seed, losses[seed, point], **more))
            if samples <= 30_000:
                rows.append(row("cnn", 25, samples, seed, losses[seed, point] / 2, held_out=1.1))
    return pd.DataFrame(rows)


def test_findings_of_a_known_law():
    table = made_table()
    found = {finding.name: finding for finding in scaling.findings(table)}
    exponent = found["a, CNN"]
    assert exponent.low < EXPONENT < exponent.high < exponent.low + 0.2
    assert found["E, CNN"].low < FLOOR < found["E, CNN"].high
    assert found["samples, CNN"].mean == pytest.approx((FACTOR / 0.1) ** (1 / EXPONENT), rel=0.2)
    assert found["curvature, CNN"].low < 0 < found["curvature, CNN"].high
    assert found["width, CNN, 1,000"].mean > 2
    assert scaling.findings(table)[0] == exponent  # the headline


def test_the_width_is_chosen_on_held_out_samples():
    assert (curve_of(made_table(), "cnn").widths == 50).all()


def test_points_that_are_limited_by_steps_are_left_out_of_fits():
    curve = curve_of(made_table(limited=[300_000, 1_000_000]), "cnn")
    assert curve.limited.tolist() == [False] * 5 + [True] * 2
    assert fits_of(curve).samples.tolist() == SIZES[:5].tolist()


def test_a_kept_fit_is_that_of_its_table():
    table, other = made_table(), made_table(limited=[1_000_000])
    assert len(curves_and_fits(table)["cnn"][1].samples) == len(curves_and_fits(other)["cnn"][1].samples) + 1


def test_held_out_samples_are_not_trained_on_and_those_of_all_sizes_are_the_same(monkeypatch):
    seen = []

    class Seen(scaling_networks.Ensemble):
        def __init__(self, networks, procedure, x, label, **options):
            seen.append(np.array(x))
            super().__init__(networks, procedure, x, label, **options)

    monkeypatch.setattr(scaling_networks, "Ensemble", Seen)
    train("logistic", 1, 100, 50, [3, 4], 2)
    np.testing.assert_array_equal(seen[0][1], sample(range(50, 150), 4)[0])
    np.testing.assert_array_equal(training_sets([3, 4], 50)[0][1], sample(range(50), 4)[0])


def test_test_signals_choose_nothing(monkeypatch):
    """Other test signals change what is measured, and nothing of the training."""
    settings, tables = STUDY.quick, []
    for shift in (0, 1):
        monkeypatch.setattr(scaling, "TEST_SEED", scaling.TEST_SEED + shift)
        rows = scaling.measure(settings, "cnn", 12, 100, [0, 1], Context())
        tables.append(pd.DataFrame(rows))
    training = ["steps", "best_step", "stopped", "held_out_loss", "half_loss", "parameters"]
    pd.testing.assert_frame_equal(tables[0][training], tables[1][training])
    assert (tables[0]["test_loss"] != tables[1]["test_loss"]).all()


def test_the_kept_weights_are_those_of_the_best_step():
    trained = train("mlp", 32, 100, 100, [0, 1], 400)
    x, label = (scaling_networks.torch.from_numpy(values[:, :100]) for values in training_sets([0, 1], 100))
    np.testing.assert_allclose(scaling_networks.losses(trained.network, x, label)[0].mean(1), trained.loss)
    assert trained.stopped.all()
    assert (trained.best_step < trained.steps).all()
    assert (trained.loss < np.log(10)).all()
    alone = train("mlp", 32, 100, 100, [1], 400)
    assert alone.best_step[0] == trained.best_step[1]
    assert alone.steps[0] == trained.steps[1]


@pytest.mark.parametrize("name", WIDTHS)
def test_every_network_is_trained(name):
    trained = train(name, WIDTHS[name][0], 20, 20, [0], 2)
    assert trained.steps.tolist() == [2]
    assert np.isfinite(trained.loss).all()


def test_a_quick_run_has_a_figure_and_excess_losses_above_bayes(tmp_path):
    table = Job(STUDY, STUDY.quick, tmp_path / "out", num_proc=1).run()
    assert (tmp_path / "out" / "figure.png").stat().st_size > 10_000
    columns, rows = STUDY.summary(table, {})
    assert [one[0] for one in rows[::2]] == [LABELS[name] for name in STUDY.quick.architectures]
    assert len(columns) == 3
    assert all(float(one.strip("()")) > 0 for one in rows[0][1:])
