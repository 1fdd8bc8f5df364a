"""Masks on disk become class indices: ids, palette, RGB colors or LabelMe's shapes.

A pixel of a mask carries a *code*: the id itself, the color packed as `r << 16 | g << 8 | b`, or a
hash of the label (`labelme.label_code`). `Classes` says which code means which class, and turns a
mask into indices and back; `classes.py` finds the classes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import DataError, SmearedMask
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.images import UNREADABLE, open_image, reason
from semiseg.data.formats.labelme import read_shapes
from semiseg.data.formats.matlab import MATLAB, read_matrix

Encoding = Literal["ids", "colors", "labels"]
Color = tuple[int, int, int]
MAX_CLASSES = 255
DRAWN = ".json"
"""The suffix of LabelMe's files."""
_KINDS: dict[Encoding, str] = {"ids": "ids", "colors": "colors", "labels": "LabelMe's shapes"}
_NO_LABELS: Mapping[int, str] = MappingProxyType({})
_TABLE = 1 << 16
_CODES = 1 << 31
_MAX_CODES = 256  # a mask with more of them is no annotation but a lossy picture
_TINY = 0.01  # the share of a mask's pixels below which a code is hardly a class of its own
_MIN_TINY_CODES = 4  # fewer of them are no sign of interpolation
_MIXED_EDGES = 0.2  # drawn masks reach 0.13 when reduced to a fifth, interpolated ones 0.24


