"""Pixel contrast: pulls anchors to their prototype, away from other classes (Eq. 9 of CSS)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.core.types import IGNORE_INDEX


class Draw(NamedTuple):
    """The pixels of a contrastive loss, for the `P` classes that are present.

    Attributes:
        classes: `(P,)` int64, the present classes.
        hard: `(P,)` bool, True for a class with hard pixels, from which anchors are drawn.
        anchors: `(P, A)` int64 positions among all pixels.
        negatives: `(P, K)` int64 positions, pixels of other present classes.
    """

    classes: Tensor
    hard: Tensor
    anchors: Tensor
    negatives: Tensor


def draw_pixels(
    labels: Tensor,
    hard: Tensor,
    prototypes: Tensor,
    temperature: float,
    anchors: int,
    negatives: int,
    generator: torch.Generator,
) -> Draw:
    """Draw anchors and negatives for all classes at once, by index arithmetic.

    The pixels are sorted once by class, the hard ones first; a uniform draw among the (hard)
    pixels of a class is then a uniform position in a range. A negative's class is drawn among the
    other present classes with probability `softmax(cos(rho_c, rho_c') / tau)`, its pixel uniformly
    among that class's. The negatives are shared by the anchors of a class: each anchor's own
    distribution, and with it the expectation of the loss, is that of separate draws.

    Args:
        labels: `(N,)` int64, 255 for pixels that are not valid.
        hard: `(N,)` bool, whether a pixel may be an anchor.
        prototypes: `(C, D)`.
        temperature: `tau`.
        anchors: `A`, the number of anchors of each class.
        negatives: `K`, the number of negatives of each class.
        generator: a CPU generator, so that the draws do not depend on the device.

    Returns:
        The draw. The anchors of present classes without hard pixels have no meaning.
    """
    classes, device = prototypes.shape[0], labels.device
    # Sort key: 2c for hard pixels of class c, 2c + 1 for its others, 2C for invalid ones.
    invalid = labels == IGNORE_INDEX
    key = torch.where(invalid, 2 * classes, 2 * labels + (~hard).long())
    ordered, order = key.sort(stable=True)
    # The first position of each key. (Counting the keys would synchronize a GPU.)
    begin = torch.searchsorted(ordered, torch.arange(2 * classes + 1, device=device))
    start = begin[:-1:2]
    size, hard_size = begin[2::2] - start, begin[1::2] - start
    present = size.nonzero().squeeze(1)
    u = torch.rand(classes, anchors + 2 * negatives, generator=generator).to(device)
    u = u.index_select(0, present)
    u_anchor, u_class = u[:, :anchors], u[:, anchors : anchors + negatives]
    u_pixel = u[:, anchors + negatives :]
    own = present.unsqueeze(1)
    anchor = _uniform(u_anchor, start[own], hard_size[own])
    other = present[_other_class(prototypes.index_select(0, present), temperature, u_class)]
    negative = _uniform(u_pixel, start[other], size[other])
    return Draw(present, hard_size[present] > 0, order[anchor], order[negative])


def _uniform(u: Tensor, start: Tensor, size: Tensor) -> Tensor:
    """A position in `start .. start + size - 1` for each `u` in 0..1; `start` if there is none."""
    # In integers, since u is a multiple of 2^-24: as floats, u * size can round up to size where
    # size is large, and not every device has double precision.
    return start + ((u * 2**24).long() * size >> 24)


def _other_class(prototypes: Tensor, temperature: float, u: Tensor) -> Tensor:
    """For each row, draw other rows with probability `softmax(cos / temperature)`.

    Args:
        prototypes: `(P, D)`.
        temperature: `tau`.
        u: `(P, K)` in 0..1.

    Returns:
        `(P, K)` int64 in `0..P-1`; never the row itself if `P > 1`.
    """
    unit = F.normalize(prototypes, dim=1)
    logits = unit @ unit.t() / temperature
    logits.fill_diagonal_(-torch.inf)
    if len(logits) < 2:
        return torch.zeros_like(u, dtype=torch.long)
    cumulative = logits.softmax(dim=1).cumsum(dim=1)
    # Scaled by the total, so that a rounded sum below 1 never draws the class after the last.
    rows = torch.searchsorted(cumulative, u * cumulative[:, -1:], right=True)
    last = (cumulative < cumulative[:, -1:]).sum(dim=1, keepdim=True)  # the last with any weight
    return rows.minimum(last)


def contrastive_loss(
    representation: Tensor, prototypes: Tensor, draw: Draw, temperature: float
) -> Tensor:
    """InfoNCE of the drawn anchors (Eq. 9).

    For each class with hard pixels, the loss of its anchors is averaged; the sum over these classes
    is divided by the number of classes present. A gradient flows through the anchors alone.

    Args:
        representation: `(N, D)`, the student's, not normalized.
        prototypes: `(C, D)`, the positives.
        draw: from `draw_pixels`.
        temperature: `tau`.

    Returns:
        A scalar; exactly 0, with a graph, with fewer than two classes or without hard pixels.
    """
    present, (count, anchors) = len(draw.classes), draw.anchors.shape
    if present < 2:
        return representation.sum() * 0.0
    # There are few drawn pixels, so half precision would save nothing here.
    dtype = torch.promote_types(representation.dtype, torch.float32)
    with torch.autocast(representation.device.type, enabled=False):
        # index_select, since the backward of indexing with repeats is not deterministic.
        anchor = representation.index_select(0, draw.anchors.flatten()).to(dtype)
        negative = representation.detach().index_select(0, draw.negatives.flatten()).to(dtype)
        positive = prototypes.detach().index_select(0, draw.classes).to(dtype)
        # Divided by `tau` here, where there are the fewest numbers.
        anchor = F.normalize(anchor.view(count, anchors, -1), dim=2) / temperature
        negative = F.normalize(negative, dim=1).view(count, draw.negatives.shape[1], -1)
        to_positive = (anchor @ F.normalize(positive, dim=1).unsqueeze(2)).squeeze(2)
        to_negative = anchor @ negative.transpose(1, 2)
        # -log(e^p / (e^p + sum e^n)) without a copy of the logits that holds both.
        loss = -F.logsigmoid(to_positive - to_negative.logsumexp(dim=2)).mean(dim=1)
        return torch.where(draw.hard, loss, 0.0).sum() / present
