"""A comparison from Python: several methods, seeds and numbers of labels, and what they differ by.

python examples/comparison.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import semiseg
from semiseg.scenes.draw import write_scenes


def main(
    folder: Path,
    settings: dict[str, Any],
    methods: str = "supervised,fixmatch,cps,css",
    seeds: str = "0,1",
) -> dict[str, float | None]:
    """Compare methods on drawn images, and return the mean gain over `supervised` of each.

    Args:
        folder: where the drawn data and the runs go. Called again, it resumes what was stopped.
        settings: settings of `semiseg train`, for all runs.
        methods: the methods, with `supervised` among them.
        seeds: each is a pair of runs, with and without unlabeled images.
    """
    data = write_scenes(folder / "data", labeled=8, unlabeled=24, val=8, size=(96, 128))
    result = semiseg.compare(
        data,
        methods=methods,
        labels=4,
        seeds=seeds,
        css={"anchors": 64},  # settings of one method
        out=folder / "comparison",
        **settings,
    )
    for name, message in result.failed.items():
        print(f"{name} failed: {message}")
    for row in result.rows:
        released = [record.scores.miou.released for record in row.records]
        print(f"{row.method}, {row.images} labeled images, seeds {row.seeds}: {released}")
    print(result.text())
    return {row.method: row.gain.estimate for row in result.rows if row.gain is not None}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary), {"steps": 100, "size": 96, "weights": "none"})
