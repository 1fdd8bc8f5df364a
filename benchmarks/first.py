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

from lightning.pytorch.callbacks import Callback
from PIL import Image
from step import write_data

from semiseg.checks.examine import examine
from semiseg.config.train import TrainConfig
from semiseg.core import console
from semiseg.data.tree import list_images
from semiseg.training import trainer
from semiseg.training.build import build
from semiseg.training.devices import set_device
from semiseg.training.stage import Stage


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
        took = max(seconds(way), 0.01)  # the resolution of the clock
        print(f"| {name} | {took:.2f} | {len(paths) / took:,.0f} |", flush=True)


class Stopwatch(Callback):
    """When the first step was done."""

    def __init__(self) -> None:
        self.done = 0.0

    def on_train_batch_end(self, trainer: object, *args: object) -> None:
        self.done = self.done or time.process_time()


def first_step(root: Path, crop: int) -> None:
    """From the building of the network to the end of the first step, which is a full one."""
    values = {
        **{"data": root / "data", "out": root / "run", "steps": 2, "size": crop, "crop": crop},
        **{"validations": 1, "diagnostics": False, "workers": 0, "accelerator": "cpu"},
        **{"method": "css", "supervised_warmup": 0.0},
    }
    config = TrainConfig.from_values(values)
    console.silence()
    config.out.mkdir()
    config, place, images, _ = trainer.prepare(config, set_device(config.machine))
    began = time.process_time()
    module = build(config, images)
    ready, watch = time.process_time(), Stopwatch()
    module.configure_callbacks = lambda: [watch]
    trainer.fit(Stage(1, 1, config, config), place, images, module, None, 0)
    print(f"| the network is built | {ready - began:.2f} | |")
    print(f"| from there to the end of the first step | {watch.done - ready:.2f} | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5, help="of the help")
    arguments = parser.parse_args()
    print("| | CPU s | images a CPU second |\n|---|---:|---:|")
    words = [sys.executable, "-m", "semiseg", "--help"]
    help_seconds = [
        seconds(lambda: subprocess.run(words, stdout=-3, check=True))
        for _ in range(arguments.repeats)
    ]
    print(f"| `semiseg --help` | {median(help_seconds):.2f} | |", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        os.environ["SEMISEG_CACHE"] = str(root / "cache")
        check(root, arguments.images)
        first_step(root, arguments.crop)


if __name__ == "__main__":
    main()
