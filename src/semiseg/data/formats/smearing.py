"""Signs that the codes of a mask are not only those that a person drew.

JPEG, soft brushes and resizing with interpolation put other codes along the edges.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from semiseg.data.formats.mask_rule import DOUBTFUL, VOID_CODES, Encoding

_WHITE = 255
_NOISE = 8  # levels by which JPEG changes black and white
_MAX_FLAT = 0.5  # the share of noise that lies in flat areas; classes have more
_FLAT = 20  # the difference of neighbors in flat areas, of 255 between the two levels
_TINY = 0.01  # the share of a mask's pixels below which a code is hardly a class of its own
_MIN_TINY_CODES = 4  # fewer of them are no sign of interpolation
_MIN_STEPS = 2  # tiny codes that may be the steps of an edge, where they lie between two others
_MIN_STEP_SPAN = 64  # the least distance of the codes at both sides of such an edge
_MIXED_EDGES = 0.2  # drawn masks reach 0.13 when reduced to a fifth, interpolated ones 0.24


def is_smeared(values: NDArray[np.int32], counts: Mapping[int, int], encoding: Encoding) -> bool:
    """Whether the edges of a mask look like the result of JPEG or of interpolation.

    Args:
        values: `(H, W)` the codes.
        counts: the pixels of each code.
        encoding: ids or colors.
    """
    tiny = sum(count < _TINY * values.size for count in counts.values())
    if tiny >= _MIN_TINY_CODES and mixed_edges(values) >= _MIXED_EDGES:
        return True
    ids = counts.keys()
    if encoding != "ids" or ids & set(VOID_CODES):
        return False
    return _has_steps(values, ids, tiny) or _has_noise(values, ids)


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


def count_flat(
    position: NDArray[np.float32], distance: NDArray[np.float32], codes: NDArray[np.int32]
) -> int:
    """The doubtful pixels whose neighbors are all alike, so that they lie on no edge.

    Args:
        position: `(H, W)`, as `MaskRule.locate` gives it.
        distance: `(H, W)`, as `MaskRule.locate` gives it.
        codes: `(H, W)` after the split.
    """
    is_flat = np.ones(codes.shape, dtype=bool)
    for values in (position, distance):
        levels = Image.fromarray((255 * values.clip(0, 1)).astype(np.uint8))
        is_flat &= _range_of_neighbors(levels) <= _FLAT
    return int((is_flat & (codes == DOUBTFUL)).sum())


def _range_of_neighbors(levels: Image.Image) -> NDArray[np.int16]:
    """The difference of the highest and the lowest of 3 x 3 levels."""
    highest, lowest = (
        np.asarray(levels.filter(kind(3)), dtype=np.int16)
        for kind in (ImageFilter.MaxFilter, ImageFilter.MinFilter)
    )
    return highest - lowest


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
    is_noise = np.isin(values, [*dark, *bright])
    is_flat = _range_of_neighbors(Image.fromarray(values.astype(np.uint8))) == 0
    return bool(is_flat[is_noise].mean() < _MAX_FLAT)
