"""Which mask belongs to which image: names decide, whatever the folders and the suffixes are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.findings import Finding, note, on_files
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.formats.matlab import MATLAB_SUFFIX
from semiseg.data.formats.vectors import VECTOR_SUFFIXES
from semiseg.data.pairing.beside import masks_beside, role_affix
from semiseg.data.pairing.match_state import Rule
from semiseg.data.pairing.matching import match_names
from semiseg.data.pairing.number_series import counts_from_another_number
from semiseg.data.pairing.united import United, unite
from semiseg.data.tree import Tree

_SHAPES = b'"shapes"'
_CHUNK = 1 << 16


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

        """
        pictures = self.tree.images(self.images, self.deep)
        masks = self.tree.files(self.masks, (*IMAGE_SUFFIXES, LABELME_SUFFIX), self.deep)
        masks = masks or self.tree.files(self.masks, (MATLAB_SUFFIX, *VECTOR_SUFFIXES), self.deep)
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
        shapes = labelme if beside or not self.deep else shapes
        return Files(sorted(set(pictures) - set(beside)), [*beside, *shapes])


class Pairs(NamedTuple):
    """Images with their masks.

    Attributes:
        samples: sorted by name.
        findings: what was noticed on the names.
        class_names: the classes, where the names of masks say them, by index; else empty.
        sources: masks that are no sample's, because they were united or belong to no image.
    """

    samples: list[Sample]
    findings: list[Finding]
    class_names: tuple[str, ...] = ()
    sources: tuple[Path, ...] = ()


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


def pair(folders: Folders, class_names: tuple[str, ...] = ()) -> Pairs:
    """The images of a folder with their masks, which the common part of the names tells.

    Args:
        folders: of the images and the masks.
        class_names: the classes that the names of the masks of another split say; else empty.

    Returns:
        The samples; where names are ambiguous, those of the first file of each name, and an error
        among the findings.
    """
    root = folders.tree.root
    images, repeated = index(folders.files.images, folders.images)
    masks, repeated_masks = index(folders.files.masks, folders.masks, folders.images)
    errors = duplicates(root, {**repeated, **repeated_masks}) or line_breaks(
        [*folders.files.images, *folders.files.masks]
    )
    matched = find_masks(root, images, masks)
    errors = errors or matched.errors
    if errors:
        firsts = {name: theirs[0] for name, theirs in matched.masks.items()}
        samples = [Sample(name, path, firsts.get(name)) for name, path in images.items()]
        return Pairs(samples, errors)
    union = one_mask_each(root, matched, class_names)
    samples = [Sample(name, path, union.masks.get(name)) for name, path in images.items()]
    parts_of_unions = set(matched.files) - {sample.mask for sample in samples}
    findings = [*matched.findings, *union.findings, *without_image(root, matched.unmatched)]
    sources = (*matched.unmatched, *parts_of_unions)
    return Pairs(samples, findings, union.class_names, sources)


class Matched(NamedTuple):
    """Which masks belong to which images.

    Attributes:
        images: the images by their names.
        masks: the masks of each image that has any, by the image's name.
        unmatched: the masks that belong to no image.
        variants: what each mask's name says besides its image's, in words.
        findings: by which rules they were found.
        errors: what can be read in two ways.
    """

    images: Mapping[str, Path]
    masks: Mapping[str, Sequence[Path]]
    unmatched: Sequence[Path]
    variants: Mapping[Path, str]
    findings: list[Finding]
    errors: list[Finding]

    @property
    def files(self) -> list[Path]:
        """All masks that belong to images."""
        return [path for paths in self.masks.values() for path in paths]


def find_masks(root: Path, images: Mapping[str, Path], masks: Mapping[str, Path]) -> Matched:
    """Find the masks of images by the common part of their names.

    Args:
        root: the data folder.
        images: by their names, as `index` gives them.
        masks: likewise, in the folders of masks.
    """
    image_names = {f"{name}{path.suffix}": name for name, path in images.items()}
    paths = {f"{name}{path.suffix}": path for name, path in masks.items()}
    match = match_names(image_names, paths)
    by_image = {
        image_names[image]: [paths[mask] for mask in theirs]
        for image, theirs in match.pairs.items()
    }
    unmatched = [paths[mask] for mask in match.unmatched]
    rivals = {
        paths[mask]: [images[image_names[image]] for image in theirs]
        for mask, theirs in match.rivals
    }
    errors = _ambiguous(root, rivals) or _two_masks(images, by_image, unmatched)
    if match.pairs and unmatched and counts_from_another_number(image_names, paths):
        errors = errors or _counted_differently(root, [*images.values()], [*masks.values()])
    pairs = [(images[name], theirs) for name, theirs in by_image.items()]
    rules = {rule: (images[image_names[rule.image]], paths[rule.mask]) for rule in match.rules}
    variants = {paths[mask]: text for mask, text in match.variants.items()}
    notes = _rule_notes(root, rules, pairs)
    return Matched(images, by_image, unmatched, variants, notes, errors)


