"""The areas that annotation files describe, and the pixels that they cover.

Points are continuous: x and y of an image's upper left corner are 0, and the center of its first
pixel is at 0.5. A pixel belongs to an area if its center does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import SemisegError

Pixels: TypeAlias = NDArray[np.bool_]
Ring: TypeAlias = NDArray[np.float64]
"""The corners of a polygon, `(N, 2)` x and y, without the first one again at the end."""
MAX_PIXELS = 2**28
"""The pixels that an image may have; Pillow opens none with more."""
_MAX_COORDINATE = 1e6  # pixels; no area reaches farther out of its image


class Bitmap(NamedTuple):
    """Pixels at a place in the image, which may lie outside of it in part.

    Attributes:
        left: the column of the first pixel.
        top: the row of the first pixel.
        inside: `(h, w)` the pixels.
    """

    left: int
    top: int
    inside: Pixels

    @classmethod
    def around(cls, inside: Pixels) -> Bitmap:
        """The pixels of an image, `(H, W)`, within the box around them."""
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if not rows.size:
            return cls(0, 0, inside[:0, :0])
        box = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return cls(int(columns[0]), int(rows[0]), box.copy())

    def cover(self, width: int, height: int) -> Bitmap:
        """The part within the image."""
        left, top = max(self.left, 0), max(self.top, 0)
        part = self.inside[top - self.top :, left - self.left :]
        return Bitmap(left, top, part[: max(height - top, 0), : max(width - left, 0)])


class Area(Protocol):
    """Something that covers pixels."""

    def cover(self, width: int, height: int) -> Bitmap:
        """The pixels of an image of this size that the area covers."""


@dataclass(frozen=True)
class Region:
    """An area of one class.

    Attributes:
        label: the name of the class, as the file writes it; None for pixels to be ignored.
        area: where it is.
        name: what the file calls the region, such as `annotation 7`, for errors.
        layer: regions of a higher layer are drawn later; within a layer, their order decides.
    """

    label: str | None
    area: Area
    name: str
    layer: int = 0


@dataclass(frozen=True)
class Polygon:
    """The inside of rings, by the even-odd rule for each; holes are left out.

    Attributes:
        rings: the outer rings; the area is their union.
        holes: rings within them that do not belong to the area.
        is_relative: whether coordinates are shares of the image's width and height, from 0 to 1.
    """

    rings: tuple[Ring, ...]
    holes: tuple[Ring, ...] = ()
    is_relative: bool = False

    def cover(self, width: int, height: int) -> Bitmap:
        """The pixels whose centers lie within an outer ring and in no hole."""
        unit = np.array((width, height) if self.is_relative else (1, 1), dtype=np.float64)
        rings = [ring * unit for ring in self.rings]
        box = _box(np.concatenate(rings), width, height)
        inside = np.zeros((box.bottom - box.top, box.right - box.left), dtype=np.bool_)
        shift = (box.left, box.top)
        for ring in rings:
            inside |= fill(ring - shift, *inside.shape[::-1])
        for hole in self.holes:
            inside &= ~fill(hole * unit - shift, *inside.shape[::-1])
        return Bitmap(box.left, box.top, inside)


@dataclass(frozen=True)
class Ellipse:
    """An ellipse in pixels, turned clockwise by an angle.

    Attributes:
        x: the column of its center.
        y: the row of its center.
        radius_x: half of its width before it is turned.
        radius_y: half of its height before it is turned.
        angle: the angle in radians.
    """

    x: float
    y: float
    radius_x: float
    radius_y: float
    angle: float = 0.0

    def cover(self, width: int, height: int) -> Bitmap:
        """The pixels whose centers lie within the ellipse."""
        radius = max(self.radius_x, self.radius_y)
        corners = np.array([(self.x - radius, self.y - radius), (self.x + radius, self.y + radius)])
        box = _box(corners, width, height)
        x = np.arange(box.left, box.right) + 0.5 - self.x
        y = np.arange(box.top, box.bottom)[:, np.newaxis] + 0.5 - self.y
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        along, across = x * cos + y * sin, y * cos - x * sin
        inside: Pixels = (along / self.radius_x) ** 2 + (across / self.radius_y) ** 2 <= 1
        return Bitmap(box.left, box.top, inside)


class _Box(NamedTuple):
    left: int
    top: int
    right: int
    bottom: int


def _box(points: Ring, width: int, height: int) -> _Box:
    """The pixels around points, within the image."""
    (left, top), (right, bottom) = np.floor(points.min(0)), np.ceil(points.max(0))
    columns = np.clip((left, right), 0, width).astype(int).tolist()
    rows = np.clip((top, bottom), 0, height).astype(int).tolist()
    return _Box(columns[0], rows[0], columns[1], rows[1])


def fill(ring: Ring, width: int, height: int) -> Pixels:
    """The pixels `(H, W)` whose centers lie within a ring, by the even-odd rule.

    Args:
        ring: `(N, 2)` x and y in pixels.
        width: the width of the image in pixels.
        height: the height of the image in pixels.

    Example:
        >>> fill(np.array([[1, 0], [3, 0], [3, 2], [1, 2]]), 4, 2).astype(int).tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    start, end = ring, np.roll(ring, -1, axis=0)
    upper, lower = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    # An edge crosses the centers of the rows from the first to before the last.
    first, last = np.clip(np.ceil(np.stack((upper, lower)) - 0.5), 0, height).astype(np.int64)
    edge = np.repeat(np.arange(len(ring)), last - first)
    behind = np.cumsum(last - first) - (last - first)
    row = np.arange(len(edge)) - np.repeat(behind - first, last - first)
    (ax, ay), (bx, by) = start[edge].T, end[edge].T
    places = ax + (row + 0.5 - ay) * (bx - ax) / (by - ay)
    column = np.clip(np.ceil(places - 0.5), 0, width).astype(np.int64)
    # Each crossing changes between outside and inside for all pixels to its right.
    changes = np.bincount(row * (width + 1) + column, minlength=height * (width + 1)) & 1
    parity = np.bitwise_xor.accumulate(changes.astype(np.uint8).reshape(height, width + 1), axis=1)
    inside: Pixels = parity[:, :width] == 1
    return inside


