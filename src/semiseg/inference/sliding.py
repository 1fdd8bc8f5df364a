"""Segments images of any size: scaled to working size, in windows, or with augmentation.

Nothing here needs torch, since exported models work without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semiseg.augment.working_size import working_size
from semiseg.core.types import STRIDE, Prediction
from semiseg.data.formats.band_image import AnyImage
from semiseg.inference.reading import (
    NUMPY,
    Arithmetic,
    Band,
    Floats,
    Maps,
    enlargement,
    interpolation,
    join,
    labels,
    read,
    read_bands,
)
from semiseg.inference.views import Croppable, Images, ScaledImage, Window, to_array
from semiseg.inference.windows import (
    START,
    Grid,
    Seam,
    cells_of,
    segment_bands,
    windows_along,
)

_CROPS = 2  # side of a window in training crops, the size that the network knows
_SCALES = (0.75, 1.0, 1.25)  # of the working size, for `tta`
_MIN_BATCH = 1 << 16  # pixels of the windows that go through the model together

Forward = Callable[[Images], Maps]
"""A model: images `(B, N, h, w)` to maps."""


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
        self, pictures: Sequence[AnyImage], tta: bool = False, probabilities: bool = False
    ) -> Iterator[Prediction]:
        """Segment images. Images of one working size go through the model together.

        Args:
            pictures: images of any size.
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

    def at_scale(
        self, picture: Croppable, factor: float, tta: bool = False, probabilities: bool = False
    ) -> Prediction:
        """Segment one image at another scale than the working size.

        Args:
            picture: an image of any size.
            factor: on the pixels of the image before the network sees it.
            tta: average over three scales, each with its mirror image, in each window.
            probabilities: return the probabilities of all classes too.
        """
        bands = self._windowed(picture, factor, tta, probabilities)
        return join(bands, picture.size[::-1])

    def averaged(
        self,
        picture: AnyImage,
        scales: Sequence[float],
        target: tuple[int, int],
        second: NDArray[np.floating] | None = None,
    ) -> Prediction:
        """Segment one image as the mean over several scales, each with its mirror image.

        Args:
            picture: an image of any size.
            scales: factors on the working size.
            target: height and width `(H, W)` of the prediction.
            second: `(C, H, W)`, the probabilities of another model with the same classes, see
                `enlarged`. Labels and confidences are then those of the mean of both.
        """
        images = to_array(picture, self.size)
        maps = self._augmented(picture, images, scales)
        if second is None:
            return self.read(maps, 0, images, target)
        own = self.read(maps, 0, images, target, probabilities=True)
        if own.probabilities is None:
            raise TypeError("read gave no probabilities")
        mean = (own.probabilities + second) / 2
        return own._replace(
            mask=mean.argmax(0).astype(np.uint8), confidence=mean.max(0), probabilities=None
        )

    def probabilities(self, picture: AnyImage) -> Floats:
        """The class probabilities of one image at the cells of its maps.

        Args:
            picture: an image of any size.

        Returns:
            `(C, ceil(h/4), ceil(w/4))` for an image of height `h` and width `w` at working size.
        """
        maps = self.maps(to_array(picture, self.size))
        probabilities: Floats = probabilities_of(maps.logits)[0]
        return probabilities

    def enlarged(
        self, probabilities: NDArray[np.floating], picture: AnyImage, target: tuple[int, int]
    ) -> Floats:
        """What `probabilities` gives for an image, at another size.

        Args:
            probabilities: `(C, ceil(h/4), ceil(w/4))`.
            picture: the image.
            target: height and width `(H, W)` of the result.

        Returns:
            `(C, H, W)`.
        """
        source = working_size(picture.size, self.size)[::-1]
        rows, columns = (
            enlargement(*sizes)
            for sizes in zip(probabilities.shape[-2:], source, target, strict=True)
        )
        large: Floats = rows @ probabilities.astype(np.float32) @ columns.T
        return large

    def windowed_bands(
        self,
        picture: Croppable,
        factor: float,
        tta: bool = False,
        start: Seam = START,
        store: Callable[[Seam], None] | None = None,
    ) -> Iterator[Band]:
        """Segment one image band by band: the memory for it does not grow with its height.

        Args:
            picture: an image of any size.
            factor: as for `at_scale`.
            tta: as for `at_scale`.
            start: where an earlier call stopped; the bands before are left out.
            store: is called with the place to go on from, when all bands before it are taken.
        """
        return self._windowed(picture, factor, tta, False, start, store)

    def fitted_bands(
        self,
        picture: AnyImage,
        tta: bool = False,
        target: tuple[int, int] | None = None,
        first: int = 0,
    ) -> Iterator[Band]:
        """Segment one image at working size, and enlarge the result band by band.

        Args:
            picture: an image of any size.
            tta: as for `__call__`.
            target: height and width `(H, W)` of the result; None for those of the picture.
            first: the row where a band of an earlier call ended; the bands before are left out.
        """
        images = to_array(picture, self.size)
        maps = self._augmented(picture, images) if tta else self.maps(images)
        source = images.shape[-2], images.shape[-1]
        yield from read_bands(maps, source, target or picture.size[::-1], self.arithmetic, first)

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
        """The maps of images at working size, `(B, N, h, w)`, in one piece or in windows."""
        height, width = images.shape[-2:]
        if self.window is None or max(height, width) <= self.window:
            return self.forward(images)
        total: list[Floats] = []
        for rows, up in windows_along(height, self.window, self.multiple):
            for columns, across in windows_along(width, self.window, self.multiple):
                part = self.forward(np.ascontiguousarray(images[..., rows, columns]))
                pieces = [m for m in part if m is not None]
                if not total:
                    cells = -(-height // STRIDE), -(-width // STRIDE)
                    total = [np.zeros((*m.shape[:2], *cells), np.float32) for m in pieces]
                cell_rows, cell_columns = cells_of(rows), cells_of(columns)
                for whole, piece in zip(total, pieces, strict=True):
                    whole[..., cell_rows, cell_columns] += piece * (up[:, None] * across)
        return Maps(total[0], total[1] if len(total) > 1 else None)

    def _windowed(
        self,
        picture: Croppable,
        factor: float,
        tta: bool,
        probabilities: bool,
        start: Seam = START,
        store: Callable[[Seam], None] | None = None,
    ) -> Iterator[Band]:
        """Segment an image that is scaled by a factor in windows of two crops."""
        width, height = (max(1, round(side * factor)) for side in picture.size)
        window = self.window or -(-_CROPS * self.size // self.multiple) * self.multiple
        scaled = ScaledImage(picture, (height, width))
        grid = Grid((height, width), picture.size[::-1], window, self.multiple)

        def forward(windows: Sequence[Window]) -> Iterator[Maps]:
            if tta:
                for one in windows:
                    views = (scaled.view(one, scale) for scale in _SCALES)
                    yield self._average(views, [part.stop - part.start for part in one])
                return
            count = max(self.batch, _MIN_BATCH // window**2)
            views = (scaled.view(one) for one in windows)
            for _, group in groupby(views, lambda view: view.shape):
                for batch in _batches(group, count):
                    maps = self.forward(np.concatenate(batch))
                    for i in range(len(batch)):
                        yield maps.only(i)

        yield from segment_bands(forward, grid, self.arithmetic, probabilities, start, store)

    def _augmented(
        self, picture: AnyImage, images: Images, scales: Sequence[float] = _SCALES
    ) -> Maps:
        """The mean over scales and mirror images, with the log of the probabilities as logits."""
        views = (to_array(picture, round(scale * self.size)) for scale in scales)
        return self._average(views, images.shape[-2:])

    def _average(self, scaled: Iterable[Images], sides: Sequence[int]) -> Maps:
        """The mean over several scales of an image and their mirror images.

        Args:
            scaled: the image at these scales, `(1, N, h, w)` each.
            sides: height and width of the image whose maps are wanted.
        """
        up, across = (cell_centers(length) for length in sides)
        views = []
        for view in scaled:
            views.append((self.maps(view), view.shape, across))
            mirrored = self.maps(np.ascontiguousarray(view[..., ::-1]))
            views.append((mirrored, view.shape, 1 - across))
        probability: list[Floats] = []
        similarity: list[Floats] = []
        for maps, shape, place in views:
            places, source = (up, place), shape[-2:]
            probability.append(at_places(probabilities_of(maps.logits), source, places))
            if maps.similarity is not None:
                near = at_places(maps.similarity, source, places)
                similarity.append(near.astype(np.float32))
        logits = log_of(np.mean(probability, axis=0))
        return Maps(logits, np.mean(similarity, axis=0) if similarity else None)


def probabilities_of(logits: NDArray[Any]) -> NDArray[Any]:
    """The probabilities `(B, C, h, w)` that belong to logits."""
    parts: NDArray[Any] = np.exp(logits - logits.max(axis=1, keepdims=True))
    parts /= parts.sum(axis=1, keepdims=True)
    return parts


def at_places(
    maps: NDArray[Any], source: Sequence[int], places: Sequence[NDArray[np.float64]]
) -> NDArray[Any]:
    """Interpolate maps of an image at some rows and columns.

    Args:
        maps: `(B, C, ceil(h/4), ceil(w/4))`.
        source: height and width `(h, w)` of the image as the network saw it.
        places: the `N` rows and the `M` columns, as shares of the height and the width.

    Returns:
        `(B, C, N, M)`.
    """
    rows, columns = (
        interpolation(place * length / STRIDE - 0.5, cells)
        for place, length, cells in zip(places, source, maps.shape[-2:], strict=True)
    )
    values: NDArray[Any] = rows @ maps @ columns.T
    return values


def log_of(probabilities: Floats) -> Floats:
    """The logarithm of probabilities, finite where they are 0."""
    values: Floats = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    return values


def _batches(images: Iterable[Images], count: int) -> Iterator[list[Images]]:
    batch: list[Images] = []
    for image in images:
        batch.append(image)
        if len(batch) == count:
            yield batch
            batch = []
    if batch:
        yield batch


def cell_centers(length: int) -> NDArray[np.float64]:
    """The centers of the cells of a map, as shares of the length of the image."""
    cells = np.arange(-(-length // STRIDE), dtype=np.float64)
    return (cells + 0.5) * (STRIDE / length)
