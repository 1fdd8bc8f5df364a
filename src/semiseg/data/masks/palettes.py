"""Palette images as masks: whether their ids or their colors say the class.

Annotation tools write ids, and a palette only to show them. Image editors that save "as indexed"
number the colors anew in each file, so that the same id has another color in the next file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from semiseg.data.classes.classes_file import pack
from semiseg.data.formats.codes import Color, MaskScan, is_gray
from semiseg.data.formats.mask_rule import VOID_CODES

_MIN_RECURRENCE = 2  # files per color; colors drawn at random in each file do not recur
_BLACK = (0, 0, 0)


class PaletteConflict(NamedTuple):
    """An id that two files show in different colors.

    Attributes:
        id: the id.
        one: a file and the color in it.
        other: another file and the color in it.
    """

    id: int
    one: tuple[MaskScan, Color]
    other: tuple[MaskScan, Color]


def find_conflict(scans: Sequence[MaskScan]) -> PaletteConflict | None:
    """The first id that two palette images show in different colors.

    Palettes of gray levels that are the ids themselves say nothing.
    """
    first: dict[int, tuple[MaskScan, Color]] = {}
    for scan in scans:
        if not has_colors(scan):
            continue
        for code, color in scan.palette.items():
            holder = first.setdefault(code, (scan, color))
            if holder[1] != color:
                return PaletteConflict(code, holder, (scan, color))
    return None


def has_colors(scan: MaskScan) -> bool:
    """Whether a mask has a palette that is more than its ids as gray levels."""
    return bool(scan.palette) and any(
        color != (code, code, code) for code, color in scan.palette.items()
    )


def goes_by_color(scans: Sequence[MaskScan], conflict: PaletteConflict | None) -> bool:
    """Whether the colors of palette images are their classes.

    Args:
        scans: all masks.
        conflict: as `find_conflict` gives it.

    Returns:
        True if the palettes contradict each other and the colors recur, above all with other ids,
        or if other masks hold the same colors without a palette. False if the palettes are drawn at
        random in each file.
    """
    palettes = [scan for scan in scans if has_colors(scan)]
    palette_colors = Counter(
        pack(color) for scan in palettes for color in set(scan.palette.values())
    )
    colored = {
        code
        for scan in scans
        if scan.encoding == "colors" and not scan.is_soft
        for code in scan.counts
        if code not in VOID_CODES
    }
    if any(not is_gray(code) for code in colored):
        return len(colored & palette_colors.keys()) >= min(2, len(palette_colors))
    if conflict is None or any(scan.encoding == "ids" and not scan.palette for scan in scans):
        return False
    ids_of = defaultdict[Color, set[int]](set)
    for scan in palettes:
        for code, color in scan.palette.items():
            ids_of[color].add(code)
    if any(len(ids) > 1 for color, ids in ids_of.items() if color != _BLACK):
        return True  # no tool draws the same color again by chance
    # Editors number colors without gaps; where there are gaps, the missing ids are other classes.
    without_gaps = all(max(scan.palette) == len(scan.palette) - 1 for scan in palettes)
    return without_gaps and sum(palette_colors.values()) >= _MIN_RECURRENCE * len(palette_colors)


def with_colors(scan: MaskScan) -> MaskScan:
    """The scan of a palette image, with its colors instead of its ids."""
    if not scan.palette:
        return scan
    counts: Counter[int] = Counter()
    for code, count in scan.counts.items():
        counts[pack(scan.palette[code]) if code in scan.palette else code] += count
    return scan._replace(encoding="colors", counts=dict(counts), palette={}, lines=())


def fits_names(scans: Sequence[MaskScan], colors: Collection[Color]) -> bool:
    """Whether all colors of the palettes are among those that a file of classes names."""
    return {color for scan in scans for color in scan.palette.values()} <= set(colors)
