"""The members of a tar file and the places of their data, from the headers alone.

Python's `tarfile` builds an object with twenty fields for each member and goes through each byte of
a stream that it cannot seek. Here a header is 512 bytes at a known place, so that an index of a
shard takes a few reads, and a member's header can be compared again when its data are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

BLOCK = 512
"""Bytes of a header; data are padded to a multiple of it."""

_MAX_EXTENDED = 1 << 20  # bytes of a long name or of PAX records; more is damage, or an attack
_REGULAR_KINDS = (b"0", b"\0", b"7")
_ZEROS = bytes(BLOCK)


class BrokenTarError(ValueError):
    """A file is no tar, or is damaged or truncated; the message says where."""


class Member(NamedTuple):
    """A member of a tar file.

    Attributes:
        name: with its folders, as it stands in the tar.
        offset: where its data begin, in bytes.
        length: bytes of its data.
        is_file: whether it is a regular file, not a folder, a link or a device.
    """

    name: str
    offset: int
    length: int
    is_file: bool


class Header(NamedTuple):
    """One header block.

    Attributes:
        name: the name in this block. A long one stands in an extended header before it.
        length: bytes of the data behind the block.
        kind: the type flag, one byte.
    """

    name: str
    length: int
    kind: bytes


def members(read: Callable[[int, int], bytes], size: int) -> Iterator[Member]:
    """The members of a tar file, in their order.

    Long names of GNU tar and PAX headers are understood. A file that ends behind a member without
    the blocks of zeros is whole, too: some programs write such files.

    Args:
        read: reads `length` bytes from `offset` on; less at the end of the file.
        size: the size of the file in bytes.

    Raises:
        BrokenTarError: the file is no tar, or is damaged or truncated.
    """
    position = 0
    records: dict[str, str] = {}
    while position + BLOCK <= size:
        block = read(position, BLOCK)
        if block == _ZEROS:
            return
        header = parse_header(block)
        if header is None:
            what = "is no tar file" if not position else f"is damaged at byte {position:,}"
            raise BrokenTarError(what)
        start, length = position + BLOCK, header.length
        extended = header.kind in b"LKxXg"
        if not extended and (text := records.get("size", "")):
            length = int(text) if text.isdecimal() else length
        name = records.get("path", header.name)
        position = start + -(-length // BLOCK) * BLOCK
        if start + length > size:
            raise BrokenTarError(
                f"is truncated: {name} needs {start + length:,} bytes, the file has {size:,}"
            )
        if extended:
            if length > _MAX_EXTENDED:
                raise BrokenTarError(f"has a name of {length:,} bytes")
            if header.kind in b"LxX":
                records |= _extended(header.kind, read(start, length))
            continue
        sparse = any(key.startswith("GNU.sparse") for key in records)
        is_file = header.kind in _REGULAR_KINDS and not name.endswith("/") and not sparse
        yield Member(name, start, length, is_file)
        records = {}
    if position < size and read(position, BLOCK).strip(b"\0"):
        raise BrokenTarError(f"is truncated in the header at byte {position:,}")


def parse_header(block: bytes) -> Header | None:
    """Read a header block; None if it is none, by its checksum."""
    if len(block) != BLOCK:
        return None
    checksum = _number(block[148:156])
    if checksum != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        return None
    length = _number(block[124:136])
    if length is None or length < 0:
        return None
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
        name = f"{prefix}/{name}"
    return Header(name, length, block[156:157])


def _extended(kind: bytes, data: bytes) -> dict[str, str]:
    """The records of an extended header: a long name of GNU tar, or those of PAX.

    Raises:
        BrokenTarError: the records cannot be read.
    """
    if kind == b"L":
        return {"path": _text(data)}
    records: dict[str, str] = {}
    position = 0
    while position < len(data) and data[position]:
        digits, space, _ = data[position : position + 20].partition(b" ")
        if not space or not digits.isdigit():
            raise BrokenTarError("has a PAX header that cannot be read")
        end = position + int(digits)
        record = data[position + len(digits) + 1 : end]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n") or end > len(data):
            raise BrokenTarError("has a PAX header that cannot be read")
        records[key.decode("utf-8", "replace")] = value[:-1].decode("utf-8", "surrogateescape")
        position = end
    return records


def _number(field: bytes) -> int | None:
    """A number in octal digits, or in the binary form of GNU tar for large ones."""
    if field[:1] in (b"\x80", b"\xff"):
        value = int.from_bytes(field[1:], "big")
        return value if field[0] == 0x80 else value - (1 << 8 * (len(field) - 1))
    digits = field.strip(b" \0")
    try:
        return int(digits or b"0", 8)
    except ValueError:
        return None


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")
