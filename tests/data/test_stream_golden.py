"""The values of the stream are frozen: if one of these fails, raise `VALUES_VERSION` and say so in CHANGELOG.md.

They are the same bit for bit on every processor, with every kernel and number of threads of a BLAS library.
"""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from mnist1d_hf import GeneratorConfig, sample
from mnist1d_hf.data.stream import BLOCK, VALUES_VERSION

# seed, first index, arguments: SHA-256 of labels, of latents, of x
GOLDEN = {
    "default": (
        0,
        0,
        {},
        {
            "label": "e92e85964e4379b1d10d098eb78ab61635422690ddb2fceb9265bf3baf9e4b01",
            "latents": "431bfb8d9441e36916f4a77da2f68ada3e88e54309265971f18b8a0757905bdb",
            "x": "7a1766347d574da65b8be9519ce03fc4bf050097f6931803b40a14b14d4623e9",
        },
    ),
    "another seed": (
        9223372036854775807,
        0,
        {},
        {
            "label": "7591cf729745e4319e96e6cc28ac885334da5414f05d0d34fbb708525e2a9a78",
            "latents": "143083998dbefc0d2e956d2664d3fa2224f676bfc7f3cdc69adf32832b09db34",
            "x": "d6addbf6982eb5bb219ac8ae98351e0ecf1d2691e557c958399027758e58224c",
        },
    ),
    "far away": (
        0,
        1152921504606846276,
        {},
        {
            "label": "65be3efc26f940e1563d59df35a47b174eb64ec72bc5dfa9869aa9f084d73f31",
            "latents": "4bffe3b5d14e59626b069782fd628b1ed4b9f319682a1ddb08cdd8e8a7521865",
            "x": "61e02fa815ca396dd57cdf08777e29e4d7d0bfe1f345df9df9cc5f448235d9de",
        },
    ),
    "shuffled": (
        7,
        1000000000,
        {"shuffle_seq": True},
        {
            "label": "32014c09c70a8e1b6b8df6556cd1119e2746f2c169bf984527278d9f4377fb22",
            "latents": "0427434767c97cef1985862a79483c0ee832b5eec3306869f3dd8b6158bc71dc",
            "x": "c2cea69e241c42bd6b63186b0bb2755e7ef241a99a17c5c3b4e7ef82a503dea4",
        },
    ),
    "fine": (
        1,
        0,
        {"final_seq_length": 150},
        {
            "label": "2dacfef2043b486bb76aaaec44d4e024d199d611dcb7dfecfbef250e7bde7a94",
            "latents": "9527a56c6ad1f63c66efc095504448a60ac5485f44709e8ac1ad11c60f575ec8",
            "x": "e5f0dbfd26e45f02ed9b8e2cb03e12a6c629051300496732d99b03648b7741de",
        },
    ),
    "small": (
        2,
        5000,
        {"padding": (0, 3), "template_len": 5, "max_translation": 8},
        {
            "label": "47548bc5c4552d11a058ee1d7a04c08df37ac27d0fab9ce88b8d6b043bcd8eb4",
            "latents": "9a0f4145e5a501d62c0d67aa85de4afd00fd2d989f2ad723f2620895ffab2ad2",
            "x": "cf30768177f69cdd30883f28ee6878340d017d6c7bd91fc3b3cdd02607339190",
        },
    ),
}


def digests(seed, first, arguments):
    x, label, latents = sample(range(first, first + 256), seed, GeneratorConfig(**arguments), latents=True)
    arrays = {
        "label": [label.astype("<i8")],
        "latents": [latents["padding"].astype("<i8"), latents["translation"].astype("<i8")]
        + [latents[name].astype("<f8") for name in ("scale", "shear")],
        "x": [x.astype("<f4")],
    }
    return {
        name: hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest() for name, parts in arrays.items()
    }


@pytest.mark.parametrize("name", GOLDEN)
def test_values_are_frozen(name):
    *arguments, expected = GOLDEN[name]
    assert digests(*arguments) == expected


OTHER_ARITHMETIC = {
    "kernel for Prescott": {"OPENBLAS_CORETYPE": "Prescott"},
    "kernel for Sandybridge": {"OPENBLAS_CORETYPE": "Sandybridge"},
    "kernel for Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "the processor's own kernel": {},
    "one thread": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    "no vectors of NumPy's": {"NPY_DISABLE_CPU_FEATURES": "AVX512F,AVX512CD,AVX512_SKX,AVX2,FMA3"},
}


@pytest.mark.parametrize("name", OTHER_ARITHMETIC)
def test_values_are_the_same_with_another_kernel(name):
    """OpenBLAS and NumPy choose their code by the processor; with float32 in the product these differed. Where NumPy
    has no OpenBLAS, or no such processor, the name is ignored."""
    program = (
        "import hashlib, mnist1d_hf; x, _ = mnist1d_hf.sample(range(50_000), 6);"
        "print(hashlib.sha256(x.astype('<f4').tobytes()).hexdigest())"
    )
    usual = {key: value for key, value in os.environ.items() if not key.startswith(("OPENBLAS_", "OMP_", "NPY_"))}
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**usual, **OTHER_ARITHMETIC[name]},
        check=True,
        capture_output=True,
        text=True,
    )
    x, _ = sample(range(50_000), 6)
    assert found.stdout.strip() == hashlib.sha256(x.astype("<f4").tobytes()).hexdigest()


def test_what_readers_and_builds_rely_on_is_frozen():
    """The block size is part of the values; the version goes into every build."""
    assert (VALUES_VERSION, BLOCK) == (2, 512)


def test_a_few_values_to_read():
    """For an implementation in another language."""
    x, label, latents = sample([0, 1, 2**60 - 1], latents=True)
    assert label.tolist() == [7, 8, 3]
    assert latents["padding"].tolist() == [59, 42, 59]
    assert latents["translation"].tolist() == [21, 36, 37]
    assert latents["scale"].tolist() == [1.0595132123213262, 1.0813882486429065, 0.8947753320913762]
    assert latents["shear"].tolist() == [-0.31154501062701456, 0.1125953569135163, 0.0005863011174369603]
    np.testing.assert_allclose(
        x[:, :4],
        [
            [-0.402704, -0.867742, -1.417966, -1.5644],
            [1.284777, 0.376234, 0.197184, 0.415881],
            [0.522106, 0.120144, 0.148678, 0.396386],
        ],
        atol=2e-6,
    )
