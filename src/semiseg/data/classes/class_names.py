"""Lists of classes that other tools write as text, tables or JSON: names, ids and colors."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from semiseg.core import files
from semiseg.core.errors import DataError
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.classes.classes_file import VOC_VOID, ClassEntry, NamedClasses, code_of, unpack
from semiseg.data.formats.codes import Color

_VOID_NAMES = ("__ignore__", "ignore", "ignored", "void")
_MAX_NAME = 60  # characters; a longer line is a sentence
_MAX_LINES = 300
_MAX_JSON = 4 << 20  # bytes; a larger file is no list of classes
_SEPARATORS = r"[\s,;:=|]+"
_FILE = re.compile(r"\.(jpe?g|png|tiff?|bmp|gif|json|txt|xml|npy)\b|[/\\].*[/\\]", re.IGNORECASE)
_TITLES = {
    "name": ("name", "class", "class name", "class_name", "label", "label_name", "title"),
    "id": ("id", "class_id", "index", "value", "pixel value", "label_id", "class id", "code"),
    "r": ("r", "red"),
    "g": ("g", "green"),
    "b": ("b", "blue"),
    "color": ("color", "colour", "rgb", "hex"),
}
_TITLE_OF = {title: key for key, titles in _TITLES.items() for title in titles}
_KEYS = ("labels", "label_map", "id2label", "classes", "categories", "names", "palette")
_Numbers = list[int]


def read_names(path: Path) -> NamedClasses:
    """Read a text with one class a line: a name, and its id or color where the tool writes them.

    ```
    soil            0 soil        255,0,0 crop        crop,255,0,0      0: soil 0 0 0
    sugar beet      1: crop       0 255 0 weed        weed (0, 255, 0)  1: crop 255 0 0
    ```

    Without ids, the lines are numbered from 0. LabelMe's `__ignore__` before the first name counts
    for nothing. `__ignore__`, `ignore`, `ignored` and `void` name pixels that are ignored.

    Raises:
        DataError: the file cannot be read, or is no list of classes.
    """
    lines = [line for line in _read_lines(path) if line and not line.startswith(("#", "//"))]
    if len(lines) == 1 and "," in lines[0] and not re.search(r"\d", lines[0]):
        lines = [part.strip() for part in lines[0].split(",") if part.strip()]
    return _named(path, lines)


def read_class_table(path: Path) -> NamedClasses:
    """Read a CSV table of classes: the title line says which column is the name, id or color.

    ```
    name,r,g,b              id,class            pixel value,class
    water,0,0,255           0,soil              0,soil
    ```

    Raises:
        DataError: the file cannot be read, or is no table of classes.
    """
    lines = _read_lines(path)
    try:
        separator = csv.Sniffer().sniff("\n".join(lines[:20]), ",;\t").delimiter
    except csv.Error:
        separator = ","
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    rows = [row for row in rows if any(row)]
    titles = [_TITLE_OF.get(cell.lower().strip('" ')) for cell in rows[0]] if rows else []
    if "name" not in titles:
        return _named(path, [" ".join(cell for cell in row if cell) for row in rows])
    cells = [dict(zip(titles, row, strict=False)) for row in rows[1:]]
    texts = []
    for row in cells:
        values = [row.get(key) or "" for key in ("id", "name", "color", "r", "g", "b")]
        texts.append(" ".join(value for value in values if value))
    return _named(path, texts)


def read_class_json(path: Path) -> NamedClasses:
    """Read classes from JSON: a list of names, or of records, or a mapping.

    ```
    ["soil", "crop"]                          {"0": "soil", "1": "crop"}
    [{"name": "soil", "id": 0}, ...]          {"soil": 0, "crop": 1}
    {"labels": ...}, {"label_map": ...}       {"soil": [0, 0, 0], "crop": "#00ff00"}
    ```

    nnU-Net's `dataset.json`, Datumaro's `dataset_meta.json` and `id2label.json` are of these forms.

    Raises:
        DataError: the file cannot be read, or names no classes.
    """
    return _read_values(path, files.read_json, "JSON")


def read_class_yaml(path: Path) -> NamedClasses:
    """Read the `names:` of YOLO's `data.yaml`: a list, or a mapping from ids.

    Raises:
        DataError: the file cannot be read, or names no classes.
    """
    return _read_values(path, files.read_yaml, "YAML")


def describes_classes(path: Path) -> bool:
    """Whether a JSON or YAML file may be a list of classes, as its size and its keys show."""
    read = files.read_json if path.suffix.lower() == ".json" else files.read_yaml
    try:
        if path.stat().st_size > _MAX_JSON:
            return False
        content = read(path)
    except (OSError, ValueError):
        return False
    keys = content.keys() if isinstance(content, dict) else ()
    if {"images", "annotations", "shapes", "items"} & set(keys):
        return False
    if path.stem.lower() in ("dataset", "meta", "dataset_meta", "data"):
        return any(key in keys for key in _KEYS)
    return isinstance(content, (dict, list))


def _read_values(path: Path, read: Callable[[Path], object], title: str) -> NamedClasses:
    """The classes in a file of plain values; `title` is the name of its format."""
    try:
        content = read(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as {title} ({error}).") from error
    return _from_values(path, content)


def _from_values(path: Path, content: object) -> NamedClasses:
    """The classes in the plain values of a file."""
    colors = content.get("segmentation_colors") if isinstance(content, dict) else None
    content = next(
        (content[key] for key in _KEYS if isinstance(content, dict) and key in content),
        content,
    )
    records = _records(path, content)
    if isinstance(colors, list) and len(colors) == len(records):
        records = [(name, number, c) for (name, number, _), c in zip(records, colors, strict=True)]
    has_ids = all(number is not None for _, number, _ in records)
    entries = [
        ClassEntry(
            name,
            position if number is None else number,
            None if color is None else unpack(code_of(path, color)),
        )
        for position, (name, number, color) in enumerate(records)
    ]
    return _with_void(entries, has_ids)


def _records(path: Path, content: object) -> list[tuple[str, int | None, object]]:
    """Name, id and color of each class in the plain values of JSON."""
    records: list[tuple[str, int | None, object]] = []
    if isinstance(content, dict) and all(isinstance(v, dict) for v in content.values()):
        content = [_record(key, value) for key, value in content.items()]
    pairs = content.items() if isinstance(content, dict) else ()
    if {list, int} <= {type(value) for _, value in pairs}:
        raise DataError(f"{path} names regions of several ids, which cannot be classes.")
    for key, value in pairs:
        number = _number(key)
        if number is not None and isinstance(value, str):
            records.append((value, number, None))
        elif _number(value) is not None:
            records.append((str(key), _number(value), None))
        elif value.startswith("#") if isinstance(value, str) else _is_color(value):
            records.append((str(key), None, value))
        else:
            raise DataError(f"{path}: {key!r} is not a class with an id or a color.")
    for value in content if isinstance(content, list) else ():
        if isinstance(value, str):
            records.append((value, None, None))
        elif isinstance(value, dict):
            name = next((value[k] for k in ("name", "title", "label") if k in value), None)
            if not isinstance(name, str):
                raise DataError(f"{path}: a class has no name.")
            color = value.get("color") or value.get("rgb")
            records.append((name, _number(value.get("id")), color))
        else:
            raise DataError(f"{path}: {value!r} is not a class.")
    if not records:
        raise DataError(f"{path} names no classes.")
    return sorted(records, key=lambda r: -1 if r[1] is None else r[1])


def _record(key: str, value: Mapping[str, object]) -> dict[str, object]:
    """A record under its id or its name as the record itself."""
    return {"name": key, **value} if _number(key) is None else {"id": key, **value}


def _is_color(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3


def _number(value: object) -> int | None:
    """An id, also one that is written as text; else None."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,5}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _read_lines(path: Path) -> list[str]:
    """The lines of a file that looks like a list of classes, without spaces around them."""
    try:
        lines = [line.strip() for line in files.read_text(path).splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as a text file ({error}).", "Save it in UTF-8."
        ) from error
    if len(lines) > _MAX_LINES:
        raise DataError(f"{path} has {len(lines)} lines, and so is no list of classes.")
    for line in lines:
        if _FILE.search(line) or len(line) > _MAX_NAME or re.search(r"\d\.\d+\s+\d\.\d", line):
            raise DataError(f"{path} is no list of classes: '{line[:_MAX_NAME]}'.")
    return lines


