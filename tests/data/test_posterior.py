"""The exact posterior: against sums over a fine grid, against its own promises, and with wrong input."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.ndimage import gaussian_filter
from scipy.special import erf, log_ndtr, logsumexp

import mnist1d_hf
from mnist1d_hf import GeneratorConfig, posterior, standardization
from mnist1d_hf.data.posterior import UnlikelySignalWarning, score, stream_scale
from mnist1d_hf.data.quadrature import Gaussians, average

SMALL = {"padding": (6, 9), "max_translation": 5, "final_seq_length": 12}
CASES = {
    "small": GeneratorConfig(**SMALL),
    "less noise": GeneratorConfig(**SMALL, corr_noise_scale=0.1, iid_noise_scale=0.01),
    "no correlated noise": GeneratorConfig(**SMALL, corr_noise_scale=0.0, iid_noise_scale=0.05),
    "no shear": GeneratorConfig(**SMALL, shear_scale=0.0),
    "no scale": GeneratorConfig(**SMALL, scale_coeff=0.0),
    "longer than its grid": GeneratorConfig(padding=(2, 4), max_translation=3, final_seq_length=30, template_len=12),
    "shifts longer than the signal": GeneratorConfig(padding=(2, 4), max_translation=40, final_seq_length=12),
    "no padding": GeneratorConfig(padding=(0, 0), max_translation=4, final_seq_length=8, iid_noise_scale=0.3),
}


def reference(x: np.ndarray, config: GeneratorConfig, points: int = 61) -> np.ndarray:
    """p(class | x) by the definition: SciPy's filter and interpolation, one matrix for each class, padding and
    translation, and Gauss-Legendre quadrature over all of scale and shear. `x` in the generator's units."""
    length = config.padded_length
    grid, fine = np.linspace(0, 1, length), np.linspace(0, 1, config.final_seq_length)
    subsample = interp1d(grid, np.eye(length), axis=0)(fine)
    smooth = gaussian_filter(config.corr_noise_scale * np.eye(length), [2, 0])
    nodes, weights = np.polynomial.legendre.leggauss(points)
    scale, shear = 1 + config.scale_coeff / 2 * nodes, config.shear_scale / 2 * nodes
    slope = subsample @ np.linspace(-0.5, 0.5, length)
    basis = np.linalg.svd(subsample, full_matrices=False)[0]
    log = np.full((len(x), 10), -np.inf)
    templates = mnist1d_hf.get_templates()["x"] + 1e-8
    choices = itertools.product(
        range(10), range(config.padding[0], config.padding[1] + 1), range(config.max_translation)
    )
    for label, padding, translation in choices:
        padded = np.concatenate([templates[label], np.zeros(padding)])
        signal = interp1d(np.linspace(0, 1, len(padded)), padded)(grid)
        if translation < length:
            signal = np.roll(signal, translation)
        noise = subsample @ np.where((signal == 0)[:, None], smooth, 0)
        covariance = noise @ noise.T + config.iid_noise_scale**2 * subsample @ subsample.T
        inverse = np.linalg.inv(basis.T @ covariance @ basis)
        size = np.linalg.slogdet(basis.T @ covariance @ basis)[1]
        rest = (x - subsample @ signal) @ basis
        up, down = basis.T @ subsample @ signal, basis.T @ slope
        linear = rest @ inverse @ np.stack([up, down], 1)
        u, v = scale - 1, shear
        squares = (
            np.einsum("nd,de,ne->n", rest, inverse, rest)[:, None, None]
            - 2 * (linear[:, 0, None, None] * u[:, None] - linear[:, 1, None, None] * v)
            + (up @ inverse @ up) * u[:, None] ** 2
            - 2 * (up @ inverse @ down) * u[:, None] * v
            + (down @ inverse @ down) * v**2
        )
        likelihood = logsumexp(-squares / 2, axis=(1, 2), b=weights[:, None] * weights) - size / 2
        log[:, label] = np.logaddexp(log[:, label], likelihood)
    return np.exp(log - logsumexp(log, axis=1, keepdims=True))


