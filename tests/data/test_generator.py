import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist1d_hf import GeneratorConfig, get_templates, make_dataset
from mnist1d_hf.data.checksums import checksum, expected_checksums, measure
from mnist1d_hf.data.configurations import CONFIGURATIONS
from mnist1d_hf.data.generator import SignalMaker, draw_samples, generate, legacy_random
from mnist1d_hf.data.stages import transformation_stages
from tests.reference import assert_same, reference_dataset


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"seed": 0},
        {"seed": 2**32 - 1},
        {"num_samples": 10, "train_split": 0.5},
        {"num_samples": 1237, "train_split": 0.333},
        {"template_len": 2},
        {"template_len": 31},
        {"padding": (0, 0), "max_translation": 1},
        {"padding": (0, 5), "max_translation": 17},
        {"padding": (60, 60)},
        {"padding": [1, 100]},
        {"scale_coeff": 0.0},
        {"scale_coeff": 3},
        {"max_translation": 1},
        {"max_translation": 2},
        {"max_translation": 65},
        {"max_translation": 72},
        {"max_translation": 100},
        {"max_translation": 2**31},
        {"padding": (10, 20)},
        {"corr_noise_scale": 0.0},
        {"iid_noise_scale": 0.0},
        {"corr_noise_scale": 0, "iid_noise_scale": 0, "shear_scale": 0},
        {"shear_scale": 0.0},
        {"shuffle_seq": True},
        {"shuffle_seq": True, "final_seq_length": 17},
        {"final_seq_length": 2},
        {"final_seq_length": 72},
        {"final_seq_length": 143},
        {"final_seq_length": 200},
        # Shorter than the filter: the reflection bounces more than once.
        {"template_len": 2, "padding": (0, 1), "max_translation": 3, "final_seq_length": 5},
    ],
    ids=str,
)
def test_equals_the_paper_bit_for_bit(arguments):
    config = GeneratorConfig(**{"num_samples": 600, **arguments})
    assert_same(make_dataset(config), reference_dataset(config))


def test_default_equals_the_paper_in_full_size():
    assert_same(make_dataset(), reference_dataset(GeneratorConfig()))


