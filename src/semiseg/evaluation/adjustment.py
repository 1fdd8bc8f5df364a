"""How much of the class weights is taken out of the logits again, after the training.

Weights teach rare classes early, and leave them too many pixels at the end: a network that learned
with the weight `w_c` of class `c` gives logits that are larger by `log w_c` than those of a world
in which classes are as frequent as in the labelled images. What mean IoU is highest with lies
between the two, so that a share of `log w_c` is subtracted: the logit adjustment of Menon et al.
(ICLR 2021), with the loss's weights in place of the frequencies.
"""

from __future__ import annotations

import torch
from torch import Tensor

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The shares of `log w_c` of which the best on `val` is released."""


def offsets(weights: Tensor | None, classes: int) -> dict[float, Tensor]:
    """What is added to the logits, by the share of the weights that it takes out.

    Args:
        weights: `(C,)`, what a pixel counted in the loss by its class; None for 1, of which
            nothing can be taken out.
        classes: their number `C`.

    Returns:
        `(C,)` float32 on the CPU each, the first of them zeros; 0 for a class of weight 0, which
        no labelled pixel is of.
    """
    if weights is None:
        return {0.0: torch.zeros(classes)}
    known = weights.detach().float().cpu()
    logarithms = torch.where(known > 0, known, 1.0).log()
    return {strength: -strength * logarithms for strength in STRENGTHS}
