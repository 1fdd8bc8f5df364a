"""`plan`: what a training would do, and why."""

from __future__ import annotations

from pathlib import Path

from semiseg.commands.train import configuration
from semiseg.config.plan import Plan
from semiseg.config.train import TrainConfig
from semiseg.training.trainer import plan_training


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
    return plan_training(configuration(data, settings))
