"""Which settings are worth having: one run a factor, everything else at its default.

Each factor of `FACTORS` is trained on a data set's few masks at a small working size and scored on
`val`. Finished runs in the output folder are kept. With
one seed a difference below a point says nothing; repeat those that matter (`--seeds 0,1,2`). From
the root of the repository:

    python benchmarks/factors.py ../shared/data/camvid --labels 23 --out runs/factors-camvid
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import semiseg

_CEILING: dict[str, Any] = {"method": "supervised", "labels": "all"}
_SLOW: dict[str, Any] = {"lr": 3e-3, "encoder_lr": 5e-4}
_FAST: dict[str, Any] = {"lr": 1.2e-2, "encoder_lr": 2e-3}
FACTORS: dict[str, dict[str, Any]] = {
    "supervised": {"method": "supervised"},
    "supervised, all masks": _CEILING,
    "supervised, rates x1/2": {"method": "supervised", **_SLOW},
    "supervised, rates x2": {"method": "supervised", **_FAST},
    "supervised, all masks, rates x1/2": {**_CEILING, **_SLOW},
    "supervised, all masks, rate of decoder and heads x1/2": {**_CEILING, "lr": 3e-3},
    "supervised, all masks, rates x2": {**_CEILING, **_FAST},
    "supervised, dice": {"method": "supervised", "dice": 1.0},
    "cutmix": {"method": "cutmix"},
    "css": {},
    "css, rates x1/2": _SLOW,
    "css, rates x2": _FAST,
    "css, uniform prior": {"class_prior": "uniform"},
    "css, no balance": {"class_balance": "none"},
    "css, contrast weight 0": {"contrast_weight": 0.0},
    "css, contrast weight 0, confidence threshold 0.8": {
        "contrast_weight": 0.0,
        "confidence_threshold": 0.8,
    },
    "css, confidence threshold 0": {"confidence_threshold": 0.0},
    "css, confidence threshold 0.8": {"confidence_threshold": 0.8},
    "css, supervised warm-up 0.3": {"supervised_warmup": 0.3},
    "css, teacher memory 0.1": {"teacher_memory": 0.1},
    "css, contrast weight 1": {"contrast_weight": 1.0},
    "css, cross": {"collaboration": "cross"},
    "css, logit space alone": {"collaboration": "logit"},
}
"""The settings of `train` by the name of the row; the method is `css` where none is named."""


def train(data: Path, run: Path, settings: dict[str, Any]) -> dict[str, float]:
    """The scores, in per cent, of a run that is trained if it is not finished."""
    if not (run / "scores.json").is_file():
        semiseg.train(data, out=run, resume=True, **{"method": "css", **settings})
    scores = json.loads((run / "scores.json").read_text(encoding="utf-8"))
    return {**scores["miou"], "seconds": scores["seconds"]}


def main() -> None:
    """Train what is missing and print the table after each row."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--labels", default="all")
    parser.add_argument("--only", help="rows, with semicolons between them")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int)
    a = parser.parse_args()
    shared = {"steps": a.steps, "size": a.size, "threads": a.threads, "diagnostics": False}
    print("| factor | student, last | released | seeds | seconds |\n|---|---|---|---|---|")
    for name in a.only.split(";") if a.only else FACTORS:
        own = {"method": "css", "labels": a.labels, **shared, **FACTORS[name.strip()]}
        folder = a.out / "".join(c if c.isalnum() else "-" for c in name.strip())
        results = [
            train(a.data, folder / f"seed{seed}", {**own, "seed": int(seed)})
            for seed in a.seeds.split(",")
        ]
        last, released, seconds = (
            fmean(f[key] for f in results) for key in ("last", "released", "seconds")
        )
        print(
            f"| {name} | {last:.1f} | {released:.1f} | {len(results)} | {seconds:.0f} |", flush=True
        )


if __name__ == "__main__":
    main()
