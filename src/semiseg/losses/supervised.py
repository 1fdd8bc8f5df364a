"""The loss on labelled images."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from semiseg.model.ranks import divisor
from semiseg.types import IGNORE_INDEX


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy over the pixels that are not ignored, over all processes; see `divisor`.

    Args:
        logits: `(B, C, H, W)` float.
        target: `(B, H, W)` int64 class indices, 255 where ignored.

    Returns:
        A scalar; exactly 0, with a graph, where every pixel is ignored.
    """
    total = F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX, reduction="sum")
    return total / divisor((target != IGNORE_INDEX).sum())
