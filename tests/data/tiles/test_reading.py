"""Rasters in tiles, with masks from other rasters and from polygons, through the one reader."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from drawn_maps import Box, write_geojson, write_gpkg, write_raster
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.reading import AS_STORED
from semiseg.core.types import Arrangement
from semiseg.data.classes.labels import read_labels
from semiseg.data.dataset import Dataset
from semiseg.data.formats.images import read_image
from semiseg.data.reader import read_dataset, read_samples

pytest.importorskip("rasterio")

TILES = Arrangement(tile=128)  # of 300 x 300 pixels: 128 and 172 along each side
CROPS = [((0, 0, 60, 60), {"crop": "wheat"}), ((60, 0, 120, 40), {"crop": "rye"})]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))


def _pixels(seed: int = 0, side: int = 300) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(1, 256, (3, side, side), dtype=np.uint8)


def _mask(side: int = 300) -> NDArray[np.uint8]:
    """Three vertical stripes of the classes 0, 1 and 2, which are no multiple of a tile."""
    return np.broadcast_to(np.arange(side) * 3 // side, (side, side)).astype(np.uint8)


def _labels(data: Dataset) -> dict[str, NDArray[np.uint8]]:
    """The labels of all tiles by their names."""
    return {
        sample.name: np.array(read_labels(sample, data.classes, data.reading))
        for sample, _ in data.labeled("train")
    }


def _mosaic(data: Dataset, side: int = 300) -> NDArray[np.uint8]:
    """The labels of a raster, put together from its tiles; 254 where no tile has any."""
    whole = np.full((side, side), 254, np.uint8)
    for name, labels in _labels(data).items():
        left, top = (int(part[1:]) for part in name.rpartition("/")[2].split("-")[:2])
        whole[top : top + labels.shape[0], left : left + labels.shape[1]] = labels
    return whole


def _kinds(data: Dataset, kind: str) -> list[str]:
    return [finding.text for finding in data.findings if finding.kind == kind]


def test_a_raster_is_read_in_tiles_with_the_pixels_of_its_file(tmp_path: Path) -> None:
    root, pixels = tmp_path / "data", _pixels()
    write_raster(root / "images" / "field.tif", pixels)
    write_raster(root / "masks" / "field.tif", _mask())
    data = read_dataset(root, flags=TILES)
    assert data.errors() == ()
    names = [sample.name for sample in data.samples["train"]]
    assert names == [
        "field/x0-y0-w128-h128",
        "field/x128-y0-w172-h128",
        "field/x0-y128-w128-h172",
        "field/x128-y128-w172-h172",
    ]
    last = np.array(read_image(data.samples["train"][3].image, AS_STORED))
    assert np.array_equal(last, np.moveaxis(pixels[:, 128:, 128:], 0, 2))
    assert np.array_equal(_mosaic(data), _mask())
    (text,) = _kinds(data, "tiles")
    assert "images/field.tif (4 tiles, 4 with labels)" in text
    assert [sample.name for sample in read_samples(root, "train", flags=TILES)] == names


def test_dataset_yaml_says_the_side_of_tiles_and_flags_win(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_raster(root / "images" / "field.tif", _pixels())
    write_raster(root / "masks" / "field.tif", _mask())
    (root / "dataset.yaml").write_text("tile: 128\n")
    assert len(read_dataset(root).samples["train"]) == 4
    assert len(read_dataset(root, flags=Arrangement(tile=0)).samples["train"]) == 1
    (root / "dataset.yaml").write_text("tile: -1\n")
    assert "line 1: `tile`" in read_dataset(root).errors()[0].text


def test_a_folder_of_small_maps_is_read_as_before(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for name in "ab":
        write_raster(root / "images" / f"{name}.tif", _pixels())
        write_raster(root / "masks" / f"{name}.tif", _mask())
    samples = read_dataset(root).samples["train"]
    assert [sample.image.name for sample in samples] == ["a.tif", "b.tif"]
    assert [sample.mask for sample in samples] == [root / "masks" / f"{n}.tif" for n in "ab"]


def test_tiles_without_data_are_left_out(tmp_path: Path) -> None:
    root, pixels = tmp_path / "data", _pixels()
    pixels[:, 128:, 128:] = 0
    write_raster(root / "images" / "field.tif", pixels, nodata=0)
    write_raster(root / "images" / "empty.tif", np.zeros_like(pixels), nodata=0)
    write_raster(root / "masks" / "field.tif", _mask())
    data = read_dataset(root, flags=TILES)
    assert [sample.name[-11:] for sample in data.train] == [
        "y0-w128-h128"[-11:],
        "y0-w172-h128"[-11:],
        "128-w128-h172"[-11:],
    ]
    assert any("empty.tif" in text for text in _kinds(data, "no-data"))


@pytest.mark.parametrize(
    ("place", "shape"),
    [
        ((0, 0, 300, 300), (600, 600)),  # twice as fine
        ((-50, -20, 350, 380), (200, 200)),  # half as fine, and larger than the raster
    ],
)
def test_a_mask_of_another_resolution_is_aligned_by_coordinates(
    tmp_path: Path, place: Box, shape: tuple[int, int]
) -> None:
    root = tmp_path / "data"
    left, _, right, _ = place
    columns = left + (np.arange(shape[1]) + 0.5) * (right - left) / shape[1]
    stripes = (columns // 100).clip(0, 2).astype(np.uint8)
    write_raster(root / "images" / "field.tif", _pixels())
    write_raster(root / "masks" / "field.tif", np.broadcast_to(stripes, shape), place)
    data = read_dataset(root, flags=TILES)
    assert data.errors() == ()
    assert np.array_equal(_mosaic(data), _mask())
    beyond = [text for text in _kinds(data, "mask-position") if "reach beyond" in text]
    assert len(beyond) == (left < 0)


def test_a_mask_that_covers_half_of_its_raster_leaves_unlabeled_tiles(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_raster(root / "images" / "field.tif", _pixels())
    write_raster(root / "masks" / "field.tif", _mask()[:100] * 127, (0, 0, 300, 100))  # 0, 127, 254
    data = read_dataset(root, flags=TILES)
    assert data.errors() == ()
    whole = _mosaic(data)
    assert np.array_equal(whole[:100], _mask()[:100])
    assert (whole[100:128] == 255).all()
    assert (whole[128:] == 254).all()  # no tile there has a mask
    assert [sample.mask is None for sample in data.train] == [False, False, True, True]
    assert any("covers 33.3 % of images/field.tif" in t for t in _kinds(data, "mask-position"))


def test_zero_is_a_class_of_a_mask_by_coordinates_even_as_its_mark_of_no_data(
    tmp_path: Path,
) -> None:
    root = tmp_path / "data"
    write_raster(root / "images" / "field.tif", _pixels())
    write_raster(root / "masks" / "field.tif", _mask()[:100], (0, 0, 300, 100), nodata=0)
    data = read_dataset(root, flags=TILES)
    assert data.errors() == ()
    assert np.array_equal(_mosaic(data)[:100], _mask()[:100])


def test_world_files_say_where_masks_without_a_system_lie_and_may_be_corrected(
    tmp_path: Path,
) -> None:
    root = tmp_path / "data"
    plain = {"crs": None, "transform": None}
    write_raster(root / "images" / "field.tif", _pixels(), **plain)
    write_raster(root / "masks" / "field.tif", _mask()[:100], **plain)
    (root / "images" / "field.tfw").write_text("1\n0\n0\n-1\n0.5\n299.5\n")
    for top in (0, 100):
        (root / "masks" / "field.tfw").write_text(f"1\n0\n0\n-1\n0.5\n{299.5 - top}\n")
        data = read_dataset(root, flags=TILES)
        assert data.errors() == ()
        assert np.array_equal(_mosaic(data)[top : top + 100], _mask()[:100])


def test_a_picture_of_another_size_is_a_mask_of_a_transparent_raster(tmp_path: Path) -> None:
    root = tmp_path / "data"
    pixels = np.full((4, 600, 128), 255, np.uint8)
    pixels[:3, :10], pixels[3, :10] = 0, 0
    colors = {"photometric": "RGB", "alpha": "YES"}
    write_raster(root / "images" / "field.tif", pixels, **colors)
    (root / "masks").mkdir()
    mask = np.broadcast_to(np.arange(256) // 128, (1200, 256)).astype(np.uint8)  # twice as large
    Image.fromarray(mask).save(root / "masks" / "field.png")
    data = read_dataset(root, flags=TILES)
    assert data.errors() == ()
    labels = _labels(data)["field/x0-y0-w128-h128"]
    assert (labels[:10] == 255).all()
    assert np.array_equal(labels[10:], np.broadcast_to(np.arange(128) // 64, (118, 128)))


def test_tiles_in_which_the_mask_is_ignored_are_unlabeled(tmp_path: Path) -> None:
    root, mask = tmp_path / "data", _mask().copy()
    mask[128:] = 255
    write_raster(root / "images" / "field.tif", _pixels())
    write_raster(root / "masks" / "field.tif", mask)
    data = read_dataset(root, flags=TILES)
    assert [sample.mask is None for sample in data.train] == [False, False, True, True]
    assert _kinds(data, "all-ignored") == []


def test_a_mask_in_another_system_is_transformed(tmp_path: Path) -> None:
    import rasterio
    from rasterio.warp import Resampling, calculate_default_transform, reproject

    root, place = tmp_path / "data", tmp_path / "utm.tif"
    write_raster(root / "images" / "field.tif", _pixels())
    write_raster(place, _mask() + 1)
    with rasterio.open(place) as file:
        transform, width, height = calculate_default_transform(
            file.crs, "EPSG:3035", 300, 300, *file.bounds, resolution=0.1
        )
        moved = np.zeros((height, width), np.uint8)
        reproject(
            rasterio.band(file, 1),
            moved,
            dst_transform=transform,
            dst_crs="EPSG:3035",
            resampling=Resampling.nearest,
        )
    write_raster(root / "masks" / "field.tif", moved, crs="EPSG:3035", transform=transform)
    data = read_dataset(root, flags=TILES)
    assert data.errors() == ()
    codes = np.array(data.classes.codes)[_mosaic(data)]
    assert (codes[5:-5, 5:-5] == _mask()[5:-5, 5:-5] + 1).mean() > 0.995
    assert any("(EPSG:3035 to EPSG:32633)" in text for text in _kinds(data, "mask-position"))


def test_small_maps_are_aligned_if_their_masks_have_other_pixels(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for name in "ab":
        write_raster(root / "images" / f"{name}.tif", _pixels(side=40))
        mask = np.repeat([[0, 1, 2, 1]], 3, axis=0).astype(np.uint8)
        write_raster(root / "masks" / f"{name}.tif", mask, (-20, 0, 60, 60))
    data = read_dataset(root)
    assert data.errors() == ()
    assert [sample.name for sample in data.train] == ["a", "b"]
    codes = np.array(data.classes.codes)[_labels(data)["a"]]
    assert codes.tolist() == np.repeat([[1] * 20 + [2] * 20], 40, axis=0).tolist()


@pytest.mark.parametrize(
    ("profile", "place", "pattern"),
    [
        ({}, (600_000, 0, 600_300, 200), r"masks/field\.tif: the mask lies 300 km away .*field"),
        (
            {"crs": 'LOCAL_CS["site",UNIT["metre",1]]'},
            (0, 0, 300, 200),
            r"masks/field\.tif \(an unknown system\) cannot be transformed to EPSG:32633",
        ),
        ({"crs": None}, (0, 0, 300, 200), r"masks/field\.tif has no coordinate reference system"),
        ({"crs": None, "transform": None}, None, r"masks/field\.tif has no coordinates"),
    ],
)
def test_a_mask_without_a_common_place_is_refused_in_a_sentence(
    tmp_path: Path, profile: dict[str, object], place: Box | None, pattern: str
) -> None:
    root = tmp_path / "data"
    write_raster(root / "images" / "field.tif", _pixels())
    write_raster(root / "masks" / "field.tif", _mask()[:200], place, **profile)
    (error,) = (f for f in read_dataset(root, flags=TILES).errors() if f.kind == "layout")
    assert re.search(pattern, error.text)


def test_masks_and_rasters_without_a_place_go_together_by_pixels(tmp_path: Path) -> None:
    root, plain = tmp_path / "data", {"crs": None, "transform": None}
    write_raster(root / "images" / "a.tif", _pixels(1), **plain)
    write_raster(root / "masks" / "a.tif", _mask(), **plain)
    write_raster(root / "images" / "b.tif", _pixels(2))
    Image.fromarray(_mask()).save(root / "masks" / "b.png")
    data = read_dataset(root, flags=TILES)
    assert data.errors() == ()
    assert len(data.train) == 8
    for name, labels in _labels(data).items():
        left, top = (int(part[1:]) for part in name.rpartition("/")[2].split("-")[:2])
        height, width = labels.shape
        assert np.array_equal(labels, _mask()[top : top + height, left : left + width])


# --- polygons


@pytest.mark.parametrize("kind", ["labels.gpkg", "images/field.geojson", "masks/field_labels.gpkg"])
@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4326"])
def test_polygons_become_masks_by_value(tmp_path: Path, kind: str, crs: str) -> None:
    root = tmp_path / "data"
    write_raster(root / "images" / "field.tif", _pixels())
    write = write_gpkg if kind.endswith("gpkg") else write_geojson
    write(root / kind, CROPS, crs)
    data = read_dataset(root, flags=TILES)
    assert data.errors() == ()
    assert data.classes.names == ("_background_", "rye", "wheat")
    expected = np.zeros((128, 128), np.uint8)
    expected[:60, :60], expected[:40, 60:120] = 2, 1
    labels = _labels(data)
    assert list(labels) == ["field/x0-y0-w128-h128"]  # no polygon touches the others
    assert np.array_equal(labels["field/x0-y0-w128-h128"], expected)
    assert sum(sample.mask is None for sample in data.train) == 3


def test_pixels_outside_are_ignored_if_asked_for_or_if_background_is_drawn(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_raster(root / "images" / "field.tif", _pixels())
    write_gpkg(root / "labels.gpkg", CROPS)
    data = read_dataset(root, flags=TILES._replace(outside="ignore"))
    assert data.classes.names == ("rye", "wheat")
    assert _mosaic(data)[100, 100] == 255
    (root / "labels.gpkg").unlink()
    write_gpkg(root / "labels.gpkg", [*CROPS, ((0, 60, 60, 90), {"crop": "Background"})])
    data = read_dataset(root, flags=TILES)
    assert data.classes.names == ("_background_", "rye", "wheat")
    assert [int(_mosaic(data)[y, 10]) for y in (10, 70, 110)] == [2, 0, 255]
    data = read_dataset(root, flags=TILES._replace(outside="background"))
    assert _mosaic(data)[110, 10] == 0


def test_what_no_polygon_covers_is_counted_unless_a_person_says_what_it_is(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_raster(root / "images" / "field.tif", _pixels())
    write_gpkg(root / "labels.gpkg", CROPS)
    share = 100 * (1 - (60 * 60 + 60 * 40) / 128**2)
    for _ in range(2):  # the second time, the tiles come from the cache
        findings = read_dataset(root, flags=TILES).findings
        (found,) = (finding for finding in findings if finding.kind == "outside-polygons")
        assert (found.severity, found.files) == ("warning", ("images/field.tif",))
        assert f"({share:.1f} %)" in found.text
        assert "--outside ignore" in found.text
    for outside in ("ignore", "background"):
        said = TILES._replace(outside=outside)
        assert not _kinds(read_dataset(root, flags=said), "outside-polygons")
    (root / "labels.gpkg").unlink()
    write_gpkg(root / "labels.gpkg", [*CROPS, ((0, 0, 128, 120), {"crop": "grass"})])
    findings = read_dataset(root, flags=TILES).findings
    assert [f.severity for f in findings if f.kind == "outside-polygons"] == ["note"]


def test_whole_numbers_are_ids(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_raster(root / "images" / "field.tif", _pixels())
    boxes = [((0, 0, 60, 60), {"class": 3}), ((60, 0, 90, 9), {"class": 7})]
    write_gpkg(root / "labels.gpkg", boxes)
    data = read_dataset(root, flags=TILES)
    assert (data.classes.encoding, data.classes.codes) == ("ids", (0, 3, 7))
    names = "[{name: soil, id: 0}, {name: beet, id: 3}, {name: oat, id: 7}]"
    (root / "classes.yaml").write_text(f"classes: {names}\n")
    assert read_dataset(root, flags=TILES).classes.names == ("soil", "beet", "oat")


def test_one_file_of_polygons_serves_small_maps_and_later_polygons_win(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_raster(root / "a.tif", _pixels(side=20)[:, :10], (0, 0, 20, 10))
    write_raster(root / "b.tif", _pixels(side=20)[:, :10], (0, 10, 20, 20))
    write_raster(root / "c.tif", _pixels(side=20)[:, :10], (0, 900, 20, 910))
    boxes = [((0, 5, 10, 15), {"class": "x"}), ((5, 5, 20, 15), {"class": "y"})]
    write_geojson(root / "labels.geojson", boxes)
    data = read_dataset(root)
    assert data.errors() == ()
    assert [(s.name, s.mask is not None) for s in data.train] == [
        ("a", True),
        ("b", True),
        ("c", False),
    ]
    labels = _labels(data)
    assert labels["a"].tolist() == [[0] * 20] * 5 + [[1] * 5 + [2] * 15] * 5
    assert labels["b"].tolist() == [[1] * 5 + [2] * 15] * 5 + [[0] * 20] * 5


def test_polygons_that_lie_elsewhere_are_an_error(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_raster(root / "images" / "field.tif", _pixels())
    write_gpkg(root / "labels.gpkg", [((600_300, 0, 600_310, 9), {"class": "x"})])
    (error,) = read_dataset(root, flags=TILES).errors()
    assert "labels.gpkg: all polygons lie 300 km away from" in error.text
    write_raster(root / "images" / "field.tif", _pixels(), crs=None)
    (error,) = read_dataset(root, flags=TILES).errors()
    assert "field.tif has no coordinate reference system" in error.text


def test_two_files_that_may_hold_the_polygons_are_an_error(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_raster(root / "images" / "field.tif", _pixels())
    write_gpkg(root / "one.gpkg", CROPS)
    write_gpkg(root / "two.gpkg", CROPS)
    assert any(
        "one.gpkg and two.gpkg may both hold the polygons" in f.text
        for f in read_dataset(root, flags=TILES).errors()
    )


def test_folders_say_the_split_and_the_pool_is_read_in_tiles(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for folder in ("train/images", "val/images", "unlabeled"):
        write_raster(root / folder / f"{folder[0]}.tif", _pixels(len(folder)))
    write_gpkg(root / "labels.gpkg", CROPS)
    data = read_dataset(root, flags=TILES)
    assert data.errors() == ()
    counts = {split: len(samples) for split, samples in data.samples.items()}
    assert counts == {"train": 4, "unlabeled": 4, "val": 4, "test": 0}
    assert len(data.val) == 1
    assert data.samples["unlabeled"][0].name == "unlabeled/u/x0-y0-w128-h128"


def test_folders_that_a_person_names_may_hold_polygons(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_raster(root / "maps" / "field.tif", _pixels())
    write_gpkg(root / "drawn" / "field.gpkg", CROPS)
    flags = TILES._replace(images=Path("maps"), masks=Path("drawn"))
    data = read_dataset(root, flags=flags)
    assert data.errors() == ()
    assert [name for name in _labels(data)] == ["field/x0-y0-w128-h128"]


def test_without_the_extra_a_map_is_one_image_and_polygons_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    write_raster(root / "images" / "field.tif", _pixels())
    write_gpkg(root / "labels.gpkg", CROPS)
    monkeypatch.setattr("semiseg.data.tiles.expand.can_read_bands", lambda: False)
    (error,) = read_dataset(root, flags=TILES).errors()
    assert "labels.gpkg is laid over" in error.text
    assert "pip install 'semiseg[geo]'" in error.text
    (root / "labels.gpkg").unlink()
    write_raster(root / "masks" / "field.tif", _mask())
    data = read_dataset(root, flags=TILES)
    assert [sample.image for sample in data.train] == [root / "images" / "field.tif"]
    assert any("pip install 'semiseg[geo]'" in text for text in _kinds(data, "needs-extra"))


def test_pixels_that_are_transparent_are_ignored(tmp_path: Path) -> None:
    root, pixels = tmp_path / "data", np.concatenate([_pixels(), _pixels(1)[:1]])
    pixels[3], pixels[3, :30] = 255, 0
    profile = {"photometric": "RGB", "alpha": "yes"}
    write_raster(root / "images" / "field.tif", pixels, **profile)
    write_raster(root / "masks" / "field.tif", _mask())
    data = read_dataset(root, flags=TILES)
    assert data.errors() == ()
    whole = _mosaic(data)
    assert (whole[:30] == 255).all()
    assert np.array_equal(whole[30:], _mask()[30:])


def test_masks_of_colors_and_of_a_color_table(tmp_path: Path) -> None:
    root = tmp_path / "data"
    colors = np.array([(0, 0, 0), (200, 10, 10), (10, 200, 10)], np.uint8)
    write_raster(root / "images" / "field.tif", _pixels())
    write_raster(
        root / "masks" / "field.tif", np.moveaxis(colors[_mask()], 2, 0)[:, :100], (0, 0, 300, 100)
    )
    data = read_dataset(root, flags=TILES)
    assert data.errors() == ()
    assert data.classes.names == ("#000000", "#0ac80a", "#c80a0a")
    assert np.array_equal(_mosaic(data)[:100], np.array([0, 2, 1])[_mask()[:100]])
    assert (_mosaic(data)[100:128] == 255).all()
    import rasterio

    write_raster(root / "masks" / "field.tif", _mask())
    with rasterio.open(root / "masks" / "field.tif", "r+") as file:
        file.write_colormap(1, {i: (*map(int, color), 255) for i, color in enumerate(colors)})
    data = read_dataset(root, flags=TILES)
    assert data.classes.colors == tuple(map(tuple, colors.tolist()))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("images/field.tif", "Unreadable images"),
        ("masks/field.tif", "cannot be read to the end"),
    ],
)
def test_a_raster_that_is_cut_off_is_refused_by_name(tmp_path: Path, file: str, text: str) -> None:
    root = tmp_path / "data"
    write_raster(root / "images" / "field.tif", _pixels())
    write_raster(root / "masks" / "field.tif", _mask())
    path = root / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    errors = [finding.text for finding in read_dataset(root, flags=TILES).errors()]
    assert any(text in error and file in error for error in errors)
