"""The settings of `reco`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from semiseg.config.methods.base import SemiSupervisedSettings
from semiseg.config.settings import NonNegative, Positive, PositiveInt, Share

Mixing: TypeAlias = Literal["classmix", "cutmix"]


@dataclass(frozen=True, kw_only=True)
class RecoSettings(SemiSupervisedSettings):
    """The settings of `reco`."""

    implementation: ClassVar[str] = "semiseg.methods.reco:ReCo"
    paper: ClassVar[str] = (
        'Liu, Zhi, Johns and Davison, "Bootstrapping Semantic Segmentation with Regional '
        'Contrast", ICLR 2022, arXiv 2104.04465'
    )

    representation_dim: PositiveInt = 64
    """The channels of the representation head (`D`)."""
    mixing: Mixing = "classmix"
    """What is pasted into each unlabeled image: the pixels of half the classes of another image
    (`classmix`), or a box of half the area (`cutmix`)."""
    confidence_threshold: Share = 0.95
    """The lowest confidence of a sure pixel. The share of sure pixels in an image is the weight of
    all its pseudo-labels."""
    valid_threshold: Share = 0.7
    """The lowest confidence of an unlabeled pixel that takes part in the contrastive loss."""
    hard_threshold: Share = 0.97
    """Pixels are hard if the student gives their class a lower probability. The contrastive loss
    pulls hard pixels to the mean of their class."""
    temperature: Positive = 0.5
    """The temperature of the contrastive loss."""
    anchors: PositiveInt = 64
    """The number of hard pixels that the contrastive loss draws for each class."""
    negatives: PositiveInt = 64
    """The number of pixels of other classes that each anchor is pushed away from."""
    contrast_weight: NonNegative = 0.1
    """The weight of the contrastive loss."""
