"""The parts that methods with a teacher share: warm-up, losses, ramps and pseudo-labels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from semiseg.config.methods import SemiSupervisedSettings
from semiseg.config.methods.css import Schedule
from semiseg.core.types import IGNORE_INDEX, Inputs, Labeled, Losses, PseudoLabels, Step, Unlabeled
from semiseg.losses.collaboration import indicator_of
from semiseg.losses.pseudo import (
    balanced_weights,
    count_labels,
    masked_quantiles,
    pixel_entropy,
    pseudo_label_loss,
)
from semiseg.methods.base import Method
from semiseg.methods.mixed_views import join, split
from semiseg.model.ema import Teacher
from semiseg.model.network import Network, upsample

COUNT_MEMORY = 0.97
"""How much of the pseudo-label counts stays after each micro batch: they span about 33 of them."""


class SemiSupervised(Method):
    """A student and its EMA teacher. The first steps use labeled images only.

    Args:
        student: the network that learns, with all its heads.
        settings: the method's own settings.

    Attributes:
        label_counts: `(C,)` float, the pseudo-labels of each class in the last batches, a decaying
            sum; None if pseudo-labels are not balanced.
    """

    settings: SemiSupervisedSettings
    label_counts: Tensor | None

    def __init__(self, student: Network, settings: SemiSupervisedSettings) -> None:
        super().__init__(student, settings)
        self.teacher: Teacher = Teacher(student, settings.teacher_memory)
        self.register_buffer("label_counts", None)

    def balance_classes(self) -> None:
        """Balance the classes of pseudo-labels from now on: see `balance`."""
        self.register_buffer("label_counts", torch.zeros(self.student.classes))

    def balance(self, pseudo_label: Tensor) -> tuple[Tensor | None, dict[str, Tensor]]:
        """The weights of the classes in the loss on pseudo-labels.

        Args:
            pseudo_label: `(B, H, W)` int64, the pseudo-labels of this batch; 255 where there is
                none.

        Returns:
            `(C,)` float, or None for 1; and the new `label_counts` for `Losses.state`. Without
            `balance_classes` these are the class weights, and there are no counts.
        """
        if self.label_counts is None or self.class_shares is None:
            return self.class_weights, {}
        counts = count_labels(pseudo_label, len(self.label_counts))
        counts = COUNT_MEMORY * self.label_counts + counts
        weights = balanced_weights(self.class_shares, counts, self.class_weights)
        return weights, {"label_counts": counts}

    def losses_on_labels(
        self,
        labeled: Labeled,
        views: Inputs,
        label: Tensor,
        valid: Tensor,
        weights: Tensor | None,
        unsupervised_weight: float,
    ) -> Losses:
        """The losses of labeled images and of views with pseudo-labels, in one forward pass.

        Args:
            labeled: the labeled images.
            views: the views that the student sees.
            label: `(B, H, W)` int64, their pseudo-labels; 255 where there is none.
            valid: `(B, H, W)` bool, False at padding.
            weights: `(C,)` float, the weights of the classes of pseudo-labels, or None for 1.
            unsupervised_weight: the weight of the loss on the views.

        Returns:
            The terms `supervised` and `unsupervised`, and the share of pixels that are `used`.
        """
        logits = self.student(*join(labeled.inputs, views)).logits
        return self.losses_of_logits(logits, labeled, label, valid, weights, unsupervised_weight)

    def losses_of_logits(
        self,
        logits: Tensor,
        labeled: Labeled,
        label: Tensor,
        valid: Tensor,
        weights: Tensor | None,
        unsupervised_weight: float,
    ) -> Losses:
        """The same losses, for methods that need more than the logits of the student.

        Args:
            logits: `(L + B, C, h, w)`, of the labeled images, then of the views, at stride 4.
            labeled: the `L` labeled images.
            label: see `losses_on_labels`, as for all that follow.
            valid: the pixels that are no padding.
            weights: the weights of the classes.
            unsupervised_weight: the weight of the loss on the views.
        """
        labeled_logits, unlabeled_logits = split(logits, len(labeled.image))
        size = label.shape[-2:]
        fine = upsample(unlabeled_logits, size, size)
        terms = {
            "supervised": self.loss_on_labeled(labeled_logits, labeled.mask),
            "unsupervised": unsupervised_weight
            * pseudo_label_loss(fine, label, valid, weights=weights),
        }
        share = (label != IGNORE_INDEX).sum() / valid.sum().clamp(min=1)
        return Losses(terms, {"used": share}, {})

    def active_unlabeled(
        self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step
    ) -> Unlabeled:
        """See the function `active_unlabeled`."""
        return active_unlabeled(labeled, unlabeled, step, self.settings.supervised_warmup)


def active_unlabeled(
    labeled: Labeled, unlabeled: Unlabeled | None, step: Step, warmup: float
) -> Unlabeled:
    """The unlabeled images of this step: an empty batch during the warm-up.

    Args:
        labeled: the labeled images.
        unlabeled: the unlabeled images, or None if there are none.
        step: the step of the training.
        warmup: the share of the steps, at the start, that use labeled images only.
    """
    if unlabeled is None or step.share < warmup:
        image, features = labeled.image[:0], tuple(f[:0] for f in labeled.features)
        return Unlabeled(image, image, labeled.mask[:0] != IGNORE_INDEX, features, features)
    return unlabeled


@torch.no_grad()
def predict(network: Network, inputs: Inputs) -> Tensor:
    """The logits of a network that learns, in eval mode and without a graph.

    In eval mode the answer for an image does not depend on the batch, and the statistics of batch
    norm stay as they are. The network is in its earlier mode afterwards.

    Args:
        network: the network.
        inputs: `B` images `(B, N, H, W)`.

    Returns:
        `(B, C, h, w)`, at stride 4.
    """
    was_training = network.training
    network.eval()
    logits: Tensor = network(*inputs).logits
    network.train(was_training)
    return logits


def schedule_factor(schedule: Schedule, share: float) -> float:
    """The factor on a weight at a share of its schedule.

    Args:
        schedule: `constant` is 1. `ramp_down` is `exp(-5 share^2)`: it falls from 1 to 0.007 and
            is 0 after the end. `ramp_up` is `exp(-5 (1 - share)^2)`: it rises from 0.007 to 1 and
            is 1 after the end.
        share: 0 at the start, 1 at the end.
    """
    if schedule == "ramp_down":
        return math.exp(-5 * share**2) if share < 1 else 0.0
    return math.exp(-5 * (1 - min(1.0, share)) ** 2) if schedule == "ramp_up" else 1.0


def logit_pseudo_labels(logits: Tensor, valid: Tensor, threshold: float) -> PseudoLabels:
    """The pseudo-labels of a method without representation space.

    Args:
        logits: `(B, C, h, w)`, the teacher's logits of the weak view, at stride 4.
        valid: `(B, H, W)` bool, False where there is padding.
        threshold: the lowest confidence of a pseudo-label.
    """
    size = valid.shape[-2:]
    fine = upsample(logits.float(), size, size)  # half precision rounds 0.97 to 0.9688
    label = fine.argmax(dim=1)
    confidence = indicator_of(fine, label)
    final = label.masked_fill(~valid | (confidence < threshold), IGNORE_INDEX)
    return PseudoLabels(label, confidence, None, None, final)


def entropy_pseudo_labels(logits: Tensor, valid: Tensor, share: float) -> PseudoLabels:
    """The pseudo-labels of the pixels with the lowest entropy.

    Args:
        logits: `(B, C, h, w)`, the teacher's logits of the weak view, at stride 4.
        valid: `(B, H, W)` bool, False where there is padding.
        share: the share of the valid pixels of the batch that have a pseudo-label.
    """
    size = valid.shape[-2:]
    fine = upsample(logits, size, size)
    label, entropy = fine.argmax(dim=1), pixel_entropy(fine)
    kept = valid & (entropy < masked_quantiles(entropy, valid, (share,)))
    final = label.masked_fill(~kept, IGNORE_INDEX)
    return PseudoLabels(label, indicator_of(fine, label), None, None, final)
