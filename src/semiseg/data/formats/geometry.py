"""Polygons of vector files: rings of coordinates, from the binary form (WKB) and from GeoJSON."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ring: TypeAlias = NDArray[np.float64]
"""`(N, 2)` the corners of a closed line, x and y."""
Rings: TypeAlias = tuple[Ring, ...]
"""The outline of an area, then those of its holes."""

_POINT, _LINE, _POLYGON, _POINTS, _LINES, _POLYGONS, _COLLECTION = range(1, 8)
_NAMES = {_POINT: "point", _LINE: "line", _POINTS: "point", _LINES: "line"}
_GEOJSON = {
    "Point": "point",
    "MultiPoint": "point",
    "LineString": "line",
    "MultiLineString": "line",
}
_HAS_Z, _HAS_M, _HAS_SRID = 0x80000000, 0x40000000, 0x20000000  # flags of PostGIS
_MIN_CORNERS = 4  # of a closed ring; the last one is the first one again
_MAX_DEPTH = 8  # collections within collections


class InvalidGeometry(ValueError):
    """A geometry that covers no area; the text is its kind in one word."""


@dataclass(frozen=True)
class Area:
    """One or more polygons that belong together.

    Attributes:
        polygons: their rings.
    """

    polygons: tuple[Rings, ...]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """The lowest x and y, and the highest x and y."""
        corners = np.concatenate([rings[0] for rings in self.polygons])
        (left, bottom), (right, top) = corners.min(axis=0), corners.max(axis=0)
        return float(left), float(bottom), float(right), float(top)

    def to_geojson(self) -> dict[str, object]:
        """The polygons as GDAL's Python packages take them."""
        rings = [[ring.tolist() for ring in polygon] for polygon in self.polygons]
        return {"type": "MultiPolygon", "coordinates": rings}


def area_of_geojson(geometry: object) -> Area:
    """The area of a geometry of GeoJSON.

    Raises:
        InvalidGeometry: it covers no area.
    """
    if not isinstance(geometry, dict):
        raise InvalidGeometry("empty shape")
    return _checked(_geojson_polygons(geometry, 0))


def _geojson_polygons(geometry: dict[str, object], depth: int) -> list[Rings]:
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "GeometryCollection" and depth < _MAX_DEPTH:
        parts = geometry.get("geometries")
        areas = (
            [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
        )
        return [rings for part in areas for rings in _geojson_polygons(part, depth + 1)]
    if kind not in ("Polygon", "MultiPolygon"):
        raise InvalidGeometry(_GEOJSON.get(str(kind), "unknown shape"))
    try:
        polygons: Any = [coordinates] if kind == "Polygon" else coordinates
        return [tuple(_ring(ring) for ring in polygon) for polygon in polygons]
    except (TypeError, ValueError, LookupError) as error:
        raise InvalidGeometry("invalid polygon") from error


def _ring(points: Iterable[Sequence[float]]) -> Ring:
    return np.asarray([point[:2] for point in points], dtype=np.float64)


def area_of_wkb(data: bytes) -> Area:
    """The area of a geometry in well-known binary, with or without heights and measures.

    Raises:
        InvalidGeometry: it covers no area, or the bytes are broken.
    """
    try:
        polygons, _ = _wkb_polygons(data, 0, 0)
    except (struct.error, ValueError, OverflowError, MemoryError) as error:
        if isinstance(error, InvalidGeometry):
            raise
        raise InvalidGeometry("invalid polygon") from error
    return _checked(polygons)


def _wkb_polygons(data: bytes, start: int, depth: int) -> tuple[list[Rings], int]:
    """The polygons of the geometry at a byte, and the byte behind it."""
    order = "<" if data[start : start + 1] == b"\1" else ">"
    (code,) = struct.unpack_from(f"{order}I", data, start + 1)
    place = start + 5 + (4 if code & _HAS_SRID else 0)
    plain = code & 0xFFFF
    dims = 2 + bool(code & _HAS_Z) + bool(code & _HAS_M)
    dims = {1: 3, 2: 3, 3: 4}.get(plain // 1000, dims)
    kind = plain % 1000
    if kind == _POLYGON:
        return _wkb_rings(data, place, order, dims)
    if kind not in (_POLYGONS, _COLLECTION) or depth > _MAX_DEPTH:
        raise InvalidGeometry(_NAMES.get(kind, "curved shape"))
    (count,) = struct.unpack_from(f"{order}I", data, place)
    place += 4
    polygons: list[Rings] = []
    for _ in range(count):
        parts, place = _wkb_polygons(data, place, depth + 1)
        polygons += parts
    return polygons, place


def _wkb_rings(data: bytes, place: int, order: str, dims: int) -> tuple[list[Rings], int]:
    (count,) = struct.unpack_from(f"{order}I", data, place)
    place += 4
    rings: list[Ring] = []
    for _ in range(count):
        (points,) = struct.unpack_from(f"{order}I", data, place)
        place += 4
        numbers = np.frombuffer(data, f"{order}f8", points * dims, place)
        rings.append(numbers.reshape(points, dims)[:, :2].astype(np.float64))
        place += numbers.nbytes
    return [tuple(rings)], place


def _checked(polygons: Sequence[Rings]) -> Area:
    """The polygons, closed, if they cover an area.

    Raises:
        InvalidGeometry: they do not, or a corner is no number.
    """
    if not polygons or not all(polygons):
        raise InvalidGeometry("empty shape")
    closed = tuple(tuple(map(_closed, rings)) for rings in polygons)
    for rings in closed:
        for ring in rings:
            if ring.ndim != 2 or len(ring) < _MIN_CORNERS or not np.isfinite(ring).all():
                raise InvalidGeometry("invalid polygon")
        if not np.ptp(rings[0], axis=0).all():
            raise InvalidGeometry("invalid polygon")
    return Area(closed)


def _closed(ring: Ring) -> Ring:
    if ring.ndim != 2 or len(ring) < 1 or np.array_equal(ring[0], ring[-1]):
        return ring
    return np.concatenate([ring, ring[:1]])
