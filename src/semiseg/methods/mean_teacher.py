"""Mean Teacher (Tarvainen and Valpola, 2017), pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from semiseg.core.types import Labeled, Losses, Opinions, Step, Unlabeled
from semiseg.losses.pseudo import consistency_loss
from semiseg.methods.base import require
from semiseg.methods.semi_supervised import SemiSupervised, logit_opinions, scheduled
from semiseg.model.network import Network, upsample
from semiseg.model.prototypes import shrink_labels


class MeanTeacher(SemiSupervised):
    """The student's probabilities follow the teacher's on unlabeled images.

    Args:
        student: the network that learns.
        consistency_weight: the weight of the squared difference, once it is ramped up.
        ramp_up: the share of the steps over which that weight rises, as `exp(-5 (1 - t)^2)`.
        teacher_memory: how far the teacher's average looks back, as a share of all steps.
        supervised_warmup: share of the steps on labeled images alone, at the start.

    Raises:
        ConfigError: a setting is out of its range.
    """

    name = "mean_teacher"

    def __init__(
        self,
        student: Network,
        *,
        consistency_weight: float = 5.0,
        ramp_up: float = 0.4,
        teacher_memory: float = 0.03,
        supervised_warmup: float = 0.05,
    ) -> None:
        super().__init__(student, teacher_memory, supervised_warmup)
        require(consistency_weight >= 0, "consistency_weight", consistency_weight)
        require(0 <= ramp_up <= 1, "ramp_up", ramp_up)
        self.consistency_weight, self.ramp_up = consistency_weight, ramp_up

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """See `Method.compute`."""
        unlabeled = self.at_hand(labeled, unlabeled, step)
        count, size = len(labeled.image), labeled.mask.shape[-2:]
        student = self.student(torch.cat([labeled.image, unlabeled.strong])).logits
        supervised = self.supervised_loss(upsample(student[:count], size, size), labeled.mask)
        if not len(unlabeled.weak):
            return Losses({"supervised": supervised}, {}, {})
        taught = self.teacher(unlabeled.weak).logits
        # At stride 4, where both networks speak: enlarging the two would add nothing.
        valid = shrink_labels(unlabeled.valid, *taught.shape[-2:])
        consistency = consistency_loss(student[count:].float(), taught.float(), valid)
        weight = self.consistency_weight * scheduled("ramp_up", self._risen(step))
        terms = {"supervised": supervised, "consistency": weight * consistency}
        return Losses(terms, {"distance": consistency.detach()}, {})

    def _risen(self, step: Step) -> float:
        """How far the weight's rise has come, from 0; 1 and more after it."""
        return step.share / self.ramp_up if self.ramp_up else 1.0

    @torch.no_grad()
    def opinions(self, weak: Tensor, valid: Tensor, step: Step) -> Opinions:
        """See `Method.opinions`; every pixel that shows image is taught."""
        return logit_opinions(self.teacher(weak).logits, valid, 0.0)
