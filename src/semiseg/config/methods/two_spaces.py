"""The settings that `css` and `css-stored` share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from semiseg.config.methods.base import PrototypicalSettings
from semiseg.config.settings import NonNegative, Positive, PositiveInt, Share

ClassPrior: TypeAlias = Literal["loss", "uniform"]
ClassBalance: TypeAlias = Literal["labels", "none"]


@dataclass(frozen=True, kw_only=True)
class TwoSpacesSettings(PrototypicalSettings):
    """The settings of methods whose labels come from logit space and representation space.

    Equation numbers are those of the paper of CSS; see `docs/css.md`.
    """

    paper: ClassVar[str] = (
        'Wang et al., "Space Engage: Collaborative Space Supervision for Contrastive-based '
        'Semi-Supervised Semantic Segmentation", ICCV 2023, arXiv 2307.09755'
    )

    confidence_threshold: Share = 0.95
    """The lowest indicator of a pseudo-label that the student learns from (`delta_u`)."""
    valid_threshold: Share = 0.7
    """The lowest indicator of an unlabeled pixel that takes part in the contrastive loss
    (`delta_w`)."""
    hard_threshold: Share = 0.8
    """Pixels with a lower indicator are hard. The contrastive loss pulls hard pixels to their
    prototypes (`delta_s`)."""
    indicator_temperature: Positive = 0.1
    """The temperature of the similarity indicator (`tau_r`, Eq. 5). A lower one makes the
    representation space more certain; a higher one gives `class_prior` more weight."""
    temperature: Positive = 0.5
    """The temperature of the contrastive loss (`tau`, Eq. 9)."""
    anchors: PositiveInt = 256
    """The number of hard pixels that the contrastive loss draws for each class."""
    negatives: PositiveInt = 512
    """The number of pixels of other classes that each anchor is pushed away from."""
    contrast_weight: NonNegative = 0.1
    """The weight of the contrastive loss (`lambda_c`)."""
    class_prior: ClassPrior = "loss"
    """The class frequencies that the representation space assumes: those of the `loss` on labeled
    images (pixels times class weights; see `losses.collaboration.class_prior`), or equal ones
    (`uniform`), as in the paper. `ohem`, `dice` and `rare_crops` are not counted."""
