"""Finds the annotation files of a data folder, and reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from semiseg.data.findings import Finding, note
from semiseg.data.formats.annotations import AnnotationFormat, FileFormat
from semiseg.data.formats.coco import CocoFormat
from semiseg.data.formats.cvat import CvatFormat, read_start
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.formats.json_head import JsonHead, read_head
from semiseg.data.formats.labelstudio import BRUSH_STEM, LabelStudioFormat
from semiseg.data.formats.supervisely import SuperviselyFormat
from semiseg.data.formats.unread import UNREAD_SUFFIXES, Clue, find_unread
from semiseg.data.formats.via import ViaCsvFormat, ViaFormat
from semiseg.data.layouts.annotation_source import Source, list_files
from semiseg.data.layouts.families import data_folders
from semiseg.data.layouts.image_index import ImageIndex, folder_split, split_word
from semiseg.data.layouts.yolo_tree import YOLO, YoloTree
from semiseg.data.tree import Tree

FILE_FORMATS: tuple[FileFormat, ...] = (
    CocoFormat(),
    CvatFormat(),
    ViaFormat(),
    ViaCsvFormat(),
    LabelStudioFormat(),
)
SUPERVISELY = SuperviselyFormat()
ANNOTATION_FORMATS: tuple[AnnotationFormat, ...] = (*FILE_FORMATS, YOLO, SUPERVISELY)
"""The annotation formats that are read."""
_FEW = 20  # annotation files in a folder; more of them belong to one image each
_SAMPLED = 3  # of many files in a folder
_COCO_OTHERS = ("person_keypoints", "keypoints", "stuff_", "captions", "panoptic", "image_info")


class AnnotationFiles:
    """The annotation files of a data folder, by their names and their keys.

    Args:
        tree: the data folder.
        formats: the formats that count.
    """

    def __init__(
        self, tree: Tree, formats: Sequence[AnnotationFormat] = ANNOTATION_FORMATS
    ) -> None:
        self.tree = tree
        self.index = ImageIndex(tree)
        self.formats = formats
        self.heads: dict[Path, JsonHead | None] = {}
        self.files = self._recognized()
        self.yolo = YoloTree(tree, self.index) if YOLO in formats else None
        self.meta = self._meta() if SUPERVISELY in formats else None

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.files or self.yolo or self.meta)

    def sources(self) -> list[Source]:
        """Read all of them; those of `train` come first.

        Raises:
            DataError: a file cannot be read.
        """
        sources = [
            Source(form, file, (file,), form.read(file), self._split_of(file))
            for file, form in self.files.items()
        ]
        if self.yolo:
            sources += self.yolo.read()
        if self.meta:
            sources.append(self._read_supervisely(self.meta))
        order = ["train", "", "val", "test"]
        return sorted(sources, key=lambda source: order.index(source.split))

    @cached_property
    def lonely_brush(self) -> Path | None:
        """A mask of Label Studio whose name tells the task, where no file tells the image."""
        if self.files:
            return None
        return next((file for file in self.brushes if file.suffix.lower() == ".png"), None)

    @cached_property
    def brushes(self) -> list[Path]:
        """The masks of Label Studio whose names tell the task."""
        return [
            folder / name
            for folder in data_folders(self.tree)
            for name in self.tree.entries(folder)
            if name.startswith("task-") and BRUSH_STEM.fullmatch(name.rpartition(".")[0])
        ]

    @cached_property
    def _image_names(self) -> set[str]:
        """The names of images, with their suffixes and without."""
        names = [name for folder in data_folders(self.tree) for name in self.tree.entries(folder)]
        images = [name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
        return {*images, *(name.rpartition(".")[0] for name in images)}

    def unread(self) -> Finding | None:
        """The error that names annotations which are not read, with the export that works."""
        for file in self._candidates(UNREAD_SUFFIXES):
            head = self.heads.get(file)
            if head is None and file.suffix.lower() in (".json", ".geojson"):
                head = read_head(file)
            form = find_unread(Clue(file, head, read_start(file)))
            if form is not None:
                message = f"{file} seems to be {form.title}, which is not read"
                return note(message, form.remedy, "error")
        return None

    def _split_of(self, file: Path) -> str:
        return split_word(file.stem) or folder_split(file, self.tree.root)

    def _list(self, *suffixes: str) -> list[Path]:
        return list_files(self.tree, *suffixes)

    def _recognized(self) -> dict[Path, FileFormat]:
        """The files that list many images, with their formats."""
        formats = [form for form in self.formats if isinstance(form, FileFormat)]
        recognized: dict[Path, FileFormat] = {}
        for file in self._candidates({form.suffix for form in formats}):
            head = read_head(file) if file.suffix.lower() == ".json" else None
            self.heads[file] = head
            fitting = [form for form in formats if form.suffix == file.suffix.lower()]
            form = next((form for form in fitting if form.recognizes(file, head)), None)
            if form is not None:
                recognized[file] = form
        instances = {file.parent for file in recognized if file.name.startswith("instances_")}
        return {
            file: form
            for file, form in recognized.items()
            if file.parent not in instances or not file.name.startswith(_COCO_OTHERS)
        }

    def _candidates(self, suffixes: Iterable[str]) -> list[Path]:
        """The files that may list many images; of many in one folder, the first ones."""
        by_folder: defaultdict[Path, list[Path]] = defaultdict(list)
        for file in self._list(*suffixes):
            by_folder[file.parent].append(file)
        candidates: list[Path] = []
        for files in by_folder.values():
            few = len(files) <= _FEW
            alone = [] if few else [x for x in files if x.stem not in self._image_names]
            if len(alone) > _FEW:
                alone = alone[:_SAMPLED]
            candidates += files if few else alone or files[:_SAMPLED]
        return candidates

    def _meta(self) -> Path | None:
        """Supervisely's `meta.json`."""
        for file in self._list("meta.json"):
            head = read_head(file) if file.name == "meta.json" else None
            if head and "title" in head.inner.get("classes", ()):
                return file
        return None

    def _read_supervisely(self, meta: Path) -> Source:
        pairs = []
        for image in self.index.images:
            file = image.parent.parent / "ann" / f"{image.name}.json"
            if self.tree.is_file(file):
                pairs.append((file, image.relative_to(self.tree.root).as_posix()))
        files = (meta, *(file for file, _ in pairs))
        return Source(SUPERVISELY, meta, files, SUPERVISELY.read(meta, pairs))
