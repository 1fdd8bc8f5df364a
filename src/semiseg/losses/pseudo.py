"""Losses of the student against the teacher on unlabeled images, `L_u`.

In several processes each is a mean over the pixels of all; see `model.distributed.divisor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.config.methods.css import UnsupervisedMean
from semiseg.core.types import IGNORE_INDEX
from semiseg.model.distributed import divisor, sum_over_ranks

_MIN_SHARE = 1e-4  # added to the shares of classes, so that a tiny share counts like none
_MAX_RATIO = 5.0  # of two shares; with few pseudo-labels a larger ratio would be noise


def unsupervised_loss(
    logits: Tensor,
    pseudo_label: Tensor,
    confident: Tensor,
    valid: Tensor,
    mean: UnsupervisedMean,
    weights: Tensor | None = None,
) -> Tensor:
    """`L_u` with one of its means: `pseudo_label_loss` at confident pixels, or `program`.

    Args:
        logits: `(B, C, H, W)` float, the student on the strong view.
        pseudo_label: `(B, H, W)` int64, confident or not; 255 where there is none.
        confident: `(B, H, W)` bool.
        valid: `(B, H, W)` bool, False where there is padding.
        mean: over `all` valid pixels, over those that are `kept`, or `program`; see
            `share_weighted_loss`.
        weights: `(C,)` float, the weights of the classes; not for `program`.

    Returns:
        A scalar; exactly 0, with a graph, without any pseudo-label.
    """
    if mean == "program":
        return share_weighted_loss(logits, pseudo_label, confident)
    target = pseudo_label.masked_fill(~confident, IGNORE_INDEX)
    return pseudo_label_loss(logits, target, valid, mean, weights)


def pseudo_label_loss(
    logits: Tensor,
    pseudo_label: Tensor,
    valid: Tensor,
    over: Literal["all", "kept"] = "all",
    weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy against pseudo-labels, as a mean over valid pixels.

    The mean over `all` valid pixels includes those without a pseudo-label in its divisor. So fewer
    pseudo-labels have less weight against the labeled images. In the mean over the pixels that are
    `kept`, a few pseudo-labels have the same weight as many.

    Args:
        logits: `(B, C, H, W)` float, the student on the strong view; or `(N, C)`, of single pixels.
        pseudo_label: `(B, H, W)` or `(N,)` int64, 255 where there is none.
        valid: bool, of the shape of `pseudo_label`, False where there is padding.
        over: the pixels whose number is the divisor.
        weights: `(C,)` float, the weights of the classes. The divisor stays the number of pixels,
            so that the loss is smaller if only large classes have pseudo-labels.

    Returns:
        A scalar; exactly 0, with a graph, without any pseudo-label.
    """
    target = pseudo_label.masked_fill(~valid, IGNORE_INDEX)
    weights = None if weights is None else weights.to(logits)
    total = F.cross_entropy(logits, target, weights, ignore_index=IGNORE_INDEX, reduction="sum")
    pixels = valid if over == "all" else target != IGNORE_INDEX
    return total / divisor(pixels.sum())


def pixel_entropy(logits: Tensor) -> Tensor:
    """The entropy of each pixel's probabilities, in nats: 0 for a certain pixel, at most `ln C`.

    Args:
        logits: `(B, C, H, W)`.

    Returns:
        `(B, H, W)` float, in single precision at least.
    """
    log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=1)
    return -(log_p.exp() * log_p).sum(dim=1)


def masked_quantiles(values: Tensor, where: Tensor, shares: Sequence[float]) -> Tensor:
    """Quantiles of the values at some places of this process's batch, interpolated.

    Args:
        values: a float tensor of any shape.
        where: bool, of the same shape, the places that count.
        shares: the quantiles, 0 for the smallest value and 1 for the largest.

    Returns:
        One value for each share; NaN if no place counts.
    """
    counted = values.masked_fill(~where, torch.nan).flatten()
    counted = torch.cat([counted, counted.new_full((1,), torch.nan)])  # so that there is a value
    # Filled on the device: a copy from the CPU would wait for it.
    places = torch.stack([counted.new_full((), share) for share in shares])
    return torch.nanquantile(counted, places)


