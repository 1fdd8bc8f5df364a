"""How far a training is, read from the files of its run folder."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from semiseg.core.run_names import METRICS
from semiseg.correction.loop import scores_of
from semiseg.training.run_data import settings_of
from semiseg.training.stage import STAGES

_VALIDATIONS = "val/miou_"


class RunProgress(NamedTuple):
    """How far a training is.

    Attributes:
        step: the steps that were taken, in all stages.
        steps: all steps; 0 before the run folder is there.
        miou: mIoU on val in percent at the last validation; None before the first one. Of several
            networks, the best one counts.
        final: that of the released model; None before the end.
    """

    step: int = 0
    steps: int = 0
    miou: float | None = None
    final: float | None = None


def read_progress(run: Path) -> RunProgress:
    """Read the progress of a run, which another process may be writing.

    Args:
        run: the run folder; it may be missing.
    """
    settings = settings_of(run).get("steps")
    steps = settings if isinstance(settings, int) else 0
    tables = [run / METRICS, *sorted((run / STAGES).glob(f"*/{METRICS}"))]
    rows = [_read_rows(table) for table in tables]
    step = sum(max(map(_steps_until, part), default=0) for part in rows)
    # The rows of the run itself are the newest, then those of the last stage.
    newest = next((part for part in (rows[0], *reversed(rows[1:])) if part), [])
    scored = [row for row in newest if any(key.startswith(_VALIDATIONS) for key in row)]
    miou = None
    if scored:
        miou = max(v for key, v in scored[-1].items() if key.startswith(_VALIDATIONS))
    scores = scores_of(run)
    final = None if scores is None else scores.miou.released
    return RunProgress(min(step, steps), steps, miou, final)


def _steps_until(row: Mapping[str, float]) -> int:
    """The steps that were taken when a row was written."""
    # A validation counts the steps before it, a row of losses those before its own step.
    return int(row["step"]) + (not any(key.startswith(("val/", "pseudo/")) for key in row))


def _read_rows(table: Path) -> list[dict[str, float]]:
    """The rows of a table of metrics; a line that is not whole yet is left out."""
    rows = []
    try:
        with table.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                try:
                    rows.append({key: float(v) for key, v in row.items() if key and v})
                except ValueError:
                    continue
    except OSError:
        return []
    return [row for row in rows if "step" in row]
