"""The settings of `unimatch`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semiseg.config.methods.base import Photometry
from semiseg.config.methods.fixmatch import FixMatchSettings
from semiseg.config.settings import NonNegative, PositiveInt


@dataclass(frozen=True, kw_only=True)
class UniMatchSettings(FixMatchSettings):
    """The settings of `unimatch`."""

    implementation: ClassVar[str] = "semiseg.methods.unimatch:UniMatch"
    paper: ClassVar[str] = (
        'Yang et al., "Revisiting Weak-to-Strong Consistency in Semi-Supervised Semantic '
        'Segmentation", CVPR 2023, arXiv 2208.09910'
    )

    strong_views: PositiveInt = 2
    """The number of strong views of an unlabeled image, each with its own colors and box. Each view
    makes a step longer."""
    unsupervised_weight: NonNegative = 0.5
    """The weight of the loss on strong views, which is a mean over the views."""
    feature_weight: NonNegative = 0.5
    """The weight of the loss on weak views that have lost half of their feature channels. 0 leaves
    these predictions out."""


@dataclass(frozen=True, kw_only=True)
class UniMatchPaperSettings(UniMatchSettings):
    """The settings of `unimatch-paper`."""

    preferred_photometry: ClassVar[Photometry] = "strong"