@dataclass(frozen=True)
class Classes:
    """The classes of a data set and how the masks spell them.

    Attributes:
        names: one name a class, unique; the position is the class index.
        colors: one display color a class; in color masks also its code.
        encoding: whether the masks hold ids, colors or labels.
        codes: the code of each class.
        ignored: the codes of pixels that are neither taught nor scored.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    encoding: Encoding
    codes: tuple[int, ...]
    ignored: tuple[int, ...] = (IGNORE_INDEX,)

    def __len__(self) -> int:
        """The number of classes."""
        return len(self.names)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a model's json."""
        return {
            "names": list(self.names),
            "colors": [list(c) for c in self.colors],
            "encoding": self.encoding,
            "codes": list(self.codes),
            "ignored": list(self.ignored),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Classes:
        """The inverse of `to_dict`.

        Raises:
            ValueError: no such classes can be.
            LookupError: something is missing.
            TypeError: something is of another kind.
        """
        found = cls(
            names=tuple(values["names"]),
            colors=tuple((int(r), int(g), int(b)) for r, g, b in values["colors"]),
            encoding=values["encoding"],
            codes=tuple(values["codes"]),
            ignored=tuple(values["ignored"]),
        )
        count = len(found.names)
        if not 0 < count <= MAX_CLASSES or {len(found.colors), len(found.codes)} != {count}:
            raise ValueError(f"{count} names, {len(found.colors)} colors, {len(found.codes)} codes")
        if len(set(found.names)) < count or not all(isinstance(n, str) for n in found.names):
            raise ValueError("the names of the classes are no different words")
        if not all(0 <= level <= 255 for color in found.colors for level in color):
            raise ValueError("a color is not of 0 to 255")
        codes: tuple[Any, ...] = (*found.codes, *found.ignored)  # as they were read
        if len(set(found.codes)) < count or not all(
            isinstance(c, int) and 0 <= c < _CODES for c in codes
        ):
            raise ValueError("the codes are no different numbers")
        if found.encoding not in _KINDS:
            raise ValueError(f"there is no encoding {found.encoding!r}")
        return found

    def encode(
        self, codes: NDArray[np.int32], where: object, labels: Mapping[int, str] = _NO_LABELS
    ) -> NDArray[np.uint8]:
        """Class indices `(H, W)` for a mask's codes `(H, W)`; 255 where ignored.

        Args:
            codes: the pixels as `read_codes` gives them for this encoding.
            where: the mask's file, for the error.
            labels: the labels of the codes, for the error.

        Raises:
            DataError: a code belongs to no class.
        """
        known = np.array(self.codes + self.ignored, dtype=np.int32)
        index = np.array(
            list(range(len(self))) + [IGNORE_INDEX] * len(self.ignored), dtype=np.uint8
        )
        order = np.argsort(known, kind="stable")
        known, index = known[order], index[order]
        if _few(codes):  # a table is several times as fast as a search
            table = np.full(_TABLE, -1, dtype=np.int16)
            small = (known >= 0) & (known < _TABLE)
            table[known[small][::-1]] = index[small][::-1]  # of equal codes the first counts
            found = table[codes]
            if found.min() >= 0:
                return found.astype(np.uint8)
        place = np.searchsorted(known, codes).clip(max=len(known) - 1)
        if not np.array_equal(known[place], codes):
            strange = np.unique(codes[known[place] != codes])
            raise DataError(self.unknown(strange.tolist(), where, labels))
        indices: NDArray[np.uint8] = index[place]
        return indices

    def unknown(
        self, codes: list[int], where: object, labels: Mapping[int, str] = _NO_LABELS
    ) -> str:
        """The sentence about codes that belong to no class."""
        shown = ", ".join(spell(c, self.encoding, labels) for c in codes[:5])
        more = ", ..." if len(codes) > 5 else ""
        what = "labels" if self.encoding == "labels" else _KINDS[self.encoding]
        named = dict(zip(self.codes, self.names, strict=True))
        return (
            f"{where} holds {what} that belong to no class: {shown}{more}. Known: "
            f"{', '.join(spell(c, self.encoding, named) for c in self.codes[:20])}. "
            "Correct the mask, or name these in classes.yaml, as classes or under `ignore:`."
        )

    def to_image(self, mask: NDArray[np.uint8]) -> Image.Image:
        """A palette image of class indices `(H, W)`: ids as in the masks, shown in the colors.

        With colors or labels the values are class indices, and the palette holds the colors.
        """
        palette = np.zeros((256, 3), dtype=np.uint8)
        small = self.encoding == "ids" and max(self.codes) < 256
        values = np.array(self.codes if small else range(len(self)), dtype=np.uint8)
        palette[IGNORE_INDEX] = 255
        palette[values] = np.array(self.colors, dtype=np.uint8)
        table = np.full(256, IGNORE_INDEX, dtype=np.uint8)
        table[: len(self)] = values
        image = Image.fromarray(table[mask])
        image.putpalette(palette.tobytes())
        return image


def spell(code: int, encoding: Encoding, labels: Mapping[int, str] = _NO_LABELS) -> str:
    """A code as a person would write it: `7`, `#00ff00` or `crop`."""
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
    labels: Mapping[int, str] = _NO_LABELS
    palette: Sequence[int] = ()
    lossy: bool = False


def read_codes(path: Path) -> Codes:
    """The codes of a mask, and whether they are ids, packed colors or hashed labels.

    Raises:
        DataError: the file cannot be decoded, or holds neither ids, nor colors, nor shapes.
    """
    if path.suffix.lower() == DRAWN:
        values, labels = read_shapes(path)
        return Codes(values, "labels", labels)
    if path.suffix.lower() == MATLAB:
        return Codes(read_matrix(path), "ids")
    try:
        with open_image(path, verify=True) as file:
            lossy = file.format in ("JPEG", "MPO")
            file.load()
            if file.mode in ("1", "L", "P", "I", "I;16", "I;16L", "I;16B"):
                palette = (file.getpalette() or []) if file.mode == "P" else []
                return Codes(np.asarray(file).astype(np.int32), "ids", _NO_LABELS, palette, lossy)
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


def read_mask(path: Path, classes: Classes) -> Image.Image:
    """A mask as an 8-bit image of class indices, 255 = ignore.

    Raises:
        DataError: the file cannot be decoded or holds codes of no class.
    """
    values, encoding, labels, *_ = read_codes(path)
    if encoding != classes.encoding:
        gray = encoding == "colors" and all(map(_is_gray, np.unique(values).tolist()))
        if not gray or classes.encoding != "ids":
            raise DataError(
                f"{path} holds {_KINDS[encoding]}, but the classes are told apart by "
                f"{_KINDS[classes.encoding]}. Convert it, or remove it."
            )
        values = values & 0xFF  # ids that were saved as gray RGB
    return Image.fromarray(classes.encode(values, path, labels))


def _few(codes: NDArray[np.int32]) -> bool:
    """Whether the codes are small enough to be counted and looked up in tables."""
    return codes.size > 0 and int(codes.min()) >= 0 and int(codes.max()) < _TABLE


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
    """

    path: Path
    encoding: Encoding
    counts: dict[int, int]
    size: tuple[int, int]
    palette: dict[int, Color]
    labels: Mapping[int, str] = _NO_LABELS
    smeared: bool = False


def scan_mask(path: Path) -> MaskScan:
    """Count the codes of one mask, and examine its edges.

    Raises:
        DataError: the file cannot be read.
        SmearedMask: it was saved as JPEG, or has so many codes that it must be a lossy picture.
    """
    values, encoding, labels, palette, lossy = read_codes(path)
    if _few(values):
        pixels = np.bincount(values.ravel())
        codes = np.flatnonzero(pixels)
        pixels = pixels[codes]
    else:
        codes, pixels = np.unique(values, return_counts=True)
    counts = dict(zip(codes.tolist(), pixels.tolist(), strict=True))
    size = (values.shape[1], values.shape[0])
    if encoding == "labels":  # semiseg draws the shapes itself
        return MaskScan(path, encoding, counts, size, {}, labels)
    if lossy or (len(counts) > _MAX_CODES and path.suffix.lower() != MATLAB):
        raise SmearedMask(path, len(counts))
    colors = {
        c: (palette[3 * c], palette[3 * c + 1], palette[3 * c + 2])
        for c in counts
        if 0 <= c < len(palette) // 3
    }
    tiny = sum(count < _TINY * values.size for count in counts.values())
    smeared = tiny >= _MIN_TINY_CODES and mixed_edges(values) >= _MIXED_EDGES
    return MaskScan(path, encoding, counts, size, colors, smeared=smeared)


def mixed_edges(codes: NDArray[np.int32]) -> float:
    """The share of a mask's edges on which a third code lies between two others.

    In a mask that was drawn, a pixel between two different neighbors belongs to one of them,
    except on lines one pixel wide. Interpolation and JPEG put blends and ringing there.

    Args:
        codes: `(H, W)`.
    """
    edges = between = 0
    for c in (codes, codes.T):
        before, here, after = c[:, :-2], c[:, 1:-1], c[:, 2:]
        differ = before != after
        edges += int(differ.sum())
        between += int((differ & (here != before) & (here != after)).sum())
    return between / edges if edges else 0.0


def common_encoding(scans: Iterable[MaskScan]) -> tuple[list[MaskScan], Encoding]:
    """The scans in one encoding: RGB masks that are gray throughout are ids.

    Raises:
        DataError: the masks are of different kinds.
    """
    scans = list(scans)
    drawn = [s for s in scans if s.encoding == "labels"]
    colored = [s for s in scans if s.encoding == "colors" and not all(map(_is_gray, s.counts))]
    ids = [s for s in scans if s.encoding == "ids"]
    if drawn:
        _one_kind(drawn, "LabelMe's shapes", [s for s in scans if s.encoding != "labels"], "pixels")
        return scans, "labels"
    if colored:
        _one_kind(ids, "ids", [colored[0]], "colors")
        return scans, "colors"
    return [
        s._replace(encoding="ids", counts={c & 0xFF: n for c, n in s.counts.items()})
        if s.encoding == "colors"
        else s
        for s in scans
    ], "ids"


def _one_kind(some: list[MaskScan], kind: str, others: list[MaskScan], other: str) -> None:
    """Raises if there are scans of both kinds."""
    if some and others:
        raise DataError(
            f"Some masks hold {kind} ({some[0].path}, {len(some)} in all) and others {other} "
            f"({others[0].path}). Convert them to one kind, or remove those of the other."
        )


def _is_gray(code: int) -> bool:
    return code >> 16 == code & 0xFF == code >> 8 & 0xFF


def default_color(index: int) -> Color:
    """A display color for a class index: black, then hues a golden angle apart."""
    if index == 0:
        return (0, 0, 0)
    hue = (0.11 + 0.618033988749895 * index) % 1.0
    level = (255, 200, 150)[index % 3]
    angles = (np.abs(((hue + np.array([0.0, 2 / 3, 1 / 3])) % 1.0) * 6 - 3) - 1).clip(0, 1)
    r, g, b = (level * (0.2 + 0.8 * angles)).round().astype(int).tolist()
    return (r, g, b)
