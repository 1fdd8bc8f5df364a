"""The ground resolution of a GeoTIFF: the length on the ground of one pixel's side."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from semiseg.data.formats.geo_tags import (
    GEO_KEYS,
    PIXEL_SCALE,
    TRANSFORMATION,
    numbers_in,
    read_map_tags,
)
from semiseg.data.formats.raster_windows import file_of
from semiseg.data.formats.tiff import Tags

Unit = Literal["meter", "degree", "unknown"]

_MODEL_TYPE, _LINEAR_UNIT = 1024, 3076  # keys of the GeoKeyDirectory
_GEOGRAPHIC = 2
_METERS = {9001: 1.0, 9002: 0.3048, 9003: 1200 / 3937}  # meter, foot, US survey foot
_ERRORS = (OSError, ValueError, SyntaxError, TypeError, LookupError, struct.error, OverflowError)


@dataclass(frozen=True)
class GroundResolution:
    """The side of a pixel on the ground.

    Attributes:
        size: the length of the side.
        unit: its unit; `unknown` where the file has a scale without a unit.
    """

    size: float
    unit: Unit

    def __str__(self) -> str:
        """For example `0.1 meter per pixel`."""
        unit = "" if self.unit == "unknown" else f"{self.unit} "
        return f"{self.size:.3g} {unit}per pixel"


def ground_resolution(path: Path) -> GroundResolution | None:
    """The ground resolution that the header of a GeoTIFF gives.

    Args:
        path: any file, or a window of a raster; no pixels are read.

    Returns:
        The resolution, or None for other files and where the header has none.
    """
    try:
        tags = read_map_tags(file_of(path))
        size = _pixel_size(tags)
        keys = _geo_keys(tags)
    except _ERRORS:
        return None
    if not (math.isfinite(size) and size > 0):
        return None
    if not keys:
        return GroundResolution(size, "unknown")
    if keys.get(_MODEL_TYPE) == _GEOGRAPHIC:
        return GroundResolution(size, "degree")
    meters = _METERS.get(keys.get(_LINEAR_UNIT, 9001))
    return None if meters is None else GroundResolution(size * meters, "meter")


def common_resolution(paths: Iterable[Path]) -> GroundResolution | None:
    """The median ground resolution of images; None unless all have one in the same unit."""
    resolutions = []
    for path in paths:
        resolution = ground_resolution(path)
        if resolution is None:
            return None
        resolutions.append(resolution)
    if len({resolution.unit for resolution in resolutions}) != 1:
        return None
    return GroundResolution(median(r.size for r in resolutions), resolutions[0].unit)


def _pixel_size(tags: Tags) -> float:
    """The geometric mean of a pixel's sides; 0 where the tags do not say it."""
    scale = numbers_in(tags, PIXEL_SCALE)
    if len(scale) >= 2:
        return math.sqrt(abs(scale[0] * scale[1]))
    matrix = numbers_in(tags, TRANSFORMATION)
    if len(matrix) == 16:
        return math.sqrt(math.hypot(matrix[0], matrix[4]) * math.hypot(matrix[1], matrix[5]))
    return 0.0


def _geo_keys(tags: Tags) -> dict[int, int]:
    """The keys of the GeoKeyDirectory whose values are numbers in the directory itself."""
    numbers = [int(number) for number in numbers_in(tags, GEO_KEYS)]
    entries = zip(*(numbers[4 + i :: 4] for i in range(4)), strict=False)
    return {key: value for key, location, _, value in entries if location == 0}
