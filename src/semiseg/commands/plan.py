"""`plan`: what a training would do, and why."""

from __future__ import annotations

from pathlib import Path

from semiseg.commands.layers import configuration
from semiseg.config.plan import Plan
from semiseg.config.settings import AUTO
from semiseg.config.train import TrainConfig
from semiseg.training.place import cpu_place, part_of
from semiseg.training.planning import prepare


def plan(data: Path | str | TrainConfig, **settings: object) -> Plan:
    """Show what `train` would do with a data folder, and why. Nothing is trained.

    Args:
        data: the data folder, or a configuration with all settings.
        settings: as for `train`. With a `budget`, semiseg measures a few steps.

    Returns:
        The settings with their reasons, warnings, and the expected time if it was measured.

    Raises:
        SemisegError: as `train`.
    """
    config = configuration(data, settings)
    place = cpu_place(config.machine)
    if place is None or config.schedule.budget is not None:
        # Lightning chooses the device and trains the measured steps; its import takes seconds.
        from semiseg.training.trainer import plan_training

        return plan_training(config)
    if config.schedule.batch != AUTO:
        part_of(config.schedule.batch, place)
    return prepare(config, place).plan
