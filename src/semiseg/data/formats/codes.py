"""The codes of mask files: ids, palette, RGB colors, or LabelMe's shapes.

Each pixel of a mask has a *code*: the id itself, the color packed as `r << 16 | g << 8 | b`, or a
hash of the label (`labelme.label_code`). Pixels without a value have one of `mask_rule.VOID_CODES`.
`masks.Classes` turns codes into class indices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from semiseg.core.errors import DataError, LossyMask
from semiseg.data.formats.images import UNREADABLE, open_image, reason
from semiseg.data.formats.labelme import LABELME_SUFFIX, read_shapes
from semiseg.data.formats.mask_rule import (
    AS_STORED,
    DOUBTFUL,
    NO_DATA,
    TRANSPARENT,
    VOID_CODES,
    Encoding,
    MaskRule,
)
from semiseg.data.formats.matlab import MATLAB_SUFFIX, read_matrix
from semiseg.data.formats.thin_lines import thin_lines

Color: TypeAlias = tuple[int, int, int]
"""Red, green and blue from 0 to 255."""
NO_LABELS: Mapping[int, str] = MappingProxyType({})
NOTHING_SKIPPED: Mapping[str, int] = MappingProxyType({})
TABLE_SIZE = 1 << 16
"""Codes below this number are counted and translated with tables, which is faster than sorting."""
_MAX_COLORS = 256  # a mask with more of them is a soft or a lossy picture
_MAX_COARSE_COLORS = 2048  # a mask with more of them, rounded to 5 bits, is a photograph
_MAX_IDS = 4096  # a mask with more of them numbers objects, or is a lossy picture
_GRAY_NOISE = 12  # levels by which the colors of a gray image differ after lossy compression
_WHITE = 255
_NOISE = 8  # levels by which JPEG changes black and white
_MAX_FLAT = 0.5  # the share of noise that lies in flat areas; classes have more
_FLAT = 20  # the difference of neighbors in flat areas, of 255 between the two levels
_OPAQUE = 128  # the alpha from which a pixel is opaque
_LOSSY_FORMATS = ("JPEG", "MPO")
_TINY = 0.01  # the share of a mask's pixels below which a code is hardly a class of its own
_MIN_TINY_CODES = 4  # fewer of them are no sign of interpolation
_MIN_STEPS = 2  # tiny codes that may be the steps of an edge, where they lie between two others
_MIN_STEP_SPAN = 64  # the least distance of the codes at both sides of such an edge
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
        skipped: the number of LabelMe's shapes that cover no area, by their kinds.
    """

    values: NDArray[np.int32]
    encoding: Encoding
    labels: Mapping[int, str] = NO_LABELS
    palette: Sequence[int] = ()
    lossy: bool = False
    skipped: Mapping[str, int] = NOTHING_SKIPPED


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
    codes = _decode(path)
    if rule.instances and codes.encoding != "labels":
        return Codes(rule.apply(codes.values, codes.encoding, codes.lossy), "ids")
    if codes.encoding == "ids" and (rule.by_color or encoding == "colors"):
        codes = _with_colors(codes)
    if encoding == "ids" and codes.encoding == "colors" and _is_gray(codes.values):
        values = np.where(codes.values < TRANSPARENT, codes.values & 0xFF, codes.values)
        codes = codes._replace(values=values, encoding="ids")
    return codes._replace(values=rule.apply(codes.values, codes.encoding, codes.lossy))


def _decode(path: Path) -> Codes:
    """The codes of a mask as they are stored."""
    if path.suffix.lower() == LABELME_SUFFIX:
        values, labels, skipped = read_shapes(path)
        return Codes(values, "labels", labels, skipped=skipped)
    if path.suffix.lower() == MATLAB_SUFFIX:
        return Codes(read_matrix(path), "ids")
    try:
        with open_image(path, verify=True) as file:
            _require_one_page(file, path)
            lossy = file.format in _LOSSY_FORMATS or (
                file.format == "WEBP" and not _is_lossless_webp(path)
            )
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
    except UNREADABLE as error:
        raise DataError(
            f"{path} cannot be read as a mask ({reason(error)}).",
            "Replace the file or remove it.",
        ) from error
    raise DataError(
        f"{path} is an image of mode {mode}; a mask holds ids (gray or palette) or RGB colors.",
        "Save it as a PNG of one of these kinds.",
    )


def _require_one_page(file: Image.Image, path: Path) -> None:
    """Refuse a stack of masks; smaller pages, such as the overviews of a map, are no matter.

    Raises:
        DataError: the file holds several pages or frames of the same size.
    """
    pages = getattr(file, "n_frames", 1)
    if pages < 2 or file.format in _LOSSY_FORMATS:  # cameras add a preview to a JPEG
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


def _is_lossless_webp(path: Path) -> bool:
    """Whether a WebP file says that its pixels are compressed without loss."""
    with path.open("rb") as file:
        return b"VP8L" in file.read(256)


