"""Polygons of the classes: they cover the mask, have names and areas, and lie at their place."""

from __future__ import annotations

import json
import sqlite3
import struct
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_rasters import COLORS, NAMES, draw_field
from numpy.typing import NDArray

from semiseg.commands.settings.models import VECTOR_SUFFIXES
from semiseg.core.errors import ConfigError, DataError, RunError
from semiseg.data.formats.masks import Classes
from semiseg.inference.geotiff import Content, Place, create_rows, write_rows
from semiseg.inference.polygons import check_polygons, shapes_of, write_polygons
from semiseg.inference.vector_writers import WRITERS

rasterio = pytest.importorskip("rasterio", reason="pip install 'semiseg[geo]'")
CLASSES = Classes(NAMES, COLORS, "ids", (1, 2, 3, 7))
UTM = rasterio.Affine(0.5, 0.0, 500_000.0, 0.0, -0.5, 5_800_000.0)
ROTATED = rasterio.Affine(0.5, 0.2, 500_000.0, 0.1, -0.4, 5_800_000.0)


def write(
    path: Path, values: NDArray[np.uint8], transform: Any = UTM, crs: str | None = None
) -> Path:
    """A mask as `predict` writes it, but not compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    system = None if crs is None else rasterio.CRS.from_user_input(crs)
    create_rows(path, Place(values.shape[::-1], system, transform), Content(nodata=255))
    write_rows(path, 0, values)
    return path


@pytest.fixture
def mask() -> NDArray[np.uint8]:
    """The mask of a drawn field, with noise and a border without data."""
    mask = draw_field(0, (200, 260), border=0.1).mask
    values = np.full(256, 255, np.uint8)
    values[:4] = CLASSES.codes
    values = values[mask]
    noise = np.random.default_rng(0).random(mask.shape) < 0.01
    values[noise & (values != 255)] = 2
    return values


def features(path: Path) -> list[tuple[dict[str, Any], list[Any]]]:
    """The attributes and the rings of the polygons in a file."""
    if path.suffix == ".geojson":
        content = json.loads(path.read_text())
        return [(f["properties"], f["geometry"]["coordinates"]) for f in content["features"]]
    found = []
    with sqlite3.connect(path) as base:
        tables = base.execute("SELECT table_name FROM gpkg_contents").fetchall()
        for (table,) in tables:
            rows = base.execute(f"SELECT geom, source, class, class_id, area FROM {table}")
            for blob, *attributes in rows:
                names = ("source", "class", "class_id", "area")
                found.append((dict(zip(names, attributes, strict=True)), rings_of(blob[40:])))
    return found


def rings_of(wkb: bytes) -> list[Any]:
    assert wkb[:5] == struct.pack("<BI", 1, 3)
    (count,), place, rings = struct.unpack_from("<I", wkb, 5), 9, []
    for _ in range(count):
        (points,) = struct.unpack_from("<I", wkb, place)
        ring = np.frombuffer(wkb, "<f8", 2 * points, place + 4)
        rings.append(ring.reshape(points, 2).tolist())
        place += 4 + 16 * points
    assert place == len(wkb)
    return rings


def drawn(found: list[Any], shape: tuple[int, int], transform: Any) -> NDArray[np.uint8]:
    from rasterio.features import rasterize

    shapes = [
        ({"type": "Polygon", "coordinates": rings}, attributes["class_id"])
        for attributes, rings in found
    ]
    return np.asarray(rasterize(shapes, shape, fill=255, transform=transform, dtype="uint8"))


def test_the_suffixes_are_those_of_the_writers() -> None:
    assert tuple(WRITERS) == VECTOR_SUFFIXES


@pytest.mark.parametrize("transform", [UTM, ROTATED], ids=["north-up", "rotated"])
@pytest.mark.parametrize("crs", ["EPSG:32633", None])
def test_drawn_again_the_polygons_are_the_mask(
    tmp_path: Path, mask: NDArray[np.uint8], transform: Any, crs: str | None
) -> None:
    path = write(tmp_path / "field.tif", mask, transform, crs)
    out = tmp_path / "out" / "areas.gpkg"
    written = write_polygons(out, {"in/field.tif": path}, CLASSES)
    found = features(out)
    assert len(found) == written.number > 50
    np.testing.assert_array_equal(drawn(found, mask.shape, transform), mask)
    pixel = abs(transform.determinant)
    for code, name in zip(CLASSES.codes, NAMES, strict=True):
        own = [attributes for attributes, _ in found if attributes["class"] == name]
        assert sum(one["area"] for one in own) == pytest.approx((mask == code).sum() * pixel)
        assert {one["class_id"] for one in own} == {code}
    assert {attributes["source"] for attributes, _ in found} == {"in/field.tif"}


def test_geojson_is_in_longitude_and_latitude(tmp_path: Path, mask: NDArray[np.uint8]) -> None:
    from rasterio.warp import transform_geom

    path = write(tmp_path / "field.tif", mask, UTM, "EPSG:32633")
    out = tmp_path / "areas.geojson"
    write_polygons(out, {"field.tif": path}, CLASSES)
    found = features(out)
    longitude, latitude = found[0][1][0][0]
    assert 14.9 < longitude < 15.1
    assert 52 < latitude < 53
    back = []
    for attributes, rings in found:
        geometry = {"type": "Polygon", "coordinates": rings}
        there = transform_geom("EPSG:4326", "EPSG:32633", geometry)
        back.append((attributes, there["coordinates"]))
        x, y = np.array(rings[0]).T
        assert np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > -1e-12  # against the clock
    assert (drawn(back, mask.shape, UTM) == mask).mean() > 0.999


def test_small_islands_join_their_surroundings(tmp_path: Path) -> None:
    mask = np.full((40, 50), 1, np.uint8)
    mask[:, 30:] = 255
    mask[5:7, 5:7] = 2  # 4 pixels of 0.25
    mask[20:23, 20:24] = 3  # 12
    mask[0, 40] = 7  # alone in the void
    path = write(tmp_path / "field.tif", mask)
    for min_area, values in ((None, [1, 2, 3, 7]), (1.0, [1, 2, 3]), (1.5, [1, 3]), (9.0, [1])):
        shapes = [shape for shape in shapes_of(path, min_area) if shape.value != 255]
        assert sorted(shape.value for shape in shapes) == values
        total = sum(shape.area for shape in shapes)
        assert total == pytest.approx((40 * 30 + (min_area is None)) * 0.25)


def test_rasters_of_two_systems_have_two_tables(tmp_path: Path, mask: NDArray[np.uint8]) -> None:
    systems = {"a.tif": "EPSG:32633", "b.tif": "EPSG:32632", "c.tif": "EPSG:32633"}
    masks = {name: write(tmp_path / name, mask, UTM, crs) for name, crs in systems.items()}
    out = tmp_path / "areas.gpkg"
    write_polygons(out, masks, CLASSES)
    with sqlite3.connect(out) as base:
        tables = dict(base.execute("SELECT table_name, srs_id FROM gpkg_contents").fetchall())
        sources = base.execute("SELECT DISTINCT source FROM polygons ORDER BY source").fetchall()
        (version,) = base.execute("PRAGMA user_version").fetchone()
        left, top = base.execute("SELECT min_x, max_y FROM gpkg_contents").fetchone()
        named = base.execute("SELECT srs_id FROM gpkg_spatial_ref_sys ORDER BY srs_id").fetchall()
    assert named == [(-1,), (0,), (4326,), (32632,), (32633,)]
    assert tables == {"polygons": 32633, "polygons_2": 32632}
    assert sources == [("a.tif",), ("c.tif",)]
    assert version == 10300
    assert (left, top) > (500_000, 5_799_000)


def test_an_error_leaves_no_file(tmp_path: Path, mask: NDArray[np.uint8]) -> None:
    path = write(tmp_path / "field.tif", mask)
    path.write_bytes(path.read_bytes()[:20_000])
    for suffix in WRITERS:
        with pytest.raises(DataError, match=r"field\.tif cannot be read"):
            write_polygons(tmp_path / f"areas{suffix}", {"field.tif": path}, CLASSES)
    assert [file.name for file in tmp_path.iterdir()] == ["field.tif"]
    with pytest.raises(RunError, match=r"areas\.gpkg cannot be written"):
        write_polygons(path / "areas.gpkg", {}, CLASSES)


def test_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from itertools import product
from pathlib import Path
import numpy as np
from semiseg.inference.vector_writers import WRITERS, Feature

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), -1))
ring = np.array([[0.0, 0], [1, 0], [1, 1], [0, 0]])
try:
    with WRITERS[Path(sys.argv[1]).suffix](Path(sys.argv[1])) as writer:
        writer.start_source("a", None)
        for _ in range(2000):
            writer.write(Feature("a", "c", 1, 1.0, (ring,)))
except OSError:
    print("OSError", end="")
"""
    for suffix, size in product(WRITERS, ("0", "20000", "60000")):
        words = [sys.executable, "-c", code, str(tmp_path / f"areas{suffix}"), size]
        assert subprocess.run(words, capture_output=True, text=True).stdout == "OSError"
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused_before(tmp_path: Path) -> None:
    out, place = tmp_path / "areas.gpkg", Place((2, 2), None, UTM)
    check_polygons(None, {}, overwrite=False)
    check_polygons(out, {Path("a.tif"): place}, overwrite=False)
    with pytest.raises(ConfigError, match="no image has a place"):
        check_polygons(out, {}, overwrite=False)
    points = Place((2, 2), None, rasterio.Affine.identity(), (["point"], None))
    with pytest.raises(DataError, match=r"a\.tif has control points"):
        check_polygons(out, {Path("a.tif"): points}, overwrite=False)
    out.touch()
    check_polygons(out, {Path("a.tif"): place}, overwrite=True)
    with pytest.raises(ConfigError, match="exists already"):
        check_polygons(out, {Path("a.tif"): place}, overwrite=False)


def test_geojson_of_a_raster_without_a_system_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here, nowhere = (Place((2, 2), crs, UTM) for crs in (rasterio.CRS.from_epsg(32633), None))
    check_polygons(tmp_path / "a.geojson", {Path("a.tif"): here}, overwrite=False)
    check_polygons(tmp_path / "a.gpkg", {Path("b.tif"): nowhere}, overwrite=False)
    assert not caplog.messages
    places = {Path("a.tif"): here, Path("b.tif"): nowhere}
    check_polygons(tmp_path / "a.geojson", places, overwrite=False)
    (text,) = caplog.messages
    assert text.startswith("b.tif names no coordinate reference system")
    assert text.endswith(f"--polygons {tmp_path / 'a.gpkg'}")
