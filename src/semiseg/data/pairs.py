"""Which mask belongs to which image: names decide, whatever the folders and the suffixes are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.findings import Finding, error_of, note, on_files
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.tree import Tree

_ENDING = re.compile(r"_(masks?|labels?|gt|seg)$", re.IGNORECASE)
_NUMBERED = re.compile(r"_(masks?|labels?|gt|seg)[-_ ]?\d+$", re.IGNORECASE)
_SHAPES = b'"shapes"'
_CHUNK = 1 << 16
PHOTOGRAPHS = (".jpg", ".jpeg")
"""The suffixes of lossy images, in which no mask survives: a PNG file of their name may be one."""


class Files(NamedTuple):
    """The images and the masks of one place, each sorted."""

    images: list[Path]
    masks: list[Path]


@dataclass(frozen=True)
class Folders:
    """Where images and their masks lie.

    Attributes:
        tree: the data folder.
        images: the folder of the images.
        masks: the folder of the masks, there or not. If it holds none, they lie beside the images.
        deep: whether files in subfolders count.
    """

    tree: Tree
    images: Path
    masks: Path
    deep: bool = True

    @cached_property
    def files(self) -> Files:
        """The files of the images and those of the masks.

        LabelMe's JSON files may lie beside the images in any case. If there is no folder of masks,
        these files beside the images are masks too: an image whose name is another's with an ending
        such as `_mask`, and a PNG file of the name of a JPEG file.

        Raises:
            DataError: an image has several masks, one for each object.
        """
        pictures = self.tree.images(self.images, self.deep)
        masks = self.tree.files(self.masks, (*IMAGE_SUFFIXES, LABELME_SUFFIX), self.deep)
        stems = {picture.with_suffix("") for picture in pictures}
        json_files = self.tree.files(self.images, (LABELME_SUFFIX,), self.deep)
        is_labelme = cache(has_shapes)
        shapes = [path for path in json_files if path.with_suffix("") in stems or is_labelme(path)]
        if any(path.suffix.lower() != LABELME_SUFFIX for path in masks):
            shapes = [path for path in shapes if is_labelme(path)]
        if masks:
            return Files(pictures, [*masks, *shapes])
        labelme = [path for path in shapes if is_labelme(path)]
        beside = masks_beside(pictures, labelme, with_png=True)
        refuse_several(self.tree, beside, pictures)
        shapes = labelme if beside or not self.deep else shapes
        return Files(sorted(set(pictures) - set(beside)), [*beside, *shapes])


def refuse_several(tree: Tree, beside: Iterable[Path], pictures: Iterable[Path]) -> None:
    """Refuse an image with several masks, one for each object.

    Args:
        tree: the data folder.
        beside: the masks that lie beside their images.
        pictures: all images.

    Raises:
        DataError: an image has several masks.
    """
    stems = {picture.with_suffix("") for picture in pictures}

    def is_numbered(path: Path) -> bool:
        """Whether a mask is one of several of an image, and not of one of its own name."""
        base = _NUMBERED.sub("", path.stem)
        twin = any(tree.is_file(path.with_suffix(suffix)) for suffix in PHOTOGRAPHS)
        return base != path.stem and path.with_name(base) in stems and not twin

    several = next((path for path in beside if is_numbered(path)), None)
    if several is not None:
        image = _NUMBERED.sub("", several.stem)
        raise DataError(
            f"{several} seems to be one of several masks of {image}.",
            f"Draw them into one, {image}_mask.png, or move what is no mask out of "
            f"{several.parent}.",
        )


class Pairs(NamedTuple):
    """Images with their masks, sorted by name, and what was noticed on the names."""

    samples: list[Sample]
    findings: list[Finding]


def masks_beside(
    pictures: Iterable[Path], shapes: Iterable[Path] = (), with_png: bool = False
) -> list[Path]:
    """Which of these images are masks of others in the same folder, by their names alone.

    Args:
        pictures: the images.
        shapes: LabelMe's files; an image of the name of one is no mask.
        with_png: whether PNG files of the name of a JPEG file are masks too.

    Returns:
        The masks, sorted. An image with the ending of other masks in its folder is one even if its
        own image is missing: it is no photograph. Numbered ones (`07_mask_1.png`) are masks as
        well.
    """
    images = {path.with_suffix("") for path in shapes}
    masks: list[Path] = []
    for _, files in groupby(sorted(pictures), key=lambda path: path.parent):
        candidates = [path for path in files if path.with_suffix("") not in images]
        masks += _masks_of_a_folder(candidates, with_png)
    return sorted(masks)


def _masks_of_a_folder(files: Sequence[Path], with_png: bool) -> set[Path]:
    stems = {path.stem for path in files}
    ending = {path: match[0] for path in files if (match := _ENDING.search(path.stem))}
    image_of = {path: path.stem.removesuffix(end) for path, end in ending.items()}
    endings = {end.lower() for path, end in ending.items() if image_of[path] in stems}
    masks = {path for path, end in ending.items() if end.lower() in endings}
    with_mask = {image_of[path] for path in masks}  # what has a mask itself is an image
    masks |= {path for path in files if path.stem not in with_mask and stem_of_image(path, stems)}
    if with_png:
        photographs = {path.stem for path in files if path.suffix.lower() in PHOTOGRAPHS}
        png = [path for path in files if path.suffix.lower() == ".png"]
        if any(path.stem in photographs for path in png):  # then all PNG files but others' images
            others = set(image_of.values()) - photographs
            masks |= {path for path in png if path.stem not in others}
    return masks


def stem_of_image(mask: Path, stems: Set[str]) -> str | None:
    """The stem of the image whose mask a file is by its name; None if it is no such mask.

    Args:
        mask: the file.
        stems: the names of the images, without suffixes.
    """
    bases = (ending.sub("", mask.stem) for ending in (_ENDING, _NUMBERED))
    return next((base for base in bases if base != mask.stem and base in stems), None)


def has_shapes(path: Path) -> bool:
    """Whether a file seems to be LabelMe's, or was one before something cut it off."""
    before = b""  # LabelMe's files name them early, and may hold the image behind them
    try:
        if not path.stat().st_size:
            return True  # reading it as a mask gives the error
        with path.open("rb") as file:
            while more := file.read(_CHUNK):
                if _SHAPES in before[-len(_SHAPES) :] + more:
                    return True
                before = more
    except OSError:  # likewise
        return True
    return False


