"""The values of the stream are frozen: if one of these fails, raise `VALUES_VERSION` and say so in CHANGELOG.md.

Labels and latents are the same bit for bit everywhere, `x` to 1e-6: it is compared after rounding to sixteenths, with
an offset chosen so that none of these values lies within 2e-6 of the place where the rounding turns.
"""

import hashlib

import numpy as np
import pytest

from mnist1d_hf import GeneratorConfig, sample
from mnist1d_hf.data.stream import BLOCK, VALUES_VERSION

# seed, first index, offset, arguments: SHA-256 of labels, of latents, of rounded x
GOLDEN = {
    "default": (
        0,
        0,
        0.0,
        {},
        {
            "label": "e92e85964e4379b1d10d098eb78ab61635422690ddb2fceb9265bf3baf9e4b01",
            "latents": "431bfb8d9441e36916f4a77da2f68ada3e88e54309265971f18b8a0757905bdb",
            "x": "bed8e5e751eefbfc59bbf43e30665cd85f7128b6a98f83ca07c7d57638f4ec08",
        },
    ),
    "another seed": (
        9223372036854775807,
        0,
        0.03125,
        {},
        {
            "label": "7591cf729745e4319e96e6cc28ac885334da5414f05d0d34fbb708525e2a9a78",
            "latents": "143083998dbefc0d2e956d2664d3fa2224f676bfc7f3cdc69adf32832b09db34",
            "x": "6e315c4989a67a3ec4c550f81763c1746bf274fe4a9f4fab15f6c772ebf3e0ec",
        },
    ),
    "far away": (
        0,
        1152921504606846276,
        0.0,
        {},
        {
            "label": "65be3efc26f940e1563d59df35a47b174eb64ec72bc5dfa9869aa9f084d73f31",
            "latents": "4bffe3b5d14e59626b069782fd628b1ed4b9f319682a1ddb08cdd8e8a7521865",
            "x": "c3a13800c4a200ef59c56a9b9914de05595a0d6052b9b60cfb3af5925c94ac66",
        },
    ),
    "shuffled": (
        7,
        1000000000,
        0.140625,
        {"shuffle_seq": True},
        {
            "label": "32014c09c70a8e1b6b8df6556cd1119e2746f2c169bf984527278d9f4377fb22",
            "latents": "0427434767c97cef1985862a79483c0ee832b5eec3306869f3dd8b6158bc71dc",
            "x": "62390ecb951bdefea592b1b2d15d686fce0a7fd83713fff4b06256d4a6fea1ac",
        },
    ),
    "fine": (
        1,
        0,
        0.734375,
        {"final_seq_length": 150},
        {
            "label": "2dacfef2043b486bb76aaaec44d4e024d199d611dcb7dfecfbef250e7bde7a94",
            "latents": "9527a56c6ad1f63c66efc095504448a60ac5485f44709e8ac1ad11c60f575ec8",
            "x": "10cc8756b0981a717f9576ee1435700be3785dace921c7e8bcdf3f4dd8124e45",
        },
    ),
    "small": (
        2,
        5000,
        0.046875,
        {"padding": (0, 3), "template_len": 5, "max_translation": 8},
        {
            "label": "47548bc5c4552d11a058ee1d7a04c08df37ac27d0fab9ce88b8d6b043bcd8eb4",
            "latents": "9a0f4145e5a501d62c0d67aa85de4afd00fd2d989f2ad723f2620895ffab2ad2",
            "x": "2b4cf685049ff99232a745c3736b0bb34401ae07944adb2e04e1b0c0be7a17b1",
        },
    ),
}


def digests(seed, first, offset, arguments):
    x, label, latents = sample(range(first, first + 256), seed, GeneratorConfig(**arguments), latents=True)
    sixteenths = x.astype(np.float64) * 16 + offset
    margin = np.abs(sixteenths - np.floor(sixteenths) - 0.5).min() / 16
    arrays = {
        "label": [label.astype("<i8")],
        "latents": [latents["padding"].astype("<i8"), latents["translation"].astype("<i8")]
        + [latents[name].astype("<f8") for name in ("scale", "shear")],
        "x": [np.rint(sixteenths).astype("<i4")],
    }
    found = {
        name: hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest() for name, parts in arrays.items()
    }
    return found, margin


@pytest.mark.parametrize("name", GOLDEN)
def test_values_are_frozen(name):
    *arguments, expected = GOLDEN[name]
    found, margin = digests(*arguments)
    assert found == expected
    assert margin > 2e-6


def test_what_readers_and_builds_rely_on_is_frozen():
    """The block size is part of the values; the version goes into every build."""
    assert (VALUES_VERSION, BLOCK) == (1, 512)


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
