"""The random-access generator. Statistical checks use fixed seeds; each states how often it would fail by chance."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from scipy.ndimage import gaussian_filter1d

from mnist1d_hf import GeneratorConfig, get_templates, make_dataset, sample
from mnist1d_hf.data import stream
from mnist1d_hf.data.stream import BLOCK, StreamPlan, plan_of

CONFIGS = [
    {},
    {"final_seq_length": 72},
    {"final_seq_length": 71},
    {"final_seq_length": 150},
    {"final_seq_length": 2},
    {"padding": (0, 3), "template_len": 5, "max_translation": 8},
    {"padding": (0, 0), "max_translation": 1},
    {"padding": (10, 20)},  # shifts of up to 47 of 32 points
    {"scale_coeff": 0.0, "shear_scale": 2.0},
    {"shuffle_seq": True},
]


@pytest.fixture(scope="module")
def many():
    return sample(range(7, 50_007), seed=11, latents=True)


@pytest.mark.parametrize(
    "request_",
    [
        range(7, 8),
        range(50_006, 6, -1),
        range(7, 50_007, 997),
        [40_000, 7, 512, 511, 512, 1024, 7],
        np.array([9_999, 10_000], dtype=np.uint16),
        np.random.default_rng(1).permutation(np.arange(7, 50_007))[:5000],
        [],
    ],
    ids=["one", "backwards", "steps", "repeated", "uint16", "permuted", "none"],
)
def test_a_sample_does_not_depend_on_the_request(many, request_):
    x, label, latents = sample(request_, seed=11, latents=True)
    places = np.asarray(request_, dtype=int) - 7
    assert x.tobytes() == many[0][places].tobytes()
    assert label.tobytes() == many[1][places].tobytes()
    for name, values in latents.items():
        assert values.tobytes() == many[2][name][places].tobytes()


def test_a_sample_does_not_depend_on_process_or_threads(many):
    code = "import sys, mnist1d_hf as m; sys.stdout.buffer.write(m.sample(range(600, 3000), seed=11)[0].tobytes())"
    for threads in ("1", "2"):
        names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, threads)}
        out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout
        assert out == many[0][593:2993].tobytes()


def test_seeds_are_different_streams(many):
    other = sample(range(7, 50_007), seed=12)
    # The correlation of 50,000 labels has a std of 1/sqrt(50000): five of them, once in two million seeds.
    assert abs(np.corrcoef(many[1], other[1])[0, 1]) < 5 / np.sqrt(50_000)
    assert not (many[0] == other[0]).all(1).any()


def test_indices_reach_to_the_end():
    x, _ = sample([2**60 - 1, 0])
    assert x.tobytes() == np.concatenate([sample([2**60 - 1])[0], sample([0])[0]]).tobytes()


def test_the_counter_is_exact_above_2_to_63():
    """Long signals get there, and a floating-point number does not hold such a counter to its last digit."""
    words = stream._philox(5, 7, 2**63 + 3, 12)
    assert [stream._philox(5, 7, 2**63 + 3 + step, 4).tolist() for step in range(3)] == words.reshape(3, 4).tolist()


def _by_hand(config, label, latents, templates, seed):
    """Noise-free signals, slowly, from their latents."""
    grid, fine = np.linspace(0, 1, config.padded_length), np.linspace(0, 1, config.final_seq_length)
    rows = []
    for number, row in enumerate(label):
        padded = np.concatenate([templates["x"][row] + 1e-8, np.zeros(latents["padding"][number])])
        signal = np.interp(grid, np.linspace(0, 1, len(padded)), padded) * latents["scale"][number]
        shift = latents["translation"][number]
        signal = np.roll(signal, shift if shift < len(grid) else 0)
        signal -= latents["shear"][number] * np.linspace(-0.5, 0.5, len(grid))
        rows.append(np.interp(fine, grid, signal))
    x = np.asarray(rows)
    if config.shuffle_seq:
        x = x[:, stream.position_order(seed, config.final_seq_length)]
    return x


@pytest.mark.parametrize(
    "templates", [None, {"x": np.sin(np.arange(36.0)).reshape(3, 12), "t": np.arange(12), "y": [1, 2, 3]}]
)
@pytest.mark.parametrize("arguments", CONFIGS, ids=str)
@pytest.mark.parametrize("with_table", [True, False])
def test_signals_follow_from_their_latents(arguments, templates, with_table, monkeypatch):
    """Noise-free signals equal those computed by hand, to float32's precision, with and without the big table."""
    monkeypatch.setattr(stream, "_MOST_TABLE", 2**24 if with_table else 0)
    stream._plan.cache_clear()
    config = GeneratorConfig(**{"corr_noise_scale": 0, "iid_noise_scale": 0, **arguments})
    x, label, latents = sample(range(300), 5, config, templates=templates, latents=True)
    plan = plan_of(config, templates)
    expected = _by_hand(config, label, latents, get_templates() if templates is None else templates, 5)
    np.testing.assert_allclose(x, (expected - plan.mean) / plan.std, atol=3e-6)
    stream._plan.cache_clear()


