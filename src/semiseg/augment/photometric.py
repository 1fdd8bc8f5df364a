"""Strong views: photometric changes that leave every pixel where it is.

Brightness, contrast, saturation and hue are each an affine map of the color, so any number of
them, in any order, is one: a matrix and an offset that every pixel is multiplied by once. Two
things differ from changing the image four times. What leaves the range of a byte on the way and
comes back is kept, since only the result is rounded and clipped. And the hue turns about the axis
of grays in RGB, which moves all colors by the same angle and keeps their mean; the hexagon of HSV
keeps their maximum, and takes ten times as long.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semiseg.core.rng import Key

_GRAY = np.array([0.299, 0.587, 0.114])  # how bright red, green and blue look (ITU-R BT.601)
_FRACTION = 4096
"""Matrices are rounded to this fraction: a product with bytes is then exact in 32-bit floats, so
that neither the number of threads nor the order of the sum can change a bit."""


class Photometry(NamedTuple):
    """How much of which photometric change is drawn.

    Attributes:
        jitter: brightness, contrast and saturation are multiplied by 1 - jitter to 1 + jitter.
        hue: the hue is turned by up to this share of the color circle either way.
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
"""For labeled images: no change of hue, which is what many classes are told by."""

STRONG: dict[str, Photometry] = {
    # A quarter of the color circle either way turns grass blue, and a few hundred steps do not
    # suffice to learn to look past that: a twentieth with more light and contrast gained more.
    "mild": Photometry(jitter=0.4, hue=0.05, p_jitter=0.8, blur=(0.15, 1.15), p_blur=0.5),
    "paper": Photometry(jitter=0.25, hue=0.25, p_jitter=0.8, blur=(0.15, 1.15), p_blur=0.5),
}
"""For the student's view of unlabeled images; `paper` is as in the authors' program."""


def change(image: Tensor, photometry: Photometry, key: Key) -> Tensor:
    """Draw and apply photometric changes, the jitters in a random order.

    Args:
        image: `(3, H, W)` uint8.
        photometry: how much of what.
        key: the key of the draws.

    Returns:
        `(3, H, W)` uint8; the image itself if nothing is changed.
    """
    rng = key.numpy()
    jitter, blur = rng.uniform(size=2) < (photometry.p_jitter, photometry.p_blur)
    factors = rng.uniform(1 - photometry.jitter, 1 + photometry.jitter, size=3).tolist()
    turn = float(rng.uniform(-photometry.hue, photometry.hue))
    order = rng.permutation(4).tolist()
    sigma = float(rng.uniform(*photometry.blur))
    if jitter:
        image = _recolor(image, order, [*factors, turn])
    if blur:
        image = _blur(image, sigma)
    return image


def _recolor(image: Tensor, order: Sequence[int], amounts: Sequence[float]) -> Tensor:
    """Apply the color changes in their order: one matrix product."""
    values = image.float()
    rows = values.sum(dim=2).double()  # row by row such sums are exact, whatever their order
    mean = rows.sum(dim=1).numpy() / image[0].numel()
    matrix, offset = color_map(order, amounts, mean)
    exact = [torch.from_numpy(np.rint(x * _FRACTION) / _FRACTION).float() for x in (matrix, offset)]
    # Half a level more, so that cutting off the fraction rounds to the nearest byte.
    result = torch.addmm(exact[1][:, None] + 0.5, exact[0], values.reshape(3, -1)).clamp_(0, 255)
    # numpy turns floats into bytes several times as fast as torch does.
    return torch.from_numpy(result.numpy().astype(np.uint8)).reshape(image.shape)


def color_map(
    order: Sequence[int], amounts: Sequence[float], mean: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The affine map of colors that changes amount to, one after another.

    Args:
        order: the changes: 0 brightness, 1 contrast, 2 saturation, 3 hue.
        amounts: of each of the four: three factors and a share of the color circle.
        mean: `(3,)` the image's mean color, about which the contrast changes.

    Returns:
        `(3, 3)` and `(3,)`: a color `c` becomes `matrix @ c + offset`.
    """
    matrix, offset = np.eye(3), np.zeros(3)
    for change in order:
        amount = amounts[change]
        step, shift = np.eye(3) * amount, 0.0
        if change == 1:
            shift = (1 - amount) * float(_GRAY @ (matrix @ mean + offset))
        elif change == 2:
            step = step + (1 - amount) * _GRAY  # each row: to the gray that looks as bright
        elif change == 3:
            step = _turn(2 * math.pi * amount)
        matrix, offset = step @ matrix, step @ offset + shift
    return matrix, offset


def _turn(angle: float) -> NDArray[np.float64]:
    """The rotation of RGB about the axis of grays, red towards green."""
    along = (1 - math.cos(angle)) / 3
    across = math.sin(angle) / math.sqrt(3)
    same, after, before = along + math.cos(angle), along - across, along + across
    return np.array([[same, after, before], [before, same, after], [after, before, same]])


def _blur(image: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur whose weights are multiples of 1/256, in 16-bit integers."""
    # Three standard deviations either way hold all but 0.3 % of the kernel.
    reach = max(1, round(3 * sigma))
    bell = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    weights = np.rint(256 * bell / (2 * bell.sum() - 1)).astype(int).tolist()
    sides = [w for w in weights[1:] if w]
    if not sides:
        return image
    down = _smooth(image.numpy().astype(np.uint16), sides)
    both = _smooth(down.swapaxes(1, 2), sides).swapaxes(1, 2)
    return torch.from_numpy(both.astype(np.uint8))


def _smooth(values: NDArray[np.uint16], sides: Sequence[int]) -> NDArray[np.uint16]:
    """Weigh each row of `(3, H, W)` with its neighbors, mirrored at the border."""
    rows, pad = values.shape[1], len(sides)
    above, below = values[:, pad:0:-1], values[:, -2 : -pad - 2 : -1]
    values = np.concatenate([above, values, below], axis=1)
    total = values[:, pad : pad + rows] * np.uint16(256 - 2 * sum(sides))
    for away, weight in enumerate(sides, 1):
        pair = values[:, pad - away :][:, :rows] + values[:, pad + away :][:, :rows]
        pair *= np.uint16(weight)
        total += pair
    total += np.uint16(128)
    total >>= np.uint16(8)
    return total
