"""An image in memory is read as the file with the same content: pixels, sizes, errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.data.formats.image_bytes import ImageBytes
from semiseg.data.formats.images import read_header, read_image, read_valid

COLORS = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
PLAIN = ["a.jpg", "a.png", "a.bmp", "a.webp", "a.tif", "a.gif", "a.jp2", "a.ppm", "a.tga"]


def result(source: Path | ImageBytes, reading: Reading = AS_STORED) -> object:
    """Pixels, header and valid pixels, or the error."""
    try:
        pixels = np.asarray(read_image(source, reading))
        return pixels.tobytes(), read_header(source, reading), str(read_valid(source, reading))
    except DataError as error:
        return error.message, error.remedy


def same(file: Path, reading: Reading = AS_STORED) -> object:
    """The result of a file, which that of its bytes equals."""
    expected = result(file, reading)
    assert result(ImageBytes(str(file), file.read_bytes()), reading) == expected
    return expected


@pytest.mark.parametrize("name", PLAIN)
def test_each_format_is_read_from_memory(name, tmp_path):
    Image.fromarray(COLORS).save(tmp_path / name)
    assert len(same(tmp_path / name)) == 3


def test_deep_turned_and_misnamed_images_are_read_from_memory(tmp_path):
    image = Image.fromarray(COLORS)
    Image.fromarray(COLORS[..., 0].astype(np.uint16) * 200).save(tmp_path / "deep.png")
    Image.fromarray(COLORS[..., 0].astype(np.float32)).save(tmp_path / "float.tif")
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    image.save(tmp_path / "turned.png", exif=exif)
    image.save(tmp_path / "a.tif")
    (tmp_path / "tiff.jpg").write_bytes((tmp_path / "a.tif").read_bytes())
    assert same(tmp_path / "turned.jpg")[1].size == same(tmp_path / "turned.png")[1].size
    assert read_header(tmp_path / "turned.jpg").size == (20, 30)
    scaled = Reading(value_range=(0.0, 254.0))
    assert len(same(tmp_path / "float.tif", scaled)) == 3
    assert [len(same(tmp_path / name)) for name in ("deep.png", "tiff.jpg")] == [3, 3]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_a_damaged_image_in_memory_has_the_error_of_the_file(name, tmp_path):
    Image.fromarray(COLORS).save(tmp_path / name)
    file = tmp_path / f"broken-{name}"
    for content in (b"", b"abc", (tmp_path / name).read_bytes()[:300], b"<html>"):
        file.write_bytes(content)
        message, _ = same(file)
        assert str(file) in message
    assert "tmp" not in str(result(ImageBytes("shard.tar/x.tif", b"abc")))
