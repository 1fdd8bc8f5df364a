"""Polygons of GeoPackage and GeoJSON files by value, and the attribute of their classes."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from drawn_maps import UTM, corners, write_geojson, write_gpkg

from semiseg.core.errors import DataError
from semiseg.data.formats.geometry import InvalidGeometry, area_of_geojson, area_of_wkb
from semiseg.data.formats.vectors import Layer, read_layer
from semiseg.inference.vector_writers import Feature, GeoJson, GeoPackage

pytest.importorskip("rasterio")

_BOXES = [
    ((0, 0, 10, 20), {"fid": 7, "crop": "wheat"}),
    ((10, 0, 20, 5), {"fid": 8, "crop": "rye"}),
]


def _with(attributes: list[dict[str, object]]) -> list[tuple]:
    return [((0, 0, 1 + i, 1), values) for i, values in enumerate(attributes)]


def _rings(layer: Layer) -> list[list[list[float]]]:
    return [area.polygons[0][0].tolist() for area in layer.areas]


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg"])
def test_both_formats_give_the_same_polygons(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    boxes = [(box, {"crop": attributes["crop"]}) for box, attributes in _BOXES]
    (write_gpkg if name.endswith("gpkg") else write_geojson)(path, boxes)
    layer = read_layer(path)
    assert layer.values == ("wheat", "rye")
    assert layer.attribute == "crop"
    assert layer.crs == UTM
    assert _rings(layer) == [[list(point) for point in corners(box)] for box, _ in _BOXES]
    assert not layer.has_numbers
    assert not layer.draws_background


def test_a_geojson_without_a_system_is_in_longitude_and_latitude(tmp_path: Path) -> None:
    write_geojson(tmp_path / "a.geojson", _BOXES, "EPSG:4326")
    layer = read_layer(tmp_path / "a.geojson")
    assert layer.crs == "EPSG:4326"
    assert layer.areas[0].bounds == pytest.approx((15.0, 52.35, 15.0, 52.35), abs=0.01)


def test_the_class_attribute_is_the_only_one_or_has_a_known_name(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    write_geojson(path, _with([{"fid": 3, "area": 2.5, "what": "a"}]))
    assert read_layer(path).attribute == "what"
    write_geojson(path, _with([{"note": "x", "Klasse": 1, "name": "y"}]))
    assert read_layer(path).attribute == "Klasse"
    write_geojson(path, _with([{"note": "x", "Typ": 1}]))
    assert read_layer(path).attribute == "Typ"
    assert read_layer(path, "note").values == ("x",)


def test_an_unclear_attribute_is_an_error_that_lists_them(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    write_geojson(path, _with([{"one": "x", "two": "y"}]))
    with pytest.raises(DataError, match=r"a\.geojson .*: one, two\. .*--class-attribute one"):
        read_layer(path)
    with pytest.raises(DataError, match=r"no attribute tow; it has one, two\..*two"):
        read_layer(path, "tow")
    write_geojson(path, _with([{"fid": 1}]))
    with pytest.raises(DataError, match="says the class of no polygon"):
        read_layer(path)


def test_numbers_are_ids_and_zero_is_the_background(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    write_gpkg(path, _with([{"class": 2}, {"class": 0}]))
    layer = read_layer(path)
    assert layer.values == (2, 0)
    assert layer.has_numbers
    assert layer.draws_background
    write_gpkg(tmp_path / "b.gpkg", _with([{"class": 70_000}]))
    with pytest.raises(DataError, match=r"b\.gpkg.*class holds 70000"):
        read_layer(tmp_path / "b.gpkg")


def test_shapes_without_an_area_or_a_class_are_counted(tmp_path: Path) -> None:
    point = struct.pack("<BIdd", 1, 1, 0.0, 0.0)
    thin = struct.pack("<BIII", 1, 3, 1, 4) + np.zeros((4, 2)).tobytes()
    cut = struct.pack("<BIII", 1, 3, 1, 99)
    path = tmp_path / "a.gpkg"
    write_gpkg(path, _with([{"class": "x"}, {"class": "  "}]), geometries=[point, thin, cut])
    layer = read_layer(path)
    assert layer.values == ("x",)
    assert layer.skipped == {"shape without a class": 1, "point": 1, "invalid polygon": 2}


def test_heights_holes_and_parts_of_a_polygon() -> None:
    square = np.array([(0, 0, 9), (4, 0, 9), (4, 4, 9), (0, 4, 9), (0, 0, 9)], "<f8")
    ring = struct.pack("<I", 5) + square.tobytes()
    polygon = struct.pack("<BII", 1, 1003, 2) + ring + ring
    area = area_of_wkb(struct.pack("<BII", 1, 1006, 2) + polygon + polygon)
    assert [len(rings) for rings in area.polygons] == [2, 2]
    assert area.bounds == (0, 0, 4, 4)
    flagged = struct.pack("<BIiI", 1, 0xA0000003, 4326, 1) + ring  # PostGIS: heights and a system
    assert area_of_wkb(flagged).polygons[0][0].tolist() == square[:, :2].tolist()
    big = struct.pack(">BIII", 0, 3, 1, 4) + square[:4, :2].astype(">f8").tobytes()
    assert len(area_of_wkb(big).polygons[0][0]) == 5  # it is closed


@pytest.mark.parametrize(
    ("geometry", "kind"),
    [
        (None, "empty shape"),
        ({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "line"),
        ({"type": "Polygon", "coordinates": [[[0, 0], ["x", 1]]]}, "invalid polygon"),
        ({"type": "Polygon", "coordinates": 3}, "invalid polygon"),
        ({"type": "Polygon", "coordinates": []}, "empty shape"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, float("nan")], [0, 0]]]}, "inv"),
    ],
)
def test_other_shapes_are_named(geometry: object, kind: str) -> None:
    with pytest.raises(InvalidGeometry, match=kind):
        area_of_geojson(geometry)


def test_broken_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.gpkg").write_bytes(b"no database" * 50)
    with pytest.raises(DataError, match=r"a\.gpkg cannot be read as a GeoPackage"):
        read_layer(tmp_path / "a.gpkg")
    (tmp_path / "b.geojson").write_text("{")
    with pytest.raises(DataError, match=r"b\.geojson cannot be read as GeoJSON"):
        read_layer(tmp_path / "b.geojson")
    (tmp_path / "c.geojson").write_text(json.dumps({"type": "Topology"}))
    with pytest.raises(DataError, match=r"c\.geojson is no GeoJSON"):
        read_layer(tmp_path / "c.geojson")


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson"])
def test_polygons_that_predict_writes_are_read_again(tmp_path: Path, name: str) -> None:
    from rasterio.crs import CRS

    square = np.array([(0, 0), (2, 0), (2, 2), (0, 2), (0, 0)], np.float64)
    kind = GeoPackage if name.endswith("gpkg") else GeoJson
    with kind(tmp_path / name) as writer:
        writer.start_source("field", CRS.from_epsg(4326))
        writer.write(Feature("field", "rye", 3, 4.0, (square,)))
    layer = read_layer(tmp_path / name)
    assert (layer.attribute, layer.values, layer.crs) == ("class", ("rye",), "EPSG:4326")
    assert sorted(map(tuple, layer.areas[0].polygons[0][0].tolist())) == sorted(
        map(tuple, square.tolist())
    )
