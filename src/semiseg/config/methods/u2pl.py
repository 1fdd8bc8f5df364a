"""The settings of `u2pl`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from semiseg.config.methods.base import SemiSupervisedSettings
from semiseg.config.settings import NonNegative, Positive, PositiveInt, Share

AnchorPixels: TypeAlias = Literal["complement", "program"]
KeptMean: TypeAlias = Literal["kept", "program"]


@dataclass(frozen=True, kw_only=True)
class U2plSettings(SemiSupervisedSettings):
    """The settings of `u2pl`."""

    implementation: ClassVar[str] = "semiseg.methods.u2pl:U2PL"
    paper: ClassVar[str] = (
        'Wang et al., "Semi-Supervised Semantic Segmentation Using Unreliable Pseudo-Labels", '
        "CVPR 2022, arXiv 2203.03884"
    )

    representation_dim: PositiveInt = 64
    """The channels of the representation head (`D`)."""
    unreliable_share: Share = 0.2
    """The share of the unlabeled pixels, those with the highest entropy, that are not used at the
    start. It falls to 0 over the training."""
    unsupervised_mean: KeptMean = "kept"
    """The mean of the loss on unlabeled images: over the pixels that are `kept`, or as in the
    authors' `program`, where it is also divided by the share of these pixels."""
    mix_probability: Share = 1.0
    """The probability that a step pastes a box of another image into each unlabeled image."""
    anchor_pixels: AnchorPixels = "complement"
    """The unlabeled pixels that may be anchors: all that are not unreliable (`complement`), or as
    in the authors' `program` those with the lowest entropy, as many as are unreliable."""
    anchor_confidence: Share = 0.3
    """Anchors are pixels to whose class the teacher gives a higher probability."""
    low_rank: PositiveInt = 3
    """How many classes count as likely for a pixel, by the teacher's probabilities. An unreliable
    pixel is a negative of the classes that are not likely, a labeled one of the likely classes
    that are wrong. With few classes, it is at most the number of classes less 1."""
    bank_size: PositiveInt = 2000
    """The number of negatives that are kept for each class from step to step."""
    temperature: Positive = 0.5
    """The temperature of the contrastive loss."""
    anchors: PositiveInt = 64
    """The number of anchors that the contrastive loss draws for each class."""
    negatives: PositiveInt = 50
    """The number of negatives that each anchor is pushed away from."""
    contrast_weight: NonNegative = 0.1
    """The weight of the contrastive loss."""
