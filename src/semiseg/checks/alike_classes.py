"""Classes that are probably one: a slip in a label, or a color that a program changed a little."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from semiseg.data.classes.classes_file import unpack
from semiseg.data.dataset import Dataset
from semiseg.data.findings import Finding
from semiseg.data.formats.codes import spell
from semiseg.data.formats.masks import Classes
from semiseg.data.tree import SPLITS

_MAX_SLIP = 4  # levels between two colors that are probably meant to be one
_MIN_LEVEL = 64  # ids below may be numbers of classes
_MAX_LEVELS = 10  # gray levels of more classes are numbers


def alike_classes(data: Dataset) -> Iterator[Finding]:
    """Warn of names that differ only in their spelling, and of colors that are nearly the same."""
    classes = data.class_list
    if classes is None:
        return
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for name in classes.names:
        spellings[re.sub(r"[\s_-]+", " ", name).strip().casefold()].append(name)
    alike = [f"{names[0]!r} and {names[1]!r}" for names in spellings.values() if len(names) > 1]
    if alike:
        message = (
            "Classes whose names differ only in capitals, spaces or signs, and are two classes"
        )
        remedy = "If they are one, give them one name where you labeled them."
        yield Finding("class-names", "warning", (), message, remedy, classes=tuple(alike))
    if data.has_named_classes or classes.encoding == "labels":
        return
    holders = {code: set[Path]() for code in classes.codes if _is_color_or_level(code, classes)}
    for _, mask in data.labeled(*SPLITS):
        for code in data.masks[mask].counts if mask in data.masks else ():
            holders.get(code, set()).add(mask)
    near = [
        (one, other)
        for one, other in itertools.combinations(holders, 2)
        if _distance(one, other) <= _MAX_SLIP and not holders[one] & holders[other]
    ]
    if near:
        noun, key = ("Colors", "color") if classes.encoding == "colors" else ("Gray levels", "id")
        code_names = [[spell(code, classes.encoding) for code in pair] for pair in near]
        value = f'"{code_names[0][0]}"' if key == "color" else code_names[0][0]
        message = f"{noun} that are nearly the same, never in one mask, and are read as two classes"
        remedy = (
            "If they are one, give them the same name in classes.yaml: below the line `classes:`, "
            f"two lines such as `- {{name: NAME, {key}: {value}}}`."
        )
        pairs = tuple(" and ".join(pair) for pair in code_names)
        yield Finding("class-names", "warning", (), message, remedy, classes=pairs)


def _is_color_or_level(code: int, classes: Classes) -> bool:
    """Whether a code is a color or a gray level, and no number of a class."""
    if classes.encoding == "colors":
        return True
    return len(classes) <= _MAX_LEVELS and _MIN_LEVEL <= code <= 255


def _distance(one: int, other: int) -> int:
    """The levels by which two colors differ in the channel in which they differ most."""
    return max(abs(a - b) for a, b in zip(unpack(one), unpack(other), strict=True))
