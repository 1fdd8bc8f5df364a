"""The classes of the masks that are corrected: those of the run, and those that a person adds."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

import yaml

from semiseg.core.errors import DataError
from semiseg.core.files import atomic_write
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.classes.classes_file import NamedClasses, code_of, pack, read_yaml
from semiseg.data.classes.classes_writer import classes_yaml
from semiseg.data.formats.codes import TABLE_SIZE, Color, spell
from semiseg.data.formats.masks import MAX_CLASSES, Classes, default_color

CLASSES_FILE = "classes.yaml"
MAX_NAME = 60
"""The most characters of a name."""


def classes_in(folder: Path, classes: Classes) -> Classes:
    """The classes of a run with those that its `classes.yaml` in a folder adds.

    Args:
        folder: the output folder of `suggest`.
        classes: those of the run.

    Raises:
        DataError: the file cannot be read, or an added class has an id or a color that is taken.
    """
    file = folder / CLASSES_FILE
    if not file.is_file():
        return classes
    content = read_yaml(file)
    for code in _ignored(file, content, classes):
        if code not in classes.indices:
            classes = replace(classes, ignored=(*classes.ignored, code))
    for entry in content.entries:
        if entry.name in classes.names:
            continue
        color = entry.color or next_color(classes)
        code = pack(color) if classes.encoding == "colors" else entry.id
        if code in classes.indices:
            raise DataError(
                f"{file}: the class {entry.name} has {spell(code, classes.encoding)}, which is "
                "that of another class, or ignored.",
                "Give it an id or a color that is free.",
            )
        classes = _with(classes, entry.name, code, color)
    return classes


def _ignored(file: Path, content: NamedClasses, classes: Classes) -> list[int]:
    """The ignored codes of a `classes.yaml`."""
    values = content.ignore if isinstance(content.ignore, list) else []
    if classes.encoding == "colors":
        return [code_of(file, value) for value in values]
    return [value for value in values if isinstance(value, int)]


def file_of_new_classes(folder: Path, classes: Classes) -> Path | None:
    """The `classes.yaml` of a folder of corrected masks, if it names classes that a run lacks.

    Args:
        folder: the folder.
        classes: those of the run.

    Raises:
        DataError: the file cannot be used.
    """
    has_more = len(classes_in(folder, classes)) > len(classes)
    return folder / CLASSES_FILE if has_more else None


def with_class(classes: Classes, name: str, color: Color) -> Classes:
    """Add a class.

    In masks of ids it gets the id after the highest one, so that no mask changes its meaning, or
    the lowest free one if that would need 16 bits. In masks of colors its color is its code.

    Args:
        classes: the classes.
        name: of the new one; spaces around it do not count.
        color: its color.

    Raises:
        DataError: the name or the color cannot be used, or there are too many classes.
    """
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise DataError(f"A name has 1 to {MAX_NAME} characters, in one line.")
    same = next((own for own in classes.names if own.casefold() == name.casefold()), None)
    if same is not None:
        raise DataError(f"There is already a class {same}.", "Choose another name.")
    if len(classes) >= MAX_CLASSES:
        raise DataError(f"There are {MAX_CLASSES} classes, and masks can hold no more.")
    rule = classes.rule
    if rule.instances or rule.levels or rule.halves:
        raise DataError(
            "The masks of this run show one thing and what surrounds it, by numbered objects or by "
            "soft edges, so that they cannot hold another class.",
            "Convert the masks to ids first, and train again.",
        )
    is_ignored = classes.encoding == "colors" and pack(color) in classes.indices
    if color in classes.colors or is_ignored:
        raise DataError(
            f"The color #{pack(color):06x} belongs to another class, or is ignored.",
            "Choose another color.",
        )
    code = pack(color) if classes.encoding == "colors" else _next_id(classes)
    return _with(classes, name, code, color)


def next_color(classes: Classes) -> Color:
    """A color that no class has, and that is not ignored."""
    return next(
        color
        for color in map(default_color, range(len(classes), 1 << 16))
        if color not in classes.colors
        and not (classes.encoding == "colors" and pack(color) in classes.indices)
    )


def write_classes(classes: Classes, folder: Path) -> None:
    """Write `classes.yaml`, completely or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    text = yaml.safe_dump(classes_yaml(classes), sort_keys=False, allow_unicode=True)
    with atomic_write(folder / CLASSES_FILE) as file:
        file.write(text.encode())


def _next_id(classes: Classes) -> int:
    """The id of a new class."""
    used = {*classes.indices, IGNORE_INDEX, TABLE_SIZE - 1}
    limit = TABLE_SIZE if classes.needs_16_bits else IGNORE_INDEX
    above = range(max(classes.codes) + 1, limit)
    free = next((code for code in chain(above, range(TABLE_SIZE)) if code not in used), None)
    if free is None:
        raise DataError("There is no free id for another class.")
    return free


def _with(classes: Classes, name: str, code: int, color: Color) -> Classes:
    return replace(
        classes,
        names=(*classes.names, name),
        codes=(*classes.codes, code),
        colors=(*classes.colors, color),
    )
