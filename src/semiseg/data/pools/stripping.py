"""Removes EXIF, GPS, XMP, IPTC and comments from encoded images; no pixel is encoded again.

What decides about the pixels stays: color tables, ICC profiles, Adobe's color transform, and the
orientation, which becomes the only entry of a new EXIF block.
"""

from __future__ import annotations

import re
import struct
import zlib

from semiseg.core.errors import DataError
from semiseg.data.formats.image_bytes import ImageBytes
from semiseg.data.formats.images import read_header
from semiseg.data.pools.iso_boxes import BoxError, metadata_blocks

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# In the coded pixels of a JPEG, 0 or the number of a restart follows a byte of ones.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START_OF_SCAN, _END = 0xDA, 0xD9
_ICC, _JFIF, _ADOBE = b"ICC_PROFILE\0", b"JFIF\0", b"Adobe"
_PNG_KEPT = (
    *(b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"hIST", b"pHYs", b"sPLT"),
    *(b"cICP", b"mDCV", b"cLLI", b"acTL", b"fcTL", b"fdAT"),
)  # chunks that are not critical, and say how the pixels look
_WEBP_KEPT = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP")
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04  # bits of a WebP's header: the file has such a block
_ORIENTATION_TAG = 0x0112
_NO_EXIF = b"\0\0\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"  # in a HEIF file, with a table of no entries


class StripError(ValueError):
    """The parts of a file cannot be told from each other; the message is a clause."""


def is_kept_whole(data: bytes) -> bool:
    """Whether `strip` leaves a file as it is: all but JPEG, PNG, WebP, AVIF and HEIF.

    The metadata of TIFF, JPEG 2000, DICOM and NIfTI files cannot be told from what says how the
    pixels are meant, such as the place of a map or the axes of a stack.
    """
    return not _is_webp(data) and not data.startswith((_JPEG, _PNG)) and not _is_iso(data)


def may_tell(image: ImageBytes) -> bool:
    """Whether a file is kept whole and may hold metadata, unlike BMP, PPM and TGA."""
    return is_kept_whole(image.data) and (image.needs_file or image.data.startswith(b"GIF8"))


def strip(image: ImageBytes) -> ImageBytes:
    """Remove what a file tells of its camera, place and author.

    Args:
        image: a whole file.

    Returns:
        The file without it, or the file itself, see `is_kept_whole`.

    Raises:
        DataError: the file is damaged, or the parts cannot be removed.
    """
    data = image.data
    if is_kept_whole(data):
        return image
    before = read_header(image)
    try:
        if data.startswith(_JPEG):
            result = _strip_jpeg(data, before.orientation)
        elif data.startswith(_PNG):
            result = _strip_png(data, before.orientation)
        elif _is_webp(data):
            result = _strip_webp(data, before.orientation)
        else:
            result = _strip_iso(data)
    except (StripError, BoxError, IndexError) as error:
        reason = "it is truncated" if isinstance(error, IndexError) else str(error)
        raise DataError(f"{image} cannot be packed ({reason}).", "Save it again.") from None
    stripped = ImageBytes(image.name, result)
    if read_header(stripped) != before:
        raise DataError(f"{image} cannot be packed: its orientation would change.")
    return stripped


def _strip_jpeg(data: bytes, orientation: int) -> bytes:
    """A JPEG up to the end of its first image: cameras append others, and videos."""
    parts = [data[:2]]
    position = 2
    while True:
        position = data.find(b"\xff", position)  # decoders skip what lies between segments
        if position < 0:
            raise StripError("it is truncated")
        while data[position] == 0xFF:  # fill bytes
            position += 1
        marker = data[position]
        position += 1
        if marker == _END:
            parts.append(b"\xff\xd9")
            break
        length = int.from_bytes(data[position : position + 2])
        content = data[position + 2 : position + length]
        if length < 2 or len(content) != length - 2:
            raise StripError("it is truncated")
        position += length
        if _jpeg_needs(marker, content):
            parts.append(b"\xff" + bytes([marker]) + length.to_bytes(2) + content)
        if marker == _START_OF_SCAN:
            match = _MARKER.search(data, position)
            if match is None:
                raise StripError("it is truncated")
            parts.append(data[position : match.start()])
            position = match.start()
    if orientation != 1:
        exif = b"Exif\0\0" + _exif(orientation)
        has_jfif = len(parts) > 1 and parts[1][1] == 0xE0  # is to be the first segment
        parts.insert(2 if has_jfif else 1, b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif)
    return b"".join(parts)


def _jpeg_needs(marker: int, content: bytes) -> bool:
    """Whether a segment decides about the pixels: no comment, and of `APPn` three only."""
    if marker == 0xE0:
        return content.startswith(_JFIF)
    if marker == 0xE2:
        return content.startswith(_ICC)
    if marker == 0xEE:
        return content.startswith(_ADOBE)
    return marker != 0xFE and not 0xE0 <= marker <= 0xEF


def _strip_png(data: bytes, orientation: int) -> bytes:
    parts = [_PNG]
    position = len(_PNG)
    while True:
        length = int.from_bytes(data[position : position + 4])
        kind = data[position + 4 : position + 8]
        end = position + 12 + length
        if len(kind) < 4 or end > len(data):
            raise StripError("it is truncated")
        is_critical = not kind[0] & 0x20
        if is_critical or kind in _PNG_KEPT:
            parts.append(data[position:end])
        if kind == b"IHDR" and orientation != 1:
            exif = b"eXIf" + _exif(orientation)
            parts.append(struct.pack(">I", len(exif) - 4) + exif)
            parts.append(struct.pack(">I", zlib.crc32(exif)))
        if kind == b"IEND":
            return b"".join(parts)
        position = end


def _strip_webp(data: bytes, orientation: int) -> bytes:
    parts = []
    position, end = 12, 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise StripError("it is truncated")
    has_header = False
    while position + 8 <= end:
        kind = data[position : position + 4]
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        stop = position + 8 + length + length % 2
        if position + 8 + length > len(data):
            raise StripError("it is truncated")
        chunk = data[position:stop]
        if kind == b"VP8X":
            has_header = True
            flags = chunk[8] & ~(_WEBP_EXIF | _WEBP_XMP)
            flags |= _WEBP_EXIF if orientation != 1 else 0
            chunk = chunk[:8] + bytes([flags]) + chunk[9:]
        if kind in _WEBP_KEPT:
            parts.append(chunk)
        position = stop
    if orientation != 1 and has_header:
        exif = _exif(orientation)
        parts.append(b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2))
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _strip_iso(data: bytes) -> bytes:
    """Overwrite the metadata of an AVIF or HEIF file: its boxes hold places in the file.

    These files are turned by a property of their own, so that no orientation is needed.
    """
    result = bytearray(data)
    for block in metadata_blocks(data):
        length = block.end - block.start
        blank = _NO_EXIF.ljust(length, b"\0") if block.kind == b"Exif" else b" " * length
        result[block.start : block.end] = blank[:length]
    return bytes(result)


def _exif(orientation: int) -> bytes:
    """A TIFF header whose only entry is the orientation."""
    entry = struct.pack(">HHIHH", _ORIENTATION_TAG, 3, 1, orientation, 0)
    return b"MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _is_iso(data: bytes) -> bool:
    return data[4:8] == b"ftyp"  # AVIF and HEIF
