"""Mask files: the pixels of each kind of file as codes.

`codes.read_codes` turns them into the codes of a data set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from semiseg.core.errors import DataError
from semiseg.data.formats.bands import (
    JPEG_2000_CODESTREAM,
    JPEG_2000_HEADER_BYTES,
    can_read_bands,
    raster_of_bands,
)
from semiseg.data.formats.image_opening import UNREADABLE, open_image, reason
from semiseg.data.formats.labelme import LABELME_SUFFIX, read_shapes
from semiseg.data.formats.mask_rule import NO_DATA, TRANSPARENT, Encoding
from semiseg.data.formats.matlab import MATLAB_SUFFIX, read_matrix
from semiseg.data.formats.tiff import (
    fault_of_channels,
    fault_of_header,
    hides_channels,
    read_tags,
)

NO_LABELS: Mapping[int, str] = MappingProxyType({})
NOTHING_SKIPPED: Mapping[str, int] = MappingProxyType({})
_GRAY_NOISE = 12  # levels by which the colors of a gray image differ after lossy compression
_OPAQUE = 128  # the alpha from which a pixel is opaque
_WITH_PREVIEW = ("JPEG", "MPO")  # cameras add a small one, which is no page
_LOSSY_FORMATS = (*_WITH_PREVIEW, "AVIF", "HEIF")
_LOSSY_IN_TIFF = ("jpeg", "tiff_jpeg", "webp")
_CODING, _TRANSFORM = b"\xff\x52", 13  # a marker of JPEG 2000, and how far behind it a byte is


class Codes(NamedTuple):
    """The pixels of one mask file.

    Attributes:
        values: `(H, W)` the code of each pixel.
        encoding: what the codes are.
        labels: the labels of the codes in LabelMe's files, or empty.
        palette: red, green and blue of each id of a palette image, one after another, or empty.
        lossy: whether the file is compressed with loss.
        skipped: the number of LabelMe's shapes that cover no area, by their kinds.
    """

    values: NDArray[np.int32]
    encoding: Encoding
    labels: Mapping[int, str] = NO_LABELS
    palette: Sequence[int] = ()
    lossy: bool = False
    skipped: Mapping[str, int] = NOTHING_SKIPPED


def decode_mask(path: Path) -> Codes:
    """The codes of a mask as they are stored.

    Raises:
        DataError: the file cannot be decoded, or holds neither ids, nor colors, nor shapes.
    """
    if path.suffix.lower() == LABELME_SUFFIX:
        values, labels, skipped = read_shapes(path)
        return Codes(values, "labels", labels, skipped=skipped)
    if path.suffix.lower() == MATLAB_SUFFIX:
        return Codes(read_matrix(path), "ids")
    try:
        with open_image(path, verify=True) as file:
            _require_one_page(file, path)
            if isinstance(file, TiffImageFile) and hides_channels(file.tag_v2):
                raise _several_channels(path)
            lossy = _is_lossy(file, path)
            file.load()
            if file.mode in ("1", "L", "P", "I", "I;16", "I;16L", "I;16B"):
                palette = _palette(file) if file.mode == "P" else []
                return Codes(np.asarray(file).astype(np.int32), "ids", NO_LABELS, palette, lossy)
            if file.mode == "F":
                return Codes(_from_floats(np.asarray(file), path), "ids")
            if file.mode in ("LA", "PA"):
                pixels = np.asarray(file)
                values = _hide_transparent(pixels[..., 0].astype(np.int32), pixels[..., 1])
                palette = _palette(file) if file.mode == "PA" else []
                return Codes(values, "ids", NO_LABELS, palette, lossy)
            if file.mode in ("RGB", "RGBA"):
                return Codes(_pack(file, lossy), "colors", lossy=lossy)
            mode = file.mode
    except UnidentifiedImageError as error:
        return _decode_tiff(path, error)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    raise DataError(
        f"{path} is an image of mode {mode}; a mask holds ids (gray or palette) or RGB colors.",
        "Save it as a PNG of one of these kinds.",
    )


def _unreadable(path: Path, error: BaseException) -> DataError:
    """The error about a broken file."""
    return DataError(
        f"{path} cannot be read as a mask ({reason(error)}).", "Replace the file or remove it."
    )


def _several_channels(path: Path) -> DataError:
    """The error about a mask of several channels."""
    return DataError(
        f"{path} holds several channels, but a mask has one, or RGB colors.",
        "Where each channel is a class, write the numbers of the channels into one image.",
    )


def _decode_tiff(path: Path, cause: UnidentifiedImageError) -> Codes:
    """The ids of a TIFF that Pillow cannot open, such as one of 64-bit numbers.

    Raises:
        DataError: the file is no such TIFF, is broken, or needs the extra `geo`.
    """
    try:
        tags = read_tags(path)
        if tags is not None and can_read_bands() and not fault_of_channels(tags):
            values = raster_of_bands(path, None).load()
            if values.ndim > 2:
                raise _several_channels(path)
            return Codes(_from_floats(values.astype(np.float64), path), "ids")
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    if fault := fault_of_header(path):
        raise DataError(f"{path} {fault}")
    raise _unreadable(path, cause) from cause


def _require_one_page(file: Image.Image, path: Path) -> None:
    """Refuse a stack of masks; smaller pages, such as the overviews of a map, are allowed.

    Raises:
        DataError: the file holds several pages or frames of the same size.
    """
    pages = getattr(file, "n_frames", 1)
    if pages < 2 or file.format in _WITH_PREVIEW:
        return
    size = file.size
    file.seek(1)
    is_stack = file.size == size
    file.seek(0)
    if is_stack:
        raise DataError(
            f"{path} holds {pages} pages, but a mask is a single image.",
            "Save one mask for each image. Where each page is a class, write the numbers of the "
            "pages into one image.",
        )


def _palette(file: Image.Image) -> list[int]:
    """The colors of a palette image; transparent ones are black, whatever lies beneath."""
    palette = file.getpalette() or []
    alpha = file.info.get("transparency")
    if isinstance(alpha, bytes):
        hidden = [i for i, value in enumerate(alpha) if value < _OPAQUE]
    else:
        hidden = [alpha] if isinstance(alpha, int) else []
    for index in hidden:
        palette[3 * index : 3 * index + 3] = [0, 0, 0][: len(palette) - 3 * index]
    return palette


def _is_lossy(file: Image.Image, path: Path) -> bool:
    """Whether an open file is compressed with loss, or may be."""
    if file.format == "WEBP":
        return not _is_lossless_webp(path)
    if file.format == "JPEG2000":
        return not _is_reversible(path)
    if file.format == "TIFF":
        return file.info.get("compression") in _LOSSY_IN_TIFF
    return file.format in _LOSSY_FORMATS


def _is_reversible(path: Path) -> bool:
    """Whether a JPEG 2000 file says that its wavelets are those of integers (5-3)."""
    with path.open("rb") as file:
        start = file.read(JPEG_2000_HEADER_BYTES)
    coding = start.find(_CODING, max(0, start.find(JPEG_2000_CODESTREAM)))
    return coding >= 0 and start[coding + _TRANSFORM : coding + _TRANSFORM + 1] == b"\1"


def _is_lossless_webp(path: Path) -> bool:
    """Whether a WebP file says that its pixels are compressed without loss."""
    with path.open("rb") as file:
        return b"VP8L" in file.read(256)


def _from_floats(numbers: NDArray[np.floating[Any]], path: Path) -> NDArray[np.int32]:
    """The ids of a mask of floating-point numbers; NaN and infinity have no value.

    Shares from 0 to 1, as networks give them, become levels from 0 to 255.

    Raises:
        DataError: other numbers are no integers.
    """
    has_value = np.isfinite(numbers)
    values = numbers[has_value].astype(np.float64)
    if (values != values.round()).any():
        if values.min() < 0 or values.max() > 1:
            raise DataError(
                f"{path} holds fractions from {values.min():g} to {values.max():g}; a mask holds "
                "whole numbers, or shares from 0 to 1.",
                "Save the ids of the classes.",
            )
        values = 255 * values
    if values.size and not -NO_DATA <= values.min() <= values.max() < TRANSPARENT:
        raise DataError(
            f"{path} holds numbers from {values.min():g} to {values.max():g}, which are no ids.",
            "Save the ids of the classes.",
        )
    codes = np.full(numbers.shape, NO_DATA, dtype=np.int32)
    codes[has_value] = values.round()
    return codes


def _hide_transparent(values: NDArray[np.int32], alpha: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The codes with `TRANSPARENT` where alpha says so.

    In a file that is transparent throughout and yet holds several codes, alpha means nothing.
    """
    is_hidden = alpha < _OPAQUE
    if not is_hidden.any() or (is_hidden.all() and values.min() != values.max()):
        return values
    return np.where(is_hidden, TRANSPARENT, values).astype(np.int32)


