"""Files that name the classes: `classes.yaml`, and those of CVAT, Datumaro and Roboflow."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import NamedTuple

from semiseg.core import files
from semiseg.core.errors import DataError
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.codes import Color

DATASET_FILES = ("dataset.yaml", "dataset.yml")
"""Files that may hold the classes beside other keys; see `semiseg.data.dataset_file`."""
_LABELMAP_LINE = re.compile(r"([^:]+):([^:]*)(?::[^:]*){0,2}")
_IGNORED = "ignored"  # Datumaro's name for the pixels of VOC's void
VOC_VOID: Color = (224, 224, 192)
"""The color of the outlines in VOC's masks, whose pixels are ignored."""


class ClassEntry(NamedTuple):
    """One class of a file.

    Attributes:
        name: the name of the class; for LabelMe's shapes, their label.
        id: the id in masks of ids. Without one in the file, it is the position of the class.
        color: the color in masks of colors and for display; None without one in the file.
    """

    name: str
    id: int
    color: Color | None


class NamedClasses(NamedTuple):
    """The classes of a file.

    Attributes:
        entries: the classes in their order.
        void: entries whose pixels are ignored.
        ignore: other ignored codes, as in the file: ids, `[r, g, b]`, `"#rrggbb"` or labels.
        has_ids: whether the file gives the ids; otherwise they are the positions.
    """

    entries: tuple[ClassEntry, ...]
    void: tuple[ClassEntry, ...]
    ignore: object
    has_ids: bool


def read_yaml(path: Path) -> NamedClasses:
    """Read a `classes.yaml`.

    Raises:
        DataError: the file cannot be read, or has another format.
    """
    try:
        text = files.read_text(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}).") from error
    try:
        content = files.read_yaml(path)
    except (OSError, ValueError) as error:
        has_tabs = re.search(r"^ *\t", text, re.MULTILINE)
        remedy = "Use spaces instead of tabs." if has_tabs else 'A color needs quotes: "#00a000".'
        raise DataError(f"{path} cannot be read as YAML ({error}).", remedy) from error
    values = _as_list(content.get("classes")) if isinstance(content, dict) else None
    if not isinstance(content, dict) or values is None:
        raise DataError(
            f"{path} has no list `classes:`.",
            "Below the line `classes:` write the name of each class, or `- {name: crop, id: 1}`, "
            "or `- {name: crop, color: [0, 128, 0]}`.",
        )
    unknown = sorted(map(str, set(content) - {"classes", "ignore"}))
    if unknown and path.name not in DATASET_FILES:  # whose other keys say other things
        raise DataError(f"{path}: unknown key '{unknown[0]}'. Known: classes, ignore.")
    entries = tuple(_entry(path, i, e) for i, e in enumerate(values))
    has_ids = any(isinstance(entry, dict) and "id" in entry for entry in values)
    return NamedClasses(entries, (), content.get("ignore"), has_ids)


def _as_list(classes: object) -> list[object] | None:
    """The classes as a list, also those of `0: crop` or `crop: 0`; None if they are neither."""
    if isinstance(classes, list):
        return classes
    if not isinstance(classes, dict) or not classes:
        return None
    pairs = classes.items()
    if all(type(key) is int and isinstance(value, str) for key, value in pairs):
        return [{"name": name, "id": number} for number, name in sorted(pairs)]
    if all(isinstance(key, str) and type(value) is int for key, value in pairs):
        return [{"name": name, "id": number} for name, number in pairs]
    return None


def _entry(path: Path, position: int, entry: object) -> ClassEntry:
    """One class of `classes.yaml`."""
    if isinstance(entry, (str, int)):
        entry = {"name": entry}
    if not isinstance(entry, dict) or "name" not in entry:
        raise DataError(f"{path}: class {position} has no name.")
    if isinstance(entry["name"], (list, dict, set)):
        raise DataError(f"{path}: the name of class {position} is not a word.")
    if isinstance(entry["name"], bool):
        raise DataError(
            f"{path}: YAML reads the name of class {position} as {str(entry['name']).lower()}.",
            "Put the word in quotation marks.",
        )
    unknown = sorted(map(str, set(entry) - {"name", "id", "color"}))
    if unknown:
        raise DataError(
            f"{path}: class {entry['name']} has an unknown key '{unknown[0]}'. "
            "Known: name, id, color."
        )
    number = entry.get("id", position)
    if not isinstance(number, int) or not 0 <= number < 65536:
        raise DataError(f"{path}: the id of class {entry['name']} is not a number from 0 to 65535.")
    color = unpack(code_of(path, entry["color"])) if "color" in entry else None
    return ClassEntry(str(entry["name"]), number, color)


def read_labelmap(path: Path) -> NamedClasses:
    """Read a `labelmap.txt`: one line `name:r,g,b:parts:actions` per class, in the order of ids.

    The name `ignored` marks ignored pixels. So does the color of VOC's void, unless a class has it.

    Raises:
        DataError: the file cannot be read, or has another format.
    """
    try:
        lines = files.read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a text file ({error}).") from error
    entries: list[ClassEntry] = []
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
        entries.append(ClassEntry(parts[1].strip(), len(entries), color))
    classes = tuple(e for e in entries if e.name != _IGNORED)
    void = [e for e in entries if e.name == _IGNORED]
    if VOC_VOID not in [e.color for e in entries]:
        void.append(ClassEntry(_IGNORED, IGNORE_INDEX, VOC_VOID))
    return NamedClasses(classes, tuple(void), None, has_ids=False)


def read_table(path: Path) -> NamedClasses:
    """Read Roboflow's `_classes.csv`: an id and a name per line, with or without a title line.

    Raises:
        DataError: the file cannot be read, or has another format.
    """
    try:
        rows = list(csv.reader(files.read_text(path).splitlines(), skipinitialspace=True))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table ({error}).") from error
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
        entries.append(ClassEntry(cells[1], int(cells[0]), None))
    return NamedClasses(tuple(entries), (), None, has_ids=True)


def code_of(path: Path, value: object) -> int:
    """The code for an id, `[r, g, b]` or `"#rrggbb"`.

    Raises:
        DataError: the value is none of these.
    """
    if isinstance(value, int):
        return value
    if isinstance(value, list):
        return pack(_color(path, value))
    if isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value):
        return int(value[1:], 16)
    if value is None:
        raise DataError(
            f"{path}: an id or a color is empty.",
            'A color needs quotes, "#00a000", since # begins a comment.',
        )
    raise DataError(f'{path}: {value!r} is neither an id, nor [r, g, b], nor "#rrggbb".')


def _color(path: Path, values: list[int]) -> Color:
    if len(values) == 3 and all(type(v) is int and 0 <= v < 256 for v in values):
        r, g, b = values
        return r, g, b
    raise DataError(f'{path}: {values} is neither an id, nor [r, g, b] of 0 to 255, nor "#rrggbb".')


def pack(color: Color) -> int:
    """The code of a color."""
    return color[0] << 16 | color[1] << 8 | color[2]


def unpack(code: int) -> Color:
    """The color of a code; the inverse of `pack`."""
    return code >> 16, code >> 8 & 0xFF, code & 0xFF
