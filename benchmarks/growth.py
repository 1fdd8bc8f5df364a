"""How the time of a step and the memory grow with batch, crop, classes and unlabelled images.

Each point is a training of a few steps in a fresh process, whose peak memory is its own; the first
step of it decodes and fetches, and is not counted. Seconds are those of the processor. From the
root of the repository:

    OMP_NUM_THREADS=1 python benchmarks/growth.py --plot docs/growth.png
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

BASE = {"batch": 4, "crop": 128, "classes": 21, "unlabeled": 100}
POINTS = {
    "batch": [2, 4, 8],
    "crop": [64, 128, 192, 256],
    "classes": [2, 21, 60, 181],
    "unlabeled": [100, 1000, 10_000, 100_000],
}
TITLES = {
    "batch": "labelled images a batch, and as many unlabelled",
    "crop": "side of the crop, pixels",
    "classes": "classes",
    "unlabeled": "unlabelled images",
}


def child(point: dict[str, int], method: str, repeats: int) -> None:
    """Measure one point and print it."""
    from step import SKIPPED, measure, write_data

    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        os.environ["SEMISEG_CACHE"] = str(root / "cache")
        data = write_data(root / "data", point["classes"], point["unlabeled"], (160, 120))
        given = argparse.Namespace(
            crop=point["crop"],
            batch=point["batch"],
            repeats=repeats,
            encoder="tf_efficientnet_lite0",
            weights="auto",
            accelerator="cpu",
            devices=1,
        )
        start = time.process_time()
        probe = measure(method, data, root / "run", given, bare=False)
        whole = time.process_time() - start
    steps = [step[0] for step in probe.steps[:-1]]  # the last one validates
    print(
        json.dumps(
            {
                **point,
                "step": median(steps),
                "before": whole - median(steps) * (repeats + SKIPPED + 1),
                "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


def measured(point: dict[str, int], method: str, repeats: int) -> dict[str, Any]:
    """The point as a fresh process finds it."""
    words = [sys.executable, __file__, "--child", json.dumps(point), "--method", method]
    words += ["--repeats", str(repeats)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def draw(found: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Step time above, peak memory below, a column for what grows."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(found), figsize=(3.2 * len(found), 5), sharey="row")
    for column, (name, rows) in enumerate(found.items()):
        for axis, key in zip(axes[:, column], ("step", "megabytes"), strict=True):
            axis.plot([r[name] for r in rows], [r[key] for r in rows], "o-", color="#1f6f8b")
            axis.set_xscale("log", base=10 if name == "unlabeled" else 2)
            axis.set_xticks([r[name] for r in rows], [f"{r[name]:,}" for r in rows], fontsize=8)
            axis.minorticks_off()
            axis.grid(alpha=0.3)
            axis.set_ylim(bottom=0)
        axes[1, column].set_xlabel(TITLES[name], fontsize=8)
    axes[0, 0].set_ylabel("CPU seconds a step")
    axes[1, 0].set_ylabel("peak memory, MiB")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plot", type=Path, help="where to draw the figure")
    parser.add_argument("--method", default="css")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.method, given.repeats)
        return
    base = measured(BASE, given.method, given.repeats)
    found: dict[str, list[dict[str, Any]]] = {}
    print(
        "| | | step, CPU s | peak, MiB | before the first step, CPU s |\n|---|---:|---:|---:|---:|"
    )
    for name, values in POINTS.items():
        found[name] = []
        for value in values:
            point = {**BASE, name: value}
            row = base if point == BASE else measured(point, given.method, given.repeats)
            found[name].append(row)
            print(
                f"| {TITLES[name]} | {value:,} | {row['step']:.2f} | {row['megabytes']:.0f} "
                f"| {row['before']:.1f} |",
                flush=True,
            )
    if given.plot:
        draw(found, given.plot)


if __name__ == "__main__":
    main()
