"""`augseg`: colors of random intensity and pasted labeled boxes (Zhao et al., CVPR 2023)."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from semiseg.augment.mixing import draw_beta_boxes
from semiseg.config.methods.augseg import AugSegSettings
from semiseg.core.types import IGNORE_INDEX, Inputs, Labeled, Losses, PseudoLabels, Step, Unlabeled
from semiseg.methods.mixed_views import join, paste_regions
from semiseg.methods.semi_supervised import SemiSupervised, logit_pseudo_labels
from semiseg.model.prototypes import shrink_labels

draw_labeled_boxes = partial(draw_beta_boxes, a=8, b=2)
"""The boxes of labeled images, a fifth of the image on average."""


class AugSeg(SemiSupervised):
    """Images of which the teacher is unsure get labeled boxes, before all are mixed.

    Colors of random intensity belong to the method too; they are a setting of the views
    (`--photometry random`), and this method prefers them.
    """

    settings: AugSegSettings

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """See `Method.compute`."""
        unlabeled = self.active_unlabeled(labeled, unlabeled, step)
        if not len(unlabeled.weak):
            return self.labeled_losses(labeled)
        with torch.no_grad():
            teacher = self.teacher(*unlabeled.weak_inputs).logits
        pseudo_label = self._read(teacher, unlabeled.valid).final
        confidence = image_confidence(teacher, unlabeled.valid)
        strong, (label, valid), injected = self._inject_and_mix(
            labeled, unlabeled, pseudo_label, confidence, step
        )
        weight = self.settings.unsupervised_weight
        losses = self.losses_on_labels(labeled, strong, label, valid, self.class_weights, weight)
        further = {"sure": confidence.mean(), "injected": injected}
        return losses._replace(diagnostics={**losses.diagnostics, **further})

    def _inject_and_mix(
        self,
        labeled: Labeled,
        unlabeled: Unlabeled,
        pseudo_label: Tensor,
        confidence: Tensor,
        step: Step,
    ) -> tuple[Inputs, tuple[Tensor, ...], Tensor]:
        """Paste twice: labeled boxes into the sources of the mixing, and sources into the images.

        The first paste changes the sources alone, so an image gets labeled pixels only through its
        partner, as in the authors' program.

        Args:
            labeled: the labeled images, of the size of the unlabeled ones.
            unlabeled: the unlabeled images.
            pseudo_label: `(B, H, W)` int64, 255 where there is none.
            confidence: `(B,)`, from `image_confidence`.
            step: the step, whose key draws.

        Returns:
            The mixed strong views, their labels and valid pixels, and the share of the images whose
            source got a labeled box.
        """
        generator = step.key.child("mix").torch()
        batch, (height, width) = len(pseudo_label), pseudo_label.shape[-2:]
        device, multiple = pseudo_label.device, self.student.stride
        partners = torch.randperm(batch, generator=generator)  # an image may be its own
        labeled_boxes = draw_labeled_boxes(batch, height, width, generator).to(device)
        boxes = draw_beta_boxes(batch, height, width, generator)
        unsure = torch.rand(batch, generator=generator).to(device) > confidence
        strong, maps = unlabeled.strong_inputs, (pseudo_label, unlabeled.valid)
        truth = (labeled.mask, labeled.mask != IGNORE_INDEX)
        injected_boxes = labeled_boxes & unsure.view(-1, 1, 1)
        sources, source_maps = paste_from(
            (strong, maps),
            (labeled.inputs, truth),
            partners % len(labeled.image),
            injected_boxes,
            multiple,
        )
        mixed, mixed_maps = paste_from(
            (strong, maps), (sources, source_maps), partners, boxes, multiple
        )
        return mixed, mixed_maps, unsure.float().mean()

    def after_step(self, step: int, total: int) -> None:
        """Copy the student at the start; later update the teacher, see `Teacher.update`."""
        # At step 0 the average is the newest student alone, its statistics of batch norm included.
        copied = step < self.settings.average_after * total
        self.teacher.update(self.student, 0 if copied else step, total)

    @torch.no_grad()
    def pseudo_labels(self, weak: Tensor, valid: Tensor, step: Step) -> PseudoLabels:
        """See `Method.pseudo_labels`."""
        return self._read(self.teacher(weak).logits, valid)

    def _read(self, logits: Tensor, valid: Tensor) -> PseudoLabels:
        return logit_pseudo_labels(logits, valid, self.settings.confidence_threshold)


def image_confidence(logits: Tensor, valid: Tensor) -> Tensor:
    """How sure a teacher is of each image: the mean of `(1 - H / ln C) max p` over its pixels.

    `H` is the entropy of a pixel's probabilities `p`.

    Args:
        logits: `(B, C, h, w)`, at stride 4, where the network predicts.
        valid: `(B, H, W)` bool, False where there is padding.

    Returns:
        `(B,)` float in 0..1: 1 where every pixel is certain, 0 where all classes are as likely, and
        0 for an image without a valid pixel.
    """
    log_p = logits.float().log_softmax(dim=1)
    p = log_p.exp()
    entropy = -(p * log_p).sum(dim=1) / math.log(max(2, logits.shape[1]))
    sure = (1 - entropy).clamp(0, 1) * p.amax(dim=1)
    inside = shrink_labels(valid, *logits.shape[-2:])
    return (sure * inside).sum(dim=(1, 2)) / inside.sum(dim=(1, 2)).clamp(min=1)


def paste_from(
    own: tuple[Inputs, tuple[Tensor, ...]],
    others: tuple[Inputs, tuple[Tensor, ...]],
    partners: Tensor,
    regions: Tensor,
    multiple: int,
) -> tuple[Inputs, tuple[Tensor, ...]]:
    """Replace a region of each image by that of an image of another batch; see `paste_regions`.

    Args:
        own: images `(B, N, H, W)` with their features, and maps `(B, H, W)`.
        others: the batch that the regions come from, with the same maps.
        partners: `(B,)` int64, the index in the other batch.
        regions: `(B, H, W)` bool, True in the region that is replaced.
        multiple: see `paste_regions`.

    Returns:
        The mixed images with their features, and the mixed maps.
    """
    batch, rest = len(own[0].image), len(others[0].image)
    maps = tuple(torch.cat(pair) for pair in zip(own[1], others[1], strict=True))
    partners = torch.cat([batch + partners, torch.arange(rest)])
    regions = torch.cat([regions, regions.new_zeros(rest, *regions.shape[1:])])
    mixed, maps = paste_regions(join(own[0], others[0]), maps, partners, regions, multiple)
    features = tuple(f[:batch] for f in mixed.features)
    return Inputs(mixed.image[:batch], features), tuple(m[:batch] for m in maps)
