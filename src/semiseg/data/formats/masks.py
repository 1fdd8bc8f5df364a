"""Masks become class indices: `Classes` knows which code stands for which class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.records import from_plain
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.codes import (
    NO_LABELS,
    TABLE_SIZE,
    Color,
    Encoding,
    are_small,
    is_gray,
    read_codes,
    spell,
)

MAX_CLASSES = 255
_NOUNS: dict[Encoding, str] = {"ids": "ids", "colors": "colors", "labels": "LabelMe's shapes"}
_MAX_CODE = (1 << 31) - 1


@dataclass(frozen=True)
class Classes:
    """The classes of a data set, and their codes in the masks.

    Attributes:
        names: one unique name per class; its position is the class index.
        colors: one display color per class; in color masks it is also the code.
        encoding: whether the masks hold ids, colors or labels.
        codes: the code of each class.
        ignored: the codes of pixels that neither train nor score a model.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    encoding: Encoding
    codes: tuple[int, ...]
    ignored: tuple[int, ...] = (IGNORE_INDEX,)

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
        if len(set(names)) < count or len(set(codes)) < count:
            raise ValueError("two classes have the same name or code")
        lengths = {len(color) for color in colors}
        if lengths != {3} or not all(0 <= level <= 255 for color in colors for level in color):
            raise ValueError("a color is not three numbers from 0 to 255")
        if not all(0 <= code <= _MAX_CODE for code in (*codes, *classes.ignored)):
            raise ValueError(f"a code is not from 0 to {_MAX_CODE}")
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
        allowed = np.array(self.codes + self.ignored, dtype=np.int32)
        indices = np.array([*range(len(self)), *[IGNORE_INDEX] * len(self.ignored)], dtype=np.uint8)
        order = np.argsort(allowed, kind="stable")
        allowed, indices = allowed[order], indices[order]
        if are_small(codes):
            table = np.full(TABLE_SIZE, -1, dtype=np.int16)
            small = (allowed >= 0) & (allowed < TABLE_SIZE)
            table[allowed[small][::-1]] = indices[small][::-1]  # of equal codes the first counts
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
        listed = ", ".join(spell(code, self.encoding, labels) for code in codes[:5])
        more = ", ..." if len(codes) > 5 else ""
        noun = "labels" if self.encoding == "labels" else _NOUNS[self.encoding]
        names = dict(zip(self.codes, self.names, strict=True))
        allowed = ", ".join(spell(code, self.encoding, names) for code in self.codes[:20])
        return DataError(
            f"{where} holds {noun} that belong to no class: {listed}{more}. Known: {allowed}.",
            "Correct the mask, or add these to classes.yaml, as classes or under `ignore:`.",
        )

    def to_image(self, mask: NDArray[np.uint8]) -> Image.Image:
        """Turn class indices into a palette image that shows the classes in their colors.

        The values of the pixels are the ids of the masks, or class indices where the masks hold
        colors or labels.

        Args:
            mask: `(H, W)` class indices, 255 where ignored.
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


def read_mask(path: Path, classes: Classes) -> Image.Image:
    """Read a mask as an 8-bit image of class indices; 255 stands for ignored pixels.

    Raises:
        DataError: the file cannot be decoded, or a code belongs to no class.
    """
    values, encoding, labels, *_ = read_codes(path)
    if encoding != classes.encoding:
        gray = encoding == "colors" and all(map(is_gray, np.unique(values).tolist()))
        if not gray or classes.encoding != "ids":
            raise DataError(
                f"{path} holds {_NOUNS[encoding]}, but the masks of this data set hold "
                f"{_NOUNS[classes.encoding]}.",
                "Convert the mask, or remove it.",
            )
        values = values & 0xFF  # ids that were saved as gray RGB
    return Image.fromarray(classes.encode(values, path, labels))


def default_color(index: int) -> Color:
    """The display color of a class index: black, then hues a golden angle apart."""
    if index == 0:
        return (0, 0, 0)
    hue = (0.11 + 0.618033988749895 * index) % 1.0
    level = (255, 200, 150)[index % 3]
    angles = (np.abs(((hue + np.array([0.0, 2 / 3, 1 / 3])) % 1.0) * 6 - 3) - 1).clip(0, 1)
    r, g, b = (level * (0.2 + 0.8 * angles)).round().astype(int).tolist()
    return (r, g, b)
