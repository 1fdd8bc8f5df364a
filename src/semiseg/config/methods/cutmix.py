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
    paper: ClassVar[str] = (
        'French et al., "Semi-supervised semantic segmentation needs strong, varied '
        'perturbations", BMVC 2020, arXiv 1906.01916'
    )

    confidence_threshold: Share = 0.95
    """The lowest confidence of a pseudo-label that the student learns from."""
    unsupervised_weight: NonNegative = 1.0
    """The weight of the loss on unlabeled images."""
