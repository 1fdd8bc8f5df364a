"""`css`: Collaborative Space Supervision (Wang et al., ICCV 2023, arXiv 2307.09755).

Equation numbers are those of the paper. `docs/css.md` lists the departures from it and the reasons.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semiseg.config.methods import CssSettings
from semiseg.config.methods.css import Collaboration
from semiseg.core.types import IGNORE_INDEX, Labeled, Losses, Output, PseudoLabels, Step, Unlabeled
from semiseg.losses.collaboration import (
    Kind,
    Spaces,
    Targets,
    collaborate,
    indicator_of,
    read_spaces,
)
from semiseg.losses.pseudo import unsupervised_loss
from semiseg.methods.mixed_views import cut_mix, join, split
from semiseg.methods.semi_supervised import schedule_factor
from semiseg.methods.two_spaces import TwoSpaces
from semiseg.model.network import Network, upsample
from semiseg.model.prototypes import shrink_labels


class CSS(TwoSpaces):
    """Logit space and representation space label the unlabeled images together.

    Args:
        student: the network that learns. The constructor adds a representation head to it.
        settings: the method's own settings.
    """

    settings: CssSettings

    def __init__(self, student: Network, settings: CssSettings) -> None:
        super().__init__(student, settings)
        if settings.class_balance == "labels" and settings.unsupervised_mean != "program":
            self.balance_classes()

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """`L = L_s + L_u + lambda_c L_c` (Sec. 3.4); see `Method.compute`."""
        unlabeled = self.active_unlabeled(labeled, unlabeled, step)
        count, size = len(labeled.image), labeled.mask.shape[-2:]
        with torch.no_grad():
            teacher = self.teacher(*join(labeled.inputs, unlabeled.weak_inputs))
            spaces = self._spaces(teacher)
            truth = shrink_labels(labeled.mask, *teacher.logits.shape[-2:])
            labeled_indicator = self._contrast_indicator(
                Spaces(*(m[:count] for m in spaces)), truth
            )
            targets = self._targets(Spaces(*(m[count:] for m in spaces)), unlabeled.valid, step)
            strong, maps = cut_mix(
                step, unlabeled.strong_inputs, *targets, multiple=self.student.stride
            )
            mixed = Targets(*maps)
        student: Output = self.student(*join(labeled.inputs, strong))
        labeled_logits, unlabeled_logits = split(student.logits, count)
        labels = torch.cat([truth, mixed.representation])
        if self.settings.prototypes_from == "teacher":
            weak_labels = torch.cat([truth, targets.representation])
            state = self.new_prototypes(teacher.representation, weak_labels)
        else:
            state = self.new_prototypes(student.representation, labels)
        indicator = torch.cat([labeled_indicator, mixed.indicator])
        contrastive, hard = self._contrast(student, labels, indicator, state["prototypes"], step)
        factor = schedule_factor(self.settings.contrast_schedule, step.share)
        weight = self.settings.contrast_weight * factor
        terms = {
            "supervised": self.loss_on_labeled(labeled_logits, labeled.mask),
            "contrastive": weight * contrastive,
        }
        diagnostics = {"hard": hard}
        if len(strong.image):
            pixels = mixed.valid.sum().clamp(min=1)
            weights, counts = self.balance(mixed.pseudo_label)
            terms["unsupervised"] = unsupervised_loss(
                upsample(unlabeled_logits, size, size),
                mixed.logit,
                mixed.confident,
                mixed.valid,
                self.settings.unsupervised_mean,
                weights,
            )
            diagnostics["used"] = (mixed.pseudo_label != IGNORE_INDEX).sum() / pixels
            diagnostics["agree"] = mixed.agree.sum() / pixels
            state |= counts
        return Losses(terms, diagnostics, state)

    @torch.no_grad()
    def pseudo_labels(self, weak: Tensor, valid: Tensor, step: Step) -> PseudoLabels:
        """See `Method.pseudo_labels`."""
        fine = self._upsampled(self._spaces(self.teacher(weak)), valid)
        label, confident = self._pseudo_label(fine, valid, step)
        return PseudoLabels(
            logit_label=fine.logit_label,
            confidence=indicator_of(fine.logits, fine.logit_label),
            representation_label=fine.representation_label,
            similarity=indicator_of(fine.similarity, fine.representation_label),
            final=label.masked_fill(~confident, IGNORE_INDEX),
        )

    def _upsampled(self, spaces: Spaces, valid: Tensor) -> Spaces:
        """Both spaces at the resolution of the crop."""
        size = valid.shape[-2:]
        logits, cosine = (upsample(m, size, size) for m in (spaces.logits, spaces.similarity))
        return read_spaces(logits, cosine, self.available)

    def _targets(self, spaces: Spaces, valid: Tensor, step: Step) -> Targets:
        """Labels and indicators of unlabeled images, for logit space at full resolution."""
        fine = self._upsampled(spaces, valid)
        label, confident = self._pseudo_label(fine, valid, step)
        _, coarse = collaborate(self._collaboration(step), spaces, self.available)
        indicator = self._contrast_indicator(spaces, coarse)
        valid_indicator = indicator
        if self.settings.valid_indicator != "same":
            valid_indicator = indicator_of(spaces.scores(self.settings.valid_indicator), coarse)
        contrasted = valid_indicator >= self.settings.valid_threshold
        contrasted &= shrink_labels(valid, *coarse.shape[-2:])
        return Targets(
            logit=label,
            confident=confident,
            agree=(fine.logit_label == fine.representation_label) & valid,
            valid=valid,
            representation=coarse.masked_fill(~contrasted, IGNORE_INDEX),
            indicator=indicator,
        )

    def _pseudo_label(self, fine: Spaces, valid: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """The label for logit space, and the pixels whose indicator reaches `delta_u`."""
        collaboration = self._collaboration(step)
        label, _ = collaborate(collaboration, fine, self.available)
        # The space that the label comes from. Its indicator also counts where the other space
        # withdraws the label.
        similar = collaboration in ("cross", "representation")
        source_label = fine.representation_label if similar else fine.logit_label
        kind: Kind = "similarity" if similar else "confidence"
        if self.settings.indicator != "own":
            kind = self.settings.indicator
        indicator = indicator_of(fine.scores(kind), source_label)
        label = label.masked_fill(~valid, IGNORE_INDEX)
        return label, valid & (indicator >= self.settings.confidence_threshold)

    def _collaboration(self, step: Step) -> Collaboration:
        """The collaboration at this step: `cross` is `logit` until the prototypes are good."""
        collaboration = self.settings.collaboration
        early = collaboration == "cross" and step.share < self.settings.cross_after
        return "logit" if early else collaboration

    def _contrast_indicator(self, spaces: Spaces, label: Tensor) -> Tensor:
        """The indicator of a label in `L_c`; pixels below `delta_s` are hard."""
        kind: Kind = "confidence" if self.settings.indicator == "confidence" else "similarity"
        return indicator_of(spaces.scores(kind), label)
