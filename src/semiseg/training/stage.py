"""A training of some methods is a sequence of trainings, its stages, in one run folder.

```
RUN/
  stages/1/   a complete run folder: the first stage, on the labeled images
  stages/2/   the second stage, if it is not the last one, and so on
  stages/second/   the network of `--second-encoder`, which labels images too; it is trained first
  stages/both/     the counts of the mean of both networks on val, with `--second-released`
  ...         the last stage is the run itself
```

All other methods have one stage. Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

from semiseg.config.methods import default_settings
from semiseg.config.settings import decided
from semiseg.config.stages import divide_steps, stage_name
from semiseg.config.train import TrainConfig, group_of
from semiseg.core.choices import PAIR
from semiseg.core.text import plural

STAGES = "stages"
"""The folder of the earlier stages in the run folder."""
_SECOND = "second"


class Stage(NamedTuple):
    """One stage of a training.

    Attributes:
        number: its number, from 1; 0 for the second network, which is trained before them.
        total: the number of stages.
        config: the settings of this stage, as planned: its steps, and its own folder.
        run: the settings of the whole run.
        labeled_only: whether it learns from labeled images only.
        keeps_snapshots: whether its weights at some steps are kept; see `training.reliability`.
        steps_before: the steps of the earlier stages with which this one shares a schedule of the
            learning rates.
        steps_after: those of the later stages.
    """

    number: int
    total: int
    config: TrainConfig
    run: TrainConfig
    labeled_only: bool = False
    keeps_snapshots: bool = False
    steps_before: int = 0
    steps_after: int = 0

    def __str__(self) -> str:
        """The stage, its method and its steps in words."""
        name = stage_name(self.config.method, self.labeled_only)
        if self.is_second:
            name = f"the decoder on frozen features of {self.config.network.encoder}"
        return f"{self.title}: {name}, {plural(decided(self.config.schedule.steps), 'step')}"

    @property
    def title(self) -> str:
        """Which stage this is, in words; empty for the only one."""
        if self.is_second:
            return "the second network"
        return f"stage {self.number} of {self.total}" if self.total > 1 else ""

    @property
    def is_second(self) -> bool:
        """Whether it trains the second network, which only labels images."""
        return self.number == 0

    @property
    def second_folder(self) -> Path | None:
        """The run folder of the second network, if it has a say in the labels of this stage."""
        if self.labeled_only or self.total == 1 or self.run.settings.second_network is None:
            return None
        return second_folder(self.run.out)

    def before(self, count: int = 1) -> Path:
        """The run folder of the stage before, or of the one that many stages before."""
        return stage_folder(self.run.out, self.number - count)

    def until_now(self) -> tuple[Stage, ...]:
        """The stages of the run before this one, and this one."""
        if self.total == 1 or self.is_second:
            return (self,)
        return stages_of(self.run, unlabeled=True)[: self.number]

    @property
    def goes_on(self) -> bool:
        """Whether it goes on from the weights of the stage before."""
        return self.number > 1 and self.run.settings.goes_on


def stage_folder(run: Path, number: int) -> Path:
    """The run folder of an earlier stage."""
    return run / STAGES / str(number)


def second_folder(run: Path) -> Path:
    """The run folder of the second network of a run."""
    return run / STAGES / _SECOND


def pair_folder(run: Path) -> Path:
    """The folder of what was counted for the mean of both networks of a run."""
    return run / STAGES / PAIR


def run_of_stage(out: Path) -> Path | None:
    """The run that a folder is a stage of; None for any other folder."""
    run = out.absolute().parent.parent
    return run if out.absolute().parent.name == STAGES and (run / "config.yaml").is_file() else None


def stages_of(config: TrainConfig, unlabeled: bool) -> tuple[Stage, ...]:
    """The stages of a training, in their order; the last one is the run itself.

    Args:
        config: the settings, as planned.
        unlabeled: whether there are unlabeled images. Without any there is nothing to label, and
            the training has a single stage.

    Raises:
        ConfigError: the steps are too few for the stages.
    """
    settings = config.settings
    if not (settings.earlier_stages and unlabeled):
        return (Stage(1, 1, config, config),)
    parts = divide_steps(decided(config.schedule.steps), settings.shares_of_stages)
    stages = []
    for number, earlier in enumerate(settings.earlier_stages, 1):
        stage = with_method(config, earlier.method).replaced(
            steps=parts[number - 1],
            validations=earlier.validations,
            out=stage_folder(config.out, number),
        )
        stages.append(
            Stage(number, len(parts), stage, config, earlier.labeled_only, earlier.snapshots)
        )
    stages.append(Stage(len(parts), len(parts), config.replaced(steps=parts[-1]), config))
    if not settings.goes_on:
        return tuple(stages)
    for number in range(1, len(parts)):
        before, after = sum(parts[1:number]), sum(parts[number + 1 :])
        stages[number] = stages[number]._replace(steps_before=before, steps_after=after)
    return tuple(stages)


def with_method(config: TrainConfig, method: str) -> TrainConfig:
    """The same settings for another method; its own ones are kept where both have them."""
    own = {field.name for field in dataclasses.fields(default_settings(method))}
    names = {*group_of(), *own} - {"stage_shares"}
    values = {name: value for name, value in config.values().items() if name in names}
    return TrainConfig.from_values({**values, "method": method})