def _named(path: Path, lines: Sequence[str]) -> NamedClasses:
    """The classes of lines, each a name with no number, an id, a color, or an id and a color."""
    lines = [re.sub(r"^[-*•]\s+|^(\d+)[.)]\s+", r"\1 ", line).strip() for line in lines]
    parsed = [_parse(line) for line in lines]
    titles = re.split(_SEPARATORS, lines[0].lower()) if lines else []
    if any(numbers for _, numbers in parsed) and all(title in _TITLE_OF for title in titles):
        lines, parsed = lines[1:], parsed[1:]
    counts = {len(numbers) for _, numbers in parsed}
    names = [name for name, _ in parsed]
    if counts not in ({1}, {3}, {4}) or not all(names) or _repeats(names, parsed):
        if all(re.fullmatch(r"[\d\s.,;]*", line) for line in lines):
            raise DataError(f"{path} holds no names.")
        entries = [ClassEntry(line.strip("\"' "), i, None) for i, line in enumerate(lines)]
        return _with_void(entries, has_ids=False)
    has_ids = counts != {3}
    if counts == {4} and _have_alpha([numbers for _, numbers in parsed]):
        parsed = [(name, numbers[:3]) for name, numbers in parsed]
        has_ids = False
    entries = []
    for position, (name, numbers) in enumerate(parsed):
        number = numbers[0] if has_ids else position
        color = _color(path, numbers[-3:]) if len(numbers) >= 3 else None
        entries.append(ClassEntry(name, number, color))
    return _with_void(entries, has_ids)


