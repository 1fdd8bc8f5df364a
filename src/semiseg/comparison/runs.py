"""The runs of a comparison: which are missing, one after the other, and the tables after each."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from semiseg.comparison import text as comparison_text
from semiseg.comparison.budget import Budget, smaller_side
from semiseg.comparison.folder import read_config, write_config
from semiseg.comparison.pace import (
    fitting_steps,
    mean_timings,
    run_seconds,
    slowest,
    whole_timing,
)
from semiseg.comparison.planned import PlannedComparison, PlannedRun, expected_seconds
from semiseg.comparison.plot import save_figure
from semiseg.comparison.records import BASELINE, SAME_TIME, Record, read_records
from semiseg.comparison.result import COMPARISON, Comparison
from semiseg.comparison.rows import make_rows
from semiseg.comparison.run_settings import FEW_STEPS, cautions
from semiseg.comparison.tasks import Task, list_tasks
from semiseg.config.compare import CompareConfig
from semiseg.config.methods import METHODS
from semiseg.config.settings import AUTO, unless_auto
from semiseg.config.sizing import VALIDATIONS
from semiseg.config.stages import least_steps
from semiseg.config.train import TrainConfig, parse_duration
from semiseg.core.console import warning_once
from semiseg.core.errors import BudgetError, Interrupted, RunError, SemisegError
from semiseg.core.files import write_text
from semiseg.core.scores import Timing
from semiseg.core.text import duration, plural
from semiseg.training import run_folder
from semiseg.training.data import read_folder
from semiseg.training.pace_memory import memory_file
from semiseg.training.stage import stages_of
from semiseg.training.trainer import planned_size, time_training, train, with_encoder

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
        config: the settings of the comparison in the folder, all calls so far together.
        tasks: the runs of this call.
        started: when the call began, by the monotonic clock; None for now.
    """

    def __init__(
        self, config: CompareConfig, tasks: Sequence[Task], started: float | None = None
    ) -> None:
        self.config = config
        self.out = config.grid.out
        self.tasks = tasks
        self.missing = [t for t in tasks if run_folder.finished(self.out / t.name) is None]
        self.failed: dict[str, str] = {}
        self.timings: dict[str, Timing] = {}
        self.started = time.monotonic() if started is None else started
        self.measuring = 0.0

    def prepare(self) -> None:
        """Measure what is not known yet, and decide the steps of the runs with equal time.

        Raises:
            ConfigError: a method lacks a setting that it cannot start without.
            BudgetError: the time is too short.
            Interrupted: Ctrl-C or SIGTERM stopped the measurement.
        """
        for task in self.missing:
            if not run_folder.exists(self.out / task.name):
                config = self._config(task)
                config.settings.check_start()
                if self.config.grid.equal == "steps":
                    stages_of(config, unlabeled=True)  # too few steps end here
        self._measure(self.missing)
        if self.config.grid.equal == "time":
            self._share_time()

    def run(self, report: Callable[[Path], object]) -> Comparison:
        """Train the missing runs, one after the other. A run that fails does not stop the others.

        Args:
            report: it is called with the folder of each run that has finished.

        Raises:
            Interrupted: Ctrl-C or SIGTERM stopped a training.
        """
        missing = self.missing
        logger.info("%d of %d runs are finished", len(self.tasks) - len(missing), len(self.tasks))
        total = expected_seconds([self._estimate(task) for task in missing])
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
        config = self._config(task, self._steps(task))
        train(config, resume=run_folder.exists(config.out))

    def _config(self, task: Task, steps: int | None = None) -> TrainConfig:
        folder = self.out / task.name
        return self.config.run(task.trained_method, task.labels, task.seed, folder, steps)

    @property
    def _validations(self) -> int:
        """The validations of each run."""
        return unless_auto(self.config.shared.validation.validations, VALIDATIONS)

    def _steps(self, task: Task) -> int:
        """The steps of a run. Those that a time decides are decided once for the comparison.

        Raises:
            SemisegError: the method cannot be measured, or there is nothing to measure.
        """
        grid = self.config.grid
        if grid.equal == "steps" and task.method != SAME_TIME:
            return grid.steps
        if task.method not in self.config.row_steps:
            if grid.equal == "time":
                # The measurement has failed before; now its error is that of the run.
                self.timings[task.method] = time_training(self._config(task))
                self._share_time()
            else:
                self._fix_same_time(task)
            write_config(self.config)
        return self.config.row_steps[task.method]

    def _share_time(self) -> None:
        """Decide the steps of the methods that have none yet; all runs take the same time.

        Raises:
            BudgetError: the time is too short for a step of each method, or of each of its stages.
        """
        rows, grid, count = dict(self.config.row_steps), self.config.grid, self._validations
        methods = dict.fromkeys(t.method for t in self.missing)
        timings = {m: self.timings[m] for m in methods if m in self.timings and m not in rows}
        if not timings:
            return
        seconds = self.config.run_seconds
        if grid.budget is not None and seconds is None:
            seconds = self._divide_budget(grid.budget, timings)
        elif grid.time is not None:
            seconds = parse_duration(grid.time, "time")
        elif seconds is None:
            seconds = max(run_seconds(grid.steps, timing, count) for timing in timings.values())
        steps = {m: fitting_steps(seconds, timing, count) for m, timing in timings.items()}
        enough_seconds = math.ceil(max(run_seconds(FEW_STEPS, timings[m], count) for m in timings))
        least = {task.method: least_steps(self._config(task).settings) for task in self.missing}
        if short := [method for method in timings if steps[method] < least[method]]:
            shortest = max(run_seconds(least[m], timings[m], count) for m in timings)
            raise BudgetError(
                f"{duration(seconds)} is too short for {', '.join(short)}. The shortest time that "
                f"fits the validations and the first step of every method is --time "
                f"{math.ceil(shortest)}s, and {FEW_STEPS} steps of each take --time "
                f"{enough_seconds}s. Give one of these, a smaller --size, or fewer --validations."
            )
        for method, number in steps.items():
            logger.info("%s: %d steps fit into %s", method, number, duration(seconds))
        if few := [m for m, number in steps.items() if number < FEW_STEPS and m != BASELINE]:
            logger.warning(
                "fewer than %d steps say nothing about a method (%s); that many steps of each take "
                "--time %ds, or less with a smaller --size",
                *(FEW_STEPS, ", ".join(few), enough_seconds),
            )
        rows |= steps
        self.config = replace(self.config, row_steps=rows, run_seconds=seconds)

    def _divide_budget(self, text: str, timings: Mapping[str, Timing]) -> float:
        """The seconds of each missing run, where all of them share a budget.

        Raises:
            BudgetError: the budget is too short; the error names what fits.
        """
        tasks = {task.method: task for task in reversed(self.missing)}
        began = time.monotonic()
        read_folder(self.config.shared.data)  # as each run will
        reading = time.monotonic() - began
        budget = Budget(
            text,
            parse_duration(text),
            len(self.missing),
            tuple(dict.fromkeys(task.seed for task in self.missing)),
            self._validations,
            time.monotonic() - self.started,
            self.measuring if memory_file() is not None else 0.0,
            reading,
        )
        least = {m: max(FEW_STEPS, least_steps(self._config(tasks[m]).settings)) for m in timings}

        def measure_smaller() -> tuple[int, int, Mapping[str, Timing]] | None:
            return self._measure_smaller([tasks[method] for method in timings])

        if (error := budget.too_short(timings, least, measure_smaller)) is not None:
            raise error
        return budget.run_seconds(timings.values())

    def _measure_smaller(
        self, tasks: Sequence[Task]
    ) -> tuple[int, int, Mapping[str, Timing]] | None:
        """The size of the images of these runs, a smaller one, and the timings there.

        Returns:
            None if the size is as small as it may be, or if the user decided on the crop.
        """
        if self.config.shared.views.crop != AUTO:
            return None
        size = planned_size(self._config(tasks[0]))
        side = smaller_side(size)
        if side is None:
            return None
        logger.info("the budget is too short; semiseg measures smaller images to say what fits")
        timings = {task.method: measure(self._config(task).replaced(size=side)) for task in tasks}
        return size, side, {method: one for method, one in timings.items() if one is not None}

    def planned(self) -> PlannedComparison:
        """The runs of this call, with their steps and their seconds."""
        records = {(r.method, r.labels, r.seed): r.scores for r in self._records()}
        runs = []
        for task in self.tasks:
            scores = records.get(task)
            begun = scores is None and run_folder.exists(self.out / task.name)
            seconds = self._estimate(task)
            runs.append(
                PlannedRun(
                    *task,
                    split_seed=self.config.grid.split_seed_of[task.seed],
                    steps=self._planned_steps(task) if scores is None else scores.steps,
                    seconds=seconds if scores is None else scores.seconds,
                    folder=task.name,
                    state="begun" if begun else "new" if scores is None else "finished",
                )
            )
        return PlannedComparison(self.out, tuple(runs))

    def _planned_steps(self, task: Task) -> int | None:
        """The steps of a run as far as they are known; those of `SAME_TIME` are an estimate."""
        grid = self.config.grid
        if grid.equal == "steps" and task.method != SAME_TIME:
            return grid.steps
        if task.method in self.config.row_steps or grid.equal == "time":
            return self.config.row_steps.get(task.method)
        seconds, timing = self._estimate(task), self.timings.get(BASELINE)
        if seconds is None or timing is None:
            return None
        return max(1, fitting_steps(seconds, timing, self._validations))

    def _fix_same_time(self, task: Task) -> None:
        """Decide the steps of `SAME_TIME` by the finished runs.

        Raises:
            RunError: no other method has finished a run yet.
            SemisegError: `supervised` cannot be measured.
        """
        records = self._records()
        if (others := slowest(records)) is None:
            raise RunError(
                f"{SAME_TIME} needs a finished run of another method, to know how long it takes. "
                "Correct what made it fail, or add --no-same-time."
            )
        method, seconds = others
        timing = whole_timing(records, self._validations) or self.timings.get(BASELINE)
        steps = max(
            1,
            fitting_steps(seconds, timing or time_training(self._config(task)), self._validations),
        )
        logger.info(
            "%s: %d steps fit into the %s of %s", SAME_TIME, steps, duration(seconds), method
        )
        rows = {**self.config.row_steps, SAME_TIME: steps}
        self.config = replace(self.config, row_steps=rows, run_seconds=seconds)

    def _warn_of_slower_methods(self) -> None:
        """Report a method that takes longer than `SAME_TIME`: one that was added later.

        The runs of the first seed decided the steps of `SAME_TIME`, so only their times count:
        those of other seeds differ by what else the machine does.
        """
        if self.config.run_seconds is None or SAME_TIME not in self.config.row_steps:
            return
        first = self.config.grid.seeds[0]
        others = slowest(record for record in self._records() if record.seed == first)
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

    def _measure(self, tasks: Sequence[Task]) -> None:
        """Find the seconds of a step and a validation: in finished runs, or with a few steps."""
        self.timings |= mean_timings(self._records())
        unknown = {
            t.trained_method: t for t in reversed(tasks) if t.trained_method not in self.timings
        }
        if unknown:
            logger.info(
                "measuring a few steps and a validation of each of: %s. The first one shows how "
                "long it takes",
                ", ".join(sorted(unknown)),
            )
        started = time.monotonic()
        for number, (method, task) in enumerate(unknown.items(), 1):
            timing = measure(self._config(task))
            left = (time.monotonic() - started) / number * (len(unknown) - number)
            more = f"; about {duration(left)} left to measure the others" if left else ""
            if timing is None:
                logger.info("%s cannot be measured; its run will say why%s", method, more)
            else:
                self.timings[method] = timing
                logger.info("%s: %.2f s for a step%s", method, timing.step, more)
        self.measuring = time.monotonic() - started

    def _progress(self, tasks: Sequence[Task], number: int) -> str:
        """A bar over the runs, the next run, and the remaining time."""
        estimates = [self._estimate(task) for task in tasks[number:]]
        seconds = [estimate for estimate in estimates if estimate is not None]
        # A method that cannot be measured is assumed to be as fast as the others.
        rest = f", about {duration(fmean(seconds) * len(estimates))} left" if seconds else ""
        full = _BAR * number // len(tasks)
        bar = "━" * full + "─" * (_BAR - full)
        return f"{bar} run {number + 1} of {len(tasks)}: {tasks[number]}{rest}"

    def _estimate(self, task: Task) -> float | None:
        """The seconds of a run; None for a method that could not be measured."""
        if self.config.grid.equal == "time":
            return self.config.run_seconds
        timings = [self.timings[task.method]] if task.method in self.timings else []
        if task.method == SAME_TIME:
            timings = [timing for method, timing in self.timings.items() if method != BASELINE]
        steps, count = self.config.grid.steps, self._validations
        return max((run_seconds(steps, timing, count) for timing in timings), default=None)

    def _records(self) -> list[Record]:
        return read_records(self.out)

    def _write(self, missing: int = 0) -> Comparison:
        """Write the tables and the figure of all finished runs in the folder.

        Args:
            missing: the runs that have still to be trained.
        """
        rows = make_rows(self._records(), list(METHODS))
        doubts = tuple(cautions(rows, self.config.equal_seconds, missing))
        comparison = Comparison(self.out, tuple(rows), dict(self.failed), doubts)
        if rows:
            settings = self.config.common_values()
            content = json.dumps(comparison.to_dict(settings), indent=2) + "\n"
            write_text(self.out / "comparison.md", comparison_text.markdown(rows, settings, doubts))
            write_text(self.out / "comparison.csv", comparison_text.table_csv(rows))
            write_text(self.out / COMPARISON, content)
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
        runner = _prepare(call)
        write_config(runner.config)
        return runner.run(report)


def plan_comparison(call: CompareConfig) -> PlannedComparison:
    """The runs that `run_comparison` would make. A few steps of each method are timed.

    Args:
        call: as for `run_comparison`.

    Raises:
        SemisegError: the data, a setting or the folder cannot be used.
    """
    with warning_once(*_REPEATING):
        return _prepare(call).planned()


def _prepare(call: CompareConfig) -> Runner:
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
    runner = Runner(config, tasks, started)
    runner.prepare()
    return runner


def measure(config: TrainConfig) -> Timing | None:
    """The seconds of a step and of a validation.

    Returns:
        The seconds, or None if the steps fail: the run itself then fails with its own message.

    Raises:
        Interrupted: Ctrl-C or SIGTERM stopped the measurement.
    """
    try:
        return time_training(config)
    except Interrupted as error:
        raise type(error)("stopped before the first run. Go on with the same command") from None
    except Exception:
        return None
