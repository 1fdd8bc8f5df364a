"""Self-training by hand: a model labels the images once, and `distill` learns from its labels.

python examples/stored_labels.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import semiseg
from semiseg.scenes.draw import write_scenes

SETTINGS = {"steps": 200, "size": 96, "weights": "none"}


def main(folder: Path, settings: dict[str, Any], rounds: int = 2) -> list[float | None]:
    """Train a first model, then students of it, and return the mean IoU of each on `val`.

    Args:
        folder: where the drawn data and the runs go.
        settings: settings of `semiseg train`.
        rounds: how often a model labels the images for the next one.
    """
    data = write_scenes(folder / "data", labeled=8, unlabeled=24, val=8, size=(96, 128))
    shared = {"labels": 4, **settings}
    run = semiseg.train(data, method="supervised", out=folder / "round-0", **shared)
    scores = [run.scores.miou.released]
    for number in range(1, rounds + 1):
        run = semiseg.train(
            data,
            method="distill",
            teacher=run.folder,  # or a folder of masks that are named like the images
            confidence_threshold=0.6,
            out=folder / f"round-{number}",
            **shared,
        )
        labels = json.loads((run.folder / "labels" / "labels.json").read_text())
        print(f"round {number}: {len(labels['images'])} images have stored labels")
        scores.append(run.scores.miou.released)
    return scores


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        for number, miou in enumerate(main(Path(temporary), SETTINGS)):
            print(f"round {number}: mean IoU {miou}")
