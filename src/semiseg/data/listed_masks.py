"""The masks that a list of labeled images names in its second column.

Published lists have an image and its mask on each line. Such a mask counts in place of the one that
the data folder gives the image, since a tree may hold several masks of it: Pascal VOC has the
fine ones of `SegmentationClass` and the rough ones of `SegmentationClassAug`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from semiseg.core.errors import DataError
from semiseg.core.files import cache_folder, is_file
from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.findings import Finding, error_of, note
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.image_lists import NameIndex, list_lines
from semiseg.data.layout_registry import PublishedLayout
from semiseg.data.layouts.image_index import path_parts
from semiseg.data.layouts.layout import Layout, Listing
from semiseg.data.layouts.lists import ListLayout


class _Named(NamedTuple):
    """The mask that a line names for an image."""

    mask: Path
    line: int


def use_listed_masks(
    root: Path, layout: Layout, listings: Mapping[str, Listing], path: Path | None
) -> dict[str, Listing]:
    """The images by split, with the masks that a list of labeled images names.

    Args:
        root: the data folder.
        layout: its layout.
        listings: the images by split.
        path: the list; None without one. A list that cannot be read changes nothing: whoever reads
            the images that it names gives the error.

    Returns:
        The images by split. An error in the list is a finding of `train`.
    """
    if path is None or not is_file(path) or not _may_choose(layout, listings):
        return dict(listings)
    train = listings["train"]
    samples = [*train.samples, *listings["unlabeled"].samples]
    try:
        named = dict(_masks_by_image(root, layout, samples, path))
    except DataError as error:
        return {**listings, "train": replace(train, findings=[*train.findings, error_of(error)])}
    changed = [s for s in samples if s.image in named and s.mask != named[s.image].mask]
    if not changed:
        return dict(listings)
    masked = [s._replace(mask=named[s.image].mask) for s in changed]
    images = {sample.image for sample in changed}
    parts = {split: _without(listing, images) for split, listing in listings.items()}
    unread = [sample.mask for sample in changed if sample.mask is not None]
    parts["train"] = replace(
        parts["train"],
        samples=sorted([*parts["train"].samples, *masked]),
        findings=[*train.findings, _note(path, changed, masked)],
        sources=[*train.sources, *unread],
    )
    return parts


def _may_choose(layout: Layout, listings: Mapping[str, Listing]) -> bool:
    """Whether other masks can stand in for those of the data folder.

    They cannot where masks are drawn from annotations, nor where a data set has its masks in two
    forms with different ids: all masks must spell the classes in the same way.
    """
    if isinstance(layout, PublishedLayout) and layout.dataset.mask_forms > 1:
        return False
    cache = cache_folder()
    masks = [s.mask for part in listings.values() for s in part.samples if s.mask is not None]
    return all(
        mask.suffix.lower() in IMAGE_SUFFIXES and (cache is None or not mask.is_relative_to(cache))
        for mask in masks
    )


def _masks_by_image(
    root: Path, layout: Layout, samples: list[Sample], path: Path
) -> Iterator[tuple[Path, _Named]]:
    """The masks that a list names, by the image's file.

    Raises:
        DataError: a mask does not exist, or an image is named with two masks.
    """
    index, named = NameIndex(samples), dict[Path, _Named]()
    try:
        lines = list(list_lines(path, index))
    except (OSError, ValueError):
        return
    for line in lines:
        sample = index.lookup(line.words)
        if sample is None or not line.mask:
            continue
        where = f"{path}, line {line.number}"
        mask = _find(root, layout, sample, line.mask)
        if mask is None:
            raise _missing(where, root, layout, sample, line.mask)
        first = named.setdefault(sample.image, _Named(mask, line.number))
        if first.mask != mask:
            raise DataError(
                f"{where} names the mask {mask} for {sample.image}, but line {first.line} names "
                f"{first.mask}.",
                "Remove one of the lines.",
            )
        if isinstance(layout, ListLayout) and sample.mask not in (None, mask):
            own = layout.list_of_mask(sample.image)
            if own is not None:
                raise DataError(
                    f"{where} names the mask {mask} for {sample.image}, but {own} names "
                    f"{sample.mask}.",
                    "Correct one of the lists, or remove the one in the data folder.",
                )
    yield from named.items()


def _find(root: Path, layout: Layout, sample: Sample, text: str) -> Path | None:
    """The mask file that a text names below the data folder; None if there is none.

    Args:
        root: the data folder.
        layout: its layout.
        sample: the image of the mask.
        text: a path relative to the data folder, or one that begins above it.
    """
    parts = path_parts(text)
    places = [root, *(place for place in sample.image.parents if place.is_relative_to(root))]
    aliases = layout.dataset.mask_aliases if isinstance(layout, PublishedLayout) else {}
    forms = [parts]
    if len(parts) > 1 and parts[-2] in aliases:
        forms.append((*parts[:-2], aliases[parts[-2]], parts[-1]))
    for form in forms:
        for place in dict.fromkeys(places):
            for start in range(max(1, len(form) - 1)):  # at least a folder and a name
                file = place.joinpath(*form[start:])
                if is_file(file):
                    return file
    return None


def _missing(where: str, root: Path, layout: Layout, sample: Sample, text: str) -> DataError:
    """The error on a mask that does not exist, with what probably helps."""
    problem = f"{where}: there is no mask {text} in {root}."
    folder = path_parts(text)[-2:-1]
    aliases = layout.dataset.lists_mean if isinstance(layout, PublishedLayout) else {}
    if folder and folder[0] in aliases:
        name = aliases[folder[0]]
        return DataError(problem, f"If the list means the masks of {name}, add --dataset {name}.")
    if sample.mask is None or not sample.mask.is_relative_to(root):
        return DataError(problem, "Add the mask, or correct the line.")
    own = sample.mask.relative_to(root).as_posix()
    return DataError(problem, f"Add the mask, or write {own} in that line.")


def _without(listing: Listing, images: set[Path]) -> Listing:
    return replace(listing, samples=[s for s in listing.samples if s.image not in images])


def _note(path: Path, before: list[Sample], after: list[Sample]) -> Finding:
    """Which masks the list chose, and which of them replace others."""
    folders = sorted({sample.mask.parent.name for sample in after if sample.mask})
    replaced = [sample.mask for sample in before if sample.mask is not None]
    text = f"{path} chooses {plural(len(after), 'mask')} of {', '.join(folders)}"
    if replaced:
        others = ", ".join(sorted({mask.parent.name for mask in replaced}))
        some = "" if len(replaced) == len(after) else f", {len(replaced)} of them"
        text += f"{some} in place of those in {others}"
    return note(text)
