"""Vector files whose polygons say where the classes are: GeoPackage and GeoJSON.

Python's own `sqlite3` and `json` read them, so that no driver of GDAL opens a file of a stranger.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import DataError, nearest
from semiseg.core.files import read_json
from semiseg.data.formats.crs import is_same_crs, move_points
from semiseg.data.formats.geometry import (
    Area,
    InvalidGeometry,
    area_of_geojson,
    area_of_wkb,
)

VECTOR_SUFFIXES = (".gpkg", ".geojson")
BACKGROUND_NAMES = ("background", "_background_", "__background__", "hintergrund")
"""The names of classes, in small letters, that are the background."""
_CLASS_NAMES = (
    ("class", "klasse", "classe", "clase", "label", "category", "class_name", "classname"),
    ("name", "type", "typ", "kind", "species", "class_id", "classid", "code"),
)
_NUMBERS = ("fid", "id", "objectid", "ogc_fid", "gid")  # of rows, which are no classes
_LONGITUDE_LATITUDE = "EPSG:4326"  # of a GeoJSON that says nothing else
_ENVELOPES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}  # bytes by the code in the header of a geometry
_MAX_LISTED = 10  # names in a message

Value = str | int


@dataclass(frozen=True)
class Layer:
    """The polygons of a vector file with their classes.

    Attributes:
        path: the file.
        crs: the coordinate reference system, in a form that rasterio reads; empty without one.
        attribute: the attribute that holds the classes.
        areas: the polygons, in the order of the file.
        values: the class of each: a name, or a whole number.
        skipped: the number of shapes that are not drawn, by their kind.
    """

    path: Path
    crs: str
    attribute: str
    areas: tuple[Area, ...]
    values: tuple[Value, ...]
    skipped: Mapping[str, int]

    @property
    def has_numbers(self) -> bool:
        """Whether the classes are whole numbers, and not names."""
        return any(isinstance(value, int) for value in self.values)

    @property
    def draws_background(self) -> bool:
        """Whether polygons are of the class background: the number 0, or its name."""
        return any(
            value == 0 if isinstance(value, int) else value.lower() in BACKGROUND_NAMES
            for value in self.values
        )

    @cached_property
    def bounds(self) -> NDArray[np.float64]:
        """`(N, 4)` the lowest x and y, and the highest x and y of each polygon."""
        return np.array([area.bounds for area in self.areas], np.float64).reshape(-1, 4)

    def in_crs(self, crs: str) -> Layer:
        """The same polygons in another coordinate reference system.

        Raises:
            DataError: none of them has a place there.
        """
        if not self.areas or not self.crs or is_same_crs(self.crs, crs):
            return self
        rings = [ring for area in self.areas for rings in area.polygons for ring in rings]
        points = move_points(np.concatenate(rings), self.crs, crs, self.path)
        moved = iter(np.split(points, np.cumsum([len(ring) for ring in rings])[:-1]))
        areas = tuple(
            Area(tuple(tuple(next(moved) for _ in rings) for rings in area.polygons))
            for area in self.areas
        )
        return replace(self, crs=crs, areas=areas)


class _Row(NamedTuple):
    """One shape of a file.

    Attributes:
        geometry: in well-known binary, or as GeoJSON has it.
        attributes: the others, by their names.
    """

    geometry: object
    attributes: Mapping[str, object]


def read_layer(path: Path, attribute: str | None = None) -> Layer:
    """Read the polygons of a GeoPackage or a GeoJSON file.

    Args:
        path: the file.
        attribute: the attribute that holds the classes; None for the only text or whole number,
            or the one that is named class, label, category, name, type, or the like.

    Raises:
        DataError: the file cannot be read, holds several layers of polygons, or it is unclear which
            attribute holds the classes.
    """
    is_package = path.suffix.lower() == ".gpkg"
    crs, rows = _read_package(path) if is_package else _read_geojson(path)
    attribute = _class_attribute(path, rows, attribute)
    areas: list[Area] = []
    values: list[Value] = []
    skipped: Counter[str] = Counter()
    for row in rows:
        value = _plain(row.attributes.get(attribute))
        if value is None:
            skipped["shape without a class"] += 1
            continue
        try:
            area = _area_of_package(row.geometry) if is_package else area_of_geojson(row.geometry)
        except InvalidGeometry as error:
            skipped[str(error)] += 1
            continue
        areas.append(area)
        values.append(value)
    if any(isinstance(value, str) for value in values):
        values = [str(value) for value in values]
    strange = next((v for v in values if isinstance(v, int) and not 0 <= v < 1 << 16), None)
    if strange is not None:
        raise DataError(
            f"{path}: the attribute {attribute} holds {strange}, but the number of a class is from "
            "0 to 65535.",
            "Correct it, or choose another attribute with --class-attribute.",
        )
    return Layer(path, crs, attribute, tuple(areas), tuple(values), dict(skipped))


def _plain(value: object) -> Value | None:
    """The class that an attribute says; None if it says none."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, int) else None