def rectangle(left: float, top: float, right: float, bottom: float) -> Ring:
    """The corners of a rectangle."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.float64)


def draw(
    regions: Sequence[Region],
    size: tuple[int, int],
    values: Mapping[str | None, int],
    by_area: bool,
) -> NDArray[np.uint8]:
    """Draw the regions of one image; what no region covers is 0.

    Args:
        regions: in the order of the file.
        size: width and height of the image.
        values: the value of each label.
        by_area: whether smaller regions cover larger ones, whatever their order; ignored pixels are
            then lowest. Otherwise later regions cover earlier ones.

    Returns:
        `(H, W)`.

    Raises:
        ValueError: a region cannot be drawn; the text begins with its name.
    """
    layers = sorted(regions, key=lambda region: region.layer)
    parts = [(_cover(region, size), region.label) for region in layers]
    if by_area:
        parts.sort(key=lambda part: (part[1] is not None, -int(part[0].inside.sum())))
    mask = np.zeros((size[1], size[0]), dtype=np.uint8)
    for (left, top, inside), label in parts:
        height, width = inside.shape
        mask[top : top + height, left : left + width][inside] = values[label]
    return mask


def _cover(region: Region, size: tuple[int, int]) -> Bitmap:
    try:
        return region.area.cover(*size)
    except SemisegError:
        raise
    except Exception as error:  # what a decoder raises for broken outlines
        raise ValueError(f"{region.name} cannot be drawn ({error})") from error


def number(value: object) -> float:
    """A finite number of a file.

    Raises:
        ValueError: it is none, or so large that it must be an accident.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} is no number")
    result = float(value)
    if not abs(result) <= _MAX_COORDINATE:
        raise ValueError(f"{value} is no coordinate")
    return result


def ring(xs: Sequence[object], ys: Sequence[object]) -> Ring:
    """The ring of these coordinates.

    Raises:
        ValueError: there are fewer than three points, or one of them is no pair of numbers.
    """
    if len(xs) != len(ys):
        raise ValueError(f"it has {len(xs)} x and {len(ys)} y")
    if len(xs) < 3:
        raise ValueError(f"it has {len(xs)} points, and an area needs 3")
    return np.array([(number(x), number(y)) for x, y in zip(xs, ys, strict=True)])


def image_size(width: object, height: object) -> tuple[int, int]:
    """Width and height of an image in pixels, as a file gives them.

    Raises:
        ValueError: no image has that size.
    """
    columns, rows = int(number(width)), int(number(height))
    if min(columns, rows) < 1 or columns * rows > MAX_PIXELS:
        raise ValueError(f"no image has {width} x {height} pixels")
    return columns, rows
