"""Lists that name images and masks: `DATA/train.txt` and the like, and VOC's `ImageSets`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from semiseg.core.errors import DataError
from semiseg.core.files import is_file, read_text
from semiseg.core.types import Sample
from semiseg.data.pairs import Folders, pair

_COMMENT = re.compile(r"\s#(\s.*)?$")
_SUBSETS = {
    "train": ("train", "default"),  # CVAT's name where no subsets were made
    "val": ("val", "validation"),
    "test": ("test",),
}


def listed_samples(root: Path, list_file: Path) -> list[Sample]:
    """The images that a list names, one a line, with or without a mask, by paths below `root`.

    Image and mask are separated by a tab, a comma or spaces, tried in this order; a line that is
    itself the path of a file is an image without a mask, spaces or not.

    Raises:
        DataError: the list cannot be read or is empty, or a line does not name files below `root`,
            or names an image that another line names otherwise.
    """
    seen: dict[str, tuple[Sample, int]] = {}
    for number, text in _lines(list_file):
        where = f"{list_file}, line {number}"
        image, *mask = [_below(root, column, where) for column in _columns(root, text, where)]
        name = image.relative_to(root).with_suffix("").as_posix()
        sample = Sample(name, image, mask[0] if mask else None)
        other, line = seen.setdefault(name, (sample, number))
        if other != sample:
            raise DataError(
                f"{where}: {image} is already named in line {line}, with another mask or suffix. "
                "Remove one of the lines."
            )
    if not seen:
        raise DataError(f"{list_file} names no image. Write an image a line, or remove the file.")
    return sorted(sample for sample, _ in seen.values())


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


def _columns(root: Path, text: str, where: str) -> list[str]:
    if is_file(root / text):
        return [text]
    separator = next((s for s in "\t," if s in text), None)
    columns = [column.strip() for column in text.split(separator)]
    while len(columns) > 1 and not columns[-1]:  # an image without a mask
        columns.pop()
    if len(columns) > 2:
        raise DataError(
            f"{where} has {len(columns)} columns: {text}. Write an image, or an image and its "
            "mask, with a tab between them where names hold spaces or commas."
        )
    return columns


def _below(root: Path, text: str, where: str) -> Path:
    """The file that a list names."""
    for name in (text, text.replace("\\", "/")):
        path = root / name
        if is_file(path):
            if not path.is_relative_to(root) or ".." in path.relative_to(root).parts:
                raise DataError(
                    f"{where}: {text} lies outside of {root}. Move it there, or link to it, and "
                    "write its path relative to that folder."
                )
            return path
    raise DataError(
        f"{where}: there is no file {root / text}. Paths are relative to {root} and have their "
        "suffix; correct the line, or remove the list to read the folder without it."
    )


def voc_samples(root: Path, split: str) -> tuple[list[Sample], list[str]]:
    """The images of one split in VOC's layout, which is also CVAT's "Segmentation mask".

    `JPEGImages` (or `images`) and `SegmentationClass` lie in `root`; text files of
    `ImageSets/Segmentation` list the stems of each split. Without them all is `train`.

    Raises:
        DataError: there are no images, or a list names one that is not there.
    """
    images = next((root / x for x in ("JPEGImages", "images") if (root / x).is_dir()), None)
    if images is None:
        raise DataError(
            f"{root / 'SegmentationClass'} holds masks, but the images are missing: there is no "
            f"folder {root / 'JPEGImages'}. Export again from CVAT with 'Save images', or copy the "
            "images there."
        )
    samples, notes = pair(Folders(images, root / "SegmentationClass"))
    folder = root / "ImageSets" / "Segmentation"
    files = {p.stem.lower(): p for p in sorted(folder.glob("*.txt"))}
    known = {s: [files[x] for x in names if x in files] for s, names in _SUBSETS.items()}
    if not any(known.values()):
        return (samples, notes) if split == "train" else ([], [])
    by_name = {s.name: s for s in samples}
    stems = {s: {n for f in paths for n in _stems(f, by_name)} for s, paths in known.items()}
    out = len(samples) - len(set().union(*stems.values()))
    if out:
        notes.append(
            f"{out} images of {images} are in no list of {folder} and are left out; to learn from "
            "them without masks, add their names to train.txt"
        )
    return [by_name[n] for n in sorted(stems[split])], notes if split == "train" else []


def _stems(path: Path, known: dict[str, Sample]) -> Iterator[str]:
    for number, text in _lines(path):
        name = text if text in known else text.split()[0].strip('"')
        if name not in known:
            raise DataError(
                f"{path}, line {number}: there is no image {text}. Correct the line, or add the "
                "image."
            )
        yield name
