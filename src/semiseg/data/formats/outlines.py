"""Masks as LabelMe's shapes, so that a person can correct them in LabelMe."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypedDict, cast

import numpy as np
from contourpy import FillType, contour_generator
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.files import write_json
from semiseg.data.formats.labelme import BACKGROUND

Floats: TypeAlias = NDArray[np.float64]
Pixels: TypeAlias = NDArray[np.bool_]
_LEVEL = 0.999  # the contour's level; an outline then runs through the outermost pixels of a region
_EDGE_LEVEL = 0.5  # that of an outline halfway between the pixels of a region and their neighbors
_MIN_AREA = 4.0  # pixels, those within the outline of 3 x 3 pixels; less is no polygon
_MAX_DEVIATION = 0.7  # pixels between a line and a corner that it leaves out
_VERSION = "5.5.0"  # LabelMe's, whose format this is


class Outline(NamedTuple):
    """The outline of a connected region of one class.

    Attributes:
        label: index of the class.
        points: `(N, 2)` x and y of the corners, in pixels; 0 is the center of the first pixel.
        area: the area within the outline in pixels, including holes.
    """

    label: int
    points: Floats
    area: float


class Remainder(NamedTuple):
    """The parts of a class that are too thin or too small for polygons.

    Attributes:
        label: index of the class.
        left: left side of the box around the parts, in pixels.
        top: upper side of the box, in pixels.
        pixels: `(h, w)` the pixels of the parts within the box.
    """

    label: int
    left: int
    top: int
    pixels: Pixels


class _Geometry(TypedDict):
    """The keys of a LabelMe shape that say where it is."""

    shape_type: str
    points: list[list[float]]
    mask: str | None


def outlines(
    mask: NDArray[np.uint8], background: int | None, *, along_edges: bool = False
) -> list[Outline | Remainder]:
    """Find the outlines of all connected regions.

    Args:
        mask: `(H, W)` class indices, 255 where ignored.
        background: the class of pixels outside all shapes. Only the parts of it that fill holes get
            an outline. None if there is no such class.
        along_edges: whether outlines run around the pixels of a region, and not through the centers
            of the outermost ones as LabelMe draws them.

    Returns:
        The outlines from the largest to the smallest, then one remainder for each class that has
        one. Drawn in this order they give the mask again, with edges that move by about a pixel: a
        region in the hole of another one is smaller than that.
    """
    regions: list[Outline] = []
    remainders: list[Remainder] = []
    last = np.array((mask.shape[1], mask.shape[0])) - 1.5
    for label in np.unique(mask).tolist():
        region = mask == label
        thin = np.zeros_like(region)
        for corners in _trace(region, _EDGE_LEVEL if along_edges else _LEVEL):
            area = _area(corners)
            if label == background and (corners.min() < 0.5 or (corners.max(0) > last).any()):
                continue  # it touches the border of the image, so that no region encloses it
            if area >= _MIN_AREA:
                regions.append(Outline(label, simplify(corners, _tolerance(corners, area)), area))
            else:
                (left, top), (right, bottom) = corners.min(0).round(), corners.max(0).round()
                box = slice(int(top), int(bottom) + 1), slice(int(left), int(right) + 1)
                thin[box] = region[box]
        if thin.any():
            left, top, box = _bounding_box(thin)
            remainders.append(Remainder(label, left, top, thin[box]))
    return [*sorted(regions, key=lambda region: -region.area), *remainders]


def whole_image(label: int, size: tuple[int, int]) -> Outline:
    """The outline of all pixels of an image.

    Args:
        label: the class index that they get.
        size: width and height of the image in pixels.
    """
    right, bottom = size[0] - 1.0, size[1] - 1.0
    corners = np.array([(0.0, 0.0), (right, 0.0), (right, bottom), (0.0, bottom)])
    return Outline(label, corners, right * bottom)


def write_outlines(
    path: Path,
    shapes: Sequence[Outline | Remainder],
    labels: Mapping[int, str],
    image: Path,
    size: tuple[int, int],
) -> None:
    """Write a LabelMe file.

    Args:
        path: the file to write, in the folder of the image.
        shapes: the shapes in the order in which they are drawn.
        labels: the label of each class index, and of 255 if the mask holds it.
        image: the image, in the same folder.
        size: width and height of the image in pixels.

    Raises:
        OSError: the file cannot be written.
    """
    entries = [
        {"label": labels[shape.label], "group_id": None, "description": "", "flags": {}}
        | (_polygon(shape) if isinstance(shape, Outline) else _stored_mask(shape))
        for shape in shapes
    ]
    content: dict[str, object] = {
        "version": _VERSION,
        "flags": {},
        "shapes": entries,
        "imagePath": image.name,
        "imageData": None,
        "imageHeight": size[1],
        "imageWidth": size[0],
    }
    write_json(path, content)


def label_of(name: str, code: int) -> str:
    """The label of a class in LabelMe; a file of classes may give the background another name."""
    return name if code else BACKGROUND


def _polygon(outline: Outline) -> _Geometry:
    return {"shape_type": "polygon", "points": outline.points.tolist(), "mask": None}


def _stored_mask(remainder: Remainder) -> _Geometry:
    """A shape of LabelMe's kind `mask`: its box, and a PNG in base64."""
    file = io.BytesIO()
    Image.fromarray(remainder.pixels.astype(np.uint8) * 255).save(file, "PNG")
    height, width = remainder.pixels.shape
    left, top = remainder.left, remainder.top
    corners: list[list[float]] = [[left, top], [left + width - 1, top + height - 1]]
    pixels = base64.b64encode(file.getvalue()).decode()
    return {"shape_type": "mask", "points": corners, "mask": pixels}


