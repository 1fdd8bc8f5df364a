"""Images larger than those of the training: the scale is fitted, kept or given."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

import semiseg
from semiseg.core.errors import ConfigError, DataError
from semiseg.data.formats.ground import GroundResolution, common_resolution, ground_resolution
from semiseg.data.formats.masks import Classes
from semiseg.inference.reading import Maps, read
from semiseg.inference.scale import Header, describe_larger, factor_of
from semiseg.inference.sliding import Segmenter
from semiseg.inference.views import ScaledImage
from semiseg.model.metadata import ModelMetadata, NetworkSpec


def noise(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def values(path):
    with Image.open(path) as file:
        return np.array(file)


def local(images):
    """A model that sees one cell at a time: the mean of each channel in it."""
    padded = np.pad(images, ((0, 0), (0, 0), *((0, -n % 4) for n in images.shape[-2:])), "edge")
    batch, _, height, width = padded.shape
    cells = padded.reshape(batch, 3, height // 4, 4, width // 4, 4).mean(axis=(3, 5))
    return Maps(cells.astype(np.float32) / 64, (cells / 255).astype(np.float32))


def metadata(**changes):
    spec = NetworkSpec(classes=1, encoder="e", decoder="d", mean=(0, 0, 0), std=(1, 1, 1))
    classes = Classes(("a",), ((0, 0, 0),), "ids", (0,))
    known = ModelMetadata(network=spec, classes=classes, size=48, side=96)
    return replace(known, **changes)


def save_geotiff(path, image, pixel=None, keys=(), matrix=None):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if pixel is not None:
        tags[33550], tags.tagtype[33550] = (pixel, pixel, 0.0), 12
    if matrix is not None:
        tags[34264], tags.tagtype[34264] = matrix, 12
    if keys:
        tags[34735] = (1, 1, 0, len(keys), *(n for key in keys for n in key))
        tags.tagtype[34735] = 3
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, tiffinfo=tags)


METERS = ((1024, 0, 1, 1), (3076, 0, 1, 9001))


@pytest.mark.parametrize("target", [(37, 60), (120, 200), (301, 90), (170, 260)])
def test_a_window_of_the_scaled_image_has_its_pixels(target):
    picture = noise(120, 200)
    whole = np.asarray(picture.resize(target[::-1], Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    scaled = ScaledImage(picture, target)
    for top, left in ((0, 0), (0, 32), (16, 8), (target[0] - 20, target[1] - 30)):
        window = slice(top, min(top + 32, target[0])), slice(left, min(left + 40, target[1]))
        view = scaled.view(window)[0]
        expected = whole[:, window[0], window[1]]
        assert view.shape == expected.shape
        assert np.abs(view.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("factor", [0.4, 1.0, 1.7])
def test_bands_of_a_local_model_give_what_it_says_of_the_whole(factor):
    picture = noise(301, 277)
    target = tuple(max(1, round(side * factor)) for side in picture.size)
    whole = np.asarray(picture.resize(target, Image.Resampling.BILINEAR)).transpose(2, 0, 1)[None]
    expected = read(local(whole), 0, target[::-1], (301, 277), probabilities=True)
    segment = Segmenter(local, 48, crop=32)
    prediction = segment.at_scale(picture, factor, probabilities=True)
    assert (prediction.mask != expected.mask).mean() < 2e-3
    assert (prediction.nearest != expected.nearest).mean() < 2e-3
    for name in ("confidence", "similarity", "probabilities"):
        ours, theirs = (getattr(p, name).astype(float) for p in (prediction, expected))
        np.testing.assert_allclose(ours, theirs, atol=0.02)
    bands = list(segment.windowed_bands(picture, factor))
    assert [band.rows.start for band in bands] == [0, *(band.rows.stop for band in bands[:-1])]
    assert len(bands) > 2
    assert bands[-1].rows.stop == 301
    masks = np.concatenate([band.prediction.mask for band in bands])
    np.testing.assert_array_equal(masks, prediction.mask)


def test_no_window_is_larger_than_two_crops_and_no_band_is_the_whole():
    shapes = []

    def forward(images):
        shapes.append(images.shape)
        return local(images)

    segment = Segmenter(forward, 48, crop=64, batch=2)
    heights = [b.prediction.mask.shape[0] for b in segment.windowed_bands(noise(500, 400), 1.0)]
    assert max(max(shape[-2:]) for shape in shapes) == 128
    assert max(shape[0] for shape in shapes) == 3
    assert max(heights) <= 128


def test_averaging_at_a_scale_agrees_with_the_plain_result_on_a_smooth_picture():
    y, x = np.mgrid[:200, :300]
    pixels = np.stack([255 * x / 300, 255 * y / 200, 0 * x + 100], axis=-1)
    picture = Image.fromarray(pixels.astype(np.uint8))
    segment = Segmenter(local, 48, crop=32)
    plain, averaged = (segment.at_scale(picture, 0.8, tta) for tta in (False, True))
    assert (plain.mask == averaged.mask).mean() > 0.96
    np.testing.assert_allclose(plain.confidence, averaged.confidence, atol=0.05)


def test_bands_of_a_fitted_image_are_bit_identical_to_it():
    picture = noise(300, 5000)
    segment = Segmenter(local, 48, crop=32)
    for tta in (False, True):
        expected = next(segment([picture], tta))
        bands = list(segment.fitted_bands(picture, tta))
        assert len(bands) > 1
        for name in ("mask", "confidence", "nearest", "similarity"):
            joined = np.concatenate([getattr(band.prediction, name) for band in bands])
            np.testing.assert_array_equal(joined, getattr(expected, name))


def test_the_scale_follows_the_setting_and_the_ground():
    large = Header((960, 960))
    assert factor_of("auto", metadata(), large) is None
    assert factor_of("fit", metadata(), large) is None
    assert factor_of("keep", metadata(), large) == 0.5
    assert factor_of(0.3, metadata(), large) == 0.3
    mapped = metadata(ground_resolution=GroundResolution(0.1, "meter"))
    coarse = Header((960, 960), GroundResolution(0.2, "meter"))
    assert factor_of("auto", mapped, coarse) == factor_of("keep", mapped, coarse) == 1.0
    assert factor_of("fit", mapped, coarse) is None
    assert factor_of("auto", mapped, large) is None
    degrees = Header((960, 960), GroundResolution(0.2, "degree"))
    assert factor_of("auto", mapped, degrees) is None
    assert factor_of("keep", mapped, degrees) == 0.5
    with pytest.raises(DataError, match=r"10 meter per pixel, but .* 0\.1 meter per pixel"):
        factor_of("auto", mapped, Header((960, 960), GroundResolution(10.0, "meter")))
    with pytest.raises(ConfigError, match=r"480, the factor is --scale 0\.1"):
        factor_of("keep", metadata(side=None), large)


def test_larger_images_are_counted_and_both_readings_are_shown():
    headers = [Header((192, 200)), Header((193, 500)), Header((960, 720))]
    warning = describe_larger(metadata(), headers)
    assert warning.startswith("2 images are more than twice as large")
    assert "short side was 96 pixels" in warning
    assert "960 x 720" in warning
    assert "--scale fit" in warning
    assert "--scale keep" in warning
    assert describe_larger(metadata(), headers[:1]) == ""
    assert describe_larger(metadata(side=None), headers) == ""


@pytest.mark.parametrize(
    ("pixel", "keys", "matrix", "expected"),
    [
        (0.25, METERS, None, (0.25, "meter")),
        (0.25, ((1024, 0, 1, 1), (3072, 0, 1, 32632)), None, (0.25, "meter")),
        (0.5, ((1024, 0, 1, 1), (3076, 0, 1, 9002)), None, (0.1524, "meter")),
        (1e-5, ((1024, 0, 1, 2),), None, (1e-5, "degree")),
        (0.25, (), None, (0.25, "unknown")),
        (None, METERS, (0.0, 0.3, 0, 5, -0.3, 0.0, *(0,) * 9, 1), (0.3, "meter")),
        (0.25, ((1024, 0, 1, 1), (3076, 0, 1, 32767)), None, None),
        (0.0, METERS, None, None),
        (None, (), None, None),
    ],
)
def test_the_ground_resolution_is_read_from_the_tags(tmp_path, pixel, keys, matrix, expected):
    path = tmp_path / "map.tif"
    matrix = None if matrix is None else tuple(map(float, matrix))
    save_geotiff(path, noise(4, 5), pixel, keys, matrix)
    found = ground_resolution(path)
    if expected is None:
        assert found is None
    else:
        assert found.size == pytest.approx(expected[0])
        assert found.unit == expected[1]


def test_images_have_a_common_resolution_only_if_all_have_one_of_a_unit(tmp_path):
    for name, pixel in (("a", 0.1), ("b", 0.2), ("c", 0.4)):
        save_geotiff(tmp_path / f"{name}.tif", noise(4, 5), pixel, METERS)
    save_geotiff(tmp_path / "d.tif", noise(4, 5), 0.4)
    noise(4, 5).save(tmp_path / "e.png")
    (tmp_path / "broken.tif").write_bytes(b"II*\0\x08")
    paths = [tmp_path / f"{name}.tif" for name in "abc"]
    assert common_resolution(paths) == GroundResolution(0.2, "meter")
    for other in ("d.tif", "e.png", "broken.tif", "absent.tif"):
        assert common_resolution([*paths, tmp_path / other]) is None
    assert common_resolution([]) is None


def test_the_metadata_come_back_and_damaged_ones_are_refused():
    full = metadata(side=96.5, ground_resolution=GroundResolution(0.1, "meter"))
    assert ModelMetadata.from_dict(json.loads(json.dumps(full.to_dict()))) == full
    for changes in (
        {"side": 0},
        {"side": "96"},
        {"ground_resolution": {"size": -1, "unit": "meter"}},
    ):
        with pytest.raises(ValueError, match=r"side|ground resolution"):
            ModelMetadata.from_dict(full.to_dict() | changes)


def release_with(source: Path, folder: Path, **changes):
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(source / "model.safetensors")
    content = json.loads((source / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(content | changes))
    return folder


@pytest.mark.slow
def test_a_tile_looks_the_same_whether_its_scale_is_fitted_or_kept(sized_release):
    model = semiseg.load(sized_release, "cpu")
    tile = noise(96, 120)
    fitted, kept, given = (model.predict(tile, scale=s) for s in ("fit", "keep", 0.5))
    np.testing.assert_array_equal(kept.mask, given.mask)
    assert (fitted.mask == kept.mask).mean() > 0.99
    np.testing.assert_allclose(fitted.confidence, kept.confidence, atol=0.02)


@pytest.mark.slow
def test_predict_counts_larger_images_once_and_keeps_the_scale_on_demand(
    sized_release, tmp_path, log
):
    for number, size in enumerate([(96, 100), (400, 500), (300, 900)]):
        (tmp_path / "in").mkdir(exist_ok=True)
        noise(*size, seed=number).save(tmp_path / "in" / f"{number}.png")
    arguments = {"accelerator": "cpu", "overwrite": True}
    semiseg.predict(sized_release, tmp_path / "in", out=tmp_path / "auto", **arguments)
    warnings = [r.getMessage() for r in log.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert re.search(r"^2 images are more than twice.*--scale fit.*--scale keep", warnings[0])
    log.clear()
    for scale in ("fit", "keep"):
        out = tmp_path / scale
        semiseg.predict(sized_release, tmp_path / "in", out=out, scale=scale, **arguments)
    assert not [r for r in log.records if r.levelname == "WARNING"]
    model = semiseg.load(sized_release, "cpu")
    for number in range(3):
        auto, fit, keep = (values(tmp_path / s / f"{number}.png") for s in ("auto", "fit", "keep"))
        np.testing.assert_array_equal(auto, fit)
        picture = values(tmp_path / "in" / f"{number}.png")
        np.testing.assert_array_equal(keep, model.predict(picture, scale=0.5).mask)
        assert number == 0 or (fit != keep).mean() > 0.05


@pytest.mark.slow
def test_the_ground_resolution_decides_where_it_is_known(css_release, tmp_path, log):
    ground = {"size": 0.1, "unit": "meter"}
    run = release_with(css_release, tmp_path / "run", side=96, ground_resolution=ground)
    picture = noise(300, 400)
    for name, pixel in (("same", 0.1), ("coarse", 0.2), ("far", 30.0)):
        save_geotiff(tmp_path / "in" / f"{name}.tif", picture, pixel, METERS)
    with pytest.raises(DataError, match=r"far\.tif: The ground resolution is 30 meter per pixel"):
        semiseg.predict(run, tmp_path / "in", out=tmp_path / "out", accelerator="cpu")
    assert (
        "by the ground resolution (0.1 meter per pixel, 0.2 meter per pixel), 2 images keep the "
        "scale of the training images (0.1 meter per pixel); 1 of them is resampled to it"
    ) in log.text
    assert "more than twice" not in log.text
    model = semiseg.load(run, "cpu")
    for name, factor in (("same", 0.5), ("coarse", 1.0)):
        expected = model.predict(picture, scale=factor).mask
        np.testing.assert_array_equal(values(tmp_path / "out" / f"{name}.tif"), expected)
        path = tmp_path / "in" / f"{name}.tif"
        np.testing.assert_array_equal(model.predict(path).mask, expected)


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["fit", "keep"])
def test_what_is_written_in_bands_is_what_is_written_at_once(
    sized_release, tmp_path, monkeypatch, scale
):
    (tmp_path / "in").mkdir()
    noise(300, 500).save(tmp_path / "in" / "a.png")
    every = dict.fromkeys(["colors", "overlay", "confidence", "reliability"], True)
    for out, large in (("once", 1 << 25), ("bands", 1000)):
        monkeypatch.setattr("semiseg.inference.image_job.LARGE", large)
        semiseg.predict(
            sized_release,
            tmp_path / "in",
            out=tmp_path / out,
            scale=scale,
            abstain=0.5,
            accelerator="cpu",
            **every,
        )
    names = ["a.png", "colors/a.png", "confidence/a.png", "reliability/a.png", "overlays/a.jpg"]
    for name in names:
        with (
            Image.open(tmp_path / "once" / name) as once,
            Image.open(tmp_path / "bands" / name) as bands,
        ):
            assert once.mode == bands.mode
            assert once.getpalette() == bands.getpalette()
            np.testing.assert_array_equal(np.array(once), np.array(bands))
    assert (values(tmp_path / "bands" / "a.png") == 255).any()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["RGBA", "P", "L", "16 bits", "turned"])
def test_images_of_all_kinds_are_the_same_in_bands(sized_release, tmp_path, monkeypatch, kind):
    path = tmp_path / "a.png"
    picture = noise(150, 200)
    if kind == "16 bits":
        rng = np.random.default_rng(0)
        Image.fromarray(rng.integers(0, 65536, (150, 200), np.uint16)).save(path)
    elif kind == "turned":
        path = tmp_path / "a.jpg"
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(path, exif=exif, quality=95)
    else:
        picture = picture.convert(kind)
        if kind == "RGBA":
            picture.putalpha(noise(150, 200, seed=1).convert("L"))
        picture.save(path)
    for out, large in (("once", 1 << 25), ("bands", 1000)):
        monkeypatch.setattr("semiseg.inference.image_job.LARGE", large)
        arguments = {"scale": "keep", "overlay": True, "accelerator": "cpu"}
        semiseg.predict(sized_release, path, out=tmp_path / out, **arguments)
    once, bands = (values(tmp_path / out / "a.png") for out in ("once", "bands"))
    np.testing.assert_array_equal(once, bands)
    assert once.shape == ((200, 150) if kind == "turned" else (150, 200))
    overlays = (values(tmp_path / out / "overlays" / "a.jpg") for out in ("once", "bands"))
    np.testing.assert_array_equal(*overlays)


@pytest.mark.slow
def test_the_overlay_of_a_large_image_is_reduced(sized_release, tmp_path, monkeypatch):
    noise(300, 500).save(tmp_path / "a.png")
    monkeypatch.setattr("semiseg.inference.image_job.LARGE", 1000)
    monkeypatch.setattr("semiseg.inference.band_files.MAX_OVERLAY", 200)
    out = tmp_path / "out"
    semiseg.predict(sized_release, tmp_path / "a.png", out=out, overlay=True, accelerator="cpu")
    assert values(out / "overlays" / "a.jpg").shape == (100, 167, 3)


@pytest.mark.slow
def test_an_image_that_pillow_takes_for_a_bomb_is_read_up_to_a_limit(
    sized_release, tmp_path, monkeypatch
):
    noise(100, 120).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    semiseg.predict(sized_release, tmp_path / "a.png", out=tmp_path / "out", accelerator="cpu")
    assert Image.MAX_IMAGE_PIXELS == 1000
    monkeypatch.undo()
    assert values(tmp_path / "out" / "a.png").shape == (100, 120)
    monkeypatch.setattr("semiseg.inference.large.MAX_PIXELS", 11_999)
    with pytest.raises(DataError, match=r"a\.png has 120 x 100 pixels.*gdal_retile"):
        semiseg.predict(sized_release, tmp_path / "a.png", out=tmp_path / "o", accelerator="cpu")


@pytest.mark.slow
def test_probabilities_of_a_huge_image_are_refused(sized_release, tmp_path, monkeypatch):
    noise(100, 120).save(tmp_path / "a.png")
    monkeypatch.setattr("semiseg.inference.large.MAX_PROBABILITIES", 1000)
    with pytest.raises(ConfigError, match=r"--probabilities would take .* --confidence"):
        semiseg.predict(
            sized_release,
            tmp_path / "a.png",
            out=tmp_path / "out",
            probabilities=True,
            accelerator="cpu",
        )


def test_keep_needs_a_model_that_knows_its_images(css_release, tmp_path):
    noise(100, 120).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="earlier version of semiseg"):
        semiseg.predict(css_release, tmp_path / "a.png", out=tmp_path / "out", scale="keep")


@pytest.mark.slow
def test_a_training_writes_down_the_size_of_its_images(tiny_run):
    run = tiny_run("supervised")
    content = json.loads((run / "model.json").read_text())
    assert content["side"] == 48
    assert "ground_resolution" not in content


@pytest.mark.slow
def test_a_model_of_maps_keeps_the_scale_of_a_mosaic(tiny_folder, tiny_settings, tmp_path, log):
    data = tmp_path / "data"
    shutil.copytree(tiny_folder, data)
    for path in (data / "train" / "images").iterdir():
        with Image.open(path) as file:
            save_geotiff(path.with_suffix(".tif"), file.convert("RGB"), 0.5, METERS)
        path.unlink()
    semiseg.train(data, method="supervised", out=tmp_path / "run", **tiny_settings)
    content = json.loads((tmp_path / "run" / "model.json").read_text())
    assert content["ground_resolution"] == {"size": 0.5, "unit": "meter"}
    save_geotiff(tmp_path / "mosaic.tif", noise(200, 260), 0.5, METERS)
    arguments = {"accelerator": "cpu", "confidence": True}
    scales = ("auto", "keep", "fit")
    for scale in scales:
        out = tmp_path / scale
        semiseg.predict(
            tmp_path / "run", tmp_path / "mosaic.tif", out=out, scale=scale, **arguments
        )
    auto, keep, fit = (values(tmp_path / s / "confidence" / "mosaic.tif") for s in scales)
    np.testing.assert_array_equal(auto, keep)
    assert (auto != fit).any()
    assert "more than twice" not in log.text


@pytest.mark.exports
def test_an_exported_model_keeps_the_scale_as_the_original_does(sized_release, request):
    pytest.importorskip("onnxruntime", reason="pip install 'semiseg[onnx]'")
    pytest.importorskip("onnxscript", reason="pip install 'semiseg[onnx-export]'")
    models = sized_release, request.getfixturevalue("exported")
    picture = noise(300, 400)
    ours, theirs = (semiseg.load(model, "cpu").predict(picture, scale="keep") for model in models)
    assert (ours.mask == theirs.mask).mean() > 0.999
    np.testing.assert_allclose(ours.confidence, theirs.confidence, atol=0.01)
    np.testing.assert_allclose(ours.similarity, theirs.similarity, atol=0.01)
