"""The choice among the images of a pool, from the rows of their features.

No index of neighbors is needed. An image is near-duplicate of a chosen one or it is not: that takes
products of the pool with the few hundred chosen and labeled images, not with itself. And only the
images with the largest scores are compared with the chosen ones, since a score never grows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.core.rng import Key
from semiseg.data.pools.pool_order import permuted
from semiseg.suggestion.coverage import Scaling, cover
from semiseg.suggestion.feature_rows import COMPUTED, PoolRows, features_in
from semiseg.suggestion.ranking import MIN_DISTANCE, Features

SAMPLE = 20_000
"""The images of a pool that a first choice is made from, and that it shall stand for."""
_REFRESHED = 2048  # images whose distances to the chosen ones are computed at a time
_Numbers = NDArray[np.int64]


class NextChoice(NamedTuple):
    """An image of a pool to label next.

    Attributes:
        number: of the image.
        score: see `Suggestion`.
        doubt: see `Suggestion`.
        disagreement: see `Suggestion`.
        distance: see `Suggestion`.
    """

    number: int
    score: float
    doubt: float
    disagreement: float | None
    distance: float


class FirstChoice(NamedTuple):
    """An image of a pool to label first.

    Attributes:
        number: of the image.
        stands_for: see `FirstImage`.
        distance: see `FirstImage`.
    """

    number: int
    stands_for: int
    distance: float


def choose_next(rows: PoolRows, labeled: Features, scored: Features, n: int) -> list[NextChoice]:
    """Repeatedly choose the image with the largest product of worth and distance, as `choose` does.

    Args:
        rows: of all images.
        labeled: the features of the labeled images, `(L, D)`.
        scored: those of the images of `val` and `test`, `(S, D)`. An image that is like one of them
            is never chosen.
        n: the largest number of images.
    """
    doubt, disagreement = rows.column("doubt"), rows.column("disagreement")
    worth = np.where(np.isnan(disagreement), doubt, (doubt + disagreement) / 2)
    mean = _mean(rows, labeled)
    distance = _distances(rows, mean, labeled, scored, default=1.0)
    score = np.where(distance > MIN_DISTANCE, worth * distance, -1.0)  # of stale ones, a bound
    compared = np.zeros(len(rows), np.int32)  # with so many of the chosen images
    vectors = np.empty((n, rows.width))
    chosen: list[NextChoice] = []
    while len(chosen) < n:
        best = int(score.argmax())
        if not score[best] >= 0:
            break
        if compared[best] < len(chosen):
            stale = _largest(np.where(compared < len(chosen), score, -1.0), _REFRESHED)
            own = _unit(rows.features(stale), mean)
            since = int(compared[stale].min())
            cosines = own @ vectors[since : len(chosen)].T
            distance[stale] = np.minimum(distance[stale], 1 - cosines.max(axis=1))
            compared[stale] = len(chosen)
            far = distance[stale] > MIN_DISTANCE
            score[stale] = np.where(far, worth[stale] * distance[stale], -1.0)
            continue
        vectors[len(chosen)] = _unit(rows.features(np.array([best])), mean)[0]
        other = None if np.isnan(disagreement[best]) else float(disagreement[best])
        values = float(doubt[best]), other, float(distance[best])
        chosen.append(NextChoice(best, float(score[best]), *values))
        score[best] = -1.0
    return chosen


def choose_first_numbers(
    rows: PoolRows, labeled: Features, scored: Features, n: int
) -> list[FirstChoice]:
    """Choose images that stand for all others, as `choose_first` does.

    A large pool is chosen from by a sample that is drawn by chance, and is the same each time: the
    images of a pool stand for groups of thousands, and each group has its share in the sample.

    Args:
        rows: of all images.
        labeled: as for `choose_next`.
        scored: as for `choose_next`.
        n: the largest number of images.
    """
    usable = rows.column("state") == COMPUTED
    sample = _sample(usable, SAMPLE)
    vectors = rows.features(sample)
    scaling = Scaling.of(np.concatenate([vectors, labeled]))
    own, others, excluded = (scaling(part) for part in (vectors, labeled, scored))
    if len(excluded):
        is_new = 1 - (own @ excluded.T).max(axis=1) > MIN_DISTANCE
        own, sample = own[is_new], sample[is_new]
    to_labeled = np.full(len(own), np.inf, np.float32)
    if len(others):
        to_labeled = 1 - (own @ others.T).max(axis=1)
    places = cover(own, to_labeled, n)
    if not places:
        return []
    chosen = own[list(places)]
    counts = np.zeros(len(chosen), np.int64)
    for _, block in rows.blocks():
        unit = scaling(features_in(block[block["state"] == COMPUTED]))
        cosines = unit @ chosen.T
        owners = cosines.argmax(axis=1)
        if len(others):  # no labeled image is nearer
            owners = owners[cosines.max(axis=1) >= (unit @ others.T).max(axis=1)]
        counts += np.bincount(owners, minlength=len(chosen))
    return [
        FirstChoice(int(sample[place]), int(count), distance)
        for (place, distance), count in zip(places.items(), counts, strict=True)
    ]


def _sample(usable: NDArray[np.bool_], count: int) -> _Numbers:
    """The numbers of up to `count` images that are usable, in their order."""
    if usable.sum() <= count:
        return np.flatnonzero(usable)
    key, size = Key.of("suggest", "sample of a pool"), len(usable)
    numbers: list[int] = []
    for place in range(size):
        number = permuted(place, size, key)
        if usable[number]:
            numbers.append(number)
        if len(numbers) == count:
            break
    return np.sort(np.array(numbers, np.int64))


def _mean(rows: PoolRows, labeled: Features) -> NDArray[np.float64]:
    """The mean of all features: what all images have in common does not distinguish them."""
    total, count = labeled.sum(axis=0, dtype=np.float64), len(labeled)
    for _, block in rows.blocks():
        features = features_in(block[block["state"] == COMPUTED])
        total += features.sum(axis=0, dtype=np.float64)
        count += len(features)
    mean: NDArray[np.float64] = total / max(1, count)
    return mean


def _distances(
    rows: PoolRows, mean: NDArray[np.float64], labeled: Features, scored: Features, default: float
) -> NDArray[np.float64]:
    """The distance of each image to the nearest labeled one, `(N,)`; 0 if it must not be chosen."""
    others, excluded = (_unit(part, mean).astype(np.float32) for part in (labeled, scored))
    distances = np.zeros(len(rows))
    for first, block in rows.blocks():
        own = _unit(features_in(block), mean).astype(np.float32)
        nearest = np.full(len(own), default)
        if len(others):
            nearest = 1 - (own @ others.T).max(axis=1).astype(np.float64)
        if len(excluded):
            nearest[1 - (own @ excluded.T).max(axis=1) <= MIN_DISTANCE] = 0
        nearest[block["state"] != COMPUTED] = 0
        distances[first : first + len(own)] = nearest
    return distances


def _largest(scores: NDArray[np.float64], count: int) -> _Numbers:
    """The places of the largest scores that are not negative, in their order."""
    if len(scores) > count:
        places = np.sort(np.argpartition(-scores, count)[:count])
    else:
        places = np.arange(len(scores))
    return places[scores[places] >= 0]


def _unit(features: Features, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """The features minus their mean, as vectors of length 1."""
    vectors = features - mean
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
    return vectors