@pytest.mark.parametrize("arguments", CONFIGS, ids=str)
def test_noise_has_the_covariance_of_the_papers(arguments):
    """Both kinds of noise, exactly: the factors' products against those of scipy's filter and of interpolation."""
    config = GeneratorConfig(**arguments)
    plan = StreamPlan(config, get_templates())
    length, points = config.padded_length, config.final_seq_length
    grid, fine = np.linspace(0, 1, length), np.linspace(0, 1, points)
    interpolate = np.stack([np.interp(fine, grid, row) for row in np.eye(length)])
    smooth = gaussian_filter1d(np.eye(length), 2, axis=1)
    expected = (smooth @ interpolate).T @ (smooth @ interpolate) * config.corr_noise_scale**2
    factors = plan._smooth_left + plan._smooth_right
    np.testing.assert_allclose(factors.T @ factors, expected, atol=2e-5 * expected.max())
    first, first_weight, second, second_weight = plan._noise
    white = np.zeros((points, plan.num_noise))
    np.add.at(white, (np.arange(points), first), first_weight)
    np.add.at(white, (np.arange(points), second), second_weight)
    expected = interpolate.T @ interpolate * config.iid_noise_scale**2
    np.testing.assert_allclose(white @ white.T, expected, atol=1e-12)


@pytest.mark.parametrize("arguments", CONFIGS, ids=str)
def test_standardised_by_the_population(arguments):
    """A million numbers or more have mean 0 and std 1. Samples are independent, so the std of the mean
    is known from them: five of it, once in a million for each of the checks."""
    config = GeneratorConfig(**arguments)
    x = sample(range(200_000), 3, config)[0].astype(float)
    for values in (x, x**2 - 1):
        per_sample = values.mean(1)
        assert abs(per_sample.mean()) < 5 * per_sample.std() / np.sqrt(len(x))


def test_a_million_samples_of_the_default_are_standard():
    x = np.concatenate([sample(range(start, start + 100_000), 1)[0] for start in range(0, 1_000_000, 100_000)])
    for values in (x.mean(1, dtype=float), (x.astype(float) ** 2).mean(1) - 1):
        # Five standard deviations: false alarm once in a million.
        assert abs(values.mean()) < 5 * values.std() / 1000


def test_latents_are_uniform():
    """Kolmogorov-Smirnov and chi-square; each p-value is below 1e-4 once in ten thousand seeds."""
    _, label, latents = sample(range(100_000), seed=2, latents=True)
    assert stats.kstest(latents["scale"], stats.uniform(0.8, 0.4).cdf).pvalue > 1e-4
    assert stats.kstest(latents["shear"], stats.uniform(-0.375, 0.75).cdf).pvalue > 1e-4
    for values, low, count in ((label, 0, 10), (latents["padding"], 36, 25), (latents["translation"], 0, 48)):
        frequency = np.bincount(values - low, minlength=count)
        assert len(frequency) == count
        assert stats.chisquare(frequency).pvalue > 1e-4


def test_same_distribution_as_the_exact_generator():
    """Per class: means and covariances of all positions, and marginals of every position by two-sample
    Kolmogorov-Smirnov. Bounds are Bonferroni-corrected: all together fail by chance once in a thousand seeds."""
    x, label = sample(range(60_000), seed=4)
    data = make_dataset(GeneratorConfig(num_samples=60_000, seed=9))
    plan = plan_of(GeneratorConfig())
    exact, y = np.concatenate([data["x"], data["x_test"]]), np.concatenate([data["y"], data["y_test"]])
    assert 0.1 < plan.std < 0.2
    tests = 10 * (40 + 40 + 820)
    bound = stats.norm.isf(0.001 / tests / 2)
    for digit in range(10):
        ours, theirs = x[label == digit].astype(float), exact[y == digit]
        for position in range(40):
            assert stats.ks_2samp(ours[:, position], theirs[:, position], method="asymp").pvalue > 0.001 / tests
        ours, theirs = ours - theirs.mean(0), theirs - theirs.mean(0)
        assert _largest_score(ours, theirs) < bound
        upper = np.triu_indices(40)
        products = (ours[:, upper[0]] * ours[:, upper[1]], theirs[:, upper[0]] * theirs[:, upper[1]])
        assert _largest_score(*products) < bound


def _largest_score(ours, theirs):
    error = np.sqrt(ours.var(0) / len(ours) + theirs.var(0) / len(theirs))
    return np.abs((ours.mean(0) - theirs.mean(0)) / error).max()


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"indices": [-1]}, ValueError, r"indices: expected integers from 0 to 2\*\*60 - 1, found -1"),
        ({"indices": [2**60]}, ValueError, "found 1152921504606846976"),
        ({"indices": [2**63]}, ValueError, "found 9223372036854775808"),
        ({"indices": [1.0]}, TypeError, "found dtype float64"),
        ({"indices": [True]}, TypeError, "found dtype bool"),
        ({"indices": ["a"]}, TypeError, "indices"),
        ({"indices": 3}, ValueError, r"in one dimension, found shape \(\)"),
        ({"indices": [[1, 2]]}, ValueError, r"in one dimension, found shape \(1, 2\)"),
        ({"indices": [[1], [1, 2]]}, ValueError, "rows of unequal length"),
        ({"seed": -1}, ValueError, "seed: expected an integer from 0 to 9223372036854775807, found -1"),
        ({"seed": 2**63}, ValueError, "seed"),
        ({"seed": 1.5}, TypeError, "seed"),
        ({"config": {"seed": 1}}, TypeError, "config: expected a GeneratorConfig, found dict"),
        ({"templates": {"x": 1}}, ValueError, "templates"),
    ],
    ids=str,
)
def test_bad_input_is_refused(arguments, kind, message):
    with pytest.raises(kind, match=message):
        sample(**{"indices": range(BLOCK), **arguments})


def test_signals_without_variation_are_refused():
    silent = {"x": np.zeros((2, 3)), "t": np.arange(3), "y": [0, 1]}
    config = GeneratorConfig(
        corr_noise_scale=0, iid_noise_scale=0, shear_scale=0, scale_coeff=0, padding=(0, 0), max_translation=1
    )
    with pytest.raises(ValueError, match="cannot be standardised"):
        sample([1], config=config, templates={**silent, "x": np.full((2, 3), -1e-8)})
