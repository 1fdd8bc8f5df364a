"""From maps at stride 4 to labels at the size of the image, with numpy or with torch.

The maps are enlarged bilinearly, a few rows at a time. All class scores of an image of 4000 x 3000
pixels with 21 classes would take a gigabyte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.core.types import STRIDE, Prediction

Floats = NDArray[np.float32]
INDICATOR_TEMPERATURE = 0.1
"""`tau_r` of the similarity indicator (Eq. 5 of CSS), the paper's."""
_MAX_STRIP = 1 << 20  # numbers; a few copies of a strip fit into the cache of a CPU


class Maps(NamedTuple):
    """The outputs of a model for a batch of images, at stride 4.

    Attributes:
        logits: `(B, C, ceil(h/4), ceil(w/4))`.
        similarity: of the same shape: cosine similarity to each class's prototype, plus the
            `similarity_prior` of the release if it has one. About -1000 for classes without a
            prototype. None for a model without prototypes.
    """

    logits: Floats
    similarity: Floats | None

    def only(self, index: int) -> Maps:
        """The maps of one image of the batch."""
        one = slice(index, index + 1)
        return Maps(self.logits[one], None if self.similarity is None else self.similarity[one])


class Arithmetic(NamedTuple):
    """The array library: numpy, or torch on a device.

    Attributes:
        module: the library, which has `exp`.
        best: gives the largest values along the first axis, and their indices.
        place: converts a numpy array to an array of the library.
        fetch: converts it back.
    """

    module: Any
    best: Callable[[Any], tuple[Any, Any]]
    place: Callable[[NDArray[Any]], Any]
    fetch: Callable[[Any], NDArray[Any]]


NUMPY = Arithmetic(np, lambda a: (a.max(0), a.argmax(0)), np.asarray, np.asarray)


def interpolation(places: NDArray[np.float64], cells: int) -> Floats:
    """The matrix `(N, cells)` whose product with a map gives its linear interpolation.

    Args:
        places: `(N,)` positions in cells; 0 is the center of the first cell. A position beyond the
            first or the last center gets the value there.
        cells: length of the map.

    Example:
        >>> interpolation(np.array([-0.3, 0.25, 2.0]), 3).tolist()
        [[1.0, 0.0, 0.0], [0.75, 0.25, 0.0], [0.0, 0.0, 1.0]]
    """
    inside = places.clip(0, cells - 1)
    low = np.floor(inside).astype(int)
    share = inside - low
    matrix = np.zeros((len(places), cells), np.float32)
    rows = np.arange(len(places))
    matrix[rows, low] = 1 - share
    matrix[rows, np.minimum(low + 1, cells - 1)] += share.astype(np.float32)
    return matrix


def enlargement(cells: int, source: int, target: int) -> Floats:
    """The matrix `(target, cells)` that enlarges a map along one axis.

    Args:
        cells: `ceil(source / 4)`, length of the map.
        source: pixels of the network's input.
        target: pixels of the image that was scaled to this input.
    """
    centers = (np.arange(target) + 0.5) * (source / target)
    return interpolation(centers / STRIDE - 0.5, cells)


class Band(NamedTuple):
    """Some rows of an image with their segmentation.

    Attributes:
        rows: of the image.
        prediction: of these rows.
    """

    rows: slice
    prediction: Prediction


def read(
    maps: Maps,
    index: int,
    source: tuple[int, int],
    target: tuple[int, int],
    arithmetic: Arithmetic = NUMPY,
    probabilities: bool = False,
) -> Prediction:
    """Labels and their certainty at the size of the image.

    Args:
        maps: of a batch.
        index: the number of the image in the batch.
        source: height and width `(h, w)` of the network's input.
        target: height and width `(H, W)` of the image.
        arithmetic: the array library.
        probabilities: return the probabilities of all classes too.
    """
    scores = scores_of(maps, index, arithmetic)
    rows, columns = _enlarging(maps, source, target, arithmetic)
    results = Results(maps, target, probabilities)
    for strip in _strips(maps.logits.shape[1], target):
        for space, values in scores.items():
            large = arithmetic.place(rows[strip]) @ values @ columns
            results.store(space, (strip, slice(None)), large, arithmetic)
    return results.prediction()


def read_bands(
    maps: Maps,
    source: tuple[int, int],
    target: tuple[int, int],
    arithmetic: Arithmetic = NUMPY,
    first: int = 0,
) -> Iterator[Band]:
    """What `read` gives for the first image of a batch, band by band.

    Args:
        maps: of a batch.
        source: height and width `(h, w)` of the network's input.
        target: height and width `(H, W)` of the image.
        arithmetic: the array library.
        first: the row where a band of an earlier call ended; the bands before are left out.
    """
    scores = scores_of(maps, 0, arithmetic)
    rows, columns = _enlarging(maps, source, target, arithmetic)
    for strip in _strips(maps.logits.shape[1], target):
        if strip.start < first:
            continue
        part = rows[strip]
        results = Results(maps, (len(part), target[1]))
        for space, values in scores.items():
            large = arithmetic.place(part) @ values @ columns
            results.store(space, (slice(None), slice(None)), large, arithmetic)
        yield Band(slice(strip.start, strip.start + len(part)), results.prediction())


