"""Classes that a file names, brought together with the masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from semiseg.core.errors import DataError
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.classes.class_inference import borders_among, infer_ids, labels_of
from semiseg.data.classes.class_names import names_and_ids
from semiseg.data.classes.class_sources import is_certain, read_class_file
from semiseg.data.classes.classes_file import ClassEntry, NamedClasses, code_of, pack
from semiseg.data.formats.codes import Color, MaskScan, common_encoding, spell
from semiseg.data.formats.labelme import BACKGROUND, label_code
from semiseg.data.formats.mask_rule import Encoding
from semiseg.data.formats.masks import MAX_CLASSES, Classes, default_color

_BLACK: Color = (0, 0, 0)
_MAX_LISTED = 20  # codes in a message


def read_classes(path: Path, scans: Iterable[MaskScan]) -> tuple[Classes, str]:
    """Read the classes that `classes.yaml` or another tool's file names; see `match_names`.

    Args:
        path: the file.
        scans: the scans of all masks.

    Returns:
        The classes, and a sentence about their origin.

    Raises:
        DataError: the file cannot be read, has another format, or does not fit the masks.
    """
    return match_names(path, read_class_file(path), scans)


def match_names(
    path: Path, named_classes: NamedClasses, scans: Iterable[MaskScan]
) -> tuple[Classes, str]:
    """Bring the classes of a file together with the masks.

    Names without ids are numbered from 0. Where the masks hold as many gray levels, the names stand
    for these in their order. Several ids or colors of one name are one class. For LabelMe's shapes,
    the names select and order the labels. Pixels outside all shapes belong to `_background_`, or to
    `background` if no shape has that label. If the file names neither, `_background_` becomes the
    first class.

    Args:
        path: the file.
        named_classes: its content.
        scans: the scans of all masks.

    Returns:
        The classes, and a sentence about their origin.

    Raises:
        DataError: the file does not fit the masks. A value that it does not name is no error.
    """
    match = _Match(path, named_classes, list(scans))
    if match.encoding == "labels":
        match.add_background_of_shapes()
    elif match.encoding == "ids" and not named_classes.has_ids:
        match.place_names()
    if not is_certain(path):
        match.read_as_binary()
        match.fill_gaps()
    return match.classes(), "; ".join(match.notes)


class _Match:
    """The classes of a file while they are brought together with the masks.

    Attributes:
        entries: the classes.
        ignored: the ignored codes.
        notes: how the file was understood.
    """

    def __init__(self, path: Path, named_classes: NamedClasses, scans: list[MaskScan]) -> None:
        self.path, self.named_classes = path, named_classes
        self.scans, self.encoding = _common_encoding(path, named_classes, scans)
        self.labels = set(labels_of(self.scans).values())
        self.occurring: set[int] = set().union(*(scan.counts for scan in self.scans))
        self.entries = list(named_classes.entries)
        self.ignored = list(_ignored_codes(path, named_classes, self.encoding, self.labels))
        self.notes = [f"named in {path}"]

    def add_background_of_shapes(self) -> None:
        """Give the pixels outside of all shapes a class, if the file has none for them."""
        if 0 not in (*self.ignored, *(self.code(entry) for entry in self.entries)):
            self.entries.insert(0, ClassEntry(BACKGROUND, 0, None))
            self.notes.append(
                f"{BACKGROUND}, for pixels outside all shapes, becomes the first class"
            )

    def place_names(self) -> None:
        """Give names without ids their ids: by the palette, the position, or the gray level.

        Raises:
            DataError: the masks number the classes from 1, or a palette contradicts the positions.
        """
        count = len(self.entries)
        ids = self.occurring - set(self.ignored) - {IGNORE_INDEX}
        if self.path.suffix.lower() not in (".yaml", ".yml"):  # whose colors are for display
            by_palette = _ids_by_palette(self.entries, self.scans, ids)
            if by_palette is not None and not is_certain(self.path):
                pairs = zip(self.entries, by_palette, strict=True)
                self.entries = [entry._replace(id=number) for entry, number in pairs]
                return
            _require_same_ids(self.path, self.entries, self.scans)
        positions = {entry.id for entry in self.entries}
        if count == len(ids) and 0 not in ids and ids == set(range(1, count + 1)):
            names = {i: entry.name for i, entry in enumerate(self.entries, 1)}
            raise DataError(
                f"{self.path} names {count} classes without ids, so they have the ids 0 to "
                f"{count - 1}; but the masks hold the ids 1 to {count}.",
                f"Give the ids in classes.yaml, probably so: {names_and_ids(names)}",
            )
        is_binary = self.occurring - set(self.ignored) == {0, IGNORE_INDEX}
        if (ids <= positions and not is_binary) or min(self.occurring, default=0) < 0:
            return
        levels = infer_ids(self.scans)
        codes = [code for code in levels.codes if code not in self.ignored]
        if levels.are_levels and len(codes) == count:
            self.entries = [e._replace(id=c) for e, c in zip(self.entries, codes, strict=True)]
            self.ignored += levels.ignored
            meanings = ", ".join(f"{e.id} is {e.name}" for e in self.entries[:_MAX_LISTED])
            self.notes.append(f"in the order of the masks' gray levels: {meanings}")

    def read_as_binary(self) -> None:
        """Understand lists of other tools for masks of two values, such as 0 and 255.

        One name is that of the foreground, and id 1 is the foreground whatever its value is.
        """
        if self.encoding != "ids" or not self.occurring or min(self.occurring) < 0:
            return
        low, high = [*infer_ids(self.scans).codes, -1][:2]
        ids = [entry.id for entry in self.entries]
        if low != 0 or not self.occurring <= {low, high, *self.ignored, IGNORE_INDEX}:
            return
        if len(ids) == 1 and (ids[0] != 0 or not self.named_classes.has_ids):
            background = ClassEntry("background", 0, None)
            self.entries = [background, self.entries[0]._replace(id=high)]
            self.notes.append(f"it names the foreground, which is {high}")
        elif sorted(ids) == [0, 1] and high != 1 and self.named_classes.has_ids:
            self.entries = [e._replace(id=high) if e.id else e for e in self.entries]
            self.notes.append(f"its id 1 is {high} in the masks")

    def fill_gaps(self) -> None:
        """Accept what other tools leave out of their lists: the background, and void borders."""
        codes = {*(self.code(entry) for entry in self.entries), *self.ignored}
        unknown = self.occurring - codes
        if self.encoding == "ids":
            borders = [code for code in borders_among(self.scans) if code in unknown]
            self.ignored += borders
            self.notes += [f"{code} is ignored" for code in borders]
            unknown -= {IGNORE_INDEX, *borders}
        has_codes = self.encoding == "colors" or (
            self.encoding == "ids" and self.named_classes.has_ids
        )
        if has_codes and unknown == {0}:
            names = {entry.name.lower() for entry in self.entries}
            name = "background" if "background" not in names else "unnamed"
            self.entries.insert(0, ClassEntry(name, 0, _BLACK))
            value = spell(0, self.encoding)
            self.notes.append(f"{value}, which it does not name, becomes the class {name}")

    def classes(self) -> Classes:
        """The classes, where entries of one name become one class.

        Raises:
            DataError: the entries are no classes of these masks.
        """
        colorless = [e.name for e in self.entries if e.color is None]
        if self.encoding == "colors" and colorless:
            raise DataError(
                f"The masks hold colors ({self.scans[0].path}), but {self.path} gives no `color:` "
                f"for class {colorless[0]}."
            )
        codes = [self.code(entry) for entry in self.entries]
        if self.encoding != "colors" and IGNORE_INDEX not in codes:
            self.ignored.append(IGNORE_INDEX)
        if len(set(codes)) < len(codes) or set(codes) & set(self.ignored):
            raise DataError(
                f"{self.path}: two classes share an id, a color or a label, or one is also ignored."
            )
        firsts: dict[str, ClassEntry] = {}
        for entry in self.entries:
            firsts.setdefault(entry.name, entry)
        self._require_usable(list(firsts))
        index = {name: i for i, name in enumerate(firsts)}
        pairs = list(zip(self.entries, codes, strict=True))
        merged = [(code, index[e.name]) for e, code in pairs if e is not firsts[e.name]]
        for name in dict.fromkeys(e.name for e in self.entries if e is not firsts[e.name]):
            own = [spell(code, self.encoding) for e, code in pairs if e.name == name]
            self.notes.append(f"{', '.join(own)} are {name}; new masks hold {own[0]}")
        colors = tuple(e.color or default_color(i) for i, e in enumerate(firsts.values()))
        return Classes(
            tuple(firsts),
            colors,
            self.encoding,
            tuple(self.code(e) for e in firsts.values()),
            tuple(dict.fromkeys(self.ignored)),
            tuple(merged),
        )

    def code(self, entry: ClassEntry) -> int:
        """The code of a class in the masks."""
        return _code(entry, self.encoding, self.labels)

    def _require_usable(self, names: Sequence[str]) -> None:
        """Refuse names that occur twice without ids, and too few or too many classes."""
        may_merge = self.encoding == "colors" or (
            self.encoding == "ids" and self.named_classes.has_ids
        )
        all_names = [entry.name for entry in self.entries]
        duplicates = sorted(name for name in names if all_names.count(name) > 1)
        if duplicates and not may_merge:
            remedy = "Give each its id, and the ids of one name become one class."
            raise DataError(
                f"{self.path}: class names must be unique ({', '.join(duplicates)} is not).",
                remedy if self.encoding == "ids" else "",
            )
        if not 2 <= len(names) <= MAX_CLASSES:
            raise DataError(
                f"{self.path} names {len(names)} classes; 2 to {MAX_CLASSES} can be learned.",
                "Name the background too." if len(names) == 1 else "",
            )


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
    values = [] if named_classes.ignore is None else named_classes.ignore
    if not isinstance(values, list) or (
        encoding == "colors" and values and all(isinstance(v, int) for v in values)
    ):
        values = [values]
    void = [
        entry
        for entry in named_classes.void
        if (entry.color if encoding == "colors" else encoding != "ids" or entry.id != IGNORE_INDEX)
    ]
    if encoding == "labels":
        void += [ClassEntry(str(v), 0, None) for v in values]
        values = []
    return *(code_of(path, v) for v in values), *(_code(e, encoding, labels) for e in void)


def _code(entry: ClassEntry, encoding: Encoding, labels: set[str]) -> int:
    """The code of a class in the masks; `labels` are those that occur in LabelMe's files."""
    if encoding == "labels":
        is_background = entry.name.lower() == "background" and entry.name not in labels
        return label_code(BACKGROUND if is_background else entry.name)
    return entry.id if encoding == "ids" or entry.color is None else pack(entry.color)


