"""Gray images of more than 8 bits, such as those of scanners: which values are black and white."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semiseg.core.rng import Key
from semiseg.data.formats.images import UNREADABLE, has_deep_color, open_image
from semiseg.data.order import ahead

_MOST = 64  # images that are looked at
_PIXELS = 10_000  # of each
_TAIL = 0.01  # per cent of the pixels that may be darker, or brighter: dead and hot ones
_WIDE = 32_768  # values; what spans more is seen well enough by the range of its type


def infer_range(images: Sequence[Path]) -> tuple[float, float] | None:
    """The values that are black and white in gray images of 16 bits, as `read_image` takes them.

    A scanner of 12 bits fills a sixteenth of the type, which as it is would be read nearly black.
    Up to 64 images are looked at, always the same ones.

    Args:
        images: the files; those that cannot be read are passed over.

    Returns:
        Black and white; None where there are no such images, where they span half of their type,
        and where there are colors of 16 bits beside them, to which no range can be applied.
    """
    order = Key.of(0, "depth").numpy().permutation(len(images))[:_MOST]
    with warnings.catch_warnings():  # Pillow's, of odd metadata, which the check has looked at
        warnings.simplefilter("ignore")
        found = [v for v in ahead(_values, [images[i] for i in sorted(order)]) if v is not None]
        if not found or any(ahead(_has_deep_color, images)):
            return None
    low, high = np.percentile(np.concatenate(found), (_TAIL, 100 - _TAIL), method="nearest")
    return (int(low), int(high)) if 0 < high - low < _WIDE else None


def _values(path: Path) -> NDArray[np.int64] | None:
    """Pixels of a gray image of 16 bits, drawn at random; None for any other file."""
    try:
        with open_image(path) as file:
            if not file.mode.startswith("I"):
                return None
            values = np.asarray(file).reshape(-1)
    except UNREADABLE:
        return None  # told where it matters
    if len(values) > _PIXELS:
        # Every n-th pixel would be of a few columns alone, where n divides the width.
        drawn = Key.of(0, "depth", "pixels").numpy().integers(len(values), size=_PIXELS)
        values = values[drawn]
    return values.astype(np.int64)


def _has_deep_color(path: Path) -> bool:
    try:
        with open_image(path) as file:
            return has_deep_color(file)
    except UNREADABLE:
        return False
