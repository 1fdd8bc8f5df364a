"""Masks as files that labeling tools import: COCO, CVAT and Label Studio.

Each file holds all images. LabelMe has one file for each image, see `data.formats.outlines`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

# The module builds documents here; it parses none.
from xml.etree import ElementTree  # nosec B405

import numpy as np
from numpy.typing import NDArray

from semiseg.config.tool_formats import ToolFormat
from semiseg.core.files import write_bytes, write_json, write_text
from semiseg.data.classes.tool_labels import background_of, tool_labels
from semiseg.data.formats.codes import Color
from semiseg.data.formats.connected_regions import connected_regions
from semiseg.data.formats.masks import Classes
from semiseg.data.formats.run_length import bitmap_to_runs, encode_brush, pixels_to_runs
from semiseg.suggestion.mask_kinds import TOOL_FILES


class ToolFile(ABC):
    """A file of a labeling tool that is written from masks.

    Attributes:
        kind: what it holds; `TOOL_FILES` names the file.
        labels_file: the name of the file that tells the tool its labels.

    Args:
        classes: the classes of the masks.
    """

    kind: ClassVar[ToolFormat]
    labels_file: ClassVar[str]

    def __init__(self, classes: Classes) -> None:
        self.background = background_of(classes)
        self.labels = tool_labels(classes)
        self.numbers = {label: number for number, label in enumerate(self.labels, 1)}

    @abstractmethod
    def add(self, name: str, mask: NDArray[np.uint8], score: float) -> None:
        """Add an image.

        Args:
            name: the path of the image below the folder of the images, with `/`.
            mask: `(H, W)` class indices, 255 where ignored.
            score: how sure the model is of the mask, from 0 to 1.
        """

    @abstractmethod
    def write(self, folder: Path, labels_folder: Path) -> None:
        """Write the file with all images, and that of the labels.

        Args:
            folder: where to write; the images lie below its folder `images`.
            labels_folder: where to write the file of the labels.

        Raises:
            OSError: a file cannot be written.
        """

    def label_list(self) -> list[dict[str, object]]:
        """The names and colors of the labels."""
        return [{"name": name, "color": _hex(color)} for name, color in self.labels.values()]


class CocoFile(ToolFile):
    """COCO's JSON: each region is an annotation with a run-length code, which may have holes."""

    kind = "coco"
    labels_file = "labels.json"

    def __init__(self, classes: Classes) -> None:
        super().__init__(classes)
        self._images: list[dict[str, object]] = []
        self._annotations: list[dict[str, object]] = []

    def add(self, name: str, mask: NDArray[np.uint8], score: float) -> None:
        """Add an image."""
        height, width = mask.shape
        image = len(self._images) + 1
        self._images.append({"id": image, "file_name": name, "width": width, "height": height})
        for region in connected_regions(mask, self.background):
            left, top, inside = region.area
            runs = bitmap_to_runs(region.area, width, height)
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image,
                    "category_id": self.numbers[region.label],
                    "segmentation": {"size": [height, width], "counts": runs},
                    "area": int(inside.sum()),
                    "bbox": [left, top, inside.shape[1], inside.shape[0]],
                    "iscrowd": 0,
                }
            )

    def write(self, folder: Path, labels_folder: Path) -> None:
        """Write the file with all images, and that of the labels."""
        categories = [
            {"id": self.numbers[label], "name": name, "supercategory": ""}
            for label, (name, _) in self.labels.items()
        ]
        content = {
            "info": {"description": "Masks of a model, written by semiseg"},
            "images": self._images,
            "annotations": self._annotations,
            "categories": categories,
        }
        write_text(folder / TOOL_FILES[self.kind], _compact(content))
        write_json(labels_folder / self.labels_file, self.label_list())


