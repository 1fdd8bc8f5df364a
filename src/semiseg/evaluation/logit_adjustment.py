"""Logit adjustment: a share of the class weights is subtracted from the logits after training.

Class weights make a network learn rare classes early, but at the end it gives them too many pixels.
A network that trains with the weight `w_c` of class `c` has logits that are larger by `log w_c`
than with the class frequencies of the labeled pixels. The best mean IoU lies between the two, so
semiseg subtracts a share of `log w_c`. This is the logit adjustment of Menon et al. (ICLR 2021),
with the weights of the loss in place of the frequencies. Pseudo-labels of a teacher that prefers
rare classes, weighted in their turn, increase that preference. So the best share can exceed 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""The shares of `log w_c` to try; `evaluation.choice` says which one the released model has."""


def offset(weights: Tensor | None, classes: int, strength: float) -> Tensor:
    """Compute what is added to the logits.

    Args:
        weights: `(C,)` the weight of each class in the loss; None for 1, with nothing to subtract.
        classes: the number of classes `C`.
        strength: the share of `log w_c` to subtract.

    Returns:
        `(C,)` float32 on the CPU; 0 for a class of weight 0, which has no labeled pixel.
    """
    if weights is None or not strength:
        return torch.zeros(classes)
    weights = weights.detach().float().cpu()
    return -strength * torch.where(weights > 0, weights, 1.0).log()


def offsets(weights: Tensor | None, classes: int) -> dict[float, Tensor]:
    """The `offset` of each strength to try: 0 comes first, and is the only one without weights."""
    strengths = STRENGTHS[:1] if weights is None else STRENGTHS
    return {strength: offset(weights, classes, strength) for strength in strengths}


def describe_strength(strength: float) -> str:
    """The share of the class weights in words."""
    return f"{100 * strength:.0f} % of the class weights"
