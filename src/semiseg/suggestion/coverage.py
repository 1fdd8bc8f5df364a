"""The choice of images that stand for all others, before there is a model.

Each image has a vector. The choice keeps the mean distance from an image to the nearest chosen or
labeled one as small as it can, one image at a time (greedy k-medoids, also called facility
location). So the first image stands for the most others, and an outlier comes late.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.core.text import table
from semiseg.suggestion.ranking import MIN_DISTANCE, Features

_Vectors = NDArray[np.float32]
_BLOCK = 512  # images whose distances to all others are in memory at once
_RECOMPUTED = 16  # images whose gains are computed again at once
_MIN_SPREAD = 1e-6  # of a channel, relative to the largest one; a smaller one is rounding


class FirstImage(NamedTuple):
    """An image to label first.

    Attributes:
        name: of its files in the output folder.
        image: the file.
        stands_for: the number of images, itself among them, to which no other chosen image and no
            labeled one is nearer.
        distance: 1 - the cosine between its vector and that of the nearest image that is labeled or
            has a higher rank, 1 at most; it is 1 for the first one of all.
    """

    name: str
    image: Path
    stands_for: int
    distance: float


class Scaling(NamedTuple):
    """Brings vectors to length 1, after each channel got the mean 0 and the deviation 1.

    What all images have in common does not tell them apart, and a channel of large numbers must not
    outweigh the others.

    Attributes:
        mean: of each channel that varies, `(C,)`.
        spread: its deviation, `(C,)`.
        varies: which channels of the vectors vary, `(D,)`.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    varies: NDArray[np.bool_]

    @classmethod
    def of(cls, vectors: _Vectors) -> Scaling:
        """The scaling for some vectors `(N, D)`."""
        spread = vectors.std(axis=0, dtype=np.float64)
        varies = spread > _MIN_SPREAD * spread.max()
        mean = vectors[:, varies].mean(axis=0, dtype=np.float64)
        return cls(mean, spread[varies], varies)

    def __call__(self, vectors: _Vectors) -> _Vectors:
        """The vectors `(N, C + 1)` of length 1."""
        scaled = (vectors[:, self.varies] - self.mean) / self.spread
        length = np.linalg.norm(scaled, axis=1, keepdims=True)
        is_mean = length < 1e-6  # such images are alike, which cosines of 0 would not show
        normalized: _Vectors = np.hstack([scaled / np.where(is_mean, 1, length), is_mean])
        return normalized.astype(np.float32)


def choose_first(
    images: Mapping[str, Path],
    vectors: Mapping[str, Features],
    labeled: Mapping[str, Features],
    n: int,
) -> list[FirstImage]:
    """Choose images that stand for all others.

    Args:
        images: the files by name.
        vectors: the vectors of the images to choose from, `(D,)` each, by name.
        labeled: those of the images that have masks already.
        n: the largest number of images. An image that is like a labeled or a chosen one is never
            chosen.

    Returns:
        The images; begin with the first one.
    """
    names = list(vectors)
    every = np.stack([*vectors.values(), *labeled.values()])
    every = Scaling.of(every)(every)
    own, others = every[: len(names)], every[len(names) :]
    to_labeled = np.full(len(own), np.inf, np.float32)
    if len(others):
        to_labeled = np.concatenate([1 - (part @ others.T).max(axis=1) for part in _blocks(own)])
    distances = cover(own, to_labeled, n)
    if not distances:
        return []
    to_chosen = 1 - own @ own[list(distances)].T
    owners = to_chosen.argmin(axis=1)[to_chosen.min(axis=1) <= to_labeled]
    counts = np.bincount(owners, minlength=len(distances))
    return [
        FirstImage(names[i], images[names[i]], int(count), distance)
        for (i, distance), count in zip(distances.items(), counts, strict=True)
    ]


def cover(own: _Vectors, to_labeled: _Vectors, n: int) -> dict[int, float]:
    """Choose vectors that keep the mean distance to the nearest chosen or labeled one small.

    Args:
        own: the vectors to choose from, `(N, D)`, each of length 1.
        to_labeled: the distance of each to the nearest labeled one, `(N,)`; infinite without any.
        n: the largest number of vectors.

    Returns:
        The distance of each chosen vector to the nearest one that is labeled or was chosen before
        it, 1 at most, by its place; in the order of the choice.
    """
    nearest = to_labeled.clip(max=1)  # the mean of all images has the distance 1 to each
    bounds = np.concatenate([_gains(part, own, nearest) for part in _blocks(own)])
    distances: dict[int, float] = {}
    while len(distances) < n:
        bounds[nearest <= MIN_DISTANCE] = -1  # they are like a labeled or a chosen image
        best = _best(bounds, own, nearest)
        if best is None:
            break
        distances[best] = float(nearest[best])
        nearest = np.minimum(nearest, 1 - own @ own[best])
        nearest[best] = 0
    return distances


def first_image_table(images: list[FirstImage]) -> str:
    """A table of the images with the reasons for their rank."""
    rows = [[one.name, f"{one.stands_for}", f"{one.distance:.2f}"] for one in images]
    return table(["image", "stands for", "distance"], rows)


def _blocks(vectors: _Vectors) -> list[_Vectors]:
    return [vectors[start : start + _BLOCK] for start in range(0, len(vectors), _BLOCK)]


def _gains(part: _Vectors, own: _Vectors, nearest: _Vectors) -> _Vectors:
    """By how much each of some images would reduce the sum of the distances, `(B,)`."""
    gains: _Vectors = (nearest[:, None] - 1 + own @ part.T).clip(min=0).sum(axis=0)
    return gains


def _best(bounds: _Vectors, own: _Vectors, nearest: _Vectors) -> int | None:
    """The image that reduces the sum of the distances most; None if there is none left.

    The gain of an image never grows when others are chosen, so an earlier gain is an upper bound,
    and few images have to be computed again.

    Args:
        bounds: the upper bounds, `(N,)`, which are made tighter; negative for images that do not
            count.
        own: the vectors of the images.
        nearest: the distance of each to the nearest chosen or labeled image.
    """
    is_exact = np.zeros(len(bounds), np.bool_)
    while True:
        best = int(bounds.argmax())
        if bounds[best] < 0:
            return None
        if is_exact[best]:
            return best
        loose = np.where(is_exact, -1, bounds)
        part = np.argsort(-loose, kind="stable")[:_RECOMPUTED]
        part = part[loose[part] >= 0]
        bounds[part] = _gains(own[part], own, nearest)
        is_exact[part] = True
