"""The codes of mask files: ids, palette, RGB colors, or LabelMe's shapes.

Each pixel of a mask has a *code*: the id itself, the color packed as `r << 16 | g << 8 | b`, or a
hash of the label (`labelme.label_code`). Pixels without a value have one of `mask_rule.VOID_CODES`.
`masks.Classes` turns codes into class indices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import DataError, LossyMask
from semiseg.data.formats.drawn_codes import DRAWN_SUFFIX, load_codes
from semiseg.data.formats.mask_files import (
    NO_LABELS,
    NOTHING_SKIPPED,
    Codes,
    decode_mask,
    with_colors,
)
from semiseg.data.formats.mask_rule import AS_STORED, TRANSPARENT, VOID_CODES, Encoding, MaskRule
from semiseg.data.formats.smearing import count_flat, is_smeared
from semiseg.data.formats.thin_lines import thin_lines

Color: TypeAlias = tuple[int, int, int]
"""Red, green and blue from 0 to 255."""
TABLE_SIZE = 1 << 16
"""Codes below this number are counted and translated with tables, which is faster than sorting."""
_MAX_COLORS = 256  # a mask with more of them is a soft or a lossy picture
_MAX_COARSE_COLORS = 2048  # a mask with more of them, rounded to 5 bits, is a photograph
_MAX_IDS = 4096  # a mask with more of them numbers objects, or is a lossy picture


def spell(code: int, encoding: Encoding, labels: Mapping[int, str] = NO_LABELS) -> str:
    """Write a code as a person would: `7`, `#00ff00` or `crop`."""
    if encoding == "labels":
        return labels.get(code, str(code))
    return str(code) if encoding == "ids" else f"#{code:06x}"


def read_codes(path: Path, rule: MaskRule = AS_STORED, encoding: Encoding | None = None) -> Codes:
    """Read the codes of a mask: ids, packed colors or hashed labels.

    Args:
        path: the mask's file.
        rule: how the masks of the data set are read.
        encoding: that of the data set. Ids that were saved as gray RGB then become ids, and the
            pixels of a palette image their colors. With None, a file keeps its own encoding.

    Raises:
        DataError: the file cannot be decoded, or holds neither ids, nor colors, nor shapes.
    """
    codes = load_codes(path) if path.suffix == DRAWN_SUFFIX else decode_mask(path)
    if rule.instances and codes.encoding != "labels":
        return Codes(rule.apply(codes.values, codes.encoding, codes.lossy), "ids")
    if codes.encoding == "ids" and (rule.by_color or encoding == "colors"):
        codes = with_colors(codes)
    if encoding == "ids" and codes.encoding == "colors" and _is_gray(codes.values):
        values = np.where(codes.values < TRANSPARENT, codes.values & 0xFF, codes.values)
        codes = codes._replace(values=values, encoding="ids")
    return codes._replace(values=rule.apply(codes.values, codes.encoding, codes.lossy))


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
        lossy: whether the file is compressed with loss.
        coarse: whether the codes are colors of 5 bits per channel, since there are too many others.
        flat: the doubtful pixels of a mask that is split, away from its edges.
        skipped: the number of LabelMe's shapes that cover no area, by their kinds.
    """

    path: Path
    encoding: Encoding
    counts: dict[int, int]
    size: tuple[int, int]
    palette: dict[int, Color]
    labels: Mapping[int, str] = NO_LABELS
    smeared: bool = False
    lines: tuple[int, ...] = ()
    lossy: bool = False
    coarse: bool = False
    flat: int = 0
    skipped: Mapping[str, int] = NOTHING_SKIPPED

    @property
    def is_soft(self) -> bool:
        """Whether its codes are not only those that a person drew."""
        return self.smeared or self.lossy or self.coarse


