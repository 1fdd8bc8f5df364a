"""How different the unlabeled images are from the labeled ones, by color and texture."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.files import cache_folder, read_json, short_hash, write_json
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.rng import Key
from semiseg.core.types import Likeness, Sample
from semiseg.data.formats.images import read_image
from semiseg.data.pixel_cache import file_stamp
from semiseg.data.read_ahead import read_ahead

MAX_SAMPLED_IMAGES = 64
"""Of the labeled and of the unlabeled images."""
_FORMAT = 1  # raise it when the same images would give other distances
_SIDE = 64  # of a thumbnail, in pixels
_COARSE_BLOCK = 4  # pixels of the thumbnail, a side
_MIN_LABELED = 4  # with fewer images the distances among them mean nothing
# The standard deviation of each feature among photographs of all kinds, so that 1 is a common
# distance.
_SPREAD = np.array([0.16, 0.07, 0.08, 0.065, 0.067, 0.06, 0.02, 0.02, 0.03, 0.03])


def likeness(
    labeled: Sequence[Sample],
    unlabeled: Sequence[Sample],
    key: Key,
    reading: Reading = AS_STORED,
) -> Likeness | None:
    """Compare thumbnails of up to 64 labeled and 64 unlabeled images.

    Args:
        labeled: the labeled images.
        unlabeled: the unlabeled images.
        key: the key of the draw that selects images.
        reading: how images are read, see `read_image`.

    Returns:
        The distances, or None if there are too few images.
    """
    if len(labeled) < _MIN_LABELED or not unlabeled:
        return None
    ones = _sampled(labeled, key.child("labeled"))
    others = _sampled(unlabeled, key.child("unlabeled"))
    file = _cache_file([sample.image for sample in (*ones, *others)], len(ones), reading)
    if file is not None:
        with suppress(OSError, ValueError, TypeError):  # it is not there yet, or broken
            return Likeness(*np.asarray(read_json(file), np.float64).reshape(2).tolist())
    distances = compare_features(image_features(ones, reading), image_features(others, reading))
    if file is not None and distances is not None:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, distances)
    return distances


def _cache_file(images: Sequence[Path], labeled: int, reading: Reading) -> Path | None:
    """The file that keeps the distances between images; None if they cannot be kept.

    Args:
        images: the labeled ones, then the others.
        labeled: the number of labeled ones.
        reading: how they are read.
    """
    cache, stamps = cache_folder(), list(map(file_stamp, images))
    if cache is None or not all(stamps):
        return None
    state = f"{_FORMAT} {PIL.__version__} {reading} {labeled}"
    name = short_hash("\n".join([state, *stamps]))
    return cache / "likeness" / f"{name}.json"


def compare_features(
    labeled: NDArray[np.float64], unlabeled: NDArray[np.float64]
) -> Likeness | None:
    """Compare the features of labeled and unlabeled images.

    Args:
        labeled: `(N, 10)` the features of labeled images, see `image_features`.
        unlabeled: `(M, 10)` those of unlabeled images.

    Returns:
        The distances, or None if there are too few images.
    """
    if len(labeled) < _MIN_LABELED or not len(unlabeled):
        return None
    among = _distances(labeled, labeled)
    np.fill_diagonal(among, np.inf)
    apart = _distances(unlabeled, labeled).min(axis=1)
    return Likeness(float(np.median(apart)), float(np.median(among.min(axis=1))))


def _sampled(samples: Sequence[Sample], key: Key) -> list[Sample]:
    """Up to `MAX_SAMPLED_IMAGES` of the images."""
    indices = sorted(key.numpy().permutation(len(samples))[:MAX_SAMPLED_IMAGES])
    return [samples[i] for i in indices]


def image_features(samples: Sequence[Sample], reading: Reading = AS_STORED) -> NDArray[np.float64]:
    """`(N, 10)` the features of each image that can be read.

    They are mean and deviation of brightness and of two color axes, and contrasts at two scales.
    """

    def describe(index: int) -> NDArray[np.float64] | None:
        try:
            image = read_image(samples[index].image, reading, enough=_SIDE)
            return _describe(image.convert("RGB"))
        except DataError:
            return None  # `check` reports it

    indices = range(len(samples))
    features = [values for values in read_ahead(describe, indices) if values is not None]
    return np.array(features).reshape(-1, len(_SPREAD))


def _describe(image: Image.Image) -> NDArray[np.float64]:
    """`(10,)` mean and deviation of brightness and two color axes, and contrasts at two scales."""
    pixels = np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64) / 255
    red, green, blue = np.moveaxis(pixels, 2, 0)
    gray = pixels.mean(axis=2)
    axes = np.stack([gray, red - green, (red + green) / 2 - blue])
    blocks = _SIDE // _COARSE_BLOCK
    coarse = gray.reshape(blocks, _COARSE_BLOCK, blocks, _COARSE_BLOCK).mean(axis=(1, 3))
    contrasts = [np.abs(np.diff(g, axis=axis)).mean() for g in (gray, coarse) for axis in (1, 0)]
    features = np.array([*axes.mean(axis=(1, 2)), *axes.std(axis=(1, 2)), *contrasts])
    return np.asarray(features / _SPREAD)


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(N, M)` root mean squares of the differences of `(N, 10)` and `(M, 10)` features."""
    squares = np.square(a[:, None] - b[None]).mean(axis=2)
    return np.asarray(np.sqrt(squares))
