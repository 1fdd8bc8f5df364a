"""A random part of each cached view, so that a step decodes less than the whole view.

With cached features, the decoder takes nearly all of a step, and it takes as long as its image is
large. A part of a view needs no features of its own: it is cut from the view's image, mask and
features alike. So the encoder sees large images, and the decoder small ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from semiseg.core.rng import Key
from semiseg.core.types import Labeled


def cut_windows(labeled: Labeled, side: int, unit: int, keys: Sequence[Key]) -> Labeled:
    """A random square of each image, with its mask and its features.

    Args:
        labeled: images with equal sides, with the maps of a wholly frozen encoder as features. The
            network pads images to a multiple of `unit`.
        side: the side of the squares in pixels, rounded down to a multiple of `unit` that is not 0.
        unit: the pixels at which squares begin: a multiple of the stride of each map.
        keys: the key of each image's draw.

    Returns:
        The squares; the same batch if the images are no larger. No square reaches into the pixels
        after the last multiple of `unit`.
    """
    whole = labeled.image.shape[-1]
    side = max(unit, side // unit * unit)
    if side >= whole:
        return labeled
    places = (whole - side) // unit + 1
    corners = [unit * key.numpy().integers(places, size=2) for key in keys]

    def cut(maps: Tensor) -> Tensor:
        """The squares of maps with any stride, `(B, ..., h, w)`."""
        stride = 1 if maps.shape[-1] == whole else -(-whole // unit) * unit // maps.shape[-1]
        cells = side // stride
        squares = []
        for one, corner in zip(maps, corners, strict=True):
            top, left = (int(pixels) // stride for pixels in corner)
            squares.append(one[..., top : top + cells, left : left + cells])
        stacked = torch.stack(squares)
        if stacked.dim() == 4:  # as features are stored
            return stacked.contiguous(memory_format=torch.channels_last)
        return stacked

    features = tuple(map(cut, labeled.features))
    return Labeled(cut(labeled.image), cut(labeled.mask), features)
