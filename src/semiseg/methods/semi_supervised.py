"""What the methods with a teacher share: its memory, the warm-up, CutMix, ramps, its opinions."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

from semiseg.augment.mixing import draw_boxes, draw_partners, paste
from semiseg.core.types import IGNORE_INDEX, Labeled, Opinions, Step, Unlabeled
from semiseg.losses.collaboration import indicator_of
from semiseg.methods.base import Method, require
from semiseg.model.ema import Teacher
from semiseg.model.network import Network, upsample
from semiseg.model.prototypes import shrink_labels

Schedule = Literal["constant", "ramp_down", "ramp_up"]


class SemiSupervised(Method):
    """A student and the teacher that follows it, after a start on labeled images alone.

    Args:
        student: the network that learns, with all its heads.
        teacher_memory: how far the teacher's average looks back, as a share of all steps.
        supervised_warmup: share of the steps on labeled images alone, at the start.

    Raises:
        ConfigError: a setting is out of its range.
    """

    uses_unlabeled = True

    def __init__(self, student: Network, teacher_memory: float, supervised_warmup: float) -> None:
        super().__init__(student)
        require(0 <= teacher_memory <= 1, "teacher_memory", teacher_memory)
        require(0 <= supervised_warmup <= 1, "supervised_warmup", supervised_warmup)
        self.supervised_warmup = supervised_warmup
        self.teacher: Teacher = Teacher(student, teacher_memory)

    def at_hand(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Unlabeled:
        """The unlabeled images to learn from: an empty batch during the warm-up."""
        if unlabeled is None or step.share < self.supervised_warmup:
            nothing = labeled.image[:0]
            return Unlabeled(nothing, nothing, labeled.mask[:0] != IGNORE_INDEX)
        return unlabeled


def cut_mix(step: Step, image: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
    """Each image gets a box of another one, with everything that belongs to it.

    Args:
        step: its key draws the boxes and the partners.
        image: `(B, 3, H, W)`.
        maps: `(B, h, w)` each, at the image's resolution or a coarser one.

    Returns:
        The mixed image and the mixed maps.
    """
    generator = step.key.child("mix").torch()
    batch, (height, width) = len(image), image.shape[-2:]
    partners = draw_partners(batch, generator).to(image.device)
    boxes = draw_boxes(batch, height, width, generator).to(image.device)
    return tuple(
        paste(m, partners, shrink_labels(boxes, m.shape[-2], m.shape[-1])) for m in (image, *maps)
    )


def scheduled(schedule: Schedule, share: float) -> float:
    """The factor on a weight at a share of its time.

    Args:
        schedule: `constant` is 1; `ramp_down` is `exp(-5 share^2)`, from 1 to 0.007 at the end and
            0 from there on; `ramp_up` is `exp(-5 (1 - share)^2)`, from 0.007 to 1 at the end and
            from there on.
        share: 0 at the start, 1 at the end.
    """
    if schedule == "ramp_down":
        return math.exp(-5 * share**2) if share < 1 else 0.0
    return math.exp(-5 * (1 - min(1.0, share)) ** 2) if schedule == "ramp_up" else 1.0


def logit_opinions(logits: Tensor, valid: Tensor, threshold: float) -> Opinions:
    """The pseudo-labels of a method that has logit space alone.

    Args:
        logits: `(B, C, h, w)`, the teacher's on the weak view, at stride 4.
        valid: `(B, H, W)` bool, False where there is padding.
        threshold: pixels with a lower confidence are not taught.
    """
    size = valid.shape[-2:]
    fine = upsample(logits.float(), size, size)  # in half, 0.97 is rounded to 0.9688
    label = fine.argmax(dim=1)
    confidence = indicator_of(fine, label)
    final = label.masked_fill(~valid | (confidence < threshold), IGNORE_INDEX)
    return Opinions(label, confidence, None, None, final)
