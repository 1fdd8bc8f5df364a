"""MATLAB files as masks: a matrix of ids, as COCO-Stuff 10K, SBD and BSDS publish them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import DataError
from semiseg.data.formats.image_opening import reason

MATLAB_SUFFIX = ".mat"
_NAMES = ("S", "segmentation", "labelmap", "labels", "label", "mask", "masks", "gt", "groundtruth")
"""Names of the matrix of ids where a file holds several, the likeliest first."""
_HIGHEST = 1 << 31


def read_matrix(path: Path) -> NDArray[np.int32]:
    """Read the matrix of ids `(H, W)` of a file.

    It is the only matrix of whole numbers, or of several the one whose name says so, such as `S` or
    `mask`; it may lie in a struct (`GTcls.Segmentation`).

    Raises:
        DataError: the file cannot be read, or has no such matrix or several.
    """
    from scipy.io import loadmat  # it takes a tenth of a second, and few folders need it

    try:
        content = loadmat(path, simplify_cells=True)
    except NotImplementedError as error:
        raise DataError(
            f"{path} is a MATLAB file of version 7.3 (HDF5), which is not read.",
            "Save it in MATLAB with save(..., '-v7'), or as a PNG of ids.",
        ) from error
    except Exception as error:  # broken files fail in many ways
        raise DataError(
            f"{path} cannot be read as a mask ({reason(error)}).",
            "Replace the file or remove it.",
        ) from error
    matrices = dict(_matrices(content))
    names = {name.rpartition(".")[2].lower(): name for name in reversed(matrices)}
    key = next((names[x.lower()] for x in _NAMES if x.lower() in names), None)
    if key is None and len(matrices) == 1:
        key = next(iter(matrices))
    if key is None:
        names_in_file = ", ".join(matrices) or "none"
        raise DataError(
            f"{path} cannot be read as a mask: it needs one matrix of whole numbers with two "
            f"dimensions, and has {names_in_file}.",
            "Name the matrix of ids `mask`, or save it as a PNG.",
        )
    return matrices[key].astype(np.int32)


def _matrices(
    content: Mapping[str, object], prefix: str = ""
) -> Iterator[tuple[str, NDArray[np.number]]]:
    """The matrices of whole numbers, also those in structs, by their names."""
    for name, value in content.items():
        if name.startswith("__"):
            continue
        if isinstance(value, Mapping):
            yield from _matrices(value, f"{prefix}{name}.")
            continue
        matrix = np.asarray(value)
        if matrix.ndim != 2 or min(matrix.shape) < 2 or matrix.dtype.kind not in "buif":
            continue
        whole = matrix.dtype.kind != "f" or bool(np.all(np.mod(matrix, 1) == 0))
        if whole and matrix.size and abs(matrix.astype(np.float64)).max() < _HIGHEST:
            yield f"{prefix}{name}", matrix
