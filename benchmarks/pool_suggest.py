"""What `suggest` needs to choose from a pool of a million images: exact products or an index.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/pool_suggest.py --images 100000 1000000

The features are synthetic: `--width` channels (the default encoder has 320), most of their variance
in a few directions as in a network, in groups of like images, and for one image in ten a
near-duplicate. The first table compares ways to find the near-duplicates of 200 chosen images, and
the nearest neighbors of others: products of blocks in numpy, faiss-cpu and hnswlib, each in a
process of its own with one thread. The second one is the whole choice of 200 images by `semiseg
suggest RUN POOL`, with 200 labeled images, and by `semiseg suggest POOL`, from a file of features.
Seconds are those of the processor. Memory is the most that a process had; the pages of the file
that it mapped are part of it.

An index that is not installed is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

CHOSEN = 200
MIN_DISTANCE = 0.01
QUERIES = 1000  # images whose nearest neighbors are compared with the exact ones
BLOCK = 4096
GROUPS = 2000
DIRECTIONS = 64  # in which the images of a network's features differ most
_WRITE, _WAY, _CHOICE = "--write", "--measure", "--choose"
KINDS = {"next": "`suggest RUN POOL`", "first": "`suggest POOL`"}
NEIGHBORS = 10

Vectors = NDArray[np.float32]


def features(first: int, stop: int, width: int, seed: int = 0) -> Vectors:
    """Some rows of synthetic features; a row is the same whichever others are asked for.

    Row `10 k + 1` is a near-duplicate of row `10 k`.
    """
    shared = np.random.default_rng((seed, 0))
    groups = shared.normal(size=(GROUPS, DIRECTIONS))
    directions = shared.normal(size=(DIRECTIONS, width)) * (
        1 / np.sqrt(1 + np.arange(DIRECTIONS))[:, None]
    )
    rows = []
    for block in range(first // BLOCK, -(-stop // BLOCK)):
        draws = np.random.default_rng((seed, 1, block))
        own = draws.normal(size=(BLOCK, DIRECTIONS)) * 0.7
        own += groups[draws.integers(GROUPS, size=BLOCK)]
        vectors = own @ directions + 0.05 * draws.normal(size=(BLOCK, width))
        numbers = np.arange(block * BLOCK, (block + 1) * BLOCK)
        copies = np.flatnonzero((numbers % 10 == 1) & (numbers % BLOCK > 0))
        vectors[copies] = vectors[copies - 1] + 0.02 * draws.normal(size=(len(copies), width))
        rows.append(vectors + 3)  # what all images have in common
    start = first // BLOCK * BLOCK
    return np.concatenate(rows)[first - start : stop - start].astype(np.float32)


def write(file: Path, images: int, width: int) -> None:
    """Write the features of `images` rows as `suggest` does, and a doubt drawn by chance."""
    from semiseg.suggestion.feature_rows import COMPUTED, row_type

    rows = open_memmap(file, mode="w+", dtype=row_type(width), shape=(images,))
    doubts = np.random.default_rng(2).random(images)
    for first in range(0, images, BLOCK):
        stop = min(first + BLOCK, images)
        block = features(first, stop, width)
        scale = np.abs(block).max(axis=1)
        part = rows[first:stop]
        part["state"], part["doubt"], part["disagreement"] = COMPUTED, doubts[first:stop], np.nan
        part["scale"], part["features"] = scale, block / scale[:, None]
    print(json.dumps([images]))


class Clock:
    """The seconds of the processor since the last call."""

    def __init__(self) -> None:
        self._last = time.process_time()

    def __call__(self) -> float:
        now = time.process_time()
        seconds, self._last = now - self._last, now
        return seconds


class Rows:
    """The rows of a file, as unit vectors around their mean."""

    def __init__(self, file: str) -> None:
        self._rows = open_memmap(file, mode="r")
        total = sum(self._block(i).sum(axis=0, dtype=np.float64) for i in self.starts())
        self._mean = (total / len(self)).astype(np.float32)
        self.width = len(self._mean)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, places: NDArray[np.int64] | slice) -> Vectors:
        rows = self._rows[places]
        vectors = rows["features"] * rows["scale"][:, None] - self._mean
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)

    def starts(self) -> range:
        return range(0, len(self._rows), BLOCK)

    def _block(self, first: int) -> Vectors:
        rows = self._rows[first : first + BLOCK]
        return rows["features"] * rows["scale"][:, None]


def exact(rows: Rows, queries: Vectors, k: int) -> NDArray[np.int64]:
    """The `k` nearest rows of each query, by products of blocks."""
    best = np.full((len(queries), k), -np.inf, np.float32)
    numbers = np.zeros((len(queries), k), np.int64)
    for first in rows.starts():
        cosines = queries @ rows[first : first + BLOCK].T
        both = np.hstack([best, cosines])
        own = np.broadcast_to(np.arange(first, first + cosines.shape[1]), cosines.shape)
        every = np.hstack([numbers, own])
        order = np.argpartition(-both, k - 1, axis=1)[:, :k]
        best = np.take_along_axis(both, order, axis=1)
        numbers = np.take_along_axis(every, order, axis=1)
    return numbers


Search = Callable[[Vectors, int], NDArray[np.int64]]


def build_faiss(rows: Rows) -> Search:
    """An index of faiss over all rows."""
    import faiss

    faiss.omp_set_num_threads(1)
    cells = max(1, min(4096, int(4 * np.sqrt(len(rows)))))
    index = faiss.index_factory(rows.width, f"IVF{cells},SQfp16", faiss.METRIC_INNER_PRODUCT)
    picked = np.sort(np.random.default_rng(0).permutation(len(rows))[: 32 * cells])
    index.train(rows[picked])
    for first in rows.starts():
        index.add(rows[first : first + BLOCK])
    faiss.extract_index_ivf(index).nprobe = min(16, cells)
    return lambda queries, k: index.search(queries, k)[1]


def build_hnswlib(rows: Rows) -> Search:
    """An index of hnswlib over all rows."""
    import hnswlib

    index = hnswlib.Index("ip", rows.width)
    index.init_index(len(rows), ef_construction=100, M=16, random_seed=0)
    index.set_num_threads(1)
    for first in rows.starts():
        block = rows[first : first + BLOCK]
        index.add_items(block, np.arange(first, first + len(block)))
    index.set_ef(100)
    return lambda queries, k: index.knn_query(queries, k)[0].astype(np.int64)


WAYS: dict[str, tuple[str | None, Callable[[Rows], Search]]] = {
    "numpy, blocks": (None, lambda rows: lambda queries, k: exact(rows, queries, k)),
    "faiss, IVF": ("faiss", build_faiss),
    "hnswlib": ("hnswlib", build_hnswlib),
}
"""The ways by name, with the package that each needs."""


def measure(file: str, way: str, truth: str) -> None:
    """Measure one way; print seconds to build and to search, what was found, and megabytes."""
    rows = Rows(file)
    clock = Clock()
    search = WAYS[way][1](rows)
    build = clock()
    chosen = np.arange(0, len(rows), max(10, len(rows) // CHOSEN // 10 * 10))[:CHOSEN]
    queries = rows[chosen]
    clock()
    search(queries, NEIGHBORS)
    of_chosen = clock()
    others = np.random.default_rng(1).permutation(len(rows))[: min(QUERIES, len(rows))]
    queries = rows[others]
    clock()
    neighbors = search(queries, NEIGHBORS)
    of_others = clock()
    memory = most_memory()
    if Path(truth).exists():
        found = recall(rows, queries, neighbors, np.load(truth))
    else:
        np.save(truth, neighbors)
        found = [1.0, 1.0]
    print(json.dumps([build, of_chosen, of_others / len(others), *found, memory]))


def recall(
    rows: Rows, queries: Vectors, neighbors: NDArray[np.int64], truth: NDArray[np.int64]
) -> list[float]:
    """The share of near-duplicates, and of the nearest neighbors, that were found."""
    alike = found_alike = found = 0
    for query, own, right in zip(queries, neighbors, truth, strict=True):
        near = right[rows[right] @ query >= 1 - MIN_DISTANCE]
        alike, found_alike = alike + len(near), found_alike + len(np.intersect1d(near, own))
        found += len(np.intersect1d(right, own))
    return [found_alike / max(1, alike), found / truth.size]


def choose(file: str, kind: str) -> None:
    """Choose 200 images as `suggest` does; print the seconds, and megabytes."""
    from semiseg.suggestion.feature_rows import PoolRows
    from semiseg.suggestion.pool_choice import choose_first_numbers, choose_next

    before = most_memory()
    rows = PoolRows([Path(file)])
    labeled = features(len(rows), len(rows) + CHOSEN, rows.width)
    none = np.empty((0, rows.width), np.float32)
    clock = Clock()
    if kind == "next":
        chosen = len(choose_next(rows, labeled, none, CHOSEN))
    else:
        chosen = len(choose_first_numbers(rows, none, none, CHOSEN))
    print(json.dumps([chosen, clock(), most_memory(), before]))


def most_memory() -> float:
    """The most memory that this process had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(*words: str) -> list[float]:
    """What a call of this script in a process of its own prints."""
    call = [sys.executable, __file__, *words]
    output = subprocess.run(call, check=True, capture_output=True, text=True).stdout
    return list(json.loads(output.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[100_000])
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--folder", type=Path, help="for the features; by default a temporary one")
    a = parser.parse_args()
    choices = []
    with tempfile.TemporaryDirectory(dir=a.folder) as name:
        head = ("images", "way", "build, s", "200 images, s", "one more image, ms")
        found = ("near-duplicates found", "neighbors found", "memory, MB")
        print(f"| {' | '.join((*head, *found))} |\n|---:|---|---:|---:|---:|---:|---:|---:|")
        for images in a.images:
            file, truth = Path(name) / f"{images}.npy", Path(name) / f"{images}-truth.npy"
            child(_WRITE, str(file), str(images), str(a.width))  # a child has its parent's maximum
            for way in a.ways:
                package = WAYS[way][0]
                if package is not None and importlib.util.find_spec(package) is None:
                    continue
                row = child(_WAY, str(file), way, str(truth))
                print(
                    f"| {images:,} | {way} | {row[0]:.1f} | {row[1]:.2f} | {1000 * row[2]:.2f} | "
                    f"{row[3]:.3f} | {row[4]:.3f} | {row[5]:.0f} |",
                    flush=True,
                )
            choices += [(images, kind, child(_CHOICE, str(file), kind)) for kind in KINDS]
            file.unlink()
    print("\n| images | choice | chosen | seconds | memory, MB | of these, before the choice, MB |")
    print("|---:|---|---:|---:|---:|---:|")
    for images, kind, (chosen, seconds, memory, before) in choices:
        print(
            f"| {images:,} | {KINDS[kind]} | {chosen} | {seconds:.1f} | {memory:.0f} | "
            f"{before:.0f} |"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == [_WRITE]:
        write(Path(sys.argv[2]), *map(int, sys.argv[3:]))
    elif sys.argv[1:2] == [_WAY]:
        measure(*sys.argv[2:])
    elif sys.argv[1:2] == [_CHOICE]:
        choose(*sys.argv[2:])
    else:
        main()
