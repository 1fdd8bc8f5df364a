"""The files of VIA 2, the VGG Image Annotator: projects, exported JSON, exported CSV."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from semiseg.core.files import read_json, read_text
from semiseg.data.formats.annotations import AnnotatedImage, Annotations, FileFormat
from semiseg.data.formats.coco import THIN
from semiseg.data.formats.cvat import read_start
from semiseg.data.formats.json_head import JsonHead
from semiseg.data.formats.regions import Area, Ellipse, Polygon, Region, number, rectangle, ring

_USUAL = ("class", "label", "name", "type", "category", "object", "class_name", "object_name")
_CSV_TITLE = "region_shape_attributes"


class ViaFormat(FileFormat):
    """VIA 2: polygons, rectangles, circles and ellipses.

    ```
    DATA/
      train/via_region_data.json  train/*.jpg    or an export with any name, beside the images or
      val/via_region_data.json    val/*.jpg      above them; a project (`via_project.json`)
    ```

    The class is the region attribute. If there are several attributes, it is the one called
    `class`, `label`, `name`, `type` or `category`. Regions without an attribute are one class,
    `object`. Later regions cover earlier ones. semiseg skips points and polylines. An image without
    areas is unlabeled.
    """

    name = "via"
    title = "VIA's JSON"
    export = (
        "VGG Image Annotator 2: Annotation > Export Annotations (as json or csv), Project > Save"
    )

    def recognizes(self, file: Path, head: JsonHead | None) -> bool:
        """By `_via_img_metadata`, or by images with `filename` and `regions`."""
        if head is None or head.is_list:
            return False
        if "_via_img_metadata" in head.keys:
            return True
        return any(inner >= {"filename", "regions"} for inner in head.inner.values())

    def read(self, file: Path) -> Annotations:
        """Read the images and their regions.

        Raises:
            DataError: the file has another form, or it is unclear which attribute is the class.
        """
        with self.refusing(file):
            content: Any = read_json(file)  # of any form; what does not fit raises an error
            images = content.get("_via_img_metadata", content)
            entries = []
            for entry in images.values():
                regions = entry.get("regions") or []
                regions = list(regions.values()) if isinstance(regions, dict) else regions
                shapes = [
                    (region["shape_attributes"], region.get("region_attributes") or {})
                    for region in regions
                ]
                entries.append((str(entry["filename"]), shapes))
            return _annotations(entries, _options(content))
        raise AssertionError


class ViaCsvFormat(ViaFormat):
    """The CSV that VIA 2 exports, with one region on a line. semiseg reads it as VIA's JSON.

    ```
    DATA/
      via_export_csv.csv
      images/*.jpg        anywhere below DATA
    ```
    """

    name = "via-csv"
    title = "VIA's CSV"
    export = "VGG Image Annotator 2: Annotation > Export Annotations (as csv)"
    suffix = ".csv"

    def recognizes(self, file: Path, head: JsonHead | None) -> bool:
        """By its title line."""
        return _CSV_TITLE in read_start(file).partition("\n")[0]

    def read(self, file: Path) -> Annotations:
        """Read the images and their regions.

        Raises:
            DataError: as for VIA's JSON.
        """
        with self.refusing(file):
            images: dict[str, list[tuple[Any, Any]]] = {}
            try:
                rows = list(csv.DictReader(read_text(file).lstrip("#").splitlines()))
            except csv.Error as error:
                raise ValueError(str(error)) from error
            for row in rows:
                shapes = images.setdefault(row.get("filename") or row[" filename"], [])
                shape = json.loads(row[_CSV_TITLE] or "{}")
                if shape:
                    shapes.append((shape, json.loads(row["region_attributes"] or "{}")))
            return _annotations(list(images.items()), {})
        raise AssertionError


def _options(content: Any) -> dict[str, list[str]]:  # noqa: ANN401 - JSON
    """The options of each region attribute, in the order of the project."""
    attributes = (content.get("_via_attributes") or {}).get("region") or {}
    return {
        str(name): [*map(str, entry.get("options") or ())] for name, entry in attributes.items()
    }


def _annotations(
    entries: Sequence[tuple[str, list[tuple[Any, Any]]]], options: Mapping[str, Sequence[str]]
) -> Annotations:
    attributes = [a for _, shapes in entries for _, a in shapes]
    key = _class_attribute(attributes, options)
    skipped: Counter[str] = Counter()
    images = []
    for name, shapes in entries:
        regions = []
        for position, (shape, values) in enumerate(shapes, 1):
            where = f"region {position}"
            try:
                area = _area(shape)
                label = _label(values, key)
            except (ValueError, LookupError, TypeError) as error:
                raise ValueError(f"{name}, {where}: {error}") from error
            if isinstance(area, str):
                skipped[area] += 1
            elif label is None:
                skipped[f"region without a value of '{key}'"] += 1
            else:
                regions.append(Region(label, area, where))
        images.append(AnnotatedImage(name, None, tuple(regions), bool(regions)))
    labels = [r.label for image in images for r in image.regions if r.label]
    names = dict.fromkeys([*options.get(key, ()), *labels])
    return Annotations(tuple(images), tuple(names), skipped=skipped)


def _class_attribute(attributes: Sequence[Any], options: Mapping[str, Sequence[str]]) -> str:
    """The region attribute that is the class; empty if regions have none.

    Raises:
        ValueError: several may be meant.
    """
    keys = [*dict.fromkeys([*options, *(str(key) for entry in attributes for key in entry)])]
    keys_with_values = [key for key in keys if any(_values(entry.get(key)) for entry in attributes)]
    if len(keys_with_values) <= 1:
        return keys_with_values[0] if keys_with_values else ""
    class_keys = [key for word in _USUAL for key in keys_with_values if key.strip().lower() == word]
    if class_keys:
        return class_keys[0]
    raise ValueError(
        f"its regions have the attributes {', '.join(keys_with_values)}, "
        "and it is unclear which one is the class: call that attribute `class` in VIA"
    )


def _label(values: Mapping[str, Any], key: str) -> str | None:
    if not key:
        return "object"
    words = _values(values.get(key))
    if len(words) > 1:
        raise ValueError(f"it has several values of '{key}': {', '.join(words)}")
    return words[0] if words else None


def _values(value: object) -> list[str]:
    """The values of an attribute: a text or a number, or the options that are ticked."""
    if isinstance(value, dict):
        return [str(key) for key, ticked in value.items() if ticked]
    text = "" if value is None or isinstance(value, list) else str(value).strip()
    return [text] if text and text != "undefined" else []


def _area(shape: Mapping[str, Any]) -> Area | str:
    """The area of a shape, or what it is instead of an area."""
    kind = shape.get("name")
    if kind == "polygon":
        xs, ys = shape["all_points_x"], shape["all_points_y"]
        return Polygon((ring(xs, ys),)) if len(xs) >= 3 else THIN
    if kind == "rect":
        left, top, width, height = _numbers(shape, ("x", "y", "width", "height"))
        return Polygon((rectangle(left, top, left + width, top + height),))
    if kind in ("circle", "ellipse"):
        x, y = _numbers(shape, ("cx", "cy"))
        if kind == "circle":
            radius_x = radius_y = number(shape["r"])
        else:
            radius_x, radius_y = _numbers(shape, ("rx", "ry"))
        if min(radius_x, radius_y) <= 0:
            return f"{kind} without an area"
        return Ellipse(x, y, radius_x, radius_y, number(shape.get("theta", 0)))
    return str(kind or "region without a shape")


def _numbers(shape: Mapping[str, Any], keys: Iterable[str]) -> list[float]:
    return [number(shape[key]) for key in keys]
