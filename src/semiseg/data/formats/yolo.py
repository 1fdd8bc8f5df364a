"""YOLO's text files of segmentation: a line is a class and the corners of a polygon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from semiseg.core import files
from semiseg.core.errors import DataError
from semiseg.data.formats.annotations import AnnotatedImage, AnnotationFormat, Annotations
from semiseg.data.formats.regions import Polygon, Region, number, ring

SUFFIX = ".txt"
_MAX_SHARE = 2.0  # an outline may reach a little out of its image; pixels reach much farther
_MAX_CLASSES = 10_000
_SPLIT_KEYS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


class Labels(NamedTuple):
    """The content of one label file.

    Attributes:
        regions: the areas; a label is the number of the class as text.
        skipped: the number of lines that are no areas, by what they are.
        lines: the number of lines that are not empty.
    """

    regions: tuple[Region, ...]
    skipped: Counter[str]
    lines: int


class YoloConfig(NamedTuple):
    """The content of a `data.yaml`.

    Attributes:
        file: the file.
        names: the names of the classes by their numbers.
        folder: `path`, or empty.
        splits: the folders or lists of each split, as they are written.
    """

    file: Path
    names: dict[int, str]
    folder: str
    splits: dict[str, list[str]]


def read_labels(file: Path) -> Labels:
    """Read the label file of one image.

    Raises:
        DataError: it cannot be read, or a line is not in YOLO's form.
    """
    try:
        lines = files.read_text(file).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as YOLO's labels ({error}).") from error
    regions: list[Region] = []
    skipped: Counter[str] = Counter()
    count = 0
    for position, line in enumerate(lines, 1):
        if not line.strip():
            continue
        count += 1
        try:
            label, values = _parse(line)
        except ValueError as error:
            raise DataError(
                f"{file}, line {position} is none of YOLO's segmentation ({error}).",
                "A line is the number of a class, then x and y of each corner as shares of the "
                "image's width and height: 0 0.1 0.1 0.5 0.1 0.5 0.6.",
            ) from error
        if len(values) < 6:
            skipped["box"] += 1
            continue
        outline = ring(values[::2], values[1::2])
        area = Polygon((outline,), is_relative=True)
        regions.append(Region(str(label), area, f"line {position}"))
    return Labels(tuple(regions), skipped, count)


def _parse(line: str) -> tuple[int, list[float]]:
    """The number of the class, and the coordinates.

    Raises:
        ValueError: there are none, or they are no shares of the image's size.
    """
    first, *rest = line.replace(",", " ").split()
    label = number(first)
    values = [number(value) for value in rest]
    if label != int(label) or not 0 <= label < _MAX_CLASSES:
        raise ValueError(f"{first} is no number of a class")
    outside = [value for value in values if not -1 <= value <= _MAX_SHARE]
    if outside:
        raise ValueError(f"{outside[0]:g} is no share of the image's size, from 0 to 1")
    if len(values) not in (4, 5) and (len(values) < 6 or len(values) % 2):  # 5: with a confidence
        raise ValueError(f"{len(values)} numbers follow the class")
    return int(label), values


def looks_like_labels(file: Path) -> bool | None:
    """Whether a text file holds YOLO's lines; None if it is empty, which says nothing."""
    try:
        with file.open("rb") as stream:
            head = stream.read(1 << 14)
        lines = [line for line in head.decode("utf-8-sig").splitlines() if line.strip()]
        if len(head) == 1 << 14:
            lines = lines[:-1]  # may be cut off
        for line in lines[:5]:
            _parse(line)
    except (OSError, ValueError):
        return False
    return bool(lines) or None


def holds_numbers(file: Path) -> bool:
    """Whether the first line of a text file is a class and coordinates, in whatever unit."""
    try:
        words = files.read_text(file).lstrip().partition("\n")[0].replace(",", " ").split()
        return len(words) > 4 and all(np.isfinite(float(word)) for word in words)
    except (OSError, ValueError):
        return False


