"""Pixel contrast: pulls anchors to their prototype, away from other classes (Eq. 9 of CSS).

The similarity of two representations is their cosine here. Methods with another one give it to
`draw_pixels` and `contrastive_loss`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

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
        negatives: `(P, K)` int64 positions, pixels of other present classes or vectors of a bank.
    """

    classes: Tensor
    hard: Tensor
    anchors: Tensor
    negatives: Tensor


class Comparisons(NamedTuple):
    """The similarities of the anchors, divided by the temperature.

    Attributes:
        positive: `(P, A)`, with the prototype of the anchor's class.
        negative: `(P, A, K)`, with the negatives.
    """

    positive: Tensor
    negative: Tensor


Compare: TypeAlias = Callable[[Tensor, Tensor, Tensor, float], Comparisons]
"""Compares anchors `(P, A, D)` with positives `(P, D)` and negatives `(P, K, D)`; the last argument
is the temperature."""


class ClassPixels(NamedTuple):
    """The pixels sorted by class, the hard ones of each class first.

    Attributes:
        order: `(N,)` int64, the positions of the pixels in this order.
        start: `(C,)` int64, the place in `order` at which a class begins.
        size: `(C,)` int64, the number of pixels of a class.
        hard_size: `(C,)` int64, the number of hard ones among them.
    """

    order: Tensor
    start: Tensor
    size: Tensor
    hard_size: Tensor


def cosines(vectors: Tensor) -> Tensor:
    """The cosines `(P, P)` of vectors `(P, D)` with each other."""
    unit = F.normalize(vectors, dim=1)
    return unit @ unit.t()


def sort_by_class(labels: Tensor, hard: Tensor, classes: int) -> ClassPixels:
    """Sort pixels by class, so that a draw among a class is a draw of a position in a range.

    Args:
        labels: `(N,)` int64, 255 for pixels that are not valid; they come last.
        hard: `(N,)` bool, whether a pixel may be an anchor.
        classes: number of classes `C`.
    """
    # Sort key: 2c for hard pixels of class c, 2c + 1 for its others, 2C for invalid ones.
    invalid = labels == IGNORE_INDEX
    key = torch.where(invalid, 2 * classes, 2 * labels + (~hard).long())
    ordered, order = key.sort(stable=True)
    # The first position of each key. (Counting the keys would synchronize a GPU.)
    begin = torch.searchsorted(ordered, torch.arange(2 * classes + 1, device=labels.device))
    start = begin[:-1:2]
    return ClassPixels(order, start, begin[2::2] - start, begin[1::2] - start)