def _class_attribute(path: Path, rows: Sequence[_Row], chosen: str | None) -> str:
    """The attribute that holds the classes.

    Raises:
        DataError: there is no such attribute, or several may be meant.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.attributes))
    if chosen is not None:
        if chosen in names:
            return chosen
        raise DataError(
            f"{path} has no attribute {chosen}; it has {_listed(names)}.", nearest(chosen, names)
        )
    usable = [name for name in names if _may_be_classes(name, rows)]
    if len(usable) == 1:
        return usable[0]
    for words in _CLASS_NAMES:
        named = [name for name in usable if name.lower() in words]
        if len(named) == 1:
            return named[0]
        if named:
            usable = named
            break
    if not usable:
        raise DataError(
            f"{path} says the class of no polygon: it has the attributes {_listed(names)}.",
            "Add an attribute of text or whole numbers, such as class.",
        )
    raise DataError(
        f"{path} has several attributes that may hold the classes: {_listed(usable)}.",
        f"Choose one with --class-attribute {usable[0]}, or write class_attribute: {usable[0]} "
        "into dataset.yaml.",
    )


def _may_be_classes(name: str, rows: Iterable[_Row]) -> bool:
    """Whether an attribute holds texts or whole numbers, and is not the number of the row."""
    values = [v for row in rows if (v := row.attributes.get(name)) is not None]
    if not values or not all(isinstance(value, (str, int)) for value in values):
        return False
    return name.lower() not in _NUMBERS or all(isinstance(value, str) for value in values)


def _listed(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _MAX_LISTED else ""
    return (", ".join(names[:_MAX_LISTED]) or "none") + more


# --- GeoPackage


def _read_package(path: Path) -> tuple[str, list[_Row]]:
    """The coordinate reference system and the shapes of a GeoPackage.

    Raises:
        DataError: it cannot be read, or holds several layers of polygons.
    """
    try:
        with closing(_connect(path)) as file:
            table, column, number = _layer_of(path, file)
            rows = list(_rows_of(file, table, column))
            return _definition(file, number), rows
    except sqlite3.Error as error:
        raise DataError(
            f"{path} cannot be read as a GeoPackage ({error}).", "Export the layer again."
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    """Open a file read-only; what it defines itself is not run."""
    file = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    file.execute("PRAGMA trusted_schema = OFF")
    file.execute("PRAGMA query_only = ON")
    file.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return file


def _layer_of(path: Path, file: sqlite3.Connection) -> tuple[str, str, int]:
    """The only layer that may hold polygons: its table, its column of geometries, its system."""
    layers = file.execute(
        "SELECT table_name, column_name, geometry_type_name, srs_id FROM gpkg_geometry_columns"
    ).fetchall()
    polygon_layers = [
        row for row in layers if "POINT" not in row[2].upper() and "LINE" not in row[2].upper()
    ]
    if len(polygon_layers) != 1:
        names = ", ".join(sorted(row[0] for row in polygon_layers or layers)) or "none"
        raise DataError(
            f"{path} holds {len(polygon_layers)} layers of polygons (layers: {names}), but the "
            "classes stand in one.",
            "Export the layer with the classes into a file of its own.",
        )
    table, column, _, number = polygon_layers[0]
    return str(table), str(column), int(number)


def _rows_of(file: sqlite3.Connection, table: str, column: str) -> Iterator[_Row]:
    quoted = '"' + table.replace('"', '""') + '"'
    infos = file.execute(f"PRAGMA table_info({quoted})").fetchall()
    keys = {name for _, name, _, _, _, key in infos if key}
    cursor = file.execute(f"SELECT * FROM {quoted}")  # nosec B608 - it is quoted
    names = [part[0] for part in cursor.description]
    for row in cursor:
        values = dict(zip(names, row, strict=True))
        geometry = values.pop(column, None)
        yield _Row(geometry, {k: v for k, v in values.items() if k not in keys})


def _definition(file: sqlite3.Connection, number: int) -> str:
    """A coordinate reference system in a form that rasterio reads; empty if it is undefined."""
    row = file.execute(
        "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys "
        "WHERE srs_id = ?",
        (number,),
    ).fetchone()
    if row is None or number in (0, -1):
        return ""
    organization, code, definition = row
    return f"EPSG:{code}" if str(organization).upper() == "EPSG" else str(definition)


def _area_of_package(geometry: object) -> Area:
    """The area of a GeoPackage's binary: a header, then well-known binary.

    Raises:
        InvalidGeometry: it covers no area.
    """
    if not isinstance(geometry, bytes) or geometry[:2] != b"GP" or len(geometry) < 8:
        raise InvalidGeometry("empty shape")
    flags = geometry[3]
    envelope = _ENVELOPES.get(flags >> 1 & 7)
    if flags & 0x10 or envelope is None:
        raise InvalidGeometry("empty shape")
    return area_of_wkb(geometry[8 + envelope :])


# --- GeoJSON


def _read_geojson(path: Path) -> tuple[str, list[_Row]]:
    """The coordinate reference system and the shapes of a GeoJSON file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as GeoJSON ({error}).", "Export the layer again."
        ) from error
    features = content.get("features") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(features, list):
        raise DataError(f"{path} is no GeoJSON with a list of features.", "Export the layer again.")
    rows = []
    for feature in features:
        if isinstance(feature, dict):
            attributes = feature.get("properties")
            attributes = attributes if isinstance(attributes, dict) else {}
            rows.append(_Row(feature.get("geometry"), attributes))
    return _system_of(content), rows


def _system_of(content: Mapping[str, object]) -> str:
    """The coordinate reference system that an old GeoJSON names; else longitude and latitude."""
    crs = content.get("crs")
    properties = crs.get("properties") if isinstance(crs, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str) or name.upper().endswith("CRS84"):
        return _LONGITUDE_LATITUDE
    organization, _, code = name.upper().rpartition(":")
    return f"EPSG:{code}" if "EPSG" in organization else name
