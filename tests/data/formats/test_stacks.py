"""Stacks with an axis of channels: TIFFs of several pages and NIfTI; one image of several bands."""

import numpy as np
import pytest
from PIL import Image

from semiseg.commands.frames import frames
from semiseg.commands.settings.writing import FramesSettings
from semiseg.core.errors import DataError, SettingError
from semiseg.core.reading import Reading
from semiseg.data.formats import stacks
from semiseg.data.formats.band_image import BandImage
from semiseg.data.formats.grid import read_place
from semiseg.data.formats.images import decode_image, image_size, read_image
from semiseg.data.formats.stacks import is_stack, read_pages, stack_header
from semiseg.inference.geotiff import place_of

pytest.importorskip("rasterio")
nibabel = pytest.importorskip("nibabel")
tifffile = pytest.importorskip("tifffile")

NAMES = ["DNA", "ER", "RNA", "AGP", "Mito"]
FIVE = (1, 2, 3, 4, 5)


def noise(*shape, high=4000, dtype=np.uint16, seed=0):
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


def ome(path, values, axes, names=None, **options):
    """An OME-TIFF."""
    metadata = {"axes": axes}
    if names:
        metadata["Channel"] = {"Name": names}
    options = {"photometric": "minisblack", "metadata": metadata, **options}
    tifffile.imwrite(path, values, ome=True, **options)
    return path


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"bigtiff": True}])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.int16])
def test_the_channels_of_an_ome_tiff_are_the_bands_of_one_image(tmp_path, options, dtype):
    values = noise(5, 40, 50, dtype=dtype)
    path = ome(tmp_path / "a.ome.tif", values, "CYX", NAMES, **options)
    image = decode_image(path, Reading(bands=FIVE))
    assert image.depth == "deep bands"
    assert np.array_equal(image.values, np.moveaxis(values, 0, -1))
    assert image.axes == "CYX, as OME-XML says"
    assert image_size(path, Reading(bands=FIVE)) == (50, 40)
    assert stack_header(path) == (tuple(NAMES), (values.dtype.name,) * 5)
    assert not is_stack(path)


@pytest.mark.parametrize("count", [2, 4, 6])
def test_any_number_of_channels_of_8_bits_is_read_as_it_is(tmp_path, count):
    values = noise(count, 40, 50, high=256, dtype=np.uint8)
    path = ome(tmp_path / "a.tif", values, "CYX")
    image = read_image(path, Reading(bands=tuple(range(1, count + 1))))
    assert isinstance(image, BandImage)
    assert np.array_equal(np.asarray(image), np.moveaxis(values, 0, -1))
    assert stack_header(path).names == ("",) * count


def test_three_channels_are_red_green_and_blue_in_the_order_of_the_file(tmp_path):
    values = noise(3, 40, 50, high=256, dtype=np.uint8)
    path = ome(tmp_path / "a.tif", values, "CYX", ["DAPI", "GFP", "TRITC"])
    image = read_image(path)
    assert isinstance(image, Image.Image)
    assert np.array_equal(np.asarray(image), np.moveaxis(values, 0, -1))
    turned = read_image(path, Reading(bands=(3, 1, 2)))
    assert np.array_equal(np.asarray(turned), np.moveaxis(values[[2, 0, 1]], 0, -1))


def test_the_chosen_channels_are_read_in_their_order(tmp_path):
    values = noise(5, 40, 50)
    path = ome(tmp_path / "a.tif", values, "CYX")
    image = decode_image(path, Reading(bands=(4, 2)))
    assert np.array_equal(image.values, np.moveaxis(values[[3, 1]], 0, -1))
    assert np.array_equal(decode_image(path, Reading(bands=(5,))).values, values[4])
    with pytest.raises(DataError, match=r"a\.tif has 5 bands.*Choose from 1 to 5"):
        read_image(path, Reading(bands=(1, 6)))


def test_each_channel_is_scaled_by_its_own_range(tmp_path):
    values = noise(2, 40, 50) * np.array([1, 10], np.uint16)[:, None, None]
    path = ome(tmp_path / "a.tif", values, "CYX")
    reading = Reading(bands=(1, 2), ranges=((0, 4000), (0, 40_000)))
    pixels = np.asarray(read_image(path, reading))
    assert np.array_equal(pixels[..., 0], (values[0] * (255 / 4000)).round())
    assert np.array_equal(pixels[..., 1], (values[1] * (255 / 40_000)).round())


