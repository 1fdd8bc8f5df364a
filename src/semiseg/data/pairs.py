"""Which mask belongs to which image: by the name, whatever the folders and the suffixes are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from semiseg.core.errors import DataError
from semiseg.core.types import Sample
from semiseg.data.formats.images import IMAGE_SUFFIXES, list_files
from semiseg.data.formats.labelme import LABELME_SUFFIX

_ENDING = re.compile(r"_(masks?|labels?|gt|seg)$", re.IGNORECASE)
_NUMBERED = re.compile(r"_(masks?|labels?|gt|seg)[-_ ]?\d+$", re.IGNORECASE)
_SHAPES = b'"shapes"'
_CHUNK = 1 << 16
PHOTOGRAPHS = (".jpg", ".jpeg")  # no mask survives in these, so what has their name may be one


class Folders(NamedTuple):
    """Where images and their masks lie.

    Attributes:
        images: the folder of the images.
        masks: that of the masks, there or not. Where it holds none, they lie beside the images.
        deep: whether files in subfolders count.
    """

    images: Path
    masks: Path
    deep: bool = True

    def files(self) -> tuple[list[Path], list[Path]]:
        """The files of the images and those of the masks.

        LabelMe's JSON files may lie beside the images in any case. Where there is no folder of
        masks so may images whose name is another's with an ending such as `_mask`, and PNG files of
        the name of a JPEG file.

        Raises:
            DataError: an image has several masks, one an object.
        """
        pictures = list_files(self.images, IMAGE_SUFFIXES, self.deep)
        masks = list_files(self.masks, (*IMAGE_SUFFIXES, LABELME_SUFFIX), self.deep)
        named = {picture.with_suffix("") for picture in pictures}
        drawn = list_files(self.images, (LABELME_SUFFIX,), self.deep)
        shapes = [path for path in drawn if path.with_suffix("") in named or _has_shapes(path)]
        if any(path.suffix.lower() != LABELME_SUFFIX for path in masks):
            shapes = [path for path in shapes if _has_shapes(path)]
        if masks:
            return pictures, [*masks, *shapes]
        meant = [path for path in shapes if _has_shapes(path)]
        beside = masks_beside(pictures, meant, alike=True)
        several = next((path for path in beside if _numbered(path, named)), None)
        if several is not None:
            image = _NUMBERED.sub("", several.stem)
            raise DataError(
                f"{several} seems to be one of several masks of {image}. Draw them into one, "
                f"{image}_mask.png, or move what is no mask out of {several.parent}."
            )
        drawn = meant if beside or not self.deep else shapes
        return sorted(set(pictures) - set(beside)), [*beside, *drawn]


def _numbered(path: Path, named: Set[Path]) -> bool:
    """Whether a mask is one of several of an image, and not of one of its own name."""
    base = _NUMBERED.sub("", path.stem)
    twin = any(path.with_suffix(suffix).is_file() for suffix in PHOTOGRAPHS)
    return base != path.stem and path.with_name(base) in named and not twin


def masks_beside(
    pictures: Iterable[Path], shapes: Iterable[Path] = (), alike: bool = False
) -> list[Path]:
    """Which of these images are masks of others in the same folder, by their names alone.

    Args:
        pictures: the images.
        shapes: LabelMe's files; an image of the name of one is no mask.
        alike: whether PNG files of the name of a JPEG file are masks too.

    Returns:
        The masks, sorted. So is what has the ending of other masks in its folder, although its
        image is missing: it is no photograph. And so are numbered ones (`07_mask_1.png`).
    """
    images = {path.with_suffix("") for path in shapes}
    by_folder = groupby(sorted(pictures), key=lambda path: path.parent)
    found: list[Path] = []
    for _, files in by_folder:
        some = [path for path in files if path.with_suffix("") not in images]
        found += _masks_of_a_folder(some, alike)
    return sorted(found)


def _masks_of_a_folder(files: Sequence[Path], alike: bool) -> set[Path]:
    stems = {path.stem for path in files}
    ending = {path: end[0] for path in files if (end := _ENDING.search(path.stem))}
    image_of = {path: path.stem.removesuffix(end) for path, end in ending.items()}
    used = {end.lower() for path, end in ending.items() if image_of[path] in stems}
    masks = {path for path, end in ending.items() if end.lower() in used}
    own = {image_of[path] for path in masks}  # what has a mask itself is an image
    masks |= {path for path in files if path.stem not in own and stem_of_image(path, stems)}
    if alike:
        photographs = {path.stem for path in files if path.suffix.lower() in PHOTOGRAPHS}
        drawn = [path for path in files if path.suffix.lower() == ".png"]
        if any(path.stem in photographs for path in drawn):  # then all PNG files but others' images
            others = set(image_of.values()) - photographs
            masks |= {path for path in drawn if path.stem not in others}
    return masks


def stem_of_image(mask: Path, stems: Set[str]) -> str | None:
    """Which of the stems is that of the image whose mask a file is by its name, if it is one."""
    bases = (ending.sub("", mask.stem) for ending in (_ENDING, _NUMBERED))
    return next((base for base in bases if base != mask.stem and base in stems), None)


def _has_shapes(path: Path) -> bool:
    """Whether a file seems to be LabelMe's, or was one before something cut it off."""
    before = b""  # LabelMe's files name them early, and may hold the image behind them
    try:
        if not path.stat().st_size:
            return True  # who reads it as a mask will say so
        with path.open("rb") as file:
            while more := file.read(_CHUNK):
                if _SHAPES in before[-len(_SHAPES) :] + more:
                    return True
                before = more
    except OSError:  # likewise
        return True
    return False


