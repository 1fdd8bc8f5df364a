"""The registry of files that name classes: where they lie, and how each is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from semiseg.core import files
from semiseg.core.errors import DataError
from semiseg.data.classes.class_names import (
    describes_classes,
    read_class_json,
    read_class_table,
    read_class_yaml,
    read_names,
)
from semiseg.data.classes.classes_file import NamedClasses, read_labelmap, read_table, read_yaml
from semiseg.data.dataset import name_below
from semiseg.data.tree import Tree

_ANY_NAME = (
    r"(class|classes|label|labels|category|categories|colou?r|palette|legend)"
    r"([_ -]?(names?|list|dict|map|table|colou?rs?|ids?|codes?))?"
)
_SUFFIXES = (".txt", ".csv", ".json", ".yaml", ".yml", ".names")
_LABELMAP = re.compile(r"[^:]+:(\s*\d+\s*,\s*\d+\s*,\s*\d+\s*)?:[^:]*:[^:]*")


class ClassSource(NamedTuple):
    """A kind of file that names classes.

    Attributes:
        pattern: of the whole file name in small letters, as a regular expression.
        example: a file name, for the docs.
        tool: who writes such files.
        read: reads the file.
        is_certain: whether the file must fit the masks. Other names may stand for something else:
            such a file is used only if it names all that the masks hold.
    """

    pattern: str
    example: str
    tool: str
    read: Callable[[Path], NamedClasses]
    is_certain: bool = False


class ClassFile(NamedTuple):
    """A file that may name the classes.

    Attributes:
        path: the file.
        name: its path below the data folder, with `/` between folders.
        source: its kind.
    """

    path: Path
    name: str
    source: ClassSource


CLASS_SOURCES: tuple[ClassSource, ...] = (
    ClassSource(r"classes\.ya?ml", "classes.yaml", "semiseg", read_yaml, True),
    ClassSource(r"labelmap\.txt", "labelmap.txt", "CVAT, Datumaro", read_labelmap, True),
    ClassSource(r"_classes\.csv", "_classes.csv", "Roboflow", read_table, True),
    ClassSource(r"dataset_meta\.json", "dataset_meta.json", "Datumaro, CVAT", read_class_json),
    ClassSource(r"dataset\.json", "dataset.json", "nnU-Net", read_class_json),
    ClassSource(r"label_colors\.txt", "label_colors.txt", "CamVid, CVAT", read_names),
    ClassSource(r"class_dict\w*\.csv", "class_dict.csv", "DeepGlobe, Kaggle", read_class_table),
    ClassSource(r"class_names\.txt", "class_names.txt", "LabelMe's labelme2voc", read_names),
    ClassSource(r"classes\.txt", "classes.txt", "many tools", read_names),
    ClassSource(r"codes\.txt", "codes.txt", "fastai", read_names),
    ClassSource(r"(obj|classes)\.names", "obj.names", "YOLO", read_names),
    ClassSource(r"(id2label|label2id)\.json", "id2label.json", "Hugging Face", read_class_json),
    ClassSource(r"data\.ya?ml", "data.yaml", "YOLO", read_class_yaml),
    ClassSource(rf"{_ANY_NAME}\.csv", "classes.csv", "many tools", read_class_table),
    ClassSource(
        rf"({_ANY_NAME}|meta|obj_class_to_machine_color)\.json",
        "classes.json",
        "many tools, Supervisely",
        read_class_json,
    ),
    ClassSource(rf"{_ANY_NAME}\.txt", "labels.txt", "LabelMe, many tools", read_names),
)
"""All of them; where a folder has several, the first that fits the masks counts."""


def find_class_files(tree: Tree, masks: Iterable[Path]) -> list[ClassFile]:
    """List the files that may name the classes, in the order in which they count.

    They lie in the data folder, beside the masks, or in a folder between the two.

    Args:
        tree: the data folder.
        masks: the masks of `train`.
    """
    places = {tree.root: 0}
    for folder in dict.fromkeys(mask.parent for mask in masks):
        if not folder.is_relative_to(tree.root):  # a flag names it, or the masks are drawn
            places[folder] = len(folder.parts)
            continue
        for place in (folder, *folder.parents):
            if place == tree.root:
                break
            places[place] = len(place.parts)
    ranked = []
    for place, depth in places.items():
        own = tree if place.is_relative_to(tree.root) else Tree(place)
        for path in own.files(place, _SUFFIXES, deep=False):
            rank = _rank(path.name)
            if rank is not None and _may_name_classes(path, CLASS_SOURCES[rank]):
                # Roboflow writes one table per split; that of train counts.
                first = int(depth == 0) if CLASS_SOURCES[rank].read is read_table else depth
                ranked.append((rank, first, path))
    return [
        ClassFile(path, name_below(tree.root, path), CLASS_SOURCES[rank])
        for rank, _, path in sorted(ranked)
    ]


def read_class_file(path: Path) -> NamedClasses:
    """Read a file that names classes, by its name or its content.

    Raises:
        DataError: the file cannot be read, or has another format.
    """
    rank = _rank(path.name)
    if rank is not None:
        return CLASS_SOURCES[rank].read(path)
    if path.suffix.lower() == ".txt":
        return read_labelmap(path) if _is_labelmap(path) else read_names(path)
    readers = {".csv": read_class_table, ".json": read_class_json, ".names": read_names}
    return readers.get(path.suffix.lower(), read_yaml)(path)


def _rank(name: str) -> int | None:
    """The place of a file name in the registry."""
    lower = name.lower()
    ranks = (i for i, kind in enumerate(CLASS_SOURCES) if re.fullmatch(kind.pattern, lower))
    return next(ranks, None)


def _may_name_classes(path: Path, source: ClassSource) -> bool:
    """Whether a file may list classes; other tools give its name to other content too."""
    if source.read in (read_class_json, read_class_yaml):
        return describes_classes(path)
    if source.read is not read_table:
        return True
    try:  # Roboflow's table of image labels has the same file name
        title = files.read_text(path).partition(",")[0].strip().lower()
    except (OSError, ValueError):
        return False
    return title == "pixel value" or title.isdigit()


def _is_labelmap(path: Path) -> bool:
    """Whether a text has the lines of a labelmap, `name:r,g,b::`."""
    try:
        lines = [line.strip() for line in files.read_text(path).splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a text file ({error}).") from error
    return any(_LABELMAP.fullmatch(line) for line in lines if not line.startswith("#"))


def is_certain(path: Path) -> bool:
    """Whether a file of this name must fit the masks, so that nothing is added to its classes."""
    rank = _rank(path.name)
    if rank is None:
        return path.suffix.lower() in (".yaml", ".yml")
    return CLASS_SOURCES[rank].is_certain
