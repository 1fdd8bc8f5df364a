"""Which files are masks that lie beside their images, by their names alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from semiseg.data.pairing.inner_names import ROLE_WORDS
from semiseg.data.pairing.matching import match_names
from semiseg.data.pairing.name_forms import words

PHOTOGRAPHS = (".jpg", ".jpeg", ".jfif", ".heic", ".heif")
"""The suffixes of lossy images, in which no mask survives: a PNG file of their name may be one."""
_LOSSLESS = (".png", ".bmp", ".gif", ".tif", ".tiff")
_COMPANIONS = frozenset(
    {"id", "ids", "train", "fine", "color", "colour", "binary", "img", "image", "st", "nd", "rd"}
)
_MOST = 0.9  # of the files of a suffix, if they are masks
_CUT = re.compile(r"[-_ .]")
_OVERLAY = re.compile(
    r"(?<=.)[-_ .](overlay|overlays|vis|viz|visualization|blend|blended|pred|prediction)$", re.I
)
_SEPARATOR = re.compile(r"[-_ .]+$")


class Affix(NamedTuple):
    """What a name says besides that of an image: `_mask` of `07_mask_1`.

    Attributes:
        core: the name without it.
        words: the words of it, in small letters, without numbers.
        is_behind: whether it stands behind the image's name.
    """

    core: str
    words: tuple[str, ...]
    is_behind: bool


def role_affix(stem: str, stems: Set[str] = frozenset()) -> Affix | None:
    """The part of a file's name that says that it is a mask; None if there is none.

    Args:
        stem: the name without its suffix.
        stems: the names of images; where the part may be longer or shorter, it leaves one of them.

    Example:
        >>> role_affix("07_mask_1")
        Affix(core='07', words=('mask',), is_behind=True)
        >>> role_affix("tree_label_mask"), role_affix("tree_label_mask", {"tree_label"})
        (Affix(core='tree', words=('label', 'mask'), is_behind=True), \
Affix(core='tree_label', words=('mask',), is_behind=True))
        >>> role_affix("mask_07")
        Affix(core='07', words=('mask',), is_behind=False)
    """
    spans = words(stem)
    texts = [stem[begin:end].casefold() for begin, end in spans]
    if not any(text in ROLE_WORDS for text in texts):
        return None
    affixes: list[Affix] = []
    usual: Affix | None = None
    for i in range(len(texts) - 1, 0, -1):
        if not (texts[i] in ROLE_WORDS or texts[i].isdigit() or texts[i] in _COMPANIONS):
            break
        behind = tuple(text for text in texts[i:] if not text.isdigit())
        if not ROLE_WORDS.isdisjoint(behind):
            affixes.append(Affix(_SEPARATOR.sub("", stem[: spans[i][0]]), behind, True))
            usual = affixes[-1] if texts[i] in ROLE_WORDS else usual
    end = next((i for i, text in enumerate(texts) if text not in ROLE_WORDS), len(texts))
    if not affixes and 0 < end < len(texts):
        usual = Affix(stem[spans[end][0] :], tuple(texts[:end]), False)
    return next((affix for affix in affixes if affix.core in stems), usual)


def without_overlays(files: Sequence[Path]) -> list[Path]:
    """Files of one folder without pictures of results: `07_overlay.png` beside `07_mask.png`."""
    cores = {path: core for path in files if (core := overlay_core(path.stem))}
    if not cores:
        return list(files)
    stems = (path.stem for path in files if path not in cores)
    starts = {
        stem[:end]
        for stem in stems
        for end in (len(stem), *map(re.Match.start, _CUT.finditer(stem)))
    }
    return [path for path in files if path not in cores or cores[path] not in starts]


def overlay_core(stem: str) -> str:
    """The name before `_overlay`, `_vis` or `_pred`; empty if it does not end in such a word."""
    match = _OVERLAY.search(stem)
    return stem[: match.start()] if match else ""


def masks_beside(
    pictures: Iterable[Path], shapes: Iterable[Path] = (), with_png: bool = False
) -> list[Path]:
    """Which of these images are masks of others in the same folder, by their names alone.

    Args:
        pictures: the images.
        shapes: LabelMe's files; an image of the name of one is no mask.
        with_png: whether lossless files (PNG) are masks too, if they have the names of lossy ones
            (JPEG), or if all files of one suffix have those of others and more (`07_x.png`).

    Returns:
        The masks, sorted. An image with the ending or the beginning of other masks in its folder
        is one even if its own image is missing: it is no photograph. Numbered ones
        (`07_mask_1.png`) are masks as well.
    """
    images = {path.with_suffix("") for path in shapes}
    masks: set[Path] = set()
    for _, files in groupby(sorted(pictures), key=lambda path: path.parent):
        candidates = [path for path in files if path.with_suffix("") not in images]
        masks |= _masks_of_a_folder(candidates, with_png)
    return sorted(masks)


def _masks_of_a_folder(files: Sequence[Path], with_png: bool) -> set[Path]:
    stems = {path.stem for path in files}
    affixes = {path: affix for path in files if (affix := role_affix(path.stem, stems))}
    cores = {affix.core for affix in affixes.values()}
    mask_affixes = {path: affix for path, affix in affixes.items() if path.stem not in cores}
    masks: set[Path] = set()
    if mask_affixes:
        images = [path.name for path in files if path not in mask_affixes]
        match = match_names(images, [path.name for path in mask_affixes])
        mask_names = {mask for theirs in match.pairs.values() for mask in theirs}
        mask_names |= {rival.mask for rival in match.rivals}
        kinds = {affix[1:] for path, affix in mask_affixes.items() if path.name in mask_names}
        masks = {path for path, affix in mask_affixes.items() if affix[1:] in kinds}
    if with_png:
        rest = [path for path in files if path not in masks]
        with_mask = {affix.core for path, affix in mask_affixes.items() if path in masks}
        masks |= _lossless(rest, with_mask)
    return masks


def _lossless(files: Sequence[Path], with_mask: Set[str]) -> set[Path]:
    """The lossless files that are masks of photographs, because their names say so."""
    photographs = {path.stem: path for path in files if path.suffix.lower() in PHOTOGRAPHS}
    lossless = [
        path
        for path in files
        if path.suffix.lower() in _LOSSLESS
        and (path.stem in photographs or path.stem not in with_mask)
    ]
    png = [path for path in lossless if path.suffix.lower() == ".png"]
    if any(path.stem in photographs for path in png):
        return set(png)
    return _of_one_suffix(files)


def _of_one_suffix(files: Sequence[Path]) -> set[Path]:
    """The lossless files of a suffix that have the names of the other files, and more."""
    for suffix in _LOSSLESS:
        mine = [path for path in files if path.suffix.lower() == suffix]
        others = [path.name for path in files if path.suffix.lower() != suffix]
        if not mine or not others:
            continue
        match = match_names(others, [path.name for path in mine])
        mask_names = {mask for theirs in match.pairs.values() for mask in theirs}
        if len(mask_names) >= _MOST * len(mine) and all(rule.is_longer for rule in match.rules):
            return {path for path in mine if path.name in mask_names}
    return set()


def stem_of_image(mask: Path, stems: Set[str]) -> str | None:
    """The stem of the image whose mask a file is by its name; None if it is no such mask.

    Args:
        mask: the file.
        stems: the names of the images, without suffixes.
    """
    affix = role_affix(mask.stem, stems)
    return affix.core if affix is not None and affix.core in stems else None
