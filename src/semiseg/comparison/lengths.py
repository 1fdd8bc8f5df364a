"""How long the runs of a comparison are: measured speeds, equal steps, equal time, a budget."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from semiseg.comparison.budget import Budget, smaller_side
from semiseg.comparison.folder import write_config
from semiseg.comparison.pace import (
    describe_run,
    fitting_steps,
    mean_seconds,
    mean_timings,
    run_seconds,
    slowest,
    whole_timing,
)
from semiseg.comparison.planned import PlannedComparison, PlannedRun
from semiseg.comparison.records import BASELINE, SAME_TIME, Record, read_records
from semiseg.comparison.run_settings import FEW_STEPS
from semiseg.comparison.tasks import Task
from semiseg.config.compare import CompareConfig
from semiseg.config.durations import parse_duration
from semiseg.config.settings import AUTO, unless_auto
from semiseg.config.sizing import VALIDATIONS
from semiseg.config.stages import least_steps
from semiseg.config.train import TrainConfig
from semiseg.core.errors import BudgetError, Interrupted, RunError
from semiseg.core.scores import Timing
from semiseg.core.text import duration
from semiseg.training import run_folder
from semiseg.training.data import read_folder
from semiseg.training.pace_memory import memory_file
from semiseg.training.stage import stages_of
from semiseg.training.trainer import planned_size, time_training

logger = logging.getLogger(__name__)


class Lengths:
    """Decides how many steps each run of a comparison takes, and estimates how long that is.

    Args:
        config: the settings of the comparison in the folder, all calls so far together.
        tasks: the runs of this call.
        fixed_labels: each `--labels` whose images are the same whatever the split seed.
        started: when the call began, by the monotonic clock.

    Attributes:
        config: the settings, with the steps that a time decides once they are known.
        missing: the runs that have not finished.
        timings: the seconds of a step and of a validation, by the method.
        took: the mean seconds of the finished runs, by the method.
    """

    def __init__(
        self,
        config: CompareConfig,
        tasks: Sequence[Task],
        fixed_labels: Collection[str],
        started: float,
    ) -> None:
        self.config = config
        self.out = config.grid.out
        self.tasks = tasks
        self.fixed_labels = fixed_labels
        self.missing = [t for t in tasks if run_folder.finished(self.out / t.name) is None]
        self.timings: dict[str, Timing] = {}
        self.took: dict[str, float] = {}
        self.records()
        self.started = started
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
                config = self.run_config(task)
                config.settings.check_start()
                if self.config.grid.equal == "steps":
                    stages_of(config, unlabeled=True)  # too few steps end here
        self._measure(self.missing)
        if self.config.grid.equal == "time":
            self._share_time()

    def steps(self, task: Task) -> int:
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
                self.timings[task.method] = time_training(self.run_config(task))
                self._share_time()
            else:
                self._fix_same_time(task)
            write_config(self.config)
        return self.config.row_steps[task.method]

    def estimate(self, task: Task) -> float | None:
        """The seconds of a run; None for a method that could not be measured.

        Finished runs of the method say it best; with equal time, those of other methods, too.
        """
        if task.method in self.took:
            return self.took[task.method]
        if self.config.grid.equal == "time":
            return fmean(self.took.values()) if self.took else self.config.run_seconds
        timings = [self.timings[task.method]] if task.method in self.timings else []
        if task.method == SAME_TIME:
            timings = [timing for method, timing in self.timings.items() if method != BASELINE]
        steps, count = self.config.grid.steps, self._validations
        return max((run_seconds(steps, timing, count) for timing in timings), default=None)

    def run_config(self, task: Task, steps: int | None = None) -> TrainConfig:
        """The settings of a run; without `steps`, it has those of the grid."""
        folder = self.out / task.name
        return self.config.run(task.trained_method, task.labels, task.seed, folder, steps)

    def records(self) -> list[Record]:
        """The finished runs in the folder."""
        records = read_records(self.out)
        self.took = mean_seconds(records)
        return records

    def planned(self) -> PlannedComparison:
        """The runs of this call, with their steps and their seconds."""
        records = {(r.method, r.labels, r.seed): r.scores for r in self.records()}
        split_seeds = self.config.grid.split_seed_of
        runs = []
        for task in self.tasks:
            scores = records.get(task)
            begun = scores is None and run_folder.exists(self.out / task.name)
            seconds = self.estimate(task)
            runs.append(
                PlannedRun(
                    *task,
                    split_seed=None if task.labels in self.fixed_labels else split_seeds[task.seed],
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
        seconds, timing = self.estimate(task), self.timings.get(BASELINE)
        if seconds is None or timing is None:
            return None
        return max(1, fitting_steps(seconds, timing, self._validations))

    @property
    def _validations(self) -> int:
        """The validations of each run."""
        return unless_auto(self.config.shared.validation.validations, VALIDATIONS)

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
        least = {task.method: least_steps(self.run_config(task).settings) for task in self.missing}
        if short := [method for method in timings if steps[method] < least[method]]:
            shortest = max(run_seconds(least[m], timings[m], count) for m in timings)
            longest = max(short, key=lambda m: run_seconds(FEW_STEPS, timings[m], count))
            parts = describe_run(longest, FEW_STEPS, timings[longest], count)
            raise BudgetError(
                f"{duration(seconds)} is too short for {', '.join(short)}: {parts}. The "
                "shortest time that fits the validations and the first step of every method is "
                f"--time {math.ceil(shortest)}s, and {FEW_STEPS} steps of each take --time "
                f"{enough_seconds}s. Give one of these, or make shorter what takes long: a smaller "
                "--size, or fewer --validations."
            )
        for method, number in steps.items():
            logger.info("%s: %d steps fit into %s", method, number, duration(seconds))
        if few := [m for m, number in steps.items() if number < FEW_STEPS and m != BASELINE]:
            longest = max(few, key=lambda m: run_seconds(FEW_STEPS, timings[m], count))
            logger.warning(
                "fewer than %d steps say nothing about a method (%s); that many steps of each take "
                "--time %ds. %s",
                *(FEW_STEPS, ", ".join(few), enough_seconds),
                describe_run(longest, FEW_STEPS, timings[longest], count),
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
        least = {
            m: max(FEW_STEPS, least_steps(self.run_config(tasks[m]).settings)) for m in timings
        }

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
        size = planned_size(self.run_config(tasks[0]))
        side = smaller_side(size)
        if side is None:
            return None
        logger.info("the budget is too short; semiseg measures smaller images to say what fits")
        timings = {
            task.method: measure(self.run_config(task).replaced(size=side)) for task in tasks
        }
        return size, side, {method: one for method, one in timings.items() if one is not None}

    def _fix_same_time(self, task: Task) -> None:
        """Decide the steps of `SAME_TIME` by the finished runs.

        Raises:
            RunError: no other method has finished a run yet.
            SemisegError: `supervised` cannot be measured.
        """
        records = self.records()
        if (others := slowest(records)) is None:
            raise RunError(
                f"{SAME_TIME} needs a finished run of another method, to know how long it takes. "
                "Correct what made it fail, or add --no-same-time."
            )
        method, seconds = others
        timing = whole_timing(records, self._validations) or self.timings.get(BASELINE)
        steps = max(
            1,
            fitting_steps(
                seconds, timing or time_training(self.run_config(task)), self._validations
            ),
        )
        logger.info(
            "%s: %d steps fit into the %s of %s", SAME_TIME, steps, duration(seconds), method
        )
        rows = {**self.config.row_steps, SAME_TIME: steps}
        self.config = replace(self.config, row_steps=rows, run_seconds=seconds)

    def _measure(self, tasks: Sequence[Task]) -> None:
        """Find the seconds of a step and a validation: in finished runs, or with a few steps."""
        self.timings |= mean_timings(self.records())
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
            timing = measure(self.run_config(task))
            left = (time.monotonic() - started) / number * (len(unknown) - number)
            more = f"; about {duration(left)} left to measure the others" if left else ""
            if timing is None:
                logger.info("%s cannot be measured; its run will say why%s", method, more)
            else:
                self.timings[method] = timing
                logger.info("%s: %.2f s for a step%s", method, timing.step, more)
        self.measuring = time.monotonic() - started


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
