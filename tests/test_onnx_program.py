"""The example that runs an exported model in production, without semiseg."""

import csv
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import semiseg

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
PROGRAM = Path(__file__).parents[1] / "examples" / "onnx_program.py"
ABOUT = {
    "format": 1,
    "semiseg": "0.3",
    "size": 32,
    "side": 64,
    "stride": 32,
    "network": {"crop": 32},
    "classes": {
        "names": ["soil", "beetle"],
        "encoding": "ids",
        "codes": [3, 70],
        "colors": [[0, 0, 0], [255, 0, 0]],
    },
}


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("onnx_program", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def photos(tmp_path):
    """Images of several sizes; one is wide enough for several windows, and one is turned."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    sizes = {"a.png": (96, 80), "b.png": (75, 101), "c.png": (400, 80), "more/a.png": (64, 96)}
    for name, (width, height) in sizes.items():
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    turned = Image.open(folder / "b.png")
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "turned.jpg", exif=exif)
    Image.open(folder / "a.png").convert("L").save(folder / "gray.png")
    return folder


def rows(file, key):
    with file.open(newline="", encoding="utf-8") as lines:
        return {row[key]: row for row in csv.DictReader(lines)}


class Session:
    """A model whose second class is where red is bright."""

    about = ABOUT

    def __init__(self, path, providers):
        pass

    def get_modelmeta(self):
        return self

    @property
    def custom_metadata_map(self):
        return {"semiseg": json.dumps(self.about)} if self.about else {}

    def run(self, names, inputs):
        red = inputs["image"][:, :1, ::4, ::4].astype(np.float32) / 32
        return [np.concatenate([8 - red, red], axis=1)]


@pytest.fixture
def model(program, monkeypatch, tmp_path):
    """A file that the program takes for the model `Session`."""
    monkeypatch.setattr(program.onnxruntime, "InferenceSession", Session)
    file = tmp_path / "model.onnx"
    file.touch()
    return file


@pytest.mark.exports
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("onnx", "onnxscript"))),
    reason="the extra onnx-export is not installed",
)
def test_the_program_writes_the_masks_and_numbers_of_predict(
    program, exported, photos, tmp_path, capsys
):
    semiseg.predict(exported, photos, out=tmp_path / "theirs", table=True, accelerator="cpu")
    model = semiseg.load(exported)
    assert model.segment.window < 5 * model.segment.size  # c.png is segmented in windows
    words = [str(exported), str(photos), str(tmp_path / "ours"), "--unlike-limit", "99"]
    assert program.main(words) == 0
    assert "Masks: 6. Set aside: 0. Could not be read: 0." in capsys.readouterr().out
    theirs = rows(tmp_path / "theirs/predictions.csv", "name")
    ours = rows(tmp_path / "ours/images.csv", "file")
    assert {Path(name).with_suffix("").as_posix() for name in ours} == set(theirs)
    for name, row in ours.items():
        mask = Path(name).with_suffix(".png")
        pixels = [np.array(Image.open(tmp_path / x / mask)) for x in ("ours/masks", "theirs")]
        assert (pixels[0] != pixels[1]).sum() == 0, name
        expected = theirs[mask.with_suffix("").as_posix()]
        assert row["unlike"] == str(float(expected["unlike"]))
        for key in ("confidence", *(k for k in expected if k.startswith("share_"))):
            assert float(row[key]) == pytest.approx(float(expected[key]), abs=2e-6), key


def test_doubtful_images_are_set_aside_and_one_without_content_does_not_stop_the_others(
    program, model, tmp_path, capsys
):
    folder, out = tmp_path / "images", tmp_path / "out"
    folder.mkdir()
    for name, red, side in (("sure", 255, 64), ("doubtful", 128, 64), ("large", 255, 200)):
        Image.new("RGB", (side, side), (red, 0, 0)).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes((folder / "sure.png").read_bytes()[:40])
    Image.new("I;16", (64, 64)).save(folder / "deep.png")
    Image.new("RGB", (64, 64)).save(folder / "map.tif", tiffinfo={33550: (1.0, 1.0, 0.0)})
    (out / "masks").mkdir(parents=True)
    (out / "masks/large.png").touch()  # of an earlier call
    assert program.main([str(model), str(folder), str(out), "--confidence-limit", "0.8"]) == 1
    table = rows(out / "images.csv", "file")
    states = {name: row["state"] for name, row in table.items()}
    assert states == {
        "broken.png": "failed",
        "deep.png": "failed",
        "map.tif": "failed",
        "doubtful.png": "abstain",
        "large.png": "abstain",
        "sure.png": "written",
    }
    assert "8 bits" in table["deep.png"]["reason"]
    assert "GeoTIFF" in table["map.tif"]["reason"]
    assert table["doubtful.png"]["reason"] == "confidence 0.5"
    assert "200 pixels" in table["large.png"]["reason"]
    assert table["sure.png"]["share_beetle"] == "1.0"
    assert {file.name for file in (out / "masks").iterdir()} == {"sure.png"}
    assert {file.name for file in (out / "abstain").iterdir()} == {"doubtful.png", "large.png"}
    assert set(np.unique(Image.open(out / "masks/sure.png"))) == {70}
    listed = (out / "abstain.txt").read_text().split()
    assert listed == [str(folder / "doubtful.png"), str(folder / "large.png")]
    text = capsys.readouterr()
    assert "images per second (6 in" in text.out
    assert "Masks: 1. Set aside: 2. Could not be read: 3." in text.out
    assert "broken.png" in text.err


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        (None, "no metadata"),
        (ABOUT | {"format": 3}, "format 3"),
        (ABOUT | {"network": {"channels": 5}, "bands": [1, 2, 3, 4, 5]}, "5 channels"),
        (ABOUT | {"range": [0, 4095]}, "range"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(
    program, model, photos, tmp_path, monkeypatch, capsys, about, reason
):
    monkeypatch.setattr(Session, "about", about)
    with pytest.raises(SystemExit) as stop:
        program.main([str(model), str(photos), str(tmp_path / "out")])
    assert stop.value.code == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_mean_of_two_networks_is_a_model_as_any_other(program, model, monkeypatch):
    monkeypatch.setattr(Session, "about", ABOUT | {"format": 2, "second": {}})
    assert program.load(model).about["format"] == 2


def test_folders_that_would_mix_images_and_masks_are_refused(program, photos):
    with pytest.raises(program.Unfit, match="Choose another folder"):
        program.find(photos, photos / "masks")
    shutil.copy(photos / "a.png", photos / "a.jpg")
    with pytest.raises(program.Unfit, match="one name"):
        program.find(photos, photos.parent / "masks")


def test_the_program_imports_nothing_but_onnxruntime_numpy_and_pillow(program):
    lines = PROGRAM.read_text(encoding="utf-8").splitlines()
    packages = {
        line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))
    }
    assert packages - sys.stdlib_module_names == {"numpy", "onnxruntime", "PIL"}