def pair(folders: Folders) -> tuple[list[Sample], list[str]]:
    """The images of a folder with their masks, and notes on what was inferred or is left over.

    A mask belongs to the image of its name. Where there is none, one may end in `_mask`, `_masks`,
    `_label`, `_labels`, `_gt` or `_seg`.

    Raises:
        DataError: two images or two masks of one name, or two masks that may belong to one image.
    """
    images, masks = folders.files()
    pictures = by_name(images, folders.images)
    matched, lonely = match(pictures, by_name(masks, folders.masks, folders.images))
    notes = []
    beside = [
        (image, matched[name])
        for name, image in pictures.items()
        if name in matched and matched[name].parent == image.parent
    ]
    drawn = [(image, mask) for image, mask in beside if mask.suffix.lower() != LABELME_SUFFIX]
    if drawn:  # which is which was told by their names alone
        image, mask = drawn[0]
        notes.append(
            f"{len(drawn)} masks lie beside their images ({mask.name} is that of {image.name})"
        )
    if lonely:
        place = next(f for f in folders[1::-1] if lonely[0].is_relative_to(f))
        notes.append(
            f"{len(lonely)} masks in {place} belong to no image and are passed "
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


def match(
    pictures: Mapping[str, Path], masks: Mapping[str, Path]
) -> tuple[dict[str, Path], list[Path]]:
    """Masks by the names of their images, and masks without an image.

    Raises:
        DataError: two masks may belong to one image.
    """
    matched = {name: path for name, path in masks.items() if name in pictures}
    ending: dict[str, Path] = {}
    lonely = []
    for name, path in masks.items():
        base = _ENDING.sub("", name)
        if name in matched:
            continue
        rival = ending.get(base)
        if base in matched and path.parent == matched[base].parent == pictures[base].parent:
            rival = matched[base]  # in a folder of masks the very name would come first
        if rival is not None:
            raise DataError(
                f"{rival} and {path} may both be the mask of {pictures[base]}. Remove one, "
                "or give the right one the image's name."
            )
        if base not in pictures or base in matched:
            lonely.append(path)
        else:
            ending[base] = path
    return {**matched, **ending}, lonely
