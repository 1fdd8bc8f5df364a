"""Where AVIF and HEIF files hold their metadata (ISO/IEC 14496-12, 8.11: the boxes of `meta`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_XMP = b"application/rdf+xml"


class BoxError(ValueError):
    """The boxes of a file cannot be followed; the message is a clause."""


class Block(NamedTuple):
    """A block of metadata, or a part of one.

    Attributes:
        kind: `Exif` or `mime`, which is XMP.
        start: the first byte in the file.
        end: the byte behind it.
    """

    kind: bytes
    start: int
    end: int


class _Reader:
    """Reads numbers one after another."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data, self.position = data, position

    def number(self, size: int) -> int:
        """An unsigned number of so many bytes; 0 of none."""
        field = self.data[self.position : self.position + size]
        if len(field) != size:
            raise BoxError("a box is truncated")
        self.position += size
        return int.from_bytes(field)


def metadata_blocks(data: bytes) -> list[Block]:
    """Find the blocks of EXIF and XMP.

    Raises:
        BoxError: the file is damaged, or keeps them where semiseg does not look.
    """
    outer = {kind: (start, end) for kind, start, end in _boxes(data, 0, len(data))}
    if b"meta" not in outer:
        return []
    start, end = outer[b"meta"]
    inner = {kind: (first, stop) for kind, first, stop in _boxes(data, start + 4, end)}
    if b"iinf" not in inner or b"iloc" not in inner:
        return []
    kinds = dict(_items(data, *inner[b"iinf"]))
    in_box = inner.get(b"idat", (0, 0))[0]
    return [
        Block(kinds[item], first, stop)
        for item, first, stop in _places(data, inner[b"iloc"][0], in_box, kinds)
    ]


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes in a part of the file: the type, the first byte of the content, its end."""
    while start + 8 <= end:
        reader = _Reader(data, start)
        size = reader.number(4)
        kind = data[start + 4 : start + 8]
        reader.position += 4
        if size == 1:
            size = reader.number(8)
        stop = start + size if size else end
        if stop > end or stop < reader.position:
            raise BoxError("a box is truncated")
        yield kind, reader.position, stop
        start = stop


def _items(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The number and the type of each item that is metadata."""
    reader = _Reader(data, start)
    wide = reader.number(1) > 0
    reader.position = start + 4
    reader.number(4 if wide else 2)
    for kind, first, stop in _boxes(data, reader.position, end):
        item = _Reader(data, first)
        version = item.number(1)
        if kind != b"infe" or version < 2:
            continue
        item.position = first + 4
        number = item.number(4 if version > 2 else 2)
        name = data[item.position + 2 : item.position + 6]
        if name == b"Exif" or (name == b"mime" and _XMP in data[first:stop]):
            yield number, name


def _places(
    data: bytes, start: int, in_box: int, wanted: dict[int, bytes]
) -> Iterator[tuple[int, int, int]]:
    """Where the wanted items lie: the item, the first byte, and the end of each part."""
    reader = _Reader(data, start)
    version = reader.number(1)
    reader.position = start + 4
    sizes = reader.number(2)
    of_offset, of_length, of_base, of_index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(reader.number(4 if version > 1 else 2)):
        item = reader.number(4 if version > 1 else 2)
        method = reader.number(2) & 15 if version else 0
        reader.number(2)
        base = reader.number(of_base)
        for _ in range(reader.number(2)):
            reader.number(of_index if version else 0)
            first = base + reader.number(of_offset) + (in_box if method == 1 else 0)
            stop = first + reader.number(of_length)
            if item not in wanted:
                continue
            if method > 1 or stop > len(data) or first == stop:
                raise BoxError(f"its {wanted[item].decode()} data lie where they cannot be removed")
            yield item, first, stop
