"""The rows of a comparison as text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from semiseg.comparison.intervals import Interval
from semiseg.comparison.records import (
    BASELINE,
    SAME_TIME,
    SCORE_NAMES,
    SHAPE_NAMES,
    SPLIT_LISTS,
    Record,
)
from semiseg.comparison.rows import Row, Spread
from semiseg.comparison.run_settings import own_settings, settings_table
from semiseg.config.label_list import label_list
from semiseg.config.settings import AUTO
from semiseg.core.scores import Scores
from semiseg.core.text import escape_markdown, markdown_table, percent, plural, table

_HEAD = ["labels", "masks", "method", "runs", *SCORE_NAMES, "steps", "seconds", "s/step"]
_SHAPE_TITLES = (
    "Dice of the foreground",
    "boundary IoU",
    "HD95",
    "F1 of objects",
    "error of the shares",
)

_GAINS = ("gain", "gain_same_time")
_SMALLEST_P = 0.001

_COLUMNS = (
    "mIoU on val in percent. last: the student after the last step. best: the highest score of any "
    "validation and adjustment, which is optimistic. released: each half of val with the model "
    "that the other half chose. seconds: of a whole run."
)


def class_table(runs: Mapping[str, Scores]) -> str:
    """A table of classes by runs: IoU in percent, and below it the mean and the seconds.

    Args:
        runs: the scores of the runs, by the name of their column.
    """
    names = list(next(iter(runs.values())).per_class)
    rows = [[name, *(percent(s.per_class[name].iou) for s in runs.values())] for name in names]
    rows.append(["mean", *(percent(s.miou.released) for s in runs.values())])
    rows.append(["seconds", *(f"{s.seconds:.0f}" for s in runs.values())])
    return table(["IoU on val, %", *runs], rows)


def text(rows: Sequence[Row], cautions: Sequence[str] = ()) -> str:
    """The scores as a table, and below it the statements and what to be careful about."""
    lines = [table(_HEAD, [_cells(row) for row in rows]), _COLUMNS]
    sentences = [sentence for row in rows for sentence in statements(row)]
    sentences += [f"caution: {sentence}" for sentence in cautions]
    return "\n".join([*lines, "", *sentences] if sentences else lines)


def markdown(
    rows: Sequence[Row], settings: Mapping[str, object], cautions: Sequence[str] = ()
) -> str:
    """The whole comparison as a page in Markdown.

    Args:
        rows: the rows.
        settings: the settings that all runs share.
        cautions: what to be careful about, as sentences.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.per_class))
    gains = [
        [row.labels_name, row.method, *(_signed(row.class_gains.get(n)) for n in names)]
        for row in rows
        if row.gain is not None
    ]
    shared = [
        escape_markdown(f"{name} {','.join(map(str, v)) if isinstance(v, list) else v}")
        for name, v in settings.items()
        if v not in (None, AUTO) and not (name == "steps" and settings.get("equal") == "time")
    ]
    sentences = [f"- {sentence}" for row in rows for sentence in statements(row)]
    parts = [
        "# Comparison",
        "mIoU on val in percent, mean ± standard deviation over the seeds. `last` is the student "
        "after the last step. `best` is the highest score of all validations and all adjustments "
        "on all of val, which is optimistic. `released` is that of the release: val has two "
        "halves, and one half chooses the model that scores the other half. Differences "
        "and shares refer to `released`.",
        markdown_table(_HEAD, [_cells(row) for row in rows]),
        "![mIoU over the number of labeled images](comparison.png)",
    ]
    if cautions:
        parts += ["## Caution", "\n".join(f"- {escape_markdown(one)}" for one in cautions)]
    if sentences:
        parts += [f"## Comparison with {BASELINE}", "\n".join(sentences)]
    if gains:
        head = ["labels", "method", *names]
        parts += ["## Difference of IoU by class", markdown_table(head, gains)]
    shapes = [
        [row.labels_name, row.method, *(_spread(row.shape(name)) for name in SHAPE_NAMES)]
        for row in rows
    ]
    biases = [
        [row.labels_name, row.method, *(_signed(row.class_biases.get(n)) for n in names)]
        for row in rows
    ]
    parts += [
        "## Areas, boundaries and objects",
        "The released models on all of val: means over the classes that are not the background. "
        "HD95 is in pixels, the others are in percent.",
        markdown_table(["labels", "method", *_SHAPE_TITLES], shapes),
        "The bias of the area: the predicted minus the true share of the pixels of each class, in "
        "percentage points.",
        markdown_table(["labels", "method", *names], biases),
        "## Splits",
        "The first 16 digits of the SHA-256 of the sorted image names.",
        markdown_table(["labels", "seed", "split seed", *SPLIT_LISTS], split_lines(rows)),
        *_settings_of_methods(rows),
        "## Settings",
        ", ".join(shared),
    ]
    return "\n\n".join(parts) + "\n"


def _settings_of_methods(rows: Sequence[Row]) -> list[str]:
    """The settings by method, as paragraphs; none if the runs have no settings."""
    lines = settings_table(rows)
    if not lines:
        return []
    own = [f"- {method}: {escape_markdown(one)}" for method, one in own_settings(rows).items()]
    paragraphs = [
        "## Settings of the methods",
        "As the runs used them. A slash stands between values that differ over labels or seeds.",
        markdown_table(lines[0], lines[1:]),
    ]
    return (
        [*paragraphs, "The settings that only a method has:", "\n".join(own)] if own else paragraphs
    )