def log_normal(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The log of the probability that a standard normal number lies between."""
    low, high = np.where(low > 0, -high, low), np.where(low > 0, -low, high)
    return log_ndtr(high) + np.log1p(-np.exp(np.minimum(log_ndtr(low) - log_ndtr(high), -1e-300)))


@pytest.mark.parametrize("name", CASES)
def test_equals_the_sum_over_a_fine_grid(name):
    config = CASES[name]
    x, _ = mnist1d_hf.sample(range(24), seed=1, config=config)
    mean, std, _ = stream_scale(config)
    expected = reference(x.astype(float) * std + mean, config)
    found = posterior(x, config)
    assert np.abs(found - expected).max() < 1e-6
    assert np.abs(found.sum(1) - 1).max() < 1e-12


LINE = np.linspace(-1, 1, 12)
LINES = {"x": np.stack([LINE, 0.8 * LINE, 1 - abs(LINE)]), "t": np.arange(12.0), "y": np.arange(3)}


@pytest.mark.parametrize("noise", [0.05, 0.005, 0.0005])
def test_a_template_on_which_scale_and_shear_do_the_same(noise):
    """Two classes are lines: along one direction of scale and shear the likelihood does not change at all."""
    config = GeneratorConfig(padding=(0, 0), max_translation=1, final_seq_length=12, iid_noise_scale=noise)
    x, label = mnist1d_hf.sample(range(200), 3, config, templates=LINES)
    mean, std, _ = stream_scale(config, LINES)
    scale = 1 + config.scale_coeff / 2 * np.linspace(-1, 1, 20001)
    slope = np.linspace(-0.5, 0.5, 12)
    size = np.sqrt(noise**2 + (1e-6 * std) ** 2)
    log = np.empty((200, 3))
    for number, template in enumerate(LINES["x"] + 1e-8):
        rest = (x.astype(float) * std + mean)[:, None] - scale[:, None] * template  # (200, scale, 12), less a shear
        best = rest @ slope / (slope @ slope)
        width = config.shear_scale / 2 * np.array([-1, 1]) * np.linalg.norm(slope) / size
        low, high = (edge + best * np.linalg.norm(slope) / size for edge in width)
        d2 = ((rest - best[..., None] * slope) ** 2).sum(-1) / size**2
        log[:, number] = logsumexp(log_normal(low, high) - d2 / 2, axis=1)
    expected = np.exp(log - logsumexp(log, axis=1, keepdims=True))
    found = posterior(x, config, templates=LINES)
    assert np.abs(found - expected).max() < (1e-4 if noise > 0.001 else 1e-3)  # the sum over the scales is not finer
    assert np.log(found[range(200), label]).mean() > -0.4


@pytest.mark.parametrize("arguments", [{}, {"final_seq_length": 200}, {"corr_noise_scale": 0.25}, {"shear_scale": 3.0}])
def test_without_noise_it_is_the_ratio_of_the_densities(arguments):
    """A class is the other one times 0.9: where both scales are possible, 9 / 19 to 10 / 19."""
    first = mnist1d_hf.get_templates()["x"][0]
    pair = {
        "x": np.stack([first, 0.9 * first]) - 1e-8,
        "t": np.arange(12),
        "y": np.arange(2),
    }  # the generator adds 1e-8
    config = GeneratorConfig(**{"corr_noise_scale": 0.0, "iid_noise_scale": 0.0, **arguments})
    x, label = mnist1d_hf.sample(range(200), 3, config, templates=pair)
    found = posterior(x, config, templates=pair)
    both = (found > 1e-3).all(1)
    assert both.sum() > 100
    assert np.abs(found[both] - np.array([9, 10]) / 19).max() < 1e-8
    assert found[range(200), label].min() > 0.4


def test_without_noise_and_with_few_points_no_true_class_is_impossible():
    """The terms of the bounds are about 1e11: too large for single precision."""
    config = GeneratorConfig(corr_noise_scale=0, iid_noise_scale=0, final_seq_length=10)
    x, label = mnist1d_hf.sample(range(400), 5, config)
    assert posterior(x, config)[range(400), label].min() > 1e-6  # false alarms: one seed in 2,500 at most


def test_the_reference_tells_configurations_apart():
    x, _ = mnist1d_hf.sample(range(24), seed=1, config=CASES["small"])
    mean, std, _ = stream_scale(CASES["small"])
    other = reference(x.astype(float) * std + mean, CASES["less noise"])
    assert np.abs(posterior(x, CASES["small"]) - other).max() > 1e-3


def test_all_signals_of_the_paper_are_classified_right():
    config = GeneratorConfig()
    data = mnist1d_hf.make_dataset(config)
    p = posterior(data["x_test"], config, standardization=standardization(config))
    assert (p.argmax(1) == data["y_test"]).all()


@pytest.mark.parametrize("name", ["noise-free", "shuffled"])
def test_other_exact_configurations(name):
    train = mnist1d_hf.load_dataset(name, split="test")
    config = mnist1d_hf.data.configurations.find_configuration(name).generator
    x, label = mnist1d_hf.to_numpy(train)
    p = posterior(x[:200], config, standardization=standardization(config))
    assert (p.argmax(1) == label[:200]).all()


def test_the_posterior_of_shuffled_signals_is_that_of_the_signals_in_order():
    """So what is measured of the default configuration is true of the shuffled one: the same bits."""
    config = GeneratorConfig(shuffle_seq=True, seed=3)
    shuffled, plain = mnist1d_hf.sample(range(200), 3, config)[0], mnist1d_hf.sample(range(200), 3)[0]
    assert (shuffled != plain).any()
    assert (posterior(shuffled, config) == posterior(plain)).all()


def test_probabilities_are_frequencies():
    """More noise, so that many signals are unsure. Each difference is below 5 standard errors: false alarms 6e-7 each,
    for 12 comparisons below 1e-5."""
    config = GeneratorConfig(**SMALL, corr_noise_scale=0.5, iid_noise_scale=0.1)
    x, label = mnist1d_hf.sample(range(5000), seed=2, config=config)
    p = posterior(x, config)
    right, largest = p.argmax(1) == label, p.max(1)
    variance = (largest * (1 - largest)).sum()
    assert abs(right.sum() - largest.sum()) < 5 * math.sqrt(variance)
    assert 0.5 < right.mean() < 0.99  # the configuration is a hard one
    truth = np.eye(10)[label]
    for low in np.arange(0.0, 1.0, 0.1):
        chosen = (p > low) & (p <= low + 0.1)
        spread = math.sqrt((p * (1 - p))[chosen].sum())
        assert abs(truth[chosen].sum() - p[chosen].sum()) < 5 * spread
    with pytest.raises(AssertionError):  # probabilities that are too sure fail
        sharp = p**2 / (p**2).sum(1, keepdims=True)
        assert abs(right.sum() - sharp.max(1).sum()) < 5 * math.sqrt(variance)


def test_signals_are_likeliest_under_their_own_configuration():
    own, other = CASES["small"], GeneratorConfig(**SMALL, scale_coeff=0.1)
    x, _ = mnist1d_hf.sample(range(500), seed=4, config=own)
    scale = stream_scale(own)
    mine, theirs = (score(x.astype(float), scale, config).log_likelihood for config in (own, other))
    assert (mine - theirs).mean() > 0.1


def test_latents_are_the_inverse_of_the_generator():
    """Errors over posterior standard deviations have a mean square of one, to 5 standard errors."""
    x, label, drawn = mnist1d_hf.sample(range(1000), seed=5, latents=True)
    _, known = posterior(x, latents=True)
    for name in ("padding", "scale", "shear"):
        squared = ((known.mean[name] - drawn[name]) / (known.std[name] + 1e-9))[known.std[name] > 1e-3] ** 2
        assert abs(squared.mean() - 1) < 5 * squared.std() / math.sqrt(len(squared))
    assert (known.mode["label"] == label).mean() > 0.99
    assert (known.mode["translation"] == drawn["translation"]).mean() > 0.97
    assert np.abs(known.mode["scale"] - drawn["scale"]).max() < 0.4


def test_far_peaks_flat_directions_and_no_width():
    """The average over the rectangle where it has a closed form."""
    one, zero = np.ones(1), np.zeros(1)
    for u0, width, precision in (
        (0.0, 1.0, 1.0),
        (3.0, 0.5, 400.0),
        (40.0, 1.0, 9.0),
        (0.1, 1e-6, 5.0),
        (0.0, 1.0, 0.0),
    ):
        root = math.sqrt(precision) * one
        found = average(Gaussians(zero, zero, zero, root * u0, zero, root, zero, one), (width, 0.0)).log[0]
        nodes, weights = np.polynomial.legendre.leggauss(400)
        expected = logsumexp(-precision * (width / 2 * nodes - u0) ** 2 / 2, b=weights / 2)
        assert found == pytest.approx(expected, abs=1e-7)
    inside = average(Gaussians(zero, zero, zero, zero, zero, one, zero, one), (2.0, 2.0)).log[0]
    assert inside == pytest.approx(2 * math.log(math.sqrt(math.pi / 2) * erf(1 / math.sqrt(2))), abs=1e-8)


@pytest.mark.parametrize("slope", [0.0, -3.0, 9.5, 12.0, -100.0, 3000.0, 1e6])
@pytest.mark.parametrize("height", [4.0, 400.0])
def test_averages_over_a_sheared_rectangle(slope, height):
    """With h11 = 1: against the closed form of the inner integral and many points, wherever the rectangle lies."""
    place = np.array([-0.9, 0.0, 0.3, 1.0]) * max(1.0, height / max(1.0, abs(slope)))  # of the point around which
    u, v = np.zeros(4), height / 2 * np.array([0.0, -1.0, 0.5, 1.0])
    widths = (2 * abs(place).max(), height)
    functions = Gaussians(u, v, u, place, u + 0.5, u + 1, u + slope, u + 1)
    found = average(functions, widths, moments=True)
    edges = [-widths[0] / 2, widths[0] / 2]
    for number in range(4):
        sudden = [] if slope == 0 else [(side * height / 2 - v[number] - 0.5) / -slope for side in (-1, 1)]
        around = [item + shift / max(1, abs(slope)) for item in sudden for shift in (-40, -8, -2, 0, 2, 8, 40)]
        panels = np.unique(np.clip([*edges, *around, *np.linspace(*edges, 40)], *edges))
        nodes, weights = np.polynomial.legendre.leggauss(40)
        t = (panels[:-1, None] + np.diff(panels)[:, None] * (nodes + 1) / 2).ravel()
        low, high = (side * height / 2 - v[number] - 0.5 + slope * t for side in (-1, 1))
        log = log_normal(low, high) + 0.5 * math.log(2 * math.pi) - math.log(height) - (t - place[number]) ** 2 / 2
        weight = (np.diff(panels)[:, None] * weights / 2).ravel() / widths[0]
        assert found.log[number] == pytest.approx(logsumexp(log, b=weight), abs=1e-7)
        p = np.exp(log - log.max()) * weight
        assert found.mean[0, number] == pytest.approx((p * t).sum() / p.sum(), abs=1e-6 * widths[0])


@pytest.mark.parametrize(
    ("x", "arguments", "message"),
    [
        (np.zeros((3, 39)), {}, r"shape \(n, 40\), found \(3, 39\)"),
        (np.zeros(40), {}, r"shape \(n, 40\), found \(40,\)"),
        (np.full((2, 40), np.nan), {}, "NaN or infinity in 2 rows, first 0"),
        (np.array([["a"] * 40]), {}, "real numbers"),
        (None, {}, "found NoneType"),
        (np.full((1, 40), 1e7), {}, "below 1e\\+06, found 1e\\+07"),
        (np.zeros((1, 40)), {"standardization": 3}, "standardization: expected"),
        (np.zeros((1, 40)), {"standardization": (0.0, 0.0)}, "std above 0"),
        (np.zeros((1, 40)), {"config": "default"}, "config: expected a GeneratorConfig"),
        (np.zeros((1, 40)), {"templates": {"x": 1}}, "expected the keys x, t and y"),
        (
            np.zeros((1, 40)),
            {"config": GeneratorConfig(iid_noise_scale=0, corr_noise_scale=0)},
            "no class can produce 1",
        ),
        (np.zeros((1, 40)), {"config": GeneratorConfig(padding=(0, 3000))}, "smaller range of padding"),
    ],
)
def test_wrong_input(x, arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        posterior(x, **arguments)


def test_a_tensor_with_a_gradient_is_refused():
    torch = pytest.importorskip("torch", reason="needs the extra torch")
    with pytest.raises(ValueError, match="requires grad"):
        posterior(torch.zeros(1, 40, requires_grad=True))


def test_signals_on_another_scale_are_named():
    x, _ = mnist1d_hf.sample(range(5))
    with pytest.warns(UnlikelySignalWarning, match="standardization=mnist1d_hf.standardization"):
        posterior(x * 3)


def test_a_scale_that_only_all_signals_together_show():
    x, _ = mnist1d_hf.sample(range(2000))
    with pytest.warns(UnlikelySignalWarning, match="the 2000 signals together"):
        posterior(x * 0.6)


def test_rows_sum_to_one_however_far_the_signals_are():
    x, _ = mnist1d_hf.sample(range(20))
    with pytest.warns(UnlikelySignalWarning):
        assert np.abs(posterior(x * 1e5).sum(1) - 1).max() < 1e-9


def test_no_signals_and_own_templates():
    assert posterior(np.zeros((0, 40))).shape == (0, 10)
    templates = {key: value[:3] if key != "t" else value for key, value in mnist1d_hf.get_templates().items()}
    x, label = mnist1d_hf.sample(range(100), templates=templates)
    p = posterior(x, templates=templates)
    assert p.shape == (100, 3)
    assert (p.argmax(1) == label).all()
