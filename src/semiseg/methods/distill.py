"""`distill`: a student learns the labels that a teacher has stored before the training.

The teacher may be any model or a folder of masks; see `training.labeling`. No other network runs in
a step, so a step costs less than that of a method with a teacher.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semiseg.config.methods import StoredLabelSettings
from semiseg.core.types import IGNORE_INDEX, Inputs, Labeled, Losses, Step, Unlabeled
from semiseg.methods.mixed_views import cut_mix
from semiseg.methods.semi_supervised import SemiSupervised
from semiseg.model.network import Network


class Distill(SemiSupervised):
    """The student learns confident stored labels on mixed strong views.

    The average of the student (`teacher`) takes no part in the losses. It is validated and may be
    released, as in the other methods.

    Args:
        student: the network that learns.
        settings: the method's own settings.
    """

    settings: StoredLabelSettings

    def __init__(self, student: Network, settings: StoredLabelSettings) -> None:
        super().__init__(student, settings)
        if settings.class_balance == "labels":
            self.balance_classes()

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """See `Method.compute`.

        Raises:
            TypeError: the unlabeled images come without stored labels.
        """
        if unlabeled is None or step.share < self.settings.supervised_warmup:
            return self.labeled_losses(labeled)
        strong, label, valid = self.changed_views(unlabeled, step)
        weights, state = self.balance(label)
        weight = self.settings.unsupervised_weight
        losses = self.losses_on_labels(labeled, strong, label, valid, weights, weight)
        return losses._replace(state=state)

    def changed_views(self, unlabeled: Unlabeled, step: Step) -> tuple[Inputs, Tensor, Tensor]:
        """The strong views as the student sees them, mixed with one another.

        Returns:
            The views; `(B, H, W)` int64, their labels; and `(B, H, W)` bool, the pixels that count.
        """
        strong, (label, valid) = cut_mix(
            step,
            unlabeled.strong_inputs,
            self._kept_labels(unlabeled),
            unlabeled.valid,
            multiple=self.student.stride,
        )
        return strong, label, valid

    @torch.no_grad()
    def _kept_labels(self, unlabeled: Unlabeled) -> Tensor:
        """The stored labels, 255 at padding and where the confidence is low."""
        label, confidence = stored_maps(unlabeled)
        low = confidence < self.settings.confidence_threshold
        return label.masked_fill(low | ~unlabeled.valid, IGNORE_INDEX)


def stored_maps(unlabeled: Unlabeled) -> tuple[Tensor, Tensor]:
    """The stored labels of unlabeled images and their confidences, `(B, H, W)` each.

    Raises:
        TypeError: the images have none.
    """
    if unlabeled.label is None or unlabeled.confidence is None:
        raise TypeError("the unlabeled images have no stored labels")
    return unlabeled.label, unlabeled.confidence
