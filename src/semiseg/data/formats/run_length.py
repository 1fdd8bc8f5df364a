"""Run-length codes of pixels: those of COCO and CVAT, and that of Label Studio's brush."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from semiseg.data.formats.regions import Bitmap, Pixels

_LENGTHS = (3, 4, 8, 16)
"""The bits of the lengths in a code of a brush that is written; Label Studio uses the same."""


def runs_to_pixels(runs: Sequence[int], height: int, width: int) -> Pixels:
    """The pixels of a run-length code that goes line by line.

    Args:
        runs: the lengths of the runs outside and inside in turn.
        height: the length of a line.
        width: the number of lines.

    Returns:
        `(width, height)`.

    Raises:
        ValueError: the runs do not fill the lines.

    Example:
        >>> runs_to_pixels([1, 2, 1], 2, 2).astype(int).tolist()
        [[0, 1], [1, 0]]
    """
    lengths = np.array(runs, dtype=np.int64)
    if lengths.size and lengths.min() < 0:
        raise ValueError("a run has a negative length")
    if lengths.sum() != width * height:
        raise ValueError(f"its runs have {lengths.sum()} pixels instead of {width * height}")
    inside: NDArray[np.bool_] = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return inside.reshape(width, height)


def pixels_to_runs(pixels: Pixels) -> list[int]:
    """The lengths of the runs outside and inside in turn, line by line.

    Args:
        pixels: `(lines, length of a line)`.

    Example:
        >>> pixels_to_runs(np.array([[False, True], [True, False]]))
        [1, 2, 1]
        >>> pixels_to_runs(np.array([[True, True]]))
        [0, 2]
    """
    line = pixels.ravel() != 0
    changes = np.flatnonzero(line[1:] != line[:-1]) + 1
    runs: list[int] = np.diff(changes, prepend=0, append=line.size).tolist()
    return [0, *runs] if line.size and line[0] else runs


def bitmap_to_runs(area: Bitmap, width: int, height: int) -> list[int]:
    """COCO's run-length code of an area: `pixels_to_runs` of the whole image, column by column.

    Args:
        area: the pixels, all within the image.
        width: the width of the image in pixels.
        height: the height of the image in pixels.

    Example:
        >>> bitmap_to_runs(Bitmap(1, 1, np.array([[True, True]])), 4, 3)
        [4, 1, 2, 1, 4]
    """
    columns = np.pad(area.inside.T.astype(np.int8), ((0, 0), (1, 1)))
    column, row = np.nonzero(
        np.diff(columns, axis=1)
    )  # where the runs of each column start and end
    places = (area.left + column) * height + area.top + row
    # A run to the bottom of the image goes on at the top of the next column.
    places = places[np.append(np.diff(places) > 0, True) & np.insert(np.diff(places) > 0, 0, True)]
    runs: list[int] = np.diff(places, prepend=0, append=width * height).tolist()
    return runs if runs[-1] else runs[:-1]


def decode_brush(code: bytes, width: int, height: int) -> NDArray[np.bool_]:
    """The pixels of Label Studio's run-length code of a brush stroke.

    The code is a stream of bits. It begins with the number of values in 32 bits, the bits of a
    value less one in 5, and four lengths of numbers less one in 4 bits each. Then follow runs: one
    bit says whether one value is repeated or all are written out, two bits choose a length, and a
    number of that length is the number of values less one. The values are red, green, blue and
    opacity of each pixel, line by line; a pixel belongs to the stroke if it is not transparent.

    Args:
        code: the bytes.
        width: the width of the image in pixels.
        height: the height of the image in pixels.

    Returns:
        `(height, width)`.

    Raises:
        ValueError: the code has other values than the image has pixels, or ends too early.
    """
    bits = np.unpackbits(np.frombuffer(code, dtype=np.uint8))
    reader = _Bits("".join(map(str, bits.tolist())))
    count = reader.read(32)
    if count != 4 * width * height:
        raise ValueError(f"its code has {count} values, and {width} x {height} pixels have 4 each")
    word = reader.read(5) + 1
    lengths = [reader.read(4) + 1 for _ in range(4)]
    values = np.zeros(count, dtype=np.uint32)
    for start, end, repeats in _runs(reader, lengths, count):
        if repeats:
            values[start:end] = reader.read(word)
        else:
            for place in range(start, end):
                values[place] = reader.read(word)
    opacity: NDArray[np.bool_] = values[3::4] > 0
    return opacity.reshape(height, width)


def encode_brush(pixels: Pixels) -> bytes:
    """Label Studio's run-length code of a brush stroke, as `decode_brush` reads it.

    Args:
        pixels: `(height, width)`, True within the stroke; fewer than 2^30 of them.
    """
    bits = [f"{4 * pixels.size:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in _LENGTHS)]
    for position, run in enumerate(pixels_to_runs(pixels)):
        value = "1" * 8 if position % 2 else "0" * 8
        rest = 4 * run
        while rest:
            count = min(rest, 1 << _LENGTHS[-1])
            kind, size = next((k, s) for k, s in enumerate(_LENGTHS) if count <= 1 << s)
            bits.append(f"1{kind:02b}{count - 1:0{size}b}{value}")
            rest -= count
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


class _Bits:
    """A text of 0 and 1 that is read from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def read(self, size: int) -> int:
        """The next bits as a number.

        Raises:
            ValueError: there are no more.
        """
        part = self._text[self._place : self._place + size]
        if len(part) < size:
            raise ValueError("its code ends too early")
        self._place += size
        return int(part, 2)


def _runs(reader: _Bits, lengths: Sequence[int], count: int) -> Iterator[tuple[int, int, bool]]:
    """The first and the last value of each run, and whether one value is repeated."""
    start = 0
    while start < count:
        repeats = bool(reader.read(1))
        end = start + 1 + reader.read(lengths[reader.read(2)])
        if end > count:
            raise ValueError("a run of its code is too long")
        yield start, end, repeats
        start = end
