"""Specks: regions of a proposed mask that are too small for a person to judge one by one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects, label

from semiseg.core.types import IGNORE_INDEX

_CELL = 4
"""The side of the smallest region in pixels of the model's input. DeepLabV3+ computes one value
for so many pixels, so a smaller region is smaller than anything that the model computes."""


def smallest_region(size: tuple[int, int], model_size: int) -> int:
    """The fewest pixels of a region that is larger than a speck.

    Args:
        size: width and height of the image in pixels.
        model_size: the short side of the image as the model sees it.
    """
    return math.ceil((_CELL * min(size) / model_size) ** 2)


def remove_specks(mask: NDArray[np.uint8], min_pixels: int) -> tuple[NDArray[np.uint8], int]:
    """Let small regions become what lies nearest to them. Pixels that touch at a corner are apart.

    Args:
        mask: `(H, W)` class indices, 255 where ignored; those regions stay.
        min_pixels: regions of fewer pixels are specks.

    Returns:
        The mask without specks, and their number. A mask of specks alone stays as it is.
    """
    specks = np.zeros(mask.shape, np.bool_)
    number = 0
    for index in np.unique(mask).tolist():
        if index == IGNORE_INDEX or min_pixels < 2:
            continue
        box = find_objects((mask == index).astype(np.uint8))[0]
        regions, count = label(mask[box] == index)
        is_speck = np.bincount(regions.reshape(-1), minlength=count + 1) < min_pixels
        is_speck[0] = False
        specks[box] |= is_speck[regions]
        number += int(is_speck.sum())
    lacking = specks | (mask == IGNORE_INDEX)
    if not number or lacking.all():
        return mask, 0
    rows, columns = distance_transform_edt(lacking, return_distances=False, return_indices=True)
    return np.where(specks, mask[rows, columns], mask), number
