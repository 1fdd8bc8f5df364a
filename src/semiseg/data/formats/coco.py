"""COCO's JSON of instances, the format that most annotation tools export."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from semiseg.core.errors import ConfigError
from semiseg.core.files import read_json
from semiseg.core.text import plural
from semiseg.data.formats.annotations import AnnotatedImage, Annotations, FileFormat
from semiseg.data.formats.json_head import JsonHead
from semiseg.data.formats.regions import Bitmap, Region, image_size, number
from semiseg.data.formats.run_length import runs_to_pixels

THIN = "outline of fewer than three points"
"""The kind of a skipped polygon: two points have no area."""


class CocoFormat(FileFormat):
    """COCO's JSON of instances, with any name and in any folder.

    ```
    DATA/
      annotations.json    or result.json, instances_default.json, labels.json, ...
      images/*.jpg        anywhere below DATA; `file_name` with or without folders
    DATA/                 with splits, by the names of the files or of their folders
      annotations/instances_train.json  annotations/instances_val.json
      train/*.jpg  val/*.jpg
    ```

    The classes are the categories in the order of their ids. A category that only groups others and
    has no annotations is not a class. Outlines are polygons or run-length codes. Where instances
    overlap, the smaller one is on top. semiseg ignores crowds (`iscrowd`), unless most areas are
    crowds, as in painted masks of CVAT. An image without outlines is unlabeled: COCO cannot say
    that a person looked at an image and found nothing.
    """

    name = "coco"
    title = "COCO JSON"
    export = (
        "COCO of CVAT, Label Studio, Roboflow, makesense.ai, Datumaro, FiftyOne, V7 and others; "
        "labelme2coco"
    )
    by_area = True

    def recognizes(self, file: Path, head: JsonHead | None) -> bool:
        """By `images` with `annotations` and `categories`, or by as much as a head shows.

        A file with a name of COCO's own is one, even if it is broken.
        """
        if file.name.lower().startswith("instances_") or file.name.lower().endswith(".coco.json"):
            return True
        if head is None or head.is_list:
            return False
        images = head.inner.get("images", frozenset())
        annotations = head.inner.get("annotations", frozenset())
        if "caption" in annotations or "segments_info" in annotations:
            return False
        if head.is_whole:
            lists = {"images", "annotations", "categories"} & head.keys
            return len(lists) == 3 or (lists >= {"images", "annotations"} and "file_name" in images)
        return "file_name" in images or {"image_id", "category_id"} <= annotations

    def read(self, file: Path) -> Annotations:
        """Read the images, the outlines and the categories.

        Raises:
            DataError: the file has another form.
        """
        with self.refusing(file):
            return _read(file, file.stat().st_mtime_ns)
        raise AssertionError


@lru_cache(maxsize=4)  # COCO's own takes seconds to parse
def _read(file: Path, _changed: int) -> Annotations:
    content: Any = read_json(file)  # of any form; what does not fit raises an error
    categories = _categories(content)
    entries: dict[int | str, Any] = {}
    for entry in content["images"]:
        if entries.setdefault(_number(entry["id"]), entry) is not entry:
            raise ValueError(f"two images have the id {entry['id']}")
    has_crowds, notes = _judge_crowds(content["annotations"])
    skipped: Counter[str] = Counter()
    regions: defaultdict[int | str, list[Region]] = defaultdict(list)
    labels: set[str] = set()
    for annotation in content["annotations"]:
        place = _number(annotation["image_id"])
        if place not in entries:
            skipped["annotation of an image that is not listed"] += 1
            continue
        name = f"annotation {annotation.get('id')}"
        kind = _number(annotation["category_id"])
        if kind not in categories:
            raise ValueError(f"{name} has the category {kind}, which `categories` does not name")
        label = categories[kind]
        labels.add(label)
        try:
            area = outline(annotation.get("segmentation"))
        except (ValueError, TypeError, LookupError) as error:
            raise ValueError(f"{name}: {error}") from error
        if isinstance(area, str):
            skipped[area] += 1
        else:
            is_crowd = has_crowds and bool(annotation.get("iscrowd"))
            regions[place].append(Region(None if is_crowd else label, area, name))
    return Annotations(
        tuple(_image(entry, regions[number]) for number, entry in entries.items()),
        tuple(dict.fromkeys(categories.values())),
        frozenset(_groups(content, set(categories.values())) - labels),
        skipped=skipped,
        notes=notes,
    )


def _number(value: object) -> int | str:
    """An id: a number, which some tools write as text, or a text."""
    if isinstance(value, str):
        return int(value) if value.strip().isdecimal() else value
    if isinstance(value, (int, float)) and int(value) == value:
        return int(value)
    raise ValueError(f"{value!r} is no id")


def _judge_crowds(annotations: Sequence[Any]) -> tuple[bool, tuple[str, ...]]:
    """Whether `iscrowd` marks crowds, and a note if it does not.

    In COCO a crowd is rare. CVAT and Datumaro write `iscrowd: 1` for every mask that was painted.
    """
    crowds = sum(bool(annotation.get("iscrowd")) for annotation in annotations)
    if 2 * crowds <= len(annotations):
        return True, ()
    areas = plural(crowds, "area is", "areas are")
    return False, (
        f"{areas} marked with iscrowd and read as ordinary areas, since most areas are marked so, "
        "as CVAT marks painted masks",
    )


def _categories(content: Any) -> dict[int | str, str]:  # noqa: ANN401 - JSON
    """The names of the categories by their ids, in the order of the ids."""
    entries = content.get("categories") or []
    names = {_number(entry["id"]): str(entry["name"]).strip() for entry in entries}
    if not names:
        raise ValueError("it has no categories")
    numbers = sorted(number for number in names if isinstance(number, int))
    texts = [number for number in names if isinstance(number, str)]
    order: list[int | str] = [*numbers, *texts]
    return {number: names[number] for number in order}


def _groups(content: Any, names: set[str]) -> set[str]:  # noqa: ANN401 - JSON
    """The categories that are supercategories of others, as Roboflow writes them."""
    groups = set()
    for entry in content["categories"]:
        group = entry.get("supercategory")
        if isinstance(group, str) and group != entry["name"]:  # as COCO's person has it
            groups.add(group)
    return groups & names


def _image(entry: Any, regions: Sequence[Region]) -> AnnotatedImage:  # noqa: ANN401 - JSON
    name = str(entry["file_name"])
    try:
        width, height = entry.get("width"), entry.get("height")
        size = image_size(width, height) if width or height else None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return AnnotatedImage(name, size, tuple(regions), bool(regions))


def outline(segmentation: object) -> Outline | str:
    """The area of a COCO annotation, or what it is instead of an area.

    Args:
        segmentation: polygons, a run-length code, or nothing for a box.

    Raises:
        ValueError: it is none of these.
    """
    if not segmentation:
        return "box"
    if isinstance(segmentation, dict):
        height, width = segmentation["size"]
        return Outline((), (int(width), int(height)), _counts(segmentation["counts"]))
    if not isinstance(segmentation, list):
        raise ValueError(f"a segmentation is {type(segmentation).__name__}")
    parts = segmentation if isinstance(segmentation[0], list) else [segmentation]
    parts = [part for part in parts if part]
    if parts and isinstance(parts[0][0], (list, tuple)):  # pairs of x and y
        parts = [[value for pair in part for value in pair] for part in parts]
    polygons = [tuple(number(value) for value in part) for part in parts if len(part) >= 6]
    return Outline(tuple(polygons)) if polygons else THIN


@dataclass(frozen=True)
class Outline:
    """The area of polygons as pycocotools draws them, or of a run-length code.

    Attributes:
        polygons: x and y of their corners, one after another.
        size: width and height of the image of the run-length code.
        runs: the lengths of the runs outside and inside in turn, column by column.
    """

    polygons: tuple[tuple[float, ...], ...]
    size: tuple[int, int] = (0, 0)
    runs: tuple[int, ...] = ()

    def cover(self, width: int, height: int) -> Bitmap:
        """The pixels of the polygons or of the run-length code, within the box around them.

        Raises:
            ConfigError: there are polygons, and pycocotools is not installed.
            ValueError: the code is of an image of another size.
        """
        if not self.polygons:
            if self.size != (width, height):
                raise ValueError(f"its code is of {self.size[0]} x {self.size[1]} pixels")
            return Bitmap.around(runs_to_pixels(self.runs, height, width).T)
        try:
            from pycocotools import mask as rle  # an optional package
        except ImportError as error:
            raise ConfigError(
                "COCO's polygons are drawn by pycocotools, which is not installed: "
                "pip install 'semiseg[coco]'."
            ) from error
        outlines = [list(polygon) for polygon in self.polygons]
        code = rle.merge(rle.frPyObjects(outlines, height, width))
        return Bitmap.around(np.asarray(rle.decode(code), dtype=np.bool_))


def _counts(counts: object) -> tuple[int, ...]:
    """The lengths of the runs, as numbers or in COCO's text.

    The text holds numbers of 5 bits a letter, the lowest first; a sixth bit says that more follow.
    From the fourth on, a number is the difference to the one before the last.
    """
    if isinstance(counts, list):
        return tuple(int(number(count)) for count in counts)
    if not isinstance(counts, str):
        raise ValueError(f"the counts of a segmentation are {type(counts).__name__}")
    runs: list[int] = []
    value = shift = 0
    for letter in counts:
        bits = ord(letter) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return tuple(runs)
