"""Strong views: photometric changes, which keep every pixel in its place.

Brightness, contrast, saturation and hue are affine maps of the color, so any sequence of them is
one affine map: a matrix and an offset, applied to every pixel once. A channel that is not one of
red, green and blue has a brightness and a contrast of its own, which are a gain and an offset. A
blur is the same for all channels. This differs in two ways from
changing the image four times. First, only the result is rounded and clipped, so that intermediate
values may leave the range of a byte. Second, the hue is a rotation about the gray axis of RGB. It
moves all colors by the same angle and keeps their mean; the hexagon of HSV keeps their maximum, and
takes ten times as long.
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
from semiseg.core.types import RGB, ColorChannels

_GRAY = np.array([0.299, 0.587, 0.114])  # the luma of red, green and blue (ITU-R BT.601)
_FRACTION = 4096
"""Matrices are rounded to multiples of 1/4096. A product with bytes is then exact in 32-bit floats,
so that neither the number of threads nor the order of the sum can change a bit."""


class Photometry(NamedTuple):
    """The strengths and probabilities of the photometric changes.

    Attributes:
        jitter: brightness, contrast and saturation are multiplied by 1 - jitter to 1 + jitter.
        hue: the maximum rotation of the hue in both directions, as a share of the color circle.
        p_jitter: the probability of these four changes.
        blur: range of the Gaussian blur's standard deviation in pixels.
        p_blur: the probability of a blur.
        p_gray: the probability of a gray image, after the changes of color.
    """

    jitter: float
    hue: float
    p_jitter: float
    blur: tuple[float, float]
    p_blur: float
    p_gray: float = 0.0


LABELED = Photometry(jitter=0.25, hue=0.0, p_jitter=0.8, blur=(0.15, 1.15), p_blur=0.0)
"""For labeled images. The hue does not change, since it distinguishes many classes."""

STRONG: dict[str, Photometry] = {
    # A quarter of the color circle turns grass blue, and a few hundred steps do not suffice to
    # learn such an invariance: a twentieth with more brightness and contrast improved more.
    "mild": Photometry(jitter=0.4, hue=0.05, p_jitter=0.8, blur=(0.15, 1.15), p_blur=0.5),
    "paper": Photometry(jitter=0.25, hue=0.25, p_jitter=0.8, blur=(0.15, 1.15), p_blur=0.5),
    "strong": Photometry(
        jitter=0.5, hue=0.25, p_jitter=0.8, blur=(0.1, 2.0), p_blur=0.5, p_gray=0.2
    ),
}
"""For the strong views of unlabeled images. `paper` has the values of the program of css, `strong`
those of ST++, UniMatch and the methods that follow them."""


def change(image: Tensor, photometry: Photometry, key: Key, colors: ColorChannels = RGB) -> Tensor:
    """Draw and apply photometric changes, the color changes in a random order.

    Args:
        image: `(N, H, W)` uint8.
        photometry: the strengths and probabilities.
        key: the key of the draws.
        colors: the channels that are red, green and blue.

    Returns:
        `(N, H, W)` uint8; the image itself if nothing changes.
    """
    rng = key.numpy()
    jitter, blur = rng.uniform(size=2) < (photometry.p_jitter, photometry.p_blur)
    factors = rng.uniform(1 - photometry.jitter, 1 + photometry.jitter, size=3).tolist()
    hue = float(rng.uniform(-photometry.hue, photometry.hue))
    order = rng.permutation(4).tolist()
    sigma = float(rng.uniform(*photometry.blur))
    gray = rng.uniform() < photometry.p_gray
    # The last draws, so that those of an RGB image do not depend on them.
    size = (len(image) - len(colors or ()), 2)
    own = rng.uniform(1 - photometry.jitter, 1 + photometry.jitter, size=size).tolist()
    if jitter:
        image = recolor(image, order, [*factors, hue], colors, own)
    if gray and colors is not None:
        image = recolor(image, [2], [1.0, 1.0, 0.0, 0.0], colors)  # no saturation
    if blur:
        image = gaussian_blur(image, sigma)
    return image


def recolor(
    image: Tensor,
    order: Sequence[int],
    amounts: Sequence[float],
    colors: ColorChannels = RGB,
    own: Sequence[Sequence[float]] = (),
) -> Tensor:
    """Apply the color changes in their order, with one matrix product.

    Args:
        image: `(N, H, W)` uint8.
        order: the changes in their order, see `color_map`.
        amounts: the amounts of the four changes.
        colors: the channels that are red, green and blue.
        own: the factors of brightness and contrast for each of the other channels, which keep their
            values without them.

    Returns:
        `(N, H, W)` uint8.
    """
    values = image.float()
    rows = values.sum(dim=2).double()  # the sum of a row is exact, whatever the order
    mean = rows.sum(dim=1).numpy() / image[0].numel()
    matrix, offset = _channel_map(order, amounts, mean, colors, own)
    exact = [torch.from_numpy(np.rint(x * _FRACTION) / _FRACTION).float() for x in (matrix, offset)]
    # Half a level more, so that truncation rounds to the nearest byte.
    result = torch.addmm(exact[1][:, None] + 0.5, exact[0], values.reshape(len(image), -1))
    result = result.clamp_(0, 255)
    # NumPy converts floats to bytes several times faster than torch.
    return torch.from_numpy(result.numpy().astype(np.uint8)).reshape(image.shape)


def _channel_map(
    order: Sequence[int],
    amounts: Sequence[float],
    mean: NDArray[np.float64],
    colors: ColorChannels,
    own: Sequence[Sequence[float]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A matrix `(N, N)` and an offset `(N,)` for all channels; see `color_map` and `recolor`."""
    if colors == RGB and len(mean) == len(RGB):
        return color_map(order, amounts, mean)
    matrix, offset = np.eye(len(mean)), np.zeros(len(mean))
    if colors is not None:
        chosen = list(colors)
        block, shift = color_map(order, amounts, mean[chosen])
        matrix[np.ix_(chosen, chosen)], offset[chosen] = block, shift
    others = [channel for channel in range(len(mean)) if channel not in (colors or ())]
    for channel, factors in zip(others, own, strict=bool(own)):
        gain, added = 1.0, 0.0
        for kind in (kind for kind in order if kind < len(factors)):
            middle = gain * float(mean[channel]) + added
            gain, added = gain * factors[kind], added * factors[kind]
            if kind == 1:
                added += (1 - factors[kind]) * middle
        matrix[channel, channel], offset[channel] = gain, added
    return matrix, offset


