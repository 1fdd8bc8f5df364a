"""GeoTIFFs become GeoTIFFs at the same place on the earth, in windows, whatever was killed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_rasters import COLORS, NAMES, draw_field, write_scene
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.reading import Reading
from semiseg.data.formats.images import read_image
from semiseg.data.formats.masks import Classes
from semiseg.inference import raster_prediction, reading
from semiseg.inference.figures import Figures
from semiseg.inference.geotiff import Place, place_of
from semiseg.inference.predictor import Predictor
from semiseg.inference.raster_files import nodata_value
from semiseg.inference.raster_image import RasterImage, find_empty
from semiseg.inference.raster_prediction import Options, RasterJob, segment_raster
from semiseg.inference.reading import Maps
from semiseg.inference.sliding import Segmenter
from semiseg.model.metadata import ModelMetadata, NetworkSpec
from semiseg.plots.overlay import overlay

rasterio = pytest.importorskip("rasterio", reason="pip install 'semiseg[geo]'")
READING = Reading(bands=(1, 2, 3, 4, 5, 6), ranges=((0.0, 3000.0),) * 6, rgb=(3, 2, 1))
CLASSES = Classes(NAMES, COLORS, "ids", (1, 2, 3, 7))
OPTIONS = Options("hash")


def local(images: NDArray[np.uint8]) -> Maps:
    """A model that sees one cell at a time: the means of some bands are the logits."""
    padded = np.pad(images, ((0, 0), (0, 0), *((0, -n % 4) for n in images.shape[-2:])), "edge")
    batch, bands, height, width = padded.shape
    cells = padded.reshape(batch, bands, height // 4, 4, width // 4, 4).mean(axis=(3, 5))
    logits = cells[:, [-1, 0, 1, min(2, bands - 1)]].astype(np.float32) / 16
    return Maps(logits, logits / 16)


def predictor(how: Reading = READING, classes: Classes = CLASSES, **changes: Any) -> Predictor:
    count = how.channels
    spec = NetworkSpec(
        classes=4, encoder="e", decoder="d", mean=(0,) * count, std=(1,) * count, channels=count
    )
    metadata = ModelMetadata(network=spec, classes=classes, size=48, reading=how, **changes)
    return Predictor(metadata, Segmenter(local, 48, crop=32), two_spaces=True)


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """A scene of six bands with a border without data."""
    path = tmp_path / "in" / "field.tif"
    write_scene(path, None, draw_field(0, (300, 220), border=0.1))
    return path


def job_of(path: Path, out: Path, *kinds: str, factor: float | None = 1.0) -> RasterJob:
    place = place_of(path)
    assert place is not None
    targets = {kind: out / kind / path.name for kind in (*kinds, "")}
    return RasterJob(path, place, factor, targets)


def run(job: RasterJob, model: Predictor | None = None, options: Options = OPTIONS) -> list[float]:
    return list(segment_raster(model or predictor(), job, options))


def values(path: Path, band: int | None = 1) -> NDArray[Any]:
    with rasterio.open(path) as file:
        return np.asarray(file.read(band))


def is_cloud_optimized(path: Path) -> bool:
    """Tiles, overviews, and every directory before the pixels; the pixels of overviews first."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        pages = list(file.pages)
        tiled = all(page.is_tiled or max(page.shape[:2]) <= 512 for page in pages)
        shrinking = all(a.shape[0] > b.shape[0] for a, b in pairwise(pages))
        directories = [page.offset for page in pages]
        starts = [min(page.dataoffsets) for page in pages]
    ordered = directories == sorted(directories) and max(directories) < min(starts)
    return tiled and shrinking and ordered and starts == sorted(starts, reverse=True)


