"""`cutmix`: CutMix with the pseudo-labels of a teacher (French et al., 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from semiseg.config.methods import CutMixSettings
from semiseg.core.types import Inputs, Labeled, Losses, PseudoLabels, Step, Unlabeled
from semiseg.methods.mixed_views import cut_mix
from semiseg.methods.semi_supervised import SemiSupervised, logit_pseudo_labels


class CutMix(SemiSupervised):
    """The student learns the teacher's confident labels of weak views on mixed strong views."""

    settings: CutMixSettings

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """See `Method.compute`."""
        unlabeled = self.active_unlabeled(labeled, unlabeled, step)
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
        weight = self.settings.unsupervised_weight
        return self.losses_on_labels(labeled, strong, label, valid, self.class_weights, weight)

    @torch.no_grad()
    def pseudo_labels(self, weak: Tensor, valid: Tensor, step: Step) -> PseudoLabels:
        """See `Method.pseudo_labels`."""
        return self._pseudo_labels(Inputs(weak), valid)

    @torch.no_grad()
    def _pseudo_labels(self, weak: Inputs, valid: Tensor) -> PseudoLabels:
        """The pseudo-labels of images whose frozen features may be there already."""
        logits = self.teacher(*weak).logits
        return logit_pseudo_labels(logits, valid, self.settings.confidence_threshold)
