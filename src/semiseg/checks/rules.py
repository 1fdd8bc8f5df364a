"""The rules of `semiseg check`: each looks at a data folder that was read, and yields findings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from semiseg.checks.alike_classes import alike_classes
from semiseg.checks.class_rules import (
    foreground,
    occurrence,
    uniform_masks,
    unnamed_classes,
    void_values,
)
from semiseg.checks.maps import neighboring_maps, unlike_resolutions
from semiseg.checks.near_duplicates import near_duplicates
from semiseg.checks.repeated_images import augmented_copies, contradicting_masks, identical_images
from semiseg.checks.unlike_images import unlike_images
from semiseg.data.dataset import Dataset
from semiseg.data.defects import on_paths
from semiseg.data.findings import Finding
from semiseg.data.groups import Groups
from semiseg.data.hold_out import HELD_OUT_SHARE
from semiseg.data.pairing.beside import stem_of_image


def _named_as_masks(data: Dataset) -> Iterable[Finding]:
    """Masks among the images, where the masks have a folder of their own."""
    labeled = {sample.image.with_suffix("") for sample in data.train if sample.mask}
    stems: defaultdict[Path, set[str]] = defaultdict(set)
    for sample in data.train:
        stems[sample.image.parent].add(sample.image.stem)
    suspects = []
    for image in (sample.image for sample in data.train):
        stem = stem_of_image(image, stems[image.parent])
        if stem and not {image.with_suffix(""), image.parent / stem} <= labeled:
            suspects.append(image)
    message = "Images whose names are those of masks, but which are read as photographs"
    remedy = "If they are masks, move them into the folder of the masks."
    return on_paths(data, "mask-name", "warning", suspects, message, remedy)


def _no_val(data: Dataset) -> Iterator[Finding]:
    labeled = len(list(data.labeled("train")))
    ambiguous = any(f.kind in ("layout", "duplicate-name") for f in data.errors())
    if labeled == 0 or data.val or ambiguous:  # there may be more masks than were matched
        return
    start = "There is no val with masks, so a training holds out"
    if labeled > 1:
        count = max(1, round(HELD_OUT_SHARE * labeled))
        message = f"{start} about {count} of the {labeled} labeled images. RUN/split/val.txt then "
        yield Finding("no-val", "note", (), f"{message}lists them")
    else:
        message = f"{start} a part of the labeled images, but there is only one"
        yield Finding("no-val", "error", (), message, "Label one more image.")


def _groups(data: Dataset) -> Iterator[Finding]:
    """Groups that two splits share, and images without a group."""
    if data.group is None:
        return
    groups = Groups(data.group, corrected=data.corrected)
    scored = [*data.val, *data.test]
    for sentence in groups.notes((*data.train, *scored)):
        yield Finding("group", "note", (), sentence)
    labeled = groups.divide(sample for sample, _ in data.labeled("train"))
    if not data.val and len(labeled) == 1:
        message = f"All labeled images belong to one {next(iter(labeled))}, so none can be held "
        message += "out for validation"
        yield Finding("group", "error", (), message, f"Correct {groups}, or label other images.")
    train_groups = groups.divide(data.train)
    details = {
        samples[0].image: f" and {len(samples) - 1} more of the {name}, with "
        f"{len(train_groups[name])} in train"
        for name, samples in groups.divide(scored).items()
        if name in train_groups and groups.matches(samples[0])
    }
    message = "Groups of which some images are in val or test, and others are trained on: scores "
    message += "are too good"
    remedy = "Move all images of a group into one split, or remove val/ to have groups held out."
    yield from on_paths(data, "shared-group", "warning", details, message, remedy)


RULES: tuple[Callable[[Dataset], Iterable[Finding]], ...] = (
    _no_val,
    identical_images,
    augmented_copies,
    contradicting_masks,
    _named_as_masks,
    occurrence,
    unnamed_classes,
    alike_classes,
    void_values,
    foreground,
    uniform_masks,
    _groups,
    near_duplicates,
    unlike_images,
    neighboring_maps,
    unlike_resolutions,
)
"""All rules, in the order in which their findings are printed."""
