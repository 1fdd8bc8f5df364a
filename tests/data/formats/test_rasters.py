"""Images of more than 8 bits, pixels without data, and TIFFs of all kinds."""

import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from semiseg.commands.check import check
from semiseg.core.errors import DataError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.types import Sample
from semiseg.data.classes.labels import read_labels
from semiseg.data.formats import bands
from semiseg.data.formats.codes import read_codes
from semiseg.data.formats.images import decode_image, image_size, read_image, read_valid
from semiseg.data.formats.masks import Classes
from semiseg.data.image_scan import scan_image
from semiseg.data.pixel_cache import PixelCache
from semiseg.data.reader import read_dataset

SHAPE = (48, 64)


def noise(*shape, low=0, high=65536, dtype=np.uint16, seed=0):
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def png(path, values, interlaced=False):
    """A PNG of 16 bits per channel, `(H, W)` or `(H, W, C)`, which Pillow cannot write."""
    height, width = values.shape[:2]
    count = 1 if values.ndim == 2 else values.shape[2]

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    def rows(part):
        return b"".join(b"\0" + row.astype(">u2").tobytes() for row in part)

    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)]
    passes += [(2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [values[y::dy, x::dx] for y, x, dy, dx in passes] if interlaced else [values]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[count]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, interlaced)
    data = zlib.compress(b"".join(map(rows, parts)))
    chunks = [chunk(b"IHDR", head), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def geotiff(path, values, **options):
    """A TIFF of `(bands, H, W)`, as rasterio writes it."""
    rasterio = pytest.importorskip("rasterio")
    count, height, width = values.shape
    shape = {"count": count, "height": height, "width": width, "dtype": values.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", driver="GTiff", **shape, **options) as file:
            file.write(values)
    return path


# --- colors of 16 bits


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_png_of_16_bits_gives_all_of_its_bits(tmp_path, channels, interlaced):
    values = noise(48, 64, channels)
    image = decode_image(png(tmp_path / "a.png", values, interlaced))
    expected = values[..., 0] if channels == 2 else values[..., :3]
    assert image.values.dtype == np.uint16
    assert np.array_equal(image.values, expected)
    assert image.depth == ("deep gray" if channels == 2 else "deep color")
    assert image_size(tmp_path / "a.png") == (64, 48)


def test_a_ppm_of_16_bits_gives_all_of_its_bits(tmp_path):
    values = noise(48, 64, 3, high=4096)
    head = b"P6\n64 48\n4095\n"
    (tmp_path / "a.ppm").write_bytes(head + values.astype(">u2").tobytes())
    assert np.array_equal(decode_image(tmp_path / "a.ppm").values, values)


@pytest.mark.parametrize("options", [{}, {"compress": "lzw", "predictor": 2}, {"tiled": True}])
@pytest.mark.parametrize("photometric", ["RGB", "MINISBLACK"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_of_three_bands_gives_its_values(tmp_path, dtype, interleave, photometric, options):
    if options.get("tiled"):
        options = {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate"}
    values = noise(3, *SHAPE, high=np.iinfo(dtype).max + 1, dtype=dtype)
    options = {"interleave": interleave, "photometric": photometric, **options}
    path = geotiff(tmp_path / "a.tif", values, **options)
    expected = np.moveaxis(values, 0, 2)
    image = decode_image(path)
    if dtype == np.uint8:
        assert np.array_equal(np.asarray(image.image), expected)
    else:
        assert np.array_equal(image.values, expected)
    assert image_size(path) == (64, 48)


@pytest.mark.parametrize("order", ["<", ">"])
def test_three_channels_without_an_extra_need_no_package(tmp_path, monkeypatch, order):
    """As tifffile writes them: three channels of black is zero, in either order of bytes."""
    tifffile = pytest.importorskip("tifffile")
    monkeypatch.setattr(bands, "find_spec", lambda name: None)
    for dtype in ("u1", "u2"):
        values = noise(*SHAPE, 3, high=np.iinfo(dtype).max + 1, dtype=dtype)
        path = tmp_path / f"{dtype}.tif"
        options = {"photometric": "minisblack", "planarconfig": "contig"}
        tifffile.imwrite(path, values.astype(order + dtype), byteorder=order, **options)
        image = decode_image(path)
        pixels = np.asarray(image.image) if dtype == "u1" else image.values
        assert np.array_equal(pixels, values)


def test_a_big_tiff_is_read(tmp_path):
    values = noise(1, *SHAPE)
    path = geotiff(tmp_path / "a.tif", values, bigtiff="YES", compress="zstd")
    assert np.array_equal(decode_image(path).values, values[0])


def test_a_jpeg_2000_with_colors_of_16_bits_is_not_shortened(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    values = noise(3, *SHAPE, high=4000)
    options = {"count": 3, "height": 48, "width": 64, "dtype": "uint16", "driver": "JP2OpenJPEG"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = tmp_path / "a.jp2"
        with rasterio.open(path, "w", reversible=True, quality=100, **options) as file:
            file.write(values)
    assert np.array_equal(decode_image(path).values, np.moveaxis(values, 0, 2))


def test_images_of_8_bits_and_gray_ones_of_16_are_read_as_before(tmp_path):
    gray = noise(*SHAPE, high=5000)
    Image.fromarray(gray).save(tmp_path / "a.png")
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.png"))[..., 1], gray >> 8)
    scaled = ((gray - 100.0) * (255 / 3900)).clip(0, 255).round()
    image = read_image(tmp_path / "a.png", Reading((100, 4000)))
    assert np.array_equal(np.asarray(image)[..., 2], scaled)


# --- pixels without data


def data_folder(root, arrays, masks=None, suffix=".tif", **options):
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for i, array in enumerate(arrays):
        path = root / "images" / f"{i}{suffix}"
        if options or array.dtype == np.int16:
            geotiff(path, array[None], **options)
        else:
            Image.fromarray(array).save(path)
        ids = (np.arange(SHAPE[1])[None] % 2).repeat(SHAPE[0], 0).astype(np.uint8)
        Image.fromarray(ids).save(root / "masks" / f"{i}.png")
    return root


def elevation(seed, nodata=None):
    values = np.random.default_rng(seed).uniform(-20, 5, SHAPE).astype(np.float32)
    if nodata is not None:
        values[:6] = nodata
    return values


def findings(data, kind):
    return [f for f in data.findings if f.kind == kind]


def test_a_value_far_from_all_others_is_no_data(tmp_path):
    arrays = [noise(*SHAPE, low=300, high=4000, seed=i) for i in range(4)]
    arrays[1][:6] = 65535
    data = read_dataset(data_folder(tmp_path, arrays, suffix=".png"))
    low, high = data.reading.value_range
    assert (300 <= low < 310, 3990 < high < 4000, data.reading.nodata) == (True, True, (65535.0,))
    (finding,) = findings(data, "no-data")
    assert finding.severity == "warning"
    assert "65535" in finding.message
    assert "1 of 4 images" in finding.message
    image = np.asarray(read_image(tmp_path / "images" / "1.png", data.reading))
    assert image[:6].max() == 0
    assert image[6:].max() == 255
    other = read_dataset(tmp_path, reading=Reading(nodata=()))
    assert other.reading == Reading(None, None, ())  # 65535 counts, so the type is spanned
    assert not findings(other, "no-data")


@pytest.mark.parametrize("value", [4095, 60_000])
def test_bright_areas_are_values(tmp_path, value):
    """A lamp or metal may saturate; only usual values of no data are taken for it."""
    arrays = [noise(*SHAPE, low=300, high=700, seed=i) for i in range(4)]
    arrays[1][:6] = value
    data = read_dataset(data_folder(tmp_path, arrays, suffix=".png"))
    assert data.reading.nodata is None
    assert not findings(data, "no-data")


def test_images_of_two_values_have_no_data_that_is_missing(tmp_path):
    arrays = [np.where(noise(*SHAPE, seed=i) % 2, 65535, 0).astype(np.uint16) for i in range(3)]
    data = read_dataset(data_folder(tmp_path, arrays, suffix=".png"))
    assert data.reading == AS_STORED


@pytest.mark.parametrize("nodata", [-9999, float(np.finfo(np.float32).min), np.nan, -np.inf])
def test_floating_point_images_are_read_by_the_span_of_their_valid_values(tmp_path, nodata):
    arrays = [elevation(i, nodata) for i in range(4)]
    data = read_dataset(data_folder(tmp_path, arrays))
    assert not data.errors()
    assert data.reading.value_range == pytest.approx((-20, 5), abs=0.1)
    (finding,) = findings(data, "value-range")
    low, high = data.reading.value_range
    assert f"--range={low:g},{high:g} " in finding.remedy
    if np.isfinite(nodata):
        assert data.reading.nodata == (nodata,)
    image = np.asarray(read_image(tmp_path / "images" / "0.tif", data.reading))[..., 0]
    assert image[:6].max() == 0
    expected = ((arrays[0][6:] - low) * 255 / (high - low)).clip(0, 255)
    assert np.abs(image[6:] - expected).max() <= 0.501


def test_the_range_that_is_printed_works_as_a_flag(tmp_path):
    data = read_dataset(data_folder(tmp_path, [elevation(i) for i in range(4)]))
    report = check(tmp_path, value_range=data.reading.value_range)
    assert report.ok
    assert not [f for f in report.findings if f.kind == "value-range"]


def test_signed_images_are_read_by_the_span_of_their_values(tmp_path):
    arrays = [noise(*SHAPE, low=-1000, high=1200, dtype=np.int16, seed=i) for i in range(4)]
    data = read_dataset(data_folder(tmp_path, arrays))
    assert data.reading.value_range == pytest.approx((-1000, 1199), abs=5)
    assert not data.errors()


def test_the_no_data_value_of_a_geotiff_is_known_from_its_tag(tmp_path):
    arrays = [noise(*SHAPE, low=100, high=3000, seed=i) for i in range(3)]
    arrays[2][:6] = 0
    data = read_dataset(data_folder(tmp_path, arrays, nodata=0))
    assert data.reading.nodata == (0.0,)
    (finding,) = findings(data, "no-data")
    assert (finding.severity, finding.files) == ("note", ("images/2.tif",))
    assert data.reading.value_range[0] >= 100
    assert read_valid(tmp_path / "images" / "1.tif", data.reading) is None
    valid = read_valid(tmp_path / "images" / "2.tif", AS_STORED)
    assert np.array_equal(valid, np.arange(48)[:, None].repeat(64, 1) >= 6)


def test_a_tag_counts_for_8_bits_where_all_bands_hold_the_value(tmp_path):
    values = noise(3, *SHAPE, low=1, high=256, dtype=np.uint8)
    values[:, :6], values[0, 20] = 0, 0
    path = geotiff(tmp_path / "a.tif", values, photometric="RGB", nodata=0)
    assert np.array_equal(np.asarray(read_image(path)), np.moveaxis(values, 0, 2))
    valid = read_valid(path, AS_STORED)
    assert valid is not None
    assert np.array_equal(valid, np.arange(48)[:, None].repeat(64, 1) >= 6)


CLASSES = Classes(("a", "b"), ((0, 0, 0), (255, 0, 0)), "ids", (0, 1))


def test_labels_of_pixels_without_data_are_ignored(tmp_path):
    """In what trains and in what is scored; the mask's own file does not change."""
    data = read_dataset(data_folder(tmp_path, [elevation(i, -9999) for i in range(4)]))
    for sample in data.samples["train"]:
        labels = np.asarray(read_labels(sample, CLASSES, data.reading))
        assert (labels[:6] == 255).all()
        assert np.array_equal(labels[6:], read_codes(sample.mask).values[6:])
        cached = PixelCache(24, CLASSES, data.reading).labels(sample, (32, 24))
        assert (cached[:3] == 255).all()
        assert set(np.unique(cached[3:])) <= {0, 1}
    kept = read_labels(data.samples["train"][0], CLASSES, Reading(nodata=()))
    assert set(np.unique(np.asarray(kept))) == {0, 1}


def test_labels_change_in_the_cache_with_the_reading_and_with_the_image(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    data = data_folder(tmp_path / "data", [elevation(0, -9999)])
    sample = Sample("0", data / "images" / "0.tif", data / "masks" / "0.png")
    for path in (sample.image, sample.mask):
        os.utime(path, (0, 0))  # files that have just changed are not cached
    counts = [
        int((PixelCache(48, CLASSES, reading).labels(sample, (64, 48)) == 255).sum())
        for reading in (AS_STORED, Reading(nodata=(-9999.0,)))
    ]
    assert counts == [0, 6 * 64]
    assert len(list((tmp_path / "cache" / "decoded").rglob("*/*"))) == 2


# --- bands


def test_four_bands_are_refused_with_a_flag_that_works(tmp_path):
    values = noise(4, *SHAPE, high=4000)
    path = geotiff(tmp_path / "a.tif", values)
    for reader in (read_image, image_size):
        with pytest.raises(DataError, match=r"4 channels.*--bands 3,2,1.*semiseg\[geo\]"):
            reader(path)
    image = decode_image(path, Reading(bands=(3, 2, 1)))
    assert np.array_equal(image.values, np.moveaxis(values[[2, 1, 0]], 0, 2))
    assert image_size(path, Reading(bands=(4,))) == (64, 48)
    assert np.array_equal(decode_image(path, Reading(bands=(4,))).values, values[3])
    with pytest.raises(DataError, match=r"has 4 bands.*--bands 5,1,1.*from 1 to 4"):
        read_image(path, Reading(bands=(5, 1, 1)))


def test_the_check_reads_the_bands_that_are_chosen(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(4):
        geotiff(tmp_path / "images" / f"{i}.tif", noise(4, *SHAPE, high=4000, seed=i))
        Image.fromarray(noise(*SHAPE, high=2, dtype=np.uint8)).save(tmp_path / f"masks/{i}.png")
    report = check(tmp_path)
    assert report.ok
    assert [band.number for band in report.bands] == [1, 2, 3, 4]
    assert check(tmp_path, bands=(3, 2, 1)).bands == ()
    assert check(tmp_path, bands="4").ok


def test_bands_need_the_extra(tmp_path, monkeypatch):
    path = geotiff(tmp_path / "a.tif", noise(4, *SHAPE))
    monkeypatch.setattr(bands, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"a\.tif.*pip install 'semiseg\[geo\]'"):
        read_image(path, Reading(bands=(1, 2, 3)))


def test_infrared_that_is_called_transparency_is_a_band(tmp_path):
    """GDAL marks the fourth band of 8 bits as transparency unless it is told otherwise."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(3):
        values = noise(4, *SHAPE, high=256, dtype=np.uint8, seed=i)
        geotiff(tmp_path / "images" / f"{i}.tif", values, photometric="RGB", alpha="unspecified")
        path = geotiff(tmp_path / "images" / f"{i}.tif", values, photometric="RGB", alpha="yes")
        Image.fromarray(noise(*SHAPE, high=2, dtype=np.uint8)).save(tmp_path / f"masks/{i}.png")
    assert scan_image(path, AS_STORED).details.remarks == ("fourth-band",)
    data = read_dataset(tmp_path)
    assert (data.reading.bands, data.reading.rgb) == ((1, 2, 3, 4), (1, 2, 3))
    assert data.reading.ranges == ((0, 255),) * 4
    assert not findings(data, "fourth-band")
    assert not data.errors()
    assert np.array_equal(np.asarray(read_image(path, data.reading)), np.moveaxis(values, 0, 2))
    bands_412 = decode_image(path, Reading(bands=(4, 1, 2))).image
    assert np.array_equal(np.asarray(bands_412), np.moveaxis(values[[3, 0, 1]], 0, 2))


def test_a_fourth_band_that_is_nothing_is_not_dropped(tmp_path):
    values = noise(4, *SHAPE, high=256, dtype=np.uint8)
    for interleave in ("pixel", "band"):
        options = {"photometric": "RGB", "alpha": "no", "interleave": interleave}
        path = geotiff(tmp_path / "a.tif", values, compress="lzw", **options)
        with pytest.raises(DataError, match="4 channels"):
            read_image(path)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("alpha", ["yes", "premultiplied"])
def test_the_transparency_of_a_deep_tiff_is_dropped(tmp_path, alpha, interleave):
    values = noise(4, *SHAPE)
    options = {"photometric": "RGB", "alpha": alpha, "interleave": interleave}
    path = geotiff(tmp_path / "a.tif", values, **options)
    assert np.array_equal(decode_image(path).values, np.moveaxis(values[:3], 0, 2))


def test_a_jpeg_2000_of_four_bands_needs_a_choice(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    values = noise(4, *SHAPE, high=4000)
    options = {"count": 4, "height": 48, "width": 64, "dtype": "uint16", "driver": "JP2OpenJPEG"}
    path = tmp_path / "a.jp2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", reversible=True, quality=100, **options) as file:
            file.write(values)
    with pytest.raises(DataError, match=r"4 channels.*--bands 3,2,1"):
        read_image(path)
    image = decode_image(path, Reading(bands=(4, 2, 1)))
    assert np.array_equal(image.values, np.moveaxis(values[[3, 1, 0]], 0, 2))


def test_a_mask_of_several_planes_is_not_read_as_its_first_one(tmp_path):
    values = noise(3, *SHAPE, high=2, dtype=np.uint8)
    options = {"photometric": "MINISBLACK", "interleave": "band", "compress": "lzw"}
    path = geotiff(tmp_path / "a.tif", values, **options)
    with pytest.raises(DataError, match="several channels"):
        read_codes(path)


# --- what is said of images of 8 bits


def test_transparent_areas_and_animations_are_said(tmp_path):
    rgba = noise(*SHAPE, 4, high=256, dtype=np.uint8)
    rgba[..., 3] = 255
    Image.fromarray(rgba).save(tmp_path / "opaque.png")
    assert scan_image(tmp_path / "opaque.png", AS_STORED).details.remarks == ()
    rgba[:10, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert scan_image(tmp_path / "a.png", AS_STORED).details.remarks == ("transparent",)
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.png")), rgba[..., :3])
    frames = [Image.fromarray(rgba[..., i]) for i in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert scan_image(tmp_path / "a.gif", AS_STORED).details.remarks == ("animated",)


# --- damage


@pytest.mark.parametrize("kind", ["png", "tif", "bands"])
def test_truncated_deep_files_are_errors(tmp_path, kind):
    path = tmp_path / ("a.png" if kind == "png" else "a.tif")
    if kind == "png":
        png(path, noise(*SHAPE, 3))
    else:
        geotiff(path, noise(3 if kind == "tif" else 4, *SHAPE), compress="lzw")
    reading = Reading(bands=(1, 2, 3)) if kind == "bands" else AS_STORED
    content = path.read_bytes()
    for share in (0.01, 0.1, 0.3, 0.6, 0.9, 0.98):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(DataError, match=path.name):
            read_image(path, reading)


def test_odd_no_data_tags_are_ignored(tmp_path):
    for text in ("nan", "none", "", "1e999", "abc"):
        info = TiffImagePlugin.ImageFileDirectory_v2()
        info[42113] = text
        Image.fromarray(noise(*SHAPE)).save(tmp_path / "a.tif", tiffinfo=info)
        assert decode_image(tmp_path / "a.tif").nodata == ()
