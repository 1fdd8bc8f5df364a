"""Which bands of the images of a data folder are read, and what their values become."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import semiseg
from semiseg.core.errors import DataError, SettingError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.types import Arrangement
from semiseg.data.dataset import Dataset
from semiseg.data.dataset_file import read_dataset_file
from semiseg.data.formats import bands as band_files
from semiseg.data.formats.images import read_image, read_valid
from semiseg.data.reader import read_dataset
from semiseg.data.tree import Tree

rasterio = pytest.importorskip("rasterio")
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

SHAPE = (24, 32)
NAMES = ("blue", "green", "red", "red edge", "nir")


def tiff(path: Path, values: NDArray, names: Sequence[str] = (), **options: object) -> Path:
    """A TIFF of `(bands, H, W)`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    shape = {"count": count, "height": height, "width": width, "dtype": values.dtype}
    with rasterio.open(path, "w", driver="GTiff", **shape, **options) as file:
        file.write(values)
        for number, name in enumerate(names, 1):
            file.set_band_description(number, name)
    return path


def noise(count: int, dtype: str = "uint16", high: float = 3000, seed: int = 0) -> NDArray:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, high, (count, *SHAPE)).astype(dtype)


def folder(root: Path, images: Sequence[NDArray], names: Sequence[str] = (), **options) -> Path:
    """A data folder of TIFFs with masks of two classes."""
    (root / "masks").mkdir(parents=True)
    for i, values in enumerate(images):
        tiff(root / "images" / f"{i}.tif", values, names, **options)
        mask(root, f"{i}")
    return root


def mask(root: Path, name: str) -> None:
    ids = np.tile(np.arange(SHAPE[1]) % 2, (SHAPE[0], 1)).astype(np.uint8)
    Image.fromarray(ids).save(root / "masks" / f"{name}.png")


def kinds(data: Dataset, severity: str) -> list[str]:
    return [finding.kind for finding in data.findings if finding.severity == severity]


def finding(data: Dataset, kind: str) -> str:
    (text,) = [one.text for one in data.findings if one.kind == kind]
    return text


@pytest.mark.parametrize("count", [2, 4, 5, 6])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_all_bands_are_read_by_the_range_of_each(tmp_path: Path, dtype: str, count: int) -> None:
    """Without no-data and not-a-number, which are 0 where all bands hold them."""
    nodata = {"uint8": 0, "uint16": 65535, "int16": -9999, "float32": -9999.0}[dtype]
    tops = np.array([255 if dtype == "uint8" else 100 * 2**n for n in range(count)])
    lows = np.zeros(count) if dtype in ("uint8", "uint16") else -tops / 2
    images = []
    for seed in range(3):
        share = np.random.default_rng(seed).random((count, *SHAPE))
        values = (lows + (tops - lows) * share.transpose(1, 2, 0)).transpose(2, 0, 1)
        values = values.astype(dtype)
        values[values == nodata] += 1
        values[:, :3] = nodata
        if dtype == "float32":
            values[:, 3] = np.nan
            values[0, 4] = np.nan
        images.append(values)
    data = read_dataset(folder(tmp_path, images, nodata=nodata, photometric="MINISBLACK"))
    assert not data.errors()
    reading = data.reading
    assert reading.bands == tuple(range(1, count + 1))
    assert reading.value_range is None
    assert reading.ranges is not None
    expected = [(0, 255)] * count if dtype == "uint8" else list(zip(lows, tops, strict=True))
    for ends, wanted in zip(reading.ranges, expected, strict=True):
        width = wanted[1] - wanted[0]
        assert ends == pytest.approx(wanted, abs=0.02 * width)
    path = tmp_path / "images" / "1.tif"
    pixels = np.asarray(read_image(path, reading))
    assert pixels.shape == (*SHAPE, count)
    low, high = np.array(reading.ranges).T
    raw = np.moveaxis(images[1], 0, 2).astype(float)
    scaled = np.nan_to_num(((raw - low) * (255 / (high - low))).clip(0, 255)).round()
    invalid = slice(0, 4 if dtype == "float32" else 3)
    if dtype == "uint8":
        scaled = raw
    scaled[invalid] = nodata if dtype == "uint8" else 0
    assert np.array_equal(pixels, scaled)
    if dtype == "float32":
        assert pixels[4, :, 0].max() == 0
        assert pixels[4, :, 1].max() > 0
    valid = read_valid(path, reading)
    assert valid is not None
    assert not valid[invalid].any()
    assert valid[invalid.stop :].all()


