"""Vector files of polygons: GeoPackage and GeoJSON, written one polygon at a time.

Python's own `sqlite3` and `json` write them.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Rings: TypeAlias = tuple[NDArray[np.float64], ...]
"""`(N, 2)` closed outlines: of an area, then of its holes."""
System: TypeAlias = tuple[str, int, str, int, str]
"""A coordinate reference system: name, number, organization, its number, definition."""
_TABLE = "polygons"
_APPLICATION, _VERSION = 0x47504B47, 10300  # "GPKG", 1.3
_CUSTOM_SYSTEM = 100_000  # the number of the first system that has no code of EPSG
_UNDEFINED = -1  # GeoPackage's number of coordinates without a system
_SYSTEMS: tuple[System, ...] = (
    ("Undefined Cartesian SRS", -1, "NONE", -1, "undefined"),
    ("Undefined geographic SRS", 0, "NONE", 0, "undefined"),
)
_SCHEMA = """
CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY,
  organization TEXT NOT NULL, organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL,
  description TEXT);
CREATE TABLE gpkg_contents (table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL,
  identifier TEXT UNIQUE, description TEXT DEFAULT '',
  last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
  min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
  CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL,
  geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL, z TINYINT NOT NULL,
  m TINYINT NOT NULL, CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name),
  CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
  CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
"""
_DEGREES = 9  # decimals of a degree: a tenth of a millimeter
_LATITUDE_LONGITUDE = 4326


class Feature(NamedTuple):
    """A polygon with its attributes.

    Attributes:
        source: the name of its image.
        class_name: of its class.
        class_id: the value of the class in the mask.
        area: in square units of the coordinates of the image.
        rings: its outlines in these coordinates.
    """

    source: str
    class_name: str
    class_id: int
    area: float
    rings: Rings


class VectorWriter(Protocol):
    """Writes a vector file, which appears under its name when the block ends without an error."""

    def __enter__(self) -> Self:
        """Open the file."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Complete the file, or remove it after an error."""

    def start_source(self, source: str, crs: Any) -> None:  # noqa: ANN401 - rasterio's
        """Begin with the polygons of an image, in rasterio's coordinate reference system."""

    def write(self, feature: Feature) -> None:
        """Write a polygon of this image."""


class _File:
    """A file beside the target, which takes its name at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_name(f"{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.temporary.unlink(missing_ok=True)

    def end(self, is_complete: bool) -> None:
        if is_complete:
            self.temporary.replace(self.path)
        self.temporary.unlink(missing_ok=True)


class GeoPackage:
    """Writes a GeoPackage: one table of polygons, and one more for each further system.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = _File(path)
        self._systems: dict[str, tuple[str, int]] = {}  # the table and the number of each system
        self._bounds: dict[str, NDArray[np.float64]] = {}
        self._table = ""

    def __enter__(self) -> Self:
        try:
            with _os_errors():
                self._base = sqlite3.connect(self._file.temporary)
                self._base.executescript(
                    f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_VERSION};"
                    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA
                )
                self._add_systems([*_SYSTEMS, _latitude_longitude()])
        except OSError:
            self._file.end(False)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        is_complete = False
        try:
            with _os_errors(), closing(self._base):
                for table, (left, bottom, right, top) in self._bounds.items():
                    self._base.execute(
                        "UPDATE gpkg_contents SET min_x = ?, min_y = ?, max_x = ?, max_y = ? "
                        "WHERE table_name = ?",
                        (left, bottom, right, top, table),
                    )
                self._base.commit()
            is_complete = kind is None
        finally:
            self._file.end(is_complete)

    def start_source(self, source: str, crs: Any) -> None:  # noqa: ANN401 - rasterio's
        """Begin with the polygons of an image, in the table of its system.

        Raises:
            OSError: it cannot be written.
        """
        definition = "" if crs is None else crs.to_wkt()
        if definition not in self._systems:
            with _os_errors():
                self._add_table(definition, None if crs is None else crs.to_epsg())
        self._table, self._number = self._systems[definition]

    def write(self, feature: Feature) -> None:
        """Write a polygon of this image.

        Raises:
            OSError: it cannot be written.
        """
        corners = feature.rings[0]
        low, high = corners.min(axis=0), corners.max(axis=0)
        box = np.concatenate([low, high])
        bounds = self._bounds.get(self._table, box)
        self._bounds[self._table] = np.concatenate(
            [np.minimum(bounds[:2], low), np.maximum(bounds[2:], high)]
        )
        head = struct.pack("<2sBBi4d", b"GP", 0, 3, self._number, low[0], high[0], low[1], high[1])
        values = (head + to_wkb(feature.rings), *feature[:4])
        with _os_errors():
            self._base.execute(
                f"INSERT INTO {self._table} (geom, source, class, class_id, area) "  # nosec B608
                "VALUES (?, ?, ?, ?, ?)",
                values,
            )

    def _add_table(self, definition: str, code: int | None) -> None:
        """Make the table of a system."""
        table = _TABLE if not self._systems else f"{_TABLE}_{len(self._systems) + 1}"
        number = _UNDEFINED
        if definition:
            number = code or _CUSTOM_SYSTEM + len(self._systems)
            organization = "EPSG" if code else "NONE"
            name = definition.split('"')[1]
            self._add_systems([(name, number, organization, number, definition)])
        self._base.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) "
            "VALUES (?, 'features', ?, ?)",
            (table, table, number),
        )
        self._base.execute(
            "INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', 'POLYGON', ?, 0, 0)",
            (table, number),
        )
        self._base.execute(
            f"CREATE TABLE {table} (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom POLYGON, "
            "source TEXT, class TEXT, class_id INTEGER, area REAL)"
        )
        self._systems[definition] = table, number

    def _add_systems(self, systems: Sequence[System]) -> None:
        columns = "srs_name, srs_id, organization, organization_coordsys_id, definition"
        self._base.executemany(
            f"INSERT OR IGNORE INTO gpkg_spatial_ref_sys ({columns}) "  # nosec B608
            "VALUES (?, ?, ?, ?, ?)",
            systems,
        )


