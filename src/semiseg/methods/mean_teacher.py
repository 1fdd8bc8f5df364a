"""`mean_teacher`: Mean Teacher (Tarvainen and Valpola, 2017), pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from semiseg.config.methods import MeanTeacherSettings
from semiseg.core.types import Labeled, Losses, PseudoLabels, Step, Unlabeled
from semiseg.losses.pseudo import consistency_loss
from semiseg.methods.mixed_views import join
from semiseg.methods.semi_supervised import SemiSupervised, logit_pseudo_labels, schedule_factor
from semiseg.model.prototypes import shrink_labels


class MeanTeacher(SemiSupervised):
    """The student's probabilities follow the teacher's on unlabeled images."""

    settings: MeanTeacherSettings

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """See `Method.compute`."""
        unlabeled = self.active_unlabeled(labeled, unlabeled, step)
        count = len(labeled.image)
        student = self.student(*join(labeled.inputs, unlabeled.strong_inputs)).logits
        supervised = self.loss_on_labeled(student[:count], labeled.mask)
        if not len(unlabeled.weak):
            return Losses({"supervised": supervised}, {}, {})
        teacher = self.teacher(*unlabeled.weak_inputs).logits
        # At stride 4, where both networks predict: upsampling them would add no information.
        valid = shrink_labels(unlabeled.valid, *teacher.shape[-2:])
        consistency = consistency_loss(student[count:].float(), teacher.float(), valid)
        ramp = schedule_factor("ramp_up", self._ramp_progress(step))
        weight = self.settings.consistency_weight * ramp
        terms = {"supervised": supervised, "consistency": weight * consistency}
        return Losses(terms, {"distance": consistency.detach()}, {})

    def _ramp_progress(self, step: Step) -> float:
        """The progress of the weight's ramp-up: 0 at the start, at least 1 after its end."""
        return step.share / self.settings.ramp_up if self.settings.ramp_up else 1.0

    @torch.no_grad()
    def pseudo_labels(self, weak: Tensor, valid: Tensor, step: Step) -> PseudoLabels:
        """See `Method.pseudo_labels`; every pixel that is not padding has one."""
        return logit_pseudo_labels(self.teacher(weak).logits, valid, 0.0)
