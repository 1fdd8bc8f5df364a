"""Where YOLO's label files and images lie in a data folder, and which belong together."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from semiseg.core.errors import DataError
from semiseg.core.files import read_text
from semiseg.data.findings import Finding, note, on_files
from semiseg.data.formats.yolo import (
    SUFFIX,
    YoloConfig,
    YoloFormat,
    holds_numbers,
    looks_like_labels,
    read_config,
    read_names,
)
from semiseg.data.layouts.annotation_source import Source, list_files
from semiseg.data.layouts.image_index import ImageIndex, folder_split, path_parts
from semiseg.data.tree import Tree

YOLO = YoloFormat()
_MAX_CONFIGS = 20
_SAMPLED = 8  # label files that are opened
_NAMES = (
    "classes.txt",
    "obj.names",
    "names.txt",
    "labels.txt",
    "_darknet.labels",
    "class_names.txt",
)


class _Set(NamedTuple):
    """Images that share one file of names.

    Attributes:
        source: the file with the names; None without one.
        names: the names of the classes by their numbers.
        images: the images with their splits; a split may be empty.
        findings: what was noticed on names.
    """

    source: Path | None
    names: Mapping[int, str]
    images: Mapping[Path, str]
    findings: Sequence[Finding] = ()


class YoloTree:
    """The label files of a data folder.

    Args:
        tree: the data folder.
        index: its images.
    """

    def __init__(self, tree: Tree, index: ImageIndex) -> None:
        self.tree = tree
        self.index = index
        self._broken: DataError | None = None  # is raised when the files are read
        self._texts = list_files(tree, SUFFIX)
        self._configs = self._read_configs()
        self.labels = self._match()

    def __bool__(self) -> bool:
        """Whether there are label files."""
        return bool(self.labels)

    def read(self) -> list[Source]:
        """Read all label files.

        Raises:
            DataError: a file cannot be read, or names what is not there.
        """
        if self._broken is not None:
            raise self._broken
        root = self.tree.root
        sources = []
        for part in self._sets():
            pairs = [
                (image.relative_to(root).as_posix(), self.labels.get(image), split)
                for image, split in part.images.items()
            ]
            labels = [label for _, label, _ in pairs if label is not None]
            if not labels:
                continue
            file = part.source or labels[0].parent
            content = YOLO.read(pairs, part.names, file)
            files = [*labels, *([part.source] if part.source else [])]
            findings = (*part.findings, *self._orphans(labels))
            sources.append(Source(YOLO, file, tuple(files), content, findings=findings))
        return sources

    def _read_configs(self) -> list[YoloConfig]:
        """The `data.yaml` of each folder, those nearest to the root first."""
        files = list_files(self.tree, ".yaml", ".yml") if self._texts else []
        files.sort(key=lambda file: (len(file.parts), file))
        configs: dict[Path, YoloConfig] = {}
        try:
            for file in files[:_MAX_CONFIGS]:
                config = read_config(file)
                if config is not None:
                    configs.setdefault(file.parent, config)
        except DataError as error:
            self._broken = error
        return list(configs.values())

    def _match(self) -> dict[Path, Path]:
        """The label files by the images that they belong to; empty if they are no labels.

        A label file belongs to one image of its name, the one in the folders most like its own.
        """
        by_stem: defaultdict[str, list[Path]] = defaultdict(list)
        for file in self._texts:
            by_stem[file.stem].append(file)
        images: defaultdict[str, list[Path]] = defaultdict(list)
        for image in self.index.images if by_stem else ():
            if image.stem in by_stem:
                images[image.stem].append(image)
        labels: dict[Path, Path] = {}
        for stem, candidates in images.items():
            pairs = [(x, file) for x in candidates for file in by_stem[stem] if self._fits(x, file)]
            files_of_images: set[Path] = set()
            for image, file in sorted(pairs, key=lambda pair: _likeness(*pair), reverse=True):
                if image not in labels and file not in files_of_images:
                    labels[image] = file
                    files_of_images.add(file)
        judgments = map(looks_like_labels, labels.values())
        clear = [judgment for judgment in judgments if judgment is not None][:_SAMPLED]
        if any(clear):
            return labels
        # Beside a data.yaml, lines of numbers are labels of another form, which reading refuses.
        is_named = bool(self._configs or self._broken)
        numbers = map(holds_numbers, itertools.islice(labels.values(), _SAMPLED))
        return labels if is_named and (not clear or any(numbers)) else {}

    def _fits(self, image: Path, file: Path) -> bool:
        """Whether the folders of both do not stand for two different splits."""
        words = {folder_split(path, self.tree.root) for path in (image, file)} - {""}
        return len(words) < 2

    @cached_property
    def _names_files(self) -> list[Path]:
        return [file for file in list_files(self.tree, *_NAMES) if file.name in _NAMES]

    def _sets(self) -> list[_Set]:
        """The images by the files that name their classes.

        Raises:
            DataError: a file cannot be read, or names what is not there.
        """
        if self._configs:
            return [self._named_by(config) for config in self._configs]
        by_file: defaultdict[Path | None, list[Path]] = defaultdict(list)
        for image in self.labels:
            by_file[self._names_of(image)].append(image)
        return [
            _Set(file, read_names(file) if file else {}, dict.fromkeys(images, ""))
            for file, images in by_file.items()
        ]

    def _names_of(self, image: Path) -> Path | None:
        """The list of names in the folders above an image or its labels; else the only one."""
        places = [*self.labels[image].parents, *image.parents]
        above = [file for file in self._names_files if file.parent in places]
        if above:
            return max(above, key=lambda file: len(file.parts))
        return self._names_files[0] if len(self._names_files) == 1 else None

    def _named_by(self, config: YoloConfig) -> _Set:
        """The images that a `data.yaml` names; all with labels below its folder if it names none.

        Raises:
            DataError: there is no such folder or list of training images.
        """
        images: dict[Path, str] = {}
        findings: list[Finding] = []
        for split, entries in config.splits.items():
            for entry in entries:
                place = self._place(config, entry)
                if place is None and split == "train":
                    raise DataError(
                        f"{config.file} names {entry} as {split}, which is no folder of images "
                        f"below {self.tree.root}.",
                        f"Correct the line `{split}:` there, for example `{split}: images/train`.",
                    )
                if place is None:
                    message = f"{config.file} names {entry} as {split}, which is not there"
                    findings.append(note(message, severity="warning"))
                entry_images = self._images_of(config, place) if place else []
                if entry_images and all(image in images for image in entry_images):
                    message = f"{config.file} names the same images as {split} and as another split"
                    remedy = f"They are not read as {split}; name other ones, or remove the line."
                    findings.append(note(message, remedy))
                for image in entry_images:
                    images.setdefault(image, split)
        if not images:
            below = [x for x in self.labels if x.is_relative_to(config.file.parent)]
            images = dict.fromkeys(below, "")
        return _Set(config.file, config.names, images, findings)

    def _place(self, config: YoloConfig, entry: str) -> Path | None:
        """The folder or the list that a `data.yaml` names, on this computer."""
        for parts in (path_parts(f"{config.folder}/{entry}"), path_parts(entry)):
            for start in range(len(parts)):
                for folder in dict.fromkeys((config.file.parent, self.tree.root)):
                    place = folder.joinpath(*parts[start:])
                    if self.tree.is_folder(place) or self.tree.is_file(place):
                        return place
        return config.file.parent if entry.strip("./") == "" else None

    def _images_of(self, config: YoloConfig, place: Path) -> list[Path]:
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

    def _orphans(self, labels: Iterable[Path]) -> list[Finding]:
        """The warning on label files beside the others that belong to no image."""
        folders = {label.parent for label in labels}
        files_of_images = set(self.labels.values())
        orphans = [
            file
            for file in self._texts
            if file.parent in folders and file not in files_of_images and looks_like_labels(file)
        ]
        details = {file.relative_to(self.tree.root).as_posix(): "" for file in orphans}
        message = "Label files that belong to no image and are ignored"
        remedy = "Give each the name of its image, or remove it."
        return on_files("mask-without-image", "warning", details, message, remedy)


def _likeness(image: Path, file: Path) -> tuple[int, int]:
    """How like the folders of an image and a label file are."""
    return len(set(image.parent.parts) & set(file.parent.parts)), -len(file.parts)
