"""Classes as the labels of labeling tools."""

from __future__ import annotations

from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.annotations import BACKGROUND_NAMES
from semiseg.data.formats.codes import Color
from semiseg.data.formats.labelme import IGNORE, label_code
from semiseg.data.formats.masks import Classes

_IGNORED_COLOR: Color = (255, 255, 255)


def background_of(classes: Classes) -> int | None:
    """The index of the class of pixels outside of all shapes; None if no class is the background.

    LabelMe's shapes say which class it is. Otherwise it is the class with the name `background`.
    """
    if classes.encoding == "labels":
        return classes.codes.index(0) if 0 in classes.codes else None
    names = [name.lower() for name in classes.names]
    return next((names.index(name) for name in BACKGROUND_NAMES if name in names), None)


def tool_labels(classes: Classes) -> dict[int, tuple[str, Color]]:
    """The name and the color of each label by its value in masks of class indices.

    The background has none, since no shape covers it. The last label is that of ignored pixels.
    """
    background = background_of(classes)
    pairs = enumerate(zip(classes.names, classes.colors, strict=True))
    labels = {index: pair for index, pair in pairs if index != background}
    return {**labels, IGNORE_INDEX: (IGNORE, _IGNORED_COLOR)}


def with_indices(classes: Classes) -> Classes:
    """The same classes with their indices as ids, whatever the masks of their data hold."""
    return Classes(classes.names, classes.colors, "ids", tuple(range(len(classes))))


def with_labels(classes: Classes) -> Classes:
    """The same classes with LabelMe's labels as their codes.

    Pixels outside of all shapes are the background, or ignored if no class is the background.
    """
    if classes.encoding == "labels":
        return classes
    background = background_of(classes)
    codes = [0 if i == background else label_code(name) for i, name in enumerate(classes.names)]
    ignored = (IGNORE_INDEX,) if background is not None else (0, IGNORE_INDEX)
    return Classes(classes.names, classes.colors, "labels", tuple(codes), ignored)
