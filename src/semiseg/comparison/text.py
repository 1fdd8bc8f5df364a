"""The rows of a comparison for people and for programs: text, Markdown, CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from semiseg.comparison.intervals import Interval
from semiseg.comparison.records import BASELINE, SCORES, Row
from semiseg.core.text import percent, table
from semiseg.training import tables

_LISTS = ("labeled", "unlabeled", "val")
_HEAD = ["labels", "masks", "method", "runs", *SCORES, "steps", "seconds", "s/step"]

_COLUMNS = (
    "mIoU on val in per cent: last, of the student after the last step; best, at any look, which "
    "flatters; released, of the model that is kept. seconds are of a whole run."
)


def text(rows: Sequence[Row]) -> str:
    """The scores as a table and the statements below it."""
    lines = [table(_HEAD, [_cells(row) for row in rows]), _COLUMNS]
    said = [sentence for row in rows for sentence in statements(row)]
    return "\n".join([*lines, "", *said] if said else lines)


def markdown(rows: Sequence[Row], settings: Mapping[str, Any]) -> str:
    """All that was found, as a page.

    Args:
        rows: the rows.
        settings: the settings that all runs share.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.per_class))
    compared = [row for row in rows if row.gain is not None]
    gains = [
        [row.labels, row.method, *(_signed(row.class_gains.get(n)) for n in names)]
        for row in compared
    ]
    hashes = [[row.labels, row.method, *(", ".join(row.hashes(n)) for n in _LISTS)] for row in rows]
    shared = ", ".join(tables.markdown(f"{k} {v}") for k, v in settings.items() if v is not None)
    said = [f"- {sentence}" for row in rows for sentence in statements(row)]
    parts = [
        "# Comparison",
        "mIoU on val in per cent, mean ± standard deviation over the seeds. `last`: the student "
        "after the last step; `best`: the highest at any look, and of the released model, which "
        "flatters; `released`: the better of student and teacher after the last step, each with "
        "its logits adjusted as is best on val. Differences "
        "and shares are of `released`.",
        _grid(_HEAD, [_cells(row) for row in rows]),
        "![mIoU over the number of labeled images](comparison.png)",
    ]
    if said:
        parts += [f"## Against {BASELINE}", "\n".join(said)]
    if gains:
        parts += ["## Difference of IoU by class", _grid(["labels", "method", *names], gains)]
    parts += [
        "## Splits",
        "The first 16 digits of the SHA-256 of the sorted names.",
        _grid(["labels", "method", *_LISTS], hashes),
        "## Settings",
        shared,
    ]
    return "\n\n".join(parts) + "\n"


def table_csv(rows: Sequence[Row]) -> str:
    """A line a row: numbers without rounding for display, empty where there is none."""
    names = list(dict.fromkeys(name for row in rows for name in row.per_class))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["labels", "masks", "method", "runs"]
        + [f"{score}_{part}" for score in SCORES for part in ("mean", "sd")]
        + ["steps", "seconds", "seconds_a_step"]
        + [f"{what}{part}" for what in ("gain", "closed") for part in ("", "_low", "_high")]
        + [f"{kind}:{name}" for kind in ("iou", "gain") for name in names]
        + [f"{name}_hash" for name in _LISTS]
    )
    for row in rows:
        plain = row.to_dict()
        spreads = [plain["miou"][score] for score in SCORES]
        writer.writerow(
            [row.labels, row.images, row.method, len(row.records)]
            + [v for spread in spreads for v in (spread["mean"], spread["spread"])]
            + [plain["steps"], plain["seconds"], plain["seconds_a_step"]]
            + [v for found in (row.gain, row.closed) for v in _bounds(found)]
            + [table.get(n) for table in (row.per_class, row.class_gains) for n in names]
            + [" ".join(row.hashes(name)) for name in _LISTS]
        )
    return file.getvalue()


def statements(row: Row) -> list[str]:
    """What may be said of a row against `supervised` with the same labels and seeds."""
    if row.gain is None:
        return []
    told = [f"{row.method} - {BASELINE}, labels {row.labels}: {_told(row.gain, 1, '', '+.1f')}"]
    if row.closed is not None:
        share = _told(row.closed, 100, " %", ".0f")
        told.append(f"share of the gap closed by {row.method}, labels {row.labels}: {share}")
    return told


def _told(found: Interval, factor: float, unit: str, form: str) -> str:
    seeds = f"{found.seeds} seed{'s' if found.seeds > 1 else ''}"
    if found.estimate is None:
        return f"not resolved (no gap was found, {seeds})"
    estimate = f"{factor * found.estimate:{form}}{unit}"
    if found.low is None or found.high is None:
        why = "the gap is within chance, " if found.seeds > 1 else ""
        return f"{estimate}, not resolved ({why}{seeds})"
    ends = [f"{factor * end:{form.lstrip('+')}}" for end in (found.low, found.high)]
    doubt = "" if found.resolved else ", not resolved"
    return f"{estimate} (95 % interval {ends[0]} to {ends[1]}{unit}, {seeds}){doubt}"


def _cells(row: Row) -> list[str]:
    return [
        row.labels,
        str(row.images),
        row.method,
        str(len(row.records)),
        *(_spread(row.values(score)) for score in SCORES),
        f"{row.steps():,}",
        f"{row.seconds():.0f}",
        f"{row.seconds_a_step():.2f}",
    ]


def _spread(values: Sequence[float]) -> str:
    mean = percent(fmean(values))
    return f"{mean} ± {stdev(values):.1f}" if len(values) > 1 else mean


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f}"


def _bounds(found: Interval | None) -> list[float | None]:
    return [None] * 3 if found is None else [found.estimate, found.low, found.high]


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    cells = [[tables.markdown(cell) for cell in row] for row in [head, *rows]]
    return "\n".join(
        f"| {' | '.join(row)} |" for row in [cells[0], ["---"] * len(head), *cells[1:]]
    )
