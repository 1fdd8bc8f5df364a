"""`u2pl`: unreliable pseudo-labels as negatives (Wang et al., CVPR 2022, arXiv 2203.03884)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from semiseg.augment.mixing import draw_boxes
from semiseg.config.methods import U2plSettings
from semiseg.core.types import IGNORE_INDEX, Labeled, Losses, PseudoLabels, Step, Unlabeled
from semiseg.losses.collaboration import indicator_of
from semiseg.losses.contrastive import contrastive_loss, draw_from_banks
from semiseg.losses.pseudo import masked_quantiles, pixel_entropy, pseudo_label_loss
from semiseg.methods.mixed_views import cut_mix, join, split
from semiseg.methods.prototypical import require_representation
from semiseg.methods.semi_supervised import SemiSupervised, entropy_pseudo_labels
from semiseg.model.banks import push_vectors
from semiseg.model.distributed import divisor
from semiseg.model.network import Network, flatten, upsample
from semiseg.model.prototypes import class_means, shrink_labels

HIGH_RANK = 20
"""An unreliable pixel is no negative of classes that the teacher ranks here or later."""


class U2plTargets(NamedTuple):
    """What the teacher says of the unlabeled images, map by map.

    Attributes:
        label: `(B, H, W)`, the pseudo-label; 255 in padding.
        entropy: `(B, H, W)`, the entropy of the teacher's probabilities.
        valid: `(B, H, W)` bool, False where there is padding.
        logits: `(B, C, h, w)`, the teacher's, at stride 4.
        representation: `(B, D, h, w)`, the teacher's, at stride 4.
    """

    label: Tensor
    entropy: Tensor
    valid: Tensor
    logits: Tensor
    representation: Tensor


class Reliability(NamedTuple):
    """The unlabeled pixels by their entropy, `(B, H, W)` bool each; False in padding.

    Attributes:
        kept: those that are used.
        low: those that may be anchors.
        high: those that may be negatives.
    """

    kept: Tensor
    low: Tensor
    high: Tensor


class U2PL(SemiSupervised):
    """Uncertain pixels get no label; they say which classes they are not.

    Args:
        student: the network that learns. The constructor adds a representation head to it.
        settings: the method's own settings.

    Attributes:
        banks: `(C, N, D)`, the teacher's representations of the newest negatives of each class.
        pushed: `(C,)` int64, the negatives of each class so far; see `push_vectors`.
    """

    settings: U2plSettings
    banks: Tensor
    pushed: Tensor

    def __init__(self, student: Network, settings: U2plSettings) -> None:
        classes, dim = student.classes, settings.representation_dim
        student.add_representation_head(dim)
        super().__init__(student, settings)
        self.register_buffer("banks", torch.zeros(classes, settings.bank_size, dim))
        self.register_buffer("pushed", torch.zeros(classes, dtype=torch.long))

    def compute(self, labeled: Labeled, unlabeled: Unlabeled | None, step: Step) -> Losses:
        """`L = L_x + L_u + lambda L_c`; see `Method.compute`."""
        unlabeled = self.active_unlabeled(labeled, unlabeled, step)
        count, size = len(labeled.image), labeled.mask.shape[-2:]
        with torch.no_grad():
            teacher = self.teacher(*join(labeled.inputs, unlabeled.weak_inputs))
            logits = teacher.logits.float()
            vectors = require_representation(teacher.representation)
            strong, maps = cut_mix(
                step,
                unlabeled.strong_inputs,
                *_targets(logits[count:], vectors[count:], unlabeled.valid),
                multiple=self.student.stride,
                draw=self._draw_boxes,
            )
            mixed = U2plTargets(*maps)
            reliability = self._reliability(mixed.entropy, mixed.valid, step)
            logits = torch.cat([logits[:count], mixed.logits])
            vectors = torch.cat([vectors[:count], mixed.representation])
        student = self.student(*join(labeled.inputs, strong))
        labeled_logits, unlabeled_logits = split(student.logits, count)
        contrast, anchors, state = self._contrast(
            require_representation(student.representation),
            vectors,
            logits,
            shrink_labels(labeled.mask, *logits.shape[-2:]),
            reliability,
            step,
        )
        terms = {
            "supervised": self.loss_on_labeled(labeled_logits, labeled.mask),
            "contrastive": self.settings.contrast_weight * contrast,
        }
        fill = state["pushed"].clamp(max=self.settings.bank_size).float().mean()
        diagnostics = {"anchors": anchors, "bank": fill / self.settings.bank_size}
        if len(strong.image):
            kept, pixels = reliability.kept.sum(), mixed.valid.sum()
            loss = pseudo_label_loss(
                upsample(unlabeled_logits, size, size),
                mixed.label.masked_fill(~reliability.kept, IGNORE_INDEX),
                mixed.valid,
                "kept",
                self.class_weights,
            )
            if self.settings.unsupervised_mean == "program":
                loss = loss * divisor(pixels) / divisor(kept)
            terms["unsupervised"] = loss
            diagnostics["used"] = kept / pixels.clamp(min=1)
        return Losses(terms, diagnostics, state)

    @torch.no_grad()
    def pseudo_labels(self, weak: Tensor, valid: Tensor, step: Step) -> PseudoLabels:
        """See `Method.pseudo_labels`."""
        kept = 1 - self._unreliable_share(step)
        return entropy_pseudo_labels(self.teacher(weak).logits, valid, kept)

    def _draw_boxes(
        self, batch: int, height: int, width: int, generator: torch.Generator
    ) -> Tensor:
        """Boxes of half the area in some steps, and none in the others; see `draw_boxes`."""
        boxes = draw_boxes(batch, height, width, generator)
        return boxes & (torch.rand(1, generator=generator) < self.settings.mix_probability)

    def _unreliable_share(self, step: Step) -> float:
        """The share of the unlabeled pixels that are not used at this step."""
        return self.settings.unreliable_share * (1 - step.share)

    def _reliability(self, entropy: Tensor, valid: Tensor, step: Step) -> Reliability:
        """Sort the pixels of the batch by percentiles of their entropy."""
        share = self._unreliable_share(step)
        low, high = masked_quantiles(entropy, valid, (share, 1 - share))
        kept = valid & (entropy < high)
        anchors = kept if self.settings.anchor_pixels == "complement" else valid & (entropy <= low)
        return Reliability(kept, anchors, valid & (entropy >= high))

    def _contrast(
        self,
        student: Tensor,
        teacher: Tensor,
        logits: Tensor,
        truth: Tensor,
        reliability: Reliability,
        step: Step,
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """`L_c` on the stride-4 maps, labeled images first.

        Args:
            student: `(B, D, h, w)`, the student's representations.
            teacher: `(B, D, h, w)`, the teacher's.
            logits: `(B, C, h, w)`, the teacher's.
            truth: `(L, h, w)` int64, the masks of the labeled images.
            reliability: of the unlabeled images.
            step: the step whose key draws anchors and negatives.

        Returns:
            The loss, the share of the pixels that may be anchors, and the new banks.
        """
        settings, classes = self.settings, logits.shape[1]
        _, low, high = (shrink_labels(part, *truth.shape[-2:]) for part in reliability)
        labels = torch.cat([truth, logits[len(truth) :].argmax(dim=1)])
        anchors = torch.cat([truth != IGNORE_INDEX, low])
        anchors &= indicator_of(logits, labels) > settings.anchor_confidence
        negatives = negative_classes(flatten(logits), truth, high, settings.low_rank)
        vectors = flatten(teacher)
        banks, pushed = push_vectors(self.banks, self.pushed, vectors, negatives)
        positives, _ = class_means(
            vectors, labels.masked_fill(~anchors, IGNORE_INDEX).flatten(), classes
        )
        draw = draw_from_banks(
            labels.flatten(),
            anchors.flatten(),
            pushed.clamp(max=settings.bank_size),
            settings.bank_size,
            settings.anchors,
            settings.negatives,
            step.key.child("contrast").torch(),
        )
        loss = contrastive_loss(
            flatten(student), positives, draw, settings.temperature, banks.flatten(0, 1)
        )
        return loss, anchors.sum() / labels.numel(), {"banks": banks, "pushed": pushed}


def negative_classes(logits: Tensor, truth: Tensor, high: Tensor, low_rank: int) -> Tensor:
    """The classes that a pixel is a negative of.

    A labeled pixel: the likely classes other than its own. An unlabeled pixel with a high entropy:
    the unlikely classes.

    Args:
        logits: `(M, C)`, the teacher's; the labeled pixels come first.
        truth: `(L, h, w)` int64, the classes of the labeled pixels, 255 where ignored.
        high: `(U, h, w)` bool, the unlabeled pixels with a high entropy.
        low_rank: the number of likely classes; at most `C - 1` counts.

    Returns:
        `(M, C)` bool.
    """
    classes = logits.shape[1]
    low_rank = min(low_rank, classes - 1)
    order = logits.argsort(dim=1, descending=True, stable=True)
    place = torch.arange(classes, device=logits.device).expand_as(order)
    rank = torch.empty_like(order).scatter(1, order, place)
    own = truth.reshape(-1, 1)
    in_labeled = (own != IGNORE_INDEX) & (own != place[: len(own)]) & (rank[: len(own)] < low_rank)
    others = rank[len(own) :]
    in_unlabeled = high.reshape(-1, 1) & (others >= low_rank) & (others < HIGH_RANK)
    return torch.cat([in_labeled, in_unlabeled])


def _targets(logits: Tensor, representation: Tensor, valid: Tensor) -> U2plTargets:
    """The teacher's labels and entropies of unlabeled images, before mixing."""
    fine = upsample(logits, valid.shape[-2:], valid.shape[-2:])
    label = fine.argmax(dim=1).masked_fill(~valid, IGNORE_INDEX)
    return U2plTargets(label, pixel_entropy(fine), valid, logits, representation)
