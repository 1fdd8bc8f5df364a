"""The codes of mask files: ids, palette, RGB colors, or LabelMe's shapes.

Each pixel of a mask has a *code*: the id itself, the color packed as `r << 16 | g << 8 | b`, or a
hash of the label (`labelme.label_code`). `masks.Classes` turns codes into class indices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import DataError, LossyMask
from semiseg.data.formats.images import UNREADABLE, open_image, reason
from semiseg.data.formats.labelme import LABELME_SUFFIX, read_shapes
from semiseg.data.formats.matlab import MATLAB_SUFFIX, read_matrix
from semiseg.data.formats.thin_lines import thin_lines

Encoding: TypeAlias = Literal["ids", "colors", "labels"]
Color: TypeAlias = tuple[int, int, int]
"""Red, green and blue from 0 to 255."""
NO_LABELS: Mapping[int, str] = MappingProxyType({})
TABLE_SIZE = 1 << 16
"""Codes below this number are counted and translated with tables, which is faster than sorting."""
_MAX_CODES = 256  # a mask with more of them is no annotation but a lossy picture
_TINY = 0.01  # the share of a mask's pixels below which a code is hardly a class of its own
_MIN_TINY_CODES = 4  # fewer of them are no sign of interpolation
_MIXED_EDGES = 0.2  # drawn masks reach 0.13 when reduced to a fifth, interpolated ones 0.24


def spell(code: int, encoding: Encoding, labels: Mapping[int, str] = NO_LABELS) -> str:
    """Write a code as a person would: `7`, `#00ff00` or `crop`."""
    if encoding == "labels":
        return labels.get(code, str(code))
    return str(code) if encoding == "ids" else f"#{code:06x}"


class Codes(NamedTuple):
    """The pixels of one mask file.

    Attributes:
        values: `(H, W)` the code of each pixel.
        encoding: what the codes are.
        labels: the labels of the codes in LabelMe's files, or empty.
        palette: red, green and blue of each id of a palette image, one after another, or empty.
        lossy: whether the file is compressed with loss.
    """

    values: NDArray[np.int32]
    encoding: Encoding
    labels: Mapping[int, str] = NO_LABELS
    palette: Sequence[int] = ()
    lossy: bool = False


def read_codes(path: Path) -> Codes:
    """Read the codes of a mask: ids, packed colors or hashed labels.

    Raises:
        DataError: the file cannot be decoded, or holds neither ids, nor colors, nor shapes.
    """
    if path.suffix.lower() == LABELME_SUFFIX:
        values, labels = read_shapes(path)
        return Codes(values, "labels", labels)
    if path.suffix.lower() == MATLAB_SUFFIX:
        return Codes(read_matrix(path), "ids")
    try:
        with open_image(path, verify=True) as file:
            lossy = file.format in ("JPEG", "MPO")
            file.load()
            if file.mode in ("1", "L", "P", "I", "I;16", "I;16L", "I;16B"):
                palette = (file.getpalette() or []) if file.mode == "P" else []
                return Codes(np.asarray(file).astype(np.int32), "ids", NO_LABELS, palette, lossy)
            if file.mode in ("LA", "PA"):
                values = np.asarray(file)[..., 0].astype(np.int32)
                return Codes(values, "ids", lossy=lossy)
            if file.mode in ("RGB", "RGBA"):
                rgb = np.asarray(file)[..., :3].astype(np.int32)
                values = rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
                return Codes(values, "colors", lossy=lossy)
            mode = file.mode
    except UNREADABLE as error:
        raise DataError(
            f"{path} cannot be read as a mask ({reason(error)}).",
            "Replace the file or remove it.",
        ) from error
    raise DataError(
        f"{path} is an image of mode {mode}; a mask holds ids (gray or palette) or RGB colors.",
        "Save it as a PNG of one of these kinds.",
    )


def are_small(codes: NDArray[np.int32]) -> bool:
    """Whether codes are small enough for tables of `TABLE_SIZE` entries."""
    return codes.size > 0 and int(codes.min()) >= 0 and int(codes.max()) < TABLE_SIZE


class MaskScan(NamedTuple):
    """The codes of one mask.

    Attributes:
        path: the mask's file.
        encoding: ids, colors or labels.
        counts: pixels of each code.
        size: width and height in pixels.
        palette: the colors of a palette image's ids, or empty.
        labels: the labels of the codes in LabelMe's files, or empty; also those without a pixel.
        smeared: whether its edges look like the result of JPEG or of resizing with interpolation.
        lines: the isolated ids that lie on thin lines between others, such as a void border.
    """

    path: Path
    encoding: Encoding
    counts: dict[int, int]
    size: tuple[int, int]
    palette: dict[int, Color]
    labels: Mapping[int, str] = NO_LABELS
    smeared: bool = False
    lines: tuple[int, ...] = ()


def scan_mask(path: Path) -> MaskScan:
    """Count the codes of one mask, and examine its edges.

    Raises:
        DataError: the file cannot be read.
        LossyMask: it was saved as JPEG, or has so many codes that it must be a lossy picture.
    """
    values, encoding, labels, palette, lossy = read_codes(path)
    if are_small(values):
        pixels = np.bincount(values.ravel())
        codes = np.flatnonzero(pixels)
        pixels = pixels[codes]
    else:
        codes, pixels = np.unique(values, return_counts=True)
    counts = dict(zip(codes.tolist(), pixels.tolist(), strict=True))
    size = (values.shape[1], values.shape[0])
    if encoding == "labels":  # semiseg draws the shapes itself
        return MaskScan(path, encoding, counts, size, {}, labels)
    if lossy or (len(counts) > _MAX_CODES and path.suffix.lower() != MATLAB_SUFFIX):
        raise LossyMask.of(path, len(counts))
    colors = {
        c: (palette[3 * c], palette[3 * c + 1], palette[3 * c + 2])
        for c in counts
        if 0 <= c < len(palette) // 3
    }
    tiny = sum(count < _TINY * values.size for count in counts.values())
    smeared = tiny >= _MIN_TINY_CODES and mixed_edges(values) >= _MIXED_EDGES
    lines = thin_lines(values, counts) if encoding == "ids" else ()
    return MaskScan(path, encoding, counts, size, colors, smeared=smeared, lines=lines)


def mixed_edges(codes: NDArray[np.int32]) -> float:
    """Measure on which share of a mask's edges a third code lies between two others.

    In a mask that a person drew, a pixel between two different neighbors belongs to one of them,
    except on lines one pixel wide. Interpolation and JPEG put other codes there.

    Args:
        codes: `(H, W)`.

    Returns:
        A share from 0 to 1; 0 for a mask without edges.
    """
    edges = mixed = 0
    for lines in (codes, codes.T):
        before, here, after = lines[:, :-2], lines[:, 1:-1], lines[:, 2:]
        edge = before != after
        edges += int(edge.sum())
        mixed += int((edge & (here != before) & (here != after)).sum())
    return mixed / edges if edges else 0.0


def common_encoding(scans: Iterable[MaskScan]) -> tuple[list[MaskScan], Encoding]:
    """Give all scans the same encoding. RGB masks that are gray throughout hold ids.

    Raises:
        DataError: the masks are of different kinds.
    """
    scans = list(scans)
    shapes = [scan for scan in scans if scan.encoding == "labels"]
    colors = [scan for scan in scans if scan.encoding == "colors" and not _is_gray_mask(scan)]
    ids = [scan for scan in scans if scan.encoding == "ids"]
    if shapes:
        images = [scan for scan in scans if scan.encoding != "labels"]
        _require_one_kind(shapes, "LabelMe's shapes", images, "pixels")
        return scans, "labels"
    if colors:
        _require_one_kind(ids, "ids", colors[:1], "colors")
        return scans, "colors"
    return [_as_ids(scan) if scan.encoding == "colors" else scan for scan in scans], "ids"


def _is_gray_mask(scan: MaskScan) -> bool:
    return all(map(is_gray, scan.counts))


def _as_ids(scan: MaskScan) -> MaskScan:
    """The scan of a gray RGB mask, with the gray levels as ids."""
    counts = {code & 0xFF: count for code, count in scan.counts.items()}
    return scan._replace(encoding="ids", counts=counts)


def _require_one_kind(
    scans: Sequence[MaskScan], kind: str, others: Sequence[MaskScan], other_kind: str
) -> None:
    """Refuse masks of two kinds.

    Raises:
        DataError: there are scans of both.
    """
    if scans and others:
        raise DataError(
            f"Some masks hold {kind} ({scans[0].path}, {len(scans)} in all) and others "
            f"{other_kind} ({others[0].path}).",
            "Convert them to one kind, or remove those of the other.",
        )


def is_gray(code: int) -> bool:
    """Whether a packed color is gray."""
    return code >> 16 == code & 0xFF == code >> 8 & 0xFF
