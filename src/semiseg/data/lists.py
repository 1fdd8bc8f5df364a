"""Layouts in which lists say what belongs to a split: `DATA/train.txt`, and VOC's `ImageSets`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from semiseg.core.errors import DataError
from semiseg.core.files import is_file, read_text
from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.families import unlabeled_folders
from semiseg.data.findings import note
from semiseg.data.layout import Layout, Listing
from semiseg.data.pairs import Folders, pair
from semiseg.data.tree import Tree, split_lists

_COMMENT = re.compile(r"\s#(\s.*)?$")
_MASKS = "SegmentationClass"
_SUBSETS = {
    "train": ("train", "default"),  # CVAT's name where no subsets were made
    "val": ("val", "validation"),
    "test": ("test",),
}


class ListLayout(Layout):
    """Lists name the images of each split; no other file is read.

    ```
    DATA/
      train.txt  an image a line, with its mask or without: day1/07.jpg  annotated/07.png
      val.txt    optional, likewise test.txt
    ```
    """

    name = "lists"
    title = "Lists of images and masks"
    is_complete = True

    @classmethod
    def recognizes(cls, tree: Tree) -> bool:
        """By one of the lists."""
        return bool(split_lists(tree))

    def read(self, split: str) -> Listing:
        """The images that the list of the split names; none if there is no list."""
        file = split_lists(self.tree).get(split)
        lists = [*split_lists(self.tree).values()]
        return Listing(listed_samples(self.tree, file) if file else [], sources=lists)

    def unlabeled(self) -> Listing:
        """None: the lists decide which images count."""
        files = [sample.image for sample in super().unlabeled().samples]
        if not files:
            return Listing()
        folder = next(iter(unlabeled_folders(self.tree)), self.tree.root)
        count = plural(len(files), f"image of {folder} is", f"images of {folder} are")
        finding = note(f"{count} used only where train.txt lists them")
        return Listing(findings=[finding], sources=files)


class VocLayout(Layout):
    """VOC's layout, which CVAT exports as "Segmentation mask".

    ```
    DATA/
      JPEGImages/         or images/
      SegmentationClass/  masks of the images' names
      ImageSets/Segmentation/train.txt  optional: the names of each split; without it all is train
      labelmap.txt        optional: the classes
    ```
    """

    name = "voc-like"
    title = "VOC's folders, as CVAT exports them"

    @classmethod
    def recognizes(cls, tree: Tree) -> bool:
        """By the folder of the masks."""
        return tree.is_folder(tree.root / _MASKS)

    def read(self, split: str) -> Listing:
        """The images that the lists of the split name.

        Raises:
            DataError: there are no images, or a list names one that does not exist.
        """
        tree = self.tree
        folder = next((tree.root / x for x in ("JPEGImages", "images") if self._holds(x)), None)
        if folder is None:
            raise DataError(
                f"{tree.root / _MASKS} holds masks, but the images are missing: there is no folder "
                f"{tree.root / 'JPEGImages'}.",
                "Export again from CVAT with 'Save images', or copy the images there.",
            )
        samples, findings, class_names, sources = pair(Folders(tree, folder, tree.root / _MASKS))
        self.use_class_names(class_names)
        lists = tree.root / "ImageSets" / "Segmentation"
        files = {path.stem.lower(): path for path in tree.files(lists, (".txt",), deep=False)}
        subsets = {s: [files[x] for x in names if x in files] for s, names in _SUBSETS.items()}
        if not any(subsets.values()):
            return Listing(samples, findings, sources=sources) if split == "train" else Listing()
        by_name = {sample.name: sample for sample in samples}
        stems = {s: {n for f in paths for n in _stems(f, by_name)} for s, paths in subsets.items()}
        unlisted = len(samples) - len(set().union(*stems.values()))
        if unlisted:
            images = plural(unlisted, f"image of {folder} is", f"images of {folder} are")
            remedy = "To learn from images without masks, add their names to train.txt."
            findings.append(note(f"{images} in no list of {lists}", remedy))
        listed = [by_name[name] for name in sorted(stems[split])]
        return Listing(listed, findings if split == "train" else [], sources=sources)

    def _holds(self, folder: str) -> bool:
        return self.tree.is_folder(self.tree.root / folder)


def listed_samples(tree: Tree, list_file: Path) -> list[Sample]:
    """The images that a list names, one a line, with or without a mask, by paths below the root.

    Image and mask are separated by a tab, a comma or spaces, tried in this order. A line that is
    itself the path of a file is an image without a mask, with spaces or not.

    Raises:
        DataError: the list cannot be read or is empty, or a line does not name files below the
            root, or names an image again with another mask.
    """
    listed: dict[str, tuple[Sample, int]] = {}
    for number, text in _lines(list_file):
        where = f"{list_file}, line {number}"
        image, *mask = [_below(tree, column, where) for column in _columns(tree, text, where)]
        name = image.relative_to(tree.root).with_suffix("").as_posix()
        sample = Sample(name, image, mask[0] if mask else None)
        other, line = listed.setdefault(name, (sample, number))
        if other != sample:
            raise DataError(
                f"{where}: {image} is already named in line {line}, with another mask or suffix.",
                "Remove one of the lines.",
            )
    if not listed:
        raise DataError(
            f"{list_file} names no image.", "Write an image a line, or remove the file."
        )
    return sorted(sample for sample, _ in listed.values())


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers and texts of the lines that are neither empty nor comments."""
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a text file that can be read ({error}).") from error
    for number, line in enumerate(lines, 1):
        text = _COMMENT.sub("", line).strip()
        if text and not text.startswith("#"):
            yield number, text


def _columns(tree: Tree, text: str, where: str) -> list[str]:
    if _is_file(tree, text):
        return [text]
    separator = next((s for s in "\t," if s in text), None)
    columns = [column.strip() for column in text.split(separator)]
    while len(columns) > 1 and not columns[-1]:  # an image without a mask
        columns.pop()
    if len(columns) > 2:
        raise DataError(
            f"{where} has {len(columns)} columns: {text}.",
            "Write an image, or an image and its mask, with a tab between them where names hold "
            "spaces or commas.",
        )
    return columns


def _below(tree: Tree, text: str, where: str) -> Path:
    """The file that a list names."""
    root = tree.root
    for name in (text, text.replace("\\", "/")):
        path = root / name
        if _is_file(tree, name):
            if not path.is_relative_to(root) or ".." in path.relative_to(root).parts:
                raise DataError(
                    f"{where}: {text} lies outside of {root}.",
                    "Move it there, or link to it, and write its path relative to that folder.",
                )
            return path
    raise DataError(
        f"{where}: there is no file {root / text}.",
        f"Paths are relative to {root} and have their suffix; correct the line, or remove the list "
        "to read the folder without it.",
    )


def _is_file(tree: Tree, text: str) -> bool:
    """Whether a list names a file.

    What is not in the tree is looked up on the disk, which may not mind the case of letters.
    """
    path = tree.root / text
    return tree.is_file(path) or is_file(path)


def _stems(path: Path, images: Mapping[str, Sample]) -> Iterator[str]:
    """The names in a list of VOC's; each is that of an image."""
    for number, text in _lines(path):
        name = text if text in images else text.split()[0].strip('"')
        if name not in images:
            raise DataError(
                f"{path}, line {number}: there is no image {text}.",
                "Correct the line, or add the image.",
            )
        yield name
