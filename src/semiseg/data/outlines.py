"""Masks as LabelMe's polygons, to be corrected where they would be drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from semiseg.data.labelme import BACKGROUND

Floats = NDArray[np.float64]
Integers = NDArray[np.uint32]
_LEVEL = 0.999  # of a region: its outline then runs through its outermost pixels, as one draws it
_SMALLEST = 3  # pixels; a thing that is smaller both ways is a speck
_VERSION = "5.5.0"  # of LabelMe, whose form this is


class Outline(NamedTuple):
    """A thing of one class.

    Attributes:
        label: index of the class.
        points: `(N, 2)` x and y of its corners, in pixels; 0 is the centre of the first.
        area: what they enclose, in pixels, holes included.
    """

    label: int
    points: Floats
    area: float


def outlines(mask: NDArray[np.uint8], background: int | None) -> list[Outline]:
    """The outlines of all connected regions, the largest first.

    Drawn in this order they give the mask again, but for specks and for edges that are moved by
    about a pixel: what lies in a hole of another thing is smaller than that one.

    Args:
        mask: `(H, W)` class indices.
        background: the class that lies where nothing is drawn, of which only what fills holes is
            drawn; None if there is no such class.
    """
    from contourpy import FillType, contour_generator

    found = []
    for label in np.unique(mask).tolist():
        region = np.pad((mask == label).astype(np.float64), 1)
        traced = contour_generator(z=region, fill_type=FillType.OuterOffset)
        rings, offsets = cast("tuple[list[Floats], list[Integers]]", traced.filled(_LEVEL, 2))
        for points, ends in zip(rings, offsets, strict=True):
            corners = points[: ends[1] - 1] - 1  # the outer ring; it is closed, and was padded
            sides = np.ptp(corners, axis=0) + 1
            at_edge = (corners.min() < 0.5) | (corners.max(0) > np.array(mask.shape[::-1]) - 1.5)
            if max(sides) < _SMALLEST or (label == background and at_edge.any()):
                continue
            found.append(Outline(label, _simple(corners), _area(corners)))
    return sorted(found, key=lambda one: -one.area)


def write_outlines(
    path: Path, found: Sequence[Outline], labels: Sequence[str], image: Path, size: tuple[int, int]
) -> None:
    """Write a LabelMe file.

    Args:
        path: the file, in the folder of the image.
        found: in the order to draw them.
        labels: of the classes.
        image: the image, in the same folder.
        size: its width and height.
    """
    shapes = [
        {
            "label": labels[one.label],
            "points": one.points.round(2).tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for one in found
    ]
    content: dict[str, Any] = {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": image.name,
        "imageData": None,
        "imageHeight": size[1],
        "imageWidth": size[0],
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def label_of(name: str, code: int) -> str:
    """What LabelMe calls a class; a file of classes may call the background otherwise."""
    return name if code else BACKGROUND


def _simple(corners: Floats) -> Floats:
    """Fewer corners, none of which a person would miss."""
    from matplotlib.path import Path as Line

    line = Line(np.concatenate([corners, corners[:1]]))
    line.simplify_threshold = 1.0
    kept = line.cleaned(simplify=True)
    points: Floats = np.asarray(kept.vertices)[np.asarray(kept.codes) != Line.STOP]
    if len(points) > 1 and np.allclose(points[0], points[-1]):
        points = points[:-1]
    return points if len(points) > 2 else corners


def _area(corners: Floats) -> float:
    x, y = corners.T
    return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)
