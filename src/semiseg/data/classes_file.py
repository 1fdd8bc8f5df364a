"""Files that name the classes: our `classes.yaml`, and those of CVAT, Datumaro and Roboflow."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import NamedTuple

from semiseg.core import files as texts
from semiseg.core.errors import DataError
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.codes import Color

_LABELMAP_LINE = re.compile(r"([^:]+):([^:]*)(?::[^:]*){0,2}")
_TABLE = "_classes.csv"
_IGNORED = "ignored"  # what Datumaro calls the pixels of VOC's void
_VOID: Color = (224, 224, 192)  # in which VOC draws the outlines of things


class Entry(NamedTuple):
    """What a file says of one class.

    Attributes:
        name: its name; with LabelMe's shapes, their label.
        id: in masks of ids; its position where the file gives none.
        color: in masks of colors, and for display; None where the file gives none.
    """

    name: str
    id: int
    color: Color | None


class Named(NamedTuple):
    """What a file says of the classes.

    Attributes:
        entries: the classes in their order.
        void: like classes, but what is spelled so is ignored.
        ignore: what else is ignored: ids, `[r, g, b]`, `"#rrggbb"` or labels, as written.
    """

    entries: tuple[Entry, ...]
    void: tuple[Entry, ...]
    ignore: object


def classes_files(root: Path) -> list[Path]:
    """The files of a data folder that name its classes; the first one counts."""
    found = [p for p in (root / "classes.yaml", root / "labelmap.txt") if p.is_file()]
    return found + [p for p in (root / "train" / _TABLE, root / _TABLE) if _names_ids(p)]


def _names_ids(path: Path) -> bool:
    """Whether a table names classes; Roboflow's of labels of whole images has the same name."""
    try:
        title = texts.read_text(path).partition(",")[0].strip().lower()
    except (OSError, ValueError):
        return False
    return title == "pixel value" or title.isdigit()


def read_yaml(path: Path) -> Named:
    """Read a `classes.yaml`.

    Raises:
        DataError: the file cannot be read, or has another form.
    """
    try:
        content = texts.read_yaml(path)
    except (OSError, ValueError) as error:
        told = f"{path} cannot be read as YAML ({error})."
        raise DataError(f'{told} A color is in quotes: "#00a000".') from error
    if not isinstance(content, dict) or not isinstance(content.get("classes"), list):
        raise DataError(
            f"{path} has no list `classes:`. Write one name a class, or `- {{name: crop, id: 1}}` "
            "or `- {name: crop, color: [0, 128, 0]}` a class."
        )
    strange = sorted(map(str, set(content) - {"classes", "ignore"}))
    if strange:
        raise DataError(f"{path}: unknown key '{strange[0]}'. Known: classes, ignore.")
    entries = tuple(_entry(path, i, e) for i, e in enumerate(content["classes"]))
    return Named(entries, (), content.get("ignore"))


def _entry(path: Path, position: int, entry: object) -> Entry:
    """One line of `classes.yaml`."""
    if isinstance(entry, (str, int)):
        entry = {"name": entry}
    if not isinstance(entry, dict) or "name" not in entry:
        raise DataError(f"{path}: class {position} has no name.")
    if isinstance(entry["name"], (list, dict, set)):
        raise DataError(f"{path}: the name of class {position} is no word.")
    if isinstance(entry["name"], bool):
        raise DataError(
            f"{path}: the name of class {position} is {str(entry['name']).lower()} to YAML. Put "
            "the word in quotation marks."
        )
    strange = sorted(map(str, set(entry) - {"name", "id", "color"}))
    if strange:
        raise DataError(
            f"{path}: class {entry['name']} has an unknown key '{strange[0]}'. "
            "Known: name, id, color."
        )
    number = entry.get("id", position)
    if not isinstance(number, int) or not 0 <= number < 65536:
        raise DataError(f"{path}: the id of class {entry['name']} is no number from 0 to 65535.")
    color = unpack(code_of(path, entry["color"])) if "color" in entry else None
    return Entry(str(entry["name"]), number, color)


def read_labelmap(path: Path) -> Named:
    """Read a `labelmap.txt`: `name:r,g,b:parts:actions` a line, in the order of the ids.

    What it calls `ignored` is no class, nor is the color of VOC's void unless a class has it.

    Raises:
        DataError: the file cannot be read, or has another form.
    """
    try:
        lines = texts.read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a text file that can be read ({error}).") from error
    entries: list[Entry] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        parts = _LABELMAP_LINE.fullmatch(text)
        levels = re.findall(r"\d+", parts[2]) if parts else []
        if parts is None or (parts[2].strip() and (len(levels), parts[2].count(",")) != (3, 2)):
            raise DataError(
                f"{path}, line {number}: '{text}' is not of the form name:r,g,b:: of a labelmap."
            )
        color = _color(path, [int(v) for v in levels]) if levels else None
        entries.append(Entry(parts[1].strip(), len(entries), color))
    classes = tuple(e for e in entries if e.name != _IGNORED)
    void = [e for e in entries if e.name == _IGNORED]
    if _VOID not in [e.color for e in entries]:
        void.append(Entry(_IGNORED, IGNORE_INDEX, _VOID))
    return Named(classes, tuple(void), None)


def read_table(path: Path) -> Named:
    """Read Roboflow's `_classes.csv`: an id and a name a line, below a line of titles or without.

    Raises:
        DataError: the file cannot be read, or has another form.
    """
    try:
        rows = list(csv.reader(texts.read_text(path).splitlines(), skipinitialspace=True))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} is not a table that can be read ({error}).") from error
    entries = []
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if not cells or (number == 1 and not cells[0].isdigit()):
            continue
        if len(cells) != 2 or not re.fullmatch(r"\d{1,5}", cells[0]) or not cells[1]:
            raise DataError(
                f"{path}, line {number}: '{','.join(row)}' is not an id and a name, with a comma "
                "between them."
            )
        entries.append(Entry(cells[1], int(cells[0]), None))
    return Named(tuple(entries), (), None)


def code_of(path: Path, value: object) -> int:
    """An id, `[r, g, b]` or `"#rrggbb"` as a code."""
    if isinstance(value, int):
        return value
    if isinstance(value, list):
        return pack(_color(path, value))
    if isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value):
        return int(value[1:], 16)
    if value is None:
        raise DataError(
            f'{path}: an id or a color is empty. A color is in quotes, "#00a000", since # begins '
            "a comment."
        )
    raise DataError(f'{path}: {value!r} is neither an id, nor [r, g, b], nor "#rrggbb".')


def _color(path: Path, values: list[int]) -> Color:
    if len(values) == 3 and all(v in range(256) for v in values):
        r, g, b = values
        return r, g, b
    raise DataError(f'{path}: {values} is neither an id, nor [r, g, b] of 0 to 255, nor "#rrggbb".')


def pack(color: Color) -> int:
    """A color as a code."""
    return color[0] << 16 | color[1] << 8 | color[2]


def unpack(code: int) -> Color:
    """The inverse of `pack`."""
    return code >> 16, code >> 8 & 0xFF, code & 0xFF