def test_imagej_says_which_axis_holds_the_channels(tmp_path):
    values = noise(4, 40, 50)
    path = tmp_path / "a.tif"
    metadata = {"axes": "CYX", "Labels": ["red", "edge", "nir", "depth"]}
    tifffile.imwrite(path, values, imagej=True, metadata=metadata)
    image = decode_image(path, Reading(bands=(1, 2, 3, 4)))
    assert np.array_equal(image.values, np.moveaxis(values, 0, -1))
    assert "ImageJ's metadata" in image.axes
    assert stack_header(path).names == ("red", "edge", "nir", "depth")


def test_a_compressed_stack_needs_no_further_package(tmp_path):
    values = noise(5, 40, 50)
    path = ome(tmp_path / "plain.tif", values, "CYX", NAMES)
    xml = tifffile.TiffFile(path).ome_metadata
    images = [Image.fromarray(page) for page in values]
    lzw = tmp_path / "lzw.tif"
    options = {"compression": "tiff_lzw", "description": xml}
    images[0].save(lzw, save_all=True, append_images=images[1:], **options)
    image = decode_image(lzw, Reading(bands=FIVE))
    assert np.array_equal(image.values, np.moveaxis(values, 0, -1))


# --- which axes: depths, times, and pages of which nobody knows what they are


def test_a_stack_of_depths_is_refused_with_both_remedies(tmp_path):
    path = ome(tmp_path / "a.tif", noise(6, 40, 50), "ZYX")
    with pytest.raises(DataError) as caught:
        read_image(path)
    text = str(caught.value)
    assert "stack of 6 images of 50 x 40 pixels" in text
    assert "ZYX, as OME-XML says" in text
    assert f"semiseg frames {path} --out DATA/images" in text
    assert "--axes CYX" in text


def test_pages_without_metadata_are_refused_until_the_user_says_what_they_are(tmp_path):
    values = noise(5, 40, 50)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, photometric="minisblack", metadata=None)
    with pytest.raises(DataError) as caught:
        read_image(path)
    text = str(caught.value)
    assert "does not say what they are" in text
    assert "--axes CYX" in text
    assert f"semiseg frames {path}" in text
    image = decode_image(path, Reading(bands=FIVE, axes="CYX"))
    assert np.array_equal(image.values, np.moveaxis(values, 0, -1))
    assert image.axes == "CYX, as --axes says"


@pytest.mark.parametrize("axes", ["ZCYX", "CYXS", "XYZC"])
def test_axes_that_do_not_fit_the_file_are_named(tmp_path, axes):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(5, 40, 50), photometric="minisblack")
    with pytest.raises(DataError, match=rf"a\.tif has axes of 5 x 40 x 50.*--axes {axes}"):
        read_image(path, Reading(axes=axes))


@pytest.mark.parametrize("axes", ["cyx", "CCYX", "XY", "", "CYXZ"])
def test_axes_that_no_file_has_are_a_wrong_setting(axes):
    with pytest.raises(SettingError, match=r"--axes.*such as CYX"):
        FramesSettings("a.tif", out="out", axes=axes)


def test_frames_writes_an_image_of_all_bands_for_each_depth(tmp_path):
    values = noise(3, 5, 40, 50)
    path = ome(tmp_path / "cell.ome.tif", values, "ZCYX", NAMES)
    assert is_stack(path)
    with pytest.raises(DataError, match=r"stack of 3 images.*semiseg frames"):
        read_image(path, Reading(bands=FIVE))
    out = tmp_path / "out"
    text = frames(path, out=out).text()
    assert "3 images written" in text
    assert "ZCYX, as OME-XML says" in text
    assert files(out) == [f"cell.ome_00000{i}.tif" for i in range(3)]
    for i, file in enumerate(sorted(out.iterdir())):
        image = decode_image(file, Reading(bands=FIVE))
        assert np.array_equal(image.values, np.moveaxis(values[i], 0, -1))
        assert stack_header(file).names == tuple(NAMES)


def test_frames_numbers_times_and_depths(tmp_path):
    values = noise(2, 3, 2, 40, 50)
    path = ome(tmp_path / "a.tif", values, "TCZYX")
    frames(path, out=tmp_path / "out")
    names = [f"a_t{t:06d}_z{z:06d}.tif" for t in range(2) for z in range(2)]
    assert files(tmp_path / "out") == names
    image = decode_image(tmp_path / "out" / names[1], Reading())
    assert np.array_equal(image.values, np.moveaxis(values[0, :, 1], 0, -1))


