"""How long a training with a pool takes to start, and its memory, by the number of images.

    python benchmarks/pool_start.py

The pools are sparse: their index and names are files of the right length without content, and only
the images of the sample exist, in the cache. So this is what a training does before its first
batch beside the sample: open the pool, check the data folder, make the split, and make the loader
with the order of the images. What a spawned loader process gets, pickled, is measured apart.
Each number of images is measured in new processes; the table has the medians. Times are those of
the processor, so that a busy machine does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = (10**3, 10**8)
IN_SHARD = 1000
REPEATS = 3
_CHILD = "--start"


def make(folder: Path, images: int) -> None:
    """A sparse pool, and its sample in the cache."""
    import numpy as np
    from PIL import Image

    from semiseg.data.pools.metadata import ENTRY, INDEX, MANIFEST, NAMES, Manifest
    from semiseg.data.pools.pool import open_pool
    from semiseg.data.pools.pool_sample import SAMPLE_SIZE, _file, _folder, _indices, _write_names

    shards = images // IN_SHARD
    name_bytes = IN_SHARD * len("000000000.png\n")
    folder.mkdir(parents=True)
    manifest = Manifest(
        np.full(shards, IN_SHARD),
        np.full(shards, 128 << 20),
        np.full(shards, name_bytes),
        *("0" * 64, "0" * 64),
        shard_hashes=[f"{shard:064x}" for shard in range(shards)],
    )
    (folder / MANIFEST).write_text(manifest.to_json())
    for name, size in ((INDEX, images * ENTRY.itemsize), (NAMES, shards * name_bytes)):
        with (folder / name).open("wb") as file:
            file.truncate(size)
    pool = open_pool(folder)
    cache, names = _folder(pool), {}
    for index in _indices(images, SAMPLE_SIZE):
        names[index] = f"{index:09d}.png"
        Image.new("RGB", (64, 48), (index % 251, index % 241, 0)).save(
            _file(cache, index, names[index])
        )
    _write_names(cache, names)


def start(data: str, pool: str) -> None:
    """Do what a training does before its first batch; print seconds and bytes."""
    import pickle

    from semiseg.config.train import TrainConfig
    from semiseg.training.data import read_data
    from semiseg.training.loaders import training_loader
    from semiseg.training.place import Place

    before, began = _memory(), time.process_time()
    settings = {"method": "css", "size": 48, "crop": 32, "batch": 4, "steps": 1000, "workers": 0}
    config = TrainConfig.from_values(
        {**settings, "photometry": "mild", "data": data, "unlabeled": pool}
    )
    batches = training_loader(config, read_data(config), Place("cpu", 1, 0, 1)).dataset
    for position in range(settings["batch"]):
        batches.unlabeled._order[position]
    seconds, memory = time.process_time() - began, _memory() - before
    size = len(pickle.dumps(batches.unlabeled.images))
    print(json.dumps([seconds, memory, size]))


def _memory() -> int:
    """The most memory that this process had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=SIZES, help="thousands of images")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    a = parser.parse_args()

    from semiseg.scenes.draw import write_scenes

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["SEMISEG_CACHE"] = str(root / "cache")
        write_scenes(root / "data", labeled=8, unlabeled=0, val=4, size=(48, 64))
        results: dict[int, list[list[float]]] = {}
        for images in a.images:
            make(root / str(images), images)
        for repeat in range(a.repeats + 1):
            for images in a.images:  # in turns, so that other load on the machine counts for all
                folders = [str(root / "data"), str(root / str(images))]
                words = [sys.executable, __file__, _CHILD, *folders]
                output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
                if repeat:  # the first call fills the cache of scans
                    results.setdefault(images, []).append(json.loads(output.splitlines()[-1]))
    base = [statistics.median(column) for column in zip(*results[a.images[0]], strict=True)]
    print("images       seconds   more than 1st  memory more (MB)  pickled (MB)")
    for images, rows in results.items():
        seconds, memory, size = (statistics.median(column) for column in zip(*rows, strict=True))
        print(
            f"{images:<12,} {seconds:7.2f} {seconds - base[0]:15.2f} "
            f"{(memory - base[1]) / 1e6:17.1f} {size / 1e6:13.2f}"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == [_CHILD]:
        start(*sys.argv[2:])
    else:
        main()
