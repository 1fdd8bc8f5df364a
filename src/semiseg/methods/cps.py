"""`cps`: Cross Pseudo Supervision (Chen et al., CVPR 2021, arXiv 2106.01226)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from semiseg.augment.mixing import draw_boxes, draw_several_boxes
from semiseg.config.methods import CpsSettings
from semiseg.config.methods.cps import MixedBox
from semiseg.core.types import IGNORE_INDEX, Inputs, Labeled, Losses, PseudoLabels, Step, Unlabeled
from semiseg.losses.pseudo import pseudo_label_loss
from semiseg.methods.base import Method
from semiseg.methods.mixed_views import cut_mix, join, split
from semiseg.methods.semi_supervised import active_unlabeled, logit_pseudo_labels, predict
from semiseg.model.network import Network, upsample
from semiseg.model.release import Release
from semiseg.model.second_network import with_new_decoder

_DRAW: dict[MixedBox, Callable[[int, int, int, Generator], Tensor]] = {
    "several": draw_several_boxes,
    "half": draw_boxes,
}


class CPS(Method):
    """Two networks that differ in the start of their decoders; each learns the other's labels.

    Args:
        student: the first network.
        settings: the method's own settings.

    Attributes:
        second: the second network.
    """

    settings: CpsSettings

    def __init__(self, student: Network, settings: CpsSettings) -> None:
        super().__init__(student, settings)
        self.second = with_new_decoder(student)

    def students(self) -> tuple[Network, ...]:
        """Both networks."""
        return self.student, self.second

    def networks(self) -> dict[str, Network]:
        """Both networks, one of which is released."""
        return {"student": self.student, "second": self.second}

    @torch.no_grad()
    def start_from(self, release: Release, names: Sequence[str]) -> tuple[str, ...]:
        """Start from a released model: the second network takes its encoder alone.

        With the same decoder too, both networks would say the same, and learn nothing from each
        other.
        """
        new = super().start_from(release, names)
        self.second.encoder.load_state_dict(self.student.encoder.state_dict())
        self.second.set_normalization(self.student.normalization())
        return new

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """See `Method.compute`."""
        weight, warmup = self.settings.unsupervised_weight, self.settings.supervised_warmup
        unlabeled = active_unlabeled(labeled, unlabeled if weight else None, step, warmup)
        count, size = len(labeled.image), labeled.mask.shape[-2:]
        view, targets, valid, diagnostics = self._targets(unlabeled, step)
        terms: dict[str, Tensor] = {}
        networks = (("", self.student), ("_second", self.second))
        for (suffix, network), target in zip(networks, targets, strict=True):
            logits = network(*join(labeled.inputs, view)).logits
            labeled_logits, unlabeled_logits = split(logits, count)
            terms[f"supervised{suffix}"] = self.loss_on_labeled(labeled_logits, labeled.mask)
            if len(view.image):
                fine = upsample(unlabeled_logits, size, size)
                loss = pseudo_label_loss(fine, target, valid, weights=self.class_weights)
                terms[f"unsupervised{suffix}"] = weight * loss
        return Losses(terms, diagnostics, {})

    @torch.no_grad()
    def pseudo_labels(self, weak: Tensor, valid: Tensor, step: Step) -> PseudoLabels:
        """The labels of the second network, from which the first one learns."""
        return self._labels_of(self.second, Inputs(weak), valid)

    def _targets(
        self, unlabeled: Unlabeled, step: Step
    ) -> tuple[Inputs, tuple[Tensor, Tensor], Tensor, dict[str, Tensor]]:
        """The view to learn on, each network's pseudo-labels, the valid pixels, the diagnostics."""
        weak, valid = unlabeled.weak_inputs, unlabeled.valid
        if not len(weak.image):
            empty = valid.long()
            return weak, (empty, empty), valid, {}
        first, second = (self._labels_of(network, weak, valid) for network in self.students())
        pixels = valid.sum().clamp(min=1)
        agree = (first.logit_label == second.logit_label) & valid
        diagnostics = {"agree": agree.sum() / pixels}
        if self.settings.confidence_threshold:
            kept = sum((labels.final != IGNORE_INDEX).sum() for labels in (first, second))
            diagnostics["used"] = kept / (2 * pixels)
        view = weak if self.settings.learned_view == "weak" else unlabeled.strong_inputs
        maps: tuple[Tensor, ...] = second.final, first.final, valid
        if self.settings.box != "none":
            draw = _DRAW[self.settings.box]
            view, maps = cut_mix(step, view, *maps, multiple=self.student.stride, draw=draw)
        for_first, for_second, valid = maps
        return view, (for_first, for_second), valid, diagnostics

    def _labels_of(self, network: Network, weak: Inputs, valid: Tensor) -> PseudoLabels:
        """The pseudo-labels that a network gives."""
        logits = predict(network, weak)
        return logit_pseudo_labels(logits, valid, self.settings.confidence_threshold)