def pair(folders: Folders) -> Pairs:
    """The images of a folder with their masks.

    A mask belongs to the image of its name. If there is no such image, the mask's name may end in
    `_mask`, `_masks`, `_label`, `_labels`, `_gt` or `_seg`.

    Returns:
        The samples; where names are ambiguous, those of the first file of each name, and an error
        among the findings.

    Raises:
        DataError: an image has several masks, one for each object.
    """
    root = folders.tree.root
    images, repeated = index(folders.files.images, folders.images)
    masks, repeated_masks = index(folders.files.masks, folders.masks, folders.images)
    errors = duplicates(root, {**repeated, **repeated_masks}) or line_breaks(
        [*folders.files.images, *folders.files.masks]
    )
    try:
        matched, unmatched = match(images, masks)
    except DataError as error:
        matched, unmatched = masks, []
        errors = errors or [error_of(error)]
    samples = [Sample(name, path, matched.get(name)) for name, path in images.items()]
    if errors:
        return Pairs(samples, errors)
    return Pairs(samples, [*_beside(samples), *_without_image(root, unmatched)])


def _beside(samples: Iterable[Sample]) -> list[Finding]:
    """The note that only their names distinguish masks from images."""
    beside = [
        (sample.image, sample.mask)
        for sample in samples
        if sample.mask is not None
        and sample.mask.parent == sample.image.parent
        and sample.mask.suffix.lower() != LABELME_SUFFIX
    ]
    if not beside:
        return []
    image, mask = beside[0]
    masks = plural(len(beside), "mask lies beside its image", "masks lie beside their images")
    return [note(f"{masks} ({mask.name} belongs to {image.name})")]


def _without_image(root: Path, masks: Iterable[Path]) -> list[Finding]:
    details = {mask.relative_to(root).as_posix(): "" for mask in masks}
    message = "Masks that belong to no image and are ignored"
    remedy = "Give each the name of its image, or remove it."
    return on_files("mask-without-image", "warning", details, message, remedy)


def index(files: Iterable[Path], *folders: Path) -> tuple[dict[str, Path], dict[Path, Path]]:
    """Files by their names: the path below the first folder that holds them, without the suffix.

    Returns:
        The first file of each name, sorted by name; and each further file with the first one.
    """
    by_name: dict[str, Path] = {}
    repeated: dict[Path, Path] = {}
    for path in files:
        folder = next(folder for folder in folders if path.is_relative_to(folder))
        first = by_name.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
        if first != path:
            repeated[path] = first
    return dict(sorted(by_name.items())), repeated


def duplicates(root: Path, repeated: Mapping[Path, Path]) -> list[Finding]:
    """The error for files of one name, as `index` gives them."""
    details = {
        path.relative_to(root).as_posix(): f" beside {first.relative_to(root).as_posix()}"
        for path, first in repeated.items()
    }
    message = "Files of one name, so that it is unclear which image belongs to which mask"
    remedy = "Rename or remove one of each."
    return on_files("duplicate-name", "error", details, message, remedy)


def line_breaks(files: Iterable[Path]) -> list[Finding]:
    """The error for a file whose name has a line break, which no list can hold."""
    broken = next((str(path) for path in files if len(str(path).splitlines()) != 1), None)
    if broken is None:
        return []
    return [note(f"{broken!r} has a line break in its name", "Rename it.", "error")]


def match(
    images: Mapping[str, Path], masks: Mapping[str, Path]
) -> tuple[dict[str, Path], list[Path]]:
    """Masks by the names of their images, and masks without an image.

    Raises:
        DataError: two masks may belong to one image.
    """
    matched = {name: path for name, path in masks.items() if name in images}
    by_ending: dict[str, Path] = {}
    unmatched = []
    for name, path in masks.items():
        base = _ENDING.sub("", name)
        if name in matched:
            continue
        rival = by_ending.get(base)
        if base in matched and path.parent == matched[base].parent == images[base].parent:
            rival = matched[base]  # in a folder of masks the very name would come first
        if rival is not None:
            raise DataError(
                f"{rival} and {path} may both be the mask of {images[base]}.",
                "Remove one, or give the right one the image's name.",
            )
        if base not in images or base in matched:
            unmatched.append(path)
        else:
            by_ending[base] = path
    return {**matched, **by_ending}, unmatched
