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


@pytest.mark.slow
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