def test_a_note_names_the_bands_and_how_to_choose(tmp_path: Path) -> None:
    data = read_dataset(folder(tmp_path, [noise(5, seed=i) for i in range(3)], NAMES))
    text = finding(data, "bands")
    for part in ("5 bands", "4 (red edge)", "--bands 3,2,1", "3, 2, 1 are red, green and blue"):
        assert part in text
    assert [band.name for band in data.bands] == list(NAMES)
    assert data.reading.color_channels == (2, 1, 0)
    shown = np.asarray(read_image(tmp_path / "images" / "0.tif", data.reading).convert("RGB"))
    pixels = np.asarray(read_image(tmp_path / "images" / "0.tif", data.reading))
    assert np.array_equal(shown, pixels[..., [2, 1, 0]])


def test_without_names_the_first_bands_are_shown_and_are_no_colors(tmp_path: Path) -> None:
    data = read_dataset(folder(tmp_path, [noise(2, seed=i) for i in range(3)]))
    assert data.reading.color_channels is None
    assert data.reading.shown_channels == (0, 1, 1)
    assert "1, 2, 2" in finding(data, "bands")


def test_infrared_beside_colors_keeps_the_colors(tmp_path: Path) -> None:
    images = [noise(4, seed=i) for i in range(3)]
    data = read_dataset(folder(tmp_path, images, photometric="RGB"))
    assert (data.reading.bands, data.reading.rgb) == ((1, 2, 3, 4), (1, 2, 3))


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("soft", [False, True])
def test_a_true_transparency_is_no_band(tmp_path: Path, count: int, soft: bool) -> None:
    images = []
    for seed in range(3):
        values = noise(count + 1, "uint8", 255, seed)
        values[-1] = 255
        values[-1, :6] = 0
        if soft:
            values[-1, 6] = np.linspace(1, 254, SHAPE[1])
        images.append(values)
    options = {"photometric": "RGB"} if count == 3 else {"photometric": "MINISBLACK"}
    root = folder(tmp_path, images, **options)
    for path in (root / "images").iterdir():
        with rasterio.open(path, "r+") as file:
            file.colorinterp = [*file.colorinterp[:-1], rasterio.enums.ColorInterp.alpha]
    data = read_dataset(root)
    assert not data.errors()
    assert data.reading.bands == (None if count == 3 else (1, 2, 3, 4, 5))
    assert np.asarray(read_image(root / "images/0.tif", data.reading)).shape == (*SHAPE, count)


def test_infrared_that_the_file_calls_transparency_is_a_band(tmp_path: Path) -> None:
    """As rasterio writes four bands of 8 bits, if nobody says what they are."""
    images = [noise(4, "uint8", 255, seed=i) for i in range(3)]
    images[1][3] = 255  # a tile without anything to see
    data = read_dataset(folder(tmp_path, images))
    assert (data.reading.bands, data.reading.rgb) == ((1, 2, 3, 4), (1, 2, 3))
    pixels = np.asarray(read_image(tmp_path / "images" / "0.tif", data.reading))
    assert np.array_equal(pixels, np.moveaxis(images[0], 0, 2))