class GeoJson:
    """Writes a GeoJSON file in longitude and latitude (RFC 7946).

    The coordinates of an image without a reference system stay as they are.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = _File(path)
        self._crs: Any = None
        self._stream: IO[str]
        self._separator = "\n"

    def __enter__(self) -> Self:
        self._stream = self._file.temporary.open("w", encoding="utf-8")
        self._stream.write('{"type": "FeatureCollection", "features": [')
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        is_complete = False
        try:
            with self._stream:
                self._stream.write("\n]}\n")
            is_complete = kind is None
        finally:
            self._file.end(is_complete)

    def start_source(self, source: str, crs: Any) -> None:  # noqa: ANN401 - rasterio's
        """Begin with the polygons of an image."""
        self._crs = None if crs is None or crs.to_epsg() == _LATITUDE_LONGITUDE else crs

    def write(self, feature: Feature) -> None:
        """Write a polygon of this image."""
        rings = feature.rings
        if self._crs is not None:
            rings = tuple(_to_degrees(ring, self._crs) for ring in rings)
        geometry = {"type": "Polygon", "coordinates": [ring.tolist() for ring in rings]}
        properties = {
            **{"source": feature.source, "class": feature.class_name},
            **{"class_id": feature.class_id, "area": feature.area},
        }
        content = {"type": "Feature", "properties": properties, "geometry": geometry}
        self._stream.write(self._separator + json.dumps(content, ensure_ascii=False))
        self._separator = ",\n"


@contextmanager
def _os_errors() -> Iterator[None]:
    """Turn errors of SQLite into those of other files."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(str(error)) from error


def _latitude_longitude() -> System:
    """The system that each GeoPackage must name besides the undefined ones."""
    from rasterio.crs import CRS

    definition = CRS.from_epsg(_LATITUDE_LONGITUDE).to_wkt()
    return "WGS 84", _LATITUDE_LONGITUDE, "EPSG", _LATITUDE_LONGITUDE, definition


def _to_degrees(ring: NDArray[np.float64], crs: Any) -> NDArray[np.float64]:  # noqa: ANN401
    from rasterio.warp import transform

    longitudes, latitudes = transform(crs, f"EPSG:{_LATITUDE_LONGITUDE}", *ring.T)
    return np.stack([longitudes, latitudes], axis=1).round(_DEGREES)


def to_wkb(rings: Rings) -> bytes:
    """A polygon in well-known binary.

    Example:
        >>> square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
        >>> len(to_wkb((square,)))
        93
    """
    parts = (struct.pack("<I", len(ring)) + ring.astype("<f8").tobytes() for ring in rings)
    return struct.pack("<BII", 1, 3, len(rings)) + b"".join(parts)


WRITERS: dict[str, Callable[[Path], VectorWriter]] = {".gpkg": GeoPackage, ".geojson": GeoJson}
"""The writers by the suffix of their file."""
