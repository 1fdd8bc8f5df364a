"""The content of annotation files, and what the class of each format implements."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from semiseg.core.errors import DataError
from semiseg.data.formats.codes import Color
from semiseg.data.formats.json_head import JsonHead
from semiseg.data.formats.regions import Region

BROKEN = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
)
"""The errors that contents of another form raise."""
BACKGROUND_NAMES = ("background", "_background_", "__background__")
"""Labels, in small letters, of pixels that belong to the background."""


@dataclass(frozen=True)
class AnnotatedImage:
    """What a file says about one image.

    Attributes:
        name: the path or address of the image, as the file writes it.
        size: width and height in pixels; None if the file does not give them.
        regions: its areas, in the order of the file.
        is_labeled: whether a person annotated it, so that the pixels outside of all regions are
            background.
        subset: the name of the split, if the file names one.
    """

    name: str
    size: tuple[int, int] | None
    regions: tuple[Region, ...]
    is_labeled: bool
    subset: str = ""


@dataclass(frozen=True)
class Annotations:
    """The content of an annotation file.

    Attributes:
        images: the images that it lists.
        names: the names of the classes in their order, without the background.
        groups: the names of groups of classes, which have no areas of their own.
        colors: the colors of classes, where the file gives them.
        skipped: the number of shapes that semiseg does not draw, by their kind, such as `box`.
        notes: further remarks for the user, as sentences without a period.
    """

    images: tuple[AnnotatedImage, ...]
    names: tuple[str, ...]
    groups: frozenset[str] = frozenset()
    colors: Mapping[str, Color | None] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def color_of(text: str) -> Color | None:
    """The color of `#rrggbb`; None for another text."""
    if not re.fullmatch("#[0-9a-fA-F]{6}", text):
        return None
    value = int(text[1:], 16)
    return value >> 16, value >> 8 & 0xFF, value & 0xFF


class AnnotationFormat:
    """A format of files that say where the objects of images are.

    The docstring of each format draws an example of its tree.

    Attributes:
        name: a short name.
        title: what people call the format.
        export: which export of which tool writes it.
        by_area: whether smaller areas lie above larger ones; otherwise later ones above earlier
            ones.
        background_remedy: what a person does with an image that holds only background, so that it
            does not count as unlabeled; a sentence without its end.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    export: ClassVar[str]
    by_area: ClassVar[bool] = False
    background_remedy: ClassVar[str] = "draw a shape in it and label it background"

    @contextmanager
    def refusing(self, file: Path) -> Iterator[None]:
        """Turn the errors that contents of another form raise into one that names the file.

        Raises:
            DataError: the content has another form.
        """
        try:
            yield
        except BROKEN as error:
            reason = (
                str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            )
            raise DataError(
                f"{file} cannot be read as {self.title} ({reason}).", "Export it again."
            ) from error


class FileFormat(AnnotationFormat, ABC):
    """A format whose files list many images.

    Attributes:
        suffix: the suffix of its files, in small letters.
    """

    suffix: ClassVar[str] = ".json"

    @abstractmethod
    def recognizes(self, file: Path, head: JsonHead | None) -> bool:
        """Whether a file has this format.

        Args:
            file: a file with the format's suffix.
            head: the keys of a JSON file; None for other files.
        """

    @abstractmethod
    def read(self, file: Path) -> Annotations:
        """Read a file.

        Raises:
            DataError: it cannot be read.
        """
