"""The runs of a comparison: which are missing, one after the other, and the tables after each."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from semiseg.comparison import text as comparison_text
from semiseg.comparison.folder import read_config, write_config
from semiseg.comparison.lengths import Lengths
from semiseg.comparison.pace import slowest
from semiseg.comparison.planned import PlannedComparison, expected_seconds
from semiseg.comparison.plot import save_figure
from semiseg.comparison.records import SAME_TIME, read_records
from semiseg.comparison.result import COMPARISON, Comparison
from semiseg.comparison.rows import make_rows
from semiseg.comparison.run_settings import cautions
from semiseg.comparison.tasks import Task, list_tasks
from semiseg.config.compare import CompareConfig
from semiseg.config.methods import METHODS
from semiseg.config.settings import AUTO
from semiseg.core.console import warning_once
from semiseg.core.errors import Interrupted, SemisegError
from semiseg.core.files import write_text
from semiseg.core.text import duration, plural
from semiseg.training import run_folder
from semiseg.training.trainer import train, with_encoder

_BAR = 20  # characters
_REPEATING = (
    "semiseg.comparison.tasks",
    "semiseg.training.planning",
    "semiseg.training.trainer",
)
"""The loggers that warn of the data and of the plan before each run."""
_MORE_TIME = 1.1  # a method that takes this factor longer than `SAME_TIME` is reported

logger = logging.getLogger(__name__)


class Runner:
    """Trains the missing runs of a comparison and writes the tables.

    Args:
        lengths: the runs of the call, with their steps.
    """

    def __init__(self, lengths: Lengths) -> None:
        self.lengths = lengths
        self.out = lengths.out
        self.failed: dict[str, str] = {}

    @property
    def config(self) -> CompareConfig:
        """The settings of the comparison in the folder, all calls so far together."""
        return self.lengths.config

    def run(self, report: Callable[[Path], object]) -> Comparison:
        """Train the missing runs, one after the other. A run that fails does not stop the others.

        Args:
            report: it is called with the folder of each run that has finished.

        Raises:
            Interrupted: Ctrl-C or SIGTERM stopped a training.
        """
        missing, count = self.lengths.missing, len(self.lengths.tasks)
        logger.info("%d of %d runs are finished", count - len(missing), count)
        total = expected_seconds([self.lengths.estimate(task) for task in missing])
        if total is not None:
            advice = ". --dry-run lists them, and --budget TIME limits those of a new comparison"
            advice = advice if self.config.grid.budget is None else ""
            runs, time_in_all = plural(len(missing), "run"), duration(total)
            logger.info("%s to train: about %s in all%s", runs, time_in_all, advice)
        for number, task in enumerate(missing):
            logger.info("%s", self._progress(missing, number))
            try:
                self._train(task)
                report(self.out / task.name)
            except Interrupted as error:
                raise type(error)(
                    f"{error.args[0].partition('. Go on')[0]}. Go on with the same semiseg compare "
                    f"command and --out {self.out}"
                ) from None
            except Exception as error:
                message = str(error) if isinstance(error, SemisegError) else repr(error)
                self.failed[task.name] = message
                logger.warning("%s failed: %s", task.name, message)
                continue
            comparison = self._write(len(missing) - number - 1)
            if number + 1 < len(missing):
                logger.info("runs so far:\n%s", comparison.text())
        self._warn_of_slower_methods()
        return self._write()

    def _train(self, task: Task) -> None:
        config = self.lengths.run_config(task, self.lengths.steps(task))
        train(config, resume=run_folder.exists(config.out))

    def _warn_of_slower_methods(self) -> None:
        """Report a method that takes longer than `SAME_TIME`: one that was added later.

        The runs of the first seed decided the steps of `SAME_TIME`, so only their times count:
        those of other seeds differ by what else the machine does.
        """
        if self.config.run_seconds is None or SAME_TIME not in self.config.row_steps:
            return
        first = self.config.grid.seeds[0]
        others = slowest(record for record in self.lengths.records() if record.seed == first)
        if others is not None and others[1] > _MORE_TIME * self.config.run_seconds:
            method, seconds = others
            logger.warning(
                "%s takes %s, but %s has the steps of %s, as long as the slowest method took "
                "before %s was added. For the time of %s, start another comparison with another "
                "--out.",
                method,
                duration(seconds),
                SAME_TIME,
                duration(self.config.run_seconds),
                method,
                method,
            )

    def _progress(self, tasks: Sequence[Task], number: int) -> str:
        """A bar over the runs, the next run, and the remaining time."""
        estimates = [self.lengths.estimate(task) for task in tasks[number:]]
        seconds = [estimate for estimate in estimates if estimate is not None]
        # A method that cannot be measured is assumed to be as fast as the others.
        rest = f", about {duration(fmean(seconds) * len(estimates))} left" if seconds else ""
        full = _BAR * number // len(tasks)
        bar = "━" * full + "─" * (_BAR - full)
        return f"{bar} run {number + 1} of {len(tasks)}: {tasks[number]}{rest}"

    def _write(self, missing: int = 0) -> Comparison:
        """Write the tables and the figure of all finished runs in the folder.

        Args:
            missing: the runs that have still to be trained.
        """
        rows = make_rows(self.lengths.records(), list(METHODS))
        doubts = tuple(cautions(rows, self.config.equal_seconds, missing))
        comparison = Comparison(self.out, tuple(rows), dict(self.failed), doubts)
        if rows:
            settings = self.config.common_values()
            content = json.dumps(comparison.to_dict(settings), indent=2) + "\n"
            texts = {
                "comparison.md": comparison_text.markdown(rows, settings, doubts),
                "comparison.csv": comparison_text.table_csv(rows),
                COMPARISON: content,
            }
            for name, text in texts.items():  # jobs of a cluster may train other seeds meanwhile
                write_text(self.out / name, text, shared=True)
            save_figure(rows, self.out / "comparison.png")
        return comparison


def run_comparison(call: CompareConfig, report: Callable[[Path], object]) -> Comparison:
    """Train the missing runs of a comparison and write its tables.

    Args:
        call: the settings of this call. If the folder holds a comparison, its settings hold and the
            runs of the call are added.
        report: it is called with the folder of each run that has finished.

    Raises:
        SemisegError: the data, a setting or the folder cannot be used, and nothing was trained.
        Interrupted: Ctrl-C or SIGTERM stopped a training.
    """
    # All runs read the same data folder, and nearly all have the same plan.
    with warning_once(*_REPEATING):
        lengths = _prepare(call)
        write_config(lengths.config)
        return Runner(lengths).run(report)


def plan_comparison(call: CompareConfig) -> PlannedComparison:
    """The runs that `run_comparison` would make. A few steps of each method are timed.

    Args:
        call: as for `run_comparison`.

    Raises:
        SemisegError: the data, a setting or the folder cannot be used.
    """
    with warning_once(*_REPEATING):
        return _prepare(call).planned()


def _prepare(call: CompareConfig) -> Lengths:
    """The runs of a call, measured, with the steps of each; nothing is written."""
    started = time.monotonic()
    earlier = read_config(call.grid.out, call.shared.data.data)
    if earlier is None:
        # All runs have one encoder, also those that a later call adds on another device.
        shared = with_encoder(call.shared)
        if call.shared.network.encoder == AUTO:
            shared = shared.with_origin("encoder", "chosen by compare, the same for all runs")
        config = replace(call, shared=shared)
    else:
        config = earlier.extended(call)
    tasks = list_tasks(config, call.grid, read_records(config.grid.out))
    lengths = Lengths(config, *tasks, started)
    lengths.prepare()
    return lengths
