"""The strong views of unlabeled images, by the name of their color changes."""

from __future__ import annotations

from torch import Tensor

from semiseg.augment.photometric import STRONG, change
from semiseg.augment.random_colors import change_randomly
from semiseg.core.rng import Key
from semiseg.core.types import RGB, ColorChannels

RANDOM = "random"
"""The name of the changes of random intensity; all others are keys of `STRONG`."""


def strong_view(weak: Tensor, photometry: str, key: Key, colors: ColorChannels = RGB) -> Tensor:
    """Draw a strong view of an image.

    Args:
        weak: `(N, H, W)` uint8, the weak view.
        photometry: `random`, or a key of `STRONG`.
        key: the key of the draws.
        colors: the channels that are red, green and blue.

    Returns:
        `(N, H, W)` uint8; the weak view itself if nothing changes.
    """
    if photometry == RANDOM:
        return change_randomly(weak, key, colors)
    return change(weak, STRONG[photometry], key, colors)