@pytest.mark.parametrize("count", [2, 4, 5])
def test_jpeg_2000_files_give_all_bands(tmp_path: Path, count: int) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    shape = {"count": count, "height": SHAPE[0], "width": SHAPE[1], "dtype": "uint16"}
    for i in range(3):
        path = tmp_path / "images" / f"{i}.jp2"
        with rasterio.open(
            path, "w", driver="JP2OpenJPEG", reversible=True, quality=100, **shape
        ) as file:
            file.write(noise(count, seed=i))
        mask(tmp_path, f"{i}")
    data = read_dataset(tmp_path)
    assert not data.errors()
    assert data.reading.bands == tuple(range(1, count + 1))
    low, high = np.array(data.reading.ranges).T
    scaled = ((noise(count, seed=2).transpose(1, 2, 0) - low) * (255 / (high - low))).clip(0, 255)
    assert np.array_equal(np.asarray(read_image(path, data.reading)), scaled.round())


def test_infrared_is_said_where_the_extra_is_missing(tmp_path: Path, monkeypatch) -> None:
    root = folder(tmp_path, [noise(4, "uint8", 255, seed=i) for i in range(3)])
    monkeypatch.setattr(band_files, "find_spec", lambda name: None)
    data = read_dataset(root)
    assert not data.errors()
    assert "semiseg[geo]" in finding(data, "fourth-band")
    assert data.reading.bands is None


def test_the_extra_is_named_once(tmp_path: Path, monkeypatch) -> None:
    root = folder(tmp_path, [noise(5, seed=i) for i in range(3)])
    monkeypatch.setattr(band_files, "find_spec", lambda name: None)
    data = read_dataset(root)
    assert kinds(data, "error") == ["unreadable-image"]
    assert data.errors()[0].text.count("pip install 'semiseg[geo]'") == 1


def test_other_numbers_of_bands_are_one_error_with_the_files(tmp_path: Path) -> None:
    root = folder(tmp_path, [noise(5, seed=i) for i in range(3)])
    tiff(root / "images" / "odd.tif", noise(4))
    mask(root, "odd")
    (root / "unlabeled").mkdir()
    Image.fromarray(noise(3, "uint8", 255).transpose(1, 2, 0)).save(root / "unlabeled/u.png")
    data = read_dataset(root)
    assert kinds(data, "error") == ["band-count"]
    text = finding(data, "band-count")
    for part in ("images/odd.tif (4 bands)", "unlabeled/u.png (3 channels)", "--bands 1,2,3."):
        assert part in text
    assert not read_dataset(root, reading=Reading(bands=(1, 2, 3))).errors()
    (root / "unlabeled/u.png").unlink()
    assert "--bands 1,2,3,4." in finding(read_dataset(root), "band-count")
    assert not read_dataset(root, reading=Reading(bands=(4, 1))).errors()
    chosen = read_dataset(root, reading=Reading(bands=(5, 4)))
    assert kinds(chosen, "error") == ["band-count"]
    assert "odd.tif" in finding(chosen, "band-count")


def test_a_raster_among_photographs_is_an_error(tmp_path: Path) -> None:
    root = folder(tmp_path, [noise(3, "uint8", 255, seed=i) for i in range(3)], photometric="RGB")
    tiff(root / "images" / "odd.tif", noise(6))
    mask(root, "odd")
    data = read_dataset(root)
    assert kinds(data, "error") == ["band-count"]
    assert "images/odd.tif (6 bands)" in finding(data, "band-count")


def test_bands_are_chosen_by_name(tmp_path: Path) -> None:
    root = folder(tmp_path, [noise(5, seed=i) for i in range(3)], NAMES)
    flags = Arrangement(bands=("NIR", 1, "red", "green"), rgb=("red", "green", 1))
    reading = read_dataset(root, flags=flags).reading
    assert (reading.bands, reading.rgb) == ((5, 1, 3, 2), (3, 2, 1))
    assert reading.color_channels == (2, 3, 1)
    with pytest.raises(DataError, match=r"0\.tif has no bands .*'swir'.* 1 blue, 2 green, 3 red"):
        read_dataset(root, flags=Arrangement(bands=("red", "swir")))
    with pytest.raises(DataError, match=r"--rgb 3,2,5 names bands that are not read.* 1,2,3"):
        read_dataset(root, flags=Arrangement(bands=(1, 2, "red"), rgb=(3, 2, "nir")))
    tiff(root / "images" / "2.tif", noise(5), NAMES[::-1])
    with pytest.raises(DataError, match=r"'red edge' is number 4 in .* number 2 in .*2\.tif"):
        read_dataset(root, flags=Arrangement(bands=("red edge", 1)))


