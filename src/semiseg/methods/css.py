"""CSS: Collaborative Space Supervision (Wang et al., ICCV 2023, arXiv 2307.09755).

Equation numbers are the paper's. `docs/css.md` says where this departs from it and why.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from semiseg.core.types import IGNORE_INDEX, Labeled, Losses, Opinions, Output, Step, Unlabeled
from semiseg.losses.collaboration import (
    Collaboration,
    Kind,
    Spaces,
    Targets,
    class_prior,
    collaborate,
    indicator_of,
    read_spaces,
)
from semiseg.losses.contrastive import contrastive_loss, draw_pixels
from semiseg.losses.pseudo import Mean, balanced_weights, count_labels, unsupervised_loss
from semiseg.methods.base import require
from semiseg.methods.prototypical import Prototypical, present
from semiseg.methods.semi_supervised import Schedule, cut_mix, scheduled
from semiseg.model.network import Network, flatten, upsample
from semiseg.model.prototypes import shrink_labels, similarity

Indicator = Literal["own", "confidence", "similarity"]
ValidIndicator = Literal["same", "confidence", "similarity"]
Source = Literal["teacher", "student"]
Unseen = Literal["masked", "zeros"]
Prior = Literal["loss", "uniform"]
Balance = Literal["labels", "none"]
_REMEMBERED = 0.97  # of the counts of taught pixels, each micro batch: about 33 of them


class CSS(Prototypical):
    """Two spaces label the unlabeled images; where they agree the student is taught.

    Args:
        student: the network that learns; it is given a representation head.
        collaboration: how the spaces' labels become one (Sec. 3.3): `mix` keeps those on which
            both agree, `cross` lets each space teach the other, `logit` and `representation` use
            one space alone.
        indicator: what tells how far a label is trusted (Tab. 7): `own` is, for what is taught, the
            indicator of the space that the label comes from, and the similarity in the contrastive
            loss; `confidence` or `similarity` is that one in both.
        confidence_threshold: unlabeled pixels that are trusted less are not taught (`delta_u`).
        valid_threshold: unlabeled pixels that are trusted less stay out of the contrastive loss
            (`delta_w`).
        hard_threshold: pixels that are trusted less are hard, and what the contrastive loss pulls
            to their prototypes (`delta_s`).
        valid_indicator: what `valid_threshold` is compared with: the `same` as `hard_threshold`, or
            always the `similarity` or the `confidence`.
        indicator_temperature: the lower, the surer representation space seems (`tau_r`, Eq. 5); the
            higher, the more `class_prior` weighs in its labels.
        temperature: of the contrastive loss (`tau`, Eq. 9).
        anchors: how many hard pixels of a class the contrastive loss draws.
        negatives: how many pixels of other classes each of them is pushed from.
        contrast_weight: of the contrastive loss (`lambda_c`).
        contrast_schedule: that weight is `constant`, falls (`ramp_down`, times `exp(-5 t^2)` at the
            share `t` of the steps) or rises (`ramp_up`, `exp(-5 (1-t)^2)`).
        unsupervised_mean: what the loss on unlabeled images is a mean over: `all` pixels that show
            image, those that are `kept`, or as the authors' `program` does, see
            `share_weighted_loss`.
        prototypes_from: whose representations the prototypes are means of: the `teacher`'s of the
            weak view, or the `student`'s of the mixed strong view.
        prototype_momentum: how much of a prototype a batch leaves as it was (`a`, Eq. 3).
        unseen_prototypes: of classes without a prototype representation space has no opinion
            (`masked`), or one by a vector of `zeros`, nearer than any at an obtuse angle.
        class_prior: how frequent representation space takes classes to be: as they count in the
            `loss` on labeled images, their pixels times their weights, as logit space does (see
            `losses.collaboration.class_prior`; `ohem`, `dice` and `rare_crops` are not counted), or
            all the same (`uniform`), as in the paper.
        class_balance: `labels` weighs taught pixels so that each class counts about as much as it
            does in the loss on labeled images, see `losses.pseudo.balanced_weights` (here
            too `ohem`, `dice` and `rare_crops` are not counted); `none` uses that loss's class
            weights alone. Ignored with the `program`'s mean, which weighs no class.
        representation_dim: channels of the representation head (`D`).
        teacher_memory: how far the teacher's average looks back, as a share of all steps.
        supervised_warmup: share of the steps on labeled images alone, at the start.
        cross_after: for `cross`, the share of the steps before which the logit label is used.

    Attributes:
        taught: `(C,)`, pixels that were taught of each class of late; None without a balance.

    Raises:
        ConfigError: a setting is out of its range.
    """

    name = "css"
    taught: Tensor | None

    def __init__(
        self,
        student: Network,
        *,
        collaboration: Collaboration = "mix",
        indicator: Indicator = "own",
        confidence_threshold: float = 0.95,
        valid_threshold: float = 0.7,
        hard_threshold: float = 0.8,
        valid_indicator: ValidIndicator = "same",
        indicator_temperature: float = 0.1,
        temperature: float = 0.5,
        anchors: int = 256,
        negatives: int = 512,
        contrast_weight: float = 0.1,
        contrast_schedule: Schedule = "constant",
        unsupervised_mean: Mean = "all",
        prototypes_from: Source = "teacher",
        prototype_momentum: float = 0.99,
        unseen_prototypes: Unseen = "masked",
        class_prior: Prior = "loss",
        class_balance: Balance = "labels",
        representation_dim: int = 64,
        teacher_memory: float = 0.03,
        supervised_warmup: float = 0.05,
        cross_after: float = 0.2,
    ) -> None:
        super().__init__(
            student,
            representation_dim,
            prototype_momentum,
            teacher_memory,
            supervised_warmup,
            masked=unseen_prototypes == "masked",
        )
        for name, choice, choices in (
            ("collaboration", collaboration, Collaboration),
            ("indicator", indicator, Indicator),
            ("valid_indicator", valid_indicator, ValidIndicator),
            ("contrast_schedule", contrast_schedule, Schedule),
            ("unsupervised_mean", unsupervised_mean, Mean),
            ("prototypes_from", prototypes_from, Source),
            ("unseen_prototypes", unseen_prototypes, Unseen),
            ("class_prior", class_prior, Prior),
            ("class_balance", class_balance, Balance),
        ):
            require(choice in get_args(choices), name, choice)
        for name, count in (("anchors", anchors), ("negatives", negatives)):
            require(count >= 1, name, count)
        for name, tau in (
            ("temperature", temperature),
            ("indicator_temperature", indicator_temperature),
        ):
            require(tau > 0, name, tau)
        require(contrast_weight >= 0, "contrast_weight", contrast_weight)
        require(0 <= cross_after <= 1, "cross_after", cross_after)
        self.collaboration, self.cross_after = collaboration, cross_after
        self.indicator, self.valid_indicator = indicator, valid_indicator
        self.confidence_threshold = confidence_threshold
        self.valid_threshold, self.hard_threshold = valid_threshold, hard_threshold
        self.temperature, self.indicator_temperature = temperature, indicator_temperature
        self.anchors, self.negatives = anchors, negatives
        self.contrast_weight, self.contrast_schedule = contrast_weight, contrast_schedule
        self.unsupervised_mean, self.prototypes_from = unsupervised_mean, prototypes_from
        self.class_prior = class_prior
        balanced = class_balance == "labels" and unsupervised_mean != "program"
        self.register_buffer("taught", torch.zeros(student.classes) if balanced else None)

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """`L = L_s + L_u + lambda_c L_c` (Sec. 3.4); see `Method.compute`."""
        unlabeled = self.at_hand(labeled, unlabeled, step)
        count, size = len(labeled.image), labeled.mask.shape[-2:]
        with torch.no_grad():
            taught = self.teacher(torch.cat([labeled.image, unlabeled.weak]))
            spaces = self._spaces(taught)
            truth = shrink_labels(labeled.mask, *taught.logits.shape[-2:])
            certainty = self._hardness(Spaces(*(m[:count] for m in spaces)), truth)
            plain = self._targets(Spaces(*(m[count:] for m in spaces)), unlabeled.valid, step)
            strong, *maps = cut_mix(step, unlabeled.strong, *plain)
            mixed = Targets(*maps)
        student: Output = self.student(torch.cat([labeled.image, strong]))
        # Parted before they are enlarged: the gradient of a slice is as large as the whole.
        ours, theirs = student.logits.tensor_split([count])
        labels = torch.cat([truth, mixed.representation])
        if self.prototypes_from == "teacher":
            state = self.new_prototypes(
                taught.representation, torch.cat([truth, plain.representation])
            )
        else:
            state = self.new_prototypes(student.representation, labels)
        hardness = torch.cat([certainty, mixed.indicator])
        contrast, hard = self._contrast(student, labels, hardness, state["prototypes"], step)
        weight = self.contrast_weight * scheduled(self.contrast_schedule, step.share)
        terms = {
            "supervised": self.supervised_loss(upsample(ours, size, size), labeled.mask),
            "contrastive": weight * contrast,
        }
        diagnostics = {"hard": hard}
        if len(strong):
            pixels = mixed.valid.sum().clamp(min=1)
            weights = self.class_weights
            if self.taught is not None and self.class_shares is not None:
                counts = count_labels(mixed.taught, len(self.taught))
                state["taught"] = _REMEMBERED * self.taught + counts
                weights = balanced_weights(self.class_shares, state["taught"], weights)
            terms["unsupervised"] = unsupervised_loss(
                upsample(theirs, size, size),
                mixed.logit,
                mixed.trusted,
                mixed.valid,
                self.unsupervised_mean,
                weights,
            )
            diagnostics["taught"] = (mixed.taught != IGNORE_INDEX).sum() / pixels
            diagnostics["agree"] = mixed.agree.sum() / pixels
        return Losses(terms, diagnostics, state)

    @torch.no_grad()
    def opinions(self, weak: Tensor, valid: Tensor, step: Step) -> Opinions:
        """See `Method.opinions`."""
        fine = self._enlarged(self._spaces(self.teacher(weak)), valid)
        label, trusted = self._pseudo_label(fine, valid, step)
        return Opinions(
            logit_label=fine.logit_label,
            confidence=indicator_of(fine.logits, fine.logit_label),
            representation_label=fine.representation_label,
            similarity=indicator_of(fine.similarity, fine.representation_label),
            final=label.masked_fill(~trusted, IGNORE_INDEX),
        )

    def _spaces(self, taught: Output) -> Spaces:
        """What both spaces say at stride 4, by the prototypes from before this step."""
        cosine = similarity(present(taught.representation), self.prototypes, self.known)
        logits = taught.logits.float()  # in half, 0.97 is rounded to 0.9688
        scaled = cosine / self.indicator_temperature
        if (prior := self._prior(self.class_weights)) is not None:
            scaled = scaled + prior.view(1, -1, 1, 1)
        return read_spaces(logits, scaled, self.known)

    def _prior(self, weights: Tensor | None) -> Tensor | None:
        """`(C,)`, what is added to scaled similarities; None for nothing."""
        if self.class_prior == "uniform" or self.class_shares is None:
            return None
        return class_prior(self.class_shares, weights)

    def released_tensors(self, strength: float = 0.0) -> dict[str, Tensor]:
        """The prototypes, which classes have one, and what the prior adds to cosines.

        What is taken out of the logits is taken out of that prior too, so that both spaces go on to
        judge the same world; see `Method.released_tensors`. A `uniform` prior has nothing of it.
        """
        weights = self.class_weights
        if weights is not None:  # 0 where the labeled pixels show no such class
            weights = torch.where(weights > 0, weights ** (1 - strength), weights)
        prior = self._prior(weights)
        found = super().released_tensors(strength)
        if prior is None:
            return found
        return {**found, "similarity_prior": self.indicator_temperature * prior}

    def _enlarged(self, spaces: Spaces, valid: Tensor) -> Spaces:
        """The same at the crop's resolution."""
        size = valid.shape[-2:]
        logits, cosine = (upsample(m, size, size) for m in (spaces.logits, spaces.similarity))
        return read_spaces(logits, cosine, self.known)

    def _targets(self, spaces: Spaces, valid: Tensor, step: Step) -> Targets:
        """Labels and indicators of unlabeled images: logit space fine, the other at stride 4."""
        fine = self._enlarged(spaces, valid)
        label, trusted = self._pseudo_label(fine, valid, step)
        _, coarse = collaborate(self._collaboration(step), spaces, self.known)
        hardness = self._hardness(spaces, coarse)
        trust = hardness
        if self.valid_indicator != "same":
            trust = indicator_of(spaces.scores(self.valid_indicator), coarse)
        believed = shrink_labels(valid, *coarse.shape[-2:]) & (trust >= self.valid_threshold)
        return Targets(
            logit=label,
            trusted=trusted,
            agree=(fine.logit_label == fine.representation_label) & valid,
            valid=valid,
            representation=coarse.masked_fill(~believed, IGNORE_INDEX),
            indicator=hardness,
        )

    def _pseudo_label(self, fine: Spaces, valid: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """The label for logit space, and where its indicator reaches `delta_u`."""
        how = self._collaboration(step)
        label, _ = collaborate(how, fine, self.known)
        # The space that the label comes from; it may trust a label that the other one withdraws.
        own: Kind = "similarity" if how in ("cross", "representation") else "confidence"
        kind = own if self.indicator == "own" else self.indicator
        judged = fine.logit_label if own == "confidence" else fine.representation_label
        trust = indicator_of(fine.scores(kind), judged)
        label = label.masked_fill(~valid, IGNORE_INDEX)
        return label, valid & (trust >= self.confidence_threshold)

    def _collaboration(self, step: Step) -> Collaboration:
        """`cross` begins once the prototypes are good; before that it is `logit`."""
        early = self.collaboration == "cross" and step.share < self.cross_after
        return "logit" if early else self.collaboration

    def _hardness(self, spaces: Spaces, label: Tensor) -> Tensor:
        """The indicator of a label in `L_c`; below `delta_s` its pixel is hard."""
        kind: Kind = "confidence" if self.indicator == "confidence" else "similarity"
        return indicator_of(spaces.scores(kind), label)

    def _contrast(
        self, student: Output, labels: Tensor, hardness: Tensor, prototypes: Tensor, step: Step
    ) -> tuple[Tensor, Tensor]:
        """`L_c` (Eq. 9) and the share of hard pixels among the valid ones."""
        valid = labels != IGNORE_INDEX
        hard = (hardness < self.hard_threshold) & valid
        draw = draw_pixels(
            labels.flatten(),
            hard.flatten(),
            prototypes,
            self.temperature,
            self.anchors,
            self.negatives,
            step.key.child("contrast").torch(),
        )
        pixels = flatten(present(student.representation))
        loss = contrastive_loss(pixels, prototypes, draw, self.temperature)
        return loss, hard.sum() / valid.sum().clamp(min=1)
