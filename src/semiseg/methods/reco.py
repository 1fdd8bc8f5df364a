"""`reco`: regional contrast (Liu et al., ICLR 2022, arXiv 2104.04465)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from semiseg.config.methods import RecoSettings
from semiseg.core.types import (
    IGNORE_INDEX,
    STRIDE,
    Inputs,
    Labeled,
    Losses,
    PseudoLabels,
    Step,
    Unlabeled,
)
from semiseg.losses.collaboration import indicator_of
from semiseg.losses.pseudo import share_weighted_loss
from semiseg.methods.mixed_views import class_mix, cut_mix, join, split
from semiseg.methods.prototypical import contrast, require_representation
from semiseg.methods.semi_supervised import SemiSupervised, logit_pseudo_labels
from semiseg.model.network import Network, flatten, upsample
from semiseg.model.prototypes import class_means, shrink_labels


class RecoTargets(NamedTuple):
    """The targets of the unlabeled images, map by map.

    Attributes:
        label: `(B, H, W)`, the pseudo-label; 255 in padding.
        confident: `(B, H, W)` bool, True where the confidence reaches `confidence_threshold`; False
            in padding.
        valid: `(B, H, W)` bool, False where there is padding.
        contrasted: `(B, h, w)`, the pseudo-label at stride 4; 255 where the confidence is below
            `valid_threshold`.
    """

    label: Tensor
    confident: Tensor
    valid: Tensor
    contrasted: Tensor


class ReCo(SemiSupervised):
    """Hard pixels are pulled to the mean of their class in the batch, away from other classes.

    Args:
        student: the network that learns. The constructor adds a representation head to it.
        settings: the method's own settings.
    """

    settings: RecoSettings

    def __init__(self, student: Network, settings: RecoSettings) -> None:
        student.add_representation_head(settings.representation_dim)
        super().__init__(student, settings)

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """`L = L_x + L_u + lambda L_r`; see `Method.compute`."""
        unlabeled = self.active_unlabeled(labeled, unlabeled, step)
        count, size = len(labeled.image), labeled.mask.shape[-2:]
        strong, targets = self._mix(unlabeled, self._targets(unlabeled), step)
        logits, representation = self._student(join(labeled.inputs, strong))
        labeled_logits, unlabeled_logits = split(logits, count)
        truth = shrink_labels(labeled.mask, *logits.shape[-2:])
        labels = torch.cat([truth, targets.contrasted])
        valid = labels != IGNORE_INDEX
        probability = indicator_of(logits.detach().float(), labels)
        hard = (probability < self.settings.hard_threshold) & valid
        contrastive, diagnostics = self._contrast(representation, labels, hard, step)
        terms = {
            "supervised": self.loss_on_labeled(labeled_logits, labeled.mask),
            "contrastive": self._contrast_weight(step) * contrastive,
        }
        diagnostics = {"hard": hard.sum() / valid.sum().clamp(min=1), **diagnostics}
        if len(strong.image):
            terms["unsupervised"] = share_weighted_loss(
                upsample(unlabeled_logits, size, size),
                targets.label,
                targets.confident,
                self.class_weights,
            )
            diagnostics["used"] = targets.confident.sum() / targets.valid.sum().clamp(min=1)
        return Losses(terms, diagnostics, {})

    @torch.no_grad()
    def pseudo_labels(self, weak: Tensor, valid: Tensor, step: Step) -> PseudoLabels:
        """See `Method.pseudo_labels`. The final ones are the sure ones, which are the weight."""
        logits = self.teacher(weak).logits
        return logit_pseudo_labels(logits, valid, self.settings.confidence_threshold)

    def _student(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """The student's logits and what the contrastive loss compares, at stride 4."""
        output = self.student(*inputs)
        return output.logits, require_representation(output.representation)

    def _contrast_weight(self, step: Step) -> float:
        """The weight of the contrastive loss at this step."""
        return self.settings.contrast_weight

    def _contrast(
        self, representation: Tensor, labels: Tensor, hard: Tensor, step: Step
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """`L_r` with the means of the classes in the batch, and what to log of it."""
        pixels = flatten(representation.detach())
        means, _ = class_means(pixels, labels.flatten(), self.student.classes)
        return contrast(representation, labels, hard, means, self.settings, step), {}

    @torch.no_grad()
    def _targets(self, unlabeled: Unlabeled) -> RecoTargets:
        """The teacher's labels of the weak view."""
        valid, batch = unlabeled.valid, len(unlabeled.weak)
        cells = [-(-side // STRIDE) for side in valid.shape[-2:]]
        logits = unlabeled.weak.new_zeros(batch, self.student.classes, *cells)
        if batch:  # not every network can compute an empty batch in eval mode
            logits = self.teacher(*unlabeled.weak_inputs).logits.float()
        fine = logit_pseudo_labels(logits, valid, self.settings.confidence_threshold)
        coarse = logits.argmax(dim=1)
        contrasted = indicator_of(logits, coarse) >= self.settings.valid_threshold
        contrasted &= shrink_labels(valid, *cells)
        return RecoTargets(
            label=fine.logit_label.masked_fill(~valid, IGNORE_INDEX),
            confident=fine.final != IGNORE_INDEX,
            valid=valid,
            contrasted=coarse.masked_fill(~contrasted, IGNORE_INDEX),
        )

    def _mix(
        self, unlabeled: Unlabeled, targets: RecoTargets, step: Step
    ) -> tuple[Inputs, RecoTargets]:
        """The strong view with a part of another image in each image, and its targets."""
        inputs, multiple = unlabeled.strong_inputs, self.student.stride
        if self.settings.mixing == "cutmix":
            strong, maps = cut_mix(step, inputs, *targets, multiple=multiple)
        else:
            classes = self.student.classes
            strong, maps = class_mix(
                step, inputs, targets.label, classes, *targets, multiple=multiple
            )
        return strong, RecoTargets(*maps)
