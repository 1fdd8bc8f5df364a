"""Label Studio's own JSON, with polygons, ellipses and brush strokes."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from semiseg.core.files import read_json
from semiseg.core.text import plural
from semiseg.data.formats.annotations import AnnotatedImage, Annotations, FileFormat
from semiseg.data.formats.coco import THIN
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
from semiseg.data.formats.run_length import decode_brush

BRUSH_STEM = re.compile(r"task-\d+-annotation-\d+-by-[^-]*-.+-\d+", re.IGNORECASE)
"""The stem of a mask that Label Studio's export of brush labels as PNG or NumPy writes."""
_NO_SHAPES = ("labels", "choices", "textarea", "taxonomy", "number", "rating", "relation")
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".avif")


class LabelStudioFormat(FileFormat):
    """Label Studio's JSON: polygons, ellipses and brush strokes.

    ```
    DATA/
      project-1-at-2024-05-01.json   exported as JSON or JSON-MIN
      images/*.jpg                   the photographs, under the names of the upload or their own
      task-1-annotation-1-by-1-tag-crop-0.png   brush labels as PNG, if you exported them too
    ```

    The JSON says which task belongs to which image. It also holds the brush strokes, so semiseg
    does not need the PNG files. Later regions cover earlier ones. semiseg skips rectangles and key
    points. If a task has several annotations, the one marked as ground truth counts, otherwise the
    last one. A task that was submitted without regions is background. A task without annotations is
    unlabeled.
    """

    name = "label-studio"
    title = "Label Studio's JSON"
    export = "Label Studio: JSON"
    background_remedy = "submit its task without regions"

    def recognizes(self, file: Path, head: JsonHead | None) -> bool:
        """By a list of tasks with `data` and `annotations` or `predictions`, or `annotation_id`."""
        if head is None or not head.is_list:
            return False
        whole = "data" in head.keys and bool(
            {"annotations", "completions", "predictions"} & head.keys
        )
        return whole or head.keys >= {"id", "annotation_id", "annotator"}

    def read(self, file: Path) -> Annotations:
        """Read the tasks.

        Raises:
            DataError: the file has another form.
        """
        with self.refusing(file):
            content: Any = read_json(file)  # of any form; what does not fit raises an error
            skipped: Counter[str] = Counter()
            images = []
            several_count = prediction_count = 0
            for entry in content:
                task = _whole(entry)
                annotations = task.get("annotations") or task.get("completions") or []
                valid = [entry for entry in annotations if not entry.get("was_cancelled")]
                truths = [entry for entry in valid if entry.get("ground_truth")]
                several_count += len(valid) > 1
                prediction_count += bool(task.get("predictions")) and not valid
                name = _image_name(task)
                try:
                    results = (truths or valid)[-1]["result"] if valid else []
                    images.append(_image(name, results, bool(valid), skipped))
                except (ValueError, LookupError, TypeError) as error:
                    raise ValueError(f"task {task.get('id')}, {name}: {error}") from error
            labels = [r.label for image in images for r in image.regions if r.label]
            several_note = (
                f"{several_count} tasks have several annotations: "
                "the ground truth or the last one counts"
            )
            prediction_note = (
                f"{plural(prediction_count, 'task has', 'tasks have')} predictions of a model but "
                "no annotations, and the images are unlabeled: submit the predictions in Label "
                "Studio as annotations, and export again"
            )
            names = tuple(dict.fromkeys(labels))
            notes = (several_note,) * bool(several_count)
            notes += (prediction_note,) * bool(prediction_count)
            return Annotations(tuple(images), names, skipped=skipped, notes=notes)
        raise AssertionError


def _whole(task: Any) -> Any:  # noqa: ANN401 - JSON
    """A task of JSON in the form of the whole export, from which JSON-MIN leaves out keys."""
    if "data" in task:
        return task
    results = [
        {**value, "value": value}
        for values in task.values()
        if isinstance(values, list)
        for value in values
        if isinstance(value, dict) and "original_width" in value
    ]
    return {"id": task.get("id"), "data": task, "annotations": [{"result": results}]}


def _image_name(task: Any) -> str:  # noqa: ANN401 - JSON
    """The address of the task's image: the value of `data` that is called so, or looks like one."""
    data = {str(key): value for key, value in task["data"].items() if isinstance(value, str)}
    usual = [data[key] for key in ("image", "img", "image_url", "url", "photo") if key in data]
    like = [text for text in data.values() if text.lower().split("?")[0].endswith(_IMAGE_SUFFIXES)]
    local = [text for text in data.values() if "?d=" in text]
    upload = task.get("file_upload")
    names = [*usual, *like, *local, *([upload] if isinstance(upload, str) else [])]
    if not names:
        raise ValueError(f"task {task.get('id')} names no image")
    return names[0]


def _image(
    name: str, results: Sequence[Any], is_submitted: bool, skipped: Counter[str]
) -> AnnotatedImage:
    size = None
    regions = []
    skipped_count = 0
    labels = {
        result.get("id"): result["value"]["labels"]
        for result in results
        if result.get("type") == "labels" and "labels" in result.get("value", {})
    }
    for position, result in enumerate(results, 1):
        value = result.get("value")
        kind = str(result.get("type", ""))
        if not isinstance(value, dict) or kind in _NO_SHAPES:
            continue
        if result.get("image_rotation"):
            raise ValueError("the image was turned in Label Studio: turn it back there")
        if "original_width" in result:
            size = image_size(result["original_width"], result["original_height"])
        own = (value[key] for key in value if key.endswith("labels"))
        label = next(own, None) or labels.get(result.get("id")) or ()
        area = _area(value, size)
        if isinstance(area, str):
            skipped[area] += 1
            skipped_count += 1
        elif not label:
            skipped["region without a label"] += 1
            skipped_count += 1
        else:
            regions.append(Region(str(label[0]).strip(), area, f"region {position}"))
    return AnnotatedImage(
        name, size, tuple(regions), bool(regions) or (is_submitted and not skipped_count)
    )


def _area(value: Any, size: tuple[int, int] | None) -> Area | str:  # noqa: ANN401 - JSON
    """The area of a region, or what it is instead of an area."""
    if "rle" in value:
        if size is None:
            raise ValueError("it has brush strokes, but no original_width")
        return _Strokes(bytes(value["rle"]), size)
    if "points" in value:
        if value.get("closed") is False:
            return "polyline"
        xs, ys = zip(*value["points"], strict=True) if value["points"] else ((), ())
        if len(xs) < 3:
            return THIN
        return Polygon((ring(xs, ys) / 100,), is_relative=True)
    if "radiusX" in value:
        if size is None:
            raise ValueError("it has an ellipse, but no original_width")
        x, y = number(value["x"]) / 100 * size[0], number(value["y"]) / 100 * size[1]
        radius_x = number(value["radiusX"]) / 100 * size[0]
        radius_y = number(value["radiusY"]) / 100 * size[1]
        if min(radius_x, radius_y) <= 0:
            return "ellipse without an area"
        return Ellipse(x, y, radius_x, radius_y, math.radians(number(value.get("rotation", 0))))
    if "width" in value and "height" in value:
        return "box" if "keypointlabels" not in value else "point"
    return "point" if "x" in value else "region without a shape"


class _Strokes(NamedTuple):
    """The code of brush strokes, and the size of its image."""

    code: bytes
    size: tuple[int, int]

    def cover(self, width: int, height: int) -> Bitmap:
        """The pixels of the strokes."""
        return Bitmap(0, 0, decode_brush(self.code, *self.size)).cover(width, height)
