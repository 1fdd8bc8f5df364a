"""The settings of `cutmix`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semiseg.config.methods.base import SemiSupervisedSettings
from semiseg.config.settings import NonNegative, Share


@dataclass(frozen=True, kw_only=True)
class CutMixSettings(SemiSupervisedSettings):
    """The settings of `cutmix`."""

    implementation: ClassVar[str] = "semiseg.methods.cutmix:CutMix"

    confidence_threshold: Share = 0.95
    """The lowest confidence of a pseudo-label that the student learns from."""
    unsupervised_weight: NonNegative = 1.0
    """The weight of the loss on unlabeled images."""
