"""Which mask belongs to which image: by the name, whatever the folders and the suffixes are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from semiseg.data.images import IMAGE_SUFFIXES, list_files
from semiseg.data.masks import DRAWN
from semiseg.errors import DataError
from semiseg.types import Sample

_ENDING = re.compile(r"_(masks?|labels?|gt|seg)$", re.IGNORECASE)
_NUMBERED = re.compile(r"_(masks?|labels?|gt|seg)[-_ ]?\d+$", re.IGNORECASE)
_PHOTOGRAPHS = (".jpg", ".jpeg")  # no mask survives in these, so what has their name may be one


class Folders(NamedTuple):
    """Where images and their masks lie.

    Attributes:
        images: the folder of the images.
        masks: that of the masks. Where it is the same or does not exist, they lie beside the
            images.
        deep: whether files in subfolders count.
    """

    images: Path
    masks: Path
    deep: bool = True

    def files(self) -> tuple[list[Path], list[Path]]:
        """The files of the images and those of the masks.

        Masks beside the images are LabelMe's JSON files of an image's name, images whose name is
        another's with an ending such as `_mask`, and, where there is no folder of masks, PNG files
        of the name of a JPEG file.

        Raises:
            DataError: which of them are masks is not clear.
        """
        pictures = list_files(self.images, IMAGE_SUFFIXES, self.deep)
        apart = self.masks != self.images and self.masks.is_dir()
        masks = list_files(self.masks, (*IMAGE_SUFFIXES, DRAWN), self.deep) if apart else []
        named = {mask.relative_to(self.masks).with_suffix("") for mask in masks}
        beside = [  # what has a mask itself is an image, whatever it is called
            path
            for path in masks_beside(pictures, alike=not apart)
            if path.relative_to(self.images).with_suffix("") not in named
        ]
        several = next((path for path in beside if _NUMBERED.search(path.stem)), None)
        if several is not None:
            image = _base(_NUMBERED, several.with_suffix("")).name
            raise DataError(
                f"{several} seems to be one of several masks of {image}. Draw them into one, "
                f"{image}_mask.png, or move what is no mask out of {several.parent}."
            )
        pictures = sorted(set(pictures) - set(beside))
        masks += beside
        return pictures, [*masks, *self._shapes(pictures, masks)]

    def _shapes(self, pictures: Sequence[Path], masks: Sequence[Path]) -> list[Path]:
        """LabelMe's files beside the images.

        Among masks that are images, a JSON file may be anything: only one with shapes counts.
        """
        named = {picture.with_suffix("") for picture in pictures}
        drawn = list_files(self.images, (DRAWN,), self.deep)
        drawn = [path for path in drawn if path.with_suffix("") in named and path not in masks]
        if all(path.suffix.lower() == DRAWN for path in masks):
            return drawn
        return [path for path in drawn if _has_shapes(path)]


def masks_beside(pictures: Iterable[Path], alike: bool = False) -> list[Path]:
    """Which of these images are masks of others in the same folder, by their names alone.

    Args:
        pictures: the images.
        alike: whether PNG files of the name of a JPEG file are masks too.

    Returns:
        The masks, sorted, with numbered ones (`07_mask_1.png` beside `07_mask.png`).
    """
    pictures = sorted(pictures)
    named = {path.with_suffix("") for path in pictures}
    photographs = {p.with_suffix("") for p in pictures if p.suffix.lower() in _PHOTOGRAPHS}
    masks = set()
    for path in pictures:
        whole = path.with_suffix("")
        if _base(_ENDING, whole) in named - {whole}:
            masks.add(path)
        if alike and path.suffix.lower() == ".png" and whole in photographs:
            masks.add(path)
    endings = {found[0].lower() for path in masks if (found := _ENDING.search(path.stem))}
    for path in pictures:
        found = _ENDING.search(path.stem)
        if found and found[0].lower() in endings:  # also where its image is missing
            masks.add(path)
        numbered = _NUMBERED.search(path.stem)
        if numbered and _base(_NUMBERED, path.with_suffix("")) in named:
            masks.add(path)
    return sorted(masks)


def _base(ending: re.Pattern[str], path: Path) -> Path:
    """The path without such an ending of its name."""
    return path.parent / (ending.sub("", path.name) or path.name)


def _has_shapes(path: Path) -> bool:
    try:
        return b'"shapes"' in path.read_bytes()
    except OSError:  # who reads it as a mask will say so
        return True


def pair(folders: Folders) -> tuple[list[Sample], list[str]]:
    """The images of a folder with their masks, and notes on what was inferred or is left over.

    A mask belongs to the image of its name. Where there is none, one may end in `_mask`, `_masks`,
    `_label`, `_labels`, `_gt` or `_seg`.

    Raises:
        DataError: two images or two masks of one name, or two masks that may belong to one image.
    """
    images, masks = folders.files()
    pictures = by_name(images, folders.images)
    matched, lonely = _match(pictures, by_name(masks, folders.masks, folders.images))
    notes = []
    beside = [
        (image, matched[name])
        for name, image in pictures.items()
        if name in matched and matched[name].parent == image.parent
    ]
    drawn = [(image, mask) for image, mask in beside if mask.suffix.lower() != DRAWN]
    if drawn:  # which is which was told by their names alone
        image, mask = drawn[0]
        notes.append(
            f"{len(drawn)} masks lie beside their images ({mask.name} is that of {image.name})"
        )
    if lonely:
        notes.append(
            f"{len(lonely)} masks in {folders.masks} belong to no image and are passed "
            f"over (first: {lonely[0].name})"
        )
    return [Sample(name, path, matched.get(name)) for name, path in pictures.items()], notes


def by_name(files: Iterable[Path], *roots: Path) -> dict[str, Path]:
    """Files by their path below the first of the folders they are in, without the suffix, sorted.

    Raises:
        DataError: two files of one name.
    """
    found: dict[str, Path] = {}
    for path in files:
        root = next(root for root in roots if path.is_relative_to(root))
        name = path.relative_to(root).with_suffix("").as_posix()
        if len(name.splitlines()) != 1:
            raise DataError(f"{str(path)!r} has a line break in its name. Rename it.")
        if name in found:
            raise DataError(
                f"{found[name]} and {path} have the same name, so that it is not clear which of "
                "them belongs to which mask. Rename or remove one."
            )
        found[name] = path
    return dict(sorted(found.items()))


def _match(
    pictures: Mapping[str, Path], masks: Mapping[str, Path]
) -> tuple[dict[str, Path], list[Path]]:
    """Masks by the names of their images, and masks without an image."""
    matched = {name: path for name, path in masks.items() if name in pictures}
    ending: dict[str, Path] = {}
    lonely = []
    for name, path in masks.items():
        base = _ENDING.sub("", name)
        if name in matched:
            continue
        if base not in pictures or base in matched:
            lonely.append(path)
        elif base in ending:
            raise DataError(
                f"{ending[base]} and {path} may both be the mask of {pictures[base]}. Remove one, "
                "or give the right one the image's name."
            )
        else:
            ending[base] = path
    return {**matched, **ending}, lonely
