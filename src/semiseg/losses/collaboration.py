"""How logit space and representation space together label a pixel (Sec. 3.2, 3.3 of CSS)."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from semiseg.config.methods.css import Collaboration
from semiseg.core.types import IGNORE_INDEX

Kind: TypeAlias = Literal["confidence", "similarity"]
_LEAST = 1e-4  # of the frequencies of classes: no prior forbids one


class Spaces(NamedTuple):
    """What the two spaces say of a batch, at one resolution.

    Attributes:
        logits: `(B, C, H, W)` float; their softmax holds the confidences.
        similarity: `(B, C, H, W)` float, cosines to the prototypes over `tau_r`, plus the prior of
            the classes if there is one; their softmax holds the similarity indicators (Eq. 5).
        logit_label: `(B, H, W)`, the class of the largest logit (Eq. 1).
        representation_label: `(B, H, W)`, the class of the largest similarity (Eq. 4).
    """

    logits: Tensor
    similarity: Tensor
    logit_label: Tensor
    representation_label: Tensor

    def scores(self, kind: Kind) -> Tensor:
        """`(B, C, H, W)`, what that indicator is the softmax of."""
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
    """The labels of both spaces.

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
    """How frequent classes are for a network that learns from weighed labels, as logarithms.

    A cross-entropy with class weights teaches logits of a world in which a class is as frequent as
    its share of the labeled pixels times its weight. A cosine to a prototype says how likely a
    representation is of a class, as the density of a von Mises-Fisher distribution of concentration
    `1 / tau_r` does, but not how likely the class is; by Bayes' rule this is what it lacks to be
    compared with the logits.

    Args:
        shares: `(C,)`, of the classes in the labeled pixels.
        weights: `(C,)`, of the classes in the loss, or None for 1.

    Returns:
        `(C,)`; a class that makes up less than 1e-4 counts as if it made up that.
    """
    counted = shares if weights is None else shares * weights
    # Where the masks show nothing at all, no class is more frequent than another.
    total = counted.sum().clamp(min=torch.finfo(counted.dtype).tiny)
    return (counted / total).clamp(min=_LEAST).log()


def collaborate(how: Collaboration, spaces: Spaces, available: Tensor) -> tuple[Tensor, Tensor]:
    """The final labels (Sec. 3.3).

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
    """How far a space trusts a label: the softmax of its scores at that class (Eq. 5).

    Args:
        scores: `(B, C, H, W)` float, the logits or the scaled similarities.
        label: `(B, H, W)` int64, 255 where there is none.

    Returns:
        `(B, H, W)` in 0..1, 0 where there is no label.
    """
    channel = label.clamp(max=scores.shape[1] - 1)  # 255 has no channel
    own = scores.gather(1, channel.unsqueeze(1)).squeeze(1)
    return (own - scores.logsumexp(dim=1)).exp().masked_fill(label == IGNORE_INDEX, 0.0)
