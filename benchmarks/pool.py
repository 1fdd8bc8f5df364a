"""Reading images from a pool beside reading them from files, and what opening a huge pool takes.

Both read the same images in a random order, and decode them in the last row. *Warm*: all of them
were read just before, and lie in the memory of the system. *Cold*: the system was asked to forget
them (`posix_fadvise`, so not on macOS and Windows); what the disk itself remembers stays. The clock
is that of the wall where the disk works, and that of the processor where it does not. The ways take
turns, and the table has medians.

The index of the huge pool is sparse: it has its full length, but takes no disk. Opening it and
drawing a hundred positions runs in a process of its own; the memory is the highest use, beyond that
before the pool was opened. From the root of the repository:

    python benchmarks/pool.py
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from semiseg.commands.pack import pack
from semiseg.core.rng import Key
from semiseg.core.text import table
from semiseg.data.formats.images import read_image
from semiseg.data.pools.metadata import ENTRY, INDEX, MANIFEST, NAMES, Manifest
from semiseg.data.pools.pool import open_pool
from semiseg.data.pools.pool_order import DEFAULT_WINDOW, PoolOrder

SHARD_IMAGES = 1250  # of a shard of 128 MB, if an image takes 100 kB
NAME_BYTES = 20
OPEN = """
import json, sys, time
from pathlib import Path
from semiseg.core.rng import Key
from semiseg.data.pools.pool import open_pool
from semiseg.data.pools.pool_order import DEFAULT_WINDOW, PoolOrder

def megabytes(name):
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        import resource  # macOS; the highest use so far, in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(name))

if Path("/proc/self/clear_refs").exists():
    Path("/proc/self/clear_refs").write_text("5")  # the highest use starts anew
before, start = megabytes("VmRSS"), time.process_time()
pool = open_pool(sys.argv[1])
order = PoolOrder(pool.counts, Key.of(0), DEFAULT_WINDOW)
drawn = [order[position] for position in range(100)]
elapsed = time.process_time() - start
print(json.dumps([len(pool), 1000 * elapsed, megabytes("VmHWM") - before]))
"""


def draw(folder: Path, count: int, side: int) -> list[Path]:
    """Write images of noise, which JPEG does not make small."""
    rng = np.random.default_rng(0)
    files = []
    for number in range(count):
        file = folder / f"{number % 100:02d}" / f"{number:07d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG")
        file.write_bytes(stream.getvalue())
        files.append(file)
    return files


def forget(files: Sequence[Path]) -> bool:
    """Ask the system to forget the content of files; False where it cannot be asked."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for file in files:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def throughput(args: argparse.Namespace, folder: Path) -> str:
    """Images a second of both ways, cold and warm, and their ratio."""
    files = draw(folder / "images", args.images, args.side)
    pack(folder / "images", out=folder / "POOL", shard_size=args.shard_size)
    pool = open_pool(folder / "POOL")
    order = PoolOrder(pool.counts, Key.of(0), DEFAULT_WINDOW)
    shuffled = Key.of(0).numpy().permutation(len(files))
    places = range(len(pool))
    ways: dict[str, dict[str, Callable[[], object]]] = {
        "read": {
            "files": lambda: [files[number].read_bytes() for number in shuffled],
            "pool": lambda: [pool.read(order[place]) for place in places],
        },
        "read and decoded": {
            "files": lambda: [np.asarray(read_image(files[number])).mean() for number in shuffled],
            "pool": lambda: [
                np.asarray(read_image(pool.image(order[place]))).mean() for place in places
            ],
        },
    }
    every = [*files, *(folder / "POOL").iterdir()]
    rates: dict[str, dict[str, list[float]]] = {}
    for _ in range(args.repeats):
        for state, way in (("cold", "read"), ("warm", "read"), ("warm", "read and decoded")):
            for name, read in ways[way].items():
                if state == "cold" and not forget(every):
                    continue
                if state == "warm":
                    read()
                clock = time.perf_counter if state == "cold" else time.process_time
                start = clock()
                read()
                rate = len(files) / (clock() - start)
                rates.setdefault(f"{state}, {way}", {}).setdefault(name, []).append(rate)
    rows = []
    for label, of_ways in rates.items():
        one, other = (median(of_ways[name]) for name in ("files", "pool"))
        rows.append([label, f"{one:,.0f}", f"{other:,.0f}", f"{other / one:.2f}"])
    size = sum(file.stat().st_size for file in files) / len(files)
    head = [f"images of {size / 1000:.0f} kB a second", "files", "pool", "ratio"]
    return table(head, rows)


def write_sparse(folder: Path, images: int) -> Path:
    """A pool of which only the manifest takes place on the disk."""
    folder.mkdir()
    counts = np.full(-(-images // SHARD_IMAGES), SHARD_IMAGES, np.int64)
    counts[-1] -= counts.sum() - images
    hashes = [f"{shard:064x}" for shard in range(len(counts))]
    manifest = Manifest(counts, counts * 100_000, counts * NAME_BYTES, "0" * 64, "0" * 64, hashes)
    (folder / MANIFEST).write_text(manifest.to_json())
    for name, size in ((INDEX, ENTRY.itemsize), (NAMES, NAME_BYTES)):
        with (folder / name).open("wb") as file:
            file.truncate(images * size)
    return folder


def startup(args: argparse.Namespace, folder: Path) -> str:
    """Processor time and memory that it takes to open a small and a huge pool."""
    rows = []
    results = []
    for images in (args.small, args.huge):
        pool = write_sparse(folder / str(images), images)
        runs = []
        for _ in range(args.repeats):
            command = [sys.executable, "-c", OPEN, str(pool)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            count, *figures = json.loads(output)
            assert count == images
            runs.append(figures)
        results.append([median(values) for values in zip(*runs, strict=True)])
        rows.append([f"{images:,}", *(f"{value:.1f}" for value in results[-1])])
    more = [other - one for one, other in zip(*results, strict=True)]
    rows.append(["difference", *(f"{value:.1f}" for value in more)])
    return table(["images in the pool", "CPU ms", "MB"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--side", type=int, default=200)
    parser.add_argument("--shard-size", default="16MB")
    parser.add_argument("--small", type=int, default=10**3)
    parser.add_argument("--huge", type=int, default=10**8)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(throughput(args, Path(name)))
        print()
        print(startup(args, Path(name)))


if __name__ == "__main__":
    main()
