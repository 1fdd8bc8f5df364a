"""Memory and time of `predict` on a raster of many bands that is larger than the memory.

python benchmarks/raster.py [--size 20000] [--bands 6] [--polygons]

The raster is drawn in blocks (uint16, tiles, a border without data), and a process of its own
segments it with a small network of random weights, at the scale of the training. Seconds are those
of the CPU and of the clock; use one thread.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import torch
from rasterio.transform import from_origin
from rasterio.windows import Window

from semiseg.core.reading import Reading
from semiseg.core.rng import Key
from semiseg.data.formats.ground import GroundResolution
from semiseg.data.formats.masks import Classes
from semiseg.model.metadata import ModelMetadata
from semiseg.model.network import Network
from semiseg.model.release import Release, save_release

CLASSES = 4
BLOCK = 512
PIXEL = 0.1  # meters
PROGRAM = """
import resource, sys, time
import semiseg
start = time.time()
polygons = sys.argv[4] or None
semiseg.predict(sys.argv[1], sys.argv[2], out=sys.argv[3], confidence=True, polygons=polygons,
                accelerator="cpu")
usage = resource.getrusage(resource.RUSAGE_SELF)
print(usage.ru_maxrss, usage.ru_utime + usage.ru_stime, time.time() - start)
"""


def draw(path: Path, size: int, bands: int) -> None:
    """Waves and noise, a block at a time."""
    rng = np.random.default_rng(0)
    profile = {
        **{"driver": "GTiff", "width": size, "height": size, "count": bands, "dtype": "uint16"},
        **{"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "nodata": 0},
        **{"crs": "EPSG:32633", "transform": from_origin(5e5, 5.8e6, PIXEL, PIXEL)},
        **{"bigtiff": "IF_SAFER"},
    }
    noise = rng.integers(0, 300, (bands, BLOCK, BLOCK), dtype=np.uint16)
    border = size // 25
    with rasterio.open(path, "w", **profile) as file:
        for top in range(0, size, BLOCK):
            for left in range(0, size, BLOCK):
                y, x = np.mgrid[top : min(top + BLOCK, size), left : min(left + BLOCK, size)]
                waves = [np.sin(x / (50 + 20 * b)) * np.sin(y / (90 - 7 * b)) for b in range(bands)]
                values = 1000 + (700 * np.stack(waves)).astype(np.int64)
                values += np.roll(noise, left % 97, axis=2)[:, : y.shape[0], : y.shape[1]]
                values[:, (x < border) | (y < border)] = 0
                window = Window(left, top, y.shape[1], y.shape[0])
                file.write(values.astype(np.uint16), window=window)


def write_model(folder: Path, bands: int) -> None:
    """A small network of random weights, trained, as it says, on crops of 256 pixels."""
    folder.mkdir()
    Key.of(0, "benchmark").seed_globals()
    network = Network(CLASSES, "lcnet_035", "fpn", weights="none", channels=bands)
    network.set_crop(256)
    torch.nn.init.normal_(network.logit_head.weight, std=3)
    colors = ((60, 140, 60), (220, 160, 40), (40, 90, 200), (120, 120, 120))
    metadata = ModelMetadata(
        network=network.spec,
        classes=Classes(("a", "b", "c", "d"), colors, "ids", (0, 1, 2, 3)),
        size=256,
        side=256,
        ground_resolution=GroundResolution(PIXEL, "meter"),
        reading=Reading(bands=tuple(range(1, bands + 1)), ranges=((0.0, 2000.0),) * bands),
    )
    save_release(folder, Release(network.eval(), {}, metadata))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=20_000, help="pixels of a side")
    parser.add_argument("--bands", type=int, default=6)
    parser.add_argument("--polygons", action="store_true", help="also write a GeoPackage")
    parser.add_argument("--folder", type=Path, help="the folder for the files; a temporary one")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=a.folder) as name:
        folder = Path(name)
        start = time.process_time()
        draw(folder / "large.tif", a.size, a.bands)
        write_model(folder / "model", a.bands)
        print(f"drawn in {time.process_time() - start:.0f} s", file=sys.stderr)
        polygons = str(folder / "areas.gpkg") if a.polygons else ""
        words = [str(folder / "model"), str(folder / "large.tif"), str(folder / "out"), polygons]
        process = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True
        )
        peak, cpu, clock = map(float, process.stdout.split())
        written = sum(file.stat().st_size for file in (folder / "out").rglob("*.tif"))
    scale = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss
    print("| pixels of a side | bands | peak, MB | CPU s | elapsed, s | written, MB |")
    print("|---:|---:|---:|---:|---:|---:|")
    numbers = f"{peak * scale / 1e6:.0f} | {cpu:.0f} | {clock:.0f} | {written / 1e6:.1f}"
    print(f"| {a.size} | {a.bands} | {numbers} |")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6
    print(f"drawing took a peak of {own:.0f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