def share_weighted_loss(
    logits: Tensor, pseudo_label: Tensor, confident: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy against all pseudo-labels, weighted by the share of confident pixels.

    This is the loss of ReCo, and of the program of CSS. The weight of an image is the number of its
    confident pixels divided by the number of its pseudo-labels; the mean is over the pixels whose
    cross-entropy is not 0. If confident labels were withdrawn, the weight exceeds 1.

    Args:
        logits: `(B, C, H, W)` float, the student on the strong view.
        pseudo_label: `(B, H, W)` int64, 255 where there is none.
        confident: `(B, H, W)` bool.
        weights: `(C,)` float, the weights of the classes.

    Returns:
        A scalar; exactly 0, with a graph, where there is no label.
    """
    weights = None if weights is None else weights.to(logits)
    labels = (pseudo_label != IGNORE_INDEX).sum(dim=(1, 2))
    weight = confident.sum(dim=(1, 2)) / labels.clamp(min=1)
    loss = F.cross_entropy(
        logits, pseudo_label, weights, ignore_index=IGNORE_INDEX, reduction="none"
    )
    return (weight.view(-1, 1, 1) * loss).sum() / divisor((loss > 0).sum())


def confidence_weighted_loss(
    logits: Tensor, pseudo_label: Tensor, confidence: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy times the confidence of each pseudo-label, as a mean over the pseudo-labels.

    The divisor is their number, not the sum of the confidences (PS-MT, CVPR 2022).

    Args:
        logits: `(B, C, H, W)` float, the student on the strong view.
        pseudo_label: `(B, H, W)` int64, 255 where there is none.
        confidence: `(B, H, W)` float in 0..1.
        weights: `(C,)` float, the weights of the classes.

    Returns:
        A scalar; exactly 0, with a graph, without any pseudo-label.
    """
    weights = None if weights is None else weights.to(logits)
    loss = F.cross_entropy(
        logits, pseudo_label, weights, ignore_index=IGNORE_INDEX, reduction="none"
    )
    return (confidence * loss).sum() / divisor((pseudo_label != IGNORE_INDEX).sum())


def count_labels(labels: Tensor, classes: int) -> Tensor:
    """Count the pixels of each class, over all processes.

    Args:
        labels: any shape, int64; 255 for pixels that belong to no class.
        classes: number of classes `C`.

    Returns:
        `(C,)` float, the same in each process.
    """
    key = labels.flatten().clamp(max=classes)  # one row more, for the pixels of no class
    # In integers, whose sum does not depend on the order in which a GPU adds them.
    counts = key.new_zeros(classes + 1).index_add_(0, key, torch.ones_like(key))
    return sum_over_ranks(counts[:classes]).float()


def balanced_weights(shares: Tensor, label_counts: Tensor, weights: Tensor | None) -> Tensor:
    """Class weights for `L_u` that give each class its influence in the loss on labeled images.

    A threshold passes most pixels of an easy class and few pixels of a hard one, so the
    pseudo-labels make the hard class look rare. In the loss on labeled images, class `c` has the
    influence `shares[c] * weights[c]`. So a pseudo-label gets the weight `weights[c]` times
    `shares[c]` divided by the class's share of the pseudo-labels, a ratio that is limited to 1/5
    to 5. Then all weights are scaled by the same factor, which has the same limits, so that no
    weight changes by more than a factor of 25.

    Args:
        shares: `(C,)`, the shares of the classes in the labeled pixels.
        label_counts: `(C,)`, the pseudo-labels of each class in the last batches; all 0 at the
            start.
        weights: `(C,)`, the weights of the classes in the loss on labeled images, or None for 1.

    Returns:
        `(C,)`, scaled so that all pseudo-labels together keep the weight that `weights` gives them.
    """
    plain = torch.ones_like(shares) if weights is None else weights
    total = label_counts.sum()
    label_shares = label_counts / total.clamp(min=1)
    ratio = (shares + _MIN_SHARE) / (label_shares + _MIN_SHARE)
    balanced = plain * ratio.clamp(1 / _MAX_RATIO, _MAX_RATIO)
    tiny = torch.finfo(balanced.dtype).tiny
    scale = (label_shares * plain).sum() / (label_shares * balanced).sum().clamp(min=tiny)
    return torch.where(total > 0, balanced * scale, plain)


def consistency_loss(logits: Tensor, teacher_logits: Tensor, valid: Tensor) -> Tensor:
    """Squared distance of two predictions: the sum over classes, the mean over valid pixels.

    Args:
        logits: `(B, C, H, W)` float, the student's.
        teacher_logits: `(B, C, H, W)` float; no gradient flows into them.
        valid: `(B, H, W)` bool, False where there is padding.

    Returns:
        A scalar in 0..2; exactly 0, with a graph, where no pixel is valid.
    """
    difference = logits.softmax(dim=1) - teacher_logits.detach().softmax(dim=1)
    distance = difference.square().sum(dim=1)
    return (distance * valid).sum() / divisor(valid.sum())
