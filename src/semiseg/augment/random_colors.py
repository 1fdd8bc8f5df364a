"""Colors of random intensity: one to three changes, each drawn from a list (AugSeg, CVPR 2023).

Every operation computes with whole numbers or exact products, so that neither the number of threads
nor the order of a sum can change a bit. The hue is rotated as in `augment.photometric`; the rest
follows the definitions of Pillow's operations of the same names.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semiseg.augment.photometric import gaussian_blur, recolor
from semiseg.core.rng import Key

MAX_CHANGES = 3
_FRACTION = 4096  # factors are rounded to multiples of 1/4096, so that whole numbers suffice


def change_randomly(image: Tensor, key: Key) -> Tensor:
    """Draw one, two or three changes of `OPERATIONS`, with replacement, and apply them.

    Args:
        image: `(3, H, W)` uint8.
        key: the key of the draws.

    Returns:
        `(3, H, W)` uint8; the image itself if nothing changes.
    """
    rng = key.numpy()
    count = int(rng.integers(1, MAX_CHANGES + 1))
    numbers = rng.integers(len(OPERATIONS), size=MAX_CHANGES).tolist()
    amounts = rng.uniform(size=MAX_CHANGES).tolist()
    operations = tuple(OPERATIONS.values())
    for number, amount in zip(numbers[:count], amounts[:count], strict=True):
        image = operations[number](image, amount)
    return image


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


def _weaken(number: int) -> Callable[[Tensor, float], Tensor]:
    """Multiply brightness (0), contrast (1) or saturation (2) by a factor of 0.05 to 0.95."""

    def weaken(image: Tensor, amount: float) -> Tensor:
        amounts = [1.0, 1.0, 1.0, 0.0]
        amounts[number] = _factor(amount)
        return recolor(image, [number], amounts)

    return weaken


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


def _turn_hue(image: Tensor, amount: float) -> Tensor:
    """Rotate the hue by up to half of the color circle in either direction."""
    return recolor(image, [3], [1.0, 1.0, 1.0, amount - 0.5])


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
    "brightness": _weaken(0),
    "contrast": _weaken(1),
    "color": _weaken(2),
    "sharpness": _smooth_details,
    "posterize": _posterize,
    "solarize": _solarize,
    "hue": _turn_hue,
}
"""The changes. Each takes an image `(3, H, W)` uint8 and an amount, which is uniform in 0..1."""
