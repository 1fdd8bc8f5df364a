"""Scores of several runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from semiseg.data import findings


def table(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """A table of classes by runs, IoU in per cent, with the mean and the seconds below.

    Args:
        runs: contents of `scores.json`, by the name of the column.
    """
    names = list(next(iter(runs.values()))["per_class"])
    rows = [
        [name, *(percent(r["per_class"][name]["iou"]) for r in runs.values())] for name in names
    ]
    rows.append(["mean", *(percent(r["miou"]["released"]) for r in runs.values())])
    rows.append(["seconds", *(f"{r['seconds']:.0f}" for r in runs.values())])
    return findings.table(["IoU on val, %", *runs], rows)


def score_table(found: Mapping[str, Any]) -> str:
    """A table of one evaluation: each class's scores, and the mean IoU.

    Args:
        found: what `evaluate` returned.
    """
    columns = ("iou", "dice", "precision", "recall")
    rows = [
        [name, *(percent(values[c]) for c in columns), f"{values['pixels']:,}"]
        for name, values in found["per_class"].items()
    ]
    text = findings.table(["class", "IoU", "Dice", "precision", "recall", "pixels"], rows)
    return (
        f"{text}\nmIoU {percent(found['miou'])} % on {found['images']} images of {found['split']}"
    )


def percent(score: float | None) -> str:
    """A score with one decimal, or a dash where there is none."""
    return "-" if score is None else f"{score:.1f}"
