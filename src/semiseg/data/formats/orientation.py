"""Masks of another size than their image, and masks that show the stored pixels of a turned one.

Cameras store photographs sideways or upside down, and write into the EXIF data how to turn them.
Some annotation tools turn them, others show the stored pixels.
"""

from __future__ import annotations

from PIL import Image

from semiseg.data.formats.decoded import Header

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # as in Pillow's `ImageOps.exif_transpose`
_MAX_FACTOR = 16  # masks that are smaller or larger by more than this are other files

Size = tuple[int, int]
"""Width and height in pixels."""


def have_same_shape(one: Size, other: Size) -> bool:
    """Whether two sizes have the same aspect ratio, apart from rounding to whole pixels.

    Example:
        >>> have_same_shape((96, 72), (48, 36)), have_same_shape((101, 75), (50, 37))
        (True, True)
        >>> have_same_shape((96, 72), (72, 96)), have_same_shape((96, 72), (96, 64))
        (False, False)
    """
    small, large = sorted((one, other))
    if one == other:
        return True
    if max(large) > _MAX_FACTOR * max(small) or min(small) < 2:
        return False
    width, height = large[0] / small[0], large[1] / small[1]
    # One pixel of the smaller image may be lost at its edge.
    return abs(large[0] / height - small[0]) < 1 and abs(large[1] / width - small[1]) < 1


def shows_stored_pixels(mask: Size, image: Header, *, is_turned: bool) -> bool | None:
    """Whether a mask shows the pixels of its image as they are stored, by its size.

    Args:
        mask: the size of the mask.
        image: the header of its image.
        is_turned: the answer where the size fits both.

    Returns:
        None if the mask fits neither the stored nor the upright image.
    """
    fits_upright = have_same_shape(mask, image.size)
    fits_stored = have_same_shape(mask, image.stored_size)
    if not fits_upright and not fits_stored:
        return None
    if image.orientation == 1 or fits_upright != fits_stored:
        return not fits_upright
    return is_turned


def turn(picture: Image.Image, orientation: int) -> Image.Image:
    """Turn a picture of the stored pixels upright, as an EXIF orientation says."""
    return picture if orientation == 1 else picture.transpose(_TURNS[orientation])


def fit_mask(mask: Image.Image, image: Header, *, is_turned: bool) -> Image.Image | None:
    """A mask at the size of its upright image.

    Args:
        mask: class indices.
        image: the header of its image.
        is_turned: whether the mask shows the stored pixels, where its size fits both.

    Returns:
        None if it does not fit.
    """
    is_stored = shows_stored_pixels(mask.size, image, is_turned=is_turned)
    if is_stored is None:
        return None
    upright = turn(mask, image.orientation) if is_stored else mask
    if upright.size != image.size:
        upright = upright.resize(image.size, Image.Resampling.NEAREST)
    return upright
