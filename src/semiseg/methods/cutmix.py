"""CutMix with a teacher's pseudo-labels (French et al., 2020), in logit space alone."""

from __future__ import annotations

import torch
from torch import Tensor

from semiseg.core.types import IGNORE_INDEX, Labeled, Losses, Opinions, Step, Unlabeled
from semiseg.losses.pseudo import pseudo_label_loss
from semiseg.methods.base import require
from semiseg.methods.semi_supervised import SemiSupervised, cut_mix, logit_opinions
from semiseg.model.network import Network, upsample


class CutMix(SemiSupervised):
    """The teacher's confident labels of the weak view are taught on mixed strong views.

    Args:
        student: the network that learns.
        confidence_threshold: pixels with a lower confidence are not taught.
        unsupervised_weight: the weight of the unlabeled images.
        teacher_memory: how far the teacher's average looks back, as a share of all steps.
        supervised_warmup: share of the steps on labeled images alone, at the start.

    Raises:
        ConfigError: a setting is out of its range.
    """

    name = "cutmix"

    def __init__(
        self,
        student: Network,
        *,
        confidence_threshold: float = 0.95,
        unsupervised_weight: float = 1.0,
        teacher_memory: float = 0.03,
        supervised_warmup: float = 0.05,
    ) -> None:
        super().__init__(student, teacher_memory, supervised_warmup)
        require(unsupervised_weight >= 0, "unsupervised_weight", unsupervised_weight)
        self.confidence_threshold = confidence_threshold
        self.unsupervised_weight = unsupervised_weight

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """See `Method.compute`."""
        unlabeled = self.at_hand(labeled, unlabeled, step)
        count, size = len(labeled.image), labeled.mask.shape[-2:]
        if not len(unlabeled.weak):
            logits = upsample(self.student(labeled.image).logits, size, size)
            return Losses({"supervised": self.supervised_loss(logits, labeled.mask)}, {}, {})
        taught = self.opinions(unlabeled.weak, unlabeled.valid, step).final
        strong, label, valid = cut_mix(step, unlabeled.strong, taught, unlabeled.valid)
        logits = self.student(torch.cat([labeled.image, strong])).logits
        # Parted before they are enlarged: the gradient of a slice is as large as the whole.
        ours, theirs = (upsample(part, size, size) for part in logits.tensor_split([count]))
        unsupervised = pseudo_label_loss(theirs, label, valid, weights=self.class_weights)
        terms = {
            "supervised": self.supervised_loss(ours, labeled.mask),
            "unsupervised": self.unsupervised_weight * unsupervised,
        }
        share = (label != IGNORE_INDEX).sum() / valid.sum().clamp(min=1)
        return Losses(terms, {"taught": share}, {})

    @torch.no_grad()
    def opinions(self, weak: Tensor, valid: Tensor, step: Step) -> Opinions:
        """See `Method.opinions`."""
        return logit_opinions(self.teacher(weak).logits, valid, self.confidence_threshold)
