"""Trainings on images of five bands: from the files to predictions, ONNX and suggestions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn_rasters import draw_field, write_classes
from numpy.typing import NDArray
from PIL import Image
from tiny_vit import TINY_VIT

import semiseg
from semiseg.core.errors import ConfigError, DataError
from semiseg.data.formats.images import read_image
from semiseg.model.network import Network

rasterio = pytest.importorskip("rasterio")

BANDS = (1, 2, 3, 4, 5)
COLORS = (3, 2, 1)
SETTINGS: dict[str, Any] = {
    "encoder": "lcnet_035",
    "decoder": "fpn",
    "weights": "none",
    "size": 48,
    "crop": 32,
    "batch": 2,
    "steps": 3,
    "validations": 1,
    "workers": 0,
    "accelerator": "cpu",
    "precision": "32-true",
    "bands": BANDS,
    "rgb": COLORS,
}


def write_image(path: Path, bands: NDArray[np.uint16]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = bands.shape
    shape = {"count": count, "height": height, "width": width}
    with rasterio.open(path, "w", driver="GTiff", dtype=bands.dtype, **shape) as file:
        file.write(bands)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six labeled images of five bands of 16 bits, four unlabeled ones, and two of val."""
    root = tmp_path_factory.mktemp("bands") / "data"
    write_classes(root)
    splits = {"train": 6, "unlabeled": 4, "val": 2}
    for number, (split, count) in enumerate(splits.items()):
        for i in range(count):
            scene = draw_field(100 * number + i, (64, 80), border=0.0)
            folder = root / "unlabeled" if split == "unlabeled" else root / split / "images"
            write_image(folder / f"{split}{i}.tif", scene.bands[: len(BANDS)])
            if split != "unlabeled":
                mask = root / split / "masks" / f"{split}{i}.png"
                mask.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(scene.mask).save(mask)
    return root


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    """A run of css."""
    out = data.parent / "css"
    return semiseg.train(data, out=out, method="css", anchors=16, **SETTINGS).folder


def test_a_run_stores_its_bands(run: Path) -> None:
    content = json.loads((run / "model.json").read_text())
    assert content["network"]["channels"] == 5
    assert [len(content["network"][name]) for name in ("mean", "std")] == [5, 5]
    assert (content["bands"], content["rgb"]) == (list(BANDS), list(COLORS))
    assert len(content["ranges"]) == 5


def test_a_file_and_its_pixels_have_the_same_prediction(run: Path, data: Path) -> None:
    model = semiseg.load(run)
    file = data / "val" / "images" / "val0.tif"
    image = read_image(file, model.reading)
    pixels = np.asarray(image)
    assert pixels.shape == (64, 80, 5)
    predictions = [model.predict(one, tta=tta) for one in (file, image, pixels) for tta in (0, 1)]
    for i, prediction in enumerate(predictions):
        assert prediction.mask.shape == (64, 80)
        assert prediction.nearest is not None
        np.testing.assert_array_equal(prediction.confidence, predictions[i % 2].confidence)
    in_windows = [model.predict(one, scale=2.0) for one in (file, pixels)]
    np.testing.assert_array_equal(in_windows[0].confidence, in_windows[1].confidence)


def test_images_with_other_channels_are_refused_in_one_sentence(
    run: Path, data: Path, plain_release: Path, tmp_path: Path
) -> None:
    model = semiseg.load(run)
    expected = r"model was trained on images of 5 channels \(bands 1,2,3,4,5\)\.$"
    for channels in (3, 4, 6):
        with pytest.raises(DataError, match=rf"image has {channels} channels, and the {expected}"):
            model.predict(np.zeros((40, 40, channels), np.uint8))
    with pytest.raises(DataError, match=f"image has 3 channels, and the {expected}"):
        model.predict(Image.new("RGB", (40, 40)))
    with pytest.raises(DataError, match=r"5 channels, .* of 3 channels \(red, green and blue\)"):
        semiseg.load(plain_release).predict(np.zeros((40, 40, 5), np.uint8))
    write_image(tmp_path / "few.tif", np.zeros((4, 40, 40), np.uint16))
    Image.new("RGB", (40, 40)).save(tmp_path / "photo.png")
    for name in ("few.tif", "photo.png"):
        with pytest.raises(DataError, match=name):
            model.predict(tmp_path / name)


def test_files_with_more_bands_are_refused_until_the_bands_are_named(
    run: Path, data: Path, tmp_path: Path
) -> None:
    """By `evaluate` and in Python as by `predict`; the data folder of the training is as it was."""
    expected = semiseg.evaluate(run, data, accelerator="cpu").miou
    other = shutil.copytree(data, tmp_path / "data")
    for file in (other / "val" / "images").iterdir():
        with rasterio.open(file) as source:
            bands = source.read()
        write_image(file, np.concatenate([bands, bands[:1]]))
    refusal = r"val\d\.tif has 6 bands, but the model was trained with 5: .*dataset\.yaml"
    with pytest.raises(DataError, match=refusal):
        semiseg.evaluate(run, other, accelerator="cpu")
    (other / "dataset.yaml").write_text("bands: [1, 2, 3, 4, 5]\n")
    assert semiseg.evaluate(run, other, accelerator="cpu").miou == expected
    model, name = semiseg.load(run, accelerator="cpu"), "val/images/val0.tif"
    same = model.predict(data / name)
    with pytest.raises(DataError, match=refusal):
        model.predict(other / name)
    model.read_as(model.reading)
    np.testing.assert_array_equal(model.predict(other / name).mask, same.mask)


