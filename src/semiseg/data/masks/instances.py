"""Instance masks: their ids number objects, such as cells, and are no classes.

Cellpose, StarDist, QuPath and others write 0 for the background and 1, 2, 3, ... for the objects of
one image. So the ids of an image have no gaps, images hold different numbers of them, and each id
is one connected area. Where images are tiles of a larger one, the ids differ from tile to tile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from semiseg.data.formats.codes import MaskScan
from semiseg.data.formats.mask_rule import TRANSPARENT

_CELLPOSE = "_cp_masks"  # behind the name of the image
_VOID_ID = 255
_MIN_OBJECTS = 5  # in one image at least
_MANY_OBJECTS = 20  # so many areas without a gap are objects even if there are few images
_SEVERAL_OBJECTS = 8  # so many in one image, and fewer in another, are objects
_MIN_IMAGES = 4  # from which different numbers of objects count
_MIN_NUMBERS = 3  # different numbers of objects in these images
_WITHOUT_GAPS = 0.9  # the share of images whose ids are 1 to N, or nearly so
_MAX_GAP = 1.25  # the highest id per object: covered objects leave gaps
_MIN_UNIQUE_IDS = 30  # ids of tiles, most of which occur in one image only
_UNIQUE = 0.8
_MIN_ON_GROUND = 0.8  # the share of objects that touch the background; layers touch each other
_MIN_BLOBS = 0.8  # the share of ids that are one connected area
_MIN_PIXELS = 9  # of half of the objects
_MAX_SAMPLED = 8  # images whose areas are examined

Decode = Callable[[Path], NDArray[np.int32]]


def are_instances(scans: Sequence[MaskScan], decode: Decode) -> bool:
    """Whether the ids of masks number objects.

    Args:
        scans: all masks.
        decode: gives the codes of a mask, `(H, W)`. It is called for a few masks, and only if their
            ids alone look like numbers of objects.

    Raises:
        DataError: `decode` does.
    """
    if any(scan.lossy for scan in scans):
        return False
    counts = [_objects(scan) for scan in scans]
    if not (_are_numbered(counts) or _are_unique(counts) or _are_of_cellpose(scans, counts)):
        return False
    most = sorted(zip(counts, scans, strict=True), key=lambda pair: -len(pair[0]))
    areas, pixels, on_ground = list[int](), list[int](), 0
    for objects, scan in most[:_MAX_SAMPLED]:
        if len(objects) >= min(_MIN_OBJECTS, len(most[0][0])):
            codes = decode(scan.path)
            areas += count_areas(codes, objects)
            pixels += [scan.counts[code] for code in objects]
            on_ground += len((touching(codes, 0) | touching(codes, _VOID_ID)) & set(objects))
    if median(pixels) < _MIN_PIXELS:  # single pixels are areas too
        return False
    if len(most[0][0]) < _MANY_OBJECTS and on_ground < _MIN_ON_GROUND * len(areas):
        return False  # layers that lie on each other
    return sum(area == 1 for area in areas) >= _MIN_BLOBS * len(areas)


def has_void_outlines(scans: Sequence[MaskScan]) -> bool:
    """Whether the id 255 is no object, but marks outlines: 254 and 256 do not occur."""
    ids = set[int]().union(*(scan.counts for scan in scans))
    return _is_void_beside(ids)


def count_areas(codes: NDArray[np.int32], objects: Sequence[int]) -> list[int]:
    """The number of connected areas of each object, less its holes.

    Pixels, pairs of neighbors and squares of four are counted: areas less holes are pixels less
    pairs plus squares (Euler's formula).

    Args:
        codes: `(H, W)`.
        objects: the codes to examine, sorted.
    """
    right = codes[:, 1:][codes[:, 1:] == codes[:, :-1]]
    below = codes[1:][codes[1:] == codes[:-1]]
    same = (codes[1:, 1:] == codes[:-1, 1:]) & (codes[1:, 1:] == codes[1:, :-1])
    squares = codes[1:, 1:][same & (codes[1:, 1:] == codes[:-1, :-1])]
    totals = np.zeros(len(objects), dtype=np.int64)
    sorted_codes = np.array(objects, dtype=np.int32)
    for values, sign in ((codes.ravel(), 1), (right, -1), (below, -1), (squares, 1)):
        position = np.searchsorted(sorted_codes, values).clip(max=len(sorted_codes) - 1)
        hits = position[sorted_codes[position] == values]
        totals += sign * np.bincount(hits, minlength=len(sorted_codes))
    areas: list[int] = totals.tolist()
    return areas


def touching(codes: NDArray[np.int32], code: int) -> set[int]:
    """The codes of pixels beside pixels of one code.

    Args:
        codes: `(H, W)`.
        code: the one.
    """
    neighbors: set[int] = set()
    for lines in (codes, codes.T):
        for one, other in ((lines[:, 1:], lines[:, :-1]), (lines[:, :-1], lines[:, 1:])):
            neighbors |= set(np.unique(one[other == code]).tolist())
    return neighbors - {code}


def _is_void_beside(ids: set[int]) -> bool:
    """Whether 255 occurs, but neither 254 nor 256."""
    return _VOID_ID in ids and not {_VOID_ID - 1, _VOID_ID + 1} & ids


def _objects(scan: MaskScan) -> list[int]:
    """The codes of a mask that may be objects, sorted."""
    if scan.coarse:
        return []
    codes = [code for code in scan.counts if 0 < code < TRANSPARENT]
    if _is_void_beside(set(codes)):
        codes.remove(_VOID_ID)
    return sorted(codes)


def _are_numbered(counts: Sequence[list[int]]) -> bool:
    """Whether the ids of each image are 1 to N, and N is large or differs between images."""
    filled = [objects for objects in counts if objects]
    if not filled:
        return False
    without_gaps = sum(objects[-1] <= _MAX_GAP * len(objects) for objects in filled)
    numbers = {len(objects) for objects in filled}
    varies = len(filled) >= _MIN_IMAGES and len(numbers) >= _MIN_NUMBERS
    differ = len(numbers) > 1 and max(numbers) >= _SEVERAL_OBJECTS
    return without_gaps >= _WITHOUT_GAPS * len(filled) and (
        min(numbers) >= _MANY_OBJECTS or differ or (varies and max(numbers) >= _MIN_OBJECTS)
    )


def _are_of_cellpose(scans: Sequence[MaskScan], counts: Sequence[list[int]]) -> bool:
    """Whether the files have the name that Cellpose gives to its numbered objects."""
    return any(counts) and all(
        scan.path.stem.endswith(_CELLPOSE) and scan.encoding == "ids" for scan in scans
    )


def _are_unique(counts: Sequence[list[int]]) -> bool:
    """Whether there are many ids, most of which occur in one image only."""
    images = Counter(code for objects in counts for code in objects)
    if len(counts) < 2 or len(images) < _MIN_UNIQUE_IDS:
        return False
    return sum(number == 1 for number in images.values()) >= _UNIQUE * len(images)
