"""Blocks of neighboring tiles, which are held out together.

The tiles of a raster are alike, the nearer the more so. A single tile among those that are trained
on would be scored too well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from semiseg.core.types import Sample
from semiseg.data.formats.extent import find_overlaps
from semiseg.data.formats.raster_windows import split_window

_MANY_RASTERS = 5  # with labels; from here on, whole rasters are held out
_MIN_BLOCKS = 8  # with labels, if there are so many tiles


def blocks_of(samples: Iterable[Sample]) -> dict[Path, str]:
    """The block of each tile.

    A block is a whole raster if five or more have labels. Otherwise it is a square of tiles, as
    large as it may be so that at least eight blocks have labels, or a single tile.

    Args:
        samples: all images to train on, with their masks. Images that are no tiles have no block.

    Returns:
        The name of the block by the path of the tile; empty without tiles.
    """
    places: dict[Path, tuple[Path, int, int]] = {}
    names: dict[Path, str] = {}
    labeled: list[Path] = []
    others = 0
    for sample in samples:
        file, window = split_window(sample.image)
        if window is None:
            others += sample.mask is not None
            continue
        places[sample.image] = file, window.left, window.top
        names[file] = sample.name.rpartition("/")[0]
        labeled += [sample.image] if sample.mask is not None else []
    if len({places[path][0] for path in labeled}) >= _MANY_RASTERS:
        return {path: names[file] for path, (file, _, _) in places.items()}
    numbered = _numbered(places)
    side = _block_side([numbered[path] for path in labeled], _MIN_BLOCKS - others)
    blocks = {path: _block(place, side) for path, place in numbered.items()}
    return {path: f"{names[file]} {x},{y}" for path, (file, x, y) in blocks.items()}


class _Place(NamedTuple):
    """Where a tile lies in its raster.

    Attributes:
        file: the raster.
        column: the number of its column, from 0 on.
        row: the number of its row.
        columns: how many there are.
        rows: how many there are.
    """

    file: Path
    column: int
    row: int
    columns: int
    rows: int


def _numbered(corners: Mapping[Path, tuple[Path, int, int]]) -> dict[Path, _Place]:
    """The places of tiles by the pixels of their upper left corners."""
    lefts: defaultdict[Path, set[int]] = defaultdict(set)
    tops: defaultdict[Path, set[int]] = defaultdict(set)
    for file, left, top in corners.values():
        lefts[file].add(left)
        tops[file].add(top)
    columns = {file: {x: i for i, x in enumerate(sorted(lefts[file]))} for file in lefts}
    rows = {file: {y: i for i, y in enumerate(sorted(tops[file]))} for file in tops}
    return {
        path: _Place(file, columns[file][x], rows[file][y], len(columns[file]), len(rows[file]))
        for path, (file, x, y) in corners.items()
    }


def _block(place: _Place, side: int) -> tuple[Path, int, int]:
    """The block of a tile, where a raster is divided evenly into blocks of at most a side."""
    x = place.column * -(-place.columns // side) // place.columns
    y = place.row * -(-place.rows // side) // place.rows
    return place.file, x, y


def _block_side(labeled: Sequence[_Place], count: int) -> int:
    """The side of the largest blocks, in tiles, of which so many have labels."""
    longest = max((max(place.columns, place.rows) for place in labeled), default=1)
    for side in range(longest, 1, -1):
        if len({_block(place, side) for place in labeled}) >= count:
            return side
    return 1


def without_shared_ground(samples: Sequence[Sample], held_out: Sequence[Sample]) -> list[Sample]:
    """The samples that show no ground of tiles that are held out, as another raster may.

    Args:
        samples: images to train on.
        held_out: images to validate on.
    """
    tiles = [s.image for s in held_out if split_window(s.image)[1] is not None]
    if not tiles:
        return list(samples)
    shared = find_overlaps([sample.image for sample in samples], tiles)
    return [sample for sample in samples if sample.image not in shared]
