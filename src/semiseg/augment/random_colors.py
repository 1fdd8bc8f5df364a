"""Colors of random intensity: one to three changes, each drawn from a list (AugSeg, CVPR 2023).

Every operation computes with whole numbers or exact products, so that neither the number of threads
nor the order of a sum can change a bit. The hue is rotated as in `augment.photometric`; the rest
follows the definitions of Pillow's operations of the same names. Saturation and hue change the
channels of red, green and blue alone; every other channel has a brightness and a contrast of its
own, and shares the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semiseg.augment.photometric import gaussian_blur, recolor
from semiseg.core.rng import Key
from semiseg.core.types import RGB, ColorChannels

MAX_CHANGES = 3
_COLOR_CHANGES = {"brightness": 0, "contrast": 1, "color": 2, "hue": 3}
"""The operations that mix or scale channels, by their numbers in `color_map`."""
_FRACTION = 4096  # factors are rounded to multiples of 1/4096, so that whole numbers suffice


def change_randomly(image: Tensor, key: Key, colors: ColorChannels = RGB) -> Tensor:
    """Draw one, two or three changes of `OPERATIONS`, with replacement, and apply them.

    Args:
        image: `(N, H, W)` uint8.
        key: the key of the draws.
        colors: the channels that are red, green and blue.

    Returns:
        `(N, H, W)` uint8; the image itself if nothing changes.
    """
    rng = key.numpy()
    count = int(rng.integers(1, MAX_CHANGES + 1))
    numbers = rng.integers(len(OPERATIONS), size=MAX_CHANGES).tolist()
    amounts = rng.uniform(size=MAX_CHANGES).tolist()
    # The last draws, so that those of an RGB image do not depend on them.
    own = rng.uniform(size=(MAX_CHANGES, len(image) - len(colors or ()))).tolist()
    names = tuple(OPERATIONS)
    for number, amount, others in zip(numbers[:count], amounts[:count], own[:count], strict=True):
        name = names[number]
        if others and name in _COLOR_CHANGES:
            image = _change_channels(image, name, amount, colors, others)
        else:
            image = OPERATIONS[name](image, amount)
    return image


def _change_channels(
    image: Tensor, name: str, amount: float, colors: ColorChannels, own: Sequence[float]
) -> Tensor:
    """Change the colors of an image that has other channels, too.

    Args:
        image: `(N, H, W)` uint8.
        name: a key of `_COLOR_CHANGES`.
        amount: for the channels of red, green and blue.
        colors: these channels.
        own: the amount of each other channel.
    """
    number = _COLOR_CHANGES[name]
    weakened = [[1.0] * number + [_factor(one)] + [1.0] * (1 - number) for one in own]
    factors = weakened if name in ("brightness", "contrast") else ()
    return recolor(image, [number], _amounts(name, amount), colors, factors)


def _keep(image: Tensor, _: float) -> Tensor:
    return image


def _stretch(image: Tensor, _: float) -> Tensor:
    """Autocontrast: the least value of each channel becomes 0, and the largest 255."""
    pixels = image.numpy()
    levels = np.arange(256)
    tables = []
    for low, high in zip(pixels.min(axis=(1, 2)), pixels.max(axis=(1, 2)), strict=True):
        span = int(high) - int(low)
        stretched = (510 * (levels - int(low)) + span) // max(1, 2 * span)  # to the nearest
        tables.append(stretched.clip(0, 255) if span else levels)
    return _look_up(image, np.stack(tables))


def _equalize(image: Tensor, _: float) -> Tensor:
    """Equalize: the values of each channel become about equally frequent."""
    tables = []
    for channel in image.numpy():
        counts = np.bincount(channel.reshape(-1), minlength=256)
        # The last value that occurs takes no part, so that it can become 255.
        step = (channel.size - int(counts[counts > 0][-1])) // 255
        below = np.cumsum(counts) - counts
        table = (below + step // 2) // max(1, step)
        tables.append(table.clip(0, 255) if step else np.arange(256))
    return _look_up(image, np.stack(tables))


def _soften(image: Tensor, amount: float) -> Tensor:
    """A Gaussian blur with a standard deviation of 0.1 to 2 pixels."""
    return gaussian_blur(image, 0.1 + 1.9 * amount)


def _recolor(name: str) -> Callable[[Tensor, float], Tensor]:
    """A change of the colors of an image `(3, H, W)`."""
    return lambda image, amount: recolor(image, [_COLOR_CHANGES[name]], _amounts(name, amount))


def _amounts(name: str, amount: float) -> list[float]:
    """The amounts for `recolor` of one change.

    Brightness, contrast and saturation get a factor of 0.05 to 0.95. The hue rotates by up to half
    of the color circle in either direction.
    """
    amounts = [1.0, 1.0, 1.0, 0.0]
    amounts[_COLOR_CHANGES[name]] = amount - 0.5 if name == "hue" else _factor(amount)
    return amounts


def _factor(amount: float) -> float:
    """A factor of 0.05 to 0.95: it weakens, and never strengthens."""
    return 0.05 + 0.9 * amount


def _smooth_details(image: Tensor, amount: float) -> Tensor:
    """Sharpness: mix each pixel with the mean of its 3 x 3 neighbors, where it counts fivefold.

    The pixels at the border of the image stay as they are.
    """
    pixels = image.numpy().astype(np.int32)
    if min(pixels.shape[1:]) < 3:
        return image
    rows = pixels[:, :-2] + pixels[:, 1:-1] + pixels[:, 2:]
    inner = pixels[:, 1:-1, 1:-1]
    total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * inner  # 13 pixels
    share = round(_factor(amount) * _FRACTION)
    mixed = (_FRACTION - share) * total + 13 * share * inner
    result = image.clone()
    result[:, 1:-1, 1:-1] = torch.from_numpy(
        ((mixed + 13 * _FRACTION // 2) // (13 * _FRACTION)).astype(np.uint8)
    )
    return result


def _posterize(image: Tensor, amount: float) -> Tensor:
    """Keep the upper 4 to 7 bits of each value."""
    bits = 4 + min(3, int(4 * amount))
    return image & (256 - (1 << (8 - bits)))


def _solarize(image: Tensor, amount: float) -> Tensor:
    """Invert the values from a threshold of 1 to 255 on."""
    threshold = 1 + min(254, int(255 * amount))
    return torch.where(image < threshold, image, 255 - image)


def _look_up(image: Tensor, tables: NDArray[np.int_]) -> Tensor:
    """Replace the values of each channel by those of its table of 256 entries."""
    pixels = image.numpy()
    result = np.empty_like(pixels)
    for channel, values, table in zip(result, pixels, tables.astype(np.uint8), strict=True):
        channel[:] = table[values]
    return torch.from_numpy(result)


OPERATIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": _keep,
    "autocontrast": _stretch,
    "equalize": _equalize,
    "blur": _soften,
    "brightness": _recolor("brightness"),
    "contrast": _recolor("contrast"),
    "color": _recolor("color"),
    "sharpness": _smooth_details,
    "posterize": _posterize,
    "solarize": _solarize,
    "hue": _recolor("hue"),
}
"""The changes. Each takes an image `(3, H, W)` uint8 and an amount, which is uniform in 0..1. Those
that treat each channel alike take any number of channels."""
