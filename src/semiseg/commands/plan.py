"""`plan`: what a training would do, and why."""

from __future__ import annotations

from pathlib import Path

from semiseg.commands.train import arguments, configuration
from semiseg.config.train import TrainConfig
from semiseg.core.types import Plan
from semiseg.training.failures import unbegun
from semiseg.training.parts import settle_place
from semiseg.training.planning import prepare
from semiseg.training.train import settings_of


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
    s, options = settings_of(config.data.data, arguments(config))
    place = settle_place(s, options)
    with unbegun():
        return prepare(s, options, place, resume=False).plan
