"""Masks become class indices: `Classes` knows which code stands for which class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.records import from_plain
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.codes import (
    TABLE_SIZE,
    Color,
    are_small,
    read_codes,
    spell,
)
from semiseg.data.formats.mask_files import NO_LABELS
from semiseg.data.formats.mask_rule import AS_STORED, VOID_CODES, Encoding, MaskRule

MAX_CLASSES = 255
_MAX_BYTE = 255
_NOUNS: dict[Encoding, str] = {"ids": "ids", "colors": "colors", "labels": "LabelMe's shapes"}
_MAX_CODE = (1 << 31) - 1


@dataclass(frozen=True)
class Classes:
    """The classes of a data set, and their codes in the masks.

    Attributes:
        names: one unique name per class; its position is the class index.
        colors: one display color per class; in color masks it is also the code.
        encoding: whether the masks hold ids, colors or labels.
        codes: the code of each class; in masks that semiseg writes, the only one.
        ignored: the codes of pixels that neither train nor score a model.
        merged: further codes of the classes, each with its class index.
        rule: how mask files are read, where their values alone do not say it.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    encoding: Encoding
    codes: tuple[int, ...]
    ignored: tuple[int, ...] = (IGNORE_INDEX,)
    merged: tuple[tuple[int, int], ...] = ()
    rule: MaskRule = AS_STORED

    def __len__(self) -> int:
        """The number of classes."""
        return len(self.names)

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "names": list(self.names),
            "colors": [list(color) for color in self.colors],
            "encoding": self.encoding,
            "codes": list(self.codes),
            "ignored": list(self.ignored),
            "merged": [list(pair) for pair in self.merged],
            "rule": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in asdict(self.rule).items()
            },
        }

    @classmethod
    def from_dict(cls, content: object) -> Classes:
        """Read classes as `to_dict` writes them.

        Raises:
            ValueError: the content does not describe classes.
        """
        classes = from_plain(cls, content)
        names, colors, codes = classes.names, classes.colors, classes.codes
        count = len(names)
        if not 0 < count <= MAX_CLASSES or {len(colors), len(codes)} != {count}:
            raise ValueError(f"{count} names, {len(colors)} colors, {len(codes)} codes")
        if {len(pair) for pair in classes.merged} - {2}:
            raise ValueError("a merged code is not a pair of a code and a class index")
        if not all(0 <= index < count for _, index in classes.merged):
            raise ValueError("a merged code belongs to no class")
        every = [*codes, *(code for code, _ in classes.merged)]
        if len(set(names)) < count or len(set(every)) < len(every):
            raise ValueError("two classes have the same name or code")
        lengths = {len(color) for color in colors}
        if lengths != {3} or not all(0 <= level <= 255 for color in colors for level in color):
            raise ValueError("a color is not three numbers from 0 to 255")
        if not all(0 <= code <= _MAX_CODE for code in every):
            raise ValueError(f"a code is not from 0 to {_MAX_CODE}")
        if not all(abs(code) <= _MAX_CODE for code in classes.ignored):
            raise ValueError(f"an ignored code is not from -{_MAX_CODE} to {_MAX_CODE}")
        return classes

    def encode(
        self, codes: NDArray[np.int32], where: object, labels: Mapping[int, str] = NO_LABELS
    ) -> NDArray[np.uint8]:
        """Turn the codes of a mask into class indices.

        Args:
            codes: `(H, W)` the pixels, as `read_codes` gives them for this encoding.
            where: the mask's file, for the error.
            labels: the labels of the codes, for the error.

        Returns:
            `(H, W)` class indices, 255 where the pixel is ignored.

        Raises:
            DataError: a code belongs to no class.
        """
        pairs = sorted(self.indices.items())
        allowed = np.array([code for code, _ in pairs], dtype=np.int32)
        indices = np.array([index for _, index in pairs], dtype=np.uint8)
        if are_small(codes):
            table = np.full(TABLE_SIZE, -1, dtype=np.int16)
            small = (allowed >= 0) & (allowed < TABLE_SIZE)
            table[allowed[small]] = indices[small]
            mask = table[codes]
            if mask.min() >= 0:
                return mask.astype(np.uint8)
        position = np.searchsorted(allowed, codes).clip(max=len(allowed) - 1)
        if not np.array_equal(allowed[position], codes):
            unknown = np.unique(codes[allowed[position] != codes])
            raise self.unknown_codes(unknown.tolist(), where, labels)
        encoded: NDArray[np.uint8] = indices[position]
        return encoded

    def unknown_codes(
        self, codes: Sequence[int], where: object, labels: Mapping[int, str] = NO_LABELS
    ) -> DataError:
        """The error about codes that belong to no class.

        Args:
            codes: the codes.
            where: the mask's file.
            labels: the labels of the codes.
        """
        spellings = ", ".join(spell(code, self.encoding, labels) for code in codes[:5])
        more = ", ..." if len(codes) > 5 else ""
        noun = "labels" if self.encoding == "labels" else _NOUNS[self.encoding]
        names = dict(zip(self.codes, self.names, strict=True))
        allowed = ", ".join(spell(code, self.encoding, names) for code in self.codes[:20])
        return DataError(
            f"{where} holds {noun} that belong to no class: {spellings}{more}. Known: {allowed}.",
            "Correct the mask, or add these to classes.yaml, as classes or under `ignore:`.",
        )

    @cached_property
    def indices(self) -> Mapping[int, int]:
        """The class index of each code, 255 for the ignored ones."""
        voids = () if self.encoding == "labels" else VOID_CODES  # a label may have any code
        return {
            **dict.fromkeys((*voids, *self.ignored), IGNORE_INDEX),
            **{code: index for code, index in self.merged},
            **{code: index for index, code in enumerate(self.codes)},
        }

    @property
    def needs_16_bits(self) -> bool:
        """Whether the classes have ids above 255, so that masks are written with 16 bits."""
        return self.encoding == "ids" and max(self.codes) > _MAX_BYTE

    @property
    def ignored_value(self) -> int | None:
        """The value of ignored pixels in masks that are written; None if no value is free."""
        if self.encoding != "ids":
            return IGNORE_INDEX
        highest = TABLE_SIZE - 1 if self.needs_16_bits else _MAX_BYTE
        own_values = [code for code in self.ignored if 0 <= code <= highest]
        candidates = (IGNORE_INDEX, *own_values, highest)
        return next(
            (v for v in candidates if self.indices.get(v, IGNORE_INDEX) == IGNORE_INDEX), None
        )

    def to_image(self, mask: NDArray[np.uint8]) -> Image.Image:
        """Turn class indices into a mask as a person's masks are: an image of ids.

        Where the masks hold colors or labels, the values are class indices. Values up to 255 make
        a palette image, which shows the classes in their colors; with higher ids it is a gray image
        of 16 bits.

        Args:
            mask: `(H, W)` class indices, 255 where ignored.
        """
        has_ids = self.encoding == "ids"
        values = np.array(self.codes if has_ids else range(len(self)), dtype=np.uint16)
        ignored = self.ignored_value
        table = np.full(256, IGNORE_INDEX if ignored is None else ignored, dtype=np.uint16)
        table[: len(self)] = values
        if self.needs_16_bits:
            return Image.fromarray(table[mask])
        palette = np.zeros((256, 3), dtype=np.uint8)
        palette[table[IGNORE_INDEX]] = 255
        palette[values] = np.array(self.colors, dtype=np.uint8)
        image = Image.fromarray(table.astype(np.uint8)[mask])
        image.putpalette(palette.tobytes())
        return image

    def to_rgb(self, mask: NDArray[np.uint8]) -> Image.Image:
        """Turn class indices into an RGB image of the classes' colors; ignored pixels are white.

        Args:
            mask: `(H, W)` class indices, 255 where ignored.
        """
        table = np.full((256, 3), 255, dtype=np.uint8)
        table[: len(self)] = np.array(self.colors, dtype=np.uint8)
        return Image.fromarray(table[mask])


def read_mask(path: Path, classes: Classes) -> Image.Image:
    """Read a mask as an 8-bit image of class indices; 255 stands for ignored pixels.

    Raises:
        DataError: the file cannot be decoded, or a code belongs to no class.
    """
    codes = read_codes(path, classes.rule, classes.encoding)
    if codes.encoding != classes.encoding:
        raise DataError(
            f"{path} holds {_NOUNS[codes.encoding]}, but the masks of this data set hold "
            f"{_NOUNS[classes.encoding]}.",
            "Convert the mask, or remove it.",
        )
    return Image.fromarray(classes.encode(codes.values, path, codes.labels))


def default_color(index: int) -> Color:
    """The display color of a class index: black, then hues a golden angle apart."""
    if index == 0:
        return (0, 0, 0)
    hue = (0.11 + 0.618033988749895 * index) % 1.0
    level = (255, 200, 150)[index % 3]
    angles = (np.abs(((hue + np.array([0.0, 2 / 3, 1 / 3])) % 1.0) * 6 - 3) - 1).clip(0, 1)
    r, g, b = (level * (0.2 + 0.8 * angles)).round().astype(int).tolist()
    return (r, g, b)
