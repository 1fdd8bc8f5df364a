"""A training, its scores and its settings on a raster with polygons, without a folder val."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from drawn_maps import write_gpkg, write_raster

import semiseg
from semiseg.cli import main
from semiseg.core.scores import read_scores

pytest.importorskip("rasterio")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A raster of 300 x 300 pixels, of which polygons label the upper part."""
    monkeypatch.setenv("SEMISEG_CACHE", str(tmp_path / "cache"))
    pixels = np.random.default_rng(0).integers(1, 100, (3, 300, 300), dtype=np.uint8)
    pixels[0, :, 150:] += 100
    write_raster(tmp_path / "data" / "images" / "field.tif", pixels)
    boxes = [((0, 0, 150, 200), {"crop": "wheat"}), ((150, 0, 300, 150), {"crop": "rye"})]
    write_gpkg(tmp_path / "data" / "labels.gpkg", boxes)
    return tmp_path / "data"


@pytest.mark.slow
def test_a_raster_with_polygons_is_trained_on_and_scored(
    data: Path, tmp_path: Path, tiny_settings: dict[str, object]
) -> None:
    out = tmp_path / "run"
    settings = tiny_settings | {"labels": "all", "steps": 2, "validations": 1}
    semiseg.train(data, method="fixmatch", tile=64, out=out, **settings)
    lists = {
        name: (out / "split" / f"{name}.txt").read_text().split()
        for name in ("labeled", "unlabeled", "val")
    }
    names = [name for part in lists.values() for name in part]
    assert len(set(names)) == len(names)
    assert all(name.startswith("field/x") for name in names)
    assert min(map(len, lists.values())) >= 2
    assert read_scores(out / "scores.json").miou.released is not None
    assert yaml.safe_load((out / "config.yaml").read_text())["tile"] == 64


def test_init_keeps_what_a_person_says_of_rasters(data: Path) -> None:
    main(["init", str(data), "--tile", "64", "--outside", "ignore"])
    content = yaml.safe_load((data / "dataset.yaml").read_text())
    assert content["tile"] == 64
    assert content["outside"] == "ignore"
    assert "class_attribute" not in content
