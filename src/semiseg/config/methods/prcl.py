"""The settings of `prcl`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from semiseg.config.methods.css import Schedule
from semiseg.config.methods.reco import RecoSettings
from semiseg.config.settings import Positive, Share

Reduction: TypeAlias = Literal["sum", "mean"]
PrototypePrecision: TypeAlias = Literal["mean", "sum"]


@dataclass(frozen=True, kw_only=True)
class PrclSettings(RecoSettings):
    """The settings of `prcl`: those of `reco`, and those of the variances."""

    implementation: ClassVar[str] = "semiseg.methods.prcl:PRCL"
    paper: ClassVar[str] = (
        'Xie et al., "Boosting Semi-Supervised Semantic Segmentation with Probabilistic '
        'Representations", AAAI 2023, arXiv 2210.14670'
    )

    hard_threshold: Share = 0.8
    """Pixels are hard if the student gives their class a lower probability. The contrastive loss
    pulls hard pixels to the prototype of their class."""
    temperature: Positive = 1.0
    """The temperature of the contrastive loss. A low one lets the variances decide alone."""
    contrast_schedule: Schedule = "ramp_down"
    """How the weight of the contrastive loss changes at the share `t` of the steps: it is
    `constant`, falls (`ramp_down`, times `exp(-5 t^2)`) or rises (`ramp_up`, times
    `exp(-5 (1-t)^2)`)."""
    reduction: Reduction = "sum"
    """The similarity of two pixels is the `sum` over the dimensions of their representations, or
    the `mean`."""
    prototype_precision: PrototypePrecision = "mean"
    """The precision (the inverse of the variance) of a prototype is the `mean` of its pixels'
    precisions, or their `sum`. With the sum over thousands of pixels the variance is almost 0."""
    min_variance: Positive = 0.01
    """The floor of the variances. A lower one can make a training unstable."""
    variance_rate: Positive = 0.015625
    """The learning rate of the variance head, as a factor of the decoder's."""