def _ids_by_palette(
    entries: Sequence[ClassEntry], scans: Iterable[MaskScan], ids: set[int]
) -> list[int] | None:
    """The ids of entries whose colors the palettes of the masks show; None if they do not."""
    id_of: dict[Color, set[int]] = {}
    for scan in scans:
        for code, color in scan.palette.items():
            if code in ids:
                id_of.setdefault(color, set()).add(code)
    colors = [entry.color for entry in entries]
    palette_ids = set().union(*id_of.values()) if id_of else set()
    if (
        palette_ids != ids
        or not set(id_of) <= set(colors)
        or any(len(c) > 1 for c in id_of.values())
    ):
        return None
    if len(set(colors)) < len(colors) or len(palette_ids) < len(entries):
        return None
    return [min(id_of[color]) for color in colors if color is not None]


def _require_same_ids(path: Path, entries: Sequence[ClassEntry], scans: Iterable[MaskScan]) -> None:
    """Refuse masks whose palette shows an id in the color that the file gives to another id."""
    by_color = {e.color: e for e in entries if e.color not in (None, _BLACK)}
    for scan in scans:
        for code, color in scan.palette.items():
            entry = by_color.get(color)
            if entry is not None and code not in (entry.id, IGNORE_INDEX):
                raise DataError(
                    f"{scan.path} shows id {code} in the color of {entry.name}, which is number "
                    f"{entry.id} in {path}.",
                    "Name the ids in a classes.yaml instead.",
                )
