"""The paper's sequential generator, bit for bit, with the arithmetic done for many samples at once.

The random numbers come from NumPy's legacy Mersenne Twister in exactly the order of the PyPI package
`mnist1d`; a sample takes two calls into it. The arithmetic keeps the floating-point operation order of
`numpy.interp` and `scipy.ndimage.gaussian_filter` and runs on blocks that stay in the processor's cache.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from mnist1d_hf.data.config import GeneratorConfig
from mnist1d_hf.data.templates import Templates, check_templates
from mnist1d_hf.errors import InvalidTypeError, InvalidValueError

__all__ = ["Generated", "GeneratorConfig", "generate", "make_dataset"]

Array = NDArray[Any]
LATENTS = ("padding", "scale", "translation", "shear")

_EPS = 1e-8  # added to the templates, so that only the padding is exactly zero and takes the noise
_SIGMA = 2  # of the Gaussian filter, in points of the working grid
_MOST_DILATED = 2**22  # float64 numbers of dilated templates to remember
_BLOCK_ELEMENTS = 2**14  # float64 numbers per working array: several of them fit a core's L2 cache


class Generated(NamedTuple):
    """Everything the generator makes, before the split. `n` samples of `length` points."""

    x: Array  # float64 (n, length), standardised
    label: Array  # int64 (n,), the row of the template
    t: Array  # float64 (length,), the time axis
    latents: dict[str, Array]  # each (n,): padding, translation int64; scale, shear float64
    num_train: int
    templates: Templates
    random_state: tuple[Any, ...]  # of the generator after the last draw, as `np.random.get_state` gives it
    standardization: tuple[float, float]  # mean and standard deviation of the signals before they were standardised
    positions: Array | None = None  # int64 (length,): the permutation of the positions, where there is one
    clean: Array | None = None  # float64 (n, length): `x` without both noises, standardised as `x` is


class Draws(NamedTuple):
    """The random numbers of a block of samples, in the units of the paper's arguments."""

    padding: Array
    scale: Array
    translation: Array
    shear: Array
    normals: Array  # (samples, 2 * padded_length): correlated, then i.i.d.


def make_dataset(
    config: GeneratorConfig | None = None, templates: Mapping[str, Any] | None = None, *, latents: bool = False
) -> dict[str, Any]:
    """Make the dataset of the paper.

    Args:
        config: the generator's arguments; the paper's when None.
        templates: `{"x": (classes, points), "t": (points,), "y": (classes,)}`; the paper's ten digits when None.
        latents: also return what was drawn for each sample.

    Returns:
        `x`, `x_test`: float64 (n, final_seq_length), standardised over both splits together;
        `y`, `y_test`: labels, of the dtype of `templates["y"]`; `t`: float64 (final_seq_length,);
        `templates`. With `latents`, also `latents` and `latents_test`, dicts of arrays (n,) aligned with
        the rows: `padding` (zeros appended), `scale` (factor), `translation` (points of circular shift),
        `shear` (slope over the whole signal).

    Raises:
        InvalidTypeError, InvalidValueError: an argument or template is not allowed.

    Source: Greydanus & Kobak 2024 (arXiv 2011.14439), section 2; equal to `mnist1d.data.make_dataset`.

    >>> data = make_dataset(GeneratorConfig(num_samples=50))
    >>> data["x"].shape, data["x_test"].shape
    ((40, 40), (10, 40))
    """
    made = generate(config, templates)
    y = made.templates["y"][made.label]
    cut = made.num_train
    dataset: dict[str, Any] = {
        "x": made.x[:cut],
        "x_test": made.x[cut:],
        "y": y[:cut],
        "y_test": y[cut:],
        "t": made.t,
        "templates": made.templates if templates is None else templates,
    }
    if latents:
        dataset["latents"] = {name: made.latents[name][:cut] for name in LATENTS}
        dataset["latents_test"] = {name: made.latents[name][cut:] for name in LATENTS}
    return dataset


