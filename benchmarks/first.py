"""The first seconds: the help, the check of a folder, the first training step.

Seconds of the processor, those of child processes included. From the root of the repository:

    OMP_NUM_THREADS=1 python benchmarks/first.py [--images 10000]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace

from lightning.pytorch.callbacks import Callback
from PIL import Image
from step import settings, write_data

from semiseg.checks.examine import examine
from semiseg.data.tree import list_images
from semiseg.training import parts, session


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of this process and of those that it waited for."""
    before = os.times()
    work()
    return sum(os.times()[:4]) - sum(before[:4])


def opened(paths: list[Path]) -> None:
    """What a plain loop does that asks each file for its size."""
    for path in paths:
        with Image.open(path) as file:
            _ = file.size


def decoded(paths: list[Path]) -> None:
    """What a plain loop does that makes sure of each image."""
    for path in paths:
        with Image.open(path) as file:
            file.convert("RGB").load()


def check(root: Path, images: int) -> None:
    data = write_data(root / "data", 11, images)
    paths = list_images(data / "unlabeled")
    ways: dict[str, Callable[[], object]] = {
        "a loop that opens each file": lambda: opened(paths),
        "a loop that decodes each image": lambda: decoded(paths),
        "check, first look": lambda: examine(data),
        "check, second look": lambda: examine(data),
    }
    for name, way in ways.items():
        took = seconds(way)
        print(f"| {name} | {took:.2f} | {len(paths) / took:,.0f} |", flush=True)


class Stopwatch(Callback):
    """When the first step was done."""

    def __init__(self) -> None:
        self.done = 0.0

    def on_train_batch_end(self, trainer: object, *args: object) -> None:
        self.done = self.done or time.process_time()


def first_step(root: Path, crop: int) -> None:
    """From the building of the network to the end of the first step, which is a full one."""
    s = settings(
        data=root / "data",
        out=root / "run",
        steps=2,
        size=crop,
        crop=crop,
        looks=1,
        diagnostics=False,
        workers=0,
        accelerator="cpu",
    )
    options = {"supervised_warmup": 0.0}
    place = parts.settle_place(s, options)
    began: list[float] = []
    build = session.build_student

    def noted(classes: int, settings: SimpleNamespace, resumed: bool) -> object:
        began.append(time.process_time())
        return build(classes, settings, resumed)

    session.build_student = noted
    made = parts.build(s, options, place, resume=False)
    ready, watch = time.process_time(), Stopwatch()
    made.module.configure_callbacks = lambda: [watch]
    rest = (made.split, made.folder.classes, made.plan, s, place)
    training = session.training_loader(*rest, 0, made.focus)
    session.fit(made.module, training, session.validation_loader(*rest), place, None, s, None, 0)
    print(f"| the network is built | {ready - began[0]:.2f} | |")
    print(f"| from there to the end of the first step | {watch.done - ready:.2f} | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--crop", type=int, default=256)
    given = parser.parse_args()
    print("| | CPU s | images a CPU second |\n|---|---:|---:|")
    words = [sys.executable, "-m", "semiseg", "--help"]
    helped = [seconds(lambda: subprocess.run(words, stdout=-3, check=True)) for _ in range(5)]
    print(f"| `semiseg --help` | {median(helped):.2f} | |", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        os.environ["SEMISEG_CACHE"] = str(root / "cache")
        check(root, given.images)
        first_step(root, given.crop)


if __name__ == "__main__":
    main()
