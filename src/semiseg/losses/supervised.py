"""Losses on labeled images.

In several processes each loss is a mean over the pixels of all; see `model.distributed.divisor`.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from semiseg.core.types import IGNORE_INDEX
from semiseg.model.distributed import divisor


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy over the pixels that are not ignored.

    Args:
        logits: `(B, C, H, W)` float.
        target: `(B, H, W)` int64 class indices, 255 where ignored.

    Returns:
        A scalar; exactly 0, with a graph, where every pixel is ignored.
    """
    total = F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX, reduction="sum")
    return total / divisor((target != IGNORE_INDEX).sum())


def ohem_cross_entropy(logits: Tensor, target: Tensor, threshold: float, min_kept: int) -> Tensor:
    """Mean cross-entropy over the hard pixels (online hard example mining).

    A pixel is hard if its true class has a probability of at most `threshold`, or if it is one of
    the `min_kept` hardest pixels of the batch. If fewer pixels are labeled, all of them are hard.

    Args:
        logits: `(B, C, H, W)` float.
        target: `(B, H, W)` int64 class indices, 255 where ignored.
        threshold: a probability.
        min_kept: the minimum number of hard pixels in the batch; 1 or more.

    Returns:
        A scalar; exactly 0, with a graph, where every pixel is ignored.
    """
    loss = F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX, reduction="none")
    labeled = target != IGNORE_INDEX
    # Ignored pixels count as the easiest. If `min_kept` includes them, the limit is 1.
    probability = (-loss.detach().float()).exp().masked_fill(~labeled, 1.0)
    last = min(min_kept, probability.numel())
    limit = probability.flatten().kthvalue(last).values.clamp(min=threshold)
    hard = labeled & (probability <= limit)
    return (loss * hard).sum() / divisor(hard.sum())
