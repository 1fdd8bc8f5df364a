"""The settings of `cps`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from semiseg.config.methods.base import UnlabeledSettings
from semiseg.config.settings import NonNegative, Share

MixedBox: TypeAlias = Literal["several", "half", "none"]
LearnedView: TypeAlias = Literal["strong", "weak"]


@dataclass(frozen=True, kw_only=True)
class CpsSettings(UnlabeledSettings):
    """The settings of `cps`."""

    implementation: ClassVar[str] = "semiseg.methods.cps:CPS"
    paper: ClassVar[str] = (
        'Chen et al., "Semi-Supervised Semantic Segmentation with Cross Pseudo Supervision", '
        "CVPR 2021, arXiv 2106.01226"
    )

    box: MixedBox = "several"
    """The region of another image that is pasted into each unlabeled image (CutMix): `several`
    boxes, which cover a quarter to a half together; one box of `half` the area; or `none`."""
    learned_view: LearnedView = "strong"
    """The view of unlabeled images that the networks learn on: `strong` with changed colors, or
    `weak` without. They label the weak view."""
    confidence_threshold: Share = 0.0
    """The lowest confidence of a pseudo-label that the other network learns from. With 0, each
    pixel has one."""
    unsupervised_weight: NonNegative = 1.0
    """The weight of the loss of each network on unlabeled images. The paper has 1.5 without
    CutMix."""
