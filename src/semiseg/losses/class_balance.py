"""Losses on labeled images for classes of unequal size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.core.types import IGNORE_INDEX
from semiseg.model.distributed import ranks, sum_over_ranks

_LEAST = 1e-4  # the share of pixels below which a class weighs no more


def inverse_weights(pixels: Sequence[int]) -> Tensor:
    """Weights of classes by the inverse of their pixels.

    Args:
        pixels: how many each class has.

    Returns:
        `(C,)` float, whose mean over all pixels is 1; 0 for a class without pixels.
    """
    return _scaled([1 / n if n else 0.0 for n in pixels], pixels)


def root_weights(pixels: Sequence[int]) -> Tensor:
    """Weights of classes by the inverse of the square root of their pixels.

    Half way, on a scale of ratios, between weighing all pixels and weighing all classes the same:
    rare classes are learned early, and a large one is not given up for them.

    Args:
        pixels: how many each class has. A class with less than one in ten thousand weighs as if it
            had as many, so that a few stray pixels do not rule the loss.

    Returns:
        `(C,)` float, whose mean over all pixels is 1; 0 for a class without pixels.
    """
    least = _LEAST * sum(pixels)
    return _scaled([max(n, least) ** -0.5 if n else 0.0 for n in pixels], pixels)


def effective_weights(pixels: Sequence[int]) -> Tensor:
    """Weights of classes by the inverse of their effective number of pixels (Cui et al., 2019).

    The effective number `(1 - b^n) / (1 - b)` grows as `n` at first and ends at `1 / (1 - b)`. The
    paper's `b` counts images; pixels are many and alike, so that for those it would weigh all
    classes the same. Here `1 / (1 - b)` is the mean number of pixels of the classes that occur:
    large classes are weighed alike, small ones nearly by the inverse of their pixels, and another
    resolution of the masks gives the same weights.

    Args:
        pixels: how many each class has.

    Returns:
        `(C,)` float, whose mean over all pixels is 1; 0 for a class without pixels.
    """
    occurring = sum(1 for n in pixels if n)
    limit = max(2.0, sum(pixels) / max(1, occurring))
    b = 1 - 1 / limit
    return _scaled([(1 - b) / (1 - b**n) if n else 0.0 for n in pixels], pixels)


def _scaled(weights: Sequence[float], pixels: Sequence[int]) -> Tensor:
    mean = sum(w * n for w, n in zip(weights, pixels, strict=True)) / max(1, sum(pixels))
    return torch.tensor([w / mean if mean else 0.0 for w in weights])


def weighted_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean cross-entropy in which each pixel counts with the weight of its class.

    Args:
        logits: `(B, C, H, W)` float.
        target: `(B, H, W)` int64 class indices, 255 where ignored.
        weights: `(C,)` float.

    Returns:
        A scalar; exactly 0, with a graph, where every pixel is ignored.
    """
    weights = weights.to(logits)
    total = F.cross_entropy(logits, target, weights, ignore_index=IGNORE_INDEX, reduction="sum")
    known = target != IGNORE_INDEX
    share = weights[target.masked_fill(~known, 0)].mul(known).sum()
    share = sum_over_ranks(share) / ranks()  # as in `model.ranks.divisor`
    return total / share.masked_fill(share == 0, 1.0)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - Dice of probabilities and masks, the mean over the classes that the masks show.

    A class counts as much as any other, however few its pixels are. The pixels of the batch are
    taken together; classes that occur nowhere in it are left out of the mean, so that the loss
    does not shrink with their number.

    Args:
        logits: `(B, C, H, W)` float.
        target: `(B, H, W)` int64 class indices, 255 where ignored.

    Returns:
        A scalar; exactly 0, with a graph, where every pixel is ignored.
    """
    count = logits.shape[1]
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    known = target != IGNORE_INDEX
    probabilities = logits.softmax(dim=1) * known.unsqueeze(1)
    classes = target.masked_fill(~known, 0)
    own = probabilities.gather(1, classes.unsqueeze(1)).flatten()
    both = own.new_zeros(count).index_add(0, classes.flatten(), own)
    true = torch.bincount(classes[known], minlength=count)
    dice = 2 * both / (probabilities.sum(dim=(0, 2, 3)) + true).clamp(min=1e-12)
    shown = true > 0
    return ((1 - dice) * shown).sum() / shown.sum().clamp(min=1)
