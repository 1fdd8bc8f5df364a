"""A model reads images as those of its training, and `predict` may say otherwise."""

import json
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

import semiseg
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.reading import AS_STORED, Reading
from semiseg.model.metadata import ModelMetadata

SHAPE = (48, 64)


def geotiff(path, values):
    rasterio = pytest.importorskip("rasterio")
    count, height, width = values.shape
    shape = {"count": count, "height": height, "width": width, "dtype": values.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", driver="GTiff", **shape) as file:
            file.write(values)
    return path


@pytest.fixture
def run(plain_release, tmp_path):
    """A model that a test may change."""
    return shutil.copytree(plain_release, tmp_path / "run")


def edited(run, **keys):
    """Change `model.json` of a run."""
    file = run / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))


def test_the_metadata_keep_the_reading(run):
    content = json.loads((run / "model.json").read_text())
    assert ModelMetadata.from_dict(content).reading == AS_STORED
    content |= {"range": [-20, 5.5], "bands": [3, 2, 1], "nodata": [-9999]}
    metadata = ModelMetadata.from_dict(content)
    assert metadata.reading == Reading((-20, 5.5), (3, 2, 1), (-9999,))
    assert ModelMetadata.from_dict(metadata.to_dict()).reading == metadata.reading
    content["nodata"] = []
    assert ModelMetadata.from_dict(content).reading.nodata == ()


def test_predict_reads_images_as_the_training_did(run, tmp_path):
    bands = np.random.default_rng(0).integers(0, 4000, (4, *SHAPE)).astype(np.uint16)
    image = geotiff(tmp_path / "a.tif", bands)
    with pytest.raises(DataError, match="--bands"):
        semiseg.predict(run, image, out=tmp_path / "refused")
    edited(run, range=[0, 4000], bands=[3, 2, 1])
    semiseg.predict(run, image, out=tmp_path / "out")
    eight = (bands[[2, 1, 0]] * (255 / 4000)).round().astype(np.uint8)
    Image.fromarray(np.moveaxis(eight, 0, 2)).save(tmp_path / "b.png")
    semiseg.predict(run, tmp_path / "b.png", out=tmp_path / "out")
    masks = [np.asarray(Image.open(tmp_path / "out" / f"{name}.png")) for name in "ab"]
    assert np.array_equal(*masks)
    assert len(np.unique(masks[0])) > 1


def test_predict_takes_another_range_and_other_bands(run, tmp_path, caplog):
    bands = np.random.default_rng(0).integers(0, 4000, (4, *SHAPE)).astype(np.uint16)
    image = geotiff(tmp_path / "a.tif", bands)
    semiseg.predict(run, image, out=tmp_path / "dark", bands=(1, 2, 3))
    assert "--range=0,3999" in caplog.text
    caplog.clear()
    semiseg.predict(run, image, out=tmp_path / "x", bands=(1, 2, 3), value_range=(0, 4000))
    assert "--range" not in caplog.text
    dark, bright = (np.asarray(Image.open(tmp_path / n / "a.png")) for n in ("dark", "x"))
    assert not np.array_equal(dark, bright)
    with pytest.raises(ConfigError, match=r"--bands names 2 bands, .* one or three"):
        semiseg.predict(run, image, out=tmp_path / "y", bands=(1, 2))
