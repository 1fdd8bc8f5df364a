"""CSS: Collaborative Space Supervision (Wang et al., ICCV 2023, arXiv 2307.09755).

Equation numbers are the paper's. `docs/css.md` says where this departs from it and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from semiseg.augment.mix import draw_boxes, draw_partners, paste
from semiseg.losses.contrastive import contrastive_loss, draw_pixels
from semiseg.losses.pseudo import pseudo_label_loss
from semiseg.methods.base import Method, require
from semiseg.model.network import Network, upsample
from semiseg.model.prototypes import (
    class_means,
    shrink_labels,
    similarity,
    update_prototypes,
)
from semiseg.model.release import Release, match_classes
from semiseg.model.teacher import Teacher
from semiseg.types import IGNORE_INDEX, Labeled, Losses, Output, Step, Unlabeled

Collaboration = Literal["mix", "cross", "logit", "representation"]


class Spaces(NamedTuple):
    """What the two spaces say of a batch, at one resolution.

    Attributes:
        logit_label: `(B, H, W)`, the class of the largest logit (Eq. 1).
        representation_label: `(B, H, W)`, the class of the nearest prototype (Eq. 4).
        similarity: `(B, C, H, W)`, cosine similarity to the prototypes.
    """

    logit_label: Tensor
    representation_label: Tensor
    similarity: Tensor


class Targets(NamedTuple):
    """What is taught about the unlabelled images, 255 where nothing is.

    Attributes:
        logit: `(B, H, W)`, the pseudo-label for logit space, at the crop's resolution.
        representation: `(B, h, w)`, the pseudo-label for representation space, at stride 4.
        indicator: `(B, h, w)`, the similarity indicator of that label (Eq. 5).
        valid: `(B, H, W)` bool, where the views show image.
        agree: the share of valid pixels on which the two spaces agree.
    """

    logit: Tensor
    representation: Tensor
    indicator: Tensor
    valid: Tensor
    agree: Tensor


class CSS(Method):
    """Two spaces label the unlabelled images; where they agree the student is taught.

    Args:
        student: the network that learns; it is given a representation head.
        collaboration: how the spaces' labels become one (Sec. 3.3): `mix` keeps those on which
            both agree, `cross` lets each space teach the other, `logit` and `representation` use
            one space alone.
        confidence_threshold: `delta_u`, pixels with a lower indicator are not taught in `L_u`.
        valid_threshold: `delta_w`, unlabelled pixels with a lower indicator stay out of `L_c`.
        hard_threshold: `delta_s`, pixels with a lower indicator are hard: anchors of `L_c`.
        indicator_temperature: `tau_r` of the similarity indicator (Eq. 5).
        temperature: `tau` of the contrastive loss (Eq. 9).
        anchors: anchors a class.
        negatives: negatives a class.
        contrast_weight: `lambda_c`.
        prototype_momentum: `a` of Eq. 3.
        representation_dim: channels `D` of the representation head.
        teacher_memory: how far the teacher's average looks back, as a share of all steps.
        supervised_warmup: share of the steps on labelled images alone, at the start.
        cross_after: for `cross`, the share of the steps before which the logit label is used.

    Raises:
        ConfigError: a setting is out of its range.
    """

    name = "css"
    uses_unlabeled = True
    prototypes: Tensor
    seen: Tensor

    def __init__(
        self,
        student: Network,
        *,
        collaboration: Collaboration = "mix",
        confidence_threshold: float = 0.97,
        valid_threshold: float = 0.7,
        hard_threshold: float = 0.8,
        indicator_temperature: float = 0.1,
        temperature: float = 0.5,
        anchors: int = 256,
        negatives: int = 512,
        contrast_weight: float = 1.0,
        prototype_momentum: float = 0.99,
        representation_dim: int = 64,
        teacher_memory: float = 0.03,
        supervised_warmup: float = 0.05,
        cross_after: float = 0.2,
    ) -> None:
        super().__init__(student)
        require(collaboration in get_args(Collaboration), "collaboration", collaboration)
        for name, value in (("anchors", anchors), ("negatives", negatives)):
            require(value >= 1, name, value)
        require(representation_dim >= 1, "representation_dim", representation_dim)
        require(temperature > 0, "temperature", temperature)
        require(indicator_temperature > 0, "indicator_temperature", indicator_temperature)
        require(contrast_weight >= 0, "contrast_weight", contrast_weight)
        require(0 <= prototype_momentum <= 1, "prototype_momentum", prototype_momentum)
        require(0 <= teacher_memory <= 1, "teacher_memory", teacher_memory)
        require(0 <= supervised_warmup <= 1, "supervised_warmup", supervised_warmup)
        require(0 <= cross_after <= 1, "cross_after", cross_after)
        self.collaboration = collaboration
        self.confidence_threshold = confidence_threshold
        self.valid_threshold = valid_threshold
        self.hard_threshold = hard_threshold
        self.indicator_temperature = indicator_temperature
        self.temperature = temperature
        self.anchors = anchors
        self.negatives = negatives
        self.contrast_weight = contrast_weight
        self.prototype_momentum = prototype_momentum
        self.supervised_warmup = supervised_warmup
        self.cross_after = cross_after
        student.add_representation_head(representation_dim)
        self.teacher: Teacher = Teacher(student, teacher_memory)
        self.register_buffer("prototypes", torch.zeros(student.classes, representation_dim))
        self.register_buffer("seen", torch.zeros(student.classes, dtype=torch.bool))

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """`L = L_s + L_u + lambda_c L_c` (Sec. 3.4); see `Method.compute`."""
        if unlabeled is None or step.share < self.supervised_warmup:
            return self._learn_labeled(labeled, step)
        count, size = len(labeled.image), labeled.mask.shape[-2:]
        with torch.no_grad():
            taught = self.teacher(torch.cat([labeled.image, unlabeled.weak]))
            truth = shrink_labels(labeled.mask, *taught.logits.shape[-2:])
            certainty = self._labeled_indicator(taught, truth)
            plain = self._targets(taught, count, unlabeled.valid, step)
            strong, mixed = _mix(unlabeled.strong, plain, step)
            state = self._new_prototypes(taught, torch.cat([truth, plain.representation]))
        student: Output = self.student(torch.cat([labeled.image, strong]))
        logits = upsample(student.logits, size, size)
        contrast, hard = self._contrast(
            student,
            torch.cat([truth, mixed.representation]),
            torch.cat([certainty, mixed.indicator]),
            state["prototypes"],
            step,
        )
        terms = {
            "supervised": self.supervised_loss(logits[:count], labeled.mask),
            "unsupervised": pseudo_label_loss(logits[count:], mixed.logit, mixed.valid),
            "contrastive": self.contrast_weight * contrast,
        }
        pixels = mixed.valid.sum().clamp(min=1)
        diagnostics = {
            "taught": (mixed.logit != IGNORE_INDEX).sum() / pixels,
            "agree": plain.agree,
            "hard": hard,
        }
        return Losses(terms, diagnostics, state)

    def _learn_labeled(self, labeled: Labeled, step: Step) -> Losses:
        """The warm-up: `L_s` and the labelled pixels' `L_c`, which give both spaces a start."""
        size = labeled.mask.shape[-2:]
        with torch.no_grad():
            taught = self.teacher(labeled.image)
            truth = shrink_labels(labeled.mask, *taught.logits.shape[-2:])
            certainty = self._labeled_indicator(taught, truth)
            state = self._new_prototypes(taught, truth)
        student: Output = self.student(labeled.image)
        logits = upsample(student.logits, size, size)
        contrast, hard = self._contrast(student, truth, certainty, state["prototypes"], step)
        terms = {
            "supervised": self.supervised_loss(logits, labeled.mask),
            "contrastive": self.contrast_weight * contrast,
        }
        return Losses(terms, {"hard": hard}, state)

    def _targets(self, taught: Output, first: int, valid: Tensor, step: Step) -> Targets:
        """Pseudo-labels and indicators of the unlabelled images, which begin at `first`."""
        size = valid.shape[-2:]
        representation = _present(taught.representation)[first:]
        coarse_logits = taught.logits[first:].float()  # in half, 0.94 is rounded to 1
        coarse_similarity = similarity(representation, self.prototypes, self.seen)
        fine_logits = upsample(coarse_logits, size, size)
        coarse = self._spaces(coarse_logits, coarse_similarity)
        fine = self._spaces(fine_logits, upsample(coarse_similarity, size, size))
        for_logit, _ = self._collaborate(fine, step)
        _, for_representation = self._collaborate(coarse, step)
        # L_u trusts a label by the indicator of the space it comes from (Tab. 7, `own`).
        by_prototype = self.collaboration == "representation" or (
            self.collaboration == "cross" and step.share >= self.cross_after
        )
        if by_prototype:
            trust = self._indicator(fine.similarity, for_logit)
        else:
            top = fine_logits.amax(dim=1)
            trust = (top - fine_logits.logsumexp(dim=1)).exp()  # the largest probability
        indicator = self._indicator(coarse.similarity, for_representation)
        coarse_valid = shrink_labels(valid, *for_representation.shape[-2:])
        believed = coarse_valid & (indicator >= self.valid_threshold)
        agreed = (fine.logit_label == fine.representation_label) & valid
        return Targets(
            logit=for_logit.masked_fill(~valid | (trust < self.confidence_threshold), IGNORE_INDEX),
            representation=for_representation.masked_fill(~believed, IGNORE_INDEX),
            indicator=indicator,
            valid=valid,
            agree=agreed.sum() / valid.sum().clamp(min=1),
        )

    def _spaces(self, logits: Tensor, similarities: Tensor) -> Spaces:
        logit_label = logits.argmax(dim=1)
        nearest = similarities.argmax(dim=1)
        # Without any prototype representation space has nothing to say.
        return Spaces(logit_label, torch.where(self.seen.any(), nearest, logit_label), similarities)

    def _collaborate(self, spaces: Spaces, step: Step) -> tuple[Tensor, Tensor]:
        """The final labels for logit space and for representation space (Sec. 3.3)."""
        logit, representation = spaces.logit_label, spaces.representation_label
        if self.collaboration == "representation":
            return representation, representation
        if self.collaboration == "cross" and step.share >= self.cross_after:
            return representation, logit
        if self.collaboration == "mix":
            # A class without a prototype cannot be nearest: there the logit label stands.
            doubtful = (logit != representation) & self.seen[logit]
            final = logit.masked_fill(doubtful, IGNORE_INDEX)
            return final, final
        return logit, logit

    def _indicator(self, similarities: Tensor, label: Tensor) -> Tensor:
        """`softmax_c(s / tau_r)` at the label's class (Eq. 5), 0 where it is ignored."""
        scaled = similarities / self.indicator_temperature
        known = label.clamp(max=similarities.shape[1] - 1)  # 255 has no channel
        own = scaled.gather(1, known.unsqueeze(1)).squeeze(1)
        return (own - scaled.logsumexp(dim=1)).exp().masked_fill(label == IGNORE_INDEX, 0.0)

    def _labeled_indicator(self, taught: Output, truth: Tensor) -> Tensor:
        """The similarity indicator of the true class on the labelled images, at stride 4."""
        representation = _present(taught.representation)[: len(truth)]
        return self._indicator(similarity(representation, self.prototypes, self.seen), truth)

    def _new_prototypes(self, taught: Output, labels: Tensor) -> dict[str, Tensor]:
        """The prototypes after this batch (Eq. 2, 3), from the teacher's representations."""
        pixels = _flatten(_present(taught.representation))
        means, counts = class_means(pixels, labels.flatten(), len(self.prototypes))
        prototypes, seen = update_prototypes(
            self.prototypes, self.seen, means, counts, self.prototype_momentum
        )
        return {"prototypes": prototypes, "seen": seen}

    def _contrast(
        self, student: Output, labels: Tensor, indicator: Tensor, prototypes: Tensor, step: Step
    ) -> tuple[Tensor, Tensor]:
        """`L_c` (Eq. 9) and the share of hard pixels among the valid ones."""
        hard = ((indicator < self.hard_threshold) & (labels != IGNORE_INDEX)).flatten()
        draw = draw_pixels(
            labels.flatten(),
            hard,
            prototypes,
            self.temperature,
            self.anchors,
            self.negatives,
            step.key.child("contrast").torch(),
        )
        pixels = _flatten(_present(student.representation))
        loss = contrastive_loss(pixels, prototypes, draw, self.temperature)
        return loss, hard.sum() / (labels != IGNORE_INDEX).sum().clamp(min=1)

    @torch.no_grad()
    def start_from(self, release: Release, names: Sequence[str]) -> tuple[str, ...]:
        """See `Method.start_from`; prototypes are taken over where their width is the same."""
        added = super().start_from(release, names)
        theirs = release.tensors.get("prototypes")
        if theirs is not None and theirs.shape[1] == self.prototypes.shape[1]:
            new, old = match_classes(names, release.classes.names)
            self.prototypes[new] = theirs[old]
            self.seen[new] = release.tensors["seen"][old]
        return added

    def released_tensors(self) -> dict[str, Tensor]:
        """The prototypes, and which classes have one."""
        return {"prototypes": self.prototypes, "seen": self.seen}


def _mix(strong: Tensor, targets: Targets, step: Step) -> tuple[Tensor, Targets]:
    """CutMix: each image gets a box of another one, with everything that belongs to it."""
    generator = step.key.child("mix").torch()
    batch, (height, width) = len(strong), strong.shape[-2:]
    partners = draw_partners(batch, generator).to(strong.device)
    boxes = draw_boxes(batch, height, width, generator).to(strong.device)
    coarse = shrink_labels(boxes, *targets.representation.shape[-2:])
    mixed = Targets(
        logit=paste(targets.logit, partners, boxes),
        representation=paste(targets.representation, partners, coarse),
        indicator=paste(targets.indicator, partners, coarse),
        valid=paste(targets.valid, partners, boxes),
        agree=targets.agree,
    )
    return paste(strong, partners, boxes), mixed


def _present(representation: Tensor | None) -> Tensor:
    if representation is None:
        raise TypeError("CSS needs a network with a representation head")
    return representation


def _flatten(maps: Tensor) -> Tensor:
    """`(B, D, h, w)` as `(B h w, D)`; a view where the maps are channels-last."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
