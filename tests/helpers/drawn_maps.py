"""Small rasters with a place on earth, and polygons in GeoJSON and GeoPackage files."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEFT, TOP, PIXEL = 500_000.0, 5_800_000.0, 0.5
"""The upper left corner of rasters in UTM zone 33 N, and the side of their pixels in meters."""
UTM = "EPSG:32633"
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels from the upper left corner."""


def write_raster(path: Path, array: NDArray[Any], place: Box | None = None, **profile: Any) -> None:
    """Write a raster `(H, W)` or `(N, H, W)` whose pixels measure half a meter.

    Args:
        path: the file.
        array: the pixels.
        place: what the raster covers, in pixels of half a meter; None for its own size.
        profile: as rasterio names it; `crs=None, transform=None` for a raster without a place.
    """
    import rasterio
    from rasterio.transform import from_bounds

    bands = array if array.ndim == 3 else array[None]
    count, height, width = bands.shape
    left, top, right, bottom = place or (0, 0, width, height)
    x, y = (LEFT + PIXEL * left, LEFT + PIXEL * right), (TOP - PIXEL * bottom, TOP - PIXEL * top)
    transform = from_bounds(x[0], y[0], x[1], y[1], width, height)
    profile = {"driver": "GTiff", "crs": UTM, "transform": transform} | profile
    profile = {key: value for key, value in profile.items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"count": count, "height": height, "width": width}
    with rasterio.open(path, "w", **profile, **shape, dtype=array.dtype) as file:
        file.write(bands)


def corners(box: Box, crs: str = UTM) -> list[tuple[float, float]]:
    """The corners of a box of pixels in coordinates; the last one is the first one."""
    from rasterio.warp import transform

    left, top, right, bottom = box
    xs = [LEFT + PIXEL * x for x in (left, right, right, left, left)]
    ys = [TOP - PIXEL * y for y in (top, top, bottom, bottom, top)]
    if crs != UTM:
        xs, ys = transform(UTM, crs, xs, ys)
    return list(zip(xs, ys, strict=True))


def write_geojson(
    path: Path, boxes: Sequence[tuple[Box, Mapping[str, object]]], crs: str = UTM
) -> None:
    """Write boxes of pixels with their attributes as GeoJSON; in longitude and latitude, it names
    no coordinate reference system, as the standard says."""
    features = [
        {
            "type": "Feature",
            "properties": attributes,
            "geometry": {"type": "Polygon", "coordinates": [corners(box, crs)]},
        }
        for box, attributes in boxes
    ]
    content: dict[str, object] = {"type": "FeatureCollection", "features": features}
    if crs != "EPSG:4326":
        name = f"urn:ogc:def:crs:{crs.replace(':', '::')}"
        content["crs"] = {"type": "name", "properties": {"name": name}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_gpkg(
    path: Path,
    boxes: Sequence[tuple[Box, Mapping[str, object]]],
    crs: str = UTM,
    geometries: Sequence[bytes] = (),
) -> None:
    """Write boxes of pixels with their attributes as a GeoPackage.

    Args:
        path: the file.
        boxes: with the same attributes.
        crs: the coordinate reference system.
        geometries: well-known binary of further shapes, with the attributes of the first box.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [(_wkb(corners(box, crs)), attributes) for box, attributes in boxes]
    rows += [(geometry, boxes[0][1]) for geometry in geometries]
    number = int(crs.partition(":")[2])
    names = list(boxes[0][1])
    types = ["TEXT" if isinstance(boxes[0][1][name], str) else "INTEGER" for name in names]
    columns = "".join(f', "{name}" {kind}' for name, kind in zip(names, types, strict=True))
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(
            "CREATE TABLE gpkg_spatial_ref_sys (srs_name, srs_id INTEGER PRIMARY KEY, organization,"
            " organization_coordsys_id, definition)"
        )
        file.execute(
            "INSERT INTO gpkg_spatial_ref_sys VALUES ('x', ?, 'EPSG', ?, '')", (number, number)
        )
        file.execute(
            "CREATE TABLE gpkg_geometry_columns (table_name, column_name, geometry_type_name,"
            " srs_id, z, m)"
        )
        file.execute(
            "INSERT INTO gpkg_geometry_columns VALUES ('areas', 'geom', 'POLYGON', ?, 0, 0)",
            (number,),
        )
        file.execute(f"CREATE TABLE areas (fid INTEGER PRIMARY KEY, geom BLOB{columns})")
        marks = ", ".join("?" * (2 + len(names)))
        for i, (geometry, attributes) in enumerate(rows, 1):
            header = b"GP\0\1" + struct.pack("<i", number)
            values = (i, header + geometry, *attributes.values())
            file.execute(f"INSERT INTO areas VALUES ({marks})", values)


def _wkb(ring: Sequence[tuple[float, float]]) -> bytes:
    numbers = np.array(ring, "<f8").tobytes()
    return struct.pack("<BIII", 1, 3, 1, len(ring)) + numbers