def _pack(file: Image.Image, lossy: bool) -> NDArray[np.int32]:
    """The packed colors of an image in RGB or RGBA."""
    pixels = np.asarray(file)
    if lossy and int(np.ptp(pixels[..., :3].astype(np.int16), axis=-1).max()) <= _GRAY_NOISE:
        gray = np.asarray(file.convert("L")).astype(np.int32)
        return gray << 16 | gray << 8 | gray
    values = pixels[..., 0].astype(np.int32)
    for channel in (1, 2):
        values <<= 8
        values |= pixels[..., channel]
    return values if pixels.shape[-1] == 3 else _hide_transparent(values, pixels[..., 3])


def with_colors(codes: Codes) -> Codes:
    """The codes with colors instead of the ids of a palette; without a palette they stay ids."""
    colors = np.array(codes.palette, dtype=np.int32).reshape(-1, 3)
    ids = codes.values
    is_void = ids >= TRANSPARENT
    if not len(colors) or int(ids[~is_void].max(initial=0)) >= len(colors):
        return codes
    packed = colors[:, 0] << 16 | colors[:, 1] << 8 | colors[:, 2]
    values = np.where(is_void, ids, packed[np.where(is_void, 0, ids)])
    return codes._replace(values=values.astype(np.int32), encoding="colors")
