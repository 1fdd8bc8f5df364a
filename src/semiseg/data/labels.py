"""The labels of an image: its mask, without the pixels where the image has no data."""

from __future__ import annotations

from PIL import Image

from semiseg.core.reading import Reading
from semiseg.core.types import Sample
from semiseg.data.formats.masks import Classes, read_mask


def read_labels(sample: Sample, classes: Classes, reading: Reading) -> Image.Image:
    """Read the mask of an image as an 8-bit image of class indices.

    Args:
        sample: an image with a mask.
        classes: the classes of the mask.
        reading: how the image is read.

    Returns:
        The indices, of the mask's size; 255 where a pixel is ignored or the image has no data.

    Raises:
        DataError: the mask cannot be decoded, or a code belongs to no class.
        TypeError: the sample has no mask.
    """
    if sample.mask is None:
        raise TypeError(f"{sample.name} has no mask")
    return read_mask(sample.mask, classes)
