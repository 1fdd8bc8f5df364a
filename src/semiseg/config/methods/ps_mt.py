"""The settings of `ps-mt` and of its preset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semiseg.config.methods.base import Photometry, SemiSupervisedSettings
from semiseg.config.settings import NonNegative, PositiveInt, Share


@dataclass(frozen=True, kw_only=True)
class PsMtSettings(SemiSupervisedSettings):
    """The settings of `ps-mt`."""

    implementation: ClassVar[str] = "semiseg.methods.ps_mt:PSMT"
    paper: ClassVar[str] = (
        'Liu et al., "Perturbed and Strict Mean Teachers for Semi-supervised Semantic '
        'Segmentation", CVPR 2022'
    )

    switch_every: Share = 0.025
    """The share of the steps after which the other teacher follows the student. During the warm-up
    both do."""
    top_classes: PositiveInt = 7
    """The teacher that rests counts in its most likely classes of each pixel only, in so many."""
    confidence_threshold: Share = 0.6
    """The lowest confidence of a pseudo-label that the student learns from. Those above count by
    their confidence."""
    unsupervised_weight: NonNegative = 1.0
    """The weight of the loss on unlabeled images, at the end of its rise."""
    ramp_up: Share = 0.15
    """The share of the steps over which that weight rises from 0, along half a cosine."""
    noise_length: NonNegative = 2.0
    """The length of the adversarial noise that is added to the decoder's map of each image (T-VAT);
    0 for none."""


@dataclass(frozen=True, kw_only=True)
class PsMtPaperSettings(PsMtSettings):
    """The settings of `ps-mt-paper`."""

    preferred_photometry: ClassVar[Photometry] = "strong"