class CvatFile(ToolFile):
    """CVAT's XML of images, version 1.1: each region is a mask, which may have holes."""

    kind = "cvat"
    labels_file = "labels.json"

    def __init__(self, classes: Classes) -> None:
        super().__init__(classes)
        self._root = ElementTree.Element("annotations")
        ElementTree.SubElement(self._root, "version").text = "1.1"
        task = ElementTree.SubElement(ElementTree.SubElement(self._root, "meta"), "task")
        labels = ElementTree.SubElement(task, "labels")
        for name, color in self.labels.values():
            label = ElementTree.SubElement(labels, "label")
            ElementTree.SubElement(label, "name").text = name
            ElementTree.SubElement(label, "color").text = _hex(color)
            ElementTree.SubElement(label, "type").text = "any"
            ElementTree.SubElement(label, "attributes")

    def add(self, name: str, mask: NDArray[np.uint8], score: float) -> None:
        """Add an image."""
        height, width = mask.shape
        number = len(self._root.findall("image"))
        values = {"id": number, "name": name, "width": width, "height": height}
        image = ElementTree.SubElement(self._root, "image", _texts(values))
        for region in connected_regions(mask, self.background):
            left, top, inside = region.area
            place = {"left": left, "top": top, "width": inside.shape[1], "height": inside.shape[0]}
            values = {
                "label": self.labels[region.label][0],
                "source": "file",
                "occluded": 0,
                "rle": ", ".join(map(str, pixels_to_runs(inside))),
                **place,
                "z_order": 0,
            }
            ElementTree.SubElement(image, "mask", _texts(values))

    def write(self, folder: Path, labels_folder: Path) -> None:
        """Write the file with all images, and that of the labels."""
        ElementTree.indent(self._root)
        text: bytes = ElementTree.tostring(self._root, "utf-8", xml_declaration=True)
        write_bytes(folder / TOOL_FILES[self.kind], text)
        labels = [{**label, "type": "any", "attributes": []} for label in self.label_list()]
        write_json(labels_folder / self.labels_file, labels)


class LabelStudioFile(ToolFile):
    """Label Studio's tasks with predictions: each class is a region of the brush.

    Label Studio gives the images from the folder above `train` (LOCAL_FILES_DOCUMENT_ROOT).
    """

    kind = "label-studio"
    labels_file = "labels.xml"

    def __init__(self, classes: Classes) -> None:
        super().__init__(classes)
        self._tasks: list[dict[str, object]] = []

    def add(self, name: str, mask: NDArray[np.uint8], score: float) -> None:
        """Add an image."""
        height, width = mask.shape
        results = [
            {
                "id": f"semiseg-{len(self._tasks) + 1}-{self.numbers[label]}",
                "type": "brushlabels",
                "from_name": "label",
                "to_name": "image",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {
                    "format": "rle",
                    "rle": list(encode_brush(mask == label)),
                    "brushlabels": [self.labels[label][0]],
                },
            }
            for label in np.unique(mask).tolist()
            if label != self.background
        ]
        prediction = {"model_version": "semiseg", "score": round(score, 4), "result": results}
        address = f"/data/local-files/?d={quote(f'train/images/{name}')}"
        self._tasks.append({"data": {"image": address}, "predictions": [prediction]})

    def write(self, folder: Path, labels_folder: Path) -> None:
        """Write the file with all images, and that of the labels."""
        write_text(folder / TOOL_FILES[self.kind], _compact(self._tasks))
        view = ElementTree.Element("View")
        ElementTree.SubElement(view, "Image", name="image", value="$image", zoom="true")
        brush = ElementTree.SubElement(view, "BrushLabels", name="label", toName="image")
        for name, color in self.labels.values():
            ElementTree.SubElement(brush, "Label", value=name, background=_hex(color))
        ElementTree.indent(view)
        content = ElementTree.tostring(view, "unicode") + "\n"
        write_text(labels_folder / self.labels_file, content)


TOOL_FILE_TYPES: dict[str, type[ToolFile]] = {
    form.kind: form for form in (CocoFile, CvatFile, LabelStudioFile)
}


def _compact(content: object) -> str:
    """JSON in one line, since it holds long lists of numbers."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _texts(values: dict[str, object]) -> dict[str, str]:
    """The values of attributes of XML."""
    return {key: str(value) for key, value in values.items()}


def _hex(color: Color) -> str:
    """A color as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*color)
