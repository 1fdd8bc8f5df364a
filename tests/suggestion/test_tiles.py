"""`suggest` chooses tiles of large rasters, and writes them with their place on earth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_maps import write_gpkg, write_raster

import semiseg
from semiseg.data.formats.extent import extent_of
from semiseg.data.formats.grid import read_grid
from semiseg.data.formats.images import read_image
from semiseg.data.formats.raster_windows import Window, window_path
from semiseg.data.formats.window_copy import copy_window
from semiseg.suggestion.pool import find_pool

pytest.importorskip("rasterio")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A raster of 256 x 256 pixels in tiles of 64, of which polygons label the first row."""
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "data"
    pixels = np.random.default_rng(0).integers(1, 255, (3, 256, 256), dtype=np.uint8)
    write_raster(root / "images" / "field.tif", pixels, nodata=0)
    boxes = [((0, 0, 128, 60), {"crop": "wheat"}), ((128, 0, 256, 60), {"crop": "rye"})]
    write_gpkg(root / "labels.gpkg", boxes)
    (root / "dataset.yaml").write_text("tile: 64\n")
    return root


def test_the_pool_holds_the_tiles_without_labels(data: Path, tmp_path: Path) -> None:
    pool = find_pool(data, tmp_path / "out")
    assert len(pool.images) == 12
    assert all("/y0-" not in name and "-y0-" not in name for name in pool.images)
    assert pool.folder is not None
    assert [sample.name for sample in pool.folder.labeled] == [
        f"field/x{x}-y0-w64-h64" for x in (0, 64, 128, 192)
    ]


def test_a_copy_of_a_tile_keeps_its_pixels_and_its_place(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 9999, (5, 40, 60), dtype=np.uint16)
    write_raster(tmp_path / "field.tif", pixels, nodata=7)
    path = window_path(tmp_path / "field.tif", Window(8, 4, 20, 10))
    copy_window(path, tmp_path / "part.tif")
    import rasterio

    with rasterio.open(tmp_path / "part.tif") as file:
        assert np.array_equal(file.read(), pixels[:, 4:14, 8:28])
        assert file.nodata == 7
    assert extent_of(tmp_path / "part.tif") == extent_of(path)
    assert read_grid(tmp_path / "part.tif").size == (20, 10)
    with pytest.raises(ValueError, match="no window"):
        copy_window(tmp_path / "field.tif", tmp_path / "other.tif")


def test_a_copy_of_a_tile_keeps_the_table_of_its_colors(tmp_path: Path) -> None:
    import rasterio

    pixels = np.random.default_rng(0).integers(0, 3, (1, 40, 60), dtype=np.uint8)
    write_raster(tmp_path / "field.tif", pixels, photometric="palette")
    with rasterio.open(tmp_path / "field.tif", "r+") as file:
        file.write_colormap(1, {0: (9, 0, 0), 1: (0, 99, 0), 2: (0, 0, 255)})
    path = window_path(tmp_path / "field.tif", Window(8, 4, 20, 10))
    copy_window(path, tmp_path / "part.tif")
    whole, part = (np.asarray(read_image(tmp_path / f"{n}.tif")) for n in ("field", "part"))
    assert np.array_equal(part, whole[4:14, 8:28])


@pytest.mark.slow
def test_a_run_suggests_tiles_with_masks_to_correct(
    data: Path, tmp_path: Path, tiny_settings: dict[str, object]
) -> None:
    run, out = tmp_path / "run", tmp_path / "next"
    settings = tiny_settings | {"labels": "all", "steps": 1, "validations": 1}
    semiseg.train(data, method="supervised", out=run, **settings)
    semiseg.suggest(run, data, out=out, n=2)
    lines = (out / "suggested.txt").read_text().split()
    assert len(lines) == 2
    for line in lines:
        tile = Path(line)
        copy = next(out.rglob(f"{tile.name}.tif"))
        assert copy.with_suffix(".json").is_file()
        assert np.array_equal(np.asarray(read_image(copy)), np.asarray(read_image(tile)))
        assert extent_of(copy) == extent_of(tile)
