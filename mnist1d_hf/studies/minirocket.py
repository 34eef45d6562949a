"""MiniRocket: signals as fractions of points at which a convolution exceeds a threshold, for a linear classifier.

Dempster, Schmidt & Webb 2021 (arXiv 2012.08791). Its 84 kernels have length nine and two weights, -1 and, three times,
2. They are dilated; nothing in them is random or learned. Thresholds (biases) are quantiles of what a kernel gives for
training signals that are drawn at random. Half of the kernels see zeros beyond both ends of a signal, the others only
places where they fit in; from one dilation to the next the halves change over.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from numpy.typing import NDArray

from mnist1d_hf.errors import InvalidValueError

LENGTH = 9  # of a kernel
HEAVY = np.array(list(itertools.combinations(range(LENGTH), 3)))  # where the weight is 2, (84, 3)
MOST_DILATIONS = 32  # of a kernel
ROWS = 256  # signals at a time: what is computed for them fits into a processor's caches


@dataclasses.dataclass(frozen=True)
class MiniRocket:
    """A transform that was fitted to training signals; see `fit`.

    Attributes:
        length: of the signals.
        dilations: of the kernels, ascending.
        biases: for each dilation, float32 (84, count).
    """

    length: int
    dilations: tuple[int, ...]
    biases: tuple[NDArray[np.float32], ...]

    @property
    def features(self) -> int:
        """How many numbers a signal becomes."""
        return sum(biases.size for biases in self.biases)

    def transform(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Signals (n, length) as features in [0, 1], float32 (n, features), by dilation, kernel and bias.

        Raises:
            InvalidValueError: signals of another length.
        """
        if x.ndim != 2 or x.shape[1] != self.length:
            raise InvalidValueError(f"x: expected signals (n, {self.length}), found shape {x.shape}")
        found = np.empty((len(x), self.features), dtype=np.float32)
        for start in range(0, len(x), ROWS):
            part = x[start : start + ROWS]
            fractions = [self._fractions(part, number) for number in range(len(self.dilations))]
            found[start : start + ROWS] = np.concatenate(fractions, axis=1)
        return found

    def _fractions(self, x: NDArray[np.float32], number: int) -> NDArray[np.float32]:
        """The features of one dilation, (n, 84 * count)."""
        values, biases = convolve(x, self.dilations[number]), self.biases[number]
        found = np.empty((*biases.shape, len(x)), dtype=np.float32)
        edge = self.dilations[number] * (LENGTH // 2)
        for half, places in ((number % 2, slice(None)), (1 - number % 2, slice(edge, self.length - edge))):
            kernels = np.ascontiguousarray(values[places, half::2])
            for column in range(biases.shape[1]):
                above = kernels > biases[half::2, column, None]
                found[half::2, column] = above.sum(0, dtype=np.uint16) / np.float32(len(kernels))
        return found.reshape(-1, len(x)).T


def fit(x: NDArray[np.float32], features: int = 9996, seed: int = 0) -> MiniRocket:
    """Choose dilations and biases for training signals.

    Args:
        x: (n, length), of at least nine points.
        features: how many at most; a multiple of 84 is used. The paper has 9,996.
        seed: of the choice of the signals that biases come from, one for each kernel and dilation.

    Raises:
        InvalidValueError: signals that are too short, none, or fewer than 84 features.
    """
    if x.ndim != 2 or not len(x) or x.shape[1] < LENGTH:
        raise InvalidValueError(f"x: expected signals (n, length) of at least {LENGTH} points, found shape {x.shape}")
    if features < len(HEAVY):
        raise InvalidValueError(f"features: expected at least {len(HEAVY)}, found {features}")
    dilations, counts = spread(x.shape[1], features // len(HEAVY))
    drawn = np.random.default_rng(seed).integers(len(x), size=(len(dilations), len(HEAVY)))
    golden = np.arange(1, len(HEAVY) * sum(counts) + 1) * (np.sqrt(5) + 1) / 2 % 1  # spread evenly over 0 to 1
    biases, used = [], 0
    for dilation, count, rows in zip(dilations, counts, drawn, strict=True):
        values = convolve(x[rows], dilation)  # of kernel k the column k counts
        levels = golden[used : used + len(HEAVY) * count].reshape(len(HEAVY), count)
        found = [np.quantile(values[:, kernel, kernel], level) for kernel, level in enumerate(levels)]
        biases.append(np.array(found, dtype=np.float32))
        used += levels.size
    return MiniRocket(x.shape[1], dilations, tuple(biases))


def spread(length: int, count: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Dilations, spaced exponentially up to that at which a kernel spans a signal, and how many of the `count` biases
    of a kernel each has.

    >>> spread(40, 119)
    ((1, 2, 3, 4), (53, 30, 22, 14))
    """
    tried = min(count, MOST_DILATIONS)
    exponents = np.linspace(0, np.log2((length - 1) / (LENGTH - 1)), tried)
    dilations, times = np.unique((2**exponents).astype(int), return_counts=True)
    counts = (times * (count / tried)).astype(int)
    counts[: count - counts.sum()] += 1  # what rounding left over: less than one for each dilation
    return tuple(dilations.tolist()), tuple(counts.tolist())


def convolve(x: NDArray[np.float32], dilation: int) -> NDArray[np.float32]:
    """What each kernel gives at each point, with zeros beyond the ends: signals (n, length) to (length, 84, n)."""
    edge, length = dilation * (LENGTH // 2), x.shape[1]
    padded = np.pad(x.T, ((edge, edge), (0, 0)))
    shifted = np.stack([padded[step * dilation : step * dilation + length] for step in range(LENGTH)], axis=1)
    first, second, third = (shifted[:, places] for places in HEAVY.T)
    return 3 * (first + second + third) - shifted.sum(1, keepdims=True)
