"""Which encoder is best in the same time: one row an encoder and a method, all on one core.

Each row is trained with `--budget`: semiseg measures a few steps and takes those that fit into the
time, with its start, a validation and, where features are cached, their computation. Give the core
to the script alone, since the budget is measured by the clock. Finished rows in the output folder
are kept. From the root of the repository:

    taskset -c 0 python benchmarks/encoders.py ../shared/data/camvid --labels 23 \
        --dinov2 dinov2_vits14.safetensors --out runs/encoders-camvid

`../shared/tools/dinov2_small.py` writes the weights of DINOv2-S. The student's time does not
include that of its teacher, the best row of DINOv2-S. A row whose budget is too short for 100 steps
is left out. `--no-detail` takes the branch for detail out of the decoder of DINOv2-S; give such
rows a folder of their own.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from pathlib import Path
from typing import Any

import semiseg
import semiseg.model.network
from semiseg.core.errors import BudgetError
from semiseg.model.detail_decoder import DetailDecoder

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
_SHARED: dict[str, Any] = {"threads": 1, "workers": 0, "diagnostics": False, "validations": 1}


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--labels", default="all")
    parser.add_argument("--dinov2", type=Path, help="the weights; without it, they are random")
    parser.add_argument("--budget", default="10m", help="of each row")
    parser.add_argument("--steps", type=int, help="of each row, instead of a budget")
    parser.add_argument("--encoders", help="rows, with semicolons between them")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--size", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-detail", action="store_true")
    a = parser.parse_args()
    if a.no_detail:
        plain = functools.partial(DetailDecoder, detail=False)
        semiseg.model.network.DetailDecoder = plain  # type: ignore[assignment,misc]
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
    """The settings of `train` that the command line and an encoder give."""
    settings = {
        "labels": a.labels,
        "seed": a.seed,
        **({"budget": a.budget} if a.steps is None else {"steps": a.steps}),
        **ENCODERS[name],
        **_SHARED,
        "size": a.size,
    }
    if "encoder" in settings:
        settings["weights"] = "none" if a.dinov2 is None else a.dinov2
    return settings


def _row(a: argparse.Namespace, name: str, settings: dict[str, Any]) -> None:
    """Train a row, unless it is finished."""
    folder = a.out / "-".join(f"{name} {settings['method']}".replace(",", "").split())
    record = folder.with_suffix(".json")
    if record.is_file():
        return
    began = time.process_time()
    try:
        run = semiseg.train(a.data, out=folder, overwrite=True, **settings)
    except BudgetError as error:
        print(f"{name}, {settings['method']}: {error}")
        return
    scores = run.scores
    content: dict[str, Any] = {
        "encoder": name,
        "method": scores.method,
        "steps": scores.steps,
        "step_seconds": scores.timing.step,
        "seconds": time.process_time() - began,
        "miou": scores.miou.released,
        "classes": {k: v.iou for k, v in scores.per_class.items()},
    }
    record.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _best_teacher(out: Path, rows: list[tuple[str, str]]) -> Path:
    """The run of DINOv2-S with the best score."""
    records = [r for r in _records(out) if (r["encoder"], r["method"]) in rows]
    dinov2 = [r for r in records if r["encoder"].startswith("DINOv2")]
    best = max(dinov2, key=lambda record: record["miou"])
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
        f"| {r['encoder']} | {r['method']} | {r['miou']:.1f} | {r['steps']} "
        f"| {r['step_seconds']:.2f} | {r['seconds']:.0f} |"
        for r in _records(out)
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
