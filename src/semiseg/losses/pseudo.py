"""The losses of the student against what the teacher says of unlabeled images, `L_u`.

In several processes each is a mean over the pixels of all; see `model.ranks.divisor`.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.config.methods.css import UnsupervisedMean
from semiseg.core.types import IGNORE_INDEX
from semiseg.model.distributed import divisor, sum_over_ranks

_LEAST = 1e-4  # of the shares of classes: what is below it cannot be told from nothing
_MOST = 5.0  # how far two shares may part: where hardly anything is taught, it would be noise


def unsupervised_loss(
    logits: Tensor,
    pseudo_label: Tensor,
    confident: Tensor,
    valid: Tensor,
    mean: UnsupervisedMean,
    weights: Tensor | None = None,
) -> Tensor:
    """`L_u` by one of its means: `pseudo_label_loss` at confident pixels, or the `program`'s.

    Args:
        logits: `(B, C, H, W)` float, the student on the strong view.
        pseudo_label: `(B, H, W)` int64, confident or not; 255 where there is none.
        confident: `(B, H, W)` bool.
        valid: `(B, H, W)` bool, False where there is padding.
        mean: over `all` valid pixels, those that are `kept`, or see `share_weighted_loss`.
        weights: `(C,)` float, what a pixel counts by its class; not for the `program`'s mean.

    Returns:
        A scalar; exactly 0, with a graph, where nothing is taught.
    """
    if mean == "program":
        return share_weighted_loss(logits, pseudo_label, confident)
    taught = pseudo_label.masked_fill(~confident, IGNORE_INDEX)
    return pseudo_label_loss(logits, taught, valid, mean, weights)


def pseudo_label_loss(
    logits: Tensor,
    pseudo_label: Tensor,
    valid: Tensor,
    over: Literal["all", "kept"] = "all",
    weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy against pseudo-labels, as a mean over pixels that show image.

    Over `all` of them, pixels without a pseudo-label count in the divisor: the less is known, the
    less it weighs against the labeled images. Over those that are `kept`, few weigh as many do.

    Args:
        logits: `(B, C, H, W)` float, the student on the strong view.
        pseudo_label: `(B, H, W)` int64, 255 where nothing is taught.
        valid: `(B, H, W)` bool, False where there is padding.
        over: the pixels that the sum is divided by.
        weights: `(C,)` float, what a pixel counts by its class. The divisor stays the number of
            pixels: where large classes alone are certain, the loss is the smaller for it.

    Returns:
        A scalar; exactly 0, with a graph, where nothing is taught.
    """
    taught = pseudo_label.masked_fill(~valid, IGNORE_INDEX)
    weights = None if weights is None else weights.to(logits)
    total = F.cross_entropy(logits, taught, weights, ignore_index=IGNORE_INDEX, reduction="sum")
    pixels = valid if over == "all" else taught != IGNORE_INDEX
    return total / divisor(pixels.sum())


def share_weighted_loss(logits: Tensor, pseudo_label: Tensor, confident: Tensor) -> Tensor:
    """Cross-entropy against all pseudo-labels, weighted by how many of an image are confident.

    This is what the authors' program does: an image's weight is the number of its confident pixels
    over that of its labeled ones, and the mean is over the pixels whose cross-entropy is not 0.
    Where labels were withdrawn although they are confident, the weight exceeds 1.

    Args:
        logits: `(B, C, H, W)` float, the student on the strong view.
        pseudo_label: `(B, H, W)` int64, 255 where there is none.
        confident: `(B, H, W)` bool.

    Returns:
        A scalar; exactly 0, with a graph, where there is no label.
    """
    labels = (pseudo_label != IGNORE_INDEX).sum(dim=(1, 2))
    weight = confident.sum(dim=(1, 2)) / labels.clamp(min=1)
    loss = F.cross_entropy(logits, pseudo_label, ignore_index=IGNORE_INDEX, reduction="none")
    return (weight.view(-1, 1, 1) * loss).sum() / divisor((loss > 0).sum())


def count_labels(labels: Tensor, classes: int) -> Tensor:
    """Pixels of each class, over all processes.

    Args:
        labels: any shape, int64; 255 for pixels that belong to no class.
        classes: number of classes `C`.

    Returns:
        `(C,)` float, the same in each process.
    """
    key = labels.flatten().clamp(max=classes)  # one more, for the pixels of no class
    # In integers, which come to the same in whatever order a GPU adds them.
    counts = key.new_zeros(classes + 1).index_add_(0, key, torch.ones_like(key))
    return sum_over_ranks(counts[:classes]).float()


def balanced_weights(shares: Tensor, taught: Tensor, weights: Tensor | None) -> Tensor:
    """Weights with which classes count in `L_u` as they do in the loss on labeled images.

    A threshold passes most pixels of an easy class and few of a hard one, and so says that the hard
    one is rare. In the loss on labeled images class `c` counts as its share `shares[c]` of the
    pixels times `weights[c]`. A taught pixel is therefore weighed by `weights[c]` times
    `shares[c]` over the class's share of what is taught, a ratio that is kept within a fifth and
    five. All are then scaled alike, also by a fifth to five, so no weight moves more than 25 times.

    Args:
        shares: `(C,)`, of the classes in the labeled pixels.
        taught: `(C,)`, pixels that were taught of each class of late; all 0 where nothing was.
        weights: `(C,)`, of the classes in the loss on labeled images, or None for 1.

    Returns:
        `(C,)`, scaled so that the pixels of `taught` weigh as much in all as with `weights`.
    """
    plain = torch.ones_like(shares) if weights is None else weights
    total = taught.sum()
    found = taught / total.clamp(min=1)
    ratio = ((shares + _LEAST) / (found + _LEAST)).clamp(1 / _MOST, _MOST)
    moved = plain * ratio
    tiny = torch.finfo(moved.dtype).tiny
    scale = (found * plain).sum() / (found * moved).sum().clamp(min=tiny)
    return torch.where(total > 0, moved * scale, plain)


def consistency_loss(logits: Tensor, teacher_logits: Tensor, valid: Tensor) -> Tensor:
    """Squared distance of two predictions, summed over classes, its mean over valid pixels.

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
