"""The working size: the size to which images are scaled before crops are cut from them."""

from __future__ import annotations


def working_size(source: tuple[int, int], size: int) -> tuple[int, int]:
    """Width and height of an image after scaling its short side to `size` pixels.

    Example:
        >>> working_size((640, 480), 240)
        (320, 240)
    """
    factor = size / min(source)
    return max(1, round(source[0] * factor)), max(1, round(source[1] * factor))
