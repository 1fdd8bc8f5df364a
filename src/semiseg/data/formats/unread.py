"""Annotation formats that semiseg recognizes but does not read, with the export that it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from semiseg.data.formats.json_head import JsonHead

_BOXES = "Boxes are no masks: draw polygons or masks, and export them as COCO or as PNG masks."


class Clue(NamedTuple):
    """What semiseg knows about a file before it reads the file.

    Attributes:
        file: the file.
        head: its keys if it is JSON.
        start: the beginning of its text.
    """

    file: Path
    head: JsonHead | None
    start: str

    def has(self, *keys: str) -> bool:
        """Whether the file is JSON with these keys at its top."""
        return self.head is not None and self.head.keys >= set(keys)

    def below(self, key: str, *keys: str) -> bool:
        """Whether the file is JSON with these keys below a key at its top."""
        return self.head is not None and self.head.inner.get(key, frozenset()) >= set(keys)


class UnreadFormat(NamedTuple):
    """A format that semiseg recognizes, with the advice for its users.

    Attributes:
        title: what people call the format.
        remedy: the export that works, as a sentence.
        suffixes: the suffixes of its files, in small letters.
        fits: whether a file has this format.
    """

    title: str
    remedy: str
    suffixes: tuple[str, ...]
    fits: Callable[[Clue], bool]


def _always(_clue: Clue) -> bool:
    return True


UNREAD_FORMATS: tuple[UnreadFormat, ...] = (
    UnreadFormat(
        "Pascal VOC's boxes (XML)",
        _BOXES,
        (".xml",),
        lambda c: "<annotation" in c.start and "<bndbox>" in c.start,
    ),
    UnreadFormat(
        "LabelMe's old XML",
        'Import it into CVAT as "LabelMe 3.0", and export "CVAT for images 1.1".',
        (".xml",),
        lambda c: "<annotation>" in c.start and "<polygon>" in c.start,
    ),
    UnreadFormat(
        "Aperio ImageScope's XML",
        "Draw its regions as masks, for example in QuPath: export labeled images (PNG).",
        (".xml",),
        lambda c: "<Annotations" in c.start and "<Region" in c.start,
    ),
    UnreadFormat(
        "Cityscapes' polygons (JSON)",
        "Draw them as masks of class ids with the data set's own scripts, such as "
        "csCreateTrainIdLabelImgs of cityscapesscripts.",
        (".json",),
        lambda c: c.has("imgHeight", "imgWidth", "objects"),
    ),
    UnreadFormat(
        "CreateML's boxes (JSON)",
        _BOXES,
        (".json",),
        lambda c: c.has("image", "annotations") and c.below("annotations", "label", "coordinates"),
    ),
    UnreadFormat(
        "Datumaro's own JSON",
        "Export COCO from the same tool, or convert it: datum convert -if datumaro -f coco.",
        (".json",),
        lambda c: c.has("categories", "items"),
    ),
    UnreadFormat(
        "V7 Darwin's JSON",
        "Export COCO from V7, or semantic masks as PNG.",
        (".json",),
        lambda c: c.has("annotations", "item") or (c.has("annotations", "image", "dataset")),
    ),
    UnreadFormat(
        "SuperAnnotate's JSON",
        "Export COCO from SuperAnnotate.",
        (".json",),
        lambda c: c.has("metadata", "instances"),
    ),
    UnreadFormat(
        "Labelbox's JSON",
        "Convert it to COCO with Labelbox's library, or download the masks as PNG.",
        (".json", ".ndjson", ".jsonl"),
        lambda c: c.has("data_row") or c.has("Labeled Data") or '"data_row"' in c.start,
    ),
    UnreadFormat(
        "ISAT's JSON",
        "Convert it to COCO with ISAT (Tools > Converter).",
        (".json",),
        lambda c: c.has("info", "objects") and c.below("info", "description", "folder"),
    ),
    UnreadFormat(
        "EISeg's JSON",
        "Save COCO or pseudo-colored PNG masks in EISeg.",
        (".json",),
        lambda c: c.has("name", "labelIdx", "points"),
    ),
    UnreadFormat(
        "Scale's JSON",
        "Download the masks as PNG, or convert the tasks to COCO.",
        (".json",),
        lambda c: c.has("task_id", "response"),
    ),
    UnreadFormat(
        "VIA 3's JSON",
        "Export the annotations as COCO, or draw them in VIA 2 and export JSON.",
        (".json",),
        lambda c: c.has("project", "config", "attribute", "file", "metadata", "view"),
    ),
    UnreadFormat(
        "COCO's panoptic JSON",
        "Use COCO's instances (instances_*.json), or PNG masks of class ids.",
        (".json",),
        lambda c: c.below("annotations", "segments_info"),
    ),
    UnreadFormat(
        "COCO's captions",
        "Use COCO's instances (instances_*.json).",
        (".json",),
        lambda c: c.below("annotations", "caption"),
    ),
    UnreadFormat(
        "GeoJSON, as QuPath and maps have it",
        "In QuPath export the annotations as labeled images (PNG); turn a map into a raster of "
        "class ids with gdal_rasterize or QGIS.",
        (".geojson", ".json"),
        lambda c: c.has("type", "features") or '"Feature"' in c.start,
    ),
    UnreadFormat(
        "ImageJ's regions of interest",
        "In ImageJ draw them into a mask (Edit > Selection > Create Mask) and save it as PNG.",
        (".roi", "roiset.zip"),
        _always,
    ),
    UnreadFormat(
        "TensorFlow's records",
        "Export COCO, or images and PNG masks.",
        (".tfrecord", ".tfrecords"),
        _always,
    ),
    UnreadFormat(
        "a table of boxes (CSV)",
        _BOXES,
        (".csv",),
        lambda c: "xmin" in c.start.partition("\n")[0].lower(),
    ),
    UnreadFormat(
        "Label Studio's table",
        "Export JSON or COCO from Label Studio.",
        (".csv", ".tsv"),
        lambda c: "annotation_id" in c.start and "lead_time" in c.start,
    ),
    UnreadFormat(
        "KITTI's boxes",
        _BOXES,
        (".txt",),
        lambda c: len(c.start.partition("\n")[0].split()) in (15, 16) and c.start[:1].isalpha(),
    ),
)
"""The formats that a message names where a folder holds nothing that semiseg reads."""
UNREAD_SUFFIXES = tuple(dict.fromkeys(s for form in UNREAD_FORMATS for s in form.suffixes))


def find_unread(clue: Clue) -> UnreadFormat | None:
    """The format of a file that semiseg does not read; None if the format is unknown."""
    name = clue.file.name.lower()
    fitting = (form for form in UNREAD_FORMATS if name.endswith(form.suffixes))
    return next((form for form in fitting if form.fits(clue)), None)