def scores_of(maps: Maps, index: int, arithmetic: Arithmetic) -> dict[str, Any]:
    """The scores `(C, h, w)` of an image by what their best class is called in a `Prediction`."""
    scores = {"mask": arithmetic.place(maps.logits[index])}
    if maps.similarity is not None:
        scaled = maps.similarity[index] * np.float32(1 / INDICATOR_TEMPERATURE)
        scores["nearest"] = arithmetic.place(scaled)
    return scores


class Results:
    """The arrays of a `Prediction`, which are filled part by part.

    Args:
        maps: the maps that they are read from.
        target: height and width in pixels.
        probabilities: keep the probabilities of all classes too.
    """

    def __init__(self, maps: Maps, target: tuple[int, int], probabilities: bool = False) -> None:
        spaces = ("mask",) if maps.similarity is None else ("mask", "nearest")
        self._labels = {space: np.empty(target, np.uint8) for space in spaces}
        self._certainties = {space: np.empty(target, np.float32) for space in spaces}
        shape = (maps.logits.shape[1], *target)
        self._probabilities = np.empty(shape, np.float16) if probabilities else None

    def store(
        self,
        space: str,
        place: tuple[slice, slice],
        large: Any,  # noqa: ANN401 - of numpy or torch
        arithmetic: Arithmetic,
    ) -> None:
        """Store the best classes and their certainty.

        Args:
            space: `mask` or `nearest`.
            place: rows and columns.
            large: `(C, rows, columns)` scores, which are overwritten.
            arithmetic: the array library.
        """
        best, parts, total = _softmax(arithmetic, large)
        self._labels[space][place] = arithmetic.fetch(best)
        self._certainties[space][place] = arithmetic.fetch(1 / total)
        if self._probabilities is not None and space == "mask":
            self._probabilities[:, *place] = arithmetic.fetch(parts / total)

    def prediction(self) -> Prediction:
        """The arrays."""
        return Prediction(
            self._labels["mask"],
            self._certainties["mask"],
            self._labels.get("nearest"),
            self._certainties.get("nearest"),
            self._probabilities,
        )


def join(bands: Iterable[Band], target: tuple[int, int]) -> Prediction:
    """The prediction of an image from its bands.

    Args:
        bands: all bands.
        target: height and width `(H, W)` of the image.
    """
    arrays: dict[str, Any] = {}
    for rows, prediction in bands:
        for name, part in prediction._asdict().items():
            if part is None:
                continue
            if name not in arrays:
                arrays[name] = np.empty((*part.shape[:-2], *target), part.dtype)
            arrays[name][..., rows, :] = part
    return Prediction(**arrays)


def labels(
    maps: Maps,
    index: int,
    source: tuple[int, int],
    target: tuple[int, int],
    offsets: Floats,
    arithmetic: Arithmetic = NUMPY,
) -> NDArray[np.uint8]:
    """The labels for each of several offsets of the classes' logits.

    Args:
        maps: of a batch.
        index: the number of the image in the batch.
        source: height and width `(h, w)` of the network's input.
        target: height and width `(H, W)` of the image.
        offsets: `(N, C)`, added to the logits.
        arithmetic: the array library.

    Returns:
        `(N, H, W)`.
    """
    rows, columns = _enlarging(maps, source, target, arithmetic)
    logits = arithmetic.place(maps.logits[index])
    added = [arithmetic.place(offset.reshape(-1, 1, 1)) for offset in offsets]
    results = np.empty((len(added), *target), np.uint8)
    for strip in _strips(maps.logits.shape[1], target):
        large = arithmetic.place(rows[strip]) @ logits @ columns
        for part, offset in zip(results, added, strict=True):
            part[strip] = arithmetic.fetch(arithmetic.best(large + offset)[1])
    return results


def _enlarging(
    maps: Maps, source: tuple[int, int], target: tuple[int, int], arithmetic: Arithmetic
) -> tuple[Floats, Any]:
    """The matrices that enlarge maps to the target's size: from the left, and from the right."""
    cells = maps.logits.shape[-2:]
    rows, columns = (enlargement(*sizes) for sizes in zip(cells, source, target, strict=True))
    return rows, arithmetic.place(np.ascontiguousarray(columns.T))


def _strips(classes: int, target: tuple[int, int]) -> Iterator[slice]:
    """The rows of an image, a few at a time."""
    height, width = target
    step = max(1, _MAX_STRIP // (classes * width))
    return (slice(start, start + step) for start in range(0, height, step))


def _softmax(arithmetic: Arithmetic, large: Any) -> tuple[Any, ...]:  # noqa: ANN401 - of numpy or torch
    """The best class of each pixel, and the softmax as parts and their total; the best part is 1.

    This overwrites the scores `large`, `(C, H, W)`.
    """
    xp = arithmetic.module
    top, best = arithmetic.best(large)
    large -= top
    xp.exp(large, out=large)
    return best, large, large.sum(0)
