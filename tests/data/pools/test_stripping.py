"""What `pack` removes from images, and that the pixels and the orientation stay."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from semiseg.core.errors import DataError
from semiseg.data.formats.image_bytes import ImageBytes
from semiseg.data.formats.images import decode_image, read_header, read_image
from semiseg.data.pools.stripping import is_kept_whole, strip

BLOCKS = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
PICTURE = Image.fromarray(np.kron(BLOCKS, np.ones((8, 8, 1), np.uint8)))
SECRETS = (b"CameraMaker", b"http://ns.adobe.com/secret", b"a comment", b"N\0\0\0")
XMP = b"<x:xmpmeta xmlns='http://ns.adobe.com/secret'></x:xmpmeta>"


def encoded(form: str, orientation: int = 6, mode: str = "RGB", **options: object) -> bytes:
    """A picture with the EXIF data of a camera, a place, and XMP."""
    exif = Image.Exif()
    exif[0x010F] = "CameraMaker"
    if orientation:
        exif[0x0112] = orientation
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 30.0)})
    stream = io.BytesIO()
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    known = {"icc_profile": icc} if mode == "RGB" and form != "AVIF" else {}
    PICTURE.convert(mode).save(stream, form, exif=exif, **known, **options)
    return stream.getvalue()


def png_with_texts() -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "a comment")
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return encoded("PNG", pnginfo=texts)


CASES = {
    "a.jpg": lambda: encoded("JPEG", xmp=XMP, comment=b"a comment"),
    "progressive.jpg": lambda: encoded("JPEG", progressive=True, xmp=XMP, comment=b"a comment"),
    "cmyk.jpg": lambda: encoded("JPEG", mode="CMYK"),
    "gray.jpg": lambda: encoded("JPEG", mode="L", orientation=8),
    "upright.jpg": lambda: encoded("JPEG", orientation=0),
    "with-a-video.jpg": lambda: encoded("JPEG") + b"ftypmp42 CameraMaker" * 9,
    "a.png": png_with_texts,
    "palette.png": lambda: encoded("PNG", mode="P"),
    "a.webp": lambda: encoded("WEBP", xmp=XMP),
    "lossless.webp": lambda: encoded("WEBP", lossless=True, orientation=3),
    "a.avif": lambda: encoded("AVIF", xmp=XMP, orientation=8),
}


@pytest.mark.parametrize("name", CASES)
def test_no_secret_is_left_and_no_pixel_changes(name):
    image = ImageBytes(name, CASES[name]())
    assert any(secret in image.data for secret in SECRETS)
    stripped = strip(image)
    assert not [secret for secret in SECRETS if secret in stripped.data]
    assert len(stripped.data) <= len(image.data)
    assert read_header(stripped) == read_header(image)
    assert np.array_equal(read_image(stripped), read_image(image))
    with Image.open(io.BytesIO(stripped.data)) as file, Image.open(io.BytesIO(image.data)) as old:
        assert file.info.get("icc_profile") == old.info.get("icc_profile")
        assert set(file.getexif()) <= {0x0112}
    assert strip(stripped).data == stripped.data


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_every_orientation_stays(form, orientation):
    image = ImageBytes("x", encoded(form, orientation))
    assert read_header(strip(image)).orientation == orientation


def test_an_orientation_that_only_xmp_tells_stays():
    stream = io.BytesIO()
    PICTURE.save(stream, "JPEG", xmp=b'<x:xmpmeta tiff:Orientation="6"/>')
    image = ImageBytes("x.jpg", stream.getvalue())
    assert read_header(image).orientation == 6
    assert read_header(strip(image)).orientation == 6


@pytest.mark.parametrize("form", ["TIFF", "JPEG2000", "BMP", "PPM", "TGA", "GIF"])
def test_formats_whose_metadata_belongs_to_the_pixels_stay_as_they_are(form):
    stream = io.BytesIO()
    PICTURE.save(stream, form)
    image = ImageBytes("x", stream.getvalue())
    assert is_kept_whole(image.data)
    assert strip(image) is image


@pytest.mark.parametrize("name", ["a.jpg", "progressive.jpg", "a.png", "a.webp", "a.avif"])
def test_a_truncated_file_is_an_error_of_the_user(name):
    data = CASES[name]()
    for end in (20, len(data) // 2, len(data) - 8):
        with pytest.raises(DataError, match=name):
            decode_image(strip(ImageBytes(name, data[:end])))


def test_damaged_bytes_end_in_no_other_error():
    rng = np.random.default_rng(1)
    for name, make in CASES.items():
        data = bytearray(make())
        for _ in range(12):
            broken = data.copy()
            for place in rng.integers(0, len(data), 6):
                broken[place] = rng.integers(256)
            try:
                strip(ImageBytes(name, bytes(broken)))
            except DataError:
                continue
