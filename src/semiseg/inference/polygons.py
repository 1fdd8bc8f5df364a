"""Polygons of the classes in a mask that lies on a map."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from semiseg.core.errors import ConfigError, DataError, RunError
from semiseg.core.text import plural
from semiseg.data.formats.bands import open_raster
from semiseg.data.formats.masks import Classes
from semiseg.inference.geotiff import Place
from semiseg.inference.raster_files import MASK, content_of
from semiseg.inference.raster_image import unreadable
from semiseg.inference.targets import targets_of
from semiseg.inference.vector_writers import WRITERS, Feature, Rings

logger = logging.getLogger(__name__)


class Shape(NamedTuple):
    """An area of one value.

    Attributes:
        value: of its pixels.
        rings: the outline, against the clock, and those of its holes.
        area: in square units of the coordinates.
    """

    value: int
    rings: Rings
    area: float


class WrittenPolygons(NamedTuple):
    """Polygons that were written.

    Attributes:
        file: the vector file.
        number: of polygons.
    """

    file: Path
    number: int


def check_polygons(out: Path | None, places: Mapping[Path, Place], overwrite: bool) -> None:
    """Refuse polygons that cannot be written, before anything is segmented.

    It warns of GeoJSON whose coordinates would not be degrees.

    Args:
        out: the vector file; None for no polygons.
        places: of the images that are GeoTIFFs.
        overwrite: replace an existing file.

    Raises:
        ConfigError: the file exists, or no image lies on a map.
        DataError: a raster has control points only.
    """
    if out is None:
        return
    if out.exists() and not overwrite:  # someone may have corrected it
        raise ConfigError(f"{out} exists already. Choose another --polygons, or use --overwrite.")
    if not places:
        raise ConfigError(
            "--polygons needs GeoTIFFs, but no image has a place on the map. Leave it out."
        )
    for image, place in places.items():
        if place.gcps[0]:
            raise DataError(
                f"{image} has control points and no transform, so that its polygons have no exact "
                "coordinates.",
                "Warp it with `gdalwarp`, or leave --polygons out.",
            )
    without = [image for image, place in places.items() if place.crs is None]
    if without and out.suffix.lower() == ".geojson":
        logger.warning(
            "%s names no coordinate reference system%s, so that its coordinates enter %s as they "
            "are, although GeoJSON holds degrees: write a GeoPackage instead, --polygons %s",
            without[0],
            f" ({plural(len(without), 'image')} in all)" if len(without) > 1 else "",
            out,
            out.with_suffix(".gpkg"),
        )


def write_polygons(
    out: Path,
    masks: Mapping[str, Path],
    classes: Classes,
    min_area: float | None = None,
) -> WrittenPolygons:
    """Write the polygons of all masks into one vector file.

    Args:
        out: a file whose suffix is one of `WRITERS`.
        masks: GeoTIFFs as `predict` writes them, by the names of their images.
        classes: of the masks.
        min_area: islands of a smaller area, in square units of the coordinates, join the class
            around them.

    Raises:
        DataError: a mask cannot be read.
        RunError: the file cannot be written.
    """
    names = content_of(MASK, classes).names
    count = 0
    try:
        with WRITERS[out.suffix.lower()](out) as writer:
            for source, mask in masks.items():
                with open_raster(mask) as file:
                    writer.start_source(source, file.crs)
                for shape in shapes_of(mask, min_area):
                    name = names.get(shape.value)
                    if name is not None:
                        feature = Feature(source, name, shape.value, shape.area, shape.rings)
                        writer.write(feature)
                        count += 1
    except OSError as error:
        raise RunError(f"{out} cannot be written ({error}). Choose another --polygons.") from error
    return WrittenPolygons(out, count)


def masks_by_name(
    images: Mapping[str, Path], out: Path, places: Collection[Path]
) -> dict[str, Path]:
    """The masks of rasters that exist, by the names of their images.

    Args:
        images: the images by the names of their results.
        out: the folder of the results.
        places: the images that are rasters.
    """
    return {
        str(image): mask
        for name, image in images.items()
        if image in places
        and (mask := targets_of(name, image, out, (MASK,), is_raster=True)[MASK]).is_file()
    }


def shapes_of(mask: Path, min_area: float | None = None) -> Iterator[Shape]:
    """The areas of equal values in a mask. Pixels that touch at a corner belong to different ones.

    GDAL follows the outlines row by row, and the memory grows with their corners alone. Only to
    remove islands it holds the whole mask, four bytes for each pixel.

    Args:
        mask: a GeoTIFF.
        min_area: see `write_polygons`.

    Raises:
        DataError: the file cannot be read.
    """
    import rasterio
    from rasterio.features import shapes, sieve

    with open_raster(mask) as file:
        try:
            file.checksum(1)  # of a damaged file, GDAL would give no polygons, and no error
        except OSError as error:
            raise unreadable(mask, error) from error
        source: Any = rasterio.band(file, 1)
        smallest = 0.0 if min_area is None else min_area
        pixels = smallest / abs(file.transform.determinant)
        if pixels > 1:
            source = sieve(source, int(np.ceil(pixels)), mask=file.read_masks(1))
        for geometry, value in shapes(source, connectivity=4, transform=file.transform):
            rings = tuple(np.array(ring, np.float64) for ring in geometry["coordinates"])
            areas = [_signed_area(ring) for ring in rings]
            area = abs(areas[0]) - sum(map(abs, areas[1:]))
            if area >= smallest * (1 - 1e-9):
                turned = (
                    ring if (signed > 0) == (i == 0) else ring[::-1]
                    for i, (ring, signed) in enumerate(zip(rings, areas, strict=True))
                )
                yield Shape(int(value), tuple(turned), area)


def _signed_area(ring: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """The area within a closed ring, positive if it turns against the clock."""
    x, y = (ring - ring[0]).T  # large coordinates would cost digits
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)
