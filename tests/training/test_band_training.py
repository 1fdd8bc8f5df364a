"""A training on images of four bands: what it stores, what it draws, and how its model reads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import semiseg
from semiseg.core.errors import ConfigError
from semiseg.core.reading import Reading

rasterio = pytest.importorskip("rasterio")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]

NAMES = ("blue", "green", "red", "nir")
SMALL = {"encoder": "lcnet_035", "weights": "none", "size": 48, "crop": 32, "batch": 2, "steps": 2}
SMALL |= {"validations": 1, "workers": 0, "accelerator": "cpu"}


def tiff(path: Path, values: np.ndarray, names: tuple[str, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"count": 4, "height": 48, "width": 64, "dtype": "uint16"}
    with rasterio.open(path, "w", driver="GTiff", **shape) as file:
        file.write(values)
        for number, name in enumerate(names, 1):
            file.set_band_description(number, name)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that differ in the infrared, and unlabeled images."""
    root = tmp_path_factory.mktemp("bands")
    (root / "masks").mkdir()
    rng = np.random.default_rng(0)
    for i in range(10):
        ids = np.tile(np.arange(64) // 9 % 2, (48, 1)).astype(np.uint8)
        values = rng.integers(100, 900, (4, 48, 64)).astype(np.uint16)
        values[3] += ids * np.uint16(2000)
        tiff(root / ("images" if i < 6 else "unlabeled") / f"{i}.tif", values, NAMES)
        if i < 6:
            Image.fromarray(ids).save(root / "masks" / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def run(
    data: Path,
    tmp_path_factory: pytest.TempPathFactory,
    pictures_drawn: Callable[[], AbstractContextManager[None]],
) -> Path:
    """A run of css on all bands."""
    out = tmp_path_factory.mktemp("run") / "css"
    with pictures_drawn():
        return semiseg.train(data, out=out, method="css", **SMALL).folder


def test_the_run_and_its_model_keep_bands_ranges_and_colors(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["bands"], config["rgb"]) == ([1, 2, 3, 4], [3, 2, 1])
    ranges = list(zip(config["value_range"][::2], config["value_range"][1::2], strict=True))
    reading = semiseg.load(run).reading
    assert reading == Reading(bands=(1, 2, 3, 4), ranges=tuple(ranges), rgb=(3, 2, 1))
    assert json.loads((run / "model.json").read_text())["bands"] == [1, 2, 3, 4]


def test_pictures_show_the_colors(run: Path, tmp_path: Path) -> None:
    with Image.open(next((run / "diagnostics").glob("sample*.png"))) as picture:
        assert picture.convert("RGB").getextrema()[0][1] > 0
    page = tmp_path / "report.html"
    semiseg.report(run, out=page)
    assert page.stat().st_size > 10_000


def test_the_card_lists_the_bands(run: Path, tmp_path: Path) -> None:
    semiseg.export(run, out=tmp_path / "model", file_format="hub")
    card = (tmp_path / "model" / "README.md").read_text()
    assert "Images of 4 bands" in card
    rows = [line.split("|")[1:-1] for line in card.splitlines() if re.match(r"\| [1-4] \|", line)]
    assert [[row[0].strip(), row[1].strip()] for row in rows][-4:] == [
        [str(number), name] for number, name in enumerate(NAMES, 1)
    ]
    assert json.loads((run / "model.json").read_text())["band_names"] == list(NAMES)


def test_predict_reads_files_whose_bands_lie_otherwise(
    run: Path, data: Path, tmp_path: Path
) -> None:
    with rasterio.open(data / "images" / "0.tif") as file:
        values = file.read()
    order = [3, 0, 2, 1]
    tiff(tmp_path / "other.tif", values[order], tuple(NAMES[i] for i in order))
    own = semiseg.predict(run, data / "images" / "0.tif", out=tmp_path / "own", overlay=True)
    for bands in ("2,4,3,1", ",".join(NAMES)):
        out = tmp_path / bands
        masks = semiseg.predict(run, tmp_path / "other.tif", out=out, bands=bands, overlay=True)
        pixels = [np.asarray(Image.open(result.files[0])) for result in (own, masks)]
        assert np.array_equal(*pixels)
        overlays = [out / "overlays/other.jpg", tmp_path / "own/overlays/0.jpg"]
        assert np.array_equal(*(np.asarray(Image.open(path)) for path in overlays))
    with pytest.raises(ConfigError, match="names 2 bands, but the model was trained with 4"):
        semiseg.predict(run, tmp_path / "other.tif", out=tmp_path / "x", bands="nir,red")
    with pytest.raises(ConfigError, match="--range has values for 5 bands, but the model has 4"):
        semiseg.predict(run, tmp_path / "other.tif", out=tmp_path / "x", value_range=(0, 1) * 5)
