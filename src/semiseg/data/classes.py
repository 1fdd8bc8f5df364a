"""The classes of a data set: inferred from the masks, or named by a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from semiseg.core.errors import DataError
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.classes_file import (
    ClassEntry,
    NamedClasses,
    code_of,
    pack,
    read_labelmap,
    read_table,
    read_yaml,
    unpack,
)
from semiseg.data.formats.codes import Color, MaskScan, common_encoding, spell
from semiseg.data.formats.labelme import BACKGROUND, label_code
from semiseg.data.formats.mask_rule import Encoding
from semiseg.data.formats.masks import MAX_CLASSES, Classes, default_color

_READERS = {".txt": read_labelmap, ".csv": read_table}
_MAX_ID = 65535  # a list of more ids may fill the memory


def infer_classes(scans: Iterable[MaskScan]) -> tuple[Classes, str]:
    """Infer the classes from the masks alone.

    Each color is a class, black first; so is each label, `_background_` first. Ids are class
    indices and 255 is ignored, with two exceptions: masks with only 0 and 255 are binary, and a
    few widely spaced gray levels (0, 85, 170) are one class each.

    Args:
        scans: the scans of all masks.

    Returns:
        The classes, and a sentence about how they were inferred.

    Raises:
        DataError: the masks hold fewer than two classes, or more than 255.
    """
    scans, encoding = common_encoding(scans)
    occurring: set[int] = set().union(*(scan.counts for scan in scans))
    labels = _labels(scans)
    codes, ignored, note = _infer_codes(sorted(occurring), encoding, labels)
    if len(occurring - set(ignored)) < 2:
        listed = ", ".join(spell(c, encoding, labels) for c in sorted(occurring))
        raise DataError(
            f"All masks hold one class only ({listed}); a segmentation needs two.",
            "Check that the masks are the right files.",
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


def _infer_codes(
    occurring: list[int], encoding: Encoding, labels: Mapping[int, str]
) -> tuple[list[int], tuple[int, ...], str]:
    """The codes of classes, the ignored codes, and a note, for the sorted codes of all masks."""
    if encoding == "ids":
        return _infer_ids(occurring)
    if encoding == "colors":
        listed = ", ".join(spell(c, encoding) for c in occurring[:20])
        return occurring, (), f"the masks hold colors: {listed}"
    codes = sorted(set(labels) - {IGNORE_INDEX}, key=lambda c: (c != 0, labels[c]))
    listed = ", ".join(labels[c] for c in codes[:20])
    return codes, (IGNORE_INDEX,), f"the masks hold LabelMe's shapes: {listed}"


def _infer_ids(occurring: list[int]) -> tuple[list[int], tuple[int, ...], str]:
    """The ids of classes, the ignored ids, and a note, for the sorted ids of all masks."""
    if occurring == [0, 255]:
        return occurring, (), "the masks hold 0 and 255 only: binary, 255 is the foreground"
    ids = [i for i in occurring if i != IGNORE_INDEX]
    ignored = (IGNORE_INDEX,)
    note = "; 255 is ignored" if IGNORE_INDEX in occurring else ""
    if ids and ids[-1] >= 2 * len(ids) + 8 and ids[-1] - ids[0] >= 2 * len(ids):
        return ids, ignored, f"the masks hold gray levels: {', '.join(map(str, ids[:20]))}{note}"
    if ids:
        ids = list(range(min(ids[-1], _MAX_ID) + 1))
        note = f"the masks hold ids 0 to {ids[-1]}{note}"
    return ids, ignored, note


def _colors(
    codes: list[int], encoding: Encoding, palette: Mapping[int, Color]
) -> tuple[Color, ...]:
    """The display color of each code: itself, or from the palette, or a default color."""
    if encoding == "colors":
        return tuple(unpack(c) for c in codes)
    return tuple(palette.get(c, default_color(i)) for i, c in enumerate(codes))


def read_classes(path: Path, scans: Iterable[MaskScan]) -> tuple[Classes, str]:
    """Read the classes that `classes.yaml` or another tool's file names.

    For LabelMe's shapes, the names select and order the labels. Pixels outside all shapes belong to
    `_background_`, or to `background` if no shape has that label. If the file names neither,
    `_background_` becomes the first class.

    Args:
        path: the file.
        scans: the scans of all masks.

    Returns:
        The classes, and a sentence about their origin.

    Raises:
        DataError: the file cannot be read, has another format, or does not fit the masks.
    """
    named_classes = _READERS.get(path.suffix.lower(), read_yaml)(path)
    scans, encoding = _common_encoding(path, named_classes, list(scans))
    labels = set(_labels(scans).values())
    ignored = _ignored_codes(path, named_classes, encoding, labels)
    entries, note = named_classes.entries, f"named in {path}"
    if encoding == "labels" and 0 not in (*ignored, *(_code(e, encoding, labels) for e in entries)):
        entries = (ClassEntry(BACKGROUND, 0, None), *entries)
        note += f"; {BACKGROUND}, for pixels outside all shapes, becomes the first class"
    _require_unique_names([e.name for e in entries], path)
    colorless = [e.name for e in entries if e.color is None]
    if encoding == "colors" and colorless:
        raise DataError(
            f"The masks hold colors ({scans[0].path}), but {path} gives no `color:` for "
            f"class {colorless[0]}."
        )
    if path.suffix.lower() == ".txt" and encoding == "ids":
        _require_same_ids(path, entries, scans)
    codes = tuple(_code(e, encoding, labels) for e in entries)
    if encoding != "colors" and IGNORE_INDEX not in codes:
        ignored = tuple(dict.fromkeys((*ignored, IGNORE_INDEX)))
    if len(set(codes)) < len(codes) or set(codes) & set(ignored):
        raise DataError(
            f"{path}: two classes share an id, a color or a label, or one is also ignored."
        )
    colors = tuple(e.color or default_color(i) for i, e in enumerate(entries))
    return Classes(tuple(e.name for e in entries), colors, encoding, codes, ignored), note


def _common_encoding(
    path: Path, named_classes: NamedClasses, scans: list[MaskScan]
) -> tuple[list[MaskScan], Encoding]:
    """Give all scans the same encoding. Gray RGB masks hold colors if all have names."""
    all_colors = all(scan.encoding == "colors" for scan in scans)
    if scans and all_colors and all(entry.color for entry in named_classes.entries):
        codes = {pack(entry.color) for entry in named_classes.entries if entry.color}
        with suppress(DataError):  # the file may ignore ids, which are not colors
            codes.update(_ignored_codes(path, named_classes, "colors", set()))
        if all(scan.counts.keys() <= codes for scan in scans):
            return scans, "colors"
    return common_encoding(scans)


def _ignored_codes(
    path: Path, named_classes: NamedClasses, encoding: Encoding, labels: set[str]
) -> tuple[int, ...]:
    """The codes that the file ignores."""
    listed = [] if named_classes.ignore is None else named_classes.ignore
    if not isinstance(listed, list) or (
        encoding == "colors" and listed and all(isinstance(v, int) for v in listed)
    ):
        listed = [listed]
    void = [e for e in named_classes.void if encoding != "colors" or e.color]
    if encoding == "labels":
        void += [ClassEntry(str(v), 0, None) for v in listed]
        listed = []
    return *(code_of(path, v) for v in listed), *(_code(e, encoding, labels) for e in void)


def _code(entry: ClassEntry, encoding: Encoding, labels: set[str]) -> int:
    """The code of a class in the masks; `labels` are those that occur in LabelMe's files."""
    if encoding == "labels":
        is_background = entry.name.lower() == "background" and entry.name not in labels
        return label_code(BACKGROUND if is_background else entry.name)
    return entry.id if encoding == "ids" or entry.color is None else pack(entry.color)


def _labels(scans: Iterable[MaskScan]) -> dict[int, str]:
    """The labels of all scans by their codes."""
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


def _require_unique_names(names: list[str], path: Path) -> None:
    """Refuse names that occur twice, and too few or too many classes."""
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise DataError(f"{path}: class names must be unique ({', '.join(duplicates)} is not).")
    if not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(f"{path} names {len(names)} classes; 2 to {MAX_CLASSES} can be learned.")


def _require_same_ids(
    path: Path, entries: tuple[ClassEntry, ...], scans: Iterable[MaskScan]
) -> None:
    """Refuse masks whose palette shows an id in the color that the labelmap gives to another id."""
    by_color = {e.color: e for e in entries if e.color not in (None, (0, 0, 0))}
    for scan in scans:
        for code, color in scan.palette.items():
            entry = by_color.get(color)
            if entry is not None and code not in (entry.id, IGNORE_INDEX):
                raise DataError(
                    f"{scan.path} shows id {code} in the color of {entry.name}, which is number "
                    f"{entry.id} in {path}.",
                    "Name the ids in a classes.yaml instead.",
                )
