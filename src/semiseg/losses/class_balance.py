"""Class weights and losses on labeled images for classes with unequal numbers of pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.core.types import IGNORE_INDEX
from semiseg.model.distributed import sum_over_ranks, world_size

_MIN_SHARE = 1e-4  # a class with a smaller share of the pixels gets the same weight


def inverse_weights(pixels: Sequence[int]) -> Tensor:
    """Weight classes by the inverse of their numbers of pixels.

    Args:
        pixels: the number of pixels of each class.

    Returns:
        `(C,)` float weights with a mean of 1 over all pixels; 0 for a class without pixels.
    """
    return _scaled([1 / n if n else 0.0 for n in pixels], pixels)


def root_weights(pixels: Sequence[int]) -> Tensor:
    """Weight classes by the inverse square root of their numbers of pixels.

    On a scale of ratios, this is half way between equal weights for all pixels and equal weights
    for all classes. The network learns rare classes early, and does not neglect a large one.

    Args:
        pixels: the number of pixels of each class. A share below one in ten thousand counts as one
            in ten thousand, so that a few stray pixels do not dominate the loss.

    Returns:
        `(C,)` float weights with a mean of 1 over all pixels; 0 for a class without pixels.
    """
    minimum = _MIN_SHARE * sum(pixels)
    return _scaled([max(n, minimum) ** -0.5 if n else 0.0 for n in pixels], pixels)


def effective_weights(pixels: Sequence[int]) -> Tensor:
    """Weight classes by the inverse of their effective numbers of pixels (Cui et al., CVPR 2019).

    The effective number `(1 - b^n) / (1 - b)` grows like `n` at first and converges to
    `1 / (1 - b)`. The paper's `b` is made for numbers of images; with numbers of pixels it would
    give all classes the same weight. Here `1 / (1 - b)` is the mean number of pixels of the classes
    that occur. So large classes get similar weights, small ones nearly the inverse of their pixels,
    and another resolution of the masks gives the same weights.

    Args:
        pixels: the number of pixels of each class.

    Returns:
        `(C,)` float weights with a mean of 1 over all pixels; 0 for a class without pixels.
    """
    occurring = sum(1 for n in pixels if n)
    limit = max(2.0, sum(pixels) / max(1, occurring))
    b = 1 - 1 / limit
    return _scaled([(1 - b) / (1 - b**n) if n else 0.0 for n in pixels], pixels)


def _scaled(weights: Sequence[float], pixels: Sequence[int]) -> Tensor:
    """The weights, scaled to a mean of 1 over all pixels."""
    mean = sum(w * n for w, n in zip(weights, pixels, strict=True)) / max(1, sum(pixels))
    return torch.tensor([w / mean if mean else 0.0 for w in weights])


def weighted_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean cross-entropy, in which each pixel has the weight of its class.

    Args:
        logits: `(B, C, H, W)` float.
        target: `(B, H, W)` int64 class indices, 255 where ignored.
        weights: `(C,)` float, the weights of the classes.

    Returns:
        A scalar; exactly 0, with a graph, where every pixel is ignored.
    """
    weights = weights.to(logits)
    total = F.cross_entropy(logits, target, weights, ignore_index=IGNORE_INDEX, reduction="sum")
    labeled = target != IGNORE_INDEX
    weight = weights[target.masked_fill(~labeled, 0)].mul(labeled).sum()
    weight = sum_over_ranks(weight) / world_size()  # as in `model.distributed.divisor`
    return total / weight.masked_fill(weight == 0, 1.0)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - Dice of probabilities and masks, as the mean over the classes in the masks.

    All classes have the same weight, whatever their numbers of pixels. The Dice of a class covers
    the pixels of the whole batch. The mean leaves out classes that do not occur in the batch, so
    that the loss does not shrink with their number.

    Args:
        logits: `(B, C, H, W)` float.
        target: `(B, H, W)` int64 class indices, 255 where ignored.

    Returns:
        A scalar; exactly 0, with a graph, where every pixel is ignored.
    """
    count = logits.shape[1]
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    labeled = target != IGNORE_INDEX
    probabilities = logits.softmax(dim=1) * labeled.unsqueeze(1)
    classes = target.masked_fill(~labeled, 0)
    own = probabilities.gather(1, classes.unsqueeze(1)).flatten()
    overlap = own.new_zeros(count).index_add(0, classes.flatten(), own)
    true = torch.bincount(classes[labeled], minlength=count)
    dice = 2 * overlap / (probabilities.sum(dim=(0, 2, 3)) + true).clamp(min=1e-12)
    present = true > 0
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)
