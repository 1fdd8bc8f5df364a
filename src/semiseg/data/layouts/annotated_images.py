"""The images of annotation files: where they lie, and to which split they belong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.data.formats.annotations import AnnotatedImage
from semiseg.data.formats.labelstudio import BRUSH_STEM
from semiseg.data.layouts.annotation_source import Source
from semiseg.data.layouts.families import unlabeled_folders
from semiseg.data.layouts.image_index import ImageIndex, folder_split, split_word
from semiseg.data.layouts.list_files import find_lists, read_lines
from semiseg.data.tree import SPLITS, Tree


@dataclass(frozen=True)
class Entry:
    """An image on the disk, and what a file says of it.

    Attributes:
        image: the image.
        annotated: what the file says.
        source: the annotations that it stands in.
        split: `train`, `val` or `test`; empty before it is known.
    """

    image: Path
    annotated: AnnotatedImage
    source: Source
    split: str


class AnnotatedImages:
    """The images that annotation files list, and those beside them.

    The split of an image is what the first of these says: the file's own words (subsets of CVAT,
    `data.yaml` of YOLO), the name of the file or of its folders, lists such as `train.txt`, the
    folders of the images. Otherwise all is `train`.

    Args:
        tree: the data folder.
        index: its images.
        sources: the annotations, at least one.
    """

    def __init__(self, tree: Tree, index: ImageIndex, sources: Sequence[Source]) -> None:
        self.tree = tree
        self.index = index
        self._sources = sources
        self.lists: list[Path] = []
        self._list_splits: Mapping[Path, str] = {}

    @cached_property
    def entries(self) -> list[Entry]:
        """The images that the files list, with their splits.

        Raises:
            DataError: an image is missing, two files describe it, or none is to be trained on.
        """
        entries = [entry for source in self._sources for entry in self._located(source)]
        entries = _without_conflicts(entries)
        first = self._sources[0]
        if not entries:
            raise DataError(
                f"{first.file} ({first.format.title}) lists no images.",
                "Export the annotations again.",
            )
        if not any(entry.split for entry in entries):
            entries = self._split_by_lists(entries) or self._split_by_folders(entries)
        splits = {entry.split or "train" for entry in entries}
        if len(splits) == 1:
            return [replace(entry, split="train") for entry in entries]
        if "train" not in splits:
            files = " and ".join(str(source.file) for source in self._sources[:2])
            raise DataError(
                f"{files} stand for {' and '.join(sorted(splits))} by their names, and no file "
                "stands for train.",
                "Give the file of the images to learn from a name such as train.json.",
            )
        return [replace(entry, split=entry.split or "train") for entry in entries]

    def _split_by_folders(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries with the splits that the folders of the images say, if one says train."""
        words = {entry.image: folder_split(entry.image, self.tree.root) for entry in entries}
        if "train" not in words.values():
            return list(entries)
        return [replace(entry, split=words[entry.image]) for entry in entries]

    def _split_by_lists(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries that lists of images name, with their splits; empty without such lists.

        Raises:
            DataError: a list cannot be read, or names an image that may be several ones.
        """
        lists = find_lists(self.tree)
        splits: dict[Path, str] = {}
        for split in SPLITS:
            for file in lists.files.get(split, ()):
                for row in read_lines(file):
                    image = self._image_of(row.text, file)
                    if image is not None:
                        splits.setdefault(image, split)
        entries_in_lists = [entry for entry in entries if entry.image in splits]
        if not any(splits[entry.image] == "train" for entry in entries_in_lists):
            return []
        self._list_splits = splits
        self.lists = [file for split in SPLITS for file in lists.files.get(split, ())]
        return [replace(entry, split=splits[entry.image]) for entry in entries_in_lists]

    def _image_of(self, text: str, file: Path) -> Path | None:
        """The image that a line of a list means: the line, or its first column."""
        places = [self.tree.root, file.parent]
        for part in (text, text.split("\t")[0].split(",")[0], text.split()[0]):
            image = self.index.find(part, places, file)
            if image is not None:
                return image
        return None

    def _located(self, source: Source) -> list[Entry]:
        """The images of one source on the disk.

        Raises:
            DataError: some are missing.
        """
        root, file = self.tree.root, source.file
        subset = file.stem.removeprefix("instances_")
        beside = [file.parent, file.parent / "images"]
        places = [root / subset, root / "images" / subset, *beside, root / "images", root]
        if source.split:
            places += [root / source.split, root / "images" / source.split]
        places = [place for place in dict.fromkeys(places) if place.is_relative_to(root)]
        entries = []
        absent_names = []
        for annotated in source.content.images:
            image = self.index.find(annotated.name, places, file, source.split)
            if image is None:
                absent_names.append(annotated.name)
            else:
                split = split_word(annotated.subset) or source.split
                entries.append(Entry(image, annotated, source, split))
        if absent_names:
            count = len(source.content.images)
            also = f"; {len(absent_names)} of its {count} images are missing" if count > 1 else ""
            home = next((place for place in places if self.tree.is_folder(place)), root)
            home = entries[0].image.parent if entries else home
            raise DataError(
                f"{file} names {absent_names[0]}, which does not lie below {root}{also}.",
                f"Copy the missing images into {home}, or export again: with the images (in CVAT "
                "choose 'Save images'), or without those that are gone.",
            )
        return entries

    @cached_property
    def unlisted(self) -> Mapping[Path, str]:
        """The images beside or below those of a split that no file lists, with that split."""
        root = self.tree.root
        images_in_files = {entry.image for entry in self.entries}
        split_of: dict[Path, str] = {}
        for entry in self.entries:
            place = entry.image.parent
            split_of[place] = min(split_of.get(place, entry.split), entry.split, key=SPLITS.index)
        unlabeled = set(unlabeled_folders(self.tree)) - split_of.keys()
        unlisted: dict[Path, str] = {}
        for image in self.index.images:
            if image in images_in_files or BRUSH_STEM.fullmatch(image.stem):
                continue
            below = (place for place in image.parents if place.is_relative_to(root))
            place = next((p for p in below if p in split_of or p in unlabeled), root)
            if place in split_of and (place != root or image.parent == root):
                split = self._list_splits.get(image, "") if self._list_splits else split_of[place]
                unlisted |= {image: split} if split else {}
        return unlisted


def _without_conflicts(entries: Sequence[Entry]) -> list[Entry]:
    """The entries, each image once in its split.

    A file without areas gives way, and so does one without a split where others have one.

    Raises:
        DataError: two files describe the same image.
    """
    by_image: defaultdict[Path, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_image[entry.image].append(entry)
    unique_entries: list[Entry] = []
    for image, rivals in by_image.items():
        with_areas = [rival for rival in rivals if rival.annotated.regions] or rivals[:1]
        with_split = [rival for rival in with_areas if rival.split] or with_areas
        by_split: dict[str, Entry] = {}
        for entry in with_split:
            other = by_split.get(entry.split)
            by_split[entry.split] = entry if other is None else _merged(image, other, entry)
        unique_entries += by_split.values()
    return unique_entries


def _merged(image: Path, one: Entry, other: Entry) -> Entry:
    """What one file says of an image in two places.

    Raises:
        DataError: two files say it.
    """
    regions = one.annotated.regions, other.annotated.regions
    if one.source is not other.source:
        counts = [plural(len(part), "area") for part in regions]
        raise DataError(
            f"{one.source.file} ({counts[0]}) and {other.source.file} ({counts[1]}) both describe "
            f"{image}.",
            "Move the file that does not count out of the data folder.",
        )
    return replace(one, annotated=replace(one.annotated, regions=(*regions[0], *regions[1])))
