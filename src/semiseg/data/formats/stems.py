"""Names of files without their suffixes."""

from __future__ import annotations

from pathlib import Path

from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.formats.matlab import MATLAB_SUFFIX

_SUFFIXES = (*IMAGE_SUFFIXES, LABELME_SUFFIX, MATLAB_SUFFIX)


def stem(path: Path) -> str:
    """The name of a file without its suffix: `case.nii.gz` is `case`."""
    suffix = path.suffix
    if suffix.lower() not in _SUFFIXES:  # .nii.gz
        name = path.name.lower()
        suffix = next((double for double in _SUFFIXES if name.endswith(double)), suffix)
    return path.name[: len(path.name) - len(suffix)]
