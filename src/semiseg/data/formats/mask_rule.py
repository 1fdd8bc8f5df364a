"""How the mask files of a data set are read, where their values alone do not say it.

`data/mask_rules.py` decides it from all masks of a data set at once. `codes.read_codes` applies
it to each file, when a mask is counted and again when it is trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Encoding: TypeAlias = Literal["ids", "colors", "labels"]

NO_DATA = (1 << 31) - 1
"""The code of pixels without a value, such as NaN. They are ignored."""
DOUBTFUL = (1 << 31) - 2
"""The code of pixels between the two levels of a soft mask. They are ignored."""
TRANSPARENT = (1 << 31) - 3
"""The code of transparent pixels, until a data set says what they are. They are ignored."""
VOID_CODES = (TRANSPARENT, DOUBTFUL, NO_DATA)
"""The codes that are ignored in every data set."""
WHITE: Mapping[Encoding, int] = MappingProxyType({"ids": 255, "colors": 0xFFFFFF})
"""The code of white."""
_OBJECT = 1  # the id of all instances
_VOID_ID = 255  # the id of outlines among instances
_EDGE = 0.25  # the distance from a level, in spans, up to which codes belong to it
_OFF_LINE = 0.35  # the distance, in spans, beyond which a color belongs to neither of two


@dataclass(frozen=True)
class MaskRule:
    """How mask files are read.

    Attributes:
        levels: the two levels or colors of soft masks, as codes; empty if masks are not split.
        halves: the codes that the two halves of a soft mask get. Hard masks of the same data set
            hold these codes.
        by_color: whether palette images stand for their colors, not for their ids.
        instances: whether the ids or colors number objects. All of them become the id 1.
        has_void_instances: whether the id 255 marks the outlines of the objects.
        transparent: what transparent pixels are: background, code 0; ignored; or what surrounds
            black shapes, so that they are 0, and the black pixels of their files are white.
        is_turned: whether masks show the stored pixels of their images, so that the orientation in
            the EXIF data of an image turns its mask too.
    """

    levels: tuple[int, ...] = ()
    halves: tuple[int, ...] = ()
    by_color: bool = False
    instances: bool = False
    has_void_instances: bool = False
    transparent: Literal["background", "ignored", "around black"] = "ignored"
    is_turned: bool = False

    def apply(
        self, values: NDArray[np.int32], encoding: Encoding, lossy: bool = False
    ) -> NDArray[np.int32]:
        """Turn the codes of a file into those of the data set.

        Args:
            values: the codes, of any shape.
            encoding: what they are. LabelMe's labels stay as they are.
            lossy: whether the file is compressed with loss.

        Returns:
            Codes of the same shape.
        """
        if encoding == "labels":
            return values
        if self.transparent != "ignored":
            is_clear = values == TRANSPARENT
            if self.transparent == "around black" and is_clear.any():
                values = np.where(values == 0, WHITE[encoding], values)
            values = np.where(is_clear, 0, values)
        if self.levels and (lossy or not self._is_hard(values, encoding)):
            values = self._split(values, encoding)
        if self.instances:
            stays = (values <= 0) | (values >= TRANSPARENT)
            if self.has_void_instances:
                stays |= values == _VOID_ID
            values = np.where(stays, values, _OBJECT)
        return values.astype(np.int32, copy=False)

    def _is_hard(self, values: NDArray[np.int32], encoding: Encoding) -> bool:
        """Whether codes are those of hard masks, which are not split."""
        allowed = [*self.halves, *VOID_CODES]
        if encoding == "ids" and _VOID_ID not in self.levels:
            allowed.append(_VOID_ID)
        return bool(np.isin(values, allowed).all())

    def locate(
        self, values: NDArray[np.int32], encoding: Encoding
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Where codes lie between the two levels.

        Args:
            values: the codes, of any shape.
            encoding: ids or colors.

        Returns:
            The position along the line from the lower level (0) to the upper one (1), and the
            distance from that line in the same unit.
        """
        low, high = (channels(np.array(level), encoding) for level in self.levels)
        axis = high - low
        span = (axis * axis).sum()
        offset = channels(values, encoding) - low
        position = (offset * axis).sum(axis=-1) / span
        away = offset - position[..., None] * axis
        return position, np.sqrt((away * away).sum(axis=-1) / span)

    def _split(self, values: NDArray[np.int32], encoding: Encoding) -> NDArray[np.int32]:
        """Give each pixel the code of the nearer level, or `DOUBTFUL` between them."""
        position, distance = self.locate(values, encoding)
        from_middle = np.abs(position - 0.5)
        is_doubtful = (abs(from_middle - 0.5) > _EDGE) | (distance > _OFF_LINE)
        codes = np.where(is_doubtful, DOUBTFUL, np.where(position < 0.5, *self.halves))
        return np.where(values >= TRANSPARENT, values, codes).astype(np.int32)


AS_STORED = MaskRule()
"""The rule of masks whose codes are what they seem."""


def channels(codes: NDArray[np.integer], encoding: Encoding) -> NDArray[np.float32]:
    """The codes as points: `(..., 1)` levels, or `(..., 3)` red, green and blue."""
    if encoding == "colors":
        parts = [codes >> 16 & 0xFF, codes >> 8 & 0xFF, codes & 0xFF]
        return np.stack(parts, axis=-1).astype(np.float32)
    return np.asarray(codes, dtype=np.float32)[..., None]
