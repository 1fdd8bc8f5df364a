"""The content of the report of a comparison."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semiseg.comparison.folder import read_config
from semiseg.comparison.plot import make_figure
from semiseg.comparison.records import (
    BASELINE,
    SCORE_NAMES,
    SHAPE_NAMES,
    SPLIT_LISTS,
    ShapeName,
    read_records,
)
from semiseg.comparison.result import read_failed
from semiseg.comparison.rows import Row, make_rows
from semiseg.comparison.run_settings import cautions, have_other_times, settings_table
from semiseg.comparison.text import split_lines, statements
from semiseg.config.command_line import compare_command
from semiseg.config.methods import METHODS
from semiseg.core.errors import RunError
from semiseg.core.files import read_yaml
from semiseg.core.records import from_plain
from semiseg.core.run_names import REPORT
from semiseg.core.text import plural
from semiseg.reporting.citation import Citation, citations
from semiseg.reporting.embed import Picture, embed_svg
from semiseg.training.run_folder import CONFIG, SCORES

_MAX_IN_HEADLINE = 3


@dataclass(frozen=True)
class ComparisonPage:
    """The values for `comparison.html`.

    Attributes:
        title: the methods.
        headline: the main result in one sentence.
        rows: the rows of the tables.
        score_names: the names of the three scores.
        shape_names: the names of the scores of areas, boundaries and objects.
        split_lists: the names of the lists of images.
        split_lines: labels, seed, split seed and the hashes of these lists.
        plot: the figure.
        cautions: what keeps the numbers from saying what they seem to say.
        settings: the settings by method, below a head; empty if the runs have none.
        statements: how each method compares with `supervised`.
        class_names: the names of all classes.
        failed: the errors of the runs that failed, by the name of the run.
        reports: the paths of the reports of the runs, by the name of the run.
        citations: what to cite.
        command: the command that repeats the comparison.
        versions: version numbers by name.
    """

    title: str
    headline: str
    rows: Sequence[Row]
    plot: Picture
    cautions: Sequence[str]
    settings: Sequence[Sequence[str]]
    statements: Sequence[str]
    class_names: Sequence[str]
    failed: Mapping[str, str]
    reports: Mapping[str, str]
    split_lines: Sequence[Sequence[str]]
    citations: Sequence[Citation]
    command: str
    versions: Mapping[str, str]
    score_names: Sequence[str] = SCORE_NAMES
    shape_names: Sequence[ShapeName] = SHAPE_NAMES
    split_lists: Sequence[str] = SPLIT_LISTS


@dataclass(frozen=True)
class _Settings:
    """What the page needs of `config.yaml`."""

    data: str


def comparison_page(folder: Path, target: Path) -> ComparisonPage:
    """The content of the page.

    Args:
        folder: the folder of the comparison.
        target: the file to write; it links to the reports of the runs.

    Raises:
        RunError: the comparison or one of its runs cannot be read, or no run is finished.
    """
    rows = make_rows(read_records(folder), list(METHODS))
    runs = sorted(file.parent for file in folder.glob(f"*/{SCORES}"))
    config = None
    if runs:
        config = read_config(folder, _data_of(runs[0] / CONFIG))
    if not rows or config is None:
        raise RunError(
            f"{folder} holds no finished run of a comparison. Run the same semiseg compare command "
            "again to continue it."
        )
    versions = rows[0].records[0].scores.versions
    return ComparisonPage(
        title=f"Comparison of {', '.join(dict.fromkeys(row.method for row in rows))}",
        headline=headline(rows, config.equal_seconds),
        rows=rows,
        plot=embed_svg(make_figure(rows)),
        cautions=cautions(rows, config.equal_seconds),
        settings=settings_table(rows),
        statements=[sentence for row in rows for sentence in statements(row)],
        class_names=list(dict.fromkeys(name for row in rows for name in row.per_class)),
        failed=read_failed(folder),
        reports={
            run.name: Path(os.path.relpath(run / REPORT, target.parent)).as_posix()
            for run in runs
            if (run / REPORT).is_file()
        },
        split_lines=split_lines(rows),
        citations=citations((row.method for row in rows if row.method in METHODS), versions),
        command=compare_command(config),
        versions=versions,
    )


def _data_of(file: Path) -> Path:
    """The data folder of a run.

    Raises:
        RunError: its settings cannot be read.
    """
    try:
        return Path(from_plain(_Settings, read_yaml(file)).data)
    except (OSError, ValueError) as error:
        raise RunError(f"{file} cannot be read ({error}). Train the run again.") from error


def headline(rows: Sequence[Row], seconds: float | None = None) -> str:
    """The methods against `supervised`, with the fewest masks for which there is a comparison.

    Args:
        rows: the rows.
        seconds: the time that each run should take; None with equal steps.
    """
    compared = [row for row in rows if row.gain is not None and row.gain.estimate is not None]
    if not compared:
        best = max(rows, key=lambda row: row.spread("released").mean)
        score = best.spread("released").mean
        return f"{best.method} with {best.images} masks reaches {score:.1f} % mIoU on val."
    fewest = [row for row in compared if row.images == compared[0].images]
    leading = fewest
    if len(fewest) > _MAX_IN_HEADLINE:
        leading = sorted(fewest, key=_estimate, reverse=True)[:_MAX_IN_HEADLINE]
    sentences = [_describe_gain(row) for row in leading]
    if others := len(fewest) - len(leading):
        sentences.append(f"{plural(others, 'more method')} below these")
    text = f"With {fewest[0].images} masks, compared with {BASELINE}: {'; '.join(sentences)}."
    if seconds is not None and have_other_times(rows, seconds):
        text += " The methods did not take equal time."
    return text


def _estimate(row: Row) -> float:
    """The difference to `supervised`; a row without one comes last."""
    gain = row.gain
    return -math.inf if gain is None or gain.estimate is None else gain.estimate


def _describe_gain(row: Row) -> str:
    gain = row.gain
    if gain is None or gain.estimate is None:
        return f"{row.method} cannot be compared"
    direction = "above" if gain.estimate >= 0 else "below"
    difference = f"{row.method} is {abs(gain.estimate):.1f} points of mIoU {direction}"
    if gain.low is None or gain.high is None:
        return f"{difference} (one seed, so not resolved)"
    doubt = "" if gain.resolved else ", not resolved"
    return f"{difference} (95 % interval {gain.low:.1f} to {gain.high:.1f}{doubt})"
