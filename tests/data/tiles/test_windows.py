"""Which rasters are tiles, and which tiles they have."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from drawn_maps import write_raster

from semiseg.data.formats.bands import open_raster
from semiseg.data.formats.grid import RasterHeader, read_place
from semiseg.data.tiles.windows import has_data, is_tiled, windows_of

rasterio = pytest.importorskip("rasterio")


@pytest.mark.parametrize(
    ("side", "tile", "parts"),
    [
        (512, 512, [512]),
        (1024, 512, [512, 512]),
        (1300, 512, [512, 512, 276]),  # more than a half stays a tile
        (1270, 512, [512, 758]),  # less belongs to the one before
        (700, 512, [700]),
        (100, 512, [100]),
    ],
)
def test_tiles_cover_a_raster_without_overlap(side: int, tile: int, parts: list[int]) -> None:
    windows = windows_of((side, 8), tile)
    assert [window.width for window in windows] == parts
    assert [window.left for window in windows] == np.cumsum([0, *parts[:-1]]).tolist()
    assert {(window.top, window.height) for window in windows} == {(0, 8)}


@pytest.mark.parametrize(
    ("size", "has_place", "tile", "tiled"),
    [
        ((6000, 4000), False, None, False),  # a photograph
        ((1500, 9000), True, None, False),  # a small map
        ((1536, 1536), True, None, True),
        ((20_000, 20_000), False, None, False),
        ((6000, 4000), True, 0, False),
        ((300, 300), False, 128, True),
        ((150, 150), True, 128, False),
    ],
)
def test_maps_are_read_in_tiles_and_photographs_are_not(
    size: tuple[int, int], has_place: bool, tile: int | None, tiled: bool
) -> None:
    assert is_tiled(RasterHeader(size, has_place), tile) is tiled


def test_the_header_says_whether_a_raster_has_a_place(tmp_path: Path) -> None:
    write_raster(tmp_path / "map.tif", np.zeros((4, 6), np.uint8))
    write_raster(tmp_path / "photo.tif", np.zeros((4, 6), np.uint8), crs=None, transform=None)
    assert read_place(tmp_path / "map.tif") == RasterHeader((6, 4), True)
    assert read_place(tmp_path / "photo.tif") == RasterHeader((6, 4), False)
    assert read_place(tmp_path / "photo.png") is None


def test_a_tile_without_data_is_recognized_by_any_kind_of_mark(tmp_path: Path) -> None:
    values = np.full((2, 256, 512), np.nan, np.float32)
    values[1, :, 300:] = 5
    write_raster(tmp_path / "nan.tif", values)
    left, right = windows_of((512, 256), 256)
    with open_raster(tmp_path / "nan.tif") as file:
        assert [has_data(file, window) for window in (left, right)] == [False, True]
        assert not has_data(file, right, [5.0])
    write_raster(tmp_path / "zero.tif", np.nan_to_num(values).astype(np.uint16), nodata=0)
    with open_raster(tmp_path / "zero.tif") as file:
        assert [has_data(file, window) for window in (left, right)] == [False, True]


def test_a_header_that_claims_more_pixels_than_its_file_can_hold_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "field.tif"
    size = {"width": 600, "height": 40, "count": 1}
    with rasterio.open(file, "w", driver="GTiff", dtype="uint8", **size) as raster:
        raster.write(np.ones((1, 40, 600), np.uint8))
    assert read_place(file) == RasterHeader((600, 40), has_place=False)
    content = file.read_bytes()
    width = struct.pack("<HHIHH", 256, 3, 1, 600, 0)  # tag, type, count, value
    assert content.count(width) == 1
    file.write_bytes(content.replace(width, struct.pack("<HHII", 256, 4, 1, 1 << 30)))
    assert read_place(file) is None
