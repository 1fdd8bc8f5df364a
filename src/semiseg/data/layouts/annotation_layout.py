"""Layouts in which annotation files say where the objects of images are: COCO, YOLO, CVAT, VIA."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from PIL import Image

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.text import plural
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.classes.class_sources import ClassFile
from semiseg.data.classes.classes_file import read_yaml
from semiseg.data.drawn import draw_masks
from semiseg.data.findings import Finding, note, on_files
from semiseg.data.formats.annotations import BACKGROUND_NAMES, AnnotationFormat
from semiseg.data.formats.images import image_size
from semiseg.data.formats.json_head import read_head
from semiseg.data.formats.labelme import IGNORE, LABELME_SUFFIX
from semiseg.data.formats.labelstudio import BRUSH_STEM
from semiseg.data.formats.masks import MAX_CLASSES, Classes, default_color
from semiseg.data.formats.regions import draw
from semiseg.data.layouts.annotated_images import AnnotatedImages, Entry
from semiseg.data.layouts.annotation_source import Source
from semiseg.data.layouts.annotation_sources import ANNOTATION_FORMATS, AnnotationFiles
from semiseg.data.layouts.families import find_families
from semiseg.data.layouts.folders import FolderSplits
from semiseg.data.layouts.layout import Layout, Listing
from semiseg.data.layouts.lists import listed_samples
from semiseg.data.pairing.pairs import duplicates, index
from semiseg.data.tree import Tree, split_lists

_SAMPLED = 5  # of many JSON files, which are of one kind
_BOXES = (
    "A box says where an object is, but not which pixels belong to it. Draw polygons or masks and "
    "export again; images without any are unlabeled."
)


class AnnotationLayout(Layout):
    """Annotation files hold the outlines of the objects.

    ```
    DATA/
      annotations.json   COCO, VIA, Label Studio; or annotations.xml of CVAT, data.yaml of YOLO
      images/*.jpg       anywhere below DATA; the files name them
    ```

    Class 0 is the background: the pixels outside of all areas. The classes of the file follow in
    its order. The names of the files, of their folders or of the images' folders give the split
    (`train`, `val`, `valid`, `test`); otherwise all images are `train`. Images in the same folders
    that no file lists are unlabeled. semiseg draws the masks once, into the cache
    (`SEMISEG_CACHE`).

    Args:
        tree: the data folder.
        formats: the formats that count.
    """

    name = "annotations"
    title = "Annotation files beside the images"
    names_classes = True

    def __init__(
        self, tree: Tree, formats: Sequence[AnnotationFormat] = ANNOTATION_FORMATS
    ) -> None:
        super().__init__(tree)
        self.files = AnnotationFiles(tree, formats)
        self._outlines: Mapping[Path, Mapping[int, int]] = {}

    @classmethod
    def recognizes(cls, tree: Tree) -> bool:
        """By annotation files, unless there are masks too."""
        files = AnnotationFiles(tree)
        return bool(files.lonely_brush or (files and not has_masks(tree)))

    def read(self, split: str) -> Listing:
        """The images of the split with the masks that are drawn for them.

        Raises:
            DataError: a file cannot be read, or names an image that is not there.
        """
        if self.files.lonely_brush is not None:
            raise DataError(
                f"{self.files.lonely_brush} is a mask of Label Studio: its name tells the task, "
                "and not the image.",
                "Export JSON from Label Studio too and put it into the data folder, since it tells "
                "the image of each task; or export COCO.",
            )
        entries = [entry for entry in self._images.entries if entry.split == split]
        masks = self._masks
        images = {entry.image: masks.get(entry.image) for entry in entries}
        unlisted = [image for image, place in self._images.unlisted.items() if place == split]
        images |= dict.fromkeys(unlisted)
        home = common_folder(list(images), self.tree.root)
        by_name, repeated = index(sorted(images), home)
        samples = [Sample(name, path, images[path]) for name, path in by_name.items()]
        findings = duplicates(self.tree.root, repeated)
        if split == "train":
            findings += self._notes(entries, unlisted)
        sources = [file for source in self._sources for file in source.files]
        sources += [*self.files.brushes, *self._images.lists]
        return Listing(samples, findings, self._mask_remedy(), sources)

    def background_remedy(self, masks: Sequence[Path]) -> str:
        """What the format of the annotations demands."""
        return self._sources[0].format.background_remedy

    def outlines(self) -> Mapping[Path, Mapping[int, int]]:
        """The number of regions of each class, by the mask; empty before the masks are drawn."""
        return self._outlines

    def class_files(self, root: Path, masks: Sequence[Path]) -> list[ClassFile]:
        """The user's `classes.yaml`; other files of names belong to the annotations."""
        return [file for file in super().class_files(root, masks) if file.source.read is read_yaml]

    def classes(self, masks: Sequence[Path]) -> tuple[Classes, str]:
        """The background and the classes of the files.

        Raises:
            DataError: there are none, or too many.
        """
        names = ("background", *self._names)
        files = ", ".join(self._name(source.file) for source in self._sources[:3])
        if not 2 <= len(names) <= MAX_CLASSES:
            raise DataError(
                f"{files} has {plural(len(names) - 1, 'class', 'classes')}; 1 to {MAX_CLASSES - 1} "
                "can be learned.",
                "Export the annotations again, with their classes.",
            )
        colors_in_files = {
            name: c for s in self._sources for name, c in s.content.colors.items() if c
        }
        colors = tuple(colors_in_files.get(name, default_color(i)) for i, name in enumerate(names))
        title = self._sources[0].format.title
        classes = Classes(names, colors, "ids", tuple(range(len(names))))
        class_list = ", ".join(names[1:20])
        outside = "pixels outside of all areas are background"
        return classes, f"{title} ({files}) has the classes {class_list}; {outside}"

    @cached_property
    def _sources(self) -> list[Source]:
        """The annotations, at least one.

        Raises:
            DataError: a file cannot be read, or there is none.
        """
        sources = self.files.sources()
        if not sources:
            formats = ", ".join(form.title for form in self.files.formats)
            raise DataError(
                f"{self.tree.root} holds no annotation file ({formats}).",
                "Export the annotations into this folder.",
            )
        return sources

    @cached_property
    def _names(self) -> list[str]:
        """The names of the classes, without the background and groups of other classes."""
        contents = [source.content for source in self._sources]
        names = dict.fromkeys(name for content in contents for name in content.names)
        groups = {
            name
            for name in names
            if all(name in content.groups for content in contents if name in content.names)
        }
        special = (*BACKGROUND_NAMES, IGNORE)
        return [name for name in names if name not in groups and name.lower() not in special]

    @cached_property
    def _images(self) -> AnnotatedImages:
        return AnnotatedImages(self.tree, self.files.index, self._sources)

    @cached_property
    def _masks(self) -> Mapping[Path, Path]:
        """The masks of the labeled images.

        Raises:
            DataError: they cannot be drawn.
        """
        root = self.tree.root
        labeled = [entry for entry in self._images.entries if entry.annotated.is_labeled]
        if not labeled:
            return {}
        files = dict.fromkeys(file for source in self._sources for file in source.files)
        values: dict[str | None, int] = {None: IGNORE_INDEX}
        values |= {name: i for i, name in enumerate(self._names, 1)}
        kind = self._sources[0].format.name

        def path_of(image: Path, folder: Path) -> Path:
            return folder / image.relative_to(root).with_suffix(".png")

        def draw_all(folder: Path) -> None:
            for entry in labeled:
                path = path_of(entry.image, folder)
                path.parent.mkdir(parents=True, exist_ok=True)
                _draw(entry, values).save(path)

        detail = "\n".join([*self._names, *(str(entry.image) for entry in labeled)])
        folder = draw_masks(root, list(files), kind, draw_all, detail)
        masks = {entry.image: path_of(entry.image, folder) for entry in labeled}
        self._outlines = {
            masks[entry.image]: Counter(values.get(r.label, 0) for r in entry.annotated.regions)
            for entry in labeled
        }
        return masks

    def _notes(self, entries: Sequence[Entry], unlisted: Sequence[Path]) -> list[Finding]:
        """What is skipped, and which images are unlabeled."""
        findings: list[Finding] = []
        skip_counts: Counter[str] = Counter()
        for source in self._sources:
            skip_counts += Counter(source.content.skipped)
        files = {self._name(s.file): "" for s in self._sources if s.content.skipped}
        counts = ", ".join(
            plural(count, kind, _several(kind)) for kind, count in skip_counts.most_common()
        )
        message = f"Annotation files with shapes that cover no area and are skipped ({counts})"
        findings += on_files("skipped-shape", "warning", files, message, _BOXES)
        boxed = [entry for entry in entries if not entry.annotated.is_labeled]
        if boxed:
            images = plural(len(boxed), "image has no areas and is", "images have no areas and are")
            findings.append(note(f"{images} unlabeled (the first is {self._name(boxed[0].image)})"))
        if unlisted:
            images = plural(len(unlisted), "image is", "images are")
            first = self._name(unlisted[0])
            message = f"{images} listed by no annotation file and unlabeled (the first is {first})"
            findings.append(note(message))
        if self._images.lists:
            names = ", ".join(map(self._name, self._images.lists))
            findings.append(note(f"The lists say the split of each image: {names}"))
        for source in self._sources:
            findings += [*source.findings, *map(note, source.content.notes)]
        return findings

    def _mask_remedy(self) -> str:
        file, title = self._name(self._sources[0].file), self._sources[0].format.title
        return f"{file} ({title}) has no polygons and no masks. {_BOXES}"

    def _name(self, path: Path) -> str:
        return path.relative_to(self.tree.root).as_posix()


