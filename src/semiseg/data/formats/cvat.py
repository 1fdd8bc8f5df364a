"""CVAT's XML of images, version 1.1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

# The text holds no entities: `_parse` refuses every document type before it is parsed.
from xml.etree import ElementTree  # nosec B405

import numpy as np

from semiseg.core.files import read_text
from semiseg.data.formats.annotations import (
    AnnotatedImage,
    Annotations,
    FileFormat,
    color_of,
)
from semiseg.data.formats.coco import THIN
from semiseg.data.formats.codes import Color
from semiseg.data.formats.json_head import JsonHead
from semiseg.data.formats.regions import (
    Area,
    Bitmap,
    Ellipse,
    Polygon,
    Region,
    image_size,
    number,
    ring,
)
from semiseg.data.formats.run_length import runs_to_pixels

_HEAD = 1 << 12  # bytes
_NO_AREA = {"box": "box", "polyline": "polyline", "points": "point", "cuboid": "cuboid"}
_TYPES_WITHOUT_AREA = ("rectangle", "polyline", "points", "cuboid", "skeleton", "tag")
_SHAPES = (*_NO_AREA, "polygon", "mask", "ellipse", "skeleton")


class CvatFormat(FileFormat):
    """CVAT's XML: polygons, masks and ellipses.

    ```
    DATA/
      annotations.xml
      images/*.jpg     as exported with "Save images", or the images anywhere below DATA
    ```

    The classes are the labels of the task in their order. A shape with a higher `z_order` is on
    top; with equal `z_order`, the later shape is. semiseg skips boxes, polylines and points: a box
    of CVAT says where an object is, not which pixels belong to it. An image without areas is
    unlabeled. Subsets of a project (`Train`, `Validation`) are the splits.
    """

    name = "cvat"
    title = "CVAT's XML"
    export = 'CVAT: "CVAT for images 1.1"'
    suffix = ".xml"

    def recognizes(self, file: Path, head: JsonHead | None) -> bool:
        """By its first tags."""
        text = read_start(file)
        return "<annotations>" in text and ("<version>" in text or "<image " in text)

    def read(self, file: Path) -> Annotations:
        """Read the images, their shapes and the labels.

        Raises:
            DataError: the file has another form, or is an export of a video.
        """
        with self.refusing(file):
            tree = parse_xml(read_text(file))
            if tree.find("track") is not None and tree.find("image") is None:
                raise ValueError('it is an export "for video": export "CVAT for images 1.1"')
            colors: dict[str, Color | None] = {}
            for entry in tree.iterfind("meta//labels/label"):
                name = (entry.findtext("name") or "").strip()
                if name and entry.findtext("type") not in _TYPES_WITHOUT_AREA:
                    colors[name] = color_of(entry.findtext("color") or "")
            skipped: Counter[str] = Counter()
            images = [_image(entry, skipped) for entry in tree.iterfind("image")]
            labels = [r.label for image in images for r in image.regions if r.label]
            names = dict.fromkeys([*colors, *labels])
            return Annotations(tuple(images), tuple(names), colors=colors, skipped=skipped)
        raise AssertionError


def read_start(file: Path) -> str:
    """The beginning of a text file; empty if it cannot be read."""
    try:
        with file.open("rb") as stream:
            return stream.read(_HEAD).decode("utf-8-sig", "ignore")
    except OSError:
        return ""


def parse_xml(text: str) -> ElementTree.Element:
    """The root of an XML document.

    Raises:
        ValueError: it is no XML, or declares a document type, whose entities may fill the memory.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it declares a document type")
    try:
        return ElementTree.fromstring(text)  # nosec B314 - see the import
    except ElementTree.ParseError as error:
        raise ValueError(f"it is no XML: {error}") from error


def _image(entry: ElementTree.Element, skipped: Counter[str]) -> AnnotatedImage:
    name = entry.attrib["name"]
    try:
        size = image_size(entry.attrib["width"], entry.attrib["height"])
        regions = tuple(_regions(entry, skipped))
    except (ValueError, LookupError) as error:
        raise ValueError(f"{name}: {error}") from error
    return AnnotatedImage(name, size, regions, bool(regions), entry.get("subset", ""))


def _regions(image: ElementTree.Element, skipped: Counter[str]) -> Iterator[Region]:
    for position, shape in enumerate(image, 1):
        if shape.tag not in _SHAPES:
            continue
        area = _area(shape)
        if isinstance(area, str):
            skipped[area] += 1
            continue
        layer = int(number(shape.get("z_order", "0")))
        yield Region(shape.attrib["label"].strip(), area, f"{shape.tag} {position}", layer)


def _area(shape: ElementTree.Element) -> Area | str:
    """The area of a shape, or what it is instead of an area."""
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in shape.attrib["points"].split(";") if pair.strip()]
        if len(pairs) < 3:
            return THIN
        return Polygon((ring([x for x, _ in pairs], [y for _, y in pairs]),))
    if shape.tag == "ellipse":
        x, y, radius_x, radius_y = (number(shape.attrib[key]) for key in ("cx", "cy", "rx", "ry"))
        if min(radius_x, radius_y) <= 0:
            return "ellipse without an area"
        return Ellipse(x, y, radius_x, radius_y, np.radians(number(shape.get("rotation", "0"))))
    if shape.tag == "mask":
        left, top = (int(number(shape.attrib[key])) for key in ("left", "top"))
        width, height = image_size(shape.attrib["width"], shape.attrib["height"])
        runs = [int(run) for run in shape.attrib["rle"].split(",")]
        return Bitmap(left, top, runs_to_pixels(runs, width, height))
    return _NO_AREA.get(shape.tag, shape.tag)
