"""Which classes the masks hold: inferred from the masks, or as a file names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from semiseg.core.errors import DataError
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.classes_file import (
    Entry,
    Named,
    code_of,
    pack,
    read_labelmap,
    read_table,
    read_yaml,
    unpack,
)
from semiseg.data.formats.codes import Color, Encoding, MaskScan, common_encoding, spell
from semiseg.data.formats.labelme import BACKGROUND, label_code
from semiseg.data.formats.masks import MAX_CLASSES, Classes, default_color

_READERS = {".txt": read_labelmap, ".csv": read_table}
_MOST_IDS = 65535  # more are too many in any case, and a list of them may fill the memory


def infer_classes(scans: Iterable[MaskScan]) -> tuple[Classes, str]:
    """Classes from the masks alone, and a sentence that says what was inferred.

    Colors become ids in their sorted order, black first; so do labels, `_background_` first. Ids
    stand for themselves, 255 is ignored, with two exceptions that would otherwise train on
    nonsense: masks of nothing but 0 and 255 are binary, and a few widely spaced gray levels
    (0, 85, 170) are one class each.

    Raises:
        DataError: there is nothing to learn, or more classes than 255.
    """
    scans, encoding = common_encoding(scans)
    found: set[int] = set().union(*(s.counts for s in scans))
    labels = _labels(scans)
    codes, ignored, said = _infer_codes(sorted(found), encoding, labels)
    if len(found - set(ignored)) < 2:
        held = ", ".join(spell(c, encoding, labels) for c in sorted(found))
        raise DataError(
            f"All masks hold one class only ({held}); "
            "a segmentation needs two. Check that the masks are the right files."
        )
    if len(codes) > MAX_CLASSES:
        raise DataError(
            f"The masks hold {len(codes)} classes, more than {MAX_CLASSES}. If they are smeared "
            "colors, save the original masks as PNG; if not, merge classes in the masks."
        )
    palette: dict[int, Color] = {}
    for scan in scans:
        palette.update(scan.palette)
    names = tuple(spell(c, encoding, labels) for c in codes)
    return Classes(names, _colors(codes, encoding, palette), encoding, tuple(codes), ignored), said


def _infer_codes(
    found: list[int], encoding: Encoding, labels: Mapping[int, str]
) -> tuple[list[int], tuple[int, ...], str]:
    """The codes that are classes, those that are ignored, and what to say."""
    if encoding == "ids":
        return _infer_ids(found)
    if encoding == "colors":
        shown = ", ".join(spell(c, encoding) for c in found[:20])
        return found, (), f"the masks hold colors: {shown}"
    codes = sorted(set(labels) - {IGNORE_INDEX}, key=lambda c: (c != 0, labels[c]))
    shown = ", ".join(labels[c] for c in codes[:20])
    return codes, (IGNORE_INDEX,), f"the masks hold LabelMe's shapes: {shown}"


def _infer_ids(found: list[int]) -> tuple[list[int], tuple[int, ...], str]:
    """The ids that are classes, those that are ignored, and what to say."""
    if found == [0, 255]:
        return found, (), "the masks hold 0 and 255 only: binary, 255 is the foreground"
    ids = [i for i in found if i != IGNORE_INDEX]
    ignored = (IGNORE_INDEX,)
    what = "; 255 is ignored" if IGNORE_INDEX in found else ""
    if ids and ids[-1] >= 2 * len(ids) + 8 and ids[-1] - ids[0] >= 2 * len(ids):
        return ids, ignored, f"the masks hold gray levels: {', '.join(map(str, ids[:20]))}{what}"
    if ids:
        ids = list(range(min(ids[-1], _MOST_IDS) + 1))
        what = f"the masks hold ids 0 to {ids[-1]}{what}"
    return ids, ignored, what


def _colors(
    codes: list[int], encoding: Encoding, palette: Mapping[int, Color]
) -> tuple[Color, ...]:
    if encoding == "colors":
        return tuple(unpack(c) for c in codes)
    return tuple(palette.get(c, default_color(i)) for i, c in enumerate(codes))


def read_classes(path: Path, scans: Iterable[MaskScan]) -> tuple[Classes, str]:
    """Classes as `classes.yaml` or a tool's file names them, and a sentence that says so.

    The names select and order LabelMe's labels. Pixels in no shape are those of `_background_`, or
    of `background` where no shape has that label; named by neither, they are put first.

    Raises:
        DataError: the file cannot be read, has another form, or does not fit the masks.
    """
    named = _READERS.get(path.suffix.lower(), read_yaml)(path)
    scans, encoding = _fitting(path, named, list(scans))
    labels = set(_labels(scans).values())
    ignored = _ignored(path, named, encoding, labels)
    entries, said = named.entries, f"classes from {path}"
    if encoding == "labels" and 0 not in (*ignored, *(_code(e, encoding, labels) for e in entries)):
        entries = (Entry(BACKGROUND, 0, None), *entries)
        said += f"; {BACKGROUND}, pixels in no shape, is put first"
    _unique([e.name for e in entries], path)
    colorless = [e.name for e in entries if e.color is None]
    if encoding == "colors" and colorless:
        raise DataError(
            f"The masks hold colors ({scans[0].path}), but {path} gives no `color:` for "
            f"class {colorless[0]}."
        )
    if path.suffix.lower() == ".txt" and encoding == "ids":
        _same_order(path, entries, scans)
    codes = tuple(_code(e, encoding, labels) for e in entries)
    if encoding != "colors" and IGNORE_INDEX not in codes:
        ignored = tuple(dict.fromkeys((*ignored, IGNORE_INDEX)))
    if len(set(codes)) < len(codes) or set(codes) & set(ignored):
        raise DataError(
            f"{path}: two classes share an id, a color or a label, or one is also ignored."
        )
    colors = tuple(e.color or default_color(i) for i, e in enumerate(entries))
    return Classes(tuple(e.name for e in entries), colors, encoding, codes, ignored), said


def _fitting(path: Path, named: Named, scans: list[MaskScan]) -> tuple[list[MaskScan], Encoding]:
    """The scans in one encoding. RGB masks of gray levels that the file names are colors."""
    colored = all(s.encoding == "colors" for s in scans)
    if scans and colored and all(e.color for e in named.entries):
        spelled = {pack(e.color) for e in named.entries if e.color}
        with suppress(DataError):  # what is ignored may be ids, which are no colors
            spelled.update(_ignored(path, named, "colors", set()))
        if all(s.counts.keys() <= spelled for s in scans):
            return scans, "colors"
    return common_encoding(scans)


def _ignored(path: Path, named: Named, encoding: Encoding, labels: set[str]) -> tuple[int, ...]:
    """The codes of what the file ignores."""
    listed = [] if named.ignore is None else named.ignore
    if not isinstance(listed, list) or (
        encoding == "colors" and listed and all(isinstance(v, int) for v in listed)
    ):
        listed = [listed]
    void = [e for e in named.void if encoding != "colors" or e.color]
    if encoding == "labels":
        void += [Entry(str(v), 0, None) for v in listed]
        listed = []
    return *(code_of(path, v) for v in listed), *(_code(e, encoding, labels) for e in void)


def _code(entry: Entry, encoding: Encoding, labels: set[str]) -> int:
    """How masks spell the class; `labels` are those that occur in LabelMe's files."""
    if encoding == "labels":
        nowhere = entry.name.lower() == "background" and entry.name not in labels
        return label_code(BACKGROUND if nowhere else entry.name)
    return entry.id if encoding == "ids" or entry.color is None else pack(entry.color)


def _labels(scans: Iterable[MaskScan]) -> dict[int, str]:
    """The labels of all scans by their codes."""
    found: dict[int, str] = {}
    for scan in scans:
        for code, label in scan.labels.items():
            if found.setdefault(code, label) != label:
                raise DataError(
                    f"{scan.path}: the label {label} cannot be told from {found[code]} of another "
                    "file. Rename one of them."
                )
    return found


def _unique(names: list[str], path: Path) -> None:
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise DataError(f"{path}: class names must be unique ({', '.join(twice)} is not).")
    if not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(f"{path} names {len(names)} classes; 2 to {MAX_CLASSES} can be learned.")


def _same_order(path: Path, entries: tuple[Entry, ...], scans: Iterable[MaskScan]) -> None:
    """Raises if a palette shows an id in the color that a labelmap gives to another."""
    by_color = {e.color: e for e in entries if e.color not in (None, (0, 0, 0))}
    for scan in scans:
        for code, color in scan.palette.items():
            entry = by_color.get(color)
            if entry is not None and code not in (entry.id, IGNORE_INDEX):
                raise DataError(
                    f"{scan.path} shows id {code} in the color of {entry.name}, which is number "
                    f"{entry.id} in {path}. Name the ids in a classes.yaml instead."
                )
