"""What the report of a comparison shows, as values for its template."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semiseg.comparison import settings as comparison_settings
from semiseg.comparison.plot import make_figure
from semiseg.comparison.records import BASELINE, Row, make_rows, read_records
from semiseg.comparison.text import statements
from semiseg.config.methods import METHODS
from semiseg.core.errors import RunError
from semiseg.core.files import read_json, read_yaml
from semiseg.reporting import commands
from semiseg.reporting.embed import embed_svg
from semiseg.training.run_folder import CONFIG, SCORES

COMPARISON = "comparison.json"
NAME = "report.html"


def comparison_page(folder: Path, target: Path) -> dict[str, Any]:
    """The values for `comparison.html`.

    Args:
        folder: that of the comparison.
        target: the file to write, which leads to the reports of the runs.

    Raises:
        RunError: the comparison or one of its runs cannot be read, or none is finished.
    """
    rows = make_rows(read_records(folder), list(METHODS))
    shared = comparison_settings.read(folder)
    if not rows or shared is None:
        raise RunError(f"{folder} holds no finished run of a comparison. Go on with it first.")
    comparison: Any = read_json(folder / COMPARISON)
    runs = sorted(file.parent for file in folder.glob(f"*/{SCORES}"))
    settings: Any = read_yaml(runs[0] / CONFIG)
    reports = {
        run.name: Path(os.path.relpath(run / NAME, target.parent)).as_posix()
        for run in runs
        if (run / NAME).is_file()
    }
    return {
        "title": f"Comparison of {', '.join(dict.fromkeys(row.method for row in rows))}",
        "headline": headline(rows),
        "rows": [row.to_dict() for row in rows],
        "plot": embed_svg(make_figure(rows)),
        "statements": [sentence for row in rows for sentence in statements(row)],
        "class_names": list(dict.fromkeys(name for row in rows for name in row.per_class)),
        "failed": comparison["failed"],
        "reports": reports,
        "command": commands.repeat_comparison(settings["data"], shared, rows),
        "versions": rows[0].records[0].scores.versions,
    }


def headline(rows: Sequence[Row]) -> str:
    """How the methods stand against `supervised` with the fewest masks for which that is known."""
    compared = [row for row in rows if row.gain is not None and row.gain.estimate is not None]
    if not compared:
        best = max(rows, key=lambda row: row.to_dict()["miou"]["released"]["mean"])
        score = best.to_dict()["miou"]["released"]["mean"]
        return f"{best.method} with {best.images} masks reaches {score:.1f} % mIoU on val."
    few = [row for row in compared if row.images == compared[0].images]
    told = [_told(row) for row in few]
    return f"With {few[0].images} masks, compared with {BASELINE}: {'; '.join(told)}."


def _told(row: Row) -> str:
    gain = row.gain
    if gain is None or gain.estimate is None:
        return f"{row.method} is not known"
    where = "above" if gain.estimate >= 0 else "below"
    told = f"{row.method} is {abs(gain.estimate):.1f} points of mIoU {where}"
    if gain.low is None or gain.high is None:
        return f"{told} (one seed, so not resolved)"
    doubt = "" if gain.resolved else ", not resolved"
    return f"{told} (95 % interval {gain.low:.1f} to {gain.high:.1f}{doubt})"
