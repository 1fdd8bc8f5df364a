"""How the mask of a raster is laid over it: by coordinates, by pixels, or not at all."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.data.formats.codes import read_codes
from semiseg.data.formats.crs import Bounds, is_same_crs, move_bounds, name_of_crs
from semiseg.data.formats.grid import Grid, read_grid
from semiseg.data.formats.orientation import have_same_shape
from semiseg.data.formats.raster_windows import RASTER_SUFFIXES
from semiseg.data.formats.vectors import Layer
from semiseg.data.tiles.mask_sources import MaskSource, RasterMask, WholeMask

_METERS_PER_KILOMETER = 1000
_MIN_BEYOND = 1.0  # pixels by which a mask reaches beyond its image


class Placed(NamedTuple):
    """A mask that can be laid over its raster.

    Attributes:
        source: gives the mask of any part.
        by_place: whether coordinates say which pixels belong together.
        reprojected: the coordinate reference systems of the mask and of the raster, if they differ.
        reaches_beyond: whether the mask covers ground that the raster does not.
        covered: the share of the raster that the mask covers.
        grid: of the mask, if it is a raster.
    """

    source: MaskSource
    by_place: bool = False
    reprojected: tuple[str, str] | None = None
    reaches_beyond: bool = False
    covered: float = 1.0
    grid: Grid | None = None


def place_raster(mask: Path, image: Path, grid: Grid) -> Placed:
    """Lay a mask of pixels over its raster.

    Args:
        mask: a raster, or any other file of a mask with the pixels of the image.
        image: the file of the raster.
        grid: of the raster.

    Raises:
        DataError: the mask lies elsewhere, or nothing says where it lies.
        OSError: the mask cannot be read.
    """
    if mask.suffix.lower() not in RASTER_SUFFIXES:
        return Placed(_whole(mask, image, grid))
    own = read_grid(mask)
    has_places = own.has_place and grid.has_place and bool(own.crs) == bool(grid.crs)
    if not has_places:
        if own.size == grid.size or (not own.crs and not grid.crs and _alike(own, grid)):
            return Placed(RasterMask(mask, grid, by_place=False), grid=own)
        raise _without_place(mask, own, image, grid)
    if own.covers_same(grid):
        return Placed(RasterMask(mask, grid, by_place=False), grid=own)
    bounds = own.bounds
    reprojected = None
    if own.crs and not is_same_crs(own.crs, grid.crs):
        bounds = move_bounds(bounds, own.crs, grid.crs, mask)
        reprojected = name_of_crs(own.crs), name_of_crs(grid.crs)
    if gap(bounds, grid.bounds) > 0:
        raise _elsewhere(mask, "the mask lies", gap(bounds, grid.bounds), image, grid)
    left, bottom, right, top = grid.bounds
    slack = _MIN_BEYOND * grid.pixel
    beyond = bounds[0] < left - slack or bounds[1] < bottom - slack
    beyond = beyond or bounds[2] > right + slack or bounds[3] > top + slack
    source = RasterMask(mask, grid, by_place=True)
    return Placed(source, True, reprojected, beyond, _covered(grid.bounds, bounds), own)


def require_coordinates(layer: Layer, image: Path, grid: Grid) -> None:
    """Refuse polygons and a raster of which nobody knows how they lie on each other.

    Raises:
        DataError: the raster has no coordinates, or one of the two has no system.
    """
    if not grid.has_place:
        raise DataError(
            f"{image} has no coordinates, so that the polygons of {layer.path} cannot be laid over "
            "it.",
            "Give the raster its place on earth in QGIS, or draw a mask of its pixels.",
        )
    if bool(layer.crs) != bool(grid.crs):
        without, other = (image, layer.path) if layer.crs else (layer.path, image)
        raise DataError(
            f"{without} has no coordinate reference system, so that nobody knows where it lies on "
            f"{other}.",
            "Assign its system in QGIS (Layer > Set CRS), and export it again.",
        )


def distance_of(layer: Layer, grid: Grid) -> float:
    """How far away from a raster the nearest polygon lies, in the unit of its coordinates.

    Args:
        layer: in the coordinate reference system of the raster.
        grid: of the raster.

    Returns:
        0 if a polygon touches the raster, infinity without polygons.
    """
    left, bottom, right, top = grid.bounds
    boxes = layer.bounds
    apart_x = np.maximum(left - boxes[:, 2], boxes[:, 0] - right)
    apart_y = np.maximum(bottom - boxes[:, 3], boxes[:, 1] - top)
    gaps = np.hypot(apart_x.clip(0), apart_y.clip(0))
    return float(np.nanmin(gaps, initial=math.inf))


def elsewhere(layer: Layer, distance: float, image: Path, grid: Grid) -> DataError:
    """The error for polygons that touch no raster."""
    return _elsewhere(layer.path, "all polygons lie", distance, image, grid)


def gap(one: Bounds, other: Bounds) -> float:
    """The distance between two boxes; 0 if they overlap or touch."""
    apart = [max(one[i] - other[i + 2], other[i] - one[i + 2], 0.0) for i in range(2)]
    return math.hypot(*apart)


def _covered(whole: Bounds, part: Bounds) -> float:
    """The share of a box that another one covers."""
    sides = [min(whole[i + 2], part[i + 2]) - max(whole[i], part[i]) for i in range(2)]
    return sides[0] * sides[1] / ((whole[2] - whole[0]) * (whole[3] - whole[1]))


def _whole(mask: Path, image: Path, grid: Grid) -> WholeMask:
    codes = read_codes(mask)
    height, width = codes.values.shape
    if (width, height) != grid.size:
        if not have_same_shape((width, height), grid.size):
            raise DataError(
                f"{mask} is {width} x {height}, and its image {image} {grid.size[0]} x "
                f"{grid.size[1]}.",
                "Export the mask at the size of its image.",
            )
        picture = Image.fromarray(codes.values).resize(grid.size, Image.Resampling.NEAREST)
        codes = codes._replace(values=np.asarray(picture, dtype=np.int32))
    return WholeMask(codes)


def _alike(own: Grid, grid: Grid) -> bool:
    """Whether a mask without a place has the shape of its image."""
    return not (own.has_place and grid.has_place) and have_same_shape(own.size, grid.size)


def _without_place(mask: Path, own: Grid, image: Path, grid: Grid) -> DataError:
    lacks_place = mask if not own.has_place else image if not grid.has_place else None
    lacks_system = mask if not own.crs else image
    without = "coordinates" if lacks_place else "coordinate reference system"
    return DataError(
        f"{mask} is {own.size[0]} x {own.size[1]}, and its image {image} {grid.size[0]} x "
        f"{grid.size[1]}, but {lacks_place or lacks_system} has no {without}, so that nobody knows "
        "where the mask lies.",
        "Export the mask from QGIS with the system and the extent of its image.",
    )


def _elsewhere(path: Path, what: str, distance: float, image: Path, grid: Grid) -> DataError:
    return DataError(
        f"{path}: {what} {_length(distance, grid.crs)} away from {image}.",
        "Check that the two belong together, and that the coordinate reference system of each is "
        "right.",
    )


def _length(distance: float, crs: str) -> str:
    """A distance in words."""
    from rasterio.crs import CRS

    if not crs:
        return f"{distance:.3g} units of the coordinates"
    system = CRS.from_user_input(crs)
    if system.is_geographic:
        return f"{distance:.3g} degrees"
    meters = distance * (system.linear_units_factor[1] if system.is_projected else 1.0)
    if meters < _METERS_PER_KILOMETER:
        return f"{meters:.0f} m"
    return f"{meters / _METERS_PER_KILOMETER:,.0f} km"
