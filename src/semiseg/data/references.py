"""How unlike the images of a training an image is, by color and texture.

The number is the distance of an image to the nearest image of the training, divided by the
distance that 99 % of those have to their own nearest one. So 1 is as far as the most unusual 1 % of
the training images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.data.formats.images import read_image
from semiseg.data.read_ahead import read_ahead

MAX_REFERENCES = 256
"""The images of a training that a model remembers."""
FEATURES = 10
"""Of an image, see `describe_image`."""
_MIN_REFERENCES = 4  # the distances among fewer images mean nothing
_SIDE = 128  # of a thumbnail, in pixels
_ENOUGH = 256  # a JPEG may come at a short side of this many pixels; smaller ones are too smooth
_REDUCING_GAP = 4.0  # images of many megapixels are reduced by a whole number first
_DARKEST = 2 / 255  # differences below two gray values of 255 are noise
_COLOR_BLOCK = 2  # pixels of the thumbnail, a side
_CONTRAST_BLOCKS = (1, 2, 4, 8)
_SPREAD = np.array([0.16, 0.07, 0.08, *(0.5,) * 7])  # among photographs of all kinds
_MIN_SHARE_OF_SPREAD = 0.3  # where all images of a training agree in a feature
_MIN_LIMIT = 0.5  # where images of a training are almost equal, such as the frames of a video
_PERCENTILE = 99
_DIGITS = 3


@dataclass(frozen=True)
class References:
    """What a model remembers of the images of its training.

    Attributes:
        scale: by which each feature is divided, see `describe_image`.
        limit: the distance of 99 % of the images to their nearest one.
        images: the features of each image, divided by `scale`, as numbers with spaces between them.

    Raises:
        ValueError: a value is not allowed.
    """

    scale: tuple[float, ...]
    limit: float
    images: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.scale) != FEATURES or not all(0 < s < math.inf for s in self.scale):
            raise ValueError(
                f"the scale of {len(self.scale)} features, and {FEATURES} are expected"
            )
        if not 0 < self.limit < math.inf:
            raise ValueError(f"the limit {self.limit} of the distances")
        if not 0 < len(self.images) <= MAX_REFERENCES:
            raise ValueError(f"the features of {len(self.images)} images")
        rows = self.rows
        if rows.shape[1] != FEATURES or not np.isfinite(rows).all():
            raise ValueError(f"features of images that are not {FEATURES} finite numbers")

    @cached_property
    def rows(self) -> NDArray[np.float64]:
        """`(N, 10)` the features of the images, divided by `scale`.

        Raises:
            ValueError: they are no numbers, or not equally many for each image.
        """
        return np.array([row.split() for row in self.images]).astype(np.float64)

    def compare(self, features: NDArray[np.float64]) -> float:
        """How unlike the images of the training an image is.

        Args:
            features: `(10,)` of the image, see `describe_image`.
        """
        distances = _distances(features[None] / self.scale, self.rows)
        return round(float(distances.min()) / self.limit, 2)


def unlike(image: Image.Image, references: References) -> float:
    """How unlike the images of a training an image is; see the module.

    Args:
        image: in RGB, of any size.
        references: of the training.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> noise = [rng.integers(100 + i, 140, (64, 64, 3), np.uint8) for i in range(9)]
        >>> seen = references_of(np.stack([describe_image(Image.fromarray(n)) for n in noise]))
        >>> unlike(Image.fromarray(noise[0]), seen)
        0.0
        >>> unlike(Image.fromarray(noise[0]).convert("L").convert("RGB"), seen) > 1.5
        True
    """
    return references.compare(describe_image(image))


def references_of(features: NDArray[np.float64]) -> References | None:
    """What a model remembers of images.

    Args:
        features: `(N, 10)` of up to `MAX_REFERENCES` images.

    Returns:
        None if the images are too few to say what is usual.
    """
    if len(features) < _MIN_REFERENCES:
        return None
    scale = np.maximum(features.std(axis=0), _MIN_SHARE_OF_SPREAD * _SPREAD)
    rows = features / scale
    distances = _distances(rows, rows)
    np.fill_diagonal(distances, np.inf)
    limit = max(_MIN_LIMIT, float(np.percentile(distances.min(axis=1), _PERCENTILE)))
    images = tuple(" ".join(f"{value:.{_DIGITS}f}" for value in row) for row in rows)
    return References(tuple(scale.round(2 * _DIGITS).tolist()), round(limit, _DIGITS), images)


def read_references(
    labeled: Sequence[Path], unlabeled: Sequence[Path], reading: Reading = AS_STORED
) -> References | None:
    """What a model remembers of the images of its training.

    Unlabeled images count too, since the training used them: they say better than a few labeled
    ones how much the images differ. The labeled ones fill at least half of the places, if there are
    so many. Of each kind, the images are chosen evenly by their order.

    Args:
        labeled: the images with masks. Those that cannot be read do not count.
        unlabeled: those without, which the method used.
        reading: how they are read, see `read_image`.

    Returns:
        None if the images are too few, or have other channels than red, green and blue.
    """

    def describe(path: Path) -> NDArray[np.float64] | None:
        try:
            image = read_image(path, reading, enough=_ENOUGH)
        except DataError:
            return None
        return describe_image(image) if isinstance(image, Image.Image) else None

    others = min(len(unlabeled), max(MAX_REFERENCES // 2, MAX_REFERENCES - len(labeled)))
    images = [*_evenly(labeled, MAX_REFERENCES - others), *_evenly(unlabeled, others)]
    features = [values for values in read_ahead(describe, images) if values is not None]
    return references_of(np.array(features).reshape(-1, FEATURES))


def describe_image(image: Image.Image) -> NDArray[np.float64]:
    """`(10,)` the features of an image.

    They are the means of brightness and of two color axes; and the logarithms of their deviations,
    and of the contrasts between neighbors at four scales. Differences of logarithms are ratios, so
    that a gray image is as far from a pale photograph as from a colorful one.

    Args:
        image: in RGB.
    """
    small = image.resize((_SIDE, _SIDE), Image.Resampling.BOX, reducing_gap=_REDUCING_GAP)
    red, green, blue = np.moveaxis(np.asarray(small, np.float64) / 255, 2, 0)
    gray = (red + green + blue) / 3
    axes = [_blocks(v, _COLOR_BLOCK) for v in (gray, red - green, (red + green) / 2 - blue)]
    grids = [_blocks(gray, block) for block in _CONTRAST_BLOCKS]
    contrasts = [np.mean([np.abs(np.diff(g, axis=axis)).mean() for axis in (0, 1)]) for g in grids]
    sizes = np.array([*(axis.std() for axis in axes), *contrasts])
    return np.array([*(axis.mean() for axis in axes), *np.log(sizes + _DARKEST)])


def _evenly(images: Sequence[Path], count: int) -> list[Path]:
    """Up to `count` of the images, at equal distances."""
    count = min(count, len(images))
    return [images[i * len(images) // count] for i in range(count)]


def _blocks(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """The means of squares of `side` pixels."""
    count = len(values) // side
    return np.asarray(values.reshape(count, side, count, side).mean(axis=(1, 3)))


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(N, M)` root mean squares of the differences of `(N, 10)` and `(M, 10)` features."""
    return np.asarray(np.sqrt(np.square(a[:, None] - b[None]).mean(axis=2)))
