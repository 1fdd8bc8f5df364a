"""Which mask belongs to which image: by the name, whatever the folders and the suffixes are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from semiseg.data.images import IMAGE_SUFFIXES, list_files
from semiseg.data.masks import DRAWN
from semiseg.errors import DataError
from semiseg.types import Sample

_ENDING = re.compile(r"_(masks?|labels?|gt|seg)$", re.IGNORECASE)


def pair(images: Path, masks: Path) -> tuple[list[Sample], list[str]]:
    """The images below a folder with their masks below another, and notes on what is left over.

    A mask belongs to the image of its name: path below the folder without the suffix. Where there
    is none, one may end in `_mask`, `_masks`, `_label`, `_labels`, `_gt` or `_seg`. LabelMe's JSON
    files may also lie beside the images.

    Raises:
        DataError: two images or two masks of one name, or two masks that may belong to one image.
    """
    pictures = by_name(list_files(images, IMAGE_SUFFIXES), images)
    files = list_files(masks, (*IMAGE_SUFFIXES, DRAWN))
    found = by_name([*files, *_beside(images, pictures, files)], masks, images)
    matched, lonely = _match(pictures, found)
    notes = []
    if lonely:
        notes.append(
            f"{len(lonely)} masks in {masks} belong to no image and are passed "
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


def _beside(images: Path, pictures: Mapping[str, Path], masks: list[Path]) -> list[Path]:
    """LabelMe's files beside the images.

    Among masks that are images, a JSON file may be anything: only one with shapes counts.
    """
    drawn = list_files(images, (DRAWN,))
    drawn = [p for p in drawn if p.relative_to(images).with_suffix("").as_posix() in pictures]
    if all(p.suffix.lower() == DRAWN for p in masks):
        return drawn
    return [p for p in drawn if _has_shapes(p)]


def _has_shapes(path: Path) -> bool:
    try:
        return b'"shapes"' in path.read_bytes()
    except OSError:  # who reads it as a mask will say so
        return True


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
