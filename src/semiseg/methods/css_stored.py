"""`css-stored`: CSS whose labels are stored before each stage, instead of made in each step.

The first stage is this method on labeled images only. Its model labels the unlabeled images once in
both spaces, and the next stage learns the labels on which both agree; see `training.stages`. So no
teacher runs in a step. Equation numbers are those of the paper of CSS; see `docs/css.md`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from semiseg.config.methods import CssStoredSettings
from semiseg.core.types import IGNORE_INDEX, Inputs, Labeled, Losses, Step, Unlabeled
from semiseg.losses.collaboration import indicator_of
from semiseg.methods.distill import stored_maps
from semiseg.methods.mixed_views import cut_mix, join
from semiseg.methods.two_spaces import TwoSpaces
from semiseg.model.network import Network
from semiseg.model.prototypes import shrink_labels


class StoredTargets(NamedTuple):
    """The strong views of a batch with their stored labels, mixed alike.

    Attributes:
        views: the views; none during the warm-up and without unlabeled images.
        label: `(B, H, W)` int64, 255 where there is padding or the two spaces disagreed.
        confidence: `(B, H, W)` float in 0..1.
        valid: `(B, H, W)` bool, False at padding.
    """

    views: Inputs
    label: Tensor
    confidence: Tensor
    valid: Tensor

    def above(self, threshold: float) -> Tensor:
        """The labels whose confidence reaches a threshold, 255 elsewhere."""
        return self.label.masked_fill(self.confidence < threshold, IGNORE_INDEX)


class CssStored(TwoSpaces):
    """The student learns stored labels, and distances between the classes, on mixed strong views.

    The average of the student (`teacher`) takes no part in the losses. It is validated, and may be
    released and label the images of the next stage.

    Args:
        student: the network that learns. The constructor adds a representation head to it.
        settings: the method's own settings.
    """

    settings: CssStoredSettings

    def __init__(self, student: Network, settings: CssStoredSettings) -> None:
        super().__init__(student, settings)
        if settings.class_balance == "labels":
            self.balance_classes()

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """`L = L_s + L_u + lambda_c L_c` (Sec. 3.4) with stored labels; see `Method.compute`.

        The prototypes are means of the student's representations, and the indicator in `L_c` is
        the similarity of these to the prototypes from before the step.

        Raises:
            TypeError: the unlabeled images come without stored labels.
        """
        targets = self._targets(self.active_unlabeled(labeled, unlabeled, step), step)
        output = self.student(*join(labeled.inputs, targets.views))
        size = output.logits.shape[-2:]
        valid_label = targets.above(self.settings.valid_threshold)
        labels = torch.cat([shrink_labels(labeled.mask, *size), shrink_labels(valid_label, *size)])
        with torch.no_grad():
            indicator = indicator_of(self._spaces(output).similarity, labels)
        state = self.new_prototypes(output.representation, labels)
        contrastive, hard = self._contrast(output, labels, indicator, state["prototypes"], step)
        terms = {"contrastive": self.settings.contrast_weight * contrastive}
        diagnostics = {"hard": hard}
        if not len(targets.label):
            terms["supervised"] = self.loss_on_labeled(output.logits, labeled.mask)
            return Losses(terms, diagnostics, state)
        label = targets.above(self.settings.confidence_threshold)
        weights, counts = self.balance(label)
        losses = self.losses_of_logits(
            output.logits,
            labeled,
            label,
            targets.valid,
            weights,
            self.settings.unsupervised_weight,
        )
        agree = (targets.label != IGNORE_INDEX).sum() / targets.valid.sum().clamp(min=1)
        diagnostics |= {**losses.diagnostics, "agree": agree}
        return Losses({**losses.terms, **terms}, diagnostics, state | counts)

    @torch.no_grad()
    def _targets(self, unlabeled: Unlabeled, step: Step) -> StoredTargets:
        """The strong views and their stored labels, mixed with one another."""
        if not len(unlabeled.weak):
            valid = unlabeled.valid
            return StoredTargets(unlabeled.strong_inputs, valid.long(), valid.float(), valid)
        label, confidence = stored_maps(unlabeled)
        label = label.masked_fill(~unlabeled.valid, IGNORE_INDEX)
        views, maps = cut_mix(
            step,
            unlabeled.strong_inputs,
            label,
            confidence,
            unlabeled.valid,
            multiple=self.student.stride,
        )
        return StoredTargets(views, *maps)
