"""Representations that are Gaussians: their similarity, and the prototype of a class (PRCL).

A Gaussian with a variance for each of its `D` dimensions is a vector of `2D` numbers: the means,
then the variances. Only the direction of the means counts in a similarity.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from semiseg.config.methods.prcl import PrototypePrecision, Reduction
from semiseg.losses.contrastive import Compare, Comparisons
from semiseg.model.prototypes import class_means


def mutual_likelihood(first: Tensor, second: Tensor, reduction: Reduction) -> Tensor:
    """The mutual-likelihood scores of Gaussians, each of the first with each of the second.

    The score is `-1/2 ((m_a - m_b)^2 / (s_a + s_b) + ln(s_a + s_b))` for each dimension, with means
    `m` of length 1 and variances `s`. This is the logarithm of the probability that both have the
    same value, up to a constant.

    Args:
        first: `(A, 2D)`.
        second: `(K, 2D)`.
        reduction: the `sum` or the `mean` over the dimensions.

    Returns:
        `(A, K)`.
    """
    (mean_a, variance_a), (mean_b, variance_b) = (_parts(g) for g in (first, second))
    variance = variance_a.unsqueeze(1) + variance_b
    distance = (mean_a.unsqueeze(1) - mean_b).square() / variance + variance.log()
    total = distance.sum(dim=2) if reduction == "sum" else distance.mean(dim=2)
    return -0.5 * total


def _parts(gaussians: Tensor) -> tuple[Tensor, Tensor]:
    """The means, of length 1, and the variances."""
    mean, variance = gaussians.chunk(2, dim=-1)
    return F.normalize(mean, dim=-1), variance


def similarities_of(reduction: Reduction) -> Callable[[Tensor], Tensor]:
    """The similarity of prototypes with each other, for `draw_pixels`."""
    return lambda prototypes: mutual_likelihood(prototypes, prototypes, reduction)


def compare_by(reduction: Reduction) -> Compare:
    """The comparison of anchors with positives and negatives, for `comparisons_of`."""
    return partial(_compare, reduction=reduction)


def _compare(
    anchors: Tensor, positives: Tensor, negatives: Tensor, temperature: float, reduction: Reduction
) -> Comparisons:
    """See `contrastive.Compare`."""
    rows = []
    for own, positive, others in zip(anchors, positives, negatives, strict=True):
        keys = torch.cat([positive.unsqueeze(0), others])
        # One class at a time, and its A x K x D numbers again in the backward pass: together they
        # would fill the memory.
        score = checkpoint(
            mutual_likelihood, own, keys, reduction, use_reentrant=False, preserve_rng_state=False
        )
        rows.append(score / temperature)
    scores = torch.stack(rows)
    return Comparisons(scores[:, :, 0], scores[:, :, 1:])


def gaussian_prototypes(
    gaussians: Tensor, labels: Tensor, classes: int, precision: PrototypePrecision
) -> Tensor:
    """The prototype of each class: the mean of its pixels, weighted by their precisions.

    The precision is the inverse of the variance. Sure pixels count more, in each dimension by
    itself.

    Args:
        gaussians: `(N, 2D)`.
        labels: `(N,)` int64, 255 for pixels that belong to no class.
        classes: number of classes `C`.
        precision: the precision of a prototype is the `sum` or the `mean` of its pixels'.

    Returns:
        `(C, 2D)`, over all processes; the mean 0 and the variance 1 for classes without a pixel.
    """
    mean, variance = gaussians.chunk(2, dim=1)
    weight = 1 / variance
    sums, counts = class_means(torch.cat([weight, weight * mean], dim=1), labels, classes)
    weights, weighted = sums.chunk(2, dim=1)
    present = (counts > 0).unsqueeze(1)
    weights = torch.where(present, weights, 1.0)
    total = weights * counts.unsqueeze(1) if precision == "sum" else weights
    return torch.cat([weighted / weights, torch.where(present, 1 / total, 1.0)], dim=1)
