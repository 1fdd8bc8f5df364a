"""The losses on labeled images; in several processes means over all pixels, see `divisor`."""

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

    Hard are the pixels whose true class has a probability of at most `threshold`, and in any case
    the `min_kept` hardest of the batch; all, where fewer are labeled.

    Args:
        logits: `(B, C, H, W)` float.
        target: `(B, H, W)` int64 class indices, 255 where ignored.
        threshold: a probability.
        min_kept: pixels of the batch that are kept at least; 1 or more.

    Returns:
        A scalar; exactly 0, with a graph, where every pixel is ignored.
    """
    loss = F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX, reduction="none")
    labeled = target != IGNORE_INDEX
    # Ignored pixels are the easiest: where they reach into the `min_kept`, the limit is 1.
    probability = (-loss.detach().float()).exp().masked_fill(~labeled, 1.0)
    last = min(min_kept, probability.numel())
    limit = probability.flatten().kthvalue(last).values.clamp(min=threshold)
    hard = labeled & (probability <= limit)
    return (loss * hard).sum() / divisor(hard.sum())
