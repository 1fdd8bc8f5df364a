"""`prcl`: probabilistic representations in the contrast (Xie et al., AAAI 2023)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from semiseg.config.methods import PrclSettings
from semiseg.core.types import Inputs, Step
from semiseg.losses.contrastive import Comparisons, comparisons_of, info_nce
from semiseg.losses.gaussian import compare_by, gaussian_prototypes, similarities_of
from semiseg.methods.base import Auxiliary
from semiseg.methods.prototypical import draw_contrast, require_representation
from semiseg.methods.reco import ReCo
from semiseg.methods.semi_supervised import schedule_factor
from semiseg.model.network import Network, flatten
from semiseg.model.variance_head import VarianceHead


class PRCL(ReCo):
    """ReCo whose representations are Gaussians: unsure pixels move a prototype less.

    Args:
        student: the network that learns. The constructor adds a representation head to it.
        settings: the method's own settings.

    Attributes:
        variance_head: gives each dimension of a representation its variance. It is not released.
    """

    settings: PrclSettings

    def __init__(self, student: Network, settings: PrclSettings) -> None:
        super().__init__(student, settings)
        self.variance_head = VarianceHead(
            student.width, settings.representation_dim, settings.min_variance
        )

    def auxiliary(self) -> tuple[Auxiliary, ...]:
        """The variance head, with a learning rate of its own."""
        return (Auxiliary(self.variance_head, self.settings.variance_rate),)

    def _student(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """The student's logits, and its representations as Gaussians `(B, 2D, h, w)`."""
        features = self.student.decode(self.student.encode(*inputs), inputs.image.shape[-2:])
        logits, representation = self.student.heads(features)
        mean = require_representation(representation).float()
        return logits, torch.cat([mean, self.variance_head(features)], dim=1)

    def _contrast_weight(self, step: Step) -> float:
        """See `ReCo._contrast_weight`; here it follows a schedule."""
        factor = schedule_factor(self.settings.contrast_schedule, step.share)
        return self.settings.contrast_weight * factor

    def _contrast(
        self, representation: Tensor, labels: Tensor, hard: Tensor, step: Step
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """See `ReCo._contrast`; the gap is that of the logits of positives and negatives."""
        settings = self.settings
        pixels = flatten(representation)
        prototypes = gaussian_prototypes(
            pixels.detach(), labels.flatten(), self.student.classes, settings.prototype_precision
        )
        similarities = similarities_of(settings.reduction)
        draw = draw_contrast(labels, hard, prototypes, settings, step, similarities)
        if len(draw.classes) < 2:
            zero = pixels.sum() * 0.0
            return zero, {"gap": zero.detach()}
        comparisons = comparisons_of(
            pixels, prototypes, draw, settings.temperature, compare=compare_by(settings.reduction)
        )
        return info_nce(comparisons, draw.hard), {"gap": _gap(comparisons, draw.hard)}


def _gap(comparisons: Comparisons, hard: Tensor) -> Tensor:
    """The logit of the positive less the mean logit of the negatives, over the anchors."""
    gap = comparisons.positive.detach().mean(dim=1) - comparisons.negative.detach().mean(dim=(1, 2))
    return torch.where(hard, gap, 0.0).sum() / hard.sum().clamp(min=1)