def generate(
    config: GeneratorConfig | None = None,
    templates: Mapping[str, Any] | None = None,
    progress: Callable[[int], object] | None = None,
    *,
    clean: bool = False,
) -> Generated:
    """Make all samples of `config` in their final order; `progress` is called with the number just made.

    With `clean`, make each signal also without its noise.

    >>> generate(GeneratorConfig(num_samples=20)).label.shape
    (20,)
    """
    config = GeneratorConfig() if config is None else config
    if not isinstance(config, GeneratorConfig):
        raise InvalidTypeError(
            f"config: expected a GeneratorConfig, found {type(config).__name__}; "
            f"for attribute-style arguments use mnist1d_hf.compat"
        )
    arrays = check_templates(templates)
    num_classes = len(arrays["y"])
    num_train, num_test = config.split_sizes(num_classes)
    n = num_train + num_test

    random, twister = legacy_random(config.seed)
    signals = SignalMaker(config, arrays["x"])
    try:
        x = np.empty((n, config.final_seq_length))
        noise_free = np.empty_like(x) if clean else None
    except (MemoryError, ValueError):  # NumPy raises the second for sizes above 2**63 bytes
        raise InvalidValueError(
            f"num_samples: {n:,} samples do not fit into memory, where exact datasets are made; use the "
            f"configuration stream, which has no such limit"
        ) from None
    drawn: list[Draws] = []
    for start in range(0, n, signals.block):
        stop = min(start + signals.block, n)
        draws = draw_samples(random, twister, config, stop - start)
        template = np.arange(start, stop) // (n // num_classes)
        x[start:stop] = signals.make(template, draws)
        if noise_free is not None:
            noise_free[start:stop] = signals.make_clean(template, draws)
        drawn.append(draws._replace(normals=np.empty(0)))
        if progress is not None:
            progress(stop - start)

    order = random.permutation(n)
    x = x[order]
    positions = None
    if config.shuffle_seq:
        # This indexing leaves a transposed memory layout, which decides the order in which std() and mean() add.
        positions = random.permutation(config.final_seq_length)
        x = x[..., positions]
    mean, std = x.mean(), x.std()
    check_std(std)
    x -= mean
    x /= std
    latents = {name: np.concatenate([getattr(draws, name) for draws in drawn])[order] for name in LATENTS}
    label = np.repeat(np.arange(num_classes), n // num_classes)[order]
    if noise_free is not None:
        noise_free = noise_free[order] if positions is None else noise_free[order][:, positions]
        noise_free = (noise_free - mean) / std
    t = _time_axis(arrays["t"], config) / std
    state = cast(Any, random.get_state())
    return Generated(x, label, t, latents, num_train, arrays, state, (float(mean), float(std)), positions, noise_free)


def check_std(std: float) -> None:
    """Refuse signals that cannot be standardised, which the original divides by zero."""
    if not std > 0 or not np.isfinite(std):
        raise InvalidValueError(
            f"the signals cannot be standardised: their standard deviation is {std}; "
            f"expected noise, shear or templates that make them differ, and numbers that do not overflow"
        )


def legacy_random(seed: int) -> tuple[np.random.RandomState, np.random.MT19937]:
    """A private `RandomState` in the state of `np.random.seed(seed)`, and the Mersenne Twister that it draws from."""
    twister = np.random.MT19937()
    twister.state = cast(Any, np.random.RandomState(seed).get_state(legacy=False))
    return np.random.RandomState(twister), twister


def draw_samples(random: np.random.RandomState, twister: np.random.MT19937, config: GeneratorConfig, n: int) -> Draws:
    """The random numbers of the next `n` samples.

    In order, for each: uniform (padding), uniform (scale), integer (translation), the normals, uniform (shear).
    A uniform takes two 32-bit words; the integer takes words, masked, until one is in range, as
    `RandomState.choice` does; normals take what they take. So all words between two batches of
    normals come from one call.
    """
    raw = twister.random_raw
    standard_normal = random.standard_normal
    most = config.max_translation - 1
    mask = (1 << most.bit_length()) - 1
    between = 6 + (most > 0)  # words from one sample's normals to the next's: shear, padding, scale, translation
    chunks = [np.zeros(2, dtype=np.uint64), raw(between - 2)]
    normals = []
    redrawn = []
    for i in range(n):
        if most:
            shift = chunks[-1].item(-1) & mask
            if shift > most:
                while shift > most:
                    shift = raw() & mask
                redrawn.append((i, shift))
        normals.append(standard_normal(2 * config.padded_length))
        chunks.append(raw(between if i + 1 < n else 2))
    words = np.concatenate(chunks)
    rows = words[:-2].reshape(n, between)
    shear = _uniforms(np.concatenate([rows[1:, :2], words[None, -2:]]))
    uniforms = _uniforms(rows[:, 2:6])
    translation = (rows[:, -1] & np.uint64(mask)).astype(np.int64) if most else np.zeros(n, dtype=np.int64)
    for i, shift in redrawn:
        translation[i] = shift
    low, high = config.padding
    return Draws(
        padding=low + (uniforms[:, 0] * (high - low + 1)).astype(np.int64),
        scale=1 + config.scale_coeff * (uniforms[:, 1] - 0.5),
        translation=translation,
        shear=config.shear_scale * (shear[:, 0] - 0.5),
        normals=np.concatenate(normals).reshape(n, -1),
    )


def _uniforms(words: Array) -> Array:
    """Doubles in [0, 1) with 53 bits from pairs of 32-bit words, as MT19937 makes them: (n, 2k) -> (n, k)."""
    bits = ((words[:, ::2] >> np.uint64(5)) << np.uint64(26)) | (words[:, 1::2] >> np.uint64(6))
    return bits.astype(np.float64) / 9007199254740992.0


class SignalMaker:
    """Turns draws into signals: what depends on the configuration only is computed once, here."""

    def __init__(self, config: GeneratorConfig, template_x: Array) -> None:
        self.config = config
        self.length = length = config.padded_length
        self.block = max(8, _BLOCK_ELEMENTS // length)
        self.template_x = template_x + _EPS
        self.dilated: dict[int, Array] = {}  # (template, padding) in one number -> (padded_length,)
        self.kernel = _gaussian_kernel()
        self.reflect = _reflected(length, len(self.kernel) // 2)
        self.slope = np.linspace(-0.5, 0.5, length)[:, None]
        self.grid = grid = _unit_grid(length)
        fine = _unit_grid(config.final_seq_length)
        self.left = np.minimum(np.searchsorted(grid, fine, side="right") - 1, length - 2)
        self.width = (grid[self.left + 1] - grid[self.left])[:, None]
        self.offset = (fine - grid[self.left])[:, None]
        # numpy.interp returns grid points themselves, without arithmetic.
        self.exact = np.flatnonzero(np.isin(fine, grid))
        self.exact_source = np.searchsorted(grid, fine[self.exact])

    def make(self, template: Array, draws: Draws) -> Array:
        """Unstandardised signals, float64 (samples, final_seq_length)."""
        length = self.length
        # Signals stand in columns: every step below is one pass over contiguous memory.
        clean = self.translate(self.dilate(template, draws.padding), draws.translation)
        clean *= draws.scale
        normals = draws.normals.T
        noise = self.smooth(normals[:length])
        signal = np.where(clean != 0, clean, noise)
        signal += self.config.iid_noise_scale * normals[length:]
        signal -= draws.shear * self.slope
        return self.subsample(signal).T

    def make_clean(self, template: Array, draws: Draws) -> Array:
        """The signals of `make` without both noises: zeros in the padding, before the shear."""
        signal = self.translate(self.dilate(template, draws.padding), draws.translation)
        signal *= draws.scale
        signal -= draws.shear * self.slope
        return self.subsample(signal).T

    def dilate(self, template: Array, padding: Array) -> Array:
        """Padded and stretched templates, one row per sample; each (template, padding) is computed once."""
        least, greatest = self.config.padding
        codes, index = np.unique(template * (greatest - least + 1) + padding - least, return_inverse=True)
        if len(self.dilated) * self.length > _MOST_DILATED:
            self.dilated.clear()
        for code in codes.tolist():
            if code not in self.dilated:
                which, extra = divmod(code, greatest - least + 1)
                padded = np.concatenate([self.template_x[which], np.zeros(least + extra)])
                self.dilated[code] = np.interp(self.grid, _unit_grid(len(padded)), padded)
        return np.stack([self.dilated[code] for code in codes.tolist()])[index]

    def translate(self, rows: Array, shift: Array) -> Array:
        """Circular shift of each row to the right, none where it is as long as the row; signals stand in columns."""
        source = np.arange(self.length)[:, None] - shift * (shift < self.length)
        source += self.length * (source < 0)
        source += np.arange(len(rows)) * self.length
        return rows.ravel()[source]

    def smooth(self, normals: Array) -> Array:
        """`scipy.ndimage.gaussian_filter(scale * normals, 2)` along columns, in scipy's order of additions."""
        return gaussian_filter(self.config.corr_noise_scale * normals, self.kernel, self.reflect)

    def subsample(self, signal: Array) -> Array:
        """`numpy.interp` of each column on the final grid."""
        start = signal[self.left]
        result = signal[self.left + 1]
        result -= start
        result /= self.width
        result *= self.offset
        result += start
        result[self.exact] = signal[self.exact_source]
        return result


@functools.lru_cache(maxsize=1024)
def _unit_grid(points: int) -> Array:
    """`points` equally spaced numbers from 0 to 1; making them takes longer than interpolating on them."""
    return np.linspace(0, 1, points)


def _gaussian_kernel() -> Array:
    """The weights of scipy's Gaussian filter of standard deviation 2, cut at four of them: (17,)."""
    radius = int(4.0 * _SIGMA + 0.5)
    weights = np.exp(-0.5 / (_SIGMA * _SIGMA) * np.arange(-radius, radius + 1) ** 2)
    return weights / weights.sum()


def gaussian_filter(noise: Array, kernel: Array | None = None, reflect: Array | None = None) -> Array:
    """`scipy.ndimage.gaussian_filter1d(noise, 2, axis=0)` in scipy's order of additions: (points, ...) in and out.

    Args:
        noise: float64.
        kernel, reflect: from `_gaussian_kernel` and `_reflected`, where the caller has them already.
    """
    kernel = _gaussian_kernel() if kernel is None else kernel
    radius, length = len(kernel) // 2, len(noise)
    extended = noise[_reflected(length, radius) if reflect is None else reflect]
    total = extended[radius : radius + length] * kernel[radius]
    term = np.empty_like(total)
    for j in range(radius, 0, -1):
        before, after = radius - j, radius + j
        np.add(extended[before : before + length], extended[after : after + length], out=term)
        term *= kernel[before]
        total += term
    return total


def _reflected(length: int, radius: int) -> Array:
    """Indices that extend `length` points by `radius` at both ends as scipy's mode "reflect" (d c b a | a b c d)."""
    index = np.arange(-radius, length + radius) % (2 * length)
    return np.where(index < length, index, 2 * length - 1 - index)


def _interpolate(values: Array, length: int) -> Array:
    """Linear interpolation on `length` equally spaced points, as scipy's `interp1d` does it."""
    grid, fine = _unit_grid(len(values)), _unit_grid(length)
    if values.dtype == np.float64 or values.dtype.kind in "iu":
        return np.interp(fine, grid, values)
    # Other dtypes take scipy's own path: differences in the given precision, the rest in float64.
    right = np.searchsorted(grid, fine).clip(1, len(grid) - 1)
    left = right - 1
    slope = (values[right] - values[left]) / (grid[right] - grid[left])
    return np.asarray(slope * (fine - grid[left]) + values[left], dtype=np.float64)


def _time_axis(t: Array, config: GeneratorConfig) -> Array:
    return _interpolate(_interpolate(t, config.padded_length), config.final_seq_length)
