"""`GridConfig`: which runs a comparison makes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from semiseg.config.durations import parse_duration
from semiseg.config.label_list import absolute_labels
from semiseg.config.methods import DEFAULT_METHOD, FALLBACK_METHOD, default_settings
from semiseg.config.settings import AUTO, Auto, Count, PositiveInt, Settings, flag
from semiseg.config.sizing import STEPS
from semiseg.core.errors import ConfigError, SettingError

LISTS = ("methods", "labels", "seeds")
"""The settings that hold several values; a later call with the same folder may add some."""

Equal: TypeAlias = Literal["steps", "time"]


@dataclass(frozen=True, kw_only=True)
class GridConfig(Settings):
    """Which runs a comparison makes: one for each method, choice of labels and seed."""

    methods: tuple[str, ...] = (FALLBACK_METHOD, DEFAULT_METHOD)
    """The methods, with commas between them."""
    labels: tuple[str, ...] = ("all",)
    """The masks to use, with commas between the choices, such as `23,46,all`. Each choice is as for
    `train`."""
    seeds: tuple[Count, ...] = (0,)
    """The seeds of the runs, with commas between them."""
    split_seeds: tuple[Count, ...] | Auto = AUTO
    """The seeds of the choice of the labeled images: one for each of the seeds, or one for all.
    With `auto`, it is the seed of the run, so each seed has other labeled images."""
    budget: str | None = None
    """The time for all runs together, such as `2h`. semiseg measures a few steps of each method
    and divides the time: each run gets the same share (`--equal time`) and as many steps as fit
    into it. It divides the time once; runs that a later call adds take as long each."""
    steps: PositiveInt = STEPS
    """Optimizer steps of each run; with `--equal time`, those of the slowest method."""
    equal: Equal = "steps"
    """What the runs have in common: `steps`, or `time`."""
    time: str | None = None
    """With `--equal time`, the time of each run with its validations, such as `20m`. Without it,
    this is the time that the slowest method needs for `--steps`."""
    same_time: bool = True
    """Also train `supervised` for the time of the others; with `--equal steps`, this is the time of
    the slowest one."""
    out: Path = Path("runs/comparison")
    """The folder to write. It gets one run folder for each run, the tables and the plot."""

    def check(self) -> None:
        """No list is empty, all methods exist, and each seed has one split seed."""
        for name in LISTS:
            if not getattr(self, name):
                raise SettingError(name, "", allowed="one or more values", flag=flag(name))
        object.__setattr__(self, "labels", tuple(map(absolute_labels, self.labels)))
        for method in self.methods:
            default_settings(method)
        if self.split_seeds != AUTO and len(self.split_seeds) not in (1, len(self.seeds)):
            raise SettingError(
                "split_seeds",
                self.split_seeds,
                allowed=f"one for each of the {len(self.seeds)} --seeds, or one for all",
                flag="--split-seeds",
            )
        if self.budget is not None:
            parse_duration(self.budget, "budget")
            if self.time is not None or self.steps != STEPS:
                other = f"--steps {self.steps}" if self.time is None else f"--time {self.time}"
                raise ConfigError(
                    f"--budget {self.budget} and {other} contradict each other: the budget decides "
                    "the time and the steps of each run. Leave one of them out."
                )
            object.__setattr__(self, "equal", "time")
        if self.time is not None:
            parse_duration(self.time, "time")
            if self.equal != "time":
                raise ConfigError(
                    f"--time {self.time} has no effect with --equal {self.equal}. Add --equal "
                    "time, or leave --time out."
                )
            if self.steps != STEPS:
                raise ConfigError(
                    f"--time {self.time} and --steps {self.steps} contradict each other: the time "
                    "decides the number of steps. Leave one of them out."
                )

    @property
    def split_seed_of(self) -> dict[int, int]:
        """The seed of the choice of the labeled images, by the seed of the run."""
        if self.split_seeds == AUTO:
            return {seed: seed for seed in self.seeds}
        repeats = len(self.seeds) if len(self.split_seeds) == 1 else 1
        return dict(zip(self.seeds, self.split_seeds * repeats, strict=True))

    def union(self, other: GridConfig) -> GridConfig:
        """This grid with the methods, labels and seeds of another one added.

        Where the other one leaves its split seeds open, those of this one hold.

        Raises:
            ConfigError: a seed has two split seeds, or none.
        """
        splits = self.split_seed_of
        if other.split_seeds != AUTO or self.split_seeds == AUTO:
            split_seeds = other.split_seed_of
        elif len(self.split_seeds) == 1:
            split_seeds = dict.fromkeys(other.seeds, self.split_seeds[0])
        else:
            split_seeds = {seed: splits[seed] for seed in other.seeds if seed in splits}
        for seed in other.seeds:
            if seed not in split_seeds:
                raise ConfigError(
                    f"--seeds {seed} is new in {self.out}, where each seed has a split seed of its "
                    "own. Name the new seeds alone, with --split-seeds."
                )
            if splits.setdefault(seed, split_seeds[seed]) != split_seeds[seed]:
                raise ConfigError(
                    f"--split-seeds gives seed {seed} the split seed {split_seeds[seed]}, but in "
                    f"{self.out} it has {splits[seed]}. Choose another seed or another --out."
                )
        return dataclasses.replace(
            self,
            methods=tuple(dict.fromkeys((*self.methods, *other.methods))),
            labels=tuple(dict.fromkeys((*self.labels, *other.labels))),
            seeds=tuple(splits),
            split_seeds=self._split_seeds(splits),
            same_time=self.same_time or other.same_time,
        )

    def _split_seeds(self, splits: Mapping[int, int]) -> tuple[int, ...] | Auto:
        """The split seeds of more seeds: `auto`, one for all of them, or one for each."""
        if self.split_seeds == AUTO and all(s == split for s, split in splits.items()):
            return AUTO
        different = tuple(dict.fromkeys(splits.values()))
        return different if len(different) == 1 else tuple(splits.values())
