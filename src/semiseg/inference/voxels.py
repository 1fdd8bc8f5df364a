"""Masks of NIfTI slices as NIfTI files, so that other programs lay them over their images."""

from __future__ import annotations

import gzip
import importlib
from pathlib import Path

import numpy as np
from PIL import Image

from semiseg.data.formats.image_formats import format_of
from semiseg.data.formats.medical import turn_of
from semiseg.inference.writers import output_file

VOXELS = "voxels"
"""The kind of these files among those that `predict` writes."""
VOXELS_SUFFIX = ".nii.gz"


def has_voxels(image: Path) -> bool:
    """Whether an image is a NIfTI file that can be read here."""
    form = format_of(image)
    return form is not None and form.name == "NIfTI" and form.is_readable


def save_voxels(mask: Image.Image, image: Path, path: Path) -> None:
    """Write a mask with the axes and the place in space of its image.

    The header holds nothing else of the image: no description, name or date.

    Args:
        mask: ids, as the image is shown.
        image: the NIfTI file of one slice that was segmented.
        path: the file to write.

    Raises:
        RunError: the file cannot be written.
    """
    nibabel = importlib.import_module("nibabel")
    source = nibabel.load(image)
    values = turn_of(source).stored(np.asarray(mask))
    content = nibabel.Nifti1Image(values, source.affine).to_bytes()
    with output_file(path) as file:
        file.write(gzip.compress(content, mtime=0))
