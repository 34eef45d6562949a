"""Contiguous ranges of rows, of nearly equal size, for files and jobs."""

from __future__ import annotations

import itertools

import numpy as np

from mnist1d_hf.data.stream import BLOCK


def row_ranges(start: int, stop: int, count: int) -> list[tuple[int, int]]:
    """Rows `start` to `stop` in at most `count` ranges of nearly equal size.

    >>> row_ranges(0, 10, 4)
    [(0, 2), (2, 5), (5, 7), (7, 10)]
    """
    edges = np.linspace(start, stop, min(count, stop - start) + 1).astype(int).tolist()
    return list(itertools.pairwise(edges))


def block_ranges(num_samples: int, count: int) -> list[tuple[int, int]]:
    """The rows of a stream in at most `count` ranges of whole blocks, nearly equal.

    >>> block_ranges(1300, 2)
    [(0, 512), (512, 1300)]
    """
    blocks = row_ranges(0, -(-num_samples // BLOCK), count)
    return [(start * BLOCK, min(stop * BLOCK, num_samples)) for start, stop in blocks]
