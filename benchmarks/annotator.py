"""What the simulated annotator of `correct.py` can do to a mask, and what each action costs.

The rules stand in `correct.py`. An action paints exactly what the page of `semiseg correct` would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.outlines import Outline, outlines, simplify
from semiseg.evaluation.metrics import scores_of_sums

BRUSHES = (1, 5, 11, 21, 41, 81)
DIRECTIONS = 8
TOLERANCES = (1.5, 3, 6, 12)
CORNERS = range(3, 41)
_MARGIN = max(BRUSHES) // 2 + 1

Box = tuple[slice, slice]
Labels = NDArray[np.uint8]
Pixels = NDArray[np.bool_]
Counts = NDArray[np.intp]
AlikeMap = Callable[[int, int], Labels]
"""The map of what is alike, from the row and the column of a pixel."""


class Action(NamedTuple):
    """What a tool would do.

    Attributes:
        tool: its name.
        clicks: what it costs.
        gain: pixels that become right, less those that become wrong.
        box: the part of the image that holds the selected pixels.
        pixels: the selected pixels of this part.
    """

    tool: str
    clicks: int
    gain: float
    box: Box
    pixels: Pixels

    @property
    def worth(self) -> tuple[float, int]:
        return self.gain / self.clicks, -self.clicks


class Patch(NamedTuple):
    """A connected patch.

    Attributes:
        label: the true class of its pixels.
        size: the number of its pixels.
        box: the part of the image that holds it.
        pixels: its pixels in this part.
    """

    label: int
    size: int
    box: Box
    pixels: Pixels

    def moved(self, box: Box) -> Patch:
        """The patch in an image of which only a box was looked at."""
        own = (
            slice(inner.start + outer.start, inner.stop + outer.start)
            for inner, outer in zip(self.box, box, strict=True)
        )
        return self._replace(box=tuple(own))

    def middle(self) -> tuple[int, int]:
        """The row and the column of the pixel that is farthest from the border."""
        depth = ndimage.distance_transform_cdt(np.pad(self.pixels, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        return int(row) + self.box[0].start, int(column) + self.box[1].start


class Correction:
    """An image whose mask is mended.

    Args:
        truth: `(H, W)` the true class indices, 255 where ignored.
        mask: `(H, W)` the first mask, 255 where nothing is painted.
        classes: the number of classes.
        alike: the map of what is alike, or None without this tool.
    """

    def __init__(
        self, truth: Labels, mask: Labels, classes: int, alike: AlikeMap | None = None
    ) -> None:
        self.truth, self.mask, self.alike = truth, mask.copy(), alike
        self.counted = truth != IGNORE_INDEX
        self.true = np.bincount(truth[self.counted], minlength=classes)[:classes]
        self.labels = np.flatnonzero(self.true).tolist()
        self._sums = self._count(Action("", 0, 0, (slice(None),) * 2, np.ones_like(self.counted)))
        self._largest = {label: self._find_largest(label) for label in self.labels}
        self._regions = {label: ndimage.label(truth == label)[0] for label in self.labels}
        self._polygons: dict[tuple[int, int], list[tuple[int, Box, Pixels]]] = {}

    def iou(self) -> float:
        """The mean IoU of the classes that occur, in percent."""
        sums = (torch.from_numpy(numbers) for numbers in (self.true, *self._sums))
        return scores_of_sums(*sums, [str(i) for i in range(len(self.true))])["miou"] or 0.0

    def next_action(self) -> tuple[Action, int] | None:
        """The best action on the largest wrong patch, and its class; None if all is right."""
        patch = max(
            (p for p in self._largest.values() if p is not None),
            key=lambda p: p.size,
            default=None,
        )
        if patch is None:
            return None
        actions = self._actions(patch, self._gains(patch.label))
        return max(actions, key=lambda action: action.worth), patch.label

    def do(self, action: Action, label: int) -> int:
        """Paint. Returns the number of painted pixels."""
        part, counted, truth = (a[action.box] for a in (self.mask, self.counted, self.truth))
        changes = action.pixels & counted & (part != label)
        before = self._count(action)
        part[action.pixels] = label
        after = self._count(action)
        self._sums = self._sums[0] + after[0] - before[0], self._sums[1] + after[1] - before[1]
        affected = np.bincount(truth[changes], minlength=len(self.true))
        for other in np.flatnonzero(affected).tolist():
            self._largest[other] = self._find_largest(other)
        return int(affected.sum())

    def _count(self, action: Action) -> tuple[Counts, Counts]:
        """The painted and the right pixels of each class among those that an action selects."""
        part, counted, truth = (a[action.box] for a in (self.mask, self.counted, self.truth))
        selected = action.pixels & counted
        painted, true, count = part[selected], truth[selected], len(self.true)
        return (
            np.bincount(painted, minlength=count)[:count],
            np.bincount(true[painted == true], minlength=count)[:count],
        )

    def _find_largest(self, label: int) -> Patch | None:
        wrong = (self.truth == label) & (self.mask != label)
        if not wrong.any():
            return None
        box = box_of(wrong)
        patches, _ = ndimage.label(wrong[box])
        sizes = np.bincount(patches.ravel())
        largest = int(sizes[1:].argmax()) + 1
        return patch_of(patches, largest, label, int(sizes[largest])).moved(box)

    def _gains(self, label: int) -> NDArray[np.float32]:
        """What painting each pixel with a class gains: 1, 0 or -1."""
        gains = -(self.counted & (self.mask == self.truth)).astype(np.float32)
        own = self.truth == label
        gains[own] = self.mask[own] != label
        return gains

    def _actions(self, patch: Patch, gains: NDArray[np.float32]) -> Iterator[Action]:
        row, column = patch.middle()
        yield self._fill(row, column, gains)
        for start, end in segments(patch, row, column):
            yield from strokes(start, end, gains)
        region = self._regions[patch.label]
        for clicks, box, pixels in (
            *polygons(patch, gains.shape),
            *self._region_polygons(patch.label, int(region[row, column])),
        ):
            yield Action("polygon", clicks, float(gains[box][pixels].sum()), box, pixels)
        if self.alike is not None:
            yield select_alike(self.alike(row, column), gains)

    def _region_polygons(self, label: int, number: int) -> list[tuple[int, Box, Pixels]]:
        """The polygons around a true region, which are drawn once."""
        key = label, number
        if key not in self._polygons:
            region = patch_of(self._regions[label], number, label, 0)
            self._polygons[key] = list(polygons(region, self.truth.shape))
        return self._polygons[key]

    def _fill(self, row: int, column: int, gains: NDArray[np.float32]) -> Action:
        regions, _ = ndimage.label(self.mask == self.mask[row, column])
        region = patch_of(regions, int(regions[row, column]), 0, 0)
        return Action(
            "fill", 1, float(gains[region.box][region.pixels].sum()), region.box, region.pixels
        )


def patch_of(patches: NDArray[np.int32], number: int, label: int, size: int) -> Patch:
    """One of the numbered patches of an image."""
    pixels = patches == number
    box = box_of(pixels)
    return Patch(label, size, box, pixels[box])


def box_of(pixels: Pixels) -> Box:
    """The smallest box that holds all selected pixels, of which there is at least one."""
    rows, columns = (np.flatnonzero(pixels.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def segments(
    patch: Patch, row: int, column: int
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """The straight strokes through a pixel, within a patch; the first one is a dot."""
    yield (row, column), (row, column)
    height, width = patch.pixels.shape
    top, left = patch.box[0].start, patch.box[1].start
    reach = np.arange(height + width)
    for angle in np.arange(DIRECTIONS) * np.pi / DIRECTIONS:
        ends = []
        for sign in (1, -1):
            rows = np.rint(row - top + sign * reach * np.sin(angle)).astype(int)
            columns = np.rint(column - left + sign * reach * np.cos(angle)).astype(int)
            inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
            free = inside & patch.pixels[rows.clip(0, height - 1), columns.clip(0, width - 1)]
            last = int(free.argmin()) - 1  # the patch ends somewhere, at the latest with its box
            ends.append((int(rows[last]) + top, int(columns[last]) + left))
        if ends[0] != ends[1]:
            yield ends[0], ends[1]


def strokes(
    start: tuple[int, int], end: tuple[int, int], gains: NDArray[np.float32]
) -> Iterator[Action]:
    """A stroke between the middles of two pixels, with each size of the brush."""
    box = tuple(
        slice(max(0, min(ends) - _MARGIN), min(side, max(ends) + _MARGIN + 1))
        for ends, side in zip(zip(start, end, strict=True), gains.shape, strict=True)
    )
    y, x = np.ogrid[box[0], box[1]]
    dy, dx = end[0] - start[0], end[1] - start[1]
    py, px = y - start[0], x - start[1]
    length = dx * dx + dy * dy
    t = ((py * dy + px * dx) / length).clip(0, 1) if length else np.zeros(1)
    distance = (px - t * dx) ** 2 + (py - t * dy) ** 2
    limits = [(size / 2) ** 2 for size in BRUSHES]
    first = np.searchsorted(limits, distance)  # the smallest brush that paints the pixel
    sums = np.bincount(first.ravel(), gains[box].ravel(), len(BRUSHES) + 1).cumsum()
    for brush in range(len(BRUSHES)):
        yield Action("brush", 2 if length else 1, float(sums[brush]), box, first <= brush)


def polygons(patch: Patch, shape: tuple[int, ...]) -> Iterator[tuple[int, Box, Pixels]]:
    """The corners, the box and the pixels of each polygon around a patch."""
    rings = [
        shape
        for shape in outlines(patch.pixels.astype(np.uint8), 0, along_edges=True)
        if isinstance(shape, Outline) and shape.label == 1
    ]
    if not rings:  # the patch is too small
        return
    corners = rings[0].points + 0.5 + (patch.box[1].start, patch.box[0].start)
    for tolerance in TOLERANCES:
        points = simplify(corners, tolerance)
        if len(points) not in CORNERS:
            continue
        box = tuple(
            slice(max(0, int(low)), min(side, int(high) + 1))
            for low, high, side in zip(points.min(0)[::-1], points.max(0)[::-1], shape, strict=True)
        )
        yield len(points), box, inside(points, box)


def inside(points: NDArray[np.float64], box: Box) -> Pixels:
    """The pixels of a box whose middles lie inside a polygon of x and y (even-odd rule)."""
    y, x = np.ogrid[box[0], box[1]]
    y, x = y + 0.5, x + 0.5
    pixels = np.zeros((y.size, x.size), np.bool_)
    for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if ay != by:
            crosses = (ay <= y) != (by <= y)
            pixels ^= crosses & (x >= ax + (y - ay) / (by - ay) * (bx - ax))
    return pixels


def select_alike(alike: Labels, gains: NDArray[np.float32]) -> Action:
    """What the slider selects where it gains most."""
    rows, columns = (
        (np.arange(side) + 0.5) * count // side
        for side, count in zip(gains.shape, alike.shape, strict=True)
    )
    values = alike[np.ix_(rows.astype(int), columns.astype(int))]
    sums = np.bincount(values.ravel(), gains.ravel(), 256)[::-1].cumsum()[::-1]
    limit = int(sums.argmax())
    return Action("alike", 2, float(sums[limit]), (slice(None), slice(None)), values >= limit)
