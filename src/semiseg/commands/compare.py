"""`compare`: several methods, numbers of labels and seeds, side by side."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

from semiseg.comparison.planned import PlannedComparison
from semiseg.comparison.result import Comparison
from semiseg.comparison.runs import plan_comparison, run_comparison
from semiseg.config.compare import CompareConfig
from semiseg.core.errors import ConfigError
from semiseg.reporting.report import write_report

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedComparison(Comparison):
    """The finished runs of a comparison, and where their tables are."""

    @property
    def status(self) -> int:
        """The exit status of the command line: 2 if a run failed."""
        return 2 if self.failed else 0

    def text(self) -> str:
        """The table, what it says of each method against `supervised`, and the files."""
        return f"{super().text()}\n\nwritten to {self.folder}/comparison.md, .csv, .json, .png"


@overload
def compare(
    data: Path | str | CompareConfig, *, dry_run: Literal[False] = False, **settings: object
) -> FinishedComparison: ...


@overload
def compare(
    data: Path | str | CompareConfig, *, dry_run: bool, **settings: object
) -> FinishedComparison | PlannedComparison: ...


def compare(
    data: Path | str | CompareConfig, *, dry_run: bool = False, **settings: object
) -> FinishedComparison | PlannedComparison:
    """Train several methods with several numbers of labels and seeds, and compare them.

    semiseg keeps the finished runs in the folder and resumes the unfinished ones. So the same
    command continues where it was stopped, and a command with more methods, labels or seeds adds
    their runs. Without unlabeled images, semiseg trains only `supervised`: with all masks, that is
    the upper limit.

    Args:
        data: the data folder, or a configuration with all settings.
        dry_run: only list the runs, with their steps and their expected time.
        settings: the fields of `GridConfig`; further settings of `train`, for all runs; and the
            settings of a method as a mapping below its name (`css={"anchors": 128}`, on the
            command line `--css.anchors 128`).

    Returns:
        The rows of all finished runs in the folder, and the runs that failed; with `dry_run`, the
        runs that the same call without it would make.

    Raises:
        SemisegError: the data, a setting or the folder cannot be used, and nothing was trained. An
            error in a single run is part of the result.
        Interrupted: Ctrl-C or SIGTERM stopped the comparison; the same command continues it.
    """
    if not isinstance(data, CompareConfig):
        data = CompareConfig.from_values({"data": data, **settings})
    elif settings:
        raise ConfigError(
            f"A CompareConfig holds all settings, but {', '.join(settings)} was given beside it."
        )
    if dry_run:
        return plan_comparison(data)
    result = run_comparison(data, write_report)
    if result.rows:
        write_report(result.folder)
    for name, message in result.failed.items():
        logger.error("%s failed: %s", name, message)
    return FinishedComparison(result.folder, result.rows, result.failed, result.cautions)
