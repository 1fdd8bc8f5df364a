"""The weak view: geometry alone (scale, crop, flip), the same for an image and its mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from semiseg.core.rng import Key
from semiseg.core.types import IGNORE_INDEX

if TYPE_CHECKING:
    from torch import Tensor

_Item = TypeVar("_Item", bound=np.generic)

_FILL = (124, 116, 104)  # ImageNet's mean: padding then says little to a pretrained encoder


class View(NamedTuple):
    """Where in the source the crop lies.

    Attributes:
        box: left, top, right, bottom of the part shown, in whole pixels of the source: what is cut
            out so can be resampled by the fastest code there is.
        shown: width and height of that part in the crop.
        offset: where in the crop that part begins; what lies around it is padding.
        crop: the side of the square crop in pixels.
        flip: whether left and right change places.
    """

    box: tuple[int, int, int, int]
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
    start_x, shown_w, pad_x = _place(width, crop, places[0], focus and focus[0])
    start_y, shown_h, pad_y = _place(height, crop, places[1], focus and focus[1])
    left, right = _whole(start_x, shown_w, source[0], width)
    top, bottom = _whole(start_y, shown_h, source[1], height)
    flip = bool(rng.integers(2))
    return View((left, top, right, bottom), (shown_w, shown_h), (pad_x, pad_y), crop, flip)


def _place(length: int, crop: int, u: float, middle: float | None) -> tuple[int, int, int]:
    """Start in the scaled image, visible length, and start in the crop, along one axis."""
    if middle is not None and length >= crop:
        return min(max(0, round(middle * length - crop / 2)), length - crop), crop, 0
    room = int(u * (abs(length - crop) + 1))
    return (room, crop, 0) if length >= crop else (0, length, room)


def _whole(start: int, shown: int, source: int, scaled: int) -> tuple[int, int]:
    """The first and the last but one pixel of the source that are shown, along one axis."""
    length = max(1, round(shown * source / scaled))
    first = min(round(start * source / scaled), source - length)
    return first, first + length


def view_image(image: NDArray[np.uint8], view: View) -> Tensor:
    """The view of an RGB image `(H, W, 3)`: `(3, crop, crop)` uint8.

    Scaling and cropping are one resampling of the source, so that nothing is blurred twice.
    """
    # Imported here, since an exported model predicts where torch is not installed.
    import torch
    from torch.nn import functional as F

    left, top, right, bottom = view.box
    part = torch.from_numpy(image[top:bottom, left:right]).permute(2, 0, 1)[None]
    size = view.shown[::-1]
    # On bytes that lie pixel by pixel, this is four times as fast as Pillow.
    shown = F.interpolate(part, size, mode="bilinear", antialias=True, align_corners=False)[0]
    if size != (view.crop, view.crop):
        fill = torch.tensor(_FILL, dtype=torch.uint8)[:, None, None]
        canvas = fill.repeat(1, view.crop, view.crop)
        canvas[:, *_shown(view)] = shown
        shown = canvas
    return (shown.flip(2) if view.flip else shown).contiguous()


def view_mask(mask: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    """The view of a mask of class indices `(H, W)`: `(crop, crop)` uint8, 255 where padded."""
    left, top, right, bottom = view.box
    columns, rows = _nearest(left, right, view.shown[0]), _nearest(top, bottom, view.shown[1])
    return _canvas(mask[rows][:, columns], view, IGNORE_INDEX)


def _nearest(first: int, end: int, count: int) -> NDArray[np.intp]:
    """The pixels of the source in which the middles of `count` pixels lie."""
    return first + (2 * np.arange(count) + 1) * (end - first) // (2 * count)


def view_valid(view: View) -> NDArray[np.bool_]:
    """`(crop, crop)` bool: where the view shows image rather than padding."""
    return _canvas(np.ones(view.shown[::-1], dtype=np.bool_), view, False)


def _canvas(part: NDArray[_Item], view: View, fill: int) -> NDArray[_Item]:
    canvas: NDArray[_Item] = np.full((view.crop, view.crop), fill, dtype=part.dtype)
    canvas[_shown(view)] = part
    return np.ascontiguousarray(canvas[:, ::-1]) if view.flip else canvas


def _shown(view: View) -> tuple[slice, slice]:
    """Rows and columns of the crop that show image rather than padding, before it is flipped."""
    x, y = view.offset
    return slice(y, y + view.shown[1]), slice(x, x + view.shown[0])
