"""The memory for a large image is that of its pixels and a fixed amount."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from semiseg.inference.reading import Maps
from semiseg.inference.sliding import Segmenter

_SCRIPT = """
import resource, sys
import numpy as np
from PIL import Image
from semiseg.inference.reading import Maps
from semiseg.inference.sliding import Segmenter

classes, height = 21, int(sys.argv[1])

def forward(images):
    rows, columns = (-(-n // 4) for n in images.shape[-2:])
    maps = np.zeros((len(images), classes, rows, columns), np.float32)
    return Maps(maps, maps)

picture = Image.new("RGB", (3000, height))
segment = Segmenter(forward, 256, crop=128)
total = sum(len(band.prediction.mask) for band in segment.windowed_bands(picture, 1.0))
assert total == height
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

_RASTER = """
import resource, sys
from pathlib import Path
import numpy as np
import rasterio
from semiseg.core.reading import Reading
from semiseg.data.formats.masks import Classes
from semiseg.inference.geotiff import place_of
from semiseg.inference.predictor import Predictor
from semiseg.inference.raster_prediction import Options, RasterJob, segment_raster
from semiseg.inference.reading import Maps
from semiseg.inference.sliding import Segmenter
from semiseg.model.metadata import ModelMetadata, NetworkSpec

folder, side = Path(sys.argv[1]), int(sys.argv[2])
path = folder / "field.tif"
profile = {"driver": "GTiff", "dtype": "uint16", "count": 6, "width": side, "height": side}
profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True, "nodata": 0}
transform = rasterio.transform.from_origin(5e5, 5e6, 1, 1)
with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, **profile) as file:
    file.write(np.full((6, 700, 700), 900, np.uint16), window=((99, 799), (99, 799)))

def forward(images):
    assert images.shape[1] == 6
    rows, columns = (-(-n // 4) for n in images.shape[-2:])
    maps = np.zeros((len(images), 4, rows, columns), np.float32)
    return Maps(maps, maps)

rest = {"mean": (0,) * 6, "std": (1,) * 6, "channels": 6}
spec = NetworkSpec(classes=4, encoder="e", decoder="d", **rest)
classes = Classes(tuple("abcd"), ((0, 0, 0),) * 4, "ids", (0, 1, 2, 3))
reading = Reading(bands=(1, 2, 3, 4, 5, 6), ranges=((0.0, 2000.0),) * 6)
metadata = ModelMetadata(network=spec, classes=classes, size=256, reading=reading)
model = Predictor(metadata, Segmenter(forward, 256, crop=256), True)
targets = {kind: folder / kind / "out.tif" for kind in ("confidence", "")}
for _ in segment_raster(model, RasterJob(path, place_of(path), 1.0, targets), Options("hash")):
    pass
with rasterio.open(targets[""]) as file:
    assert file.shape == (side, side)
    assert (file.read(1) != 255).sum() == 700 * 700
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.variants
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is that of Linux")
def test_a_raster_of_four_times_the_size_needs_hardly_more_memory(tmp_path):
    pytest.importorskip("rasterio", reason="pip install 'semiseg[geo]'")
    peaks = []
    for side in (2000, 4000):
        folder = tmp_path / str(side)
        folder.mkdir()
        run = [sys.executable, "-c", _RASTER, str(folder), str(side)]
        result = subprocess.run(run, capture_output=True, text=True, check=True)
        peaks.append(int(result.stdout) / 1024)  # MiB
    assert peaks[1] - peaks[0] < 100


@pytest.mark.variants
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is that of Linux")
def test_memory_grows_with_the_decoded_image_alone():
    peaks = []
    for height in (512, 4096):
        run = [sys.executable, "-c", _SCRIPT, str(height)]
        result = subprocess.run(run, capture_output=True, text=True, check=True)
        peaks.append(int(result.stdout) / 1024)  # MiB
    decoded = 4 * 3000 * (4096 - 512) / 2**20
    logits = 21 * 3000 / 4 * (4096 - 512) / 4 * 4 / 2**20
    assert logits > 50
    assert peaks[1] - peaks[0] < decoded + 25


def test_a_thin_image_is_one_window_wide():
    def forward(images):
        rows, columns = (-(-n // 4) for n in images.shape[-2:])
        return Maps(np.zeros((len(images), 2, rows, columns), np.float32), None)

    segment = Segmenter(forward, 64, crop=32)
    for size in ((1, 1), (3, 700), (700, 3), (5, 5)):
        assert segment.at_scale(Image.new("RGB", size), 1.0).mask.shape == size[::-1]
        assert segment.at_scale(Image.new("RGB", size), 0.01).mask.shape == size[::-1]
        assert segment.at_scale(Image.new("RGB", size), 3.0).mask.shape == size[::-1]