@st.composite
def configs(draw):
    padding = tuple(sorted(draw(st.tuples(st.integers(0, 70), st.integers(0, 70)))))
    template_len = draw(st.integers(2, 30))
    scale = st.floats(0, 3, allow_subnormal=False)
    return GeneratorConfig(
        num_samples=draw(st.integers(20, 90)),
        train_split=draw(st.floats(0.1, 0.9)),
        template_len=template_len,
        padding=padding,
        scale_coeff=draw(scale),
        max_translation=draw(st.integers(1, template_len + padding[1])),
        corr_noise_scale=draw(scale),
        iid_noise_scale=draw(scale),
        shear_scale=draw(scale),
        shuffle_seq=draw(st.booleans()),
        final_seq_length=draw(st.integers(2, 120)),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


@given(configs())
def test_equals_the_paper_for_random_arguments(config):
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = reference_dataset(config)
    if np.isfinite(expected["x"]).all():
        assert_same(make_dataset(config), expected)
    else:  # signals without any variation, which the original divides by zero
        with pytest.raises(ValueError, match="cannot be standardised"):
            make_dataset(config)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize(("classes", "points"), [(1, 2), (2, 12), (3, 5), (17, 33)])
def test_equals_the_paper_for_own_templates(classes, points, dtype):
    numbers = np.random.RandomState(classes)
    templates = {
        "x": (10 * numbers.randn(classes, points)).astype(dtype),
        "t": np.linspace(-3, 7, points).astype(dtype),
        "y": np.arange(classes) * 3 + 5,
    }
    config = GeneratorConfig(num_samples=100)
    assert_same(make_dataset(config, templates), reference_dataset(config, templates))


def test_templates_with_zeros_inside_are_filled_where_the_paper_fills_them():
    templates = {"x": np.full((2, 6), -1e-8), "t": np.arange(6.0), "y": np.array([0, 1])}
    templates["x"][:, 3] = 1.0
    config = GeneratorConfig(num_samples=60)
    assert_same(make_dataset(config, templates), reference_dataset(config, templates))


@pytest.mark.parametrize(
    "name", ["default", "noise-free", "shuffled", pytest.param("large-40k", marks=pytest.mark.long)]
)
def test_checksums_are_those_of_the_paper(name):
    expected = reference_dataset(CONFIGURATIONS[name].generator)
    splits = {"train": (expected["x"], expected["y"]), "test": (expected["x_test"], expected["y_test"])}
    assert measure(splits) == expected_checksums(name)


def test_default_checksums_are_those_of_the_published_file():
    assert expected_checksums("default") == {
        "train": {
            "x": "d53506bddd12d3b72c7153b1ae7f34807724b1dd078a7273809bf9d0792319f6",
            "label": "d97dc7aecec8ad6b5d8f143ba3e9c4bd7e25c420d7dfc2eb990591cfc0ed3e15",
        },
        "test": {
            "x": "30addc43827c82aafa5db8bc97cea63349ca687e87db2f201cc4f5415d9a4ebd",
            "label": "8de99be3ff9dab15ae0dc072c3d6ced7cf6b33d365888ce4a386fc944489452c",
        },
    }


def test_global_random_states_are_neither_read_nor_changed():
    for seed in (1, 2):
        np.random.seed(seed)
        random.seed(seed)
        before = np.random.get_state(), random.getstate()
        digest = checksum(make_dataset()["x"], "x")
        after = np.random.get_state(), random.getstate()
        assert digest == expected_checksums("default")["train"]["x"]
        assert before[1] == after[1]
        np.testing.assert_equal(after[0], before[0])


def test_latents_belong_to_their_rows():
    """Without noise the latents and the label determine a signal: rebuild every one of them slowly."""
    config = GeneratorConfig(num_samples=500, corr_noise_scale=0, iid_noise_scale=0, seed=3)
    data = make_dataset(config, latents=True)
    template_x = get_templates()["x"]
    for half in ("", "_test"):
        latents = data[f"latents{half}"]
        rebuilt = []
        for label, zeros, scale, shift, slope in zip(
            data[f"y{half}"], *(latents[name] for name in ("padding", "scale", "translation", "shear")), strict=True
        ):
            padded = np.concatenate([template_x[label] + 1e-8, np.zeros(zeros)])
            dilated = np.interp(np.linspace(0, 1, 72), np.linspace(0, 1, len(padded)), padded)
            sheared = np.roll(dilated * scale, shift) - slope * np.linspace(-0.5, 0.5, 72)
            rebuilt.append(np.interp(np.linspace(0, 1, 40), np.linspace(0, 1, 72), sheared))
        # Standardisation is one affine map for all: fit it, and nothing may be left over.
        found, x = np.asarray(rebuilt).ravel(), data[f"x{half}"].ravel()
        slope, offset = np.polyfit(found, x, 1)
        np.testing.assert_allclose(slope * found + offset, x, atol=1e-10)


def test_latents_keep_to_their_ranges_and_reach_them():
    latents = make_dataset(latents=True)["latents"]
    assert set(latents["padding"]) == set(range(36, 61))
    assert set(latents["translation"]) == set(range(48))
    for name, low, high in (("scale", 0.8, 1.2), ("shear", -0.375, 0.375)):
        assert low <= latents[name].min() < low + 0.01
        assert high - 0.01 < latents[name].max() <= high
        assert latents[name].dtype == np.float64


@pytest.mark.parametrize("label", [0, 3, 9])
def test_stages_end_in_the_signal_that_the_generator_makes(label):
    config = GeneratorConfig(num_samples=50)
    first = 5 * label
    draws = draw_samples(*legacy_random(config.seed), config, 50)
    signals = SignalMaker(config, get_templates()["x"]).make(np.arange(50) // 5, draws)
    assert transformation_stages(label, config)[-1].values.tobytes() == signals[first].tobytes()


def test_progress_counts_every_sample():
    counts = []
    generate(GeneratorConfig(num_samples=1003), progress=counts.append)
    assert sum(counts) == 1000
    assert len(counts) > 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc, which only Linux has")
def test_50000_samples_stay_below_500_mb():
    # Not getrusage: its peak includes that of the process that started this one.
    code = (
        "import mnist1d_hf as m; m.make_dataset(m.GeneratorConfig(num_samples=50_000));"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    peak = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert peak * 1024 < 500e6


def test_config_of_another_type_is_refused():
    with pytest.raises(TypeError, match="config: expected a GeneratorConfig, found dict"):
        make_dataset({"seed": 3})
