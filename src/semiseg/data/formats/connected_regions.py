"""The connected regions of a mask, as the objects that a person corrects in a labeling tool."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from semiseg.data.formats.regions import Bitmap

_MIN_PIXELS = 9  # a smaller region is a speck; nobody wants to click on each of them
_DIAGONAL = np.ones((3, 3), dtype=np.bool_)  # regions that touch at a corner are one


class LabeledRegion(NamedTuple):
    """Pixels of one class.

    Attributes:
        label: the value of the mask: the index of the class, or 255 for ignored pixels.
        area: the pixels.
    """

    label: int
    area: Bitmap


def connected_regions(mask: NDArray[np.uint8], background: int | None) -> list[LabeledRegion]:
    """Find the connected regions of all classes. Together they cover every pixel once.

    Args:
        mask: `(H, W)` class indices, 255 where ignored.
        background: the class that needs no regions, or None.

    Returns:
        The regions by class, from top to bottom. The regions of a class with fewer than 9 pixels
        are one region, the last one of the class.
    """
    regions = []
    for label in np.unique(mask).tolist():
        if label == background:
            continue
        components, count = ndimage.label(mask == label, structure=_DIAGONAL)
        sizes = np.bincount(components.ravel(), minlength=count + 1)
        is_speck = sizes < _MIN_PIXELS
        is_speck[0] = False
        for number, box in enumerate(ndimage.find_objects(components), 1):
            if not is_speck[number]:
                rows, columns = box
                area = Bitmap(columns.start, rows.start, components[box] == number)
                regions.append(LabeledRegion(label, area))
        if is_speck.any():
            regions.append(LabeledRegion(label, Bitmap.around(is_speck[components])))
    return regions
