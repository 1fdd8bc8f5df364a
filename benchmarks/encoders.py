"""Which encoder is best in the same time: one row an encoder and a method, all on one core.

The clock is the processor time of the training process, with its start, its validations and, where
features are cached, their computation. First the pace of each row is measured with a few steps.
Each row then takes the steps that fit into the time. Finished runs in the output folder are kept.
Give the core to the script alone. From the root of the repository:

    taskset -c 0 python benchmarks/encoders.py ../shared/data/camvid --labels 23 \
        --dinov2 dinov2_vits14.safetensors --seconds 600 --out runs/encoders-camvid

`../shared/tools/dinov2_small.py` writes the weights of DINOv2-S. The student's time does not
include that of its teacher, the best row of DINOv2-S.
"""

from __future__ import annotations

import argparse
import bisect
import json
import math
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import semiseg

_DINOV2 = {"encoder": "vit_small_patch14_dinov2"}
ENCODERS: dict[str, dict[str, Any]] = {
    "lite0": {},
    "lite0, last 3 stages": {"encoder_training": "last-3"},
    "DINOv2-S, head": {**_DINOV2, "encoder_training": "head"},
    "DINOv2-S, last 4 blocks": {**_DINOV2, "encoder_training": "last-4"},
    "DINOv2-S": _DINOV2,
}
"""The settings of `train` by the name of the encoder."""
STUDENT = "lite0, student of DINOv2-S"
METHODS = ("supervised", "css")
_SHARED: dict[str, Any] = {"threads": 1, "workers": 0, "diagnostics": False}
_SHORT, _LONG = 4, 12  # steps of the trainings that measure the pace
_BATCH, _VIEWS = 4, 32  # the plan's labeled images in a step, and cached views of each


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--labels", default="all")
    parser.add_argument("--dinov2", type=Path, help="the weights; without it, they are random")
    parser.add_argument("--seconds", type=float, default=600, help="of the processor, for each row")
    parser.add_argument("--encoders", help="rows, with semicolons between them")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--size", type=int, help="the working size; without it, the plan's")
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    names = [n.strip() for n in a.encoders.split(";")] if a.encoders else [*ENCODERS, STUDENT]
    rows = [(n, m) for n in names if n != STUDENT for m in a.methods.split(",")]
    for name, method in rows:
        _row(a, name, {"method": method, **_settings(a, name)})
    if STUDENT in names:
        teacher = _best_teacher(a.out, rows)
        _row(a, STUDENT, {"method": "distill", "teacher": teacher, **_settings(a, "lite0")})
    print(_table(a.out))


def _settings(a: argparse.Namespace, name: str) -> dict[str, Any]:
    """The flags of `train` that the command line and an encoder give."""
    settings = {"labels": a.labels, "seed": a.seed, **ENCODERS[name]}
    if "encoder" in settings:
        settings["weights"] = "none" if a.dinov2 is None else a.dinov2
    return settings if a.size is None else {**settings, "size": a.size}


def _row(a: argparse.Namespace, name: str, settings: dict[str, Any]) -> None:
    """Train a row, unless it is finished."""
    folder = a.out / "-".join(f"{name} {settings['method']}".replace(",", "").split())
    record = folder.with_suffix(".json")
    if record.is_file():
        return
    pace = _measure(a, folder, settings)
    steps = _steps(a, pace)
    seconds = _train(a.data, folder, {**settings, "steps": steps})
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    content = {
        "encoder": name,
        "method": settings["method"],
        "steps": steps,
        "pace": pace._asdict(),
        "seconds": seconds,
        "miou": scores["miou"],
        "classes": {k: v["iou"] for k, v in scores["per_class"].items()},
    }
    record.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


class Pace(NamedTuple):
    """What a training costs in seconds of the processor.

    Attributes:
        fixed: the start, one validation and the end.
        step: a step whose features are cached, or that has none.
        filling: what a step costs more while no view of its batch is cached.
    """

    fixed: float
    step: float
    filling: float

    def seconds(self, steps: int, batch: int, views: int) -> float:
        """The cost of a training.

        Args:
            steps: its steps.
            batch: the labeled images of a step.
            views: the views of all labeled images; those of the unlabeled ones are about as many.
        """
        share = views * (1 - math.exp(-steps * batch / views)) / batch  # of new views
        return self.fixed + steps * self.step + share * self.filling


def _measure(a: argparse.Namespace, folder: Path, settings: dict[str, Any]) -> Pace:
    """Time short trainings: their difference is the cost of the steps alone."""
    trial = folder.with_name(f"{folder.name}.trial")
    # The methods' first steps on labeled images alone would be too cheap.
    warm_up = {} if settings["method"] == "supervised" else {"supervised_warmup": 0.0}
    own = {**settings, **warm_up, "validations": 1}
    with tempfile.TemporaryDirectory() as cache:
        short, new, old = (
            _train(a.data, trial, {**own, "steps": steps}, cache)
            for steps in (_SHORT, _LONG, _LONG)
        )
        cached = any(Path(cache).glob("features/**/*"))
    shutil.rmtree(trial)
    step = (new - short) / (_LONG - _SHORT)
    fixed = max(0.0, short - _SHORT * step)
    if not cached:
        return Pace(fixed, step, 0.0)
    again = (old - fixed) / _LONG
    return Pace(fixed, again, max(0.0, step - again))


def _steps(a: argparse.Namespace, pace: Pace) -> int:
    """The steps that fit into the time."""
    views = _VIEWS * (int(a.labels) if a.labels.isdigit() else 1)
    steps = range(1, max(2, int(a.seconds / pace.step)))
    return bisect.bisect(steps, a.seconds, key=lambda n: pace.seconds(n, _BATCH, views)) or 1


def _train(data: Path, folder: Path, settings: dict[str, Any], cache: str | None = None) -> float:
    """Train; the seconds of the processor.

    Args:
        data: the data folder.
        folder: the run folder, which is replaced.
        settings: the settings of `train`.
        cache: a cache folder for this training; by default that of semiseg.
    """
    with patch.dict(os.environ, {} if cache is None else {"SEMISEG_CACHE": cache}):
        began = time.process_time()
        semiseg.train(data, out=folder, overwrite=True, **_SHARED, **settings)
        return time.process_time() - began


def _best_teacher(out: Path, rows: list[tuple[str, str]]) -> Path:
    """The run of DINOv2-S with the best score."""
    records = [r for r in _records(out) if (r["encoder"], r["method"]) in rows]
    dinov2 = [r for r in records if r["encoder"].startswith("DINOv2")]
    best = max(dinov2, key=lambda record: record["miou"]["released"])
    return out / "-".join(f"{best['encoder']} {best['method']}".replace(",", "").split())


def _records(out: Path) -> list[dict[str, Any]]:
    """The finished rows, in the order of the table."""
    records = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(out.glob("*.json"))]
    order = [*ENCODERS, STUDENT]
    return sorted(records, key=lambda r: (order.index(r["encoder"]), r["method"]))


def _table(out: Path) -> str:
    """The scores in percent, and the cost of each row."""
    lines = ["| encoder | method | mIoU | steps | seconds a step | seconds in all |"]
    lines.append("|---|---|---:|---:|---:|---:|")
    lines += [
        f"| {r['encoder']} | {r['method']} | {r['miou']['released']:.1f} | {r['steps']} "
        f"| {r['pace']['step']:.2f} | {r['seconds']:.0f} |"
        for r in _records(out)
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
