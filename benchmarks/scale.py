"""CPU seconds of `predict` for each image and for the start, in one process and with Ray.

OMP_NUM_THREADS=1 python benchmarks/scale.py [--images 20 120] [--size 480 360]

The model has the default encoder of a CPU with prototypes and 11 classes, and random weights: they
change no time but that of the PNG files. The seconds are those of all processes together, Ray's own
among them, as the kernel counts them, so they do not change with what else the machine does. Linux
only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from semiseg.core.rng import Key
from semiseg.data.formats.masks import Classes
from semiseg.model.metadata import ModelMetadata
from semiseg.model.network import Network
from semiseg.model.release import Release, save_release

_TICKS = os.sysconf("SC_CLK_TCK")
_CLASSES = 11


def write_model(folder: Path, encoder: str = "tf_efficientnet_lite0", size: int = 240) -> None:
    Key.of(0, "benchmark").seed_globals()
    network = Network(_CLASSES, encoder, weights="none")
    network.set_crop(size)
    network.add_representation_head(256)
    tensors = {
        "prototypes": torch.nn.functional.normalize(torch.randn(_CLASSES, 256)),
        "seen": torch.ones(_CLASSES, dtype=torch.bool),
        "similarity_prior": torch.zeros(_CLASSES),
    }
    names = tuple(f"class {number}" for number in range(_CLASSES))
    colors = tuple((20 * number, 255 - 20 * number, 128) for number in range(_CLASSES))
    classes = Classes(names, colors, "ids", tuple(range(_CLASSES)))
    metadata = ModelMetadata(network=network.spec, classes=classes, size=size, method="css")
    save_release(folder, Release(network.eval(), tensors, metadata))


def write_images(folder: Path, count: int, size: tuple[int, int]) -> int:
    """Smooth pictures with some noise, which compress about as photographs do; their bytes."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.int16)
        noisy = pixels + rng.integers(-8, 9, pixels.shape)
        picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
        picture.save(folder / f"{number:04d}.jpg", quality=90)
    return size_of(folder)


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def tree_seconds(root: int) -> dict[int, float]:
    """CPU seconds of each process below one, by its id."""
    stats = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            stats[int(entry.name)] = int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICKS
    inside = {root}
    while more := {pid for pid, (parent, _) in stats.items() if parent in inside} - inside:
        inside |= more
    return {pid: stats[pid][1] for pid in inside if pid in stats}


def cpu_seconds(run: Path, images: Path, out: Path, engine: str) -> float:
    words = ["predict", run, images, "--out", out, "--engine", engine, "--accelerator", "cpu"]
    process = subprocess.Popen([sys.executable, "-m", "semiseg", *map(str, words), "--quiet"])
    seconds: dict[int, float] = {}
    while process.poll() is None:
        for pid, value in tree_seconds(process.pid).items():
            seconds[pid] = max(value, seconds.get(pid, 0))
        time.sleep(0.05)
    if process.returncode:
        sys.exit(f"predict ended with {process.returncode}")
    return sum(seconds.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs=2, default=(20, 120))
    parser.add_argument("--size", type=int, nargs=2, default=(480, 360))
    parser.add_argument("--engines", nargs="+", default=["local", "ray"])
    options = parser.parse_args()
    few, many = options.images
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "run").mkdir()
        write_model(root / "run")
        size = options.size[0], options.size[1]
        for count in (few, many):
            total = write_images(root / f"images-{count}", count, size)
        print(f"{total / many / 1000:.1f} kB for an image")
        for engine in options.engines:
            seconds = [
                cpu_seconds(
                    root / "run", root / f"images-{count}", root / f"{engine}-{count}", engine
                )
                for count in (few, many)
            ]
            each = (seconds[1] - seconds[0]) / (many - few)
            print(
                f"{engine}: {1000 * each:.0f} ms for an image, {seconds[0] - few * each:.1f} s for "
                f"the start ({few}: {seconds[0]:.1f} s, {many}: {seconds[1]:.1f} s)",
                flush=True,
            )
        masks = size_of(root / f"{options.engines[0]}-{many}")
        print(f"{masks / many / 1000:.1f} kB for a mask")


if __name__ == "__main__":
    main()
