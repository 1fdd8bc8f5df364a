"""The classes of a data set: named by a file, given by its layout, or inferred from the masks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from semiseg.core.errors import DataError
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.classes.class_inference import infer_classes
from semiseg.data.classes.class_names import names_and_ids
from semiseg.data.classes.class_sources import ClassFile
from semiseg.data.classes.classes_file import NamedClasses
from semiseg.data.classes.named_classes import match_names, read_classes
from semiseg.data.findings import Finding
from semiseg.data.formats.codes import MaskScan, spell
from semiseg.data.formats.masks import Classes
from semiseg.data.layouts.layout import Layout

_MAX_LISTED = 5  # values in a message
_MAX_SPELLED = 10  # classes that a remedy spells out
_REMEDY = "If it is the list of these classes, complete it, or name them in classes.yaml."


class ClassChoice(NamedTuple):
    """The classes and how they were found, or the finding that says why there are none.

    Attributes:
        classes: the classes; None if they cannot be used.
        inferred: how they were found, or why they cannot be used.
        problem: the error; None if there is none.
        file: the file that names them; None if the layout or the masks do.
        findings: what was noticed on files that may name classes.
    """

    classes: Classes | None = None
    inferred: str = ""
    problem: Finding | None = None
    file: Path | None = None
    findings: tuple[Finding, ...] = ()


def settle_classes(
    layout: Layout,
    user_files: Sequence[Path],
    files: Sequence[ClassFile],
    scans: Sequence[MaskScan],
) -> ClassChoice:
    """Find the classes: in the user's file, in the folder's, in the layout, or in the masks.

    Args:
        layout: of the data folder.
        user_files: the file that the user says to name the classes; empty without one.
        files: further files that may name them, in the order in which they count.
        scans: of all masks that can be read. Soft ones count only where a file names the classes;
            among good masks they must not add any.
    """
    certain = [file.path for file in files if file.source.is_certain]
    path = next(iter([*user_files, *certain]), None)
    if not scans:
        return ClassChoice(file=path)
    clean = [scan for scan in scans if not scan.is_soft]
    unused: list[Finding] = []
    try:
        if path is not None:
            if not user_files:
                _require_one_list(files)
            classes, inferred = read_classes(path, scans)
        elif (own := layout.classes([scan.path for scan in scans])) is not None:
            return ClassChoice(*own)
        elif (fitting := _first_that_fits(files, scans, unused)) is not None:
            path, classes, inferred = fitting
        elif clean:
            classes, inferred = infer_classes(clean)
        else:
            return ClassChoice(findings=tuple(unused))
    except DataError as error:
        problem = Finding("classes", "error", (), error.message.rstrip("."), error.remedy)
        return ClassChoice(None, str(error), problem, path, tuple(unused))
    if path is not None:
        others = [file.path for file in files[len(unused) :] if file.path != path]
        others = [file for file in others if file.name != path.name]  # copies beside other masks
        inferred = "; ".join([inferred, *(f"{file} is ignored" for file in others)])
    return ClassChoice(classes, inferred, None, path, tuple(unused))


def _require_one_list(files: Sequence[ClassFile]) -> None:
    """Refuse several exports side by side that name different classes.

    Raises:
        DataError: files of one kind in neighboring folders differ.
    """
    first = files[0]
    others = [f.path for f in files if f.source == first.source and _depth(f) == _depth(first)]
    contents = []
    with suppress(OSError):  # reading the classes gives the error
        contents = [path.read_bytes() for path in others]
    for path, content in zip(others, contents, strict=False):
        if content != contents[0]:
            raise DataError(
                f"{first.path} and {path} name different classes.",
                f"Read one folder alone, such as {first.path.parent}, or write the classes of all "
                "into a classes.yaml in the data folder.",
            )


def _depth(file: ClassFile) -> int:
    return file.name.count("/")


def _first_that_fits(
    files: Sequence[ClassFile], scans: Sequence[MaskScan], unused: list[Finding]
) -> tuple[Path, Classes, str] | None:
    """The first file that names all that the masks hold; `unused` gets those before it."""
    clean = [scan for scan in scans if not scan.is_soft]
    for path, name, source in files:
        try:
            named_classes = source.read(path)
        except DataError as error:
            message = f"A file that names no classes, and is not used ({error.message.rstrip('.')})"
            unused.append(Finding("class-names", "note", (name,), message))
            continue
        classes, inferred = _fit(path, named_classes, scans)
        if classes is None and 0 < len(clean) < len(scans):
            classes, inferred = _fit(path, named_classes, clean)
        if classes is not None:
            return path, classes, inferred
        message = f"A list of classes that does not fit the masks, and is not used ({inferred})"
        remedy = _name_ids(named_classes, scans)
        unused.append(Finding("class-names", "warning", (name,), message, remedy))
    return None


def _name_ids(named_classes: NamedClasses, scans: Sequence[MaskScan]) -> str:
    """How a person makes names without ids fit, if they may count from 1."""
    names = [entry.name for entry in named_classes.entries]
    highest = max((max(scan.counts, default=0) for scan in scans), default=0)
    if named_classes.has_ids or highest != len(names) or len(names) > _MAX_SPELLED:
        return _REMEDY
    line = names_and_ids({0: "background"} | dict(enumerate(names, 1)))
    return f"{_REMEDY} If 0 is the background, this line does it: `{line}`."


def _fit(
    path: Path, named_classes: NamedClasses, scans: Sequence[MaskScan]
) -> tuple[Classes | None, str]:
    """The classes of a file that names all that the masks hold; else None and the reason."""
    stems = {scan.path.stem for scan in scans}
    if 2 * sum(entry.name in stems for entry in named_classes.entries) > len(named_classes.entries):
        return None, "it lists images"
    try:
        classes, inferred = match_names(path, named_classes, scans)
    except DataError as error:
        return None, str(error).rstrip(".")
    indices: set[int] = set()
    values: set[int] = set()
    for scan in scans:
        gray = scan.encoding == "colors" and classes.encoding == "ids"
        codes = {code & 0xFF for code in scan.counts} if gray else set(scan.counts)
        unknown = sorted(codes - classes.indices.keys())
        if unknown:
            texts = [spell(code, classes.encoding, scan.labels) for code in unknown[:_MAX_LISTED]]
            return None, f"{scan.path} holds {', '.join(texts)}, which it does not name"
        indices |= {classes.indices[code] for code in codes}
        values |= codes
    if len(values) > 1 and len(indices - {IGNORE_INDEX}) < 2:
        return None, "the masks would hold one class, since other values are ignored"
    return classes, inferred
