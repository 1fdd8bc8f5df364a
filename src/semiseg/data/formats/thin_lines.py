"""Codes of a mask that lie on thin lines between other codes, such as a void border."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_ISOLATED = 8  # ids that are so far above the next lower one are no class number in a row
_MAX_SAMPLED_LINES = 32  # rows, and as many columns, that are examined
_MIN_WIDTH, _MAX_WIDTH = 3, 12  # limits in pixels of a 16th of the side, for a thin line
_LARGE = 64  # in large masks a thin line may reach this part of the side
_MIN_RUNS = 4
_MIN_SHARE = 0.5  # of the runs; a ring reaches 0.8, an object 0.3


def isolated(ids: Iterable[int]) -> list[int]:
    """The ids that are far above the next lower one; never the lowest.

    Example:
        >>> isolated([0, 1, 2, 220])
        [220]
    """
    return [high for low, high in itertools.pairwise(sorted(ids)) if high - low >= _ISOLATED]


def thin_lines(codes: NDArray[np.int32], ids: Iterable[int]) -> tuple[int, ...]:
    """The isolated ids whose pixels lie on thin lines between two different other ids.

    Args:
        codes: `(H, W)` ids.
        ids: those that occur.
    """
    ids = list(ids)
    candidates = isolated(ids) if len(ids) > 2 else []
    if not candidates:
        return ()
    rows, columns = (_runs(_sample(lines)) for lines in (codes, codes.T))
    runs = np.concatenate([rows, columns], axis=1)
    code, before, after, width = runs
    side = max(codes.shape)
    widest = max(_MIN_WIDTH, min(_MAX_WIDTH, side // 16), side // _LARGE)
    between = (before != after) & (width <= widest)
    return tuple(
        c
        for c in candidates
        if (of_code := code == c).sum() >= _MIN_RUNS and between[of_code].mean() >= _MIN_SHARE
    )


def _sample(lines: NDArray[np.int32]) -> NDArray[np.int32]:
    """Evenly spaced rows of an array."""
    count = min(len(lines), _MAX_SAMPLED_LINES)
    return lines[np.linspace(0, len(lines) - 1, count).astype(np.int64)]


def _runs(lines: NDArray[np.int32]) -> NDArray[np.int64]:
    """The runs of equal codes in rows, without those at the ends of a row.

    Returns:
        `(4, N)`: the code, the codes before and after it, and the length of the run.
    """
    row, column = np.nonzero(lines[:, 1:] != lines[:, :-1])
    inside = row[1:] == row[:-1]
    row, start, end = row[1:][inside], column[:-1][inside], column[1:][inside]
    codes = lines[row, start + 1], lines[row, start], lines[row, end + 1]
    return np.stack([*codes, end - start]).astype(np.int64)
