"""`ps-mt`: two teachers in turn, and noise that their heads find (Liu et al., CVPR 2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from semiseg.augment.mixing import draw_beta_boxes
from semiseg.config.methods.ps_mt import PsMtSettings
from semiseg.core.types import IGNORE_INDEX, Inputs, Labeled, Losses, PseudoLabels, Step, Unlabeled
from semiseg.losses.adversarial import adversarial_direction
from semiseg.losses.pseudo import confidence_weighted_loss
from semiseg.methods.mixed_views import cut_mix, join, split
from semiseg.methods.semi_supervised import SemiSupervised, logit_pseudo_labels
from semiseg.model.ema import Teacher
from semiseg.model.network import Network, upsample
from semiseg.model.release import Release


class PSMT(SemiSupervised):
    """Two teachers label together, and only one at a time follows the student.

    Args:
        student: the network that learns.
        settings: the method's own settings.

    Attributes:
        second_teacher: the other teacher. Both start as copies of the student.
    """

    settings: PsMtSettings

    def __init__(self, student: Network, settings: PsMtSettings) -> None:
        super().__init__(student, settings)
        self.second_teacher = Teacher(student, settings.teacher_memory)

    def networks(self) -> dict[str, Network]:
        """The student and both teachers, one of which is released."""
        return {**super().networks(), "second_teacher": self.second_teacher.network}

    @torch.no_grad()
    def start_from(self, release: Release, names: Sequence[str]) -> tuple[str, ...]:
        """See `Method.start_from`; both teachers start as the student does."""
        added = super().start_from(release, names)
        self.second_teacher.copy_from(self.student)
        return added

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """See `Method.compute`."""
        unlabeled = self.active_unlabeled(labeled, unlabeled, step)
        count, size = len(labeled.image), labeled.mask.shape[-2:]
        if not len(unlabeled.weak):
            return self.labeled_losses(labeled)
        labels = self._read(unlabeled.weak_inputs, unlabeled.valid, step)
        strong, (label, confidence, valid) = cut_mix(
            step,
            unlabeled.strong_inputs,
            labels.final,
            labels.confidence,
            unlabeled.valid,
            multiple=self.student.stride,
            draw=draw_beta_boxes,
        )
        inputs = join(labeled.inputs, strong)
        features = self.student.decode(self.student.encode(*inputs), size)
        if self.settings.noise_length:
            features = features + self._noise(features, step)
        logits = self.student.heads(features).logits
        labeled_logits, unlabeled_logits = split(logits, count)
        fine = upsample(unlabeled_logits, size, size)
        unsupervised = confidence_weighted_loss(fine, label, confidence, self.class_weights)
        weight = self.settings.unsupervised_weight * cosine_ramp(step.share, self.settings.ramp_up)
        terms = {
            "supervised": self.loss_on_labeled(labeled_logits, labeled.mask),
            "unsupervised": weight * unsupervised,
        }
        share = (label != IGNORE_INDEX).sum() / valid.sum().clamp(min=1)
        return Losses(terms, {"used": share}, {})

    def after_step(self, step: int, total: int) -> None:
        """Update both teachers during the warm-up, and the active one afterwards."""
        warmup, block = self._blocks(total)
        if step < warmup:
            self.teacher.update(self.student, step, total)
            self.second_teacher.update(self.student, step, total)
            return
        # The number of its own updates so far, so that a teacher's first one is a copy.
        own = warmup + (step - warmup) // (2 * block) * block + (step - warmup) % block
        active, _ = self._teachers(step, total)
        active.update(self.student, own, total)

    def _blocks(self, total: int) -> tuple[int, int]:
        """The steps of the warm-up, and those after which the active teacher changes."""
        warmup = math.ceil(self.settings.supervised_warmup * total)
        return warmup, max(1, round(self.settings.switch_every * total))

    def _teachers(self, step: int, total: int) -> tuple[Teacher, Teacher]:
        """The teacher that follows the student at a step, and the one that rests."""
        warmup, block = self._blocks(total)
        if max(0, step - warmup) // block % 2:
            return self.second_teacher, self.teacher
        return self.teacher, self.second_teacher

    @torch.no_grad()
    def pseudo_labels(self, weak: Tensor, valid: Tensor, step: Step) -> PseudoLabels:
        """See `Method.pseudo_labels`: the labels of both teachers together."""
        return self._read(Inputs(weak), valid, step)

    @torch.no_grad()
    def _read(self, weak: Inputs, valid: Tensor, step: Step) -> PseudoLabels:
        """The pseudo-labels of images whose frozen features may be there already."""
        active, resting = self._teachers(step.number, step.total)
        logits = ensemble(active(*weak).logits, resting(*weak).logits, self.settings.top_classes)
        return logit_pseudo_labels(logits, valid, self.settings.confidence_threshold)

    def _noise(self, features: Tensor, step: Step) -> Tensor:
        """The noise that changes the teachers' answer to the student's map the most (T-VAT).

        Args:
            features: `(B, D, h, w)`, the map of the student's decoder.
            step: the step, whose key draws.

        Returns:
            `(B, D, h, w)` without a graph, of the length of the settings for each image.
        """
        networks = [self.teacher.network, self.second_teacher.network]

        def answer(maps: Tensor) -> Tensor:
            first, second = (network.heads(maps).logits for network in networks)
            return (first + second) / 2

        with torch.no_grad():
            target = answer(features)
        noise = adversarial_direction(
            answer,
            features,
            target,
            step.key.child("noise").torch(),
            length=self.settings.noise_length,
        )
        return noise.to(features.dtype)


def ensemble(active: Tensor, resting: Tensor, top: int) -> Tensor:
    """The mean of two teachers' logits; the resting one counts in its most likely classes only.

    In the other classes it takes over the logits of the active teacher.

    Args:
        active: `(B, C, h, w)`, the logits of the teacher that follows the student.
        resting: `(B, C, h, w)`, those of the other one.
        top: how many classes of a pixel the resting teacher decides.

    Returns:
        `(B, C, h, w)` in single precision.
    """
    active, resting = active.float(), resting.float()
    if top < resting.shape[1]:
        likely = torch.zeros_like(resting, dtype=torch.bool)
        likely = likely.scatter(1, resting.topk(top, dim=1).indices, True)
        resting = torch.where(likely, resting, active)
    return (active + resting) / 2


def cosine_ramp(share: float, end: float) -> float:
    """A factor that rises along half a cosine, from 0 at share 0 to 1 at share `end`."""
    return (1 - math.cos(math.pi * min(1.0, share / end))) / 2 if end else 1.0
