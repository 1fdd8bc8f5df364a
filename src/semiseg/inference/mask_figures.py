"""Counts the classes and the objects in a mask that `predict` wrote, perhaps long ago."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.bands import open_raster
from semiseg.data.formats.codes import TABLE_SIZE
from semiseg.data.formats.masks import Classes
from semiseg.inference.figures import Figures, Tally
from semiseg.inference.large import large_images

_BLOCK = 1 << 22  # pixels that are read and counted together


def figures_in(mask: Path, classes: Classes, min_pixels: int = 1) -> Figures:
    """Count in a mask that `predict` wrote and a person may have corrected.

    Args:
        mask: a PNG file or a GeoTIFF. Of a GeoTIFF, the shares are not known, because its pixels
            without data look like those on which the model abstains.
        classes: of the mask.
        min_pixels: objects of fewer pixels do not count.

    Returns:
        No confidence; nothing at all if the file holds something else.
    """
    is_raster = mask.suffix == ".tif"
    if not is_raster and mask.suffix != ".png":
        return Figures()
    codes = classes.codes if classes.encoding == "ids" else range(len(classes))
    indices = np.full(TABLE_SIZE, IGNORE_INDEX, np.uint8)
    indices[list(codes)] = np.arange(len(classes))
    tally = Tally(len(classes), min_pixels=min_pixels)
    try:
        with closing(_raster_rows(mask) if is_raster else _picture_rows(mask)) as parts:
            for values in parts:
                tally.add(indices[values], np.zeros(values.shape, np.float32))
    except (OSError, SyntaxError, ValueError):
        return Figures()
    figures = tally.figures()
    return figures._replace(confidence=None, shares=None if is_raster else figures.shares)


def _picture_rows(mask: Path) -> Generator[NDArray[np.uint8 | np.uint16]]:
    """The values of a PNG file, some rows at a time.

    Raises:
        OSError, SyntaxError, ValueError: the file is no mask.
    """
    with large_images(), Image.open(mask) as file:
        if file.mode not in ("P", "L", "I;16"):
            raise ValueError(f"{mask} is no mask")
        values = np.asarray(file)
    rows = max(1, _BLOCK // values.shape[1])
    for top in range(0, len(values), rows):
        yield values[top : top + rows]


def _raster_rows(mask: Path) -> Generator[NDArray[np.uint8 | np.uint16]]:
    """The values of a GeoTIFF, some rows at a time.

    Raises:
        OSError: it cannot be read.
        ValueError: the file is no mask.
    """
    with open_raster(mask) as file:
        if file.count != 1 or file.dtypes[0] not in ("uint8", "uint16"):
            raise ValueError(f"{mask} is no mask")
        rows = max(1, _BLOCK // file.width)
        for top in range(0, file.height, rows):
            window = (top, min(top + rows, file.height)), (0, file.width)
            yield file.read(1, window=window)
