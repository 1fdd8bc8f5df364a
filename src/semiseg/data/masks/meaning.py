"""What the masks of a data folder mean: how they are read, and which classes they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from semiseg.data.class_choice import ClassChoice
from semiseg.data.dataset import name_below
from semiseg.data.formats.codes import MaskScan
from semiseg.data.formats.masks import Classes
from semiseg.data.layouts.layout import Layout
from semiseg.data.masks.mask_rules import Rescan, SettledMasks, settle_masks, without_voids


class Meaning(NamedTuple):
    """What the masks of a data folder mean.

    Attributes:
        masks: all masks, and the rule by which they are read together.
        choice: the classes.
        has_names: whether a file or the layout names the classes.
    """

    masks: SettledMasks
    choice: ClassChoice
    has_names: bool

    @property
    def usable(self) -> dict[Path, MaskScan]:
        """The masks that may add classes: a soft one only where the classes have names."""
        scans = self.masks.scans.items()
        return {mask: scan for mask, scan in scans if self.has_names or not scan.is_soft}

    def turned(self, is_turned: bool) -> Meaning:
        """The same, with a rule that says whether masks show the stored pixels of their images."""
        classes = self.choice.classes
        if classes is None:
            return self
        rule = replace(self.masks.rule, is_turned=is_turned)
        choice = self.choice._replace(classes=replace(classes, rule=rule))
        return self._replace(choice=choice)


def read_meaning(
    root: Path,
    layout: Layout,
    settle: Callable[[list[MaskScan]], ClassChoice],
    scans: Mapping[Path, MaskScan],
    rescan: Rescan,
) -> Meaning:
    """Decide how the masks are read and what their classes are.

    Named classes decide how masks are read, and how they are read decides the other classes.

    Args:
        root: the data folder.
        layout: of the data folder.
        settle: finds the classes of masks.
        scans: all masks, as they are stored.
        rescan: scans masks again.
    """
    first = settle(list(map(without_voids, scans.values())))
    has_names = first.file is not None or layout.names_classes
    names = first.classes if has_names else None
    masks = settle_masks(scans, names, rescan, partial(name_below, root))
    meaning = Meaning(masks, first, has_names)
    choice = settle(list(map(without_voids, meaning.usable.values())))
    return Meaning(masks, choice, choice.file is not None or layout.names_classes)


def count_all(
    meaning: Meaning,
) -> tuple[dict[Path, Mapping[int, int]], dict[Path, Sequence[int]]]:
    """The pixels of each class in the usable masks, and the codes of no class by mask."""
    counts: dict[Path, Mapping[int, int]] = {}
    unknown: dict[Path, Sequence[int]] = {}
    if meaning.choice.classes is not None:
        usable = meaning.usable
        for mask, scan in meaning.masks.scans.items():
            pixels, strange = _count_classes(scan, meaning.choice.classes)
            if strange:
                unknown[mask] = strange
            elif mask in usable:
                counts[mask] = pixels
    return counts, unknown


def _count_classes(scan: MaskScan, classes: Classes) -> tuple[dict[int, int], list[int]]:
    """Pixels of each class index, 255 for ignored ones, and codes of no class."""
    gray = scan.encoding == "colors" and classes.encoding == "ids"
    pixels: dict[int, int] = {}
    unknown = []
    for code, count in scan.counts.items():
        index = classes.indices.get(code & 0xFF if gray else code)
        if index is None:
            unknown.append(code)
        else:
            pixels[index] = pixels.get(index, 0) + count
    return pixels, unknown
