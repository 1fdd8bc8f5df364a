"""NumPy's files as masks, as LabelMe's labelme2voc writes them: ids, and -1 for ignored pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import DataError
from semiseg.core.types import IGNORE_INDEX

ARRAY_SUFFIX = ".npy"


def read_array(path: Path) -> NDArray[np.uint8]:
    """Read a mask of ids.

    Returns:
        `(H, W)` the ids; 255 where the file holds -1.

    Raises:
        DataError: the file cannot be read, or holds anything but ids from -1 to 255.
    """
    try:
        values = np.load(path, allow_pickle=False)
        if not isinstance(values, np.ndarray) or values.ndim != 2 or not values.size:
            raise ValueError("it is no array of rows and columns")
        if values.dtype.kind not in "iub" or values.min() < -1 or values.max() > IGNORE_INDEX:
            raise ValueError("it holds other values than ids from -1 to 255")
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise DataError(
            f"{path} cannot be read as a mask ({error}).",
            "Save the ids as a PNG of the image's name.",
        ) from error
    ids = values.astype(np.int64)
    return np.where(ids < 0, IGNORE_INDEX, ids).astype(np.uint8)
