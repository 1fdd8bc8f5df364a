"""Which files of two families of folders belong together, by their names below these folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from semiseg.core.types import Sample
from semiseg.data.layouts.families import Family
from semiseg.data.layouts.folder_readings import Reading
from semiseg.data.pairing.beside import masks_beside
from semiseg.data.pairing.pairs import (
    Matched,
    duplicates,
    find_masks,
    has_shapes,
    line_breaks,
)
from semiseg.data.pairing.roles import role_of

_KINDS = (
    *("_labelTrainIds", "_labelIds", "_instanceIds", "_instanceTrainIds", "_color"),
    *("_labelColor", "_invIds", "_invGray"),
)
_FIGURES = re.compile(
    r"[\W_]+|(?<![0-9])0+(?=[0-9])"
)  # parts of names that do not distinguish folders


class FamilyPairs:
    """Pairs the images of families with their masks.

    Args:
        root: the data folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._has_shapes = cache(has_shapes)

    def read(self, images: Family, masks: Family | None) -> Reading:
        """The images of a family with the masks of another, or with those beside them."""
        if masks is None:
            return self._read_beside(images)
        shapes = self._shapes(images)
        mask_files = _main_kind(masks.images) + masks.json_files
        if masks.images:
            shapes = [path for path in shapes if self._has_shapes(path)]
        elif masks.json_files and not self._has_shapes(masks.json_files[0]):
            mask_files = []
        everything = sorted([*mask_files, *shapes])
        keep = images.images
        reading = self._pair(images, masks, keep, everything)
        if images.content or not reading.pairs:
            return reading
        folders = {s.image.parent for s in reading.labeled}  # others hold no images of this kind
        keep = [path for path in keep if path.parent in folders]
        return self._pair(images, masks, keep, everything)

    def _read_beside(self, images: Family) -> Reading:
        pictures = images.images
        shapes = self._shapes(images)
        labelme = [path for path in shapes if self._has_shapes(path)]
        beside = masks_beside(pictures, labelme, with_png=True)
        if not images.content:  # folders without any mask may hold anything
            folders = {path.parent for path in (*beside, *labelme)}
            pictures = [path for path in pictures if path.parent in folders] or pictures
        shapes = labelme if beside or not images.content else shapes
        others = sorted(set(pictures) - set(beside))
        return self._pair(images, None, others, [*beside, *shapes])

    def _shapes(self, images: Family) -> list[Path]:
        """The JSON files beside images that are LabelMe's, or have an image's name."""
        stems = {path.with_suffix("") for path in images.images}
        return [
            path
            for path in images.json_files
            if path.with_suffix("") in stems or self._has_shapes(path)
        ]

    def _pair(
        self,
        images: Family,
        masks: Family | None,
        image_files: Iterable[Path],
        mask_files: Iterable[Path],
    ) -> Reading:
        """Pair files by their names below the folders with roles."""
        root, wanted, wanted_masks = self._root, set(image_files), set(mask_files)
        own = len(images.common_inner())
        names = {path: name for name, path in images.names(own) if path in wanted}
        full_names = {path: name for name, path in images.names(own)}
        if masks is not None:
            own_masks = len(masks.common_inner())
            full_names |= {path: name for name, path in masks.names(own_masks)}
        reading = Reading(images, masks, ())
        for image_skip, mask_skip in _attempts(images, masks):
            by_name, repeated = _index(images.names(image_skip), wanted)
            mask_names = [*masks.names(mask_skip)] if masks is not None else []
            masks_by_name, more = _index([*mask_names, *images.names(image_skip)], wanted_masks)
            errors = duplicates(root, {**repeated, **more})
            errors = errors or line_breaks([*wanted, *wanted_masks])
            matched = _without_strangers(find_masks(root, by_name, masks_by_name), full_names)
            firsts = {name: paths[0] for name, paths in matched.masks.items()}
            samples = sorted(
                Sample(names[path], path, firsts.get(name)) for name, path in by_name.items()
            )
            errors = errors or matched.errors
            reading = Reading(images, masks, tuple(samples), matched, tuple(errors))
            if firsts:
                break
        return reading


def _index(
    names: Iterable[tuple[str, Path]], wanted: set[Path]
) -> tuple[dict[str, Path], dict[Path, Path]]:
    """The wanted files by name, sorted by it; and further files of a name with the first one."""
    by_name: dict[str, Path] = {}
    repeated: dict[Path, Path] = {}
    for name, path in names:
        if path in wanted and by_name.setdefault(name, path) != path:
            repeated[path] = by_name[name]
    return dict(sorted(by_name.items())), repeated


def _attempts(images: Family, masks: Family | None) -> list[tuple[int, int]]:
    """How many folders to leave out of the names of images and masks, one try after the other."""
    own = [family.common_inner() for family in (images, masks) if family is not None]
    shared = 0
    for parts in zip(*own, strict=False):
        if len(set(parts)) > 1:
            break
        shared += 1
    attempts = [(shared, shared), (len(own[0]), len(own[-1]))]
    if not images.content and masks is not None:  # the folder of the images has any name
        attempts.append((1, len(own[-1])))
    return list(dict.fromkeys(attempts))


def _without_strangers(matched: Matched, names: Mapping[Path, str]) -> Matched:
    """Pairs without those whose folders contradict each other: `good/000` and `crack/000_mask`.

    Args:
        matched: the pairs.
        names: the files' names with the folders that say nothing.
    """
    by_image = {}
    strangers = []
    for image, paths in matched.masks.items():
        full_name = names[matched.images[image]]
        fitting = [path for path in paths if _fit(full_name, names[path])]
        strangers += [path for path in paths if path not in fitting]
        if fitting:
            by_image[image] = fitting
    if not strangers:
        return matched
    findings = matched.findings if by_image else []
    unmatched = [*matched.unmatched, *strangers]
    return matched._replace(masks=by_image, unmatched=unmatched, findings=findings)


def _main_kind(masks: Sequence[Path]) -> list[Path]:
    """The masks of classes, where Cityscapes' programs wrote several kinds for each image."""
    by_kind: dict[str, list[Path]] = {kind: [] for kind in _KINDS}
    for path in masks:
        kind = next((kind for kind in _KINDS if path.stem.endswith(kind)), None)
        if kind is None:
            return list(masks)
        by_kind[kind].append(path)
    return max(by_kind.values(), key=len) if masks else []


def _fit(image: str, mask: str) -> bool:
    """Whether the folders in two names may be the same; those of one side may be missing."""
    folders = [
        [
            _FIGURES.sub("", folder.casefold())
            for folder in name.split("/")[:-1]
            if role_of(folder).content != content
        ]  # a folder `rgb` of images has none of the same name among the masks
        for name, content in ((image, "images"), (mask, "masks"))
    ]
    return not all(folders) or any(
        a.startswith(b) or b.startswith(a) for a in folders[0] for b in folders[1]
    )
