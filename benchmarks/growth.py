"""How the time of a step and the memory grow with batch, crop, classes and unlabeled images.

Each point is a training of a few steps in a process of its own, whose peak memory is its own, what
was imported included; its first steps decode and fetch, and are not counted. Seconds are those of
the processor. Beside the steps: the check, the lists, the network, one validation. From the root of
the repository:

    OMP_NUM_THREADS=1 python benchmarks/growth.py --plot docs/growth.png
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from step import SKIPPED, measure, write_data

from semiseg.training import checkpoint

BASE: dict[str, int] = {"batch": 4, "crop": 128, "classes": 21, "unlabeled": 100}
POINTS = {
    "batch": [2, 4, 8],
    "crop": [64, 128, 256],
    "classes": [2, 21, 60, 181],
    "unlabeled": [100, 1000, 10_000, 100_000],
}
TINY = {name: values[:1] for name, values in POINTS.items()}
TITLES = {
    "batch": "labeled images per batch, and as many unlabeled",
    "crop": "crop size, pixels",
    "classes": "classes",
    "unlabeled": "unlabeled images",
}


def measure_point(point: dict[str, int], method: str, repeats: int) -> dict[str, Any]:
    """Train a few steps, in a process that has loaded everything and holds no data yet."""
    arguments = argparse.Namespace(
        crop=point["crop"],
        batch=point["batch"],
        repeats=repeats,
        encoder="tf_efficientnet_lite0",
        encoder_training="full",
        weights="auto",
        accelerator="cpu",
        devices=1,
    )
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        os.environ["SEMISEG_CACHE"] = str(root / "cache")
        data = write_data(root / "data", point["classes"], point["unlabeled"], (160, 120))
        start = time.process_time()
        probe = measure(method, data, root / "run", arguments, bare=False)
        whole = time.process_time() - start
    step = median(step[0] for step in probe.steps[:-1])  # the last one validates
    return {
        **point,
        "step": step,
        "before": whole - step * (repeats + SKIPPED + 1),
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def draw(measurements: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Step time above, peak memory below, a column for what grows."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        2, len(measurements), figsize=(3.2 * len(measurements), 5), sharey="row"
    )
    for column, (name, rows) in enumerate(measurements.items()):
        for axis, key in zip(axes[:, column], ("step", "megabytes"), strict=True):
            axis.plot([r[name] for r in rows], [r[key] for r in rows], "o-", color="#1f6f8b")
            axis.set_xscale("log", base=10 if name == "unlabeled" else 2)
            axis.set_xticks([r[name] for r in rows], [f"{r[name]:,}" for r in rows], fontsize=8)
            axis.minorticks_off()
            axis.grid(alpha=0.3)
        axes[1, column].set_xlabel(TITLES[name], fontsize=8)
    for row in axes:  # all columns of a row have one scale, known once all are drawn
        row[0].set_ylim(bottom=0)
    axes[0, 0].set_ylabel("CPU seconds per step")
    axes[1, 0].set_ylabel("peak memory, MiB")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plot", type=Path, help="where to draw the figure")
    parser.add_argument("--method", default="css")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="points that are measured at once")
    parser.add_argument("--tiny", action="store_true", help="the smallest point of each alone")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    checkpoint._SECONDS = float("inf")  # one a minute: where steps take long, one a step
    points, base = (
        (TINY, {**BASE, **{n: v[0] for n, v in TINY.items()}}) if arguments.tiny else (POINTS, BASE)
    )
    measurements: dict[str, list[dict[str, Any]]] = {name: [] for name in points}
    places = [(name, {**base, name: value}) for name, values in points.items() for value in values]
    print("| | | step, CPU s | peak, MiB | beside the steps, CPU s |\n|---|---:|---:|---:|---:|")
    with get_context("fork").Pool(arguments.jobs, maxtasksperchild=1) as pool:
        rows = {}
        for _, point in reversed(places):  # the longest first
            key = tuple(point.values())
            if key not in rows:
                rows[key] = pool.apply_async(
                    measure_point, (point, arguments.method, arguments.repeats)
                )
        for name, point in places:
            row = rows[tuple(point.values())].get()
            measurements[name].append(row)
            print(
                f"| {TITLES[name]} | {row[name]:,} | {row['step']:.2f} | {row['megabytes']:.0f} "
                f"| {row['before']:.1f} |",
                flush=True,
            )
    if arguments.plot:
        draw(measurements, arguments.plot)


if __name__ == "__main__":
    main()
