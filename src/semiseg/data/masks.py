"""Masks on disk become class indices: ids, palette or RGB colours; inferred where not said.

A pixel of a mask carries a *code*: the id itself, or the colour packed as `r << 16 | g << 8 | b`.
`Classes` says which code means which class, and turns a mask into indices and back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from semiseg.errors import DataError
from semiseg.types import IGNORE_INDEX

Encoding = Literal["ids", "colors"]
Color = tuple[int, int, int]
MAX_CLASSES = 255
_SMEARED = 256  # more codes than this in one mask is no annotation but a lossy picture


@dataclass(frozen=True)
class Classes:
    """The classes of a data set and how the masks spell them.

    Attributes:
        names: one name a class, unique; the position is the class index.
        colors: one display colour a class; in colour masks also its code.
        encoding: whether the masks hold ids or colours.
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
        """The inverse of `to_dict`."""
        return cls(
            names=tuple(values["names"]),
            colors=tuple((int(r), int(g), int(b)) for r, g, b in values["colors"]),
            encoding=values["encoding"],
            codes=tuple(values["codes"]),
            ignored=tuple(values["ignored"]),
        )

    def encode(self, codes: NDArray[np.int32], where: object) -> NDArray[np.uint8]:
        """Class indices `(H, W)` for a mask's codes `(H, W)`; 255 where ignored.

        Args:
            codes: the pixels as `read_codes` gives them for this encoding.
            where: the mask's file, for the error.

        Raises:
            DataError: a code belongs to no class.
        """
        known = np.array(self.codes + self.ignored, dtype=np.int32)
        index = np.array(
            list(range(len(self))) + [IGNORE_INDEX] * len(self.ignored), dtype=np.uint8
        )
        order = np.argsort(known, kind="stable")
        known, index = known[order], index[order]
        place = np.searchsorted(known, codes).clip(max=len(known) - 1)
        if not np.array_equal(known[place], codes):
            strange = np.unique(codes[known[place] != codes])
            raise DataError(self.unknown(strange.tolist(), where))
        indices: NDArray[np.uint8] = index[place]
        return indices

    def unknown(self, codes: list[int], where: object) -> str:
        """The sentence about codes that belong to no class."""
        shown = ", ".join(spell(c, self.encoding) for c in codes[:5])
        more = ", ..." if len(codes) > 5 else ""
        what = "ids" if self.encoding == "ids" else "colours"
        return (
            f"{where} holds {what} that belong to no class: {shown}{more}. Known: "
            f"{', '.join(spell(c, self.encoding) for c in self.codes[:20])}. "
            "Correct the mask, or name these classes in classes.yaml."
        )

    def to_image(self, mask: NDArray[np.uint8]) -> Image.Image:
        """A palette image of class indices `(H, W)`: ids as in the masks, shown in the colours.

        In colour data sets the index is the class index, and the palette holds the colours.
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


def spell(code: int, encoding: Encoding) -> str:
    """A code as a person would write it: `7` or `#00ff00`."""
    return str(code) if encoding == "ids" else f"#{code:06x}"


def read_codes(path: Path) -> tuple[NDArray[np.int32], Encoding]:
    """The codes `(H, W)` of a mask and whether they are ids or packed colours.

    Raises:
        DataError: the file cannot be decoded, or holds neither ids nor colours.
    """
    try:
        with Image.open(path) as file:
            file.load()
            if file.mode in ("1", "L", "P", "I", "I;16", "I;16L", "I;16B"):
                return np.asarray(file).astype(np.int32), "ids"
            if file.mode in ("LA", "PA"):
                return np.asarray(file)[..., 0].astype(np.int32), "ids"
            if file.mode in ("RGB", "RGBA"):
                rgb = np.asarray(file)[..., :3].astype(np.int32)
                return rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2], "colors"
            mode = file.mode
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path} cannot be read as a mask ({error}). Replace the file or remove it."
        ) from error
    raise DataError(
        f"{path} is an image of mode {mode}; a mask holds ids (grey or palette) or RGB colours. "
        "Save it as a PNG of one of these kinds."
    )


def read_mask(path: Path, classes: Classes) -> Image.Image:
    """A mask as an 8-bit image of class indices, 255 = ignore.

    Raises:
        DataError: the file cannot be decoded or holds codes of no class.
    """
    codes, encoding = read_codes(path)
    if encoding != classes.encoding:
        if classes.encoding == "colors":
            raise DataError(
                f"{path} holds ids, but the other masks hold colours. Convert it to RGB colours."
            )
        if not all(map(_is_grey, np.unique(codes).tolist())):
            raise DataError(
                f"{path} holds colours, but the classes are told apart by ids. Convert it to ids."
            )
        codes = codes & 0xFF  # ids that were saved as grey RGB
    return Image.fromarray(classes.encode(codes, path))


class MaskScan(NamedTuple):
    """What was found in one mask.

    Attributes:
        path: the mask's file.
        encoding: ids or colours.
        counts: pixels of each code.
        size: width and height in pixels.
        palette: the colours of a palette image's ids, or empty.
    """

    path: Path
    encoding: Encoding
    counts: dict[int, int]
    size: tuple[int, int]
    palette: dict[int, Color]


def scan_mask(path: Path) -> MaskScan:
    """Count the codes of one mask.

    Raises:
        DataError: unreadable, or so many codes that the mask must be a lossy picture.
    """
    codes, encoding = read_codes(path)
    values, counts = np.unique(codes, return_counts=True)
    with Image.open(path) as file:
        lossy = file.format in ("JPEG", "MPO")
    if len(values) > _SMEARED or lossy:
        raise DataError(
            f"{path} holds {len(values)} different values: it looks smeared by JPEG compression or "
            "by resizing with interpolation. Save the original mask as PNG."
        )
    palette: dict[int, Color] = {}
    with Image.open(path) as file:
        if file.mode == "P":
            flat = file.getpalette() or []
            palette = {
                int(v): (flat[3 * v], flat[3 * v + 1], flat[3 * v + 2])
                for v in values.tolist()
                if 3 * v + 2 < len(flat)
            }
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return MaskScan(path, encoding, found, (codes.shape[1], codes.shape[0]), palette)


def common_encoding(scans: Iterable[MaskScan]) -> tuple[list[MaskScan], Encoding]:
    """The scans in one encoding: RGB masks that are grey throughout are ids.

    Raises:
        DataError: some masks hold ids and others colours.
    """
    scans = list(scans)
    colored = [s for s in scans if s.encoding == "colors" and not all(map(_is_grey, s.counts))]
    if not colored:
        return [
            s._replace(encoding="ids", counts={c & 0xFF: n for c, n in s.counts.items()})
            if s.encoding == "colors"
            else s
            for s in scans
        ], "ids"
    ids = [s for s in scans if s.encoding == "ids"]
    if ids:
        raise DataError(
            f"Some masks hold ids ({ids[0].path}, {len(ids)} in all) and others colours "
            f"({colored[0].path}). Convert them to one kind."
        )
    return scans, "colors"


def _is_grey(code: int) -> bool:
    return code >> 16 == code & 0xFF == code >> 8 & 0xFF


def infer_classes(scans: Iterable[MaskScan]) -> tuple[Classes, str]:
    """Classes from the masks alone, and a sentence that says what was inferred.

    Colours become ids in their sorted order, black first. Ids stand for themselves, 255 is ignored,
    with two exceptions that would otherwise train on nonsense: masks of nothing but 0 and 255 are
    binary, and a few widely spaced grey levels (0, 85, 170) are one class each.

    Raises:
        DataError: there is nothing to learn, or more classes than 255.
    """
    scans, encoding = common_encoding(scans)
    found: set[int] = set().union(*(s.counts for s in scans))
    codes = sorted(found)
    if encoding == "colors":
        said = f"the masks hold colours: {', '.join(spell(c, encoding) for c in codes[:20])}"
        ignored: tuple[int, ...] = ()
    else:
        codes, ignored, said = _infer_ids(codes)
    if len(found - set(ignored)) < 2:
        held = ", ".join(spell(c, encoding) for c in sorted(found))
        raise DataError(
            f"All masks hold one class only ({held}); "
            "a segmentation needs two. Check that the masks are the right files."
        )
    if len(codes) > MAX_CLASSES:
        raise DataError(
            f"The masks hold {len(codes)} classes, more than {MAX_CLASSES}. If they are smeared "
            "colours, save the original masks as PNG; if not, merge classes in the masks."
        )
    palette: dict[int, Color] = {}
    for scan in scans:
        palette.update(scan.palette)
    names = tuple(spell(c, encoding) for c in codes)
    return Classes(names, _colors(codes, encoding, palette), encoding, tuple(codes), ignored), said


def _infer_ids(found: list[int]) -> tuple[list[int], tuple[int, ...], str]:
    """The ids that are classes, those that are ignored, and what to say."""
    if found == [0, 255]:
        return found, (), "the masks hold 0 and 255 only: binary, 255 is the foreground"
    ids = [i for i in found if i != IGNORE_INDEX]
    ignored = (IGNORE_INDEX,)
    what = "; 255 is ignored" if IGNORE_INDEX in found else ""
    if ids and ids[-1] >= 2 * len(ids) + 8 and ids[-1] - ids[0] >= 2 * len(ids):
        return ids, ignored, f"the masks hold grey levels: {', '.join(map(str, ids[:20]))}{what}"
    if ids:
        ids = list(range(ids[-1] + 1))
        what = f"the masks hold ids 0 to {ids[-1]}{what}"
    return ids, ignored, what


def _colors(
    codes: list[int], encoding: Encoding, palette: Mapping[int, Color]
) -> tuple[Color, ...]:
    if encoding == "colors":
        return tuple((c >> 16, c >> 8 & 0xFF, c & 0xFF) for c in codes)
    return tuple(palette.get(c, default_color(i)) for i, c in enumerate(codes))


def default_color(index: int) -> Color:
    """A display colour for a class index: black, then hues a golden angle apart."""
    if index == 0:
        return (0, 0, 0)
    hue = (0.11 + 0.618033988749895 * index) % 1.0
    level = (255, 200, 150)[index % 3]
    angles = (np.abs(((hue + np.array([0.0, 2 / 3, 1 / 3])) % 1.0) * 6 - 3) - 1).clip(0, 1)
    r, g, b = (level * (0.2 + 0.8 * angles)).round().astype(int).tolist()
    return (r, g, b)


def read_classes(path: Path, scans: Iterable[MaskScan]) -> tuple[Classes, str]:
    """Classes as `classes.yaml` names them, and a sentence that says so.

    Raises:
        DataError: the file cannot be read, has another form, or does not fit the masks.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read as YAML ({error}).") from error
    if not isinstance(content, dict) or not isinstance(content.get("classes"), list):
        raise DataError(
            f"{path} has no list `classes:`. Write one name a class, or `- {{name: crop, id: 1}}` "
            "or `- {name: crop, color: [0, 128, 0]}` a class."
        )
    strange = sorted(map(str, set(content) - {"classes", "ignore"}))
    if strange:
        raise DataError(f"{path}: unknown key '{strange[0]}'. Known: classes, ignore.")
    entries = [_entry(path, i, e) for i, e in enumerate(content["classes"])]
    names = [name for name, _, _ in entries]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice or not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(
            f"{path}: class names must be unique ({', '.join(twice)} is not)."
            if twice
            else f"{path} names {len(names)} classes; 2 to {MAX_CLASSES} can be learned."
        )
    scans, encoding = common_encoding(scans)
    listed = content.get("ignore")
    if listed is None:
        listed = []
    if not isinstance(listed, list) or (
        encoding == "colors" and listed and all(isinstance(v, int) for v in listed)
    ):
        listed = [listed]
    ignored = tuple(_code(path, v) for v in listed)
    colors = tuple(c or default_color(i) for i, (_, _, c) in enumerate(entries))
    if encoding == "colors":
        if any(c is None for _, _, c in entries):
            raise DataError(
                f"The masks hold colours ({scans[0].path}), but {path} gives no `color:` for "
                f"class {next(n for n, _, c in entries if c is None)}."
            )
        codes = tuple(_pack(c) for c in colors)
    else:
        codes = tuple(i for _, i, _ in entries)
        if IGNORE_INDEX not in codes:
            ignored = (*ignored, IGNORE_INDEX)
    if len(set(codes)) < len(codes) or set(codes) & set(ignored):
        raise DataError(f"{path}: two classes share an id or a colour, or one is also ignored.")
    return Classes(tuple(names), colors, encoding, codes, ignored), f"classes from {path}"