def test_the_mask_has_the_place_the_colors_and_the_names(field: Path, tmp_path: Path) -> None:
    job = job_of(field, tmp_path / "out", "confidence", "colors", "overlays", "reliability")
    assert run(job)[-1] == 1.0
    expected = predictor().segment.at_scale(read_image(field, READING), 1.0)
    empty = (values(field, None) == 0).all(axis=0)
    assert empty.any()
    with rasterio.open(field) as source, rasterio.open(job.targets[""]) as mask:
        assert (mask.crs, mask.transform, mask.shape) == (
            source.crs,
            source.transform,
            source.shape,
        )
        assert mask.nodata == 255
        assert mask.colormap(1)[7][:3] == COLORS[3]
        assert mask.tags(1) == {"class_1": "field", "class_2": "dry"} | {
            "class_3": "water",
            "class_7": "road",
        }
        found = mask.read(1)
    codes = np.array(CLASSES.codes, np.uint8)
    np.testing.assert_array_equal(found, np.where(empty, 255, codes[expected.mask]))
    confidence = values(job.targets["confidence"])
    np.testing.assert_allclose(confidence[~empty] / 255, expected.confidence[~empty], atol=2e-3)
    assert (confidence[empty] == 0).all()
    colors = values(job.targets["colors"], None)
    np.testing.assert_array_equal(colors[:, ~empty].T, np.array(COLORS)[expected.mask[~empty]])
    for kind, bands in (("colors", 3), ("overlays", 3), ("reliability", 3), ("confidence", 1)):
        with rasterio.open(job.targets[kind]) as file, rasterio.open(field) as source:
            assert (file.crs, file.transform, file.shape) == (
                source.crs,
                source.transform,
                source.shape,
            )
            assert file.count == bands
    shown = values(job.targets["overlays"], None).astype(int)
    photograph = read_image(field, READING).convert("RGB")
    drawn = np.asarray(overlay(photograph, expected.mask, COLORS)).transpose(2, 0, 1)
    assert abs(shown - drawn.astype(int))[:, ~empty].mean() < 6
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_large_mask_is_cloud_optimized(tmp_path: Path) -> None:
    path = tmp_path / "in" / "large.tif"
    write_scene(path, None, draw_field(1, (1100, 900)))
    job = job_of(path, tmp_path / "out", "confidence")
    run(job)
    for kind in job.targets:
        with rasterio.open(job.targets[kind]) as file:
            assert file.overviews(1) == [2, 4][: len(file.overviews(1))] != []
            assert file.block_shapes == [(512, 512)]
        assert is_cloud_optimized(job.targets[kind])


def test_an_image_at_the_size_of_the_training_is_the_same_in_windows(
    field: Path, tmp_path: Path
) -> None:
    job = job_of(field, tmp_path / "out", factor=None)
    run(job)
    expected = next(predictor().segment([read_image(field, READING)]))
    found = values(job.targets[""])
    codes = np.array(CLASSES.codes, np.uint8)
    np.testing.assert_array_equal(found[found != 255], codes[expected.mask][found != 255])


def test_windows_of_a_raster_are_parts_of_the_image(field: Path) -> None:
    whole = read_image(field, READING)
    image = RasterImage(field, READING, whole.size)
    for box in ((0, 0, 64, 64), (48, 0, 112, 64), (150, 200, 220, 300), (0, 10, 5, 12)):
        np.testing.assert_array_equal(np.asarray(image.crop(box)), np.asarray(whole.crop(box)))
    np.testing.assert_array_equal(np.asarray(image.whole()), np.asarray(whole))
    np.testing.assert_array_equal(np.asarray(image.reduced(3)), np.asarray(whole.reduce(3)))
    assert find_empty(field, READING, slice(100, 110), whole.width) is not None


