"""Each image format: what is drawn is what is read, and damage is an error."""

import base64
import io
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from semiseg.commands.check import check
from semiseg.core.errors import DataError
from semiseg.data.formats import image_formats
from semiseg.data.formats.image_formats import IMAGE_FORMATS, format_of, remedy_of_suffix
from semiseg.data.formats.images import image_size, read_image

LOSSLESS = {
    ".png": {},
    ".bmp": {},
    ".tif": {},
    ".tiff": {},
    ".webp": {"lossless": True},
    ".jp2": {"irreversible": False},
    ".j2k": {"irreversible": False},
    ".jpx": {"irreversible": False, "format": "JPEG2000"},
    ".jpf": {"irreversible": False, "format": "JPEG2000"},
    ".ppm": {},
    ".pnm": {},
    ".tga": {},
}
LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".avif", ".heic", ".heif", ".hif")
GRAY = (".pgm", ".gif", ".pbm")


def drawn(height=48, width=64):
    """A picture of two colors whose halves differ, so that a rotation shows."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[:, : width // 3] = (200, 40, 60)
    rgb[: height // 4] = (20, 180, 90)
    return rgb


def written(path, rgb, **options):
    if path.suffix in (".heic", ".heif", ".hif"):
        pillow_heif = pytest.importorskip("pillow_heif")
        pillow_heif.from_pillow(Image.fromarray(rgb)).save(path, quality=95, **options)
    elif path.suffix in (".jif", ".jpe"):
        Image.fromarray(rgb).save(path, format="JPEG", **options)
    else:
        Image.fromarray(rgb).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_formats_without_loss_give_the_pixels_that_were_drawn(tmp_path, suffix):
    path = written(tmp_path / f"a{suffix}", drawn(), **LOSSLESS[suffix])
    assert np.array_equal(np.asarray(read_image(path)), drawn())
    assert image_size(path) == (64, 48)


@pytest.mark.parametrize("suffix", LOSSY)
def test_formats_with_loss_give_almost_the_pixels_that_were_drawn(tmp_path, suffix):
    if suffix in (".heic", ".heif", ".hif"):
        pytest.importorskip("pi_heif")
    path = written(tmp_path / f"a{suffix}", drawn())
    difference = np.abs(np.asarray(read_image(path)).astype(int) - drawn())
    assert np.median(difference) <= 3
    assert difference.mean() < 6
    assert image_size(path) == (64, 48)


@pytest.mark.parametrize("suffix", GRAY)
def test_gray_formats_become_gray_rgb(tmp_path, suffix):
    gray = np.where(np.arange(64)[None] < 20, 255, 0).astype(np.uint8).repeat(48, 0)
    image = Image.fromarray(gray)
    (image.convert("1") if suffix == ".pbm" else image).save(tmp_path / f"a{suffix}")
    assert np.array_equal(np.asarray(read_image(tmp_path / f"a{suffix}"))[..., 1], gray)


def test_every_suffix_of_the_registry_is_tested():
    medical = [s for form in IMAGE_FORMATS if form.extra == "medical" for s in form.suffixes]
    suffixes = {suffix for form in IMAGE_FORMATS for suffix in form.suffixes}
    assert {*LOSSLESS, *LOSSY, *GRAY, *medical} == suffixes


@pytest.mark.parametrize("name", ["EPS", "ICNS", "PSD", "WMF", "PCX", "SGI"])
def test_other_formats_of_pillow_are_never_opened(tmp_path, name):
    path = tmp_path / "a.png"
    stream = io.BytesIO()
    if name in ("PSD", "WMF"):
        stream.write({"PSD": b"8BPS\0\1", "WMF": b"\xd7\xcd\xc6\x9a\0\0"}[name] + bytes(500))
    else:
        Image.fromarray(drawn(64, 64)).save(stream, format=name)
    path.write_bytes(stream.getvalue())
    with pytest.raises(DataError, match="none of JPEG, PNG"):
        read_image(path)


def test_tga_has_no_signature_and_is_tried_for_its_suffix_only(tmp_path):
    written(tmp_path / "a.tga", drawn()).rename(tmp_path / "a.png")
    with pytest.raises(DataError, match="none of"):
        read_image(tmp_path / "a.png")


HEIC = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAA"
    "AAAAAAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABoQABAAAAAAAAAJMAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34"
    "+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5"
    "uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAA"
    "AAAoY2xhcAAAADAAAAABAAAAIAAAAAH////wAAAAAv///+AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhpcG1hAAAA"
    "AAAAAAEAAQWBAgMFhAAAAJttZGF0AAAAjygBrwT43D3olrf7y0n/+xt+//R5/CefF28w/yPxf3/+1cDHbT4lDyo9"
    "g+RLTW1WnHeAkVxjDL80JF9hWIfJVR11tc9umKzGz6bX0uhXVBkIdiDy3Hdp34/KHyvhtniYIb3mbXhtBBLZ/vHI"
    "da53kgnkzTeemwpDEs66HYUXl+LBnhtRw1mA9dDBfJm5ykKT"
)
"""A HEIC file of 48 x 32 pixels that we drew: its left half is red, its right half is blue."""


def test_a_heic_file_is_read(tmp_path):
    pytest.importorskip("pi_heif")
    (tmp_path / "a.heic").write_bytes(base64.b64decode(HEIC))
    pixels = np.asarray(read_image(tmp_path / "a.heic")).astype(int)
    assert pixels.shape == (32, 48, 3)
    assert np.abs(pixels[:, :20] - (200, 40, 40)).mean() < 6
    assert np.abs(pixels[:, 28:] - (40, 60, 200)).mean() < 6


@pytest.mark.parametrize("suffix", [".heic", ".jpg"])
def test_the_rotation_of_a_heic_photograph_is_applied_once(tmp_path, suffix):
    """A telephone may give a HEIC photograph the suffix of JPEG."""
    pytest.importorskip("pi_heif")
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    heif = pillow_heif.from_pillow(Image.fromarray(drawn()))
    heif.save(tmp_path / "a.heic", quality=95, exif=exif.tobytes())
    path = (tmp_path / "a.heic").rename(tmp_path / f"a{suffix}")
    image = read_image(path)
    assert image.size == image_size(path) == (48, 64)
    upright = np.rot90(drawn(), -1)
    assert np.abs(np.asarray(image).astype(int) - upright).mean() < 6


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.fromarray(np.full((8, 8), level, np.uint8)) for level in (10, 90, 200)]
    for name in ("a.gif", "a.webp", "a.png"):
        options = {"lossless": True} if name == "a.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert set(np.unique(np.asarray(read_image(tmp_path / name)))) == {10}


def test_formats_are_found_by_suffix_in_any_case(tmp_path):
    assert [format_of(tmp_path / n).name for n in ("a.HEIC", "b.nii.GZ", "c.Jp2")] == [
        "HEIF",
        "NIfTI",
        "JPEG 2000",
    ]
    assert format_of(tmp_path / "a.gz") is None


@pytest.fixture
def _without_extras(monkeypatch):
    missing = {form.package for form in IMAGE_FORMATS if form.package}
    monkeypatch.setattr(
        image_formats, "find_spec", lambda name: None if name in missing else find_spec(name)
    )


def heic_bytes():
    return b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(200)


@pytest.mark.usefixtures("_without_extras")
def test_photographs_that_need_an_extra_are_counted_and_the_extra_is_named(tmp_path):
    assert remedy_of_suffix(".HEIC") == "To read HEIF images: pip install 'semiseg[heif]'."
    for i in range(3):
        for folder, image in (("images", drawn()), ("masks", drawn()[..., 0] // 100)):
            (tmp_path / "train" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / "train" / folder / f"{i}.png")
    (tmp_path / "unlabeled").mkdir()
    for i in range(4):
        (tmp_path / "unlabeled" / f"IMG_{i}.HEIC").write_bytes(heic_bytes())
    report = check(tmp_path)
    assert report.ok
    assert "unlabeled" not in report.counts
    (finding,) = (f for f in report.findings if f.kind == "needs-extra")
    assert (finding.severity, len(finding.files)) == ("warning", 4)
    assert "pip install 'semiseg[heif]'" in finding.remedy
    for i in range(3):
        (tmp_path / "train/images" / f"{i}.png").unlink()
        (tmp_path / "train/images" / f"{i}.heic").write_bytes(heic_bytes())
    report = check(tmp_path)
    (finding,) = (f for f in report.findings if f.kind == "unreadable-image")
    assert finding.severity == "error"
    assert "pip install 'semiseg[heif]'" in finding.text


@pytest.mark.usefixtures("_without_extras")
def test_a_missing_extra_is_named_when_one_image_is_read(tmp_path):
    (tmp_path / "a.heic").write_bytes(heic_bytes())
    with pytest.raises(DataError, match=r"semiseg\[heif\]"):
        read_image(tmp_path / "a.heic")
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(DataError, match=r"semiseg\[medical\]"):
        read_image(tmp_path / "a.dcm")


@pytest.mark.parametrize("suffix", [*LOSSLESS, *LOSSY, ".gif"])
def test_truncated_files_are_errors(tmp_path, suffix):
    """Cut anywhere, a file is an error or gives an image of its size: never another exception."""
    path = written(tmp_path / f"a{suffix}", drawn(), **LOSSLESS.get(suffix, {}))
    content = path.read_bytes()
    refused = 0
    for share in (0.02, 0.1, 0.3, 0.5, 0.8, 0.97):
        path.write_bytes(content[: max(1, int(share * len(content)))])
        try:
            assert read_image(path).size == (64, 48)
        except DataError:
            refused += 1
    assert refused >= 4