def split_lines(rows: Sequence[Row]) -> list[list[str]]:
    """Labels, seed, split seed and the hashes of the three lists, once for all methods.

    A dash stands for the split seeds of a list of labeled images that all of them share.
    """
    lines: dict[tuple[str, ...], None] = {}
    for row in rows:
        others = [r for other in rows if other.labels == row.labels for r in other.records]
        is_fixed = label_list(row.labels) is not None and _is_fixed(others)
        for record in row.records:
            seed = "-" if is_fixed else str(record.split_seed)
            lines[row.labels_name, str(record.seed), seed, *_hashes(record)] = None
    return [list(line) for line in lines]


def _hashes(record: Record) -> tuple[str, ...]:
    return tuple(record.scores.split.hash_of(name) for name in SPLIT_LISTS)


def _is_fixed(records: Sequence[Record]) -> bool:
    """Whether runs with several split seeds have the same images."""
    several = len({record.split_seed for record in records}) > 1
    return several and len({_hashes(record) for record in records}) == 1


def table_csv(rows: Sequence[Row]) -> str:
    """One line for each row; a cell without a value is empty."""
    names = list(dict.fromkeys(name for row in rows for name in row.per_class))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["labels", "masks", "method", "runs", "seeds", "split_seeds"]
        + [f"{score}_{part}" for score in SCORE_NAMES for part in ("mean", "sd")]
        + ["steps", "seconds", "seconds_a_step"]
        + [f"{name}_{part}" for name in SHAPE_NAMES for part in ("mean", "sd")]
        + [f"{what}{part}" for what in _GAINS for part in ("", "_low", "_high", "_p")]
        + [f"closed{part}" for part in ("", "_low", "_high")]
        + [f"{kind}:{name}" for kind in ("iou", "gain", "bias") for name in names]
        + [f"{name}_hash" for name in SPLIT_LISTS]
    )
    for row in rows:
        by_class = (row.per_class, row.class_gains, row.class_biases)
        writer.writerow(
            [row.labels_name, row.images, row.method, len(row.records)]
            + [" ".join(map(str, seeds)) for seeds in (row.seeds, row.split_seeds)]
            + [value for name in SCORE_NAMES for value in row.spread(name)]
            + [row.steps, round(row.seconds, 1), round(row.seconds_per_step, 4)]
            + [value for name in SHAPE_NAMES for value in row.shape(name) or (None, None)]
            + [value for name in _GAINS for value in _bounds(row.intervals()[name], "p")]
            + _bounds(row.closed)
            + [values.get(n) for values in by_class for n in names]
            + [" ".join(row.hashes(name)) for name in SPLIT_LISTS]
        )
    return file.getvalue()


def statements(row: Row) -> list[str]:
    """How a row compares with `supervised` with the same labels and seeds, as sentences."""
    sentences = [
        f"{row.method} - {other}, labels {row.labels_name}: {_describe(gain, 1, '', '+z.1f')}"
        for other, gain in ((BASELINE, row.gain), (SAME_TIME, row.gain_same_time))
        if gain is not None
    ]
    if row.closed is not None:
        share = _describe(row.closed, 100, " %", "z.0f")
        sentences.append(
            f"share of the gap closed by {row.method}, labels {row.labels_name}: {share}"
        )
    return sentences


def _describe(interval: Interval, factor: float, unit: str, form: str) -> str:
    """An estimate with its interval, and whether it is resolved."""
    seeds = plural(interval.seeds, "seed")
    if interval.estimate is None:
        return f"not resolved (there is no gap, {seeds})"
    estimate = f"{factor * interval.estimate:{form}}{unit}"
    if interval.low is None or interval.high is None:
        reason = "the gap is within chance, " if interval.seeds > 1 else ""
        return f"{estimate}, not resolved ({reason}{seeds})"
    low, high = (f"{factor * end:{form.lstrip('+')}}" for end in (interval.low, interval.high))
    doubt = "" if interval.resolved else ", not resolved"
    details = [f"95 % interval {low} to {high}{unit}", seeds]
    if interval.tests > 1 and interval.p is not None:
        details.append(f"corrected for {interval.tests} methods, p {_rounded(interval.p)}")
    return f"{estimate} ({', '.join(details)}){doubt}"


def _rounded(p: float) -> str:
    """A p-value with the digits that matter."""
    return f"= {p:.2g}" if p >= _SMALLEST_P else f"< {_SMALLEST_P:g}"


def _cells(row: Row) -> list[str]:
    return [
        row.labels_name,
        str(row.images),
        row.method,
        str(len(row.records)),
        *(_mean_and_deviation(row.values(name)) for name in SCORE_NAMES),
        f"{row.steps:,}",
        f"{row.seconds:.0f}",
        f"{row.seconds_per_step:.2f}",
    ]


def _mean_and_deviation(values: Sequence[float]) -> str:
    mean = percent(fmean(values))
    return f"{mean} ± {stdev(values):.1f}" if len(values) > 1 else mean


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    deviation = "" if spread.deviation is None else f" ± {spread.deviation:.1f}"
    return f"{spread.mean:.1f}{deviation}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f}"


def _bounds(interval: Interval | None, *more: str) -> list[float | None]:
    names = ("estimate", "low", "high", *more)
    return [None if interval is None else getattr(interval, name) for name in names]
