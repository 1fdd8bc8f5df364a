"""Segments images of any size: scaled to working size, in windows, or with augmentation.

Nothing here needs torch, since exported models work without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.augment.working_size import working_size
from semiseg.core.types import STRIDE, Prediction
from semiseg.inference.reading import (
    NUMPY,
    Arithmetic,
    Floats,
    Maps,
    interpolation,
    labels,
    read,
)

_OVERLAP = 0.25  # of a window's side
_CROPS = 2  # side of a window in training crops, the size that the network knows
_SCALES = (0.75, 1.0, 1.25)  # of the working size, for `tta`

Images = NDArray[np.uint8]
Forward = Callable[[Images], Maps]
"""A model: RGB images `(B, 3, h, w)` to maps."""


class Segmenter:
    """Segments images of any size with any model.

    Args:
        forward: the model.
        size: short side at working size, in pixels.
        crop: side of the training crops, in pixels. An image whose side is longer than two crops
            is segmented in windows of two crops. None for a model that takes images of any size.
        multiple: windows begin at multiples of this number of pixels, the coarsest stride in the
            model. The cells of a window are then cells of the whole image.
        arithmetic: the array library that enlarges the maps.
        batch: images of one working size that the model takes at a time.
    """

    def __init__(
        self,
        forward: Forward,
        size: int,
        crop: int | None,
        multiple: int = 32,
        arithmetic: Arithmetic = NUMPY,
        batch: int = 1,
    ) -> None:
        self.forward, self.size, self.multiple, self.batch = forward, size, multiple, batch
        self.window = None if crop is None else -(-_CROPS * crop // multiple) * multiple
        self.arithmetic = arithmetic

    def __call__(
        self, pictures: Sequence[Image.Image], tta: bool = False, probabilities: bool = False
    ) -> Iterator[Prediction]:
        """Segment RGB images. Images of one working size go through the model together.

        Args:
            pictures: RGB images of any size.
            tta: average over three scales, each with its mirror image: six times the work.
            probabilities: return the probabilities of all classes too.
        """
        if tta:
            for picture in pictures:
                images = to_array(picture, self.size)
                maps = self._augmented(picture, images)
                yield self.read(maps, 0, images, picture.size[::-1], probabilities)
            return
        scaled = ((picture, to_array(picture, self.size)) for picture in pictures)
        for _, group in groupby(scaled, lambda pair: pair[1].shape):
            pairs = list(group)
            images = np.concatenate([image for _, image in pairs])
            maps = self.maps(images)
            for i, (picture, _) in enumerate(pairs):
                yield self.read(maps, i, images, picture.size[::-1], probabilities)

    def read(
        self,
        maps: Maps,
        index: int,
        images: Images,
        target: tuple[int, int],
        probabilities: bool = False,
    ) -> Prediction:
        """Labels and their certainty for image `index` at the size `(H, W)`; see `reading`."""
        source = images.shape[-2], images.shape[-1]
        return read(maps, index, source, target, self.arithmetic, probabilities)

    def labels(self, images: Images, target: tuple[int, int], offsets: Floats) -> NDArray[np.uint8]:
        """The labels `(N, H, W)` of one image at working size, for `N` offsets; see `reading`."""
        source = images.shape[-2], images.shape[-1]
        return labels(self.maps(images), 0, source, target, offsets, self.arithmetic)

    def maps(self, images: Images) -> Maps:
        """The maps of images at working size, `(B, 3, h, w)`, in one piece or in windows."""
        height, width = images.shape[-2:]
        if self.window is None or max(height, width) <= self.window:
            return self.forward(images)
        total: list[Floats] = []
        for rows, up in _windows(height, self.window, self.multiple):
            for columns, across in _windows(width, self.window, self.multiple):
                part = self.forward(np.ascontiguousarray(images[..., rows, columns]))
                pieces = [m for m in part if m is not None]
                if not total:
                    cells = -(-height // STRIDE), -(-width // STRIDE)
                    total = [np.zeros((*m.shape[:2], *cells), np.float32) for m in pieces]
                cell_rows, cell_columns = _cells(rows), _cells(columns)
                for whole, piece in zip(total, pieces, strict=True):
                    whole[..., cell_rows, cell_columns] += piece * (up[:, None] * across)
        return Maps(total[0], total[1] if len(total) > 1 else None)

    def _augmented(self, picture: Image.Image, images: Images) -> Maps:
        """The mean over scales and mirror images, with the log of the probabilities as logits."""
        height, width = images.shape[-2:]
        up, across = _centers(height), _centers(width)
        views = []
        for scale in _SCALES:
            view = to_array(picture, round(scale * self.size))
            views.append((self.maps(view), view.shape, across))
            mirrored = self.maps(np.ascontiguousarray(view[..., ::-1]))
            views.append((mirrored, view.shape, 1 - across))
        probability: list[Floats] = []
        similarity: list[Floats] = []
        for maps, shape, place in views:
            rows, columns = (
                interpolation(centers * n / STRIDE - 0.5, cells)
                for centers, n, cells in zip(
                    (up, place), shape[-2:], maps.logits.shape[-2:], strict=True
                )
            )
            parts = np.exp(maps.logits - maps.logits.max(axis=1, keepdims=True))
            parts /= parts.sum(axis=1, keepdims=True)
            probability.append(rows @ parts @ columns.T)
            if maps.similarity is not None:
                near = rows @ maps.similarity @ columns.T
                similarity.append(near.astype(np.float32))
        mean = np.maximum(np.mean(probability, axis=0), np.finfo(np.float32).tiny)
        return Maps(np.log(mean), np.mean(similarity, axis=0) if similarity else None)


def to_array(picture: Image.Image, size: int) -> Images:
    """An RGB picture as `(1, 3, h, w)` uint8, its short side scaled to `size` pixels."""
    target = working_size(picture.size, size)
    if target != picture.size:
        picture = picture.resize(target, Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1)[None])


def _windows(length: int, window: int, multiple: int) -> list[tuple[slice, Floats]]:
    """The start and end of each window along an axis, and the weights of its cells.

    Weights rise linearly over the overlap and sum to 1 at each cell.
    """
    step = max(multiple, int(window * (1 - _OVERLAP)) // multiple * multiple)
    last = max(0, -(-(length - window) // multiple) * multiple)
    places = [slice(s, min(s + window, length)) for s in (*range(0, last, step), last)]
    margin = max(1, (window - step) // STRIDE)
    weights: list[Floats] = []
    total = np.zeros(-(-length // STRIDE), np.float32)
    for place in places:
        cells = _cells(place)
        count = cells.stop - cells.start
        ramp = (np.arange(count) + 0.5) / margin
        before = ramp if place.start else np.ones(count)
        after = ramp[::-1] if place.stop < length else np.ones(count)
        weight = np.minimum(np.minimum(before, after), 1).astype(np.float32)
        total[cells] += weight
        weights.append(weight)
    return [(p, w / total[_cells(p)]) for p, w in zip(places, weights, strict=True)]


def _centers(length: int) -> NDArray[np.float64]:
    """The centers of the cells of a map, as shares of the length of the image."""
    cells = np.arange(-(-length // STRIDE), dtype=np.float64)
    return (cells + 0.5) * (STRIDE / length)


def _cells(pixels: slice) -> slice:
    """The cells of a map for a range of pixels that starts at a multiple of the stride."""
    return slice(pixels.start // STRIDE, -(-pixels.stop // STRIDE))