def test_a_broken_file_does_not_hide_the_names_of_bands(tmp_path: Path) -> None:
    root = folder(tmp_path, [noise(5, seed=i) for i in range(3)], NAMES)
    (root / "images" / "1.tif.ovr").write_bytes(b"GDAL would open it")
    data = read_dataset(root, flags=Arrangement(bands=("nir", "red")))
    assert data.reading.bands == (5, 3)
    (text,) = (error.text for error in data.errors())
    assert "images/1.tif: 1.tif.ovr beside it is no TIFF" in text


def test_names_need_files_that_name_their_bands(tmp_path: Path) -> None:
    Image.fromarray(noise(3, "uint8", 255).transpose(1, 2, 0)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"'red'.* Give numbers"):
        read_dataset(tmp_path, flags=Arrangement(bands=("red",)))


def test_the_colors_of_three_bands_are_their_order(tmp_path: Path) -> None:
    root = folder(tmp_path, [noise(3, "uint8", 255, i) for i in range(3)], photometric="RGB")
    assert read_dataset(root, reading=Reading(rgb=(3, 2, 1))).reading == Reading(bands=(3, 2, 1))


def test_a_range_holds_for_all_bands_or_for_each(tmp_path: Path) -> None:
    root = folder(tmp_path, [noise(4, seed=i) for i in range(3)])
    assert semiseg.check(root, value_range=(0, 4000)).bands[3].range == (0, 4000)
    report = semiseg.check(root, value_range=(0, 1, 0, 2, 0, 3, 0, 4))
    assert [band.range for band in report.bands] == [(0, 1), (0, 2), (0, 3), (0, 4)]
    with pytest.raises(DataError, match=r"--range .* 5 bands, but 4 bands are read"):
        semiseg.check(root, value_range=(0, 1) * 5)
    with pytest.raises(SettingError, match="two for each band"):
        semiseg.check(root, bands=(1, 2), value_range=(0, 1) * 3)
    assert semiseg.check(root, bands=(3, 2, 1), value_range=(0, 4000)).bands == ()


def test_a_constant_band_is_a_warning_and_divides_by_nothing(tmp_path: Path) -> None:
    images = [noise(4, "float32", seed=i) for i in range(3)]
    for image in images:
        image[2] = 7
    data = read_dataset(folder(tmp_path, images))
    text = finding(data, "constant-band")
    assert "--bands 1,2,4 leaves them out" in text
    low, high = data.reading.ranges[2]
    assert low == 7 < high
    assert np.asarray(read_image(tmp_path / "images" / "0.tif", data.reading))[..., 2].max() == 0