def _from_floats(numbers: NDArray[np.float32], path: Path) -> NDArray[np.int32]:
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


def _with_colors(codes: Codes) -> Codes:
    """The codes with colors instead of the ids of a palette; without a palette they stay ids."""
    colors = np.array(codes.palette, dtype=np.int32).reshape(-1, 3)
    ids = codes.values
    is_void = ids >= TRANSPARENT
    if not len(colors) or int(ids[~is_void].max(initial=0)) >= len(colors):
        return codes
    packed = colors[:, 0] << 16 | colors[:, 1] << 8 | colors[:, 2]
    values = np.where(is_void, ids, packed[np.where(is_void, 0, ids)])
    return codes._replace(values=values.astype(np.int32), encoding="colors")


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
    stored = read_codes(path, AS_STORED, encoding)
    values, encoding, labels, palette, lossy, skipped = stored
    values = rule.apply(values, encoding, lossy)
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
    tiny = sum(count < _TINY * values.size for count in counts.values())
    ids = counts.keys() - set(VOID_CODES)
    smeared = tiny >= _MIN_TINY_CODES and mixed_edges(values) >= _MIXED_EDGES
    if encoding == "ids" and len(ids) == len(counts) and not smeared:
        smeared = _has_steps(values, ids, tiny) or _has_noise(values, ids)
    if smeared and number > _MAX_IDS and not coarse:
        raise LossyMask.of(path, number)
    lines = thin_lines(values, ids) if encoding == "ids" else ()
    scan = MaskScan(path, encoding, counts, size, colors, NO_LABELS, smeared, lines, lossy, coarse)
    if rule.levels:
        return scan._replace(
            smeared=False, lossy=False, coarse=False, flat=_count_flat(stored, values, rule)
        )
    return scan


def _count_flat(stored: Codes, values: NDArray[np.int32], rule: MaskRule) -> int:
    """The doubtful pixels whose neighbors are all alike, so that they lie on no edge.

    Args:
        stored: the codes of the file.
        values: the codes in the rule.
        rule: with levels.
    """
    position, _ = rule.locate(stored.values, stored.encoding)
    levels = Image.fromarray((255 * position.clip(0, 1)).astype(np.uint8))
    highest, lowest = (
        levels.filter(kind(3)) for kind in (ImageFilter.MaxFilter, ImageFilter.MinFilter)
    )
    is_flat = np.asarray(highest).astype(np.int16) - np.asarray(lowest) <= _FLAT
    return int((is_flat & (values == DOUBTFUL)).sum())


def _round_colors(colors: NDArray[np.int32]) -> NDArray[np.int32]:
    """Colors of 5 bits per channel, from 0 to 255."""
    upper = colors & 0xF8F8F8
    return upper | (upper >> 5 & 0x070707)


def _has_steps(values: NDArray[np.int32], ids: Set[int], tiny: int) -> bool:
    """Whether a few rare ids are the steps of edges between two others, as after a reduction."""
    return (
        _MIN_STEPS <= tiny < _MIN_TINY_CODES
        and max(ids) - min(ids) >= _MIN_STEP_SPAN
        and mixed_edges(values, only_between=True) >= _MIXED_EDGES
    )


def _has_noise(values: NDArray[np.int32], ids: Set[int]) -> bool:
    """Whether ids are black and white with the noise of a JPEG of high quality."""
    dark = {i for i in ids if 0 < i <= _NOISE}
    bright = {i for i in ids if _WHITE - _NOISE <= i < _WHITE}
    if not dark or not bright or ids - dark - bright - {0, _WHITE}:
        return False
    levels = Image.fromarray(values.astype(np.uint8))
    alike = [levels.filter(kind(3)) for kind in (ImageFilter.MaxFilter, ImageFilter.MinFilter)]
    is_noise = np.isin(values, [*dark, *bright])
    is_flat = np.asarray(alike[0]) == np.asarray(alike[1])
    return bool(is_flat[is_noise].mean() < _MAX_FLAT)


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


def mixed_edges(codes: NDArray[np.int32], *, only_between: bool = False) -> float:
    """Measure on which share of a mask's edges a third code lies between two others.

    In a mask that a person drew, a pixel between two different neighbors belongs to one of them,
    except on lines one pixel wide. Interpolation and JPEG put other codes there.

    Args:
        codes: `(H, W)`.
        only_between: whether the third code counts only if it is a number between the two others.

    Returns:
        A share from 0 to 1; 0 for a mask without edges.
    """
    edges = mixed = 0
    for lines in (codes, codes.T):
        before, here, after = lines[:, :-2], lines[:, 1:-1], lines[:, 2:]
        edge = before != after
        edges += int(edge.sum())
        is_third = (here != before) & (here != after)
        if only_between:
            is_third &= (here > before) == (here < after)
        mixed += int((edge & is_third).sum())
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
