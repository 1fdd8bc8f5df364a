"""Scores of several runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from semiseg.core import text as texts
from semiseg.core.text import duration, percent, plural

if TYPE_CHECKING:
    from semiseg.core.scores import Scores
    from semiseg.core.types import Plan
    from semiseg.suggestion.suggest import Suggestion

_WIDE = 200


def score_table(found: Mapping[str, Any]) -> str:
    """Tables of one evaluation: each class's scores, the mean IoU, and what doubt is worth.

    Args:
        found: what `evaluate` returned.
    """
    columns = ("iou", "dice", "precision", "recall")
    rows = [
        [name, *(percent(values[c]) for c in columns), f"{values['pixels']:,}"]
        for name, values in found["per_class"].items()
    ]
    text = texts.table(["class", "IoU", "Dice", "precision", "recall", "pixels"], rows)
    mean = f"mIoU {percent(found['miou'])} % on {found['images']} images of {found['split']}"
    if found["split"] == "train":
        mean += "; where it has learned from them, that flatters it"
    return f"{text}\n{mean}\n\n{_reliability_table(found['reliability'])}"


def suggestion_table(found: Sequence[Suggestion]) -> str:
    """A table of what `suggest` chose, with the reasons."""
    rows = [
        [
            one.name,
            f"{one.score:.3f}",
            percent(100 * one.doubt),
            percent(None if one.disagreement is None else 100 * one.disagreement),
            f"{one.distance:.2f}",
        ]
        for one in found
    ]
    return texts.table(["image", "score", "doubt, %", "disagreement, %", "distance"], rows)


def closing(scores: Scores) -> str:
    """The scores of a run in half a line: the mean, and the class that is found worst."""
    scenes = plural(scores.split.images["val"], "image")
    told = f"mIoU {percent(scores.miou.released)} % on {scenes} of val"
    found = {n: v.iou for n, v in scores.per_class.items() if v.iou is not None}
    if len(found) < 2:
        return told
    worst = min(found, key=found.__getitem__)
    name = f"class {worst}" if worst.isdigit() else worst
    return f"{told}, least of {name} ({percent(found[worst])} %)"


def print_plan(plan: Plan) -> None:
    """The settings of a plan with their reasons, what will hardly help, and the time."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("setting", "value", "from", "why", box=None, pad_edge=False)
    for entry in plan.entries:
        source = "you" if entry.source == "user" else entry.source
        value = ", ".join(map(str, entry.value)) if isinstance(entry.value, tuple) else entry.value
        table.add_row(entry.setting, Text(str(value)), source, Text(entry.reason))
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(table)
    else:  # a file has room, and no use for what fills lines up
        console = Console(highlight=False, width=_WIDE)
        with console.capture() as found:
            console.print(table)
        print("\n".join(line.rstrip() for line in found.get().splitlines()))
    for warning in plan.warnings:
        console.print(f"\n{warning}", markup=False)
    if plan.seconds is None:
        told = (
            "How long this takes was not measured. `semiseg train DATA --dry-run` takes a step and "
            "estimates it; --budget 20m fits the plan into a time."
        )
    else:
        told = f"In all about {duration(plan.seconds)} on this machine."
    console.print(f"\n{told}", markup=False)


def _reliability_table(found: Mapping[str, Any]) -> str:
    """The accuracy as doubtful pixels are left out, and the calibration errors."""
    rows = [
        [percent(kept["coverage"]), percent(kept["accuracy"]), f"{kept['from']:.3f}"]
        for kept in found["confidence"]["kept"]
    ]
    agree = found.get("agree")
    if agree:
        rows.append([percent(agree["coverage"]), percent(agree["accuracy"]), "spaces agree"])
    text = texts.table(["pixels kept, %", "accuracy, %", "confidence from"], rows)
    errors = [f"{k} {percent(v['ece'])} %" for k, v in found.items() if k != "agree"]
    return f"{text}\ncalibration error: {', '.join(errors)}"