def test_the_scans_depend_on_the_bands_and_not_on_the_ranges(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    root = folder(tmp_path / "data", [noise(4, seed=i) for i in range(3)])
    files = set()
    for reading in (AS_STORED, Reading(bands=(3, 2, 1)), Reading(rgb=(4, 2, 1))):
        read_dataset(root, reading=reading)
        files |= set((tmp_path / "cache").glob("**/scans-*.json"))
    count = len(files)
    read_dataset(root, reading=Reading(value_range=(0, 9)))
    assert len(set((tmp_path / "cache").glob("**/scans-*.json"))) == count
    digests = {
        str({path: scan.digest for path, scan in read_dataset(root, reading=r).images.items()})
        for r in (AS_STORED, Reading(bands=(3, 2, 1)), Reading(bands=(1, 2)))
    }
    assert len(digests) == 3


def test_dataset_yaml_keeps_the_choice(tmp_path: Path) -> None:
    root = folder(tmp_path, [noise(5, seed=i) for i in range(3)], NAMES)
    bands, rgb = ("nir", "red", "green", "blue"), ("red", "green", "blue")
    semiseg.init(root, bands=bands, rgb=rgb, value_range=(0, 4000))
    content = read_dataset_file(Tree(root)).content
    assert (content.bands, content.rgb) == (list(bands), list(rgb))
    reading = read_dataset(root).reading
    assert (reading.bands, reading.rgb) == ((5, 3, 2, 1), (3, 2, 1))
    assert reading.ranges == ((0, 4000),) * 4
    semiseg.init(root, overwrite=True)
    assert read_dataset(root).reading == reading
    other = read_dataset(root, reading=Reading(bands=(1, 2), rgb=None))
    assert other.reading.bands == (1, 2)


def test_dataset_yaml_gives_a_range_for_each_band(tmp_path: Path) -> None:
    root = folder(tmp_path, [noise(2, seed=i) for i in range(3)])
    (root / "dataset.yaml").write_text("bands: [2, 1]\nvalue_range: [0, 10, 0, 20]\n")
    assert read_dataset(root).reading == Reading(bands=(2, 1), ranges=((0, 10), (0, 20)))


def test_a_choice_that_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    for bands in ("0,1", "-1", "red,,nir"):
        with pytest.raises(SettingError, match="--bands"):
            semiseg.check(tmp_path, bands=bands)
    for rgb in ("1,2", "1,1,2", "0,1,2"):
        with pytest.raises(SettingError, match="--rgb"):
            semiseg.check(tmp_path, rgb=rgb)


def test_check_shows_the_bands_as_text_and_json(tmp_path: Path) -> None:
    report = semiseg.check(folder(tmp_path, [noise(5, seed=i) for i in range(3)], NAMES))
    row = next(line for line in report.text().splitlines() if "red edge" in line)
    assert row.split()[:4] == ["4", "red", "edge", "uint16"]
    bands = report.to_dict()["bands"]
    assert [band["color"] for band in bands] == ["blue", "green", "red", "", ""]
    assert bands[4]["name"] == "nir"
    assert bands[4]["range"] == report.bands[4].range


def test_the_plan_names_bands_and_ranges(tmp_path: Path) -> None:
    root = folder(tmp_path, [noise(5, seed=i) for i in range(4)], NAMES)
    plan = semiseg.plan(root, accelerator="cpu", rgb="red,green,nir")
    assert plan.value("bands") == [1, 2, 3, 4, 5]
    assert plan.value("rgb") == [3, 2, 5]
    assert len(plan.value("value_range")) == 10
    expected = read_dataset(root, reading=Reading(rgb=(3, 2, 5))).reading
    assert plan.config.data.reading == expected


def test_rgb_images_are_read_as_before(tmp_path: Path) -> None:
    root = folder(tmp_path, [noise(3, "uint8", 255, i) for i in range(3)], photometric="RGB")
    data = read_dataset(root)
    assert data.reading == AS_STORED
    assert data.bands == ()
    assert isinstance(read_image(root / "images" / "0.tif", data.reading), Image.Image)
    assert semiseg.check(root).to_dict()["bands"] == []


def test_the_channels_of_a_microscope_are_bands(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    names = ["DAPI", "ER", "RNA", "AGP"]
    (tmp_path / "masks").mkdir()
    (tmp_path / "images").mkdir()
    for i in range(3):
        path = tmp_path / "images" / f"{i}.ome.tif"
        tifffile.imwrite(
            path, noise(4, seed=i), metadata={"axes": "CYX", "Channel": {"Name": names}}
        )
        mask(tmp_path, f"{i}")
    data = read_dataset(tmp_path)
    assert not data.errors()
    assert [band.name for band in data.bands] == names
    assert {band.type for band in data.bands} == {"uint16"}
    assert data.reading.bands == (1, 2, 3, 4)
    assert np.asarray(read_image(path, data.reading)).shape == (*SHAPE, 4)
    chosen = read_dataset(tmp_path, flags=Arrangement(bands=("agp", "dapi")))
    assert chosen.reading.bands == (4, 1)