def color_map(
    order: Sequence[int], amounts: Sequence[float], mean: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Combine color changes into one affine map.

    Args:
        order: the changes in their order: 0 brightness, 1 contrast, 2 saturation, 3 hue.
        amounts: the amounts of the four changes: three factors and a share of the color circle.
        mean: `(3,)` the mean color of the image, which the contrast keeps.

    Returns:
        A matrix `(3, 3)` and an offset `(3,)`: a color `c` becomes `matrix @ c + offset`.
    """
    matrix, offset = np.eye(3), np.zeros(3)
    for change in order:
        amount = amounts[change]
        step, shift = np.eye(3) * amount, 0.0
        if change == 1:
            shift = (1 - amount) * float(_GRAY @ (matrix @ mean + offset))
        elif change == 2:
            step = step + (1 - amount) * _GRAY  # each row: towards the gray of the same luma
        elif change == 3:
            step = _rotation(2 * math.pi * amount)
        matrix, offset = step @ matrix, step @ offset + shift
    return matrix, offset


def _rotation(angle: float) -> NDArray[np.float64]:
    """`(3, 3)` the rotation of RGB about the gray axis, from red towards green."""
    along = (1 - math.cos(angle)) / 3
    across = math.sin(angle) / math.sqrt(3)
    same, after, before = along + math.cos(angle), along - across, along + across
    return np.array([[same, after, before], [before, same, after], [after, before, same]])


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur whose weights are multiples of 1/256, in 16-bit integers."""
    # Three standard deviations on both sides contain all but 0.3 % of the kernel.
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
    """Average each row of `(N, H, W)` with its neighbors, mirrored at the border.

    Args:
        values: `(N, H, W)`.
        sides: the weights of the neighbors at distance 1, 2, ..., in 1/256.
    """
    rows, pad = values.shape[1], len(sides)
    above, below = values[:, pad:0:-1], values[:, -2 : -pad - 2 : -1]
    values = np.concatenate([above, values, below], axis=1)
    total = values[:, pad : pad + rows] * np.uint16(256 - 2 * sum(sides))
    for distance, weight in enumerate(sides, 1):
        pair = values[:, pad - distance :][:, :rows] + values[:, pad + distance :][:, :rows]
        pair *= np.uint16(weight)
        total += pair
    total += np.uint16(128)
    total >>= np.uint16(8)
    return total
