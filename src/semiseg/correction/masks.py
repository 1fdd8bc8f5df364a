"""Masks that are corrected: read and written as class indices, and never partly."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.files import atomic_write
from semiseg.core.types import IGNORE_INDEX
from semiseg.correction.classes import classes_in, with_class, write_classes
from semiseg.data.formats.codes import Color
from semiseg.data.formats.masks import Classes, read_mask
from semiseg.suggestion.data_writer import picture_of

_REVISION_CHARACTERS = 16


class StoredMask(NamedTuple):
    """A mask as it is on the disk.

    Attributes:
        labels: `(H, W)` uint8 class indices; 255 where ignored.
        revision: a hash of the file's bytes, which changes with each change of the mask.
    """

    labels: NDArray[np.uint8]
    revision: str


class ChangedMeanwhileError(DataError):
    """Another page, or another program, has changed the mask since it was read."""


class Masks:
    """Reads and writes masks in the format of the data.

    Args:
        classes: the classes, and how masks hold them.
        folder: the output folder of `suggest`, whose `classes.yaml` gets new classes.
    """

    def __init__(self, classes: Classes, folder: Path) -> None:
        self.classes = classes
        self._folder = folder
        self._lock = Lock()

    @property
    def can_ignore(self) -> bool:
        """Whether the masks can mark pixels that do not count."""
        in_colors, own = self.classes.encoding == "colors", self.classes.ignored
        value = next(iter(own), None) if in_colors else self.classes.ignored_value
        return value is not None and self.classes.indices.get(value) == IGNORE_INDEX

    def add_class(self, name: str, color: Color) -> None:
        """Add a class, and write it into `classes.yaml`.

        Args:
            name: of the class.
            color: its color.

        Raises:
            DataError: the name or the color cannot be used; see `with_class`.
            OSError: the file cannot be written; then there is no new class.
        """
        with self._lock:
            classes = with_class(self._newest_classes(), name, color)
            write_classes(classes, self._folder)
            self.classes = classes

    def read(self, path: Path) -> StoredMask:
        """Read a mask.

        Raises:
            DataError: it cannot be read, or holds a code of no class.
        """
        with self._lock:
            self.classes = self._newest_classes()
            revision = _revision(path)
            return StoredMask(np.array(read_mask(path, self.classes)), revision)

    def write(self, path: Path, labels: NDArray[np.uint8], revision: str) -> str:
        """Write a mask, completely or not at all.

        Args:
            path: the file of the mask.
            labels: `(H, W)` class indices; 255 where ignored.
            revision: that of the mask which the labels come from.

        Returns:
            The new revision.

        Raises:
            DataError: a label is no class.
            ChangedMeanwhileError: the file has another revision.
            OSError: the file cannot be written.
        """
        self._check(labels)
        stream = BytesIO()
        picture_of(labels, self.classes).save(stream, "PNG")
        with self._lock:
            self._check_revision(path, revision)
            with atomic_write(path) as file:
                file.write(stream.getvalue())
            return _revision(path)

    def check_revision(self, path: Path, revision: str) -> None:
        """Make sure that a mask is still the one that a person saw.

        Raises:
            ChangedMeanwhileError: the file has another revision.
        """
        with self._lock:
            self._check_revision(path, revision)

    def _check_revision(self, path: Path, revision: str) -> None:
        if _revision(path) != revision:
            raise ChangedMeanwhileError(
                f"{path} was changed by another page or program since it was opened.",
                "Load it again; your changes since the last save are lost.",
            )

    def _newest_classes(self) -> Classes:
        """The classes with those that another server has added to the folder."""
        return classes_in(self._folder, self.classes)

    def _check(self, labels: NDArray[np.uint8]) -> None:
        """Refuse labels that the masks cannot hold."""
        count = len(self.classes)
        counts = Image.fromarray(labels).histogram()  # numpy's takes 8 bytes for each pixel
        values = [value for value, number in enumerate(counts) if number]
        wrong = [value for value in values if value >= count and value != IGNORE_INDEX]
        if wrong:
            raise DataError(f"The label {wrong[0]} is no class: there are {count} classes.")
        if IGNORE_INDEX in values and not self.can_ignore:
            raise DataError(
                "These masks have no value for pixels that do not count.",
                "Add one to classes.yaml, such as `ignore: [255]`, or `ignore: ['#ffffff']` where "
                "masks hold colors, and train again.",
            )


def _revision(path: Path) -> str:
    """A hash of the file's bytes.

    Raises:
        DataError: the file is gone.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:_REVISION_CHARACTERS]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}).") from error
