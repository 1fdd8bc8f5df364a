"""The settings of `augseg` and of its preset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semiseg.config.methods.base import Photometry, SemiSupervisedSettings
from semiseg.config.settings import NonNegative, Share


@dataclass(frozen=True, kw_only=True)
class AugSegSettings(SemiSupervisedSettings):
    """The settings of `augseg`."""

    implementation: ClassVar[str] = "semiseg.methods.augseg:AugSeg"
    paper: ClassVar[str] = (
        'Zhao et al., "Augmentation Matters: A Simple-Yet-Effective Approach to '
        'Semi-Supervised Semantic Segmentation", CVPR 2023'
    )
    preferred_photometry: ClassVar[Photometry] = "random"

    confidence_threshold: Share = 0.95
    """The lowest confidence of a pseudo-label that the student learns from."""
    unsupervised_weight: NonNegative = 1.0
    """The weight of the loss on unlabeled images."""
    average_after: Share = 0.0
    """The share of the steps, at the start, in which the teacher is a copy of the student. After
    them it is the student's average."""
