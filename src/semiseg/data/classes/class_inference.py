"""The classes of a data set, inferred from its masks alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from semiseg.core.errors import DataError
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.classes.class_names import names_and_ids
from semiseg.data.classes.classes_file import VOC_VOID, pack, unpack
from semiseg.data.formats.codes import Color, MaskScan, common_encoding, spell
from semiseg.data.formats.drawn_codes import DRAWN_SUFFIX
from semiseg.data.formats.mask_rule import Encoding
from semiseg.data.formats.masks import MAX_CLASSES, Classes, default_color
from semiseg.data.formats.thin_lines import isolated

MAX_ID = 65535
"""The highest id of a class: masks are written with 16 bits at most."""
_TOPS = (MAX_ID, IGNORE_INDEX)  # the highest values of 16 and 8 bits, which often mark void
_MIN_SPACE = 8  # between gray levels that are classes
_MAX_TOP_SPACE = 2  # the highest level is a class up to so many times the widest other space


class Ids(NamedTuple):
    """What the ids of all masks mean.

    Attributes:
        codes: the ids of classes.
        ignored: the ids of pixels that are ignored.
        note: how the ids were understood.
        are_levels: whether the ids are gray levels, and no numbers in a row.
    """

    codes: list[int]
    ignored: tuple[int, ...]
    note: str
    are_levels: bool


def infer_classes(scans: Iterable[MaskScan]) -> tuple[Classes, str]:
    """Infer the classes from the masks alone.

    Each color is a class, black first, except VOC's void; so is each label, `_background_` first.
    `infer_ids` says what ids mean.

    Args:
        scans: the scans of all masks.

    Returns:
        The classes, and a sentence about how they were inferred.

    Raises:
        DataError: the masks hold fewer than two classes, more than 255, or an id that is none.
    """
    scans, encoding = common_encoding(scans)
    labels = labels_of(scans)
    codes, ignored, note = _infer_codes(scans, encoding, labels)
    occurring: set[int] = set().union(*(scan.counts for scan in scans))
    if len(occurring - set(ignored)) < 2:
        values = ", ".join(spell(c, encoding, labels) for c in sorted(occurring))
        raise DataError(
            f"All masks hold one class only ({values}); a segmentation needs two.",
            "Check that the masks are the right files. If an ignored value is a class, name it "
            "with its id in classes.yaml."
            if len(occurring) > 1
            else "Check that the masks are the right files.",
        )
    if len(codes) > MAX_CLASSES:
        raise DataError(
            f"The masks hold {len(codes)} classes, more than {MAX_CLASSES}.",
            "If JPEG or resizing changed their colors, save the original masks as PNG; otherwise "
            "merge classes in the masks.",
        )
    palette: dict[int, Color] = {}
    for scan in scans:
        palette.update(scan.palette)
    names = tuple(spell(c, encoding, labels) for c in codes)
    return Classes(names, _colors(codes, encoding, palette), encoding, tuple(codes), ignored), note


def infer_ids(scans: Sequence[MaskScan]) -> Ids:
    """Say which ids are classes and which are ignored.

    Each id that occurs is a class, and 255 is ignored, as 65535 is in masks of 16 bits. There are
    three exceptions. Masks of 0 and 255 alone are binary. At the end of a few widely spaced gray
    levels (0, 85, 170, 255), 255 is a class. An isolated id on thin lines between others is a
    border, and ignored.

    Args:
        scans: the scans of all masks, which hold ids.

    Raises:
        DataError: an id is negative, or above 65535.
    """
    occurring = sorted(set().union(*(scan.counts for scan in scans)))
    _require_range(scans, occurring)
    borders = borders_among(scans)
    ids = [i for i in occurring if i not in borders]
    tops = [top for top in _TOPS if top in ids and not _is_level(top, ids)]
    ids = [i for i in ids if i not in tops]
    ignored = tuple(dict.fromkeys([*borders, *tops]))
    ignored_ids = " and ".join(map(str, ignored))
    note = f"; {ignored_ids} {'is' if len(ignored) == 1 else 'are'} ignored" if ignored else ""
    if len(ids) == 2 and ids[0] == 0 and ids[1] in _TOPS:
        note = f"the masks hold 0 and {ids[1]} only: binary, {ids[1]} is the foreground{note}"
        return Ids(ids, ignored, note, True)
    if IGNORE_INDEX not in ids:
        ignored = tuple(dict.fromkeys([*ignored, IGNORE_INDEX]))
    if ids and ids[-1] >= 2 * len(ids) + 8 and ids[-1] - ids[0] >= 2 * len(ids):
        noun = "gray levels" if ids[-1] <= IGNORE_INDEX else "ids"
        levels = ", ".join(map(str, ids[:20]))
        return Ids(ids, ignored, f"the masks hold {noun}: {levels}{note}", True)
    if ids:
        gaps = sorted({*range(1, ids[-1])} - {*ids})
        without = f", without {', '.join(map(str, gaps))}" if gaps else ""
        note = f"the masks hold ids {ids[0]} to {ids[-1]}{without}{note}"
    return Ids(ids, ignored, note, False)


def borders_among(scans: Sequence[MaskScan]) -> list[int]:
    """The ids on thin lines, where the other ids are two or more numbers in a row.

    Among gray levels such as 0, 85 and 170, a thin one may be a class as well.
    """
    borders = thin_ids(scans)
    occurring: set[int] = set().union(*(scan.counts for scan in scans))
    others = occurring - set(borders)
    return borders if len(others) > 1 and not isolated(others) else []


def thin_ids(scans: Sequence[MaskScan]) -> list[int]:
    """The isolated ids that lie on thin lines in most of the masks that hold them."""
    thin = []
    for code in isolated(set().union(*(scan.counts for scan in scans))):
        holders = [scan for scan in scans if code in scan.counts]
        if 2 * sum(code in scan.lines for scan in holders) > len(holders):
            thin.append(code)
    return thin


def labels_of(scans: Iterable[MaskScan]) -> dict[int, str]:
    """The labels of all scans by their codes.

    Raises:
        DataError: two labels have the same code.
    """
    labels: dict[int, str] = {}
    for scan in scans:
        for code, label in scan.labels.items():
            if labels.setdefault(code, label) != label:
                raise DataError(
                    f"{scan.path}: the label {label} has the same code as {labels[code]} in "
                    "another file.",
                    "Rename one of them.",
                )
    return labels


def _infer_codes(
    scans: Sequence[MaskScan], encoding: Encoding, labels: Mapping[int, str]
) -> tuple[list[int], tuple[int, ...], str]:
    """The codes of classes, the ignored codes, and a note."""
    if encoding == "ids":
        ids = infer_ids(scans)
        return ids.codes, ids.ignored, ids.note
    if encoding == "colors":
        occurring = sorted(set().union(*(scan.counts for scan in scans)))
        void = pack(VOC_VOID)
        ignored = (void,) if void in occurring and len(occurring) > 2 else ()
        codes = [code for code in occurring if code not in ignored]
        note = f"the masks hold colors: {', '.join(spell(c, encoding) for c in codes[:20])}"
        void_note = f"; {spell(void, encoding)}, VOC's void, is ignored" if ignored else ""
        return codes, ignored, f"{note}{void_note}"
    codes = sorted(set(labels) - {IGNORE_INDEX}, key=lambda c: (c != 0, labels[c]))
    names = ", ".join(labels[c] for c in codes[:20])
    is_vector = any(scan.path.suffix == DRAWN_SUFFIX for scan in scans)
    what = "the polygons of vector files are" if is_vector else "the masks hold LabelMe's shapes:"
    return codes, (IGNORE_INDEX,), f"{what} {names}"


def _require_range(scans: Sequence[MaskScan], occurring: Sequence[int]) -> None:
    """Refuse ids that are no class.

    Raises:
        DataError: an id is negative, or above `MAX_ID`.
    """
    for strange in [i for i in occurring if not 0 <= i <= MAX_ID][:1]:
        path = next(scan.path for scan in scans if strange in scan.counts)
        ids = [i for i in occurring if 0 <= i < IGNORE_INDEX]
        if strange > MAX_ID:
            raise DataError(
                f"The masks hold the id {strange} ({path}), above {MAX_ID}.",
                "Number the classes from 0 to 254.",
            )
        names = names_and_ids({i: str(i) for i in ids})
        raise DataError(
            f"The masks hold the id {strange} ({path}), and it is unclear what it means.",
            f"If its pixels are to be ignored, write two lines into classes.yaml: `{names}` and "
            f"`ignore: [{strange}]`.",
        )


def _is_level(top: int, ids: Sequence[int]) -> bool:
    """Whether the highest value of 8 or 16 bits is one gray level of several, and so a class."""
    below = [i for i in ids if i < top]
    if below == [0]:
        return ids[-1] == top
    spaces = [high - low for low, high in itertools.pairwise([*below, top])]
    if len(spaces) < 2 or min(spaces) < _MIN_SPACE:
        return False
    return spaces[-1] <= _MAX_TOP_SPACE * max(spaces[:-1])


def _colors(
    codes: Sequence[int], encoding: Encoding, palette: Mapping[int, Color]
) -> tuple[Color, ...]:
    """The display color of each code: itself, or from the palette, or a default color."""
    if encoding == "colors":
        return tuple(unpack(c) for c in codes)
    return tuple(palette.get(c, default_color(i)) for i, c in enumerate(codes))
