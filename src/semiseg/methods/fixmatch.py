"""`fixmatch`: FixMatch (Sohn et al., 2020) for segmentation, in the form of UniMatch's authors.

`unimatch` and `unimatch_v2` have the same step, with more strong views and with perturbed features.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from semiseg.augment.mixing import draw_boxes, draw_small_boxes
from semiseg.config.methods.fixmatch import FixMatchSettings
from semiseg.core.types import IGNORE_INDEX, Inputs, Labeled, Losses, PseudoLabels, Step, Unlabeled
from semiseg.losses.pseudo import pseudo_label_loss
from semiseg.methods.mixed_views import cut_mix, join, split
from semiseg.methods.semi_supervised import SemiSupervised, logit_pseudo_labels, predict
from semiseg.model.network import upsample

_BOXES = {"half": draw_boxes, "small": draw_small_boxes}


class WeakPass(NamedTuple):
    """The predictions that come before the strong views, at stride 4.

    Attributes:
        weak: `(B, C, h, w)`, the logits of the weak views, from which the pseudo-labels come.
        labeled: `(B, C, h, w)`, the student's logits of the labeled images; None if they are
            predicted together with the strong views.
        dropped: `(B, C, h, w)`, the student's logits of the weak views with dropped feature
            channels, or None.
    """

    weak: Tensor
    labeled: Tensor | None = None
    dropped: Tensor | None = None


class MixedView(NamedTuple):
    """A strong view after CutMix.

    Attributes:
        inputs: the images and their frozen features.
        label: `(B, H, W)` int64, the pseudo-labels; 255 where there is none.
        valid: `(B, H, W)` bool, False at padding.
    """

    inputs: Inputs
    label: Tensor
    valid: Tensor


class FixMatch(SemiSupervised):
    """The student learns its own confident labels of weak views on mixed strong views."""

    settings: FixMatchSettings

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """See `Method.compute`."""
        unlabeled = self.active_unlabeled(labeled, unlabeled, step)
        if not len(unlabeled.weak):
            own = self.student(*labeled.inputs).logits
            return Losses({"supervised": self._supervised(own, labeled.mask)}, {}, {})
        first = self.weak_pass(labeled.inputs, unlabeled.weak_inputs, step)
        label = self._labels(first.weak.detach(), unlabeled.valid).final
        views = self._mixed_views(unlabeled, label, step)
        pending = [labeled.inputs] if first.labeled is None else []
        logits = self.strong_pass(pending, [view.inputs for view in views], step)
        own = logits.pop(0) if first.labeled is None else first.labeled
        losses = [
            self._unsupervised(prediction, view.label, view.valid)
            for prediction, view in zip(logits, views, strict=True)
        ]
        terms = {
            "supervised": self._supervised(own, labeled.mask),
            "unsupervised": self.settings.unsupervised_weight * torch.stack(losses).mean(),
        }
        if first.dropped is not None:
            loss = self._unsupervised(first.dropped, label, unlabeled.valid)
            terms["feature_dropout"] = self.settings.feature_weight * loss
        used = torch.stack([(view.label != IGNORE_INDEX).sum() for view in views]).sum()
        pixels = torch.stack([view.valid.sum() for view in views]).sum()
        return Losses(terms, {"used": used / pixels.clamp(min=1)}, {})

    def weak_pass(self, labeled: Inputs, weak: Inputs, step: Step) -> WeakPass:
        """Predict what the pseudo-labels need.

        Args:
            labeled: the labeled images.
            weak: the weak views.
            step: the step, whose key draws what is dropped.
        """
        if self.settings.labels_from == "teacher":
            return WeakPass(self.teacher(*weak).logits)
        own, others = split(self.student(*join(labeled, weak)).logits, len(labeled.image))
        return WeakPass(others, own)

    def strong_pass(
        self, labeled: Sequence[Inputs], views: Sequence[Inputs], step: Step
    ) -> list[Tensor]:
        """Predict the mixed strong views, and the labeled images if that is still to be done.

        Args:
            labeled: the labeled images, or nothing.
            views: the mixed strong views.
            step: the step, whose key draws what is dropped.

        Returns:
            The student's logits `(B, C, h, w)` of each batch, at stride 4.
        """
        batches = [*labeled, *views]
        logits: Tensor = self.student(*join(*batches)).logits
        ends = itertools.accumulate(len(batch.image) for batch in batches[:-1])
        return list(logits.tensor_split(list(ends)))

    @torch.no_grad()
    def pseudo_labels(self, weak: Tensor, valid: Tensor, step: Step) -> PseudoLabels:
        """See `Method.pseudo_labels`; here the student is in eval mode."""
        if self.settings.labels_from == "teacher":
            return self._labels(self.teacher(weak).logits, valid)
        return self._labels(predict(self.student, Inputs(weak)), valid)

    def _labels(self, logits: Tensor, valid: Tensor) -> PseudoLabels:
        return logit_pseudo_labels(logits, valid, self.settings.confidence_threshold)

    def _mixed_views(self, unlabeled: Unlabeled, label: Tensor, step: Step) -> list[MixedView]:
        """Each strong view with a box and a partner of its own."""
        views = []
        for i, strong in enumerate(unlabeled.strong_views[: self.settings.strong_views]):
            inputs, (mixed_label, valid) = cut_mix(
                step,
                strong,
                label,
                unlabeled.valid,
                multiple=self.student.stride,
                draw=_BOXES[self.settings.box],
                purpose=f"mix {i}" if i else "mix",
            )
            views.append(MixedView(inputs, mixed_label, valid))
        return views

    def _supervised(self, logits: Tensor, mask: Tensor) -> Tensor:
        """The loss on labeled images, from logits at stride 4."""
        return self.settings.supervised_weight * self.loss_on_labeled(logits, mask)

    def _unsupervised(self, logits: Tensor, label: Tensor, valid: Tensor) -> Tensor:
        """The loss of one view, over all its valid pixels, from logits at stride 4."""
        size = label.shape[-2:]
        fine = upsample(logits, size, size)
        return pseudo_label_loss(fine, label, valid, weights=self.class_weights)
