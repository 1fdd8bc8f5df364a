"""Masks as LabelMe's shapes, to be corrected where they would be drawn."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.files import write_json
from semiseg.data.formats.labelme import BACKGROUND

Floats = NDArray[np.float64]
Pixels = NDArray[np.bool_]
_LEVEL = 0.999  # of a region: its outline then runs through its outermost pixels, as one draws it
_THIN = 4.0  # what lies within the outline of 3 x 3 pixels; a smaller thing is no polygon
_NEAR = 0.7  # pixels by which a corner that is left out may lie off the line
_VERSION = "5.5.0"  # of LabelMe, whose form this is


class Outline(NamedTuple):
    """A thing of one class.

    Attributes:
        label: index of the class.
        points: `(N, 2)` x and y of its corners, in pixels; 0 is the center of the first.
        area: what they enclose, in pixels, holes included.
    """

    label: int
    points: Floats
    area: float


class Rest(NamedTuple):
    """What of a class is too thin or too small for polygons.

    Attributes:
        label: index of the class.
        left: of the box around it, in pixels.
        top: likewise.
        pixels: `(h, w)`, in the box.
    """

    label: int
    left: int
    top: int
    pixels: Pixels


def outlines(mask: NDArray[np.uint8], background: int | None) -> list[Outline | Rest]:
    """The outlines of all connected regions, the largest first, then what has none.

    Drawn in this order they give the mask again, with edges that are moved by about a pixel: what
    lies in a hole of another thing is smaller than that one.

    Args:
        mask: `(H, W)` class indices.
        background: the class that lies where nothing is drawn, of which only what fills holes is
            drawn; None if there is no such class.
    """
    found: list[Outline] = []
    rests: list[Rest] = []
    last = np.array((mask.shape[1], mask.shape[0])) - 1.5
    for label in np.unique(mask).tolist():
        region = mask == label
        thin = np.zeros_like(region)
        for corners in _traced(region):
            area = _area(corners)
            if label == background and (corners.min() < 0.5 or (corners.max(0) > last).any()):
                continue  # it reaches the edge: nothing encloses it
            if area >= _THIN:
                found.append(Outline(label, _simple(corners, area), area))
            else:
                (left, top), (right, bottom) = corners.min(0).round(), corners.max(0).round()
                box = slice(int(top), int(bottom) + 1), slice(int(left), int(right) + 1)
                thin[box] = region[box]
        if thin.any():
            left, top, box = _box(thin)
            rests.append(Rest(label, left, top, thin[box]))
    return [*sorted(found, key=lambda one: -one.area), *rests]


def write_outlines(
    path: Path,
    found: Sequence[Outline | Rest],
    labels: Sequence[str],
    image: Path,
    size: tuple[int, int],
) -> None:
    """Write a LabelMe file.

    Args:
        path: the file, in the folder of the image.
        found: in the order to draw them.
        labels: of the classes.
        image: the image, in the same folder.
        size: its width and height.
    """
    content: dict[str, Any] = {
        "version": _VERSION,
        "flags": {},
        "shapes": [
            {"label": labels[one.label], "group_id": None, "description": "", "flags": {}}
            | (_polygon(one) if isinstance(one, Outline) else _stored(one))
            for one in found
        ],
        "imagePath": image.name,
        "imageData": None,
        "imageHeight": size[1],
        "imageWidth": size[0],
    }
    write_json(path, content)


def label_of(name: str, code: int) -> str:
    """What LabelMe calls a class; a file of classes may call the background otherwise."""
    return name if code else BACKGROUND


def _polygon(one: Outline) -> dict[str, Any]:
    return {"shape_type": "polygon", "points": one.points.tolist(), "mask": None}


def _stored(rest: Rest) -> dict[str, Any]:
    """A shape of LabelMe's kind `mask`: its box, and a PNG in base64."""
    file = io.BytesIO()
    Image.fromarray(rest.pixels.astype(np.uint8) * 255).save(file, "PNG")
    height, width = rest.pixels.shape
    corners = [[rest.left, rest.top], [rest.left + width - 1, rest.top + height - 1]]
    pixels = base64.b64encode(file.getvalue()).decode()
    return {"shape_type": "mask", "points": corners, "mask": pixels}


def _box(region: Pixels) -> tuple[int, int, tuple[slice, slice]]:
    """Left and top of the box around what is True, and its slices."""
    rows, columns = (np.flatnonzero(region.any(axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return int(columns[0]), int(rows[0]), box


def _traced(region: Pixels) -> list[Floats]:
    """The outer corners `(N, 2)` of each connected part, through its outermost pixels."""
    from contourpy import FillType, contour_generator

    left, top, box = _box(region)
    inner = np.pad(region[box], 1).astype(np.float64)
    traced = contour_generator(z=inner, fill_type=FillType.OuterOffset)
    rings, offsets = cast("tuple[list[Floats], list[Any]]", traced.filled(_LEVEL, 2))
    # The outer ring comes first, and ends where it began.
    outer = [ring[: ends[1] - 1] for ring, ends in zip(rings, offsets, strict=True)]
    return [corners - 1 + (left, top) for corners in outer]


def _simple(corners: Floats, area: float) -> Floats:
    """Fewer corners, by the algorithm of Ramer, Douglas and Peucker from two that lie far apart."""
    ring = np.concatenate([corners, corners[:1]])
    # Where it is thin, a sixth of how thick it is.
    near = min(_NEAR, area / np.hypot(*np.diff(ring, axis=0).T).sum() / 3)
    far = int(np.hypot(*(ring - ring[0]).T).argmax())
    kept, parts = {0, far}, [(0, far), (far, len(corners))]
    while parts:
        start, end = parts.pop()
        dx, dy = ring[end] - ring[start]
        between = ring[start + 1 : end]
        if len(between):
            x, y = between.T - ring[start][:, np.newaxis]
            long = np.hypot(dx, dy)  # 0 where the outline comes back to a point
            off = abs(x * dy - y * dx) / long if long else np.hypot(x, y)
            worst = start + 1 + int(off.argmax())
            if off.max() > near:
                kept.add(worst)
                parts += [(start, worst), (worst, end)]
    points = ring[sorted(kept)] if len(kept) > 2 else corners
    return points.round(2) + 0.0


def _area(corners: Floats) -> float:
    x, y = corners.T
    return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)
