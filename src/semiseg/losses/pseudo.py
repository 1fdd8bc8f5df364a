"""The loss of the student against pseudo-labels, `L_u`."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from semiseg.model.ranks import divisor
from semiseg.types import IGNORE_INDEX


def pseudo_label_loss(logits: Tensor, pseudo_label: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy against pseudo-labels, divided by all pixels that show image.

    Pixels without a pseudo-label count in the divisor: the less is known, the less it weighs
    against the labelled images. In several processes they are counted over all; see `divisor`.

    Args:
        logits: `(B, C, H, W)` float, the student on the strong view.
        pseudo_label: `(B, H, W)` int64, 255 where nothing is taught.
        valid: `(B, H, W)` bool, False where there is padding.

    Returns:
        A scalar; exactly 0, with a graph, where nothing is taught.
    """
    taught = pseudo_label.masked_fill(~valid, IGNORE_INDEX)
    total = F.cross_entropy(logits, taught, ignore_index=IGNORE_INDEX, reduction="sum")
    return total / divisor(valid.sum())
