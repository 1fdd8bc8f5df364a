"""Black and white of gray images of more than 8 bits."""

import contextlib
import struct
import zlib

import numpy as np
import pytest
import yaml
from PIL import Image

import semiseg
from semiseg.core.errors import DataError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.data.formats.images import read_image
from semiseg.data.image_scan import scan_image
from semiseg.data.value_range import infer_reading
from semiseg.scenes.draw import write_scenes


def images(folder, *arrays):
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{i}.png" for i in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        Image.fromarray(array).save(path)
    return paths


def scan(low, high, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(low, high, (60, 80), endpoint=True).astype(np.uint16)


def deep_png():
    """A PNG of 2 x 2 pixels with colors of 16 bits, which Pillow cannot write."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + bytes(range(12)) for _ in range(2)))
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def infer_range(paths):
    """The range that is inferred from files, of which those that can be read are scanned."""
    scans = {}
    for path in paths:
        with contextlib.suppress(DataError):
            scans[path] = scan_image(path, AS_STORED)
    return infer_reading(paths, scans, AS_STORED).reading.value_range


def test_what_a_scanner_of_12_bits_fills_is_black_and_white(tmp_path):
    value_range = infer_range(images(tmp_path, scan(200, 3000), scan(100, 4000)))
    assert value_range == pytest.approx((100, 4000), abs=5)


def test_dead_and_hot_pixels_do_not_count(tmp_path):
    arrays = [scan(1000, 2000, seed) for seed in range(20)]
    arrays[3][5, 5], arrays[4][6, 6] = 65535, 0
    assert infer_range(images(tmp_path, *arrays)) == pytest.approx((1000, 2000), abs=2)


def test_pixels_from_the_whole_image_count(tmp_path):
    """Of 2000 columns every 400th would be looked at if it were every 400th pixel."""
    image = scan(600, 650)
    large = np.tile(image, (34, 25))[:2000, :2000]
    large[:, 1650:1950] = 3500
    assert infer_range(images(tmp_path, large)) == pytest.approx((600, 3500), abs=2)


def test_colors_of_16_bits_share_the_range_with_gray_images(tmp_path):
    gray = images(tmp_path, scan(200, 3000))
    deep = tmp_path / "deep.png"
    deep.write_bytes(deep_png())  # its values are 1, 515, ... 2571
    assert infer_range([deep]) == (1, 2571)
    assert infer_range([*gray, deep]) == (1, 3000)
    image = np.asarray(read_image(deep, Reading((1, 2571))))
    assert image.tolist() == [[[0, 51, 102], [153, 204, 255]]] * 2


def test_images_that_span_their_type_or_have_8_bits_are_left_alone(tmp_path):
    assert infer_range(images(tmp_path / "wide", scan(0, 60_000))) is None
    assert infer_range(images(tmp_path / "flat", scan(7, 7))) is None
    eight = np.zeros((9, 9), np.uint8)
    paths = images(tmp_path / "eight", eight, np.stack([eight] * 3, axis=-1))
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert infer_range([*paths, tmp_path / "broken.png"]) is None
    assert infer_range([]) is None


@pytest.fixture
def scanned(tmp_path):
    """A data folder of gray images of 12 bits in 16."""
    data = write_scenes(tmp_path / "data", labeled=4, unlabeled=2, val=6, size=(48, 64))
    for path in [*data.rglob("images/*"), *data.glob("unlabeled/*")]:
        with Image.open(path) as image:
            gray = np.asarray(image.convert("L")).astype(np.uint16)
        path.unlink()
        Image.fromarray(gray * 12 + 100).save(path.with_suffix(".png"))
    return data


@pytest.mark.slow
def test_a_training_says_it_and_the_model_keeps_it(scanned, tmp_path, caplog):
    caplog.set_level("INFO", logger="semiseg")
    plan = semiseg.plan(scanned, accelerator="cpu")
    (value_range,) = [entry for entry in plan.entries if entry.setting == "value_range"]
    low, high = value_range.value
    assert 100 <= low < high <= 100 + 12 * 255
    small = {"encoder": "lcnet_035", "weights": "none", "size": 48, "crop": 32, "batch": 2}
    small |= {"steps": 1, "validations": 1, "workers": 0, "accelerator": "cpu"}
    small |= {"method": "supervised"}
    run = semiseg.train(scanned, out=tmp_path / "run", labels="2", **small)
    assert f"value_range {low}, {high}:" in caplog.text
    assert yaml.safe_load((run.folder / "config.yaml").read_text())["value_range"] == [low, high]
    assert semiseg.load(run.folder).reading.value_range == (low, high)
    explicit = semiseg.train(
        scanned, out=tmp_path / "given", value_range=(0, 9000), start_from=run.folder, **small
    )
    assert semiseg.load(explicit.folder).reading.value_range == (0, 9000)
    assert f"(--range={low},{high} keeps it)" in caplog.text


def test_the_check_tells_it_and_its_picture_shows_it(scanned, tmp_path):
    picture = tmp_path / "samples.png"
    findings = semiseg.check(scanned, picture=picture).findings
    (value_range,) = [finding for finding in findings if finding.kind == "value-range"]
    assert "8 bits" in value_range.message
    with Image.open(picture) as image:
        assert np.asarray(image.convert("L")).std() > 30  # by the range of the type all is black
    report = semiseg.check(scanned, value_range=(0, 4095))
    assert not [f for f in report.findings if f.kind == "value-range"]
