"""`dry_run`: what a training would cost, measured with one small step."""

from __future__ import annotations

from pathlib import Path

from semiseg.commands.layers import configuration
from semiseg.config.train import TrainConfig
from semiseg.training.cost import CostEstimate
from semiseg.training.trainer import estimate_training


def dry_run(data: Path | str | TrainConfig, **settings: object) -> CostEstimate:
    """Build what `train` would build, take one step of 2 + 2 images at half crop, and extrapolate.

    Nothing is written. If the weights of the encoder cannot be downloaded, they are random.

    Args:
        data: the data folder, or a configuration with all settings.
        settings: as for `train`.

    Returns:
        The parameters, operations, memory and time.

    Raises:
        SemisegError: as `train`.
    """
    return estimate_training(configuration(data, settings))