def scan_mask(path: Path, rule: MaskRule = AS_STORED, encoding: Encoding | None = None) -> MaskScan:
    """Count the codes of one mask, and examine its edges.

    Args:
        path: as for `read_codes`.
        rule: as for `read_codes`.
        encoding: as for `read_codes`.

    Raises:
        DataError: the file cannot be read.
        LossyMask: it has so many codes that it must be a photograph or a lossy picture.
    """
    whole = read_codes(path, replace(rule, levels=()), encoding)
    _, encoding, labels, palette, lossy, skipped = whole
    values = rule.apply(whole.values, encoding, lossy)
    counts = _count(values)
    size = (values.shape[1], values.shape[0])
    if encoding == "labels":  # semiseg draws the shapes itself
        return MaskScan(path, encoding, counts, size, {}, labels, skipped=skipped)
    number = len(counts)
    coarse = encoding == "colors" and number > _MAX_COLORS
    if coarse:
        counts = _count(np.where(values < TRANSPARENT, _round_colors(values), values))
        if len(counts) > _MAX_COARSE_COLORS:
            raise LossyMask.of(path, number)
    colors = {
        c: (palette[3 * c], palette[3 * c + 1], palette[3 * c + 2])
        for c in counts
        if 0 <= c < len(palette) // 3
    }
    ids = counts.keys() - set(VOID_CODES)
    smeared = is_smeared(values, counts, encoding)
    if smeared and number > _MAX_IDS and not coarse:
        raise LossyMask.of(path, number)
    lines = thin_lines(values, ids) if encoding == "ids" else ()
    scan = MaskScan(path, encoding, counts, size, colors, NO_LABELS, smeared, lines, lossy, coarse)
    if rule.levels:
        flat = count_flat(*rule.locate(whole.values, encoding), values)
        return scan._replace(smeared=False, lossy=False, coarse=False, flat=flat)
    return scan


def _round_colors(colors: NDArray[np.int32]) -> NDArray[np.int32]:
    """Colors of 5 bits per channel, from 0 to 255."""
    upper = colors & 0xF8F8F8
    return upper | (upper >> 5 & 0x070707)


def _count(values: NDArray[np.int32]) -> dict[int, int]:
    """The pixels of each code, in the order of the codes."""
    voids = {}
    if values.size and int(values.max()) >= TRANSPARENT:
        voids = {code: int((values == code).sum()) for code in VOID_CODES}
        voids = {code: count for code, count in voids.items() if count}
        values = values[values < TRANSPARENT]
    if are_small(values):
        pixels = np.bincount(values.ravel())
        codes = np.flatnonzero(pixels)
        counts = zip(codes.tolist(), pixels[codes].tolist(), strict=True)
        return dict(counts) | voids
    return _count_runs(values.ravel()) | voids


def _count_runs(values: NDArray[np.int32]) -> dict[int, int]:
    """The codes, sorted, and the pixels of each; it sorts runs of equal pixels, not pixels."""
    starts = np.flatnonzero(np.diff(values, prepend=values[:1] - 1))
    lengths = np.diff(starts, append=len(values))
    codes, run_codes = np.unique(values[starts], return_inverse=True)
    pixels = np.zeros(len(codes), dtype=np.int64)
    np.add.at(pixels, run_codes, lengths)
    return dict(zip(codes.tolist(), pixels.tolist(), strict=True))


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
    return [as_ids(scan) for scan in scans], "ids"


def _is_gray_mask(scan: MaskScan) -> bool:
    return all(is_gray(code) or code in VOID_CODES for code in scan.counts)


def as_ids(scan: MaskScan) -> MaskScan:
    """The scan of a gray RGB mask, with the gray levels as ids; others stay as they are."""
    if scan.encoding != "colors" or not _is_gray_mask(scan):
        return scan
    counts = {
        code if code in VOID_CODES else code & 0xFF: count for code, count in scan.counts.items()
    }
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


def _is_gray(colors: NDArray[np.int32]) -> bool:
    """Whether all packed colors of an image are gray."""
    blue = colors & 0xFF
    return bool(((blue * 0x10101 == colors) | (colors >= TRANSPARENT)).all())
