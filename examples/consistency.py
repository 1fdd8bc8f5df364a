"""`unimatch` from Python: consistency of two strong views with the labels of the weak one.

python examples/consistency.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import semiseg
from semiseg.scenes.draw import write_scenes

SETTINGS = {"steps": 200, "size": 96, "weights": "none"}


def main(folder: Path, settings: dict[str, Any]) -> dict[str, float | None]:
    """Train with unlabeled images and without, and return the mean IoU of both on `val`.

    Args:
        folder: where the drawn data and the runs go.
        settings: settings of `semiseg train`.
    """
    data = write_scenes(folder / "data", labeled=8, unlabeled=24, val=8, size=(96, 128))
    scores = {}
    for method in ("supervised", "unimatch"):
        run = semiseg.train(data, method=method, labels=4, out=folder / method, **settings)
        scores[method] = run.scores.miou.released
    # A setting of the method is a keyword, as it is a flag on the command line.
    other = semiseg.train(
        data,
        method="unimatch",
        labels=4,
        confidence_threshold=0.8,
        out=folder / "unsure",
        **settings,
    )
    scores["unimatch, threshold 0.8"] = other.scores.miou.released
    image = next((data / "val" / "images").iterdir())
    prediction = semiseg.load(folder / "unimatch", "cpu").predict(image)
    print(f"{image.name}: {prediction.confidence.mean():.0%} confident on average")
    return scores


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        for name, miou in main(Path(temporary), SETTINGS).items():
            print(f"{name}: mean IoU {miou}")