def _entry(path: Path, position: int, entry: object) -> tuple[str, int, Color | None]:
    """Name, id and colour of one line of `classes.yaml`."""
    if isinstance(entry, (str, int)):
        return str(entry), position, None
    if not isinstance(entry, dict) or "name" not in entry:
        raise DataError(f"{path}: class {position} has no name.")
    strange = sorted(set(entry) - {"name", "id", "color"})
    if strange:
        raise DataError(
            f"{path}: class {entry['name']} has an unknown key '{strange[0]}'. "
            "Known: name, id, color."
        )
    number = entry.get("id", position)
    if not isinstance(number, int) or not 0 <= number < 65536:
        raise DataError(f"{path}: the id of class {entry['name']} is no number from 0 to 65535.")
    color = _unpack(_code(path, entry["color"])) if "color" in entry else None
    return str(entry["name"]), number, color


def _code(path: Path, value: object) -> int:
    """An id, `[r, g, b]` or `"#rrggbb"` as a code."""
    if isinstance(value, int):
        return value
    if isinstance(value, list) and len(value) == 3 and all(v in range(256) for v in value):
        r, g, b = value
        return _pack((r, g, b))
    if isinstance(value, str) and len(value) == 7 and value.startswith("#"):
        try:
            return int(value[1:], 16)
        except ValueError:
            pass
    raise DataError(f'{path}: {value!r} is neither an id, nor [r, g, b], nor "#rrggbb".')


def _pack(color: Color) -> int:
    return color[0] << 16 | color[1] << 8 | color[2]


def _unpack(code: int) -> Color:
    return (code >> 16, code >> 8 & 0xFF, code & 0xFF)