def read_config(file: Path) -> YoloConfig | None:
    """Read a `data.yaml`; None if the file is another kind of YAML.

    Raises:
        DataError: its names cannot be used, or a `data.yaml` is no YAML.
    """
    try:
        content = files.read_yaml(file)
    except (OSError, ValueError) as error:
        if file.stem.lower() != "data":  # any other program's
            return None
        raise DataError(
            f"{file} cannot be read as YAML ({error}).", "Correct the file, with spaces, not tabs."
        ) from error
    if not isinstance(content, dict) or "names" not in content:
        return None
    if "kpt_shape" in content:
        raise DataError(
            f"{file} describes key points (YOLO pose), which are no areas.",
            "Export the annotations as YOLO segmentation, or as COCO with polygons.",
        )
    splits = {}
    for split, keys in _SPLIT_KEYS.items():
        value = next((content[key] for key in keys if content.get(key)), None)
        entries = value if isinstance(value, list) else [value] if value else []
        splits[split] = [str(entry) for entry in entries]
    if not splits["train"] and "nc" not in content:
        return None
    entry = content["names"]
    entries_by_number = dict(enumerate(entry)) if isinstance(entry, list) else entry
    try:
        names = {int(key): str(name).strip() for key, name in entries_by_number.items()}
        if not names or min(names) < 0 or max(names) >= _MAX_CLASSES or not all(names.values()):
            raise ValueError(f"{len(names)} names")
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file} names no classes that can be used ({error}).",
            "Write `names:` as a list of words, or as `0: crop` and so on, a class a line.",
        ) from error
    return YoloConfig(file, names, str(content.get("path") or ""), splits)


def read_names(file: Path) -> dict[int, str]:
    """The names of the classes in a `classes.txt` or `obj.names`, a line each.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        lines = [line.strip() for line in files.read_text(file).splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as a list of names ({error}).") from error
    while lines and not lines[-1]:
        lines.pop()
    return {i: name or f"class {i}" for i, name in enumerate(lines)}


class YoloFormat(AnnotationFormat):
    """YOLO's segmentation, as Ultralytics trains on it.

    ```
    DATA/
      data.yaml                           the names of the classes, and the folders of the splits
      images/train/07.jpg  labels/train/07.txt    or train/images/07.jpg  train/labels/07.txt,
      images/val/12.jpg    labels/val/12.txt      or 07.txt beside 07.jpg
      classes.txt                         the names without a data.yaml; or obj.names
    ```

    A line of a label file is a class and the corners of a polygon. Lines of four numbers are boxes;
    semiseg skips them. An image with an empty label file is all background. An image without a
    label file is unlabeled, and so is an image with boxes only. Smaller areas cover larger ones, as
    in Ultralytics' own masks. The classes are those of the file in its order, after the background.
    """

    name = "yolo"
    title = "YOLO segmentation"
    export = (
        "YOLO segmentation of Ultralytics, Roboflow (YOLOv8, YOLO11), Label Studio (YOLO), "
        'CVAT ("Ultralytics YOLO Segmentation")'
    )
    by_area = True
    background_remedy = "give it an empty label file"

    def read(
        self, pairs: Sequence[tuple[str, Path | None, str]], names: Mapping[int, str], source: Path
    ) -> Annotations:
        """Read the label files of images.

        Args:
            pairs: the path of each image below the data folder, its label file if it has one, and
                its split.
            names: the names of the classes by their numbers; if there are none, they are `class 0`
                and so on.
            source: the file with the names, for the error.

        Raises:
            DataError: a label file cannot be read, or has a class without a name.
        """
        skipped: Counter[str] = Counter()
        images = []
        numbers: set[int] = set()
        for name, file, split in pairs:
            labels = read_labels(file) if file else None
            regions: list[Region] = []
            for region in labels.regions if labels else ():
                label = int(region.label or 0)
                numbers.add(label)
                if names and label not in names:
                    raise DataError(
                        f"{file}, {region.name} has the class {label}, but {source} names the "
                        f"classes {min(names)} to {max(names)}.",
                        "Add its name there, or correct the label file.",
                    )
                regions.append(replace(region, label=names.get(label, f"class {label}")))
            skipped += labels.skipped if labels else Counter()
            is_labeled = labels is not None and (bool(regions) or not labels.lines)
            images.append(AnnotatedImage(name, None, tuple(regions), is_labeled, split))
        if not names:
            names = {i: f"class {i}" for i in range(max(numbers, default=0) + 1)}
        ordered = dict.fromkeys(names[i] for i in sorted(names))
        return Annotations(tuple(images), tuple(ordered), skipped=skipped)
