"""`cutmix`: CutMix with the pseudo-labels of a teacher (French et al., 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from semiseg.config.methods import CutMixSettings
from semiseg.core.types import IGNORE_INDEX, Inputs, Labeled, Losses, PseudoLabels, Step, Unlabeled
from semiseg.losses.pseudo import pseudo_label_loss
from semiseg.methods.semi_supervised import (
    SemiSupervised,
    cut_mix,
    join,
    logit_pseudo_labels,
    split,
)
from semiseg.model.network import upsample


class CutMix(SemiSupervised):
    """The student learns the teacher's confident labels of weak views on mixed strong views."""

    settings: CutMixSettings

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """See `Method.compute`."""
        unlabeled = self.active_unlabeled(labeled, unlabeled, step)
        count, size = len(labeled.image), labeled.mask.shape[-2:]
        if not len(unlabeled.weak):
            return self.labeled_losses(labeled)
        pseudo_label = self._pseudo_labels(unlabeled.weak_inputs, unlabeled.valid).final
        strong, (label, valid) = cut_mix(
            step,
            unlabeled.strong_inputs,
            pseudo_label,
            unlabeled.valid,
            multiple=self.student.stride,
        )
        logits = self.student(*join(labeled.inputs, strong)).logits
        labeled_logits, unlabeled_logits = split(logits, count)
        fine = upsample(unlabeled_logits, size, size)
        unsupervised = pseudo_label_loss(fine, label, valid, weights=self.class_weights)
        terms = {
            "supervised": self.loss_on_labeled(labeled_logits, labeled.mask),
            "unsupervised": self.settings.unsupervised_weight * unsupervised,
        }
        share = (label != IGNORE_INDEX).sum() / valid.sum().clamp(min=1)
        return Losses(terms, {"used": share}, {})

    @torch.no_grad()
    def pseudo_labels(self, weak: Tensor, valid: Tensor, step: Step) -> PseudoLabels:
        """See `Method.pseudo_labels`."""
        return self._pseudo_labels(Inputs(weak), valid)

    @torch.no_grad()
    def _pseudo_labels(self, weak: Inputs, valid: Tensor) -> PseudoLabels:
        """The pseudo-labels of images whose frozen features may be there already."""
        logits = self.teacher(*weak).logits
        return logit_pseudo_labels(logits, valid, self.settings.confidence_threshold)
