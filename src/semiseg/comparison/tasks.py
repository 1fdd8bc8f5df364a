"""The runs that a comparison needs, in their order."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from semiseg.comparison.records import ALL, BASELINE, SAME_TIME, SAME_TIME_FOLDER, Record
from semiseg.config.compare import CompareConfig
from semiseg.config.grid import GridConfig
from semiseg.config.label_list import label_list, labels_name
from semiseg.core.errors import ConfigError
from semiseg.data.splits import Split, make_split
from semiseg.training.data import read_folder

logger = logging.getLogger(__name__)


class Task(NamedTuple):
    """One run of a comparison.

    Attributes:
        method: its method, or `SAME_TIME`.
        labels: its `--labels`.
        seed: its seed.
    """

    method: str
    labels: str
    seed: int

    @property
    def trained_method(self) -> str:
        """The method that the run trains."""
        return BASELINE if self.method == SAME_TIME else self.method

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        method = SAME_TIME_FOLDER if self.method == SAME_TIME else self.method
        separator = "of" if label_list(self.labels) is None else "_"
        labels = labels_name(self.labels).replace("/", separator).replace("%", "pct")
        return f"{method}-{re.sub(r'[^A-Za-z0-9_.]', '_', labels)}-{self.seed}"

    def __str__(self) -> str:
        """The run in words."""
        return f"{self.method}, labels {labels_name(self.labels)}, seed {self.seed}"


class TaskList(NamedTuple):
    """The runs of a grid.

    Attributes:
        tasks: the runs; those of the first seed come first.
        fixed_labels: each `--labels` whose images are the same whatever the split seed.
    """

    tasks: list[Task]
    fixed_labels: frozenset[str] = frozenset()


def list_tasks(config: CompareConfig, grid: GridConfig, records: Sequence[Record]) -> TaskList:
    """All runs of a grid; those of the first seed come first.

    Args:
        config: the settings of the comparison in the folder, all calls so far together.
        grid: the grid of this call.
        records: the finished runs in the folder.

    Raises:
        SemisegError: the data or one of the lists cannot be used.
    """
    folder = read_folder(config.shared.data)
    for finding in folder.findings:
        if finding.severity == "warning":
            logger.warning("%s", finding.text)
    # A list may name other masks than those of the data folder.
    folders = {
        labels: folder
        if label_list(labels) is None
        else read_folder(replace(config.shared.data, labels=labels))
        for labels in grid.labels
    }
    split_seeds = config.grid.split_seed_of
    splits: dict[tuple[str, int], Split] = {}
    for seed in grid.seeds:
        for labels in grid.labels:
            key = (labels, split_seeds[seed])
            if key not in splits:
                splits[key] = make_split(folders[labels], *key)
                _check_images(config, records, key, splits[key], bool(folder.val))
    if skipped := [method for method in grid.methods if method != BASELINE]:
        for labels in grid.labels:
            if not all(
                splits[labels, split_seeds[seed]].counts()["unlabeled"] for seed in grid.seeds
            ):
                logger.info(
                    "labels %s: no image is left unlabeled, so only %s is trained, not %s",
                    labels,
                    BASELINE,
                    ", ".join(skipped),
                )
    tasks = []
    for seed in grid.seeds:
        pairs = []
        for labels in grid.labels:
            split = splits[labels, split_seeds[seed]]
            pairs += [(method, labels) for method in _methods(config, grid, labels, split)]
        # The times of the other runs decide the steps of the last ones.
        pairs.sort(key=lambda pair: pair[0] == SAME_TIME)
        tasks += [Task(method, labels, seed) for method, labels in pairs]
    _check_names(config.grid.out, records, tasks)
    # Without a `val` of its own, the split seed chooses the validation images of a list, too.
    fixed = frozenset(one for one in grid.labels if folder.val and label_list(one) is not None)
    return TaskList(tasks, fixed)


def _methods(config: CompareConfig, grid: GridConfig, labels: str, split: Split) -> list[str]:
    """The methods to train with some labels, with `supervised` for the same time if wanted."""
    methods = list(grid.methods) if split.counts()["unlabeled"] else [BASELINE]
    same_time = grid.same_time and any(method != BASELINE for method in methods)
    equal_time = config.grid.equal == "time"
    if BASELINE not in methods and (labels == ALL or (same_time and equal_time)):
        methods.append(BASELINE)
    if same_time and not equal_time:
        methods.append(SAME_TIME)
    return methods


def _check_images(
    config: CompareConfig,
    records: Iterable[Record],
    key: tuple[str, int],
    split: Split,
    own_val: bool,
) -> None:
    """Refuse to compare with runs whose images have changed since.

    Runs with other labels have the same `val`, unless it is held out from the labeled images.

    Args:
        config: the settings of the comparison.
        records: the finished runs.
        key: labels and split seed.
        split: their images.
        own_val: whether the data folder has its own validation images.

    Raises:
        ConfigError: the images have changed.
    """
    hashes = split.hashes()
    for record in records:
        same_split = (record.labels, record.split_seed) == key
        common = tuple(hashes) if same_split else ("val",) if own_val else ()
        before = record.scores.split
        changed = [name for name in common if before.hash_of(name) != hashes[name]]
        if changed:
            raise ConfigError(
                f"{config.grid.out} holds {record.method} with labels {record.labels}, seed "
                f"{record.seed}, whose images of {', '.join(changed)} are no longer those of "
                f"{config.shared.data.data}: images or masks were added, renamed or removed. "
                "Choose another --out."
            )


def _check_names(out: Path, records: Iterable[Record], tasks: Iterable[Task]) -> None:
    """Refuse two choices of labels that would share a folder.

    Raises:
        ConfigError: they would.
    """
    names: dict[str, Task] = {}
    for task in (*(Task(r.method, r.labels, r.seed) for r in records), *tasks):
        other = names.setdefault(task.name, task)
        if other != task:
            raise ConfigError(
                f"--labels {task.labels} and {other.labels} would share the folder "
                f"{out / task.name}. Give one of the files or of their folders another name."
            )
