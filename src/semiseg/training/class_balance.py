"""What a training does about classes of unequal size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from semiseg.augment.focus import Focus
from semiseg.config.groups import BalanceConfig, ClassWeights
from semiseg.losses.class_balance import (
    dice_loss,
    effective_weights,
    inverse_weights,
    root_weights,
    weighted_cross_entropy,
)
from semiseg.losses.supervised import ohem_cross_entropy
from semiseg.methods.base import Method

WEIGHTS: dict[ClassWeights, Callable[[Sequence[int]], Tensor] | None] = {
    "none": None,
    "sqrt": root_weights,
    "inverse": inverse_weights,
    "effective": effective_weights,
}
_OHEM_THRESHOLD = 0.7  # as in all programs of the field


def set_loss(method: Method, balance: BalanceConfig, pixels: Sequence[int]) -> None:
    """Give the method the class frequencies, and the loss on labeled images that is asked for.

    Without such settings the method keeps its own loss.

    Args:
        method: the method.
        balance: the settings.
        pixels: the pixels of each class in the labeled images.
    """
    weigh = WEIGHTS[balance.class_weights]
    weights = None if weigh is None else weigh(pixels)
    main = method.supervised_loss

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        if method.class_weights is not None:
            total = weighted_cross_entropy(logits, target, method.class_weights)
        elif balance.ohem:
            count = max(1, round(balance.ohem * target.numel()))
            total = ohem_cross_entropy(logits, target, _OHEM_THRESHOLD, count)
        else:
            total = main(logits, target)
        return total + balance.dice * dice_loss(logits, target) if balance.dice else total

    method.class_weights = weights
    method.class_shares = torch.tensor(pixels, dtype=torch.float32) / max(1, sum(pixels))
    if weights is not None or balance.ohem or balance.dice:
        method.supervised_loss = loss


def make_focus(rare_crops: float, pixels: Sequence[int]) -> Focus | None:
    """Class-aware sampling: how crops are centered on rare classes; None for no such crops.

    Args:
        rare_crops: the share of labeled crops to center on a rare class.
        pixels: the pixels of each class in the labeled images.
    """
    if not rare_crops:
        return None
    return Focus(rare_crops, tuple(1 / n if n else 0.0 for n in pixels))