@pytest.mark.exports
def test_onnx_gives_the_same_masks_from_the_same_bands(
    run: Path, data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    export = semiseg.export(run, out=tmp_path / "model.onnx")
    assert export.difference < 1e-3
    model, exported = semiseg.load(run), semiseg.load(export.path)
    file = data / "val" / "images" / "val1.tif"
    ours, theirs = model.predict(file), exported.predict(file)
    assert (ours.mask == theirs.mask).mean() > 0.999
    np.testing.assert_allclose(ours.confidence, theirs.confidence, atol=1e-3)
    with pytest.raises(DataError, match="model was trained on images of 5 channels"):
        exported.predict(np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(DataError, match=r"has 3 channels, and the model .*onnx takes images of 5"):
        exported.segment.maps(np.zeros((1, 3, 48, 48), np.uint8))


def test_the_export_of_a_run_whose_data_are_gone_is_tested_on_a_drawn_scene(
    run: Path, tmp_path: Path
) -> None:
    for name in ("model.json", "model.safetensors"):
        (tmp_path / "moved" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "moved" / name).write_bytes((run / name).read_bytes())
    export = semiseg.export(tmp_path / "moved", out=tmp_path / "out", file_format="hub")
    assert (export.image, export.difference < 1e-3) == ("a drawn scene", True)


def test_a_resumed_run_and_one_that_goes_on_keep_the_bands(run: Path, data: Path) -> None:
    out = data.parent / "next"
    settings = SETTINGS | {"method": "supervised", "steps": 2, "start_from": run}
    semiseg.train(data, out=out, **settings)
    assert json.loads((out / "model.json").read_text())["network"]["channels"] == 5
    settings |= {"bands": COLORS, "rgb": None}
    with pytest.raises(ConfigError, match=r"run's images have 5 channels, .* training have 3\."):
        semiseg.train(data, out=data.parent / "rgb", **settings)


@pytest.mark.variants
def test_the_frozen_judge_of_stored_labels_sees_all_bands(run: Path, data: Path) -> None:
    out = data.parent / "frozen"
    settings = SETTINGS | {"method": "css-stored", "agreement": "frozen", "anchors": 16, "steps": 4}
    semiseg.train(data, out=out, **settings | {"weights": run})
    assert json.loads((out / "model.json").read_text())["network"]["channels"] == 5


@pytest.mark.variants
def test_a_second_network_may_have_weights_for_all_bands(run: Path, data: Path) -> None:
    out, weights = data.parent / "two", data.parent / "vit.pt"
    pretrained = Network(2, TINY_VIT, weights="none", channels=5)
    torch.save(pretrained.encoder.state_dict(), weights)
    settings = SETTINGS | {"method": "css-stored", "anchors": 16, "steps": 4, "weights": run}
    semiseg.train(data, out=out, second_encoder=TINY_VIT, second_weights=str(weights), **settings)
    second = json.loads((out / "stages" / "second" / "model.json").read_text())
    assert (second["network"]["channels"], second["bands"]) == (5, list(BANDS))
    assert second["weights"]["source"] == "the file vit.pt"


def test_a_frozen_transformer_caches_the_features_of_five_bands(
    data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    settings = SETTINGS | {"encoder": TINY_VIT, "decoder": "auto", "method": "supervised"}
    settings |= {"encoder_training": "head", "feature_views": 2, "crop": 56}
    semiseg.train(data, out=tmp_path / "run", **settings)
    assert list((tmp_path / "cache" / "features").glob("*/*/*"))


def test_images_are_suggested_with_and_without_a_run(run: Path, data: Path, tmp_path: Path) -> None:
    with_run = semiseg.suggest(run, data / "unlabeled", out=tmp_path / "next", n=2)
    assert len(with_run.images) == 2
    first = semiseg.suggest(
        data / "unlabeled",
        out=tmp_path / "first",
        n=2,
        encoder="lcnet_035",
        weights="none",
        bands=BANDS,
        rgb=COLORS,
    )
    assert len(first.images) == 2


def test_a_budget_and_a_dry_run_measure_steps_on_all_bands(data: Path, tmp_path: Path) -> None:
    settings = {k: v for k, v in SETTINGS.items() if k not in ("steps", "bands", "rgb")}
    plan = semiseg.plan(data, out=tmp_path / "run", budget="1m", method="css", **settings)
    assert plan.config.data.bands == BANDS
    settings |= {"method": "supervised", "steps": 5}
    assert semiseg.dry_run(data, out=tmp_path / "run", **settings).memory > 0
