"""A reading of folders, and what prefers one reading to others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from semiseg.core.types import Sample
from semiseg.data.findings import Finding
from semiseg.data.layouts.families import Family
from semiseg.data.pairing.pairs import (
    Matched,
)


@dataclass(frozen=True)
class Reading:
    """The images of a family, with the masks that belong to them.

    Attributes:
        images: the family of the images.
        masks: the family of the masks; None if they lie beside their images.
        samples: the images by their names, with their masks.
        matched: which masks belong to which images, by which rules; None if there are no files.
        errors: what makes the names ambiguous.
    """

    images: Family
    masks: Family | None
    samples: tuple[Sample, ...]
    matched: Matched | None = None
    errors: tuple[Finding, ...] = ()

    @property
    def labeled(self) -> list[Sample]:
        """The images with masks."""
        return [sample for sample in self.samples if sample.mask is not None]

    @property
    def example(self) -> tuple[Path, Path] | None:
        """An image and one of its masks, as they lie in the data folder; None without masks."""
        if self.matched is None or not self.matched.masks:
            return None
        name, masks = next(iter(self.matched.masks.items()))
        return self.matched.images[name], masks[0]

    @property
    def pairs(self) -> int:
        """How many images have masks; ambiguous names count as one."""
        return len(self.labeled) or len(self.errors)


@dataclass(frozen=True)
class Choice:
    """How a split is read.

    Attributes:
        readings: what is read; several where folders go together, such as `images1` and `images2`.
        problem: the error that shows the readings between which names do not decide.
        passed_over: the families that may hold masks or images too, and are not read.
    """

    readings: tuple[Reading, ...] = ()
    problem: Finding | None = None
    passed_over: tuple[Family, ...] = ()


def lies_nearby(images: Family, masks: Family) -> bool:
    """Whether both lie in one folder that says nothing, such as that of a site."""
    return bool(images.common_inner()) and images.common_inner() == masks.common_inner()


def names_same_split(images: Family, masks: Family) -> bool:
    """Whether masks are said to be of the split of the images."""
    return masks.split == images.split


def goes_parallel(images: Family, masks: Family) -> bool:
    """Whether masks go with images by what their names say besides their roles."""
    return bool(images.rests) and masks.rests == images.rests


def is_primary(images: Family, masks: Family) -> bool:
    """Whether the folder of the masks is no second choice by its name."""
    return not masks.is_secondary


def go_together(readings: Sequence[Reading]) -> bool:
    """Whether several readings are parts of one split, such as `images1` and `images2`."""
    shapes = {_own_folders(reading) + tuple(sorted(reading.images.shape)) for reading in readings}
    splits = {reading.images.split for reading in readings}
    masks = {id(reading.masks) for reading in readings if reading.masks is not None}
    return (
        len(shapes) == len(readings)
        and len(splits) == 1
        and (len(masks) in (0, len(readings)) or (len(masks) == 1 and _are_apart(readings)))
    )


def _own_folders(reading: Reading) -> tuple[str, ...]:
    """What tells the folders of a reading from those of others: a site, a number."""
    return (*reading.images.common_inner(), *reading.images.rests)


def with_own_names(readings: Sequence[Reading]) -> tuple[Reading, ...]:
    """Readings of one split; images of the same name are told apart by their folders."""
    names = Counter(sample.name for reading in readings for sample in reading.samples)
    if max(names.values(), default=1) == 1:
        return tuple(readings)
    return tuple(
        replace(
            reading,
            samples=tuple(
                sample._replace(name="/".join((*_own_folders(reading), sample.name)))
                for sample in reading.samples
            ),
        )
        for reading in readings
    )


def plainest(readings: Sequence[Reading]) -> Sequence[Reading]:
    """The reading whose names say less than all others: `train`, not `train_ref`; or all."""
    first, *others = sorted(readings, key=lambda reading: len(reading.images.rests))
    rests = [set(reading.images.rests) for reading in others]
    return [first] if all(rest > set(first.images.rests) for rest in rests) else readings


def _are_apart(readings: Sequence[Reading]) -> bool:
    """Whether each mask belongs to images of one reading only, all of which have masks."""
    matches = [reading.matched for reading in readings if reading.matched]
    files = [path for matched in matches for path in matched.files]
    complete = all(len(reading.labeled) == len(reading.samples) for reading in readings)
    return complete and len(set(files)) == len(files)