def _bounding_box(region: Pixels) -> tuple[int, int, tuple[slice, slice]]:
    """Left and upper side of the box around the True pixels, and the slices of the box."""
    rows, columns = (np.flatnonzero(region.any(axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return int(columns[0]), int(rows[0]), box


def _trace(region: Pixels, level: float) -> list[Floats]:
    """The outer corners `(N, 2)` of each connected part, at a level between 0 and 1."""
    left, top, box = _bounding_box(region)
    heights = np.pad(region[box], 1).astype(np.float64)
    contours = contour_generator(z=heights, fill_type=FillType.OuterOffset).filled(level, 2)
    rings, offsets = cast("tuple[list[Floats], list[NDArray[np.uint32]]]", contours)
    # The outer ring comes first, and ends where it began.
    outer = [ring[: ends[1] - 1] for ring, ends in zip(rings, offsets, strict=True)]
    return [corners - 1 + (left, top) for corners in outer]


def simplify(corners: Floats, tolerance: float) -> Floats:
    """Leave out corners with the algorithm of Ramer, Douglas and Peucker.

    It starts from the first corner and the one that is farthest from it.

    Args:
        corners: `(N, 2)` x and y of a closed outline, without the first corner at its end.
        tolerance: how far a line may be from a corner that it leaves out, in pixels.

    Returns:
        `(M, 2)` the corners that are left, at least three; all of them where fewer would be left.
    """
    ring = np.concatenate([corners, corners[:1]])
    farthest = int(np.hypot(*(ring - ring[0]).T).argmax())
    corner_ids, parts = {0, farthest}, [(0, farthest), (farthest, len(corners))]
    while parts:
        start, end = parts.pop()
        dx, dy = ring[end] - ring[start]
        between = ring[start + 1 : end]
        if len(between):
            x, y = between.T - ring[start][:, np.newaxis]
            length = np.hypot(dx, dy)  # 0 where the outline comes back to a point
            distance = abs(x * dy - y * dx) / length if length else np.hypot(x, y)
            worst = start + 1 + int(distance.argmax())
            if distance.max() > tolerance:
                corner_ids.add(worst)
                parts += [(start, worst), (worst, end)]
    points = ring[sorted(corner_ids)] if len(corner_ids) > 2 else corners
    return points.round(2) + 0.0


def _tolerance(corners: Floats, area: float) -> float:
    """How far an outline of an area in pixels may move; a thin one by a sixth of its thickness."""
    ring = np.concatenate([corners, corners[:1]])
    length = float(np.hypot(*np.diff(ring, axis=0).T).sum())
    return min(_MAX_DEVIATION, area / length / 3)


def _area(corners: Floats) -> float:
    """The area of a polygon in pixels, by the shoelace formula."""
    x, y = corners.T
    return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)