def one_mask_each(root: Path, matched: Matched, class_names: tuple[str, ...] = ()) -> United:
    """One mask for each image that has any; several are united.

    Args:
        root: the data folder.
        matched: the masks of the images.
        class_names: the classes that the names of the masks of another split say; else empty.
    """
    return unite(root, matched.images, matched.masks, matched.variants, class_names)


def _rule_notes(
    root: Path,
    rules: Mapping[Rule, tuple[Path, Path]],
    pairs: Iterable[tuple[Path, Sequence[Path]]],
) -> list[Finding]:
    """How masks were found: equal names in folders of masks go without saying.

    Args:
        root: the data folder.
        rules: each with an image and its mask.
        pairs: each image with its masks.
    """
    notes = []
    counts: Counter[tuple[str, bool]] = Counter()  # one rule may hold in many folders
    examples: dict[tuple[str, bool], tuple[Path, Path]] = {}
    for rule, (image, mask) in rules.items():
        if not rule.is_equality:
            key = rule.text, mask.parent == image.parent
            counts[key] += rule.pairs
            examples.setdefault(key, (image, mask))
    for (text, is_beside), count in counts.items():
        image, mask = examples[text, is_beside]
        if is_beside:
            masks = plural(count, "mask lies beside its image", "masks lie beside their images")
            names = mask.name, image.name
        else:
            masks = plural(count, "mask is found by its name", "masks are found by their names")
            names = mask.relative_to(root).as_posix(), image.relative_to(root).as_posix()
        notes.append(note(f"{masks}: {text} ({names[0]} belongs to {names[1]})"))
    if notes:
        return notes
    beside = [
        (image, mask)
        for image, masks in pairs
        for mask in masks
        if mask.parent == image.parent and mask.suffix.lower() != LABELME_SUFFIX
    ]
    if not beside:
        return []
    image, mask = beside[0]
    text = plural(len(beside), "mask lies beside its image", "masks lie beside their images")
    return [note(f"{text} ({mask.name} belongs to {image.name})")]


def _ambiguous(root: Path, rivals: Mapping[Path, Sequence[Path]]) -> list[Finding]:
    """The error for masks that may belong to several images."""
    details = {
        mask.relative_to(root).as_posix(): ": "
        + " or ".join(image.relative_to(root).as_posix() for image in images)
        for mask, images in rivals.items()
    }
    message = "Masks that may belong to several images"
    images = next(iter(rivals.values()), ())
    remedy = (
        "Give each mask the whole name of its image, in the same folders below the folder of the "
        "masks (images/cam1/007.jpg, masks/cam1/007.png)."
    )
    folders = {image.parent for image in images}
    if len(folders) == 2 and len({folder.parent for folder in folders}) == 1:  # rgb, nir
        names = " and ".join(sorted(str(folder) for folder in folders))
        remedy = (
            f"If only one of {names} holds the pictures, move the other one out of {root}. "
            f"Otherwise g{remedy[1:]}"
        )
    if len(folders) == 1:
        names = " and ".join(image.name for image in images[:2])
        remedy = (
            f"If only one of {names} is a picture, move the files like the other one out of "
            f"{root}, or put the pictures into a folder of their own and name it: --images DIR "
            "--masks DIR. Otherwise give each mask the whole name of its image."
        )
    return on_files("ambiguous-mask", "error", details, message, remedy)


def _counted_differently(
    root: Path, images: Sequence[Path], masks: Sequence[Path]
) -> list[Finding]:
    """The error for series of images and masks that begin with different numbers."""
    names = [path.relative_to(root).as_posix() for path in (images[0], masks[0])]
    message = (
        f"There are as many masks as images, {len(masks)}, but their numbers begin differently: "
        f"{names[1]} may belong to {names[0]}, or to no image"
    )
    remedy = "Give each mask the name of its image, or remove the masks without an image."
    return [Finding("ambiguous-mask", "error", (names[1],), message, remedy)]


def _two_masks(
    images: Mapping[str, Path], by_image: Mapping[str, Sequence[Path]], unmatched: Iterable[Path]
) -> list[Finding]:
    """The error for a second mask beside an image and its mask: `07.png` and `07_mask.png`."""
    names = {path.with_suffix(""): name for name, path in images.items()}
    stems = {path.name for path in names}
    for path in unmatched:
        affix = role_affix(path.stem, stems)
        name = names.get(path.with_name(affix.core)) if affix else None
        rival = next((p for p in by_image.get(name or "", ()) if p.parent == path.parent), None)
        if name is not None and rival is not None:
            return [
                note(
                    f"{rival} and {path} may both be the mask of {images[name]}",
                    "Remove one, or give the right one the image's name.",
                    "error",
                )
            ]
    return []


def without_image(root: Path, masks: Iterable[Path]) -> list[Finding]:
    """The warning for masks that belong to no image."""
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
