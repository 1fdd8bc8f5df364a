"""The labels of an image: its mask, without the pixels where the image has no data."""

from __future__ import annotations

import numpy as np
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.reading import Reading
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.data.formats.images import read_header, read_valid
from semiseg.data.formats.masks import Classes, read_mask
from semiseg.data.formats.orientation import fit_mask


def read_labels(sample: Sample, classes: Classes, reading: Reading) -> Image.Image:
    """Read the mask of an image as an 8-bit image of class indices.

    A mask that shows the stored pixels of its image is turned as the EXIF data turn the image. A
    mask of the same shape at another size is resized, each pixel to the nearest one.

    Args:
        sample: an image with a mask.
        classes: the classes of the mask.
        reading: how the image is read.

    Returns:
        The indices, at the size of the upright image; 255 where a pixel is ignored or the image has
        no data.

    Raises:
        DataError: the mask cannot be decoded, a code belongs to no class, or the mask and the
            image differ in shape.
        TypeError: the sample has no mask.
    """
    if sample.mask is None:
        raise TypeError(f"{sample.name} has no mask")
    mask = read_mask(sample.mask, classes)
    header = read_header(sample.image, reading)
    labels = fit_mask(mask, header, is_turned=classes.rule.is_turned)
    if labels is None:
        raise DataError(
            f"{sample.mask} is {mask.width} x {mask.height}, and its image {sample.image} "
            f"{header.size[0]} x {header.size[1]}.",
            "Export the mask at the size of its image.",
        )
    valid = read_valid(sample.image, reading)
    if valid is None:
        return labels
    indices = np.array(labels)
    indices[~valid] = IGNORE_INDEX
    return Image.fromarray(indices)
