"""The settings of `fixmatch`, which the other methods of its family extend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from semiseg.config.methods.base import Photometry, SemiSupervisedSettings
from semiseg.config.settings import NonNegative, Share

Box: TypeAlias = Literal["half", "small"]
LabelSource: TypeAlias = Literal["student", "teacher"]


@dataclass(frozen=True, kw_only=True)
class FixMatchSettings(SemiSupervisedSettings):
    """The settings of `fixmatch`."""

    implementation: ClassVar[str] = "semiseg.methods.fixmatch:FixMatch"
    paper: ClassVar[str] = (
        'Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and '
        'Confidence", NeurIPS 2020, arXiv 2001.07685'
    )

    confidence_threshold: Share = 0.95
    """The lowest confidence of a pseudo-label that the student learns from."""
    labels_from: LabelSource = "student"
    """The network that labels the weak views: the `student` itself, or its average, the `teacher`.
    The student labels in train mode, in one batch with the labeled images."""
    box: Box = "half"
    """The box of another image in each strong view: of `half` the area in every image, or a `small`
    one of 2 to 40 % of the area in half of the images."""
    supervised_weight: NonNegative = 1.0
    """The weight of the loss on labeled images."""
    unsupervised_weight: NonNegative = 1.0
    """The weight of the loss on strong views, which is a mean over the views."""

    @property
    def feature_weight(self) -> float:
        """The weight of the loss on weak views without half of their channels; none here."""
        return 0.0


@dataclass(frozen=True, kw_only=True)
class FixMatchPaperSettings(FixMatchSettings):
    """The settings of `fixmatch-paper`."""

    preferred_photometry: ClassVar[Photometry] = "strong"
