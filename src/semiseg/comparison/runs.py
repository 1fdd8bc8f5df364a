"""Runs what is missing of a comparison, one run after the other."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from semiseg.comparison import text as comparison_text
from semiseg.comparison.plot import save_figure
from semiseg.comparison.records import ALL, BASELINE, Record, make_rows, read_records
from semiseg.comparison.result import COMPARISON, Comparison
from semiseg.comparison.settings import Shared
from semiseg.config.methods import METHODS, default_settings
from semiseg.config.settings import AUTO
from semiseg.config.sizing import VALIDATIONS
from semiseg.config.train import DataConfig, TrainConfig
from semiseg.core.errors import ConfigError, Interrupted, RunError, SemisegError
from semiseg.core.files import write_text
from semiseg.core.scores import Timing
from semiseg.core.text import duration
from semiseg.data.image_lists import list_hash
from semiseg.data.splits import Split, make_split
from semiseg.reporting.report import write_report
from semiseg.training import run_folder
from semiseg.training.data import read_folder
from semiseg.training.trainer import time_training, train

_BAR = 20

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
    """Runs what is missing and writes the tables.

    Args:
        data: the data folder.
        out: the folder of the comparison.
        shared: its settings.
        free: settings of `train` that do not change the result.
    """

    def __init__(self, data: Path, out: Path, shared: Shared, free: dict[str, Any]) -> None:
        self.data, self.out, self.shared, self.free = data, out, shared, free
        self.failed: dict[str, str] = {}
        self.timings: dict[str, Timing] = {}

    def tasks(
        self, methods: Sequence[str], labels: Sequence[str], seeds: Sequence[str]
    ) -> list[Task]:
        """All runs, the first seed's first.

        Raises:
            SemisegError: the data or one of the lists cannot be used.
        """
        for method in methods:
            default_settings(method)
        if wrong := [seed for seed in seeds if not seed.isdecimal()]:
            raise ConfigError(f"--seeds: '{wrong[0]}' is no number from 0 on.")
        s = self.shared.train
        names = ("dataset", "classes", "value_range")
        folder = read_folder(DataConfig(data=self.data, **{n: s[n] for n in names}))
        records, found = self._records(), []
        for label in labels:
            split = make_split(folder, label, s["split_seed"])
            self._check_images(records, label, split, bool(folder.val))
            chosen = list(methods) if split.unlabeled else [BASELINE]
            if left := [m for m in methods if m not in chosen]:
                told = f"labels {label}: no image is left unlabeled, so {BASELINE} alone is trained"
                logger.info("%s", f"{told}, not {', '.join(left)}")
            if label == ALL and BASELINE not in chosen:
                chosen.append(BASELINE)
            found += [Task(method, label, 0) for method in chosen]
        by_time = self.shared.equal == "time"
        # How long the others take decides how many steps supervised gets, so it comes last.
        found.sort(key=lambda task: by_time and task.method == BASELINE)
        order = [task._replace(seed=int(seed)) for seed in seeds for task in found]
        self._check_names(order)
        return order

    def _check_images(
        self, records: Sequence[Record], label: str, split: Split, own_val: bool
    ) -> None:
        """Runs on other images, from before these were changed, are no part of the comparison.

        Those with other labels share `val`, unless a part of the labeled images is held out.
        """
        now = {name: list_hash(samples) for name, samples in split.lists().items()}
        for record in records:
            shared = now if record.labels == label else {"val": now["val"]} if own_val else {}
            before = record.scores.split
            changed = [name for name in shared if before.hash_of(name) != now[name]]
            if changed:
                raise ConfigError(
                    f"{self.out} holds {record.method} with labels {record.labels}, seed "
                    f"{record.seed}, whose images of {', '.join(changed)} are no longer those of "
                    f"{self.data}: images or masks were added, renamed or removed. Choose another "
                    "--out."
                )

    def _check_names(self, tasks: Sequence[Task]) -> None:
        """Two choices of labels must not share a folder."""
        names: dict[str, Task] = {}
        known = {Task(r.method, r.labels, r.seed) for r in self._records()}
        for task in (*known, *tasks):
            other = names.setdefault(task.name, task)
            if other != task:
                raise ConfigError(
                    f"--labels {task.labels} and {other.labels} would share the folder "
                    f"{self.out / task.name}. Give one of the files another name."
                )

    def run(self, tasks: Sequence[Task]) -> Comparison:
        """Train what is missing, one run after the other.

        Raises:
            Interrupted: Ctrl-C was pressed.
        """
        missing = [t for t in tasks if run_folder.finished(self.out / t.name) is None]
        logger.info("%s", f"{len(tasks) - len(missing)} of {len(tasks)} runs are there already")
        self._measure(missing)
        for number, task in enumerate(missing):
            logger.info("%s", self._progress(missing, number))
            try:
                self._train(task)
            except Interrupted as told:
                raise type(told)(
                    f"{told.args[0].partition('. Go on')[0]}. Go on with the same semiseg compare "
                    f"command and --out {self.out}"
                ) from None
            except Exception as error:  # the other runs need not suffer for it
                told_as = str(error) if isinstance(error, SemisegError) else repr(error)
                self.failed[task.name] = told_as
                logger.info("%s", f"{task.name} failed: {told_as}")
                continue
            found = self._write()
            if number + 1 < len(missing):
                logger.info("%s", f"runs so far:\n{found.text()}")
        found = self._write()
        if found.rows:
            write_report(self.out)
        return found

    def _train(self, task: Task) -> None:
        folder = self.out / task.name
        settings = {**self._settings(task), "steps": self._steps(task), "out": folder}
        train(
            TrainConfig.from_values({"data": self.data, **settings}),
            resume=run_folder.exists(folder),
        )
        write_report(folder)

    def _settings(self, task: Task) -> dict[str, Any]:
        own = self.shared.methods.get(task.method, {})  # the ceiling's method may not be listed
        run = {"method": task.method, "labels": task.labels, "seed": task.seed}
        return {**self.shared.train, **self.free, **own, **run}

    def _steps(self, task: Task) -> int:
        """The steps of a run; for `--equal time` those of `supervised` are settled once.

        Raises:
            RunError: no other method has finished a run yet.
        """
        steps: int = self.shared.train["steps"]
        if self.shared.equal == "steps" or task.method != BASELINE:
            return steps
        if self.shared.supervised_steps is None:
            others = [r.method for r in self._records() if r.method != BASELINE]
            if not others:
                raise RunError(
                    "--equal time needs a finished run of another method, to know how long it "
                    "takes. Name one in --methods, or mend what made it fail."
                )
            self._measure([task])
            if BASELINE not in self.timings:
                return steps  # it fails, and is to fail with its own words
            slowest = max(self.timings[m].step for m in others)
            self.shared.supervised_steps = round(steps * slowest / self.timings[BASELINE].step)
            self.shared.save(self.out)
        return self.shared.supervised_steps

    def _measure(self, tasks: Sequence[Task]) -> None:
        """Seconds a step and a look of each method, from its runs or from a few steps."""
        by_method: dict[str, list[Timing]] = {}
        for record in self._records():
            by_method.setdefault(record.method, []).append(record.scores.timing)
        for method, timings in by_method.items():
            self.timings[method] = Timing(
                fmean(timing.step for timing in timings),
                fmean(timing.validation for timing in timings),
            )
        unknown = {t.method: t for t in reversed(tasks) if t.method not in self.timings}
        if unknown:
            logger.info("%s", f"measuring a few steps of each of: {', '.join(sorted(unknown))}")
        for method, task in unknown.items():
            timing = _probe({"data": self.data, **self._settings(task)})
            if timing is not None:
                self.timings[method] = timing

    def _progress(self, tasks: Sequence[Task], number: int) -> str:
        """A bar over the runs, the next run, and the time for those that are left."""
        left = [self._estimate(task) for task in tasks[number:]]
        known = [seconds for seconds in left if seconds is not None]
        # A method that cannot be measured is taken to be like the others.
        time = f", about {duration(sum(known) / len(known) * len(left))} left" if known else ""
        full = _BAR * number // len(tasks)
        bar = "━" * full + "─" * (_BAR - full)
        return f"{bar} run {number + 1} of {len(tasks)}: {tasks[number]}{time}"

    def _estimate(self, task: Task) -> float | None:
        timing = self.timings.get(task.method)
        if timing is None:
            return None
        steps: int = self.shared.train["steps"]
        training = timing.step * steps
        if self.shared.equal == "time" and task.method == BASELINE:
            slowest = max(other.step for other in self.timings.values())
            training = slowest * steps
        validations = self.shared.train["validations"]
        return training + timing.validation * int(
            VALIDATIONS if validations == AUTO else validations
        )

    def _records(self) -> list[Record]:
        return read_records(self.out)

    def _write(self) -> Comparison:
        """Write the tables and the plot of all finished runs in the folder."""
        rows = make_rows(self._records(), list(METHODS))
        found = Comparison(self.out, tuple(rows), dict(self.failed))
        if rows:
            shared = {**self.shared.train, "equal": self.shared.equal}
            content = found.to_dict(shared)
            write_text(self.out / "comparison.md", comparison_text.markdown(rows, shared))
            write_text(self.out / "comparison.csv", comparison_text.table_csv(rows))
            write_text(self.out / COMPARISON, json.dumps(content, indent=2) + "\n")
            save_figure(rows, self.out / "comparison.png")
        return found


def _probe(settings: dict[str, Any]) -> Timing | None:
    """Time a few steps and a validation.

    A failure gives None: the run itself then fails with its own message.

    Raises:
        Interrupted: Ctrl-C was pressed.
    """
    try:
        return time_training(TrainConfig.from_values(settings))
    except Interrupted as error:
        raise type(error)("stopped before the first run. Go on with the same command") from None
    except Exception:
        return None
