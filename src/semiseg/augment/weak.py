"""The weak view: geometry alone (scale, crop, flip), the same for an image and its mask."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.draws import Key
from semiseg.types import IGNORE_INDEX

_Item = TypeVar("_Item", bound=np.generic)

_FILL = (124, 116, 104)  # ImageNet's mean: padding then says little to a pretrained encoder


class View(NamedTuple):
    """Where in the source the crop lies.

    Attributes:
        box: left, top, right, bottom of the part shown, in pixels of the source.
        shown: width and height of that part in the crop.
        offset: where in the crop that part begins; what lies around it is padding.
        crop: the side of the square crop in pixels.
        flip: whether left and right change places.
    """

    box: tuple[float, float, float, float]
    shown: tuple[int, int]
    offset: tuple[int, int]
    crop: int
    flip: bool


def working_size(source: tuple[int, int], size: int) -> tuple[int, int]:
    """Width and height of a source whose short side is scaled to `size` pixels."""
    factor = size / min(source)
    return max(1, round(source[0] * factor)), max(1, round(source[1] * factor))


def draw_view(
    key: Key,
    source: tuple[int, int],
    size: int,
    crop: int,
    scale: tuple[float, float],
    focus: tuple[float, float] | None = None,
) -> View:
    """Draw a view: a scale, a place and a flip.

    Args:
        key: the key of the draw.
        source: width and height of the image in pixels.
        size: short side at working size, in pixels.
        crop: side of the square crop in pixels.
        scale: range of the random factor on the working size, drawn evenly in its logarithm.
        focus: shares of the width and of the height at which the crop's middle is to lie, as far
            as the image reaches; drawn if not given.

    Returns:
        The view. Where the scaled image is smaller than the crop it is padded.
    """
    rng = key.numpy()
    factor = float(np.exp(rng.uniform(np.log(scale[0]), np.log(scale[1]))))
    width, height = (max(1, round(s * factor)) for s in working_size(source, size))
    places = rng.uniform(size=2).tolist()
    left, shown_w, pad_x = _place(width, crop, places[0], focus and focus[0])
    top, shown_h, pad_y = _place(height, crop, places[1], focus and focus[1])
    x, y = source[0] / width, source[1] / height
    box = (left * x, top * y, (left + shown_w) * x, (top + shown_h) * y)
    flip = bool(rng.integers(2))
    return View(box, (shown_w, shown_h), (pad_x, pad_y), crop, flip)


def _place(length: int, crop: int, u: float, middle: float | None) -> tuple[int, int, int]:
    """Start in the scaled image, visible length, and start in the crop, along one axis."""
    if middle is not None and length >= crop:
        return min(max(0, round(middle * length - crop / 2)), length - crop), crop, 0
    room = int(u * (abs(length - crop) + 1))
    return (room, crop, 0) if length >= crop else (0, length, room)


def view_image(image: Image.Image, view: View) -> NDArray[np.uint8]:
    """The view of an RGB image: `(crop, crop, 3)` uint8.

    Scaling and cropping are one resampling of the source, so that nothing is blurred twice.
    """
    part = image.resize(view.shown, Image.Resampling.BILINEAR, box=view.box)
    return _canvas(np.asarray(part), view, _FILL)


def view_mask(mask: Image.Image, view: View) -> NDArray[np.uint8]:
    """The view of a mask of class indices: `(crop, crop)` uint8, 255 where padded."""
    part = mask.resize(view.shown, Image.Resampling.NEAREST, box=view.box)
    return _canvas(np.asarray(part), view, IGNORE_INDEX)


def view_valid(view: View) -> NDArray[np.bool_]:
    """`(crop, crop)` bool: where the view shows image rather than padding."""
    return _canvas(np.ones(view.shown[::-1], dtype=np.bool_), view, False)


def _canvas(part: NDArray[_Item], view: View, fill: int | tuple[int, ...]) -> NDArray[_Item]:
    canvas: NDArray[_Item] = np.empty((view.crop, view.crop, *part.shape[2:]), dtype=part.dtype)
    canvas[:] = fill
    x, y = view.offset
    canvas[y : y + view.shown[1], x : x + view.shown[0]] = part
    return np.ascontiguousarray(canvas[:, ::-1]) if view.flip else canvas
