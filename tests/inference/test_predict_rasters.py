"""`predict` on GeoTIFFs: what it writes, what it says, and what a killed process leaves."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_rasters import draw_field, write_scene
from PIL import Image

import semiseg
from semiseg.core.errors import ConfigError, DataError, SettingError

rasterio = pytest.importorskip("rasterio", reason="pip install 'semiseg[geo]'")
BANDS = {"bands": [4, 3, 2], "range": [0, 3000]}
CPU: dict[str, Any] = {"accelerator": "cpu"}


def release_with(source: Path, folder: Path, **changes: Any) -> Path:
    """The model of a folder with other metadata."""
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(source / "model.safetensors")
    content = json.loads((source / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(content | changes))
    return folder


@pytest.fixture
def run(css_release: Path, tmp_path: Path) -> Path:
    """A model of three bands that knows the ground resolution of its training images."""
    ground = {"size": 0.1, "unit": "meter"}
    return release_with(css_release, tmp_path / "run", side=96, ground_resolution=ground, **BANDS)


@pytest.mark.slow
def test_rasters_and_photographs_are_segmented_side_by_side(
    run: Path, tmp_path: Path, log: Any
) -> None:
    images, out = tmp_path / "in", tmp_path / "out"
    write_scene(images / "a" / "field.tif", None, draw_field(0, (300, 200)))
    Image.new("RGB", (60, 50)).save(images / "photo.png")
    semiseg.predict(run, images, out=out, confidence=True, probabilities=True, **CPU)
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert files == [
        *("a/field.tif", "confidence/a/field.tif", "confidence/photo.png", "photo.png"),
        *("probabilities/a/field.npz", "probabilities/photo.npz"),
    ]
    assert "1 image keeps the scale of the training images (0.1 meter per pixel)" in log.text
    expected = semiseg.load(run, "cpu").predict(images / "a" / "field.tif", probabilities=True)
    with rasterio.open(out / "a" / "field.tif") as file:
        mask = file.read(1)
    assert (mask == 255).any()
    np.testing.assert_array_equal(mask[mask != 255], expected.mask[mask != 255])
    with np.load(out / "probabilities" / "a" / "field.npz") as arrays:
        np.testing.assert_array_equal(arrays["probabilities"], expected.probabilities)
    log.clear()
    assert not semiseg.predict(run, images, out=out, **CPU).files
    assert "2 of 2 images had all their files" in log.text


def test_the_table_gives_areas_in_the_units_of_the_map(run: Path, tmp_path: Path) -> None:
    images, out = tmp_path / "in", tmp_path / "out"
    write_scene(images / "field.tif", None, draw_field(0, (60, 40)))
    Image.new("RGB", (60, 50)).save(images / "photo.png")
    with rasterio.open(images / "field.tif") as file:
        size = abs(file.transform.determinant)
    semiseg.predict(run, images, out=out, table=True, min_area=20 * size, **CPU)
    with (out / "predictions.csv").open(newline="", encoding="utf-8") as table:
        first = list(csv.DictReader(table))
    names = [column[7:] for column in first[0] if column.startswith("pixels_")]
    for name in names:
        assert float(first[0][f"area_{name}"]) == pytest.approx(
            int(first[0][f"pixels_{name}"]) * size, rel=1e-4
        )
        assert first[1][f"area_{name}"] == ""
    # A later call counts in the file of the mask, and finds the same.
    semiseg.predict(run, images, out=out, table=True, **CPU)
    semiseg.predict(run, images, out=out, table=True, min_area=20 * size, **CPU)
    with (out / "predictions.csv").open(newline="", encoding="utf-8") as table:
        assert list(csv.DictReader(table)) == first


@pytest.mark.slow
def test_without_the_extra_a_geotiff_is_a_plain_image(
    css_release: Path, tmp_path: Path, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.zeros((3, 40, 50), np.uint8)
    shape = {"count": 3, "height": 40, "width": 50, "dtype": "uint8", "photometric": "RGB"}
    path = tmp_path / "map.tif"
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32633", **shape) as file:
        file.write(pixels)
    for module in ("geotiff", "targets"):
        monkeypatch.setattr(f"semiseg.inference.{module}.can_read_bands", lambda: False)
    semiseg.predict(css_release, path, out=tmp_path / "out", **CPU)
    assert (tmp_path / "out" / "map.png").is_file()
    assert "pip install 'semiseg[geo]'" in log.text


@pytest.mark.slow
def test_polygons_of_all_rasters_are_written_also_where_the_masks_exist(
    run: Path, tmp_path: Path
) -> None:
    images, out, areas = tmp_path / "in", tmp_path / "out", tmp_path / "areas.gpkg"
    for seed, name in enumerate(("a.tif", "b.tif")):
        write_scene(images / name, None, draw_field(seed, (120, 100)))
    semiseg.predict(run, images / "a.tif", out=out, **CPU)
    masks = semiseg.predict(run, images, out=out, polygons=areas, **CPU)
    assert [file.name for file in masks.files] == ["b.tif"]
    with sqlite3.connect(areas) as base:
        found = base.execute("SELECT source, sum(area) FROM polygons GROUP BY source").fetchall()
    for source, area in found:
        with rasterio.open(out / Path(source).name) as file:
            known = int((file.read(1) != 255).sum())
        assert area == pytest.approx(known * 0.01)
    assert [Path(source).name for source, _ in found] == ["a.tif", "b.tif"]
    assert f"{masks.polygons.number} polygons written to {areas}" in masks.text()
    with pytest.raises(ConfigError, match="exists already"):
        semiseg.predict(run, images, out=out, polygons=areas, **CPU)
    with pytest.raises(SettingError, match=r"\.gpkg or \.geojson"):
        semiseg.predict(run, images, out=out, polygons="areas.shp", **CPU)
    with pytest.raises(ConfigError, match="--min-area is for the polygons"):
        semiseg.predict(run, images, out=out, min_area=3.0, **CPU)


@pytest.mark.slow
def test_the_mask_would_replace_the_raster(run: Path, tmp_path: Path) -> None:
    write_scene(tmp_path / "field.tif", None, draw_field(0, (60, 60)))
    with pytest.raises(DataError, match="would replace an image"):
        semiseg.predict(run, tmp_path / "field.tif", out=tmp_path, **CPU)


_KILLED = """
import logging, sys, semiseg
from semiseg.inference import raster_prediction
raster_prediction.RESUMABLE = 0
logging.basicConfig(level=logging.INFO)
semiseg.predict(sys.argv[1], sys.argv[2], out=sys.argv[3], confidence=True, accelerator="cpu")
"""


@pytest.mark.faults
def test_a_killed_prediction_goes_on_and_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "field.tif"
    write_scene(path, None, draw_field(0, (2000, 700)))
    command = [sys.executable, "-c", _KILLED, str(run), str(path)]
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    cut = tmp_path / "cut"
    process = subprocess.Popen([*command, str(cut)])
    state = cut / "field.tif.part" / "state.npz"
    while not state.exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert state.exists()
    assert not (cut / "field.tif").exists()
    result = subprocess.run([*command, str(cut)], capture_output=True, text=True, check=True)
    assert "field.tif goes on at row" in result.stderr
    for name in ("field.tif", "confidence/field.tif"):
        assert (cut / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list(cut.rglob("*.part"))
