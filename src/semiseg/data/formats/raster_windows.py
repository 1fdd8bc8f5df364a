"""Windows of large rasters, as paths: `field.tif/x1024-y512-w512-h512` is a part of `field.tif`.

Such a path is a file for all code that lists, names, compares and records images. Only the code
that opens images knows that the file in it is the one before the last part.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(r"x(\d{1,9})-y(\d{1,9})-w(\d{1,9})-h(\d{1,9})")
RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".j2k")
"""The suffixes of files that may have a place on earth."""


class Window(NamedTuple):
    """A part of a raster, in pixels from its upper left corner.

    Attributes:
        left: the first column.
        top: the first row.
        width: the number of columns.
        height: the number of rows.
    """

    left: int
    top: int
    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels."""
        return self.left, self.top, self.left + self.width, self.top + self.height


def window_path(file: Path, window: Window) -> Path:
    """The path that stands for a window of a raster.

    Args:
        file: the file of the raster.
        window: the part.

    Example:
        >>> window_path(Path("field.tif"), Window(1024, 512, 256, 256)).as_posix()
        'field.tif/x1024-y512-w256-h256'
    """
    return file / f"x{window.left}-y{window.top}-w{window.width}-h{window.height}"


def split_window(path: Path) -> tuple[Path, Window | None]:
    """The file of an image, and the window of it that a path stands for.

    Args:
        path: of a file, or of a window as `window_path` gives it.

    Returns:
        The file, and the window; the path itself and None for a whole file.

    Example:
        >>> split_window(Path("a/field.tif/x0-y8-w16-h4"))[1]
        Window(left=0, top=8, width=16, height=4)
        >>> split_window(Path("a/field.tif"))[1] is None
        True
    """
    match = _NAME.fullmatch(path.name)
    if match is None or path.parent.suffix.lower() not in RASTER_SUFFIXES:
        return path, None
    window = Window(*map(int, match.groups()))
    if not window.width or not window.height:
        return path, None
    return path.parent, window


def file_of(path: Path) -> Path:
    """The file that holds an image: the raster of a window, else the path itself."""
    return split_window(path)[0]
