"""Finds the annotation files of a data folder, and reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from semiseg.core.errors import DataError
from semiseg.core.files import read_text
from semiseg.data.families import data_folders
from semiseg.data.findings import Finding, note
from semiseg.data.formats import yolo
from semiseg.data.formats.annotations import AnnotationFormat, Annotations, FileFormat
from semiseg.data.formats.coco import CocoFormat
from semiseg.data.formats.cvat import CvatFormat, read_start
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.formats.json_head import JsonHead, read_head
from semiseg.data.formats.labelstudio import BRUSH_STEM, LabelStudioFormat
from semiseg.data.formats.supervisely import SuperviselyFormat
from semiseg.data.formats.unread import UNREAD_SUFFIXES, Clue, find_unread
from semiseg.data.formats.via import ViaCsvFormat, ViaFormat
from semiseg.data.formats.yolo import YoloConfig, YoloFormat
from semiseg.data.image_index import ImageIndex, folder_split, path_parts, split_word
from semiseg.data.tree import Tree

FILE_FORMATS: tuple[FileFormat, ...] = (
    CocoFormat(),
    CvatFormat(),
    ViaFormat(),
    ViaCsvFormat(),
    LabelStudioFormat(),
)
YOLO, SUPERVISELY = YoloFormat(), SuperviselyFormat()
ANNOTATION_FORMATS: tuple[AnnotationFormat, ...] = (*FILE_FORMATS, YOLO, SUPERVISELY)
"""The annotation formats that are read."""
_FEW = 20  # annotation files in a folder; more of them belong to one image each
_SAMPLED = 3  # of many files in a folder
_LABELS = 8  # label files that are looked into
_NAMES = (
    "classes.txt",
    "obj.names",
    "names.txt",
    "labels.txt",
    "_darknet.labels",
    "class_names.txt",
)
_COCO_OTHERS = ("person_keypoints", "keypoints", "stuff_", "captions", "panoptic", "image_info")


class Source(NamedTuple):
    """Annotations that were read.

    Attributes:
        format: their format.
        file: the file that messages name.
        files: all files that were read.
        content: what they say.
        split: the split that the name of the file or of its folder says; empty if none does.
    """

    format: AnnotationFormat
    file: Path
    files: tuple[Path, ...]
    content: Annotations
    split: str = ""


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
        self._broken: DataError | None = None  # is raised when the files are read
        self.configs = self._configs() if YOLO in formats else []
        self.labels = self._labels() if YOLO in formats else {}
        self.meta = self._meta() if SUPERVISELY in formats else None

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.files or self.labels or self.meta)

    def sources(self) -> list[Source]:
        """Read all of them; those of `train` come first.

        Raises:
            DataError: a file cannot be read.
        """
        sources = [
            Source(form, file, (file,), form.read(file), self._split_of(file))
            for file, form in self.files.items()
        ]
        if self.labels:
            if self._broken is not None:
                raise self._broken
            sources.append(self._read_yolo())
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
        root = self.tree.root
        return self.tree.without_results(self.tree.files(root, suffixes), root)

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

    def _configs(self) -> list[YoloConfig]:
        """The `data.yaml` files, those nearest to the root first."""
        files = sorted(self._list(".yaml", ".yml"), key=lambda file: (len(file.parts), file))
        try:
            return [config for file in files[:_FEW] if (config := yolo.read_config(file))]
        except DataError as error:
            self._broken = error
            return []

    def _labels(self) -> dict[Path, Path]:
        """YOLO's label files by the images that they belong to; empty if there are none."""
        texts = self._list(yolo.SUFFIX)
        by_stem: defaultdict[str, list[Path]] = defaultdict(list)
        for file in texts:
            by_stem[file.stem].append(file)
        labels: dict[Path, Path] = {}
        for image in self.index.images if by_stem else ():
            files = by_stem.get(image.stem)
            if files:
                labels[image] = files[0] if len(files) == 1 else _nearest(image, files)
        judgments = (yolo.looks_like_labels(file) for file in labels.values())
        clear = [judgment for judgment in judgments if judgment is not None][:_LABELS]
        return labels if any(clear) or (self.configs and not clear) else {}

    def _read_yolo(self) -> Source:
        root = self.tree.root
        config = self.configs[0] if self.configs else None
        names_file = next((f for f in self._list(*_NAMES) if f.name in _NAMES), None)
        names = config.names if config else yolo.read_names(names_file) if names_file else {}
        source = config.file if config else names_file
        splits = self._yolo_splits(config) if config else {}
        if not splits:
            splits = dict.fromkeys(self.index.images, "")
        pairs = [
            (image.relative_to(root).as_posix(), self.labels.get(image), split)
            for image, split in splits.items()
        ]
        first = next(iter(self.labels.values()))
        content = YOLO.read(pairs, names, source or first)
        files = [*self.labels.values(), *([source] if source else [])]
        return Source(YOLO, source or first.parent, tuple(files), content)

    def _yolo_splits(self, config: YoloConfig) -> dict[Path, str]:
        """The images that a `data.yaml` names, with their splits.

        Raises:
            DataError: it names a folder or a list that is not there.
        """
        images: dict[Path, str] = {}
        for split, entries in config.splits.items():
            for entry in entries:
                place = self._yolo_place(config, entry)
                if place is None and split == "train":
                    raise DataError(
                        f"{config.file} names {entry} as {split}, which is no folder of images "
                        f"below {self.tree.root}.",
                        f"Correct the line `{split}:` there, for example `{split}: images/train`.",
                    )
                for image in self._yolo_images(config, place) if place else ():
                    images.setdefault(image, split)
        return images

    def _yolo_place(self, config: YoloConfig, entry: str) -> Path | None:
        """The folder or the list that a `data.yaml` names, on this computer."""
        root = self.tree.root
        above = [folder for folder in (config.file.parent, root) if folder.is_relative_to(root)]
        for parts in (path_parts(f"{config.folder}/{entry}"), path_parts(entry)):
            for start in range(len(parts)):
                for folder in dict.fromkeys(above):
                    place = folder.joinpath(*parts[start:])
                    if self.tree.is_folder(place) or self.tree.is_file(place):
                        return place
        return config.file.parent if entry.strip("./") == "" else None

    def _yolo_images(self, config: YoloConfig, place: Path) -> list[Path]:
        """The images of a folder, or those that a list names.

        Raises:
            DataError: the list cannot be read, or names an image that is not there.
        """
        if self.tree.is_folder(place):
            return [image for image in self.index.images if image.is_relative_to(place)]
        try:
            lines = [line.strip() for line in read_text(place).splitlines() if line.strip()]
        except (OSError, ValueError) as error:
            raise DataError(f"{place} cannot be read as a list of images ({error}).") from error
        places = list(dict.fromkeys((place.parent, config.file.parent, self.tree.root)))
        images = []
        for line in lines:
            image = self.index.find(line, places, place)
            if image is None:
                raise DataError(
                    f"{place} names {line}, which does not lie below {self.tree.root}.",
                    "Copy the image there, or remove the line.",
                )
            images.append(image)
        return images

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


def _nearest(image: Path, files: Sequence[Path]) -> Path:
    """The label file in the folders that are most like those of the image."""
    folders = set(image.parent.parts)

    def rank(file: Path) -> tuple[int, int]:
        return len(folders & set(file.parent.parts)), -len(file.parts)

    return max(files, key=rank)
