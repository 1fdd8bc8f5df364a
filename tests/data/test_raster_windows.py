"""Windows of rasters: their paths, and the pixels that they give."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.reading import Reading
from semiseg.data.formats import bands
from semiseg.data.formats.band_image import BandImage
from semiseg.data.formats.images import image_size, read_image, read_valid
from semiseg.data.formats.raster_windows import Window, file_of, split_window, window_path

WINDOW = Window(3, 2, 4, 5)


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    """A raster of 5 bands of 16 bits: band `n` holds `1000 n + row + column`; 0 is no data."""
    path = tmp_path / "field.tif"
    rows, columns = np.mgrid[:12, :16]
    bands = np.stack([1000 * n + rows + columns for n in range(1, 6)]).astype(np.uint16)
    bands[:, 2, 3] = 0
    size = {"width": 16, "height": 12, "count": 5}
    with rasterio.open(path, "w", driver="GTiff", dtype="uint16", nodata=0, **size) as file:
        file.write(bands)
    return path


def test_a_path_names_a_window(raster: Path) -> None:
    path = window_path(raster, WINDOW)
    assert split_window(path) == (raster, WINDOW)
    assert file_of(path) == raster == file_of(raster)
    assert split_window(raster) == (raster, None)
    assert split_window(Path("photos/x0-y0-w9-h9")) == (Path("photos/x0-y0-w9-h9"), None)


def test_a_window_has_the_pixels_of_the_raster(raster: Path) -> None:
    ranges = tuple((1000.0 * n, 1000.0 * n + 255) for n in (5, 1))
    reading = Reading(bands=(5, 1), ranges=ranges)
    path = window_path(raster, WINDOW)
    image = read_image(path, reading)
    assert isinstance(image, BandImage)
    assert image.size == image_size(path, reading) == (4, 5)
    rows, columns = np.mgrid[2:7, 3:7]
    expected = np.stack([rows + columns] * 2, axis=-1)
    expected[0, 0] = 0
    assert np.array_equal(np.asarray(image), expected)
    valid = read_valid(path, reading)
    assert valid is not None
    assert np.argwhere(~valid).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    "kind", [{"photometric": "palette"}, {"photometric": "miniswhite"}, {"nbits": 1}, {"nbits": 4}]
)
def test_a_window_has_the_colors_of_the_whole_picture(
    tmp_path: Path, kind: dict[str, object]
) -> None:
    path = tmp_path / "map.tif"
    highest = 2 ** int(str(kind.get("nbits", 8))) - 1
    values = np.random.default_rng(0).integers(0, highest + 1, (1, 12, 16), dtype=np.uint8)
    size = {"width": 16, "height": 12, "count": 1}
    with rasterio.open(path, "w", driver="GTiff", dtype="uint8", **size, **kind) as file:
        file.write(values)
        if "photometric" in kind and kind["photometric"] == "palette":
            file.write_colormap(1, {i: (i, 255 - i, i // 2) for i in range(256)})
    part = np.asarray(read_image(window_path(path, WINDOW)))
    assert np.array_equal(part, np.asarray(read_image(path))[2:7, 3:7])


def test_a_window_beyond_the_raster_is_refused(raster: Path) -> None:
    with pytest.raises(DataError, match="16 x 12"):
        read_image(window_path(raster, Window(14, 0, 4, 4)), Reading(bands=(1,)))


def test_a_photo_among_bands_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    with pytest.raises(DataError, match=r"photo\.png has no 5 bands"):
        read_image(tmp_path / "photo.png", Reading(bands=(1, 2, 3, 4, 5)))


def test_bands_are_resized_as_gray_images() -> None:
    pixels = np.random.default_rng(0).integers(256, size=(20, 30, 4)).astype(np.uint8)
    image = BandImage(pixels, (3, 1, 0))
    small = np.asarray(image.resize((7, 5), Image.Resampling.BILINEAR, reducing_gap=3.0))
    for band in range(4):
        gray = Image.fromarray(np.ascontiguousarray(pixels[..., band]))
        resized = gray.resize((7, 5), Image.Resampling.BILINEAR, reducing_gap=3.0)
        assert np.array_equal(small[..., band], np.asarray(resized))
    assert np.array_equal(np.asarray(image.convert("RGB")), pixels[..., [3, 1, 0]])
    part = np.asarray(image.crop((-2, 18, 4, 22)))
    assert part.shape == (4, 6, 4)
    assert np.array_equal(part[:2, 2:], pixels[18:, :4])
    assert not part[2:].any()
    assert not part[:, :2].any()


def test_a_raster_that_changes_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "field.tif"
    window = window_path(path, Window(0, 0, 2, 2))
    for value in (3, 200):
        size = {"width": 40 + value, "height": 40, "count": 1}
        with rasterio.open(path, "w", driver="GTiff", dtype="uint8", **size) as file:
            file.write(np.full((1, 40, 40 + value), value, np.uint8))
        assert np.unique(np.asarray(read_image(window))).tolist() == [value]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_opens_the_raster_itself(raster: Path) -> None:
    window = window_path(raster, WINDOW)
    expected = _read(window)
    assert bands._last.state[0] == os.getpid()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pixels, opener, child = pool.apply(_read_in_child, (window,))
    assert np.array_equal(pixels, expected)
    assert opener == child != os.getpid()
    assert np.array_equal(_read(window), expected)


def _read(window: Path) -> NDArray[np.uint8]:
    return np.asarray(read_image(window, Reading(bands=(1,), value_range=(1000, 1255))))


def _read_in_child(window: Path) -> tuple[NDArray[np.uint8], object, int]:
    return _read(window), bands._last.state[0], os.getpid()