def _parse(line: str) -> tuple[str, _Numbers]:
    """The name in a line, and the whole numbers before and after it.

    Example:
        >>> _parse("3: sugar beet (0, 255, 0)"), _parse('"weed", #ff0000')
        (('sugar beet', [3, 0, 255, 0]), ('weed', [255, 0, 0]))
    """

    def as_numbers(match: re.Match[str]) -> str:
        return " {} {} {} ".format(*unpack(int(match[1], 16)))

    text = re.sub(r"#([0-9a-fA-F]{6})\b", as_numbers, line)
    text = re.sub(r"[\[(]\s*(\d+)[\s,;]+(\d+)[\s,;]+(\d+)\s*[\])]", r" \1 \2 \3 ", text)
    tokens = [token for token in re.split(f"({_SEPARATORS})", text.strip()) if token]
    first, last = 0, len(tokens)
    while first < last and re.fullmatch(rf"\d{{1,5}}|{_SEPARATORS}", tokens[first]):
        first += 1
    while last > first and re.fullmatch(rf"\d{{1,5}}|{_SEPARATORS}", tokens[last - 1]):
        last -= 1
    numbers = [int(token) for token in tokens[:first] + tokens[last:] if token.isdigit()]
    return "".join(tokens[first:last]).strip("\"' "), numbers


def _have_alpha(numbers: Sequence[_Numbers]) -> bool:
    """Whether four numbers are red, green, blue and alpha, and not an id and a color."""
    return {n[3] for n in numbers} == {255} and len({n[0] for n in numbers}) < len(numbers)


def _repeats(names: Sequence[str], parsed: Sequence[tuple[str, _Numbers]]) -> bool:
    """Whether the numbers belong to the names, as in `class 1`, `class 2`."""
    one_each = all(len(numbers) == 1 for _, numbers in parsed)
    return one_each and len(set(names)) < len(names)


def _color(path: Path, levels: _Numbers) -> Color:
    return unpack(code_of(path, list(levels)))


def _with_void(entries: Sequence[ClassEntry], has_ids: bool) -> NamedClasses:
    """The classes without those whose name says that their pixels are ignored."""
    is_void = [entry.name.lower() in _VOID_NAMES for entry in entries]
    if not has_ids and is_void[:1] == [True] and entries[0].name == _VOID_NAMES[0]:
        shifted = [entry._replace(id=entry.id - 1) for entry in entries[1:]]
        entries = [entries[0]._replace(id=IGNORE_INDEX), *shifted]
    void = [entry for entry, ignored in zip(entries, is_void, strict=True) if ignored]
    classes = [entry for entry, ignored in zip(entries, is_void, strict=True) if not ignored]
    if VOC_VOID not in [entry.color for entry in entries]:
        void.append(ClassEntry("void", IGNORE_INDEX, VOC_VOID))
    return NamedClasses(tuple(classes), tuple(void), None, has_ids)


def names_and_ids(names: Mapping[int, str]) -> str:
    """Classes as `classes.yaml` takes them in one line.

    Example:
        >>> names_and_ids({0: "soil", 7: "crop"})
        'classes: [{name: "soil", id: 0}, {name: "crop", id: 7}]'
    """
    entries = ", ".join(f'{{name: "{name}", id: {number}}}' for number, name in names.items())
    return f"classes: [{entries}]"
