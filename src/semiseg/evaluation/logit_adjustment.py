"""How much of the class weights is taken out of the logits again, after the training.

Weights teach rare classes early, and leave them too many pixels at the end: a network that learned
with the weight `w_c` of class `c` gives logits that are larger by `log w_c` than those of a world
in which classes are as frequent as in the labeled images. What mean IoU is highest with lies
between the two, so that a share of `log w_c` is subtracted: the logit adjustment of Menon et al.
(ICLR 2021), with the loss's weights in place of the frequencies. Pseudo-labels of a teacher that
leans to rare classes, weighed in their turn, lean further: of such a student more than all of its
weights may have to be taken out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""The shares of `log w_c` of which the best on `val` is released."""


def offset(weights: Tensor | None, classes: int, strength: float) -> Tensor:
    """What is added to the logits to take a share of the weights out.

    Args:
        weights: `(C,)`, what a pixel counted in the loss by its class; None for 1, of which
            nothing can be taken out.
        classes: their number `C`.
        strength: the share.

    Returns:
        `(C,)` float32 on the CPU; 0 for a class of weight 0, which no labeled pixel is of.
    """
    if weights is None or not strength:
        return torch.zeros(classes)
    known = weights.detach().float().cpu()
    return -strength * torch.where(known > 0, known, 1.0).log()


def offsets(weights: Tensor | None, classes: int) -> dict[float, Tensor]:
    """`offset` by the strength, for each that is tried: 0 first, and alone without weights."""
    tried = STRENGTHS[:1] if weights is None else STRENGTHS
    return {strength: offset(weights, classes, strength) for strength in tried}


def judged(scores: Mapping[str, Any]) -> float:
    """The mean IoU by which one of several predictions of the same images is chosen.

    Other than `miou` it is over the classes that the images show, whatever is predicted: a class
    that is predicted by mistake alone would leave the mean, and raise it, once it is not.

    Args:
        scores: what `evaluation.metrics.scores` gave.

    Returns:
        Per cent; 0 where the images show nothing.
    """
    shown = [values["iou"] for values in scores["per_class"].values() if values["pixels"]]
    return sum(shown) / len(shown) if shown else 0.0


def in_words(strength: float) -> str:
    """A share of the weights, for people."""
    return f"{100 * strength:.0f} % of the class weights"
