"""Masks that semiseg draws for the tiles of a raster: the codes themselves, in a NumPy archive.

Unlike in an image, any code may stand beside pixels that are ignored.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import cast, get_args

import numpy as np

from semiseg.core.errors import DataError
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.mask_files import Codes
from semiseg.data.formats.mask_rule import NO_DATA, TRANSPARENT, Encoding

DRAWN_SUFFIX = ".npz"
"""The suffix of the files, which lie in the cache and never in a data folder."""
_BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, zipfile.BadZipFile)


def ignored_code(encoding: Encoding) -> int:
    """The code of pixels that are ignored."""
    return IGNORE_INDEX if encoding == "labels" else NO_DATA


def is_labeled(codes: Codes) -> bool:
    """Whether any pixel has a class."""
    if codes.encoding == "labels":
        return bool((codes.values != IGNORE_INDEX).any())
    return bool((codes.values < TRANSPARENT).any())


def save_codes(path: Path, codes: Codes) -> None:
    """Write the codes of a mask.

    Raises:
        OSError: the file cannot be written.
    """
    labels = {str(code): label for code, label in codes.labels.items()}
    facts = {"encoding": codes.encoding, "labels": labels, "palette": list(codes.palette)}
    with path.open("wb") as file:
        np.savez_compressed(file, values=codes.values, facts=np.array(json.dumps(facts)))


def load_codes(path: Path) -> Codes:
    """Read what `save_codes` wrote.

    Raises:
        DataError: the file is gone or broken.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            values, facts = file["values"], json.loads(str(file["facts"]))
        encoding, palette = facts["encoding"], facts["palette"]
        labels = {int(code): str(label) for code, label in facts["labels"].items()}
        if encoding not in get_args(Encoding) or values.dtype != np.int32 or values.ndim != 2:
            raise ValueError("it holds no codes")
    except _BROKEN as error:
        raise DataError(
            f"{path} in the cache cannot be read ({error}).",
            "Remove its folder; semiseg draws the masks again.",
        ) from error
    return Codes(values, cast("Encoding", encoding), labels, [int(level) for level in palette])
