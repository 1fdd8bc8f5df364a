"""How unlike the labeled images the unlabeled ones are, by color and texture of thumbnails."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.rng import Key
from semiseg.core.types import Likeness, Sample
from semiseg.data.formats.images import read_image
from semiseg.data.order import ahead

_MOST = 64  # images of either kind that are looked at
_SIDE = 64
_COARSE = 4
_FEWEST = 4  # labeled images, for distances among them to mean something
# How much each value varies among photographs of all kinds, so that 1 is a common distance.
_SPREAD = np.array([0.16, 0.07, 0.08, 0.065, 0.067, 0.06, 0.02, 0.02, 0.03, 0.03])


def likeness(
    labeled: Sequence[Sample],
    unlabeled: Sequence[Sample],
    key: Key,
    value_range: tuple[float, float] | None = None,
) -> Likeness | None:
    """Compare thumbnails of up to 64 labeled and 64 unlabeled images.

    Args:
        labeled: the labeled images.
        unlabeled: the unlabeled ones.
        key: which of them are looked at.
        value_range: the values that are black and white, see `read_image`.

    Returns:
        The distances; None where there are too few images.
    """
    known = _values(labeled, key.child("labeled"), value_range)
    others = _values(unlabeled, key.child("unlabeled"), value_range)
    if len(known) < _FEWEST or not len(others):
        return None
    between = _distances(known, known)
    np.fill_diagonal(between, np.inf)
    nearest = _distances(others, known).min(axis=1)
    return Likeness(float(np.median(nearest)), float(np.median(between.min(axis=1))))


def _values(
    samples: Sequence[Sample], key: Key, value_range: tuple[float, float] | None
) -> NDArray[np.float64]:
    """`(N, 10)`: what describes each image that can be read."""
    chosen = sorted(key.numpy().permutation(len(samples))[:_MOST])

    def describe(index: int) -> NDArray[np.float64] | None:
        try:
            return _describe(read_image(samples[index].image, value_range, enough=_SIDE))
        except DataError:
            return None  # told where it matters

    found = [values for values in ahead(describe, chosen) if values is not None]
    return np.array(found).reshape(-1, len(_SPREAD))


def _describe(image: Image.Image) -> NDArray[np.float64]:
    """Mean and deviation of brightness and two color axes, and contrasts at two scales."""
    pixels = np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64) / 255
    red, green, blue = np.moveaxis(pixels, 2, 0)
    gray = pixels.mean(axis=2)
    axes = np.stack([gray, red - green, (red + green) / 2 - blue])
    blocks = _SIDE // _COARSE
    coarse = gray.reshape(blocks, _COARSE, blocks, _COARSE).mean(axis=(1, 3))
    contrasts = [np.abs(np.diff(g, axis=axis)).mean() for g in (gray, coarse) for axis in (1, 0)]
    values = np.array([*axes.mean(axis=(1, 2)), *axes.std(axis=(1, 2)), *contrasts])
    return np.asarray(values / _SPREAD)


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(N, M)` root mean squares of the differences."""
    squares = np.square(a[:, None] - b[None]).mean(axis=2)
    return np.asarray(np.sqrt(squares))
