"""The picture that the page shows: which bands, which contrast, and how large."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from semiseg.core.reading import AS_STORED, Reading
from semiseg.correction.picture import jpeg_of, reduction, stretch


def shown(path, reading, stretched=False):
    return np.asarray(Image.open(BytesIO(jpeg_of(path, reading, stretched))))


def test_of_several_bands_of_16_bits_it_shows_the_chosen_ones_in_their_ranges(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "field.tif"
    values = np.zeros((5, 32, 48), np.uint16)
    for band, value in enumerate((1000, 2000, 3000, 4000, 5000)):
        values[band] = value
    profile = {"driver": "GTiff", "width": 48, "height": 32, "count": 5, "dtype": "uint16"}
    with rasterio.open(path, "w", **profile) as file:
        file.write(values)
    ranges = tuple((0.0, 10_000.0 if band else 2_000.0) for band in range(4))
    reading = Reading(bands=(1, 2, 4, 5), ranges=ranges, rgb=(5, 2, 1))
    color = shown(path, reading)[16, 24].astype(int)
    assert np.abs(color - [127, 51, 127]).max() <= 2


def test_gray_images_of_16_bits_get_contrast(tmp_path):
    path = tmp_path / "gray.png"
    ramp = np.linspace(1000, 1400, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(path)
    reading = Reading(value_range=(0, 4000))
    dull, clear = shown(path, reading), shown(path, reading, True)
    assert int(dull.max()) - int(dull.min()) < 40
    assert clear.min() < 10
    assert clear.max() > 245


def test_one_white_pixel_does_not_decide_about_the_contrast():
    pixels = np.random.default_rng(0).integers(60, 90, (100, 100, 3)).astype(np.uint8)
    pixels[0, 0] = 255
    stretched = np.asarray(stretch(Image.fromarray(pixels)))
    assert stretched[1:].std() > 60
    flat = Image.fromarray(np.full((8, 8, 3), 7, np.uint8))
    assert np.asarray(stretch(flat)).std() == 0


def test_a_picture_is_never_larger_than_a_browser_draws(tmp_path, monkeypatch):
    for size in ((6000, 4000), (30_000, 100), (20_000, 20_000), (8192, 8193)):
        step = reduction(size)
        width, height = (-(-side // step) for side in size)
        assert width * height <= 1.01 * (1 << 26)
        assert max(width, height) <= 16_384
    monkeypatch.setattr("semiseg.correction.picture._MAX_SIDE", 50)
    Image.new("RGB", (120, 40)).save(tmp_path / "wide.png")
    assert shown(tmp_path / "wide.png", AS_STORED).shape == (14, 40, 3)
