"""Logit space and representation space label the pixels together (Sec. 3.2 and 3.3 of CSS)."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from semiseg.config.methods.css import Collaboration
from semiseg.core.types import IGNORE_INDEX

Kind: TypeAlias = Literal["confidence", "similarity"]
_MIN_FREQUENCY = 1e-4  # so that the prior excludes no class


class Spaces(NamedTuple):
    """The scores and the labels of both spaces for a batch, at one resolution.

    Attributes:
        logits: `(B, C, H, W)` float; their softmax holds the confidences.
        similarity: `(B, C, H, W)` float, cosines to the prototypes divided by `tau_r`, plus the
            class prior if there is one; their softmax holds the similarity indicators (Eq. 5).
        logit_label: `(B, H, W)`, the class of the largest logit (Eq. 1).
        representation_label: `(B, H, W)`, the class of the largest similarity (Eq. 4).
    """

    logits: Tensor
    similarity: Tensor
    logit_label: Tensor
    representation_label: Tensor

    def scores(self, kind: Kind) -> Tensor:
        """`(B, C, H, W)`, the scores whose softmax is the indicator."""
        return self.logits if kind == "confidence" else self.similarity


class Targets(NamedTuple):
    """The targets of the unlabeled images, map by map.

    Attributes:
        logit: `(B, H, W)`, the label for logit space; 255 where there is none.
        confident: `(B, H, W)` bool, True where the indicator reaches `delta_u`, also where the
            other space withdrew the label; False in padding.
        agree: `(B, H, W)` bool, True where both spaces have the same label; False in padding.
        valid: `(B, H, W)` bool, False where there is padding.
        representation: `(B, h, w)`, the label for representation space at stride 4; 255 where the
            indicator is below `delta_w`.
        indicator: `(B, h, w)`, the indicator of that label; where it is low, the pixel is hard.
    """

    logit: Tensor
    confident: Tensor
    agree: Tensor
    valid: Tensor
    representation: Tensor
    indicator: Tensor

    @property
    def pseudo_label(self) -> Tensor:
        """`(B, H, W)`, the label for logit space where it is confident, else 255."""
        return self.logit.masked_fill(~self.confident, IGNORE_INDEX)


def read_spaces(logits: Tensor, similarity: Tensor, available: Tensor) -> Spaces:
    """Label the pixels in both spaces.

    Args:
        logits: `(B, C, H, W)`.
        similarity: `(B, C, H, W)`.
        available: `(C,)` bool, the classes that the representation space can choose. If there are
            none, it repeats the label of logit space.
    """
    logit_label, nearest = logits.argmax(dim=1), similarity.argmax(dim=1)
    return Spaces(
        logits, similarity, logit_label, torch.where(available.any(), nearest, logit_label)
    )


def class_prior(shares: Tensor, weights: Tensor | None) -> Tensor:
    """The logarithms of the class frequencies for a network that trains with class weights.

    With class weights, a cross-entropy gives logits as if the frequency of a class were its share
    of the labeled pixels times its weight. The cosine to a prototype, like the density of a von
    Mises-Fisher distribution of concentration `1 / tau_r`, says how likely a representation is
    given the class, but not how likely the class is. By Bayes' rule, adding the logarithm of the
    class's frequency makes it comparable with the logits.

    Args:
        shares: `(C,)`, the shares of the classes in the labeled pixels.
        weights: `(C,)`, the weights of the classes in the loss, or None for 1.

    Returns:
        `(C,)`; a frequency below 1e-4 counts as 1e-4.
    """
    frequency = shares if weights is None else shares * weights
    # Without any labeled pixel, all classes have the same frequency.
    total = frequency.sum().clamp(min=torch.finfo(frequency.dtype).tiny)
    return (frequency / total).clamp(min=_MIN_FREQUENCY).log()


def collaborate(how: Collaboration, spaces: Spaces, available: Tensor) -> tuple[Tensor, Tensor]:
    """Combine the labels of both spaces (Sec. 3.3).

    Args:
        how: `mix` keeps the labels on which both spaces agree, `cross` gives each space the label
            of the other, `logit` and `representation` give both that of one.
        spaces: from `read_spaces`.
        available: `(C,)` bool, the classes that the representation space can choose. Where the
            logit label is another class, `mix` keeps the logit label.

    Returns:
        The labels for logit space and for representation space, `(B, H, W)` each; 255 where there
        is none.
    """
    logit, representation = spaces.logit_label, spaces.representation_label
    if how == "representation":
        return representation, representation
    if how == "cross":
        return representation, logit
    if how == "mix":
        final = logit.masked_fill((logit != representation) & available[logit], IGNORE_INDEX)
        return final, final
    return logit, logit


def indicator_of(scores: Tensor, label: Tensor) -> Tensor:
    """The indicator of a label in a space: the softmax of its scores at that class (Eq. 5).

    Args:
        scores: `(B, C, H, W)` float, the logits or the scaled similarities.
        label: `(B, H, W)` int64, 255 where there is none.

    Returns:
        `(B, H, W)` in 0..1, 0 where there is no label.
    """
    channel = label.clamp(max=scores.shape[1] - 1)  # 255 has no channel
    own = scores.gather(1, channel.unsqueeze(1)).squeeze(1)
    return (own - scores.logsumexp(dim=1)).exp().masked_fill(label == IGNORE_INDEX, 0.0)
