"""The settings that methods with stored labels share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semiseg.config.methods.base import SemiSupervisedSettings
from semiseg.config.methods.css import ClassBalance
from semiseg.config.settings import NonNegative, Share


@dataclass(frozen=True, kw_only=True)
class StoredLabelSettings(SemiSupervisedSettings):
    """The settings of methods that learn labels which were stored before the training."""

    uses_stored_labels: ClassVar[bool] = True

    confidence_threshold: Share = 0.5
    """The lowest confidence of a stored label that the student learns from. Labels on which the two
    spaces of the teacher disagree are never used."""
    class_balance: ClassBalance = "labels"
    """`labels` weighs stored labels so that each class counts about as much as in the loss on
    labeled images; see `losses.pseudo.balanced_weights`. `none` uses the class weights only."""
    unsupervised_weight: NonNegative = 1.0
    """The weight of the loss on unlabeled images."""
    teacher_memory: Share = 0.03
    """How far back the average of the student reaches, as a share of all steps. The average teaches
    nothing here; the training releases it if it is better than the student."""
    supervised_warmup: Share = 0.0
    """The share of the steps, at the start, that use labeled images only."""
