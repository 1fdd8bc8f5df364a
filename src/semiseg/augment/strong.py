"""Strong views: photometric changes that leave every pixel where it is."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from semiseg.draws import Key


class Photometry(NamedTuple):
    """How much of which photometric change is drawn.

    Attributes:
        jitter: brightness, contrast and saturation are multiplied by 1 - jitter to 1 + jitter.
        hue: the hue is turned by up to this share of the colour circle either way.
        p_jitter: the probability of the four changes above.
        blur: range of the Gaussian blur's standard deviation in pixels.
        p_blur: the probability of a blur.
    """

    jitter: float
    hue: float
    p_jitter: float
    blur: tuple[float, float]
    p_blur: float


LABELED = Photometry(jitter=0.25, hue=0.0, p_jitter=0.8, blur=(0.15, 1.15), p_blur=0.0)
"""For labelled images: no change of hue, which is what many classes are told by."""

STRONG = Photometry(jitter=0.25, hue=0.25, p_jitter=0.8, blur=(0.15, 1.15), p_blur=0.5)
"""For the student's view of unlabelled images: as in the authors' program."""


def change(image: Tensor, photometry: Photometry, key: Key) -> Tensor:
    """Draw and apply photometric changes, the jitters in a random order.

    Args:
        image: `(3, H, W)` uint8.
        photometry: how much of what.
        key: the key of the draws.

    Returns:
        `(3, H, W)` uint8.
    """
    rng = key.numpy()
    jitter, blur = rng.uniform(size=2) < (photometry.p_jitter, photometry.p_blur)
    factors = rng.uniform(1 - photometry.jitter, 1 + photometry.jitter, size=3).tolist()
    turn = float(rng.uniform(-photometry.hue, photometry.hue))
    order = rng.permutation(4).tolist()
    sigma = float(rng.uniform(*photometry.blur))
    if jitter:
        changes = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation)
        for i in order:
            if i < 3:
                image = changes[i](image, factors[i])
            elif photometry.hue > 0:
                image = tv.adjust_hue(image, turn)
    if blur:
        # Three standard deviations either way hold all but 0.3 % of the kernel.
        side = 2 * max(1, round(3 * sigma)) + 1
        image = tv.gaussian_blur(image, [side, side], [sigma, sigma])
    return image.to(torch.uint8)