def test_in_python_a_raster_is_read_in_windows(
    field: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read_image(field, READING)
    expected = predictor().segment.at_scale(whole, 0.8, probabilities=True)
    fitted = next(predictor().segment([whole]))
    monkeypatch.setattr("semiseg.inference.predictor.read_picture", None)
    prediction = predictor().predict(field, scale=0.8, probabilities=True)
    empty = find_empty(field, READING, slice(0, whole.height), whole.width)
    assert empty is not None
    np.testing.assert_array_equal(prediction.mask, np.where(empty, 255, expected.mask))
    np.testing.assert_array_equal(prediction.probabilities, expected.probabilities)
    mask = predictor().predict(field, scale="fit").mask
    np.testing.assert_array_equal(mask, np.where(empty, 255, fitted.mask))


@pytest.mark.parametrize("factor", [1.0, 0.7, None])
def test_a_stopped_prediction_goes_on_and_gives_the_same_bytes(
    field: Path, tmp_path: Path, factor: float | None, monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    monkeypatch.setattr(raster_prediction, "RESUMABLE", 0)
    monkeypatch.setattr(raster_prediction, "_MAX_BAND", 40 * 220)
    monkeypatch.setattr(reading, "_MAX_STRIP", 4 * 20 * 220)
    jobs = [job_of(field, tmp_path / name, "confidence", factor=factor) for name in ("a", "b")]
    windows: list[int] = []

    def counted(images: NDArray[np.uint8]) -> Maps:
        windows.append(len(images))
        return local(images)

    model = predictor()
    model.segment.forward = counted
    figures: list[Figures] = []
    list(segment_raster(model, jobs[0], OPTIONS, figures.append))
    total, share = sum(windows), 0.0
    windows.clear()
    for share in segment_raster(model, jobs[1], OPTIONS):
        if share > 0.6:
            break
    assert not jobs[1].targets[""].exists()
    windows.clear()
    assert min(segment_raster(model, jobs[1], OPTIONS, figures.append)) > share - 0.35
    assert figures[0] == figures[1]  # also of the rows that the killed call wrote
    assert factor is None or 0 < sum(windows) < 0.7 * total
    assert "goes on at row" in log.text
    for kind in ("confidence", ""):
        one, two = (job.targets[kind].read_bytes() for job in jobs)
        assert one == two
    assert not list(tmp_path.rglob("*.part"))


def test_a_small_raster_that_is_stopped_leaves_nothing_behind(field: Path, tmp_path: Path) -> None:
    for share in segment_raster(predictor(), job_of(field, tmp_path / "out"), OPTIONS):
        assert share > 0
        break
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("change", ["model", "image", "setting", "damage"])
def test_rows_of_another_model_image_or_setting_are_not_used(
    field: Path, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch, log: Any
) -> None:
    monkeypatch.setattr(raster_prediction, "RESUMABLE", 0)
    job = job_of(field, tmp_path / "out")
    for share in segment_raster(predictor(), job, OPTIONS):
        if share > 0.6:
            break
    options = OPTIONS
    if change == "model":
        options = Options("other")
    elif change == "setting":
        options = Options("hash", abstain=0.9)
    elif change == "image":
        write_scene(field, None, draw_field(5, (300, 220)))
    else:
        (state,) = (tmp_path / "out").rglob("state.npz")
        state.write_bytes(state.read_bytes()[:100])
    run(job, options=options)
    assert "goes on" not in log.text
    fresh = job_of(field, tmp_path / "fresh")
    run(fresh, options=options)
    assert job.targets[""].read_bytes() == fresh.targets[""].read_bytes()


def test_rows_of_a_kind_that_a_later_call_left_out_are_not_used(
    field: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raster_prediction, "RESUMABLE", 0)
    both = job_of(field, tmp_path / "out", "confidence")
    for job, end in ((both, 0.3), (job_of(field, tmp_path / "out"), 0.6)):
        for share in segment_raster(predictor(), job, OPTIONS):
            if share > end:
                break
    run(both)
    fresh = job_of(field, tmp_path / "fresh", "confidence")
    run(fresh)
    for kind in ("confidence", ""):
        assert both.targets[kind].read_bytes() == fresh.targets[kind].read_bytes()


def test_a_value_that_the_classes_leave_free_stands_for_no_data() -> None:
    def classes(*codes: int) -> Classes:
        names = tuple(f"c{code}" for code in codes)
        return Classes(names, ((1, 2, 3),) * len(codes), "ids", codes)

    assert nodata_value(classes(0, 1)) == 255
    assert nodata_value(classes(0, 255)) == 254
    assert nodata_value(classes(0, 300)) == 255
    assert nodata_value(classes(255, 65535)) == 65534
    assert nodata_value(classes(*range(256)[1:])) == 0


def write(path: Path, pixels: NDArray[Any], **profile: Any) -> None:
    """A GeoTIFF of `(N, H, W)`."""
    count, height, width = pixels.shape
    shape = {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", driver="GTiff", **shape, **profile) as file:
        file.write(pixels)


RGB = np.random.default_rng(0).integers(0, 256, (3, 90, 120), dtype=np.uint8)
ROTATED = rasterio.Affine(0.5, 0.2, 100.0, 0.1, -0.4, 200.0)
SOUTH_UP = rasterio.Affine(0.5, 0.0, 100.0, 0.0, 0.5, 200.0)
DEGREES = rasterio.Affine(1e-5, 0.0, 10.0, 0.0, -1e-5, 50.0)


@pytest.mark.parametrize(
    ("pixels", "how", "profile"),
    [
        (RGB, Reading(), {"transform": ROTATED, "crs": "EPSG:32632"}),
        (RGB, Reading(), {"transform": SOUTH_UP, "crs": "EPSG:32632"}),
        (RGB, Reading(), {"transform": DEGREES, "crs": "EPSG:4326"}),
        (RGB, Reading(), {"transform": ROTATED}),
        (RGB, Reading(), {"crs": "EPSG:32632"}),
        (
            RGB,
            Reading(),
            {"transform": SOUTH_UP, "compress": "jpeg", "photometric": "ycbcr", "tiled": True}
            | {"blockxsize": 64, "blockysize": 64},
        ),
        (RGB[:1], Reading(), {"transform": SOUTH_UP}),
        (RGB[:1].astype(np.uint16) * 200, Reading((0, 50000)), {"transform": SOUTH_UP}),
        (RGB.astype(np.int16) - 99, Reading((-99, 150)), {"transform": SOUTH_UP, "nodata": -99}),
        (
            RGB.astype(np.float32) / 255,
            Reading((0, 1)),
            {"transform": SOUTH_UP, "nodata": float("nan")},
        ),
        (RGB.astype(np.float64), Reading((0, 255), (3, 2, 1)), {"transform": SOUTH_UP}),
        (
            np.concatenate([RGB, RGB[:1] // 200 * 255]),
            Reading(),
            {"transform": SOUTH_UP, "photometric": "rgb", "alpha": "yes"},
        ),
        (
            np.concatenate([RGB, RGB[:1] // 200 * 255]),
            Reading(bands=(1, 2, 3, 4)),
            {"transform": SOUTH_UP, "photometric": "rgb", "alpha": "yes"},
        ),
    ],
    ids=[
        *("rotated", "south-up", "degrees", "no CRS", "no transform", "JPEG"),
        *("one band", "uint16", "int16", "float32", "float64 with bands"),
        *("transparency", "a band that is called transparency"),
    ],
)
def test_kinds_of_rasters(
    tmp_path: Path, pixels: NDArray[Any], how: Reading, profile: dict[str, Any]
) -> None:
    path = tmp_path / "in" / "map.tif"
    write(path, pixels, **profile)
    model, job = predictor(how), job_of(path, tmp_path / "out")
    run(job, model)
    with rasterio.open(path) as source, rasterio.open(job.targets[""]) as mask:
        assert (mask.crs, mask.transform) == (source.crs, source.transform)
        found = mask.read(1)
    empty = np.zeros(found.shape, bool)
    if len(pixels) == 4 and how.bands is None:
        empty = pixels[3] == 0
        assert 0.5 < empty.mean() < 1
    elif profile.get("nodata") == -99:
        empty = (pixels == -99).all(axis=0)
    expected = model.segment.at_scale(read_image(path, how), 1.0).mask
    wrong = found != np.where(empty, 255, np.array(CLASSES.codes, np.uint8)[expected])
    assert wrong.mean() < (0.1 if "compress" in profile else 1e-9)


def test_control_points_are_kept(tmp_path: Path) -> None:
    from rasterio.control import GroundControlPoint

    path = tmp_path / "in" / "scan.tif"
    write(path, RGB)
    corners = ((0, 0, 8.0, 50.0), (0, 120, 8.1, 50.0), (90, 0, 8.0, 49.9), (90, 120, 8.1, 49.9))
    with rasterio.open(path, "r+") as file:
        file.gcps = [GroundControlPoint(*corner) for corner in corners], "EPSG:4326"
    job = job_of(path, tmp_path / "out")
    run(job, predictor(Reading()))
    with rasterio.open(job.targets[""]) as mask:
        points, crs = mask.gcps
    assert [(point.row, point.col, point.x, point.y) for point in points] == list(corners)
    assert crs.to_epsg() == 4326


def test_colors_of_a_palette_are_read_as_colors(tmp_path: Path) -> None:
    path = tmp_path / "in" / "map.tif"
    write(path, RGB[:1] // 128, transform=SOUTH_UP)
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {0: (10, 200, 30), 1: (200, 10, 90)})
    job, model = job_of(path, tmp_path / "out"), predictor(Reading())
    run(job, model)
    with Image.open(path) as file:
        expected = model.segment.at_scale(file.convert("RGB"), 1.0).mask
    np.testing.assert_array_equal(
        values(job.targets[""]), np.array(CLASSES.codes, np.uint8)[expected]
    )


def test_plain_images_have_no_place(tmp_path: Path) -> None:
    write(tmp_path / "plain.tif", RGB)
    (tmp_path / "broken.tif").write_bytes(b"II*\0\x08\0\0\0")
    Image.fromarray(RGB[0]).save(tmp_path / "photo.png")
    for name in ("plain.tif", "broken.tif", "photo.png", "absent.tif"):
        assert place_of(tmp_path / name) is None


def test_a_damaged_raster_leaves_nothing_behind(field: Path, tmp_path: Path) -> None:
    job = job_of(field, tmp_path / "out")
    field.write_bytes(field.read_bytes()[: field.stat().st_size // 2])
    with pytest.raises(DataError, match=r"field\.tif"):
        run(job)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_the_place_knows_the_area_of_a_pixel() -> None:
    assert Place((2, 3), None, ROTATED).pixel_area == pytest.approx(0.22)