def draw_pixels(
    labels: Tensor,
    hard: Tensor,
    prototypes: Tensor,
    temperature: float,
    anchors: int,
    negatives: int,
    generator: torch.Generator,
    similarities: Callable[[Tensor], Tensor] = cosines,
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
        similarities: the similarities `(P, P)` of prototypes `(P, D)` with each other.

    Returns:
        The draw. The anchors of present classes without hard pixels have no meaning.
    """
    classes, device = prototypes.shape[0], labels.device
    pixels = sort_by_class(labels, hard, classes)
    present = pixels.size.nonzero().squeeze(1)
    u = torch.rand(classes, anchors + 2 * negatives, generator=generator).to(device)
    u = u.index_select(0, present)
    u_anchor, u_class = u[:, :anchors], u[:, anchors : anchors + negatives]
    u_pixel = u[:, anchors + negatives :]
    own = present.unsqueeze(1)
    anchor = _uniform(u_anchor, pixels.start[own], pixels.hard_size[own])
    logits = similarities(prototypes.index_select(0, present)) / temperature
    other = present[_other_class(logits, u_class)]
    negative = _uniform(u_pixel, pixels.start[other], pixels.size[other])
    hard_classes = pixels.hard_size[present] > 0
    return Draw(present, hard_classes, pixels.order[anchor], pixels.order[negative])


def draw_from_banks(
    labels: Tensor,
    hard: Tensor,
    counts: Tensor,
    size: int,
    anchors: int,
    negatives: int,
    generator: torch.Generator,
) -> Draw:
    """Draw anchors among the pixels of each class, and negatives in the bank of each class.

    As in `draw_pixels`, the draws are with replacement, and the anchors of a class share the
    negatives.

    Args:
        labels: `(N,)` int64, 255 for pixels that are not valid.
        hard: `(N,)` bool, whether a pixel may be an anchor.
        counts: `(C,)` int64, the number of vectors in the bank of each class.
        size: the rows of a bank, used or not.
        anchors: `A`, the number of anchors of each class.
        negatives: `K`, the number of negatives of each class.
        generator: a CPU generator, so that the draws do not depend on the device.

    Returns:
        The draw for the classes with anchors and a bank that is not empty. Negatives are positions
        in the banks `(C * size, D)`.
    """
    classes, device = len(counts), labels.device
    pixels = sort_by_class(labels, hard, classes)
    usable = ((pixels.hard_size > 0) & (counts > 0)).nonzero().squeeze(1)
    u = torch.rand(classes, anchors + negatives, generator=generator).to(device)
    u = u.index_select(0, usable)
    own = usable.unsqueeze(1)
    anchor = _uniform(u[:, :anchors], pixels.start[own], pixels.hard_size[own])
    negative = _uniform(u[:, anchors:], size * own, counts[own])
    return Draw(usable, torch.ones_like(usable, dtype=torch.bool), pixels.order[anchor], negative)


def _uniform(u: Tensor, start: Tensor, size: Tensor) -> Tensor:
    """A position in `start .. start + size - 1` for each `u` in 0..1; `start` if there is none."""
    # In integers, since u is a multiple of 2^-24: as floats, u * size can round up to size where
    # size is large, and not every device has double precision.
    return start + ((u * 2**24).long() * size >> 24)


def _other_class(logits: Tensor, u: Tensor) -> Tensor:
    """For each row, draw other rows with probability `softmax(logits)`.

    Args:
        logits: `(P, P)`, the similarities divided by the temperature.
        u: `(P, K)` in 0..1.

    Returns:
        `(P, K)` int64 in `0..P-1`; never the row itself if `P > 1`.
    """
    if len(logits) < 2:
        return torch.zeros_like(u, dtype=torch.long)
    logits = logits.clone().fill_diagonal_(-torch.inf)
    cumulative = logits.softmax(dim=1).cumsum(dim=1)
    # Scaled by the total, so that a rounded sum below 1 never draws the class after the last.
    rows = torch.searchsorted(cumulative, u * cumulative[:, -1:], right=True)
    last = (cumulative < cumulative[:, -1:]).sum(dim=1, keepdim=True)  # the last with any weight
    return rows.minimum(last)


def compare_cosines(
    anchors: Tensor, positives: Tensor, negatives: Tensor, temperature: float
) -> Comparisons:
    """Compare by cosine; see `Compare`."""
    # Divided by `tau` here, where there are the fewest numbers.
    anchors = F.normalize(anchors, dim=2) / temperature
    negatives = F.normalize(negatives, dim=2)
    to_positive = (anchors @ F.normalize(positives, dim=1).unsqueeze(2)).squeeze(2)
    return Comparisons(to_positive, anchors @ negatives.transpose(1, 2))


def comparisons_of(
    representation: Tensor,
    prototypes: Tensor,
    draw: Draw,
    temperature: float,
    bank: Tensor | None = None,
    compare: Compare = compare_cosines,
) -> Comparisons:
    """Compare the drawn anchors with their prototypes and their negatives.

    A gradient flows through the anchors alone.

    Args:
        representation: `(N, D)`, the student's, not normalized.
        prototypes: `(C, D)`, the positives.
        draw: from `draw_pixels` or `draw_from_banks`.
        temperature: `tau`.
        bank: `(M, D)`, the vectors in which the negatives are positions; None for the pixels.
        compare: the similarity.

    Returns:
        The comparisons, in single precision at least.
    """
    count, anchors = draw.anchors.shape
    bank = representation if bank is None else bank
    # There are few drawn pixels, so half precision would save nothing here.
    dtype = torch.promote_types(representation.dtype, torch.float32)
    with torch.autocast(representation.device.type, enabled=False):
        # index_select, since the backward of indexing with repeats is not deterministic.
        anchor = representation.index_select(0, draw.anchors.flatten()).to(dtype)
        negative = bank.detach().index_select(0, draw.negatives.flatten()).to(dtype)
        positive = prototypes.detach().index_select(0, draw.classes).to(dtype)
        anchor = anchor.view(count, anchors, -1)
        negative = negative.view(count, draw.negatives.shape[1], -1)
        return compare(anchor, positive, negative, temperature)


def info_nce(comparisons: Comparisons, hard: Tensor) -> Tensor:
    """The mean loss of the anchors of each class, summed and divided by the number of classes.

    Args:
        comparisons: of `P` classes, one at least.
        hard: `(P,)` bool, False for classes that add 0.
    """
    # -log(e^p / (e^p + sum e^n)) without a copy of the logits that holds both.
    positive, negative = comparisons
    loss = -F.logsigmoid(positive - negative.logsumexp(dim=2)).mean(dim=1)
    return torch.where(hard, loss, 0.0).sum() / len(hard)


def contrastive_loss(
    representation: Tensor,
    prototypes: Tensor,
    draw: Draw,
    temperature: float,
    bank: Tensor | None = None,
) -> Tensor:
    """InfoNCE of the drawn anchors (Eq. 9).

    For each class with hard pixels, the loss of its anchors is averaged; the sum over these classes
    is divided by the number of classes present. A gradient flows through the anchors alone.

    Args:
        representation: `(N, D)`, the student's, not normalized.
        prototypes: `(C, D)`, the positives.
        draw: from `draw_pixels` or `draw_from_banks`.
        temperature: `tau`.
        bank: see `comparisons_of`.

    Returns:
        A scalar; exactly 0, with a graph, without hard pixels, and with fewer than two classes
        where other classes' pixels are the negatives.
    """
    if len(draw.classes) < (2 if bank is None else 1):
        return representation.sum() * 0.0
    return info_nce(comparisons_of(representation, prototypes, draw, temperature, bank), draw.hard)
