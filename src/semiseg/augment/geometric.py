"""Weak views: scale, crop and flip, the same for an image and its mask."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from semiseg.augment.working_size import working_size
from semiseg.core.rng import Key
from semiseg.core.types import IGNORE_INDEX

_Item = TypeVar("_Item", bound=np.generic)

_FILL = (124, 116, 104)  # ImageNet's mean, which a pretrained encoder hardly responds to
_GRAY_FILL = 115  # of other numbers of channels: the mean of these three, see `Normalization`
_FAST_CHANNELS = 4
"""torch's fast code for bytes takes up to so many channels; other code gives the same bits."""


class View(NamedTuple):
    """The position of a crop in its source image.

    Attributes:
        box: left, top, right and bottom of the visible part, in whole pixels of the source, so that
            the fastest code can resample it.
        extent: width and height of that part in the crop, in pixels.
        offset: x and y in the crop at which that part begins; the pixels around it are padding.
        crop: the side of the square crop in pixels.
        flip: whether left and right are exchanged.
    """

    box: tuple[int, int, int, int]
    extent: tuple[int, int]
    offset: tuple[int, int]
    crop: int
    flip: bool


def draw_view(
    key: Key,
    source: tuple[int, int],
    size: int,
    crop: int,
    scale: tuple[float, float],
    focus: tuple[float, float] | None = None,
) -> View:
    """Draw a view: a scale, a position and a flip.

    Args:
        key: the key of the draw.
        source: width and height of the image in pixels.
        size: short side at working size, in pixels.
        crop: side of the square crop in pixels.
        scale: range of the random factor on the working size. Its logarithm is drawn uniformly.
        focus: the center of the crop as shares of the width and the height, as far as the image
            reaches; None for a random position.

    Returns:
        The view. If the scaled image is smaller than the crop, the crop has padding.
    """
    rng = key.numpy()
    factor = float(np.exp(rng.uniform(np.log(scale[0]), np.log(scale[1]))))
    width, height = (max(1, round(s * factor)) for s in working_size(source, size))
    positions = rng.uniform(size=2).tolist()
    start_x, extent_x, pad_x = _position(width, crop, positions[0], focus and focus[0])
    start_y, extent_y, pad_y = _position(height, crop, positions[1], focus and focus[1])
    left, right = _whole_pixels(start_x, extent_x, source[0], width)
    top, bottom = _whole_pixels(start_y, extent_y, source[1], height)
    flip = bool(rng.integers(2))
    return View((left, top, right, bottom), (extent_x, extent_y), (pad_x, pad_y), crop, flip)


def _position(length: int, crop: int, u: float, center: float | None) -> tuple[int, int, int]:
    """Start in the scaled image, visible extent, and start in the crop, along one axis."""
    if center is not None and length >= crop:
        return min(max(0, round(center * length - crop / 2)), length - crop), crop, 0
    start = int(u * (abs(length - crop) + 1))
    return (start, crop, 0) if length >= crop else (0, length, start)


def _whole_pixels(start: int, extent: int, source: int, scaled: int) -> tuple[int, int]:
    """The first visible pixel of the source, and the one after the last, along one axis."""
    length = max(1, round(extent * source / scaled))
    first = min(round(start * source / scaled), source - length)
    return first, first + length


def view_image(image: NDArray[np.uint8], view: View) -> Tensor:
    """Cut a view out of an image.

    Scaling and cropping are one resampling of the source, so that nothing is blurred twice.

    Args:
        image: `(H, W, N)`; three channels are RGB.
        view: the view.

    Returns:
        `(N, crop, crop)` uint8.
    """
    left, top, right, bottom = view.box
    channels = image.shape[2]
    part = torch.from_numpy(image[top:bottom, left:right]).permute(2, 0, 1)[None]
    size = view.extent[::-1]
    visible = _resample(part, size)[0]
    if size != (view.crop, view.crop):
        levels = _FILL if channels == len(_FILL) else (_GRAY_FILL,) * channels
        fill = torch.tensor(levels, dtype=torch.uint8)[:, None, None]
        canvas = fill.repeat(1, view.crop, view.crop)
        canvas[:, *_visible(view)] = visible
        visible = canvas
    return (visible.flip(2) if view.flip else visible).contiguous()


def _resample(part: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample `(1, N, H, W)` channels-last bytes to height and width, a few channels at a time."""
    if part.shape[1] > _FAST_CHANNELS:
        starts = range(0, part.shape[1], _FAST_CHANNELS)
        groups = (part[:, start : start + _FAST_CHANNELS] for start in starts)
        packed = (group.contiguous(memory_format=torch.channels_last) for group in groups)
        return torch.cat([_resample(group, size) for group in packed], dim=1)
    # With channels-last bytes this is four times as fast as Pillow.
    return F.interpolate(part, size, mode="bilinear", antialias=True, align_corners=False)


def view_mask(mask: NDArray[_Item], view: View, padding: int = IGNORE_INDEX) -> NDArray[_Item]:
    """Cut a view out of a mask, or out of another map of which each pixel stands for itself.

    Args:
        mask: `(H, W)`, such as class indices.
        view: the view.
        padding: the value of padding.

    Returns:
        `(crop, crop)` of the same type.
    """
    left, top, right, bottom = view.box
    columns, rows = _nearest(left, right, view.extent[0]), _nearest(top, bottom, view.extent[1])
    return _canvas(mask[rows][:, columns], view, padding)


def resize_nearest(pixels: NDArray[_Item], size: tuple[int, int]) -> NDArray[_Item]:
    """Change the size of a map, each pixel from the nearest one, as masks are resized.

    Args:
        pixels: `(H, W)` uint8, float32 or bool.
        size: width and height in pixels.
    """
    if pixels.shape == size[::-1]:
        return pixels
    resized = Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)
    return np.array(resized, dtype=pixels.dtype)


def _nearest(first: int, end: int, count: int) -> NDArray[np.intp]:
    """The pixels of the source that contain the centers of `count` pixels."""
    return first + (2 * np.arange(count) + 1) * (end - first) // (2 * count)


def view_valid(view: View) -> NDArray[np.bool_]:
    """The valid pixels of a view: `(crop, crop)` bool, False where there is padding."""
    return _canvas(np.ones(view.extent[::-1], dtype=np.bool_), view, False)


def _canvas(part: NDArray[_Item], view: View, fill: int) -> NDArray[_Item]:
    """The crop with the visible part in its place, flipped if the view says so."""
    canvas: NDArray[_Item] = np.full((view.crop, view.crop), fill, dtype=part.dtype)
    canvas[_visible(view)] = part
    return np.ascontiguousarray(canvas[:, ::-1]) if view.flip else canvas


def _visible(view: View) -> tuple[slice, slice]:
    """Rows and columns of the crop without padding, before the flip."""
    x, y = view.offset
    return slice(y, y + view.extent[1]), slice(x, x + view.extent[0])
