"""LabelMe's JSON files: polygons, rectangles, circles and stored masks become codes of pixels."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from semiseg.core.errors import DataError
from semiseg.core.files import read_json
from semiseg.core.text import plural
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.image_opening import UNREADABLE
from semiseg.data.formats.regions import MAX_PIXELS

LABELME_SUFFIX = ".json"
BACKGROUND = "_background_"
"""The label of pixels outside all shapes."""
IGNORE = "__ignore__"
"""The label of pixels to be ignored."""
_SPECIAL = {BACKGROUND: 0, IGNORE: IGNORE_INDEX}
_MAX_COORDINATE = 1e6  # pixels; no shape reaches farther out of its image
_CORNERS = ("polygon", "rectangle", "oriented_rectangle", "rotation")  # rotation: AnyLabeling's
_NO_AREA = ("point", "points", "line", "linestrip")
_POINTS = {"rectangle": "2 or 4", "circle": "2", "mask": "2"}  # a polygon has 3 or more


def label_code(label: str) -> int:
    """The code of a label, the same in every file: 0 for the background, 255 for ignored pixels.

    Example:
        >>> label_code("_background_"), label_code("__ignore__"), label_code("crop")
        (0, 255, 1400167685)
    """
    if label in _SPECIAL:
        return _SPECIAL[label]
    digest = hashlib.sha256(label.encode()).digest()
    return 256 + int.from_bytes(digest[:8], "big") % (2**31 - 256)


class Shapes(NamedTuple):
    """The shapes of a LabelMe file.

    Attributes:
        codes: `(H, W)` the code of each pixel.
        labels: the label of each code.
        skipped: the number of shapes that cover no area, by their kinds.
    """

    codes: NDArray[np.int32]
    labels: dict[int, str]
    skipped: dict[str, int]


def read_shapes(path: Path) -> Shapes:
    """Draw the shapes of a LabelMe file.

    Shapes are drawn in their order, so that later ones cover earlier ones. They include the pixels
    on their outline, as in LabelMe's own converters. Points and lines are skipped, unless the file
    holds nothing else.

    Raises:
        DataError: the file is not JSON, does not come from LabelMe, has an area that is incomplete,
            or has shapes of which none covers an area.
    """
    content, shapes = _read(path)
    canvas = Image.new("I", _size(path, content), 0)
    labels = {0: BACKGROUND}
    skipped: Counter[str] = Counter()
    for number, shape in enumerate(shapes, 1):
        where = f"{path}, shape {number}"
        label = shape.get("label") if isinstance(shape, dict) else None
        if not isinstance(shape, dict) or not isinstance(label, str) or not label.strip():
            raise DataError(f"{where} has no label. Give it one in LabelMe, or delete it.")
        kind = shape.get("shape_type")
        if isinstance(kind, str) and kind in _NO_AREA:
            skipped[kind] += 1
            continue
        code = label_code(label.strip())
        if labels.setdefault(code, label.strip()) != label.strip():
            raise DataError(f"{where}: {label} has the same code as {labels[code]}. Rename it.")
        _draw(canvas, shape, code, f"{where} ({label})")
    if shapes and skipped.total() == len(shapes):
        raise DataError(
            f"{path} holds {_in_words(skipped)} and no shape with an area. Draw polygons, "
            "rectangles or circles, or remove the file if nobody has annotated the image."
        )
    return Shapes(np.array(canvas, dtype=np.int32), labels, dict(skipped))


def count_shapes(path: Path) -> dict[int, int]:
    """The number of objects of each code in a LabelMe file that `read_shapes` reads.

    Shapes of one label and one group (`group_id`) are parts of one object.

    Raises:
        DataError: the file is not JSON, or does not come from LabelMe.
    """
    objects = set[tuple[int, object]]()
    for number, shape in enumerate(_read(path)[1]):
        if isinstance(shape, dict) and shape.get("shape_type") not in _NO_AREA:
            group = shape.get("group_id")
            part = f"shape {number}" if group is None else f"group {group}"
            objects.add((label_code(str(shape.get("label")).strip()), part))
    return dict(Counter(code for code, _ in objects))


def _read(path: Path) -> tuple[dict[str, object], list[object]]:
    """The content of a LabelMe file, and its shapes.

    Raises:
        DataError: the file is not JSON, or does not come from LabelMe.
    """
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as JSON ({error}). Save it in LabelMe again, or remove it."
        ) from error
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(shapes, list):
        raise DataError(
            f"{path} is no LabelMe file: it has no list `shapes`. Remove it, or move it elsewhere."
        )
    return content, shapes


def _in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(plural(count, kind) for kind, count in counts.items())


def _size(path: Path, content: Mapping[str, object]) -> tuple[int, int]:
    """Width and height of the image."""
    width, height = content.get("imageWidth"), content.get("imageHeight")
    if (
        isinstance(width, int)
        and isinstance(height, int)
        and min(width, height) >= 1
        and width * height <= MAX_PIXELS
    ):
        return width, height
    raise DataError(
        f"{path} gives {width} x {height} as imageWidth and imageHeight; these must be the image's "
        "size in pixels. Open and save the file in LabelMe again."
    )


def _draw(canvas: Image.Image, shape: Mapping[str, object], code: int, where: str) -> None:
    """Draw one shape.

    Raises:
        DataError: the shape has no area, or its points make no sense.
    """
    kind = str(shape.get("shape_type") or "polygon")  # old versions had no other kind
    points = _points(shape.get("points"), where)
    draw = ImageDraw.Draw(canvas)
    if kind in _CORNERS and len(points) > 2:
        draw.polygon(points, fill=code, outline=code)
    elif kind in _POINTS and len(points) == 2:
        (ax, ay), (bx, by) = points
        if kind == "circle":  # its center and a point on it
            r = math.hypot(ax - bx, ay - by)
            draw.ellipse([ax - r, ay - r, ax + r, ay + r], fill=code, outline=code)
        elif kind == "rectangle":
            box = [min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)]
            draw.rectangle(box, fill=code, outline=code)
        else:
            canvas.paste(code, (int(ax), int(ay)), _stored_mask(shape.get("mask"), where))
    elif kind in _POINTS or kind in _CORNERS:
        raise DataError(
            f"{where} is a {kind} with {len(points)} points; it needs "
            f"{_POINTS.get(kind, '3 or more')}. Draw it again in LabelMe, or delete it."
        )
    else:
        raise DataError(
            f"{where} is a {kind}, which covers no area. Draw a polygon, a rectangle or a circle "
            "instead, or delete it."
        )


def _points(points: object, where: str) -> list[tuple[float, float]]:
    """The points of a shape as pairs of x and y in pixels."""
    try:
        if isinstance(points, list):
            pairs = [(float(x), float(y)) for x, y in points]
            if all(abs(value) <= _MAX_COORDINATE for pair in pairs for value in pair):
                return pairs
    except (TypeError, ValueError, OverflowError):
        pass
    raise DataError(
        f"{where} has points that are not a list of pairs of numbers within its image. Draw it "
        "again in LabelMe, or delete it."
    )


def _stored_mask(mask: object, where: str) -> Image.Image:
    """The pixels of a shape that LabelMe stores as a PNG in base64: 255 inside, 0 outside."""
    try:
        pixels = io.BytesIO(base64.b64decode(str(mask), validate=True))
        with Image.open(pixels, formats=["PNG"]) as file:
            return Image.fromarray((np.asarray(file.convert("L")) > 0).astype(np.uint8) * 255)
    except UNREADABLE as error:
        raise DataError(
            f"{where} is a mask whose pixels cannot be read ({error}). Draw it again in LabelMe, "
            "or delete it."
        ) from error
