"""The runs of a comparison: which are missing, one after the other, and the tables after each."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from semiseg.comparison import text as comparison_text
from semiseg.comparison.folder import read_config, write_config
from semiseg.comparison.plot import save_figure
from semiseg.comparison.records import ALL, BASELINE, Record, make_rows, read_records
from semiseg.comparison.result import COMPARISON, Comparison
from semiseg.config.compare import CompareConfig, GridConfig
from semiseg.config.methods import METHODS
from semiseg.config.settings import unless_auto
from semiseg.config.sizing import VALIDATIONS
from semiseg.config.train import TrainConfig
from semiseg.core.errors import ConfigError, Interrupted, RunError, SemisegError
from semiseg.core.files import write_text
from semiseg.core.scores import Timing
from semiseg.core.text import duration
from semiseg.data.image_lists import list_hash
from semiseg.data.splits import Split, make_split
from semiseg.training import run_folder
from semiseg.training.data import read_folder
from semiseg.training.trainer import time_training, train, with_encoder

_BAR = 20  # characters

logger = logging.getLogger(__name__)


class Task(NamedTuple):
    """One run of a comparison.

    Attributes:
        method: its method.
        labels: its `--labels`.
        seed: its seed.
    """

    method: str
    labels: str
    seed: int

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        labels = Path(self.labels).stem if Path(self.labels).is_file() else self.labels
        labels = labels.replace("/", "of").replace("%", "pct")
        return f"{self.method}-{re.sub(r'[^A-Za-z0-9_.]', '_', labels)}-{self.seed}"

    def __str__(self) -> str:
        """The run in words."""
        return f"{self.method}, labels {self.labels}, seed {self.seed}"


class Runner:
    """Trains the missing runs of a comparison and writes the tables.

    Args:
        config: the settings of the comparison in the folder, all calls so far together.
    """

    def __init__(self, config: CompareConfig) -> None:
        self.config = config
        self.data, self.out = config.shared.data.data, config.grid.out
        self.failed: dict[str, str] = {}
        self.timings: dict[str, Timing] = {}

    def tasks(self, grid: GridConfig) -> list[Task]:
        """All runs of a grid; those of the first seed come first.

        Raises:
            SemisegError: the data or one of the lists cannot be used.
        """
        folder = read_folder(self.config.shared.data)
        for finding in folder.findings:
            if finding.severity == "warning":
                logger.warning("%s", finding.text)
        records = self._records()
        pairs: list[tuple[str, str]] = []
        for labels in grid.labels:
            split = make_split(folder, labels, self.config.shared.data.split_seed)
            self._check_images(records, labels, split, bool(folder.val))
            methods = list(grid.methods) if split.unlabeled else [BASELINE]
            if skipped := [method for method in grid.methods if method not in methods]:
                logger.info(
                    "labels %s: no image is left unlabeled, so only %s is trained, not %s",
                    labels,
                    BASELINE,
                    ", ".join(skipped),
                )
            if labels == ALL and BASELINE not in methods:
                methods.append(BASELINE)
            pairs += [(method, labels) for method in methods]
        if (
            self.config.grid.equal == "time"
        ):  # the times of the other methods decide the steps of this one
            pairs.sort(key=lambda pair: pair[0] == BASELINE)
        tasks = [Task(method, labels, seed) for seed in grid.seeds for method, labels in pairs]
        self._check_names(tasks)
        return tasks

    def _check_images(
        self, records: Sequence[Record], labels: str, split: Split, own_val: bool
    ) -> None:
        """Refuse to compare with runs whose images have changed since.

        Runs with other labels have the same `val`, unless it is held out from the labeled images.
        """
        hashes = {name: list_hash(samples) for name, samples in split.lists().items()}
        for record in records:
            same_labels = record.labels == labels
            common = tuple(hashes) if same_labels else ("val",) if own_val else ()
            before = record.scores.split
            changed = [name for name in common if before.hash_of(name) != hashes[name]]
            if changed:
                raise ConfigError(
                    f"{self.out} holds {record.method} with labels {record.labels}, seed "
                    f"{record.seed}, whose images of {', '.join(changed)} are no longer those of "
                    f"{self.data}: images or masks were added, renamed or removed. Choose another "
                    "--out."
                )

    def _check_names(self, tasks: Sequence[Task]) -> None:
        """Refuse two choices of labels that would share a folder."""
        names: dict[str, Task] = {}
        finished = {Task(r.method, r.labels, r.seed) for r in self._records()}
        for task in (*finished, *tasks):
            other = names.setdefault(task.name, task)
            if other != task:
                raise ConfigError(
                    f"--labels {task.labels} and {other.labels} would share the folder "
                    f"{self.out / task.name}. Give one of the files another name."
                )

    def run(self, tasks: Sequence[Task], report: Callable[[Path], object]) -> Comparison:
        """Train the missing runs, one after the other. A run that fails does not stop the others.

        Args:
            tasks: the runs.
            report: it is called with the folder of each run that has finished.

        Raises:
            ConfigError: a method lacks a setting that it cannot start without; nothing was trained.
            Interrupted: Ctrl-C or SIGTERM stopped a training.
        """
        missing = [t for t in tasks if run_folder.finished(self.out / t.name) is None]
        for task in missing:
            if not run_folder.exists(self.out / task.name):
                self._config(task).settings.check_start()
        logger.info("%d of %d runs are finished", len(tasks) - len(missing), len(tasks))
        self._measure(missing)
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
            comparison = self._write()
            if number + 1 < len(missing):
                logger.info("runs so far:\n%s", comparison.text())
        return self._write()

    def _train(self, task: Task) -> None:
        config = self._config(task, self._steps(task))
        train(config, resume=run_folder.exists(config.out))

    def _config(self, task: Task, steps: int | None = None) -> TrainConfig:
        folder = self.out / task.name
        return self.config.run(task.method, task.labels, task.seed, folder, steps)

    def _steps(self, task: Task) -> int:
        """The steps of a run. With `--equal time`, those of `supervised` are measured once.

        Raises:
            RunError: no other method has finished a run yet.
        """
        steps = self.config.grid.steps
        if self.config.grid.equal == "steps" or task.method != BASELINE:
            return steps
        if self.config.supervised_steps is None:
            others = [r.method for r in self._records() if r.method != BASELINE]
            if not others:
                raise RunError(
                    "--equal time needs a finished run of another method, to know how long it "
                    "takes. Name one in --methods, or correct what made it fail."
                )
            self._measure([task])
            if BASELINE not in self.timings:
                return steps  # the training itself will fail, with its own message
            slowest = max(self.timings[method].step for method in others)
            supervised_steps = round(steps * slowest / self.timings[BASELINE].step)
            self.config = replace(self.config, supervised_steps=supervised_steps)
            write_config(self.config)
            return supervised_steps
        return self.config.supervised_steps

    def _measure(self, tasks: Sequence[Task]) -> None:
        """Find the seconds of a step and a validation: in finished runs, or with a few steps."""
        timings: dict[str, list[Timing]] = {}
        for record in self._records():
            timings.setdefault(record.method, []).append(record.scores.timing)
        for method, samples in timings.items():
            self.timings[method] = Timing(
                fmean(timing.step for timing in samples),
                fmean(timing.validation for timing in samples),
            )
        unknown = {t.method: t for t in reversed(tasks) if t.method not in self.timings}
        if unknown:
            logger.info("measuring a few steps of each of: %s", ", ".join(sorted(unknown)))
        for method, task in unknown.items():
            if (timing := measure(self._config(task))) is not None:
                self.timings[method] = timing

    def _progress(self, tasks: Sequence[Task], number: int) -> str:
        """A bar over the runs, the next run, and the remaining time."""
        estimates = [self._estimate(task) for task in tasks[number:]]
        seconds = [estimate for estimate in estimates if estimate is not None]
        # A method that cannot be measured is assumed to be as fast as the others.
        time = f", about {duration(fmean(seconds) * len(estimates))} left" if seconds else ""
        full = _BAR * number // len(tasks)
        bar = "━" * full + "─" * (_BAR - full)
        return f"{bar} run {number + 1} of {len(tasks)}: {tasks[number]}{time}"

    def _estimate(self, task: Task) -> float | None:
        """The seconds of a run; None for a method that could not be measured."""
        timing = self.timings.get(task.method)
        if timing is None:
            return None
        step = timing.step
        if self.config.grid.equal == "time" and task.method == BASELINE:
            step = max(other.step for other in self.timings.values())
        validations = unless_auto(self.config.shared.validation.validations, VALIDATIONS)
        return step * self.config.grid.steps + timing.validation * validations

    def _records(self) -> list[Record]:
        return read_records(self.out)

    def _write(self) -> Comparison:
        """Write the tables and the figure of all finished runs in the folder."""
        rows = make_rows(self._records(), list(METHODS))
        comparison = Comparison(self.out, tuple(rows), dict(self.failed))
        if rows:
            settings = self.config.common_values()
            content = json.dumps(comparison.to_dict(settings), indent=2) + "\n"
            write_text(self.out / "comparison.md", comparison_text.markdown(rows, settings))
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
    earlier = read_config(call.grid.out, call.shared.data.data)
    if earlier is None:
        # All runs have one encoder, also those that a later call adds on another device.
        config = replace(call, shared=with_encoder(call.shared))
    else:
        config = earlier.extended(call)
    runner = Runner(config)
    tasks = runner.tasks(call.grid)
    write_config(config)
    return runner.run(tasks, report)


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
