"""The random-access generator: sample i of seed s is a pure function of (s, i), in any order and any number.

The same distribution as the paper's generator, not the same samples. Randomness is the raw output of Philox
(counter-based: a block of samples is addressed, not reached), normals come from a table of 65,536 quantiles. After the
draw of class, padding and translation all steps are linear, so they are folded into small matrices once:

    x = scale * clean[class, padding, translation] + correlated + independent - shear * slope

The correlated noise is white noise under a Gaussian filter with reflecting ends, which the cosine transform (DCT-II)
diagonalises; frequencies that carry less than a millionth of its variance together are left out. The independent noise
is drawn on the final grid, with the covariance that subsampling gives it.

The same bits everywhere: whole blocks are computed always, whatever the shape of a request; the one product of matrices
works on numbers with so few binary digits that it is exact, in whatever order a BLAS library adds; all else is
arithmetic number by number. What the tables are made from (a cosine, a logarithm) may differ in the last of 53 binary
digits from one processor or C library to another, and is rounded to 24 or so.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mnist1d_hf.data.config import GeneratorConfig, check_config, check_integer
from mnist1d_hf.data.generator import LATENTS, SignalMaker, check_std
from mnist1d_hf.data.templates import Frozen, Templates, frozen, thawed
from mnist1d_hf.errors import InvalidTypeError, InvalidValueError

Array = NDArray[Any]

VALUES_VERSION = 2  # raised when the values of the stream change
BLOCK = 512  # samples that are always computed together
MAX_INDEX = 2**60  # indices are below this
MAX_SEED = 2**63 - 1

# Second half of Philox's key: what the numbers are for.
_SAMPLES, _ORDER, _LABEL_NOISE = 0x6D6E6973743164, 0x6F72646572, 0x6C6162656C73
_NEGLIGIBLE = 1e-6  # fraction of the correlated noise's variance that may be left out
_NORMAL_DIGITS = 20  # binary digits of a normal after the point; before it has three
_MOST_TABLE = 2**24  # numbers of the table over class, padding and translation; above, rows are made when needed


class Samples(NamedTuple):
    """`n` samples: `x` float32 (n, length); `label` int64 (n,), the row of the template; `latents`, each (n,); `clean`
    float32 (n, length), `x` without both noises, where it was asked for."""

    x: Array
    label: Array
    latents: dict[str, Array]
    clean: Array | None = None


def sample(
    indices: Any,
    seed: int = 0,
    config: GeneratorConfig | None = None,
    *,
    templates: Mapping[str, Any] | None = None,
    latents: bool = False,
) -> Any:
    """The samples with these n indices in the endless stream of `seed`: `x` float32 (n, 40), `label` int64 (n,).

    Args:
        indices: integers from 0 to 2**60 - 1, (n,): a range, a list or an array, in any order, repeated or not.
        seed: 0 .. 2**63 - 1; different seeds are independent streams.
        config: what shapes a sample; `num_samples`, `train_split` and `seed` of it play no part.
        templates: as in `mnist1d_hf.make_dataset`.
        latents: also return what was drawn.

    Returns:
        `x` float32 (n, final_seq_length), standardised by the population's mean and standard deviation, and `label`
        int64 (n,); with `latents` also a dict of arrays (n,): padding, translation int64, scale, shear float64.

    Raises:
        InvalidTypeError, InvalidValueError: indices or seed of the wrong type or out of range, bad templates.

    Source: the distribution is that of Greydanus & Kobak 2024 (arXiv 2011.14439), section 2.

    >>> x, label = sample(range(1000))
    >>> x.shape, label.shape
    ((1000, 40), (1000,))
    >>> bool((sample([999])[0] == x[999]).all())
    True
    """
    wanted = _check_indices(indices)
    seed = check_integer("seed", seed, 0, MAX_SEED)
    plan = plan_of(config, templates)
    made = collect(plan, wanted, seed, latents=latents)
    return (made.x, made.label, made.latents) if latents else (made.x, made.label)


def collect(plan: StreamPlan, wanted: Array, seed: int, *, latents: bool = False, clean: bool = False) -> Samples:
    """The samples with the indices `wanted`, int64 (n,): what `sample` returns, after its checks."""
    x = np.empty((len(wanted), plan.config.final_seq_length), dtype=np.float32)
    label = np.empty(len(wanted), dtype=np.int64)
    drawn = {name: np.empty(len(wanted), np.int64 if name in ("padding", "translation") else float) for name in LATENTS}
    noise_free = np.empty_like(x) if clean else None
    for number, place, row in _by_block(wanted):
        made = plan.block(seed, number, clean=clean)
        x[place], label[place] = made.x[row], made.label[row]
        if noise_free is not None and made.clean is not None:
            noise_free[place] = made.clean[row]
        if latents:
            for name, values in made.latents.items():
                drawn[name][place] = values[row]
    return Samples(x, label, drawn if latents else {}, noise_free)


def noisy_labels(label: Array, start: int, seed: int, fraction: float, classes: int) -> Array:
    """Labels int64 (n,) of the samples `start` .. `start` + n - 1, each drawn anew with probability `fraction`.

    New labels are uniform over all classes, so that some stay as they were. Whether and to what a label changes is a
    function of `seed` and of its sample's index alone.

    >>> noisy_labels(np.zeros(8, dtype=np.int64), 0, 42, 0.5, 10).shape
    (8,)
    """
    first = start // 4  # one step of Philox's counter makes four words
    words = _philox(seed, _LABEL_NOISE, first, 4 * (-(-(start + len(label)) // 4) - first))
    words = words[start - 4 * first :][: len(label)]
    chosen = (words >> np.uint64(32)) < np.uint64(round(fraction * 2**32))
    drawn = ((words & np.uint64(0xFFFFFFFF)) * np.uint64(classes)) >> np.uint64(32)
    return np.where(chosen, drawn.astype(np.int64), label)


def plan_of(config: GeneratorConfig | None, templates: Mapping[str, Any] | None = None) -> StreamPlan:
    """The tables for a configuration (the paper's when None), made once in a process."""
    return _plan(check_config(config), frozen(templates))


@functools.lru_cache(maxsize=8)
def _plan(config: GeneratorConfig, templates: Frozen | None) -> StreamPlan:
    return StreamPlan(config, thawed(templates))


class _Rows(NamedTuple):
    """What class, padding and translation decide, one row for each combination asked for: float (n, length)."""

    clean: Array
    left: Array  # 1 where the left neighbour on the working grid is padding and takes noise
    right: Array


class StreamPlan:
    """Everything that depends on the configuration only; `block` does the rest."""

    def __init__(self, config: GeneratorConfig, templates: Templates) -> None:
        self.config = config
        self.num_classes = len(templates["y"])
        self.span = config.padding[1] - config.padding[0] + 1
        self._maker = SignalMaker(config, templates["x"])
        length = config.padded_length
        self._after = self._maker.offset[:, 0] / self._maker.width[:, 0]  # weight of the right neighbour
        self._slope = self._maker.subsample(self._maker.slope)[:, 0]
        self._smooth_left, self._smooth_right = self._smooth_factors()
        self._noise = _independent_factors(self._maker.left, self._after, length, config.iid_noise_scale)
        self.num_smooth = len(self._smooth_left)
        self.num_noise = int(max(self._noise[0].max(), self._noise[2].max())) + 1
        # Three words for the latents, then four normals to a word.
        self.words = 3 + -(-(self.num_smooth + self.num_noise) // 4)
        self.shifts = min(config.max_translation, length)  # longer ones leave a signal where it is, as 0 does
        combinations = self.num_classes * self.span * self.shifts
        codes = np.arange(combinations)
        small = combinations * config.final_seq_length <= _MOST_TABLE
        table = self._rows(codes) if small else None
        self.mean, self.std = self._moments(codes, table)
        self._fold(table)

    def _fold(self, table: _Rows | None) -> None:
        """Divide by the population's standard deviation once, here, instead of for every sample."""

        def scaled(array: Array) -> Array:
            return np.ascontiguousarray(array / self.std, dtype=np.float32)

        self._table = None if table is None else self._ready(table)
        self._smooth = _few_digits(np.concatenate([self._smooth_left, self._smooth_right], axis=1) / self.std)
        first, first_weight, second, second_weight = self._noise
        terms = _term(first, scaled(first_weight)), _term(second, scaled(second_weight))
        self._white = [term for term in terms if len(term[2])]
        self._slope32 = scaled(self._slope)
        self._offset32 = np.float32(self.mean / self.std)

    def block(self, seed: int, number: int, *, clean: bool = False) -> Samples:
        """Samples `number * BLOCK` to `(number + 1) * BLOCK - 1` of the stream `seed`."""
        words = _philox(seed, _SAMPLES, number * (BLOCK * self.words // 4), BLOCK * self.words).reshape(BLOCK, -1)
        label, code, latents = self._latents(words[:, :3])
        normals = _normal_table().take(np.ascontiguousarray(words[:, 3:]).astype("<u8", copy=False).view("<u2"))
        rows = self._table_rows(code)
        x = rows.clean
        x *= latents["scale"].astype(np.float32)[:, None]
        ramp = latents["shear"].astype(np.float32)[:, None] * self._slope32
        noise_free = x - ramp - self._offset32 if clean else None
        length = self.config.final_seq_length
        smooth = _exact_product(normals[:, : self.num_smooth], self._smooth)
        x += smooth[:, :length] * rows.left
        x += smooth[:, length:] * rows.right
        white = normals[:, self.num_smooth :]
        for target, source, weight in self._white:
            x[:, target] += white[:, source] * weight
        x -= ramp
        x -= self._offset32
        if self.config.shuffle_seq:
            x = x[:, position_order(seed, length)]
            noise_free = None if noise_free is None else noise_free[:, position_order(seed, length)]
        return Samples(x, label, latents, noise_free)

    def _latents(self, words: Array) -> tuple[Array, Array, dict[str, Array]]:
        """Class, row of the table, and latents from 32 bits each."""
        high, low = words >> np.uint64(32), words & np.uint64(0xFFFFFFFF)

        def whole(bits: Array, count: int) -> Array:
            return ((bits * np.uint64(count)) >> np.uint64(32)).astype(np.int64)

        def centred(bits: Array) -> Array:
            return (bits + 0.5) / 2.0**32 - 0.5

        label = whole(high[:, 0], self.num_classes)
        extra = whole(low[:, 0], self.span)
        translation = whole(high[:, 1], self.config.max_translation)
        latents = {
            "padding": self.config.padding[0] + extra,
            "scale": 1 + self.config.scale_coeff * centred(high[:, 2]),
            "translation": translation,
            "shear": self.config.shear_scale * centred(low[:, 2]),
        }
        shift = translation * (translation < self.shifts)
        return label, (label * self.span + extra) * self.shifts + shift, latents

    def _table_rows(self, code: Array) -> _Rows:
        """Rows for these combinations, float32, the signal divided by the population's standard deviation."""
        if self._table is not None:
            return _Rows(*(part.take(code, axis=0) for part in self._table))
        return self._ready(self._rows(code))

    def _ready(self, rows: _Rows) -> _Rows:
        return _Rows(*(part.astype(np.float32) for part in rows._replace(clean=rows.clean / self.std)))

    def _rows(self, code: Array) -> _Rows:
        """Rows for these combinations, float64, in the generator's own units."""
        rest, translation = np.divmod(code, self.shifts)
        label, extra = np.divmod(rest, self.span)
        dilated = self._maker.dilate(label, self.config.padding[0] + extra)
        place = (self._maker.left[None, :] - translation[:, None]) % dilated.shape[1]
        left = np.take_along_axis(dilated, place, axis=1)
        right = np.take_along_axis(dilated, (place + 1) % dilated.shape[1], axis=1)
        return _Rows(left + self._after * (right - left), (left == 0) * 1.0, (right == 0) * 1.0)

    def _smooth_factors(self) -> tuple[Array, Array]:
        """Matrices (frequencies, length) from white normals to the correlated noise at both neighbours, weighted."""
        length, kernel = self.config.padded_length, self._maker.kernel
        frequency = np.arange(length)
        reach = np.arange(len(kernel)) - len(kernel) // 2
        response = (kernel * np.cos(np.pi * frequency[:, None] * reach / length)).sum(1)
        left_out = np.cumsum((response**2)[::-1])[::-1]
        kept = max(1, int((left_out > _NEGLIGIBLE * left_out[0]).sum()))
        basis = np.cos(np.pi * frequency[:kept, None] * (frequency + 0.5) / length) * np.sqrt(2 / length)
        basis[0] /= np.sqrt(2)
        factors = self.config.corr_noise_scale * response[:kept, None] * basis
        left = self._maker.left
        return factors[:, left] * (1 - self._after), factors[:, left + 1] * self._after

    def _moments(self, codes: Array, table: _Rows | None) -> tuple[float, float]:
        """Mean and standard deviation of all numbers of the population, in closed form, to single precision."""
        sums = np.zeros((5, self.config.final_seq_length))
        times = np.where(codes % self.shifts == 0, 1 + self.config.max_translation - self.shifts, 1)[:, None]
        for start in range(0, len(codes), 4096):
            part = slice(start, start + 4096)
            rows = self._rows(codes[part]) if table is None else _Rows(*(item[part] for item in table))
            clean, left, right = rows
            terms = (clean, clean**2, left, right, left * right)
            sums += [(times[part] * term).sum(0) for term in terms]
        clean1, clean2, left1, right1, both = sums / times.sum()
        smooth_l, smooth_r = self._smooth_left, self._smooth_right
        square = clean2 * (1 + self.config.scale_coeff**2 / 12)
        square += left1 * (smooth_l**2).sum(0) + right1 * (smooth_r**2).sum(0)
        square += 2 * both * (smooth_l * smooth_r).sum(0)
        square += self._noise[1] ** 2 + self._noise[3] ** 2
        square += self.config.shear_scale**2 / 12 * self._slope**2
        mean = float(clean1.mean())
        variance = float(square.mean()) - mean**2
        std = float(np.sqrt(variance)) if variance > 0 else 0.0
        check_std(std)
        return float(np.float32(mean)), float(np.float32(std))


def _independent_factors(left: Array, after: Array, length: int, scale: float) -> tuple[Array, Array, Array, Array]:
    """The subsampled white noise as a weighted sum of two normals for each final point: (place, weight) twice."""
    count = len(left)
    if count > length:  # more points than the working grid has: interpolate its noise
        return left, scale * (1 - after), left + 1, scale * after
    # Neighbours share at most one point of the working grid, so the covariance is tridiagonal, its factor bidiagonal.
    variance = (1 - after) ** 2 + after**2
    shared = np.zeros(count)
    for j in range(1, count):
        for a, weight_a in ((left[j - 1], 1 - after[j - 1]), (left[j - 1] + 1, after[j - 1])):
            for b, weight_b in ((left[j], 1 - after[j]), (left[j] + 1, after[j])):
                shared[j] += weight_a * weight_b * (a == b)
    diagonal, below = np.zeros(count), np.zeros(count)
    for j in range(count):
        below[j] = shared[j] / diagonal[j - 1] if j and diagonal[j - 1] > 0 else 0.0
        diagonal[j] = np.sqrt(max(variance[j] - below[j] ** 2, 0.0))
    place = np.arange(count)
    return place, scale * diagonal, np.maximum(place - 1, 0), scale * below


def _term(place: Array, weight: Array) -> tuple[slice, Any, Array]:
    """Final points, the normals that they take and their weights: from the first weight that is not zero on, and with
    the normals as a slice where they are neighbours, which is fast."""
    start = int(np.argmax(weight != 0)) if weight.any() else len(weight)
    place, weight = place[start:], weight[start:]
    consecutive = len(place) > 0 and bool((np.diff(place) == 1).all())
    source = slice(int(place[0]), int(place[-1]) + 1) if consecutive else place
    return slice(start, None), source, weight


def _few_digits(factors: Array) -> Array:
    """Rounded so that a product with normals is exact in float64: (terms, n) float64.

    The largest sum of products must stay below 2**53 of its units: `_NORMAL_DIGITS` and three digits are a normal's,
    some are for the number of terms, the others are the factors', 24 of 53 for the usual 41 terms.
    """
    largest = float(np.abs(factors).max(initial=0.0))
    if largest == 0:
        return factors
    digits = 53 - (_NORMAL_DIGITS + 3) - int(np.ceil(np.log2(len(factors))))
    exponent = digits - int(np.frexp(largest)[1])
    return np.ldexp(np.rint(np.ldexp(factors, exponent)), -exponent)


def _exact_product(normals: Array, factors: Array) -> Array:
    """`normals @ factors` as float32; exact before it is rounded, so that no kernel, thread or order changes a bit.

    In pieces too small for OpenBLAS to wake a second thread for, which beside other processes costs more than it gives.
    """
    rows = BLOCK
    while rows > 1 and rows * factors.size >= 2**18:
        rows //= 2
    pieces = normals.astype(np.float64).reshape(-1, rows, normals.shape[1])
    return np.matmul(pieces, factors).astype(np.float32).reshape(len(normals), -1)


def _philox(seed: int, purpose: int, counter: int, count: int) -> Array:
    """`count` raw 64-bit words from this place on; a step of the counter makes four of them."""
    words = np.array([counter % 2**64, counter >> 64, 0, 0], dtype=np.uint64)  # of a list NumPy makes rounded floats
    bits = np.random.Philox(key=[seed, purpose], counter=words)
    return bits.random_raw(count)


@functools.lru_cache(maxsize=1)
def _normal_table() -> Array:
    """65,536 equally likely values of a normal distribution with variance one, float32 of `_NORMAL_DIGITS`."""
    inverse = NormalDist().inv_cdf
    upper = np.array([inverse(0.5 + (number + 0.5) / 65536) for number in range(32768)])
    values = np.concatenate([-upper[::-1], upper])
    return np.ldexp(np.rint(np.ldexp(values / values.std(), _NORMAL_DIGITS)), -_NORMAL_DIGITS).astype(np.float32)


@functools.lru_cache(maxsize=16)
def position_order(seed: int, length: int) -> Array:
    """The permutation of the positions that belongs to a seed."""
    return np.argsort(_philox(seed, _ORDER, 0, length), kind="stable")


def _by_block(wanted: Array) -> list[tuple[int, Any, Any]]:
    """(number of the block, places in the request, rows of the block) for each block that is needed."""
    numbers = wanted // BLOCK
    if len(wanted) and (np.diff(wanted) == 1).all():  # a range: slices instead of lists of places
        first, last = int(wanted[0]), int(wanted[-1]) + 1
        return [
            (
                number,
                slice(max(first, number * BLOCK) - first, min(last, (number + 1) * BLOCK) - first),
                slice(max(first - number * BLOCK, 0), min(last - number * BLOCK, BLOCK)),
            )
            for number in range(int(numbers[0]), int(numbers[-1]) + 1)
        ]
    order = np.argsort(numbers, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1) if len(order) else []
    return [(int(numbers[places[0]]), places, wanted[places] % BLOCK) for places in groups]


def _check_indices(indices: Any) -> Array:
    expected = "indices: expected integers from 0 to 2**60 - 1"
    if isinstance(indices, range):
        indices = np.arange(indices.start, indices.stop, indices.step, dtype=np.int64)
    try:
        array = np.asarray(indices)
    except ValueError:
        raise InvalidValueError(f"{expected} in one dimension, found rows of unequal length") from None
    if array.size == 0 and array.ndim == 1:
        return np.empty(0, dtype=np.int64)
    if array.dtype.kind not in "iu":
        raise InvalidTypeError(f"{expected}, found dtype {array.dtype}")
    if array.ndim != 1:
        raise InvalidValueError(f"{expected} in one dimension, found shape {array.shape}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= MAX_INDEX:
        raise InvalidValueError(f"{expected}, found {low if low < 0 else high}")
    return array.astype(np.int64)
