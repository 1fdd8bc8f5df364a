"""The settings of `pcr` and of its preset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semiseg.config.methods.base import SemiSupervisedSettings
from semiseg.config.settings import NonNegative, Positive, PositiveInt, Share


@dataclass(frozen=True, kw_only=True)
class PcrSettings(SemiSupervisedSettings):
    """The settings of `pcr`."""

    implementation: ClassVar[str] = "semiseg.methods.pcr:PCR"
    paper: ClassVar[str] = (
        'Xu et al., "Semi-supervised Semantic Segmentation with Prototype-based Consistency '
        'Regularization", NeurIPS 2022'
    )

    prototypes_per_class: PositiveInt = 3
    """The number of prototypes of each class (`K`)."""
    prototype_momentum: Share = 0.99
    """How much of a prototype stays after each batch."""
    prototype_temperature: Positive = 0.1
    """The temperature of the prototypes' scores, which are cosines."""
    prototype_weight: NonNegative = 1.0
    """The weight of the two losses of the prototypes, on labeled and on unlabeled images."""
    grid: PositiveInt = 16
    """The prototypes see one random pixel of each cell of a grid with so many rows and columns."""
    confidence_threshold: Share = 0.8
    """The lowest confidence of a pseudo-label that the prototypes learn from."""
    kept_at_start: Share = 0.8
    """The share of the pixels that have a pseudo-label at the start, those with the lowest entropy.
    It rises to 1 at the end."""
    unsupervised_weight: NonNegative = 1.0
    """The weight of the classifier's loss on unlabeled images."""
