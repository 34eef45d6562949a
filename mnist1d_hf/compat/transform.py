"""`mnist1d.transform`: the steps from a template to a signal, one sample at a time.

Each function draws from NumPy's global generator, in the same order and number as the original. The results are equal
bit for bit. Source: Greydanus & Kobak 2024 (arXiv 2011.14439), section 2.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist1d_hf.data.generator import gaussian_filter as _smooth

__all__ = ["corr_noise_like", "iid_noise_like", "interpolate", "np", "pad", "shear", "transform", "translate"]
if importlib.util.find_spec("scipy") is not None:  # as in the original, whose `import *` gives its imports, too
    __all__ += ["gaussian_filter", "interp1d", "scipy"]

Array = NDArray[Any]
scipy: Any
interp1d: Any
gaussian_filter: Any


def __getattr__(name: str) -> Any:
    """What the original's module has from scipy; this package does not need it."""
    if name == "scipy":
        return importlib.import_module(name)
    if name in ("gaussian_filter", "interp1d"):
        module = "scipy.ndimage" if name == "gaussian_filter" else "scipy.interpolate"
        return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def pad(x: Array, padding: tuple) -> Array:  # type: ignore[type-arg]  # the original's signature
    """Append zeros to `x` (points,) or (rows, points); their number is drawn from `padding`, both ends included.

    >>> pad(np.ones((2, 3)), (4, 4)).shape
    (2, 7)
    """
    least, greatest = padding
    zeros = least + int(np.random.rand() * (greatest - least + 1))
    return np.concatenate([x, np.zeros((*x.shape[:-1], zeros))], axis=-1)


def shear(x: Array, scale: Any = 10) -> Array:
    """Subtract a line through zero in the middle of `x`; its slope is drawn from ± `scale` / 2.

    >>> shear(np.zeros(3), scale=0)
    array([0., 0., 0.])
    """
    slope = scale * (np.random.rand() - 0.5)
    return x - slope * np.linspace(-0.5, 0.5, len(x))


def translate(x: Array, max_translation: Any) -> Array:
    """Shift `x` circularly by a number of points that is drawn from 0 .. `max_translation` - 1.

    A shift by the whole length or more leaves `x` as it is.

    >>> translate(np.arange(3), 1)
    array([0, 1, 2])
    """
    shift = np.random.choice(max_translation)
    return np.concatenate([x[-shift:], x[:-shift]])


def corr_noise_like(x: Array, scale: Any) -> Array:
    """White noise of standard deviation `scale` and the shape of `x`, smoothed by a Gaussian filter (2 points).

    >>> corr_noise_like(np.zeros(5), 0.25).shape
    (5,)
    """
    noise = np.asarray(scale * np.random.randn(*x.shape))
    for axis in range(noise.ndim if noise.size else 0):
        noise = np.moveaxis(_smooth(np.moveaxis(noise, axis, 0)), 0, axis)
    return noise


def iid_noise_like(x: Array, scale: Any) -> Array:
    """White noise of standard deviation `scale` and the shape of `x`.

    >>> iid_noise_like(np.zeros(5), 0.02).shape
    (5,)
    """
    noise: Array = scale * np.random.randn(*x.shape)  # a number where `x` has no axis
    return noise


def interpolate(x: Any, N: Any) -> Array:  # noqa: N803  # the original's name
    """`x` (points, ...) on `N` equally spaced points between its first and its last: linear along the first axis.

    >>> interpolate(np.array([0.0, 1.0]), 3)
    array([0. , 0.5, 1. ])
    """
    values = np.asarray(x)
    if not np.issubdtype(values.dtype, np.inexact):
        values = values.astype(np.float64)
    grid, fine = np.linspace(0, 1, len(values)), np.linspace(0, 1, N)
    if values.ndim == 1 and values.dtype == np.float64:
        return np.interp(fine, grid, values)
    # What scipy.interpolate.interp1d does for arrays of other dtypes and of more axes, in its order of operations.
    right = np.searchsorted(grid, fine).clip(1, len(grid) - 1)
    left, columns = right - 1, (-1, *[1] * (values.ndim - 1))
    slope = (values[right] - values[left]) / (grid[right] - grid[left]).reshape(columns)
    return np.asarray(slope * (fine - grid[left]).reshape(columns) + values[left])


def transform(x: Array, y: Array, args: Any, eps: float = 1e-8) -> tuple[Array, Array]:
    """A signal made from the template `x` (points,), and its time axis from `y` (points,).

    Args:
        x, y: float (points,).
        args: as `get_dataset_args()` gives them.
        eps: added to the template, so that only the padding is exactly zero and takes the smooth noise.

    Returns:
        Two arrays float64 (args.final_seq_length,).

    >>> from mnist1d_hf.compat import get_dataset_args, get_templates
    >>> templates = get_templates()
    >>> transform(templates["x"][3], templates["t"], get_dataset_args())[0].shape
    (40,)
    """
    length = args.template_len + args.padding[-1]
    new_x = interpolate(pad(x + eps, args.padding), length)
    new_y = interpolate(y, length)
    new_x *= 1 + args.scale_coeff * (np.random.rand() - 0.5)
    new_x = translate(new_x, args.max_translation)
    is_signal = new_x != 0
    new_x = is_signal * new_x + (1 - is_signal) * corr_noise_like(new_x, args.corr_noise_scale)
    new_x = new_x + iid_noise_like(new_x, args.iid_noise_scale)
    new_x = shear(new_x, args.shear_scale)
    return interpolate(new_x, args.final_seq_length), interpolate(new_y, args.final_seq_length)