def test_frames_reads_the_axes_that_the_user_names(tmp_path):
    values = noise(3, 4, 40, 50)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, photometric="minisblack")
    frames(path, out=tmp_path / "pages")
    assert len(files(tmp_path / "pages")) == 12
    text = frames(path, out=tmp_path / "out", axes="ZCYX").text()
    assert "as --axes says" in text
    assert len(files(tmp_path / "out")) == 3
    image = decode_image(tmp_path / "out/a_000002.tif", Reading(bands=(1, 2, 3, 4)))
    assert np.array_equal(image.values, np.moveaxis(values[2], 0, -1))


def test_frames_writes_the_same_bytes_each_time(tmp_path):
    path = ome(tmp_path / "a.tif", noise(2, 2, 40, 50), "ZCYX")
    for out in ("one", "two"):
        frames(path, out=tmp_path / out)
    one, two = (sorted((tmp_path / out).iterdir())[0].read_bytes() for out in ("one", "two"))
    assert one == two


def test_a_stack_of_colors_is_no_stack_of_bands(tmp_path):
    values = noise(3, 40, 50, 3, high=256, dtype=np.uint8)
    path = ome(tmp_path / "a.tif", values, "ZYXS", photometric="rgb")
    assert [page.is_banded for page in read_pages(path)] == [False] * 3
    frames(path, out=tmp_path / "out")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/a_000001.png")), values[1])


def test_a_stack_is_no_raster_of_which_gdal_would_read_the_first_page(tmp_path):
    tags = [
        (33550, "d", 3, (1.0, 1.0, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, 500_000.0, 5_000_000.0, 0.0), True),
    ]
    values = noise(3, 40, 50)
    for name, pages in (("map.tif", values[0]), ("stack.tif", values)):
        tifffile.imwrite(tmp_path / name, pages, photometric="minisblack", extratags=tags)
    assert read_place(tmp_path / "map.tif").has_place
    assert read_place(tmp_path / "stack.tif") is None
    assert place_of(tmp_path / "map.tif") is not None
    assert place_of(tmp_path / "stack.tif") is None


# --- files that are refused


def test_one_file_of_a_set_is_refused_and_the_others_are_not_opened(tmp_path):
    xml = ome_of_a_set()
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(2, 40, 50), description=xml, metadata=None)
    (tmp_path / "b.tif").mkdir()
    with pytest.raises(DataError, match=r"a\.tif is one file of a set"):
        read_image(path)


def ome_of_a_set():
    tiff = "".join(
        f'<TiffData FirstC="{i}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}.tif">urn:uuid:{i}</UUID></TiffData>'
        for i, name in enumerate("ab")
    )
    return (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
        'SizeX="50" SizeY="40" SizeC="2" SizeZ="1" SizeT="1">'
        f'<Channel ID="Channel:0"/><Channel ID="Channel:1"/>{tiff}</Pixels></Image></OME>'
    )


def test_metadata_that_define_entities_are_refused(tmp_path):
    xml = f'<!DOCTYPE x [<!ENTITY a "aaaa">]>{ome_of_a_set()}'
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(2, 40, 50), description=xml, metadata=None)
    with pytest.raises(DataError, match=r"a\.tif cannot be read.*entities"):
        read_image(path)


def test_a_stack_says_which_extra_it_needs(tmp_path, monkeypatch):
    path = ome(tmp_path / "a.tif", noise(5, 40, 50), "CYX")
    monkeypatch.setattr(stacks, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"a\.tif is a stack .*pip install 'semiseg\[medical\]'\.$"):
        read_image(path)
    assert stack_header(path) is None


# --- NIfTI


def test_the_channels_of_a_nifti_volume_are_bands(tmp_path):
    values = noise(50, 40, 3, 4, dtype=np.int16)
    path = tmp_path / "brain.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    with pytest.raises(DataError, match=r"stack of 12 images.*XYZT.*--axes XYZC"):
        read_image(path)
    frames(path, out=tmp_path / "films")
    assert files(tmp_path / "films")[4] == "brain_t000001_z000001.png"
    frames(path, out=tmp_path / "out", axes="XYZC")
    assert files(tmp_path / "out") == [f"brain_00000{i}.tif" for i in range(3)]
    image = decode_image(tmp_path / "out/brain_000001.tif", Reading(bands=(1, 2, 3, 4)))
    assert np.array_equal(image.values, values[:, :, 1].transpose(1, 0, 2)[::-1])


def test_a_nifti_slice_of_several_channels_is_one_image(tmp_path):
    values = noise(50, 40, 1, 4, dtype=np.int16)
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    image = decode_image(path, Reading(bands=(3, 1), axes="XYZC"))
    assert np.array_equal(image.values, values[:, :, 0, [2, 0]].transpose(1, 0, 2)[::-1])
