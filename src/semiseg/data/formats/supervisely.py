"""Supervisely's projects: a JSON for each image, with polygons and bitmaps."""

from __future__ import annotations

import base64
import io
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from semiseg.core.files import read_json
from semiseg.data.formats.annotations import (
    AnnotatedImage,
    AnnotationFormat,
    Annotations,
    color_of,
)
from semiseg.data.formats.coco import THIN
from semiseg.data.formats.codes import Color
from semiseg.data.formats.image_opening import UNREADABLE
from semiseg.data.formats.regions import (
    MAX_PIXELS,
    Area,
    Bitmap,
    Polygon,
    Region,
    Ring,
    image_size,
    number,
    ring,
)

_NO_AREA = {"rectangle": "box", "line": "polyline", "point": "point", "graph": "point"}


class SuperviselyFormat(AnnotationFormat):
    """A project of Supervisely: polygons and bitmaps.

    ```
    DATA/
      meta.json             the classes
      ds1/img/07.jpg        a folder for each data set; one called train, val or test is that split
      ds1/ann/07.jpg.json
    ```

    The classes are those of `meta.json` in its order. Later objects cover earlier ones. semiseg
    skips rectangles, lines and points. An image without areas is unlabeled.
    """

    name = "supervisely"
    title = "Supervisely's JSON"
    export = "Supervisely: Download as > .json + images"

    def read(self, meta: Path, pairs: Sequence[tuple[Path, str]]) -> Annotations:
        """Read a project.

        Args:
            meta: `meta.json`.
            pairs: the JSON of each image, and the name of the image.

        Raises:
            DataError: a file has another form.
        """
        colors: dict[str, Color | None] = {}
        with self.refusing(meta):
            content: Any = read_json(meta)  # of any form; what does not fit raises an error
            for entry in content["classes"]:
                colors[str(entry["title"]).strip()] = color_of(str(entry.get("color")))
        skipped: Counter[str] = Counter()
        images = []
        for file, name in pairs:
            with self.refusing(file):
                images.append(_image(read_json(file), name, skipped))
        labels = [r.label for image in images for r in image.regions if r.label]
        names = dict.fromkeys([*colors, *labels])
        return Annotations(tuple(images), tuple(names), colors=colors, skipped=skipped)


def _image(content: Any, name: str, skipped: Counter[str]) -> AnnotatedImage:  # noqa: ANN401 - JSON
    size = image_size(content["size"]["width"], content["size"]["height"])
    regions = []
    for position, entry in enumerate(content["objects"], 1):
        where = f"object {position}"
        try:
            area = _area(entry)
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(f"{where}: {error}") from error
        if isinstance(area, str):
            skipped[area] += 1
        else:
            regions.append(Region(str(entry["classTitle"]).strip(), area, where))
    return AnnotatedImage(name, size, tuple(regions), bool(regions))


def _area(entry: Mapping[str, Any]) -> Area | str:
    """The area of an object, or what it is instead of an area."""
    kind = str(entry.get("geometryType") or ("bitmap" if entry.get("bitmap") else "polygon"))
    if kind == "bitmap":
        left, top = (int(number(value)) for value in entry["bitmap"]["origin"])
        return _PngBitmap(left, top, str(entry["bitmap"]["data"]))
    if kind == "polygon":
        outer = entry["points"]["exterior"]
        if len(outer) < 3:
            return THIN
        holes = tuple(_ring(hole) for hole in entry["points"].get("interior") or [])
        return Polygon((_ring(outer),), holes)
    return _NO_AREA.get(kind, kind)


def _ring(points: Sequence[Any]) -> Ring:
    # Supervisely's points are the centers of pixels.
    return ring([x for x, _ in points], [y for _, y in points]) + 0.5


class _PngBitmap(NamedTuple):
    """A bitmap as the file holds it: a PNG, compressed with zlib and written in base64."""

    left: int
    top: int
    data: str

    def cover(self, width: int, height: int) -> Bitmap:
        """The pixels within the image that are neither black nor transparent.

        Raises:
            ValueError: the bitmap cannot be read.
        """
        try:
            packed = base64.b64decode(self.data)
            content = zlib.decompressobj().decompress(packed, MAX_PIXELS)
            with Image.open(io.BytesIO(content), formats=["PNG"]) as file:
                pixels = np.asarray(file.convert("RGBA") if file.mode in ("P", "RGBA") else file)
        except UNREADABLE as error:
            raise ValueError(f"its bitmap cannot be read: {error}") from error
        inside = pixels[..., -1] > 0 if pixels.ndim == 3 else pixels > 0
        return Bitmap(self.left, self.top, inside).cover(width, height)
