"""MATLAB files as masks, the format in which COCO-Stuff 10K is published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import ConfigError, DataError
from semiseg.data.formats.images import reason

MATLAB_SUFFIX = ".mat"


def read_matrix(path: Path) -> NDArray[np.int32]:
    """Read the matrix `S` of a file: the ids `(H, W)`.

    Raises:
        ConfigError: scipy is not installed.
        DataError: the file cannot be read or has no such matrix.
    """
    try:
        from scipy.io import loadmat  # an optional package
    except ImportError as error:
        raise ConfigError(
            f"Reading {path} needs scipy, which is not installed: pip install 'semiseg[cocostuff]'."
        ) from error
    try:
        matrix = np.asarray(loadmat(path)["S"])
        if matrix.ndim != 2:
            raise ValueError(f"S has {matrix.ndim} dimensions instead of 2")
        return matrix.astype(np.int32)
    except Exception as error:  # broken files fail in many ways
        raise DataError(f"{path} cannot be read as a mask ({reason(error)}).") from error