def unread_annotations(tree: Tree) -> Finding | None:
    """The error for annotations of a format that is not read; None if there are none."""
    return AnnotationFiles(tree, ()).unread()


def has_masks(tree: Tree) -> bool:
    """Whether images have masks by their names, in folders or in lists."""
    for file in split_lists(tree).values():
        try:
            if any(sample.mask for sample in listed_samples(tree, file)):
                return True
        except DataError:  # a list of another kind, such as YOLO's
            continue
    choice = FolderSplits(tree, find_families(tree)).choice("train")
    if choice.problem is not None:
        return True
    labeled = [sample for reading in choice.readings for sample in reading.labeled]
    masks = [sample.mask for sample in labeled if sample.mask is not None]
    shapes = [mask for mask in masks if mask.suffix.lower() == LABELME_SUFFIX]
    heads = map(read_head, shapes[:_SAMPLED])
    if any(head is not None and "shapes" in head.keys for head in heads):
        return True
    others = (mask for mask in masks if mask.suffix.lower() != LABELME_SUFFIX)
    return any(not BRUSH_STEM.fullmatch(mask.stem) for mask in others)


def _draw(entry: Entry, values: Mapping[str | None, int]) -> Image.Image:
    """The mask of one image.

    Raises:
        DataError: an area cannot be drawn.
        ConfigError: an optional package is missing.
    """
    annotated, file = entry.annotated, entry.source.file
    table = {region.label: _value(region.label, values) for region in annotated.regions}
    size = annotated.size or image_size(entry.image)
    try:
        return Image.fromarray(draw(annotated.regions, size, table, entry.source.format.by_area))
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error
    except ValueError as error:
        raise DataError(
            f"{file}, image {annotated.name}: {error}.", "Correct it, and export again."
        ) from error


def _value(label: str | None, values: Mapping[str | None, int]) -> int:
    if label is not None and label.lower() == IGNORE:
        return IGNORE_INDEX
    return values.get(label, 0)  # the other labels are names of the background


def common_folder(images: Sequence[Path], root: Path) -> Path:
    """The folder that holds all images."""
    return Path(os.path.commonpath([image.parent for image in images])) if images else root


def _several(kind: str) -> str:
    words = kind.split(" ", 1)
    nouns = words[0] + ("es" if words[0].endswith("x") else "s")
    return " ".join([nouns, *words[1:]])
