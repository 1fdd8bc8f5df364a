"""Scores from a confusion matrix, in percent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor

from semiseg.core.types import IGNORE_INDEX


class ClassScores(TypedDict):
    """The scores of one class in percent, and the number of its true pixels.

    A class without true pixels is not scored: all of its scores are None. The precision is None
    without predicted pixels too.
    """

    iou: float | None
    dice: float | None
    precision: float | None
    recall: float | None
    pixels: int


class MaskScores(TypedDict):
    """The scores of predicted masks in percent.

    `miou` is the mean IoU of the classes with true pixels, `accuracy` the share of correct pixels.
    Both are None without any true pixel.
    """

    miou: float | None
    accuracy: float | None
    per_class: dict[str, ClassScores]


def confusion_matrix(prediction: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Count pixels by true class (rows) and predicted class (columns).

    Args:
        prediction: `(..., H, W)` integer class indices below `C` wherever the truth is not 255.
        truth: the same shape; class indices, or 255 for pixels that are not counted.
        classes: number of classes `C`.

    Returns:
        `(C, C)` int64.

    Example:
        >>> truth, prediction = torch.tensor([0, 0, 1, 255]), torch.tensor([0, 1, 1, 0])
        >>> confusion_matrix(prediction, truth, 2).tolist()
        [[1, 1], [0, 1]]
    """
    scored = truth != IGNORE_INDEX
    cells = truth[scored].long() * classes + prediction[scored].long()
    return torch.bincount(cells, minlength=classes * classes).view(classes, classes)


def scores(confusion: Tensor, names: Sequence[str], *, with_absent: bool = False) -> MaskScores:
    """Compute the mean intersection over union and the scores of each class.

    A class without true pixels is left out of the mean, whatever is predicted: its IoU would be 0
    or undefined, and say nothing about how well the class is segmented. Where it is predicted, the
    classes to which the pixels belong lose them.

    Args:
        confusion: `(C, C)` from `confusion_matrix`, summed over all images.
        names: the class names.
        with_absent: classes without true pixels are scored too where they are predicted. This is
            for a part of the pixels that the prediction itself has chosen, such as pseudo-labels:
            their classes must not escape the mean by the choice.

    Returns:
        The scores.

    Example:
        >>> scores(torch.tensor([[3, 1], [0, 4]]), ["soil", "crop"])["miou"]
        77.5
    """
    return scores_of_sums(
        confusion.sum(dim=1),
        confusion.sum(dim=0),
        confusion.diagonal(),
        names,
        with_absent=with_absent,
    )


def scores_of_sums(
    true: Tensor,
    predicted: Tensor,
    common: Tensor,
    names: Sequence[str],
    *,
    with_absent: bool = False,
) -> MaskScores:
    """Compute the same as `scores` from sums of pixels by class.

    Args:
        true: `(C,)` the true pixels of each class.
        predicted: `(C,)` its predicted pixels.
        common: `(C,)` the pixels that are both.
        names: the class names.
        with_absent: see `scores`.

    Example:
        >>> true, predicted, common = (torch.tensor(n) for n in ([4, 4], [3, 5], [3, 4]))
        >>> scores_of_sums(true, predicted, common, ["soil", "crop"])["miou"]
        77.5
    """
    true, predicted, correct = true.double(), predicted.double(), common.double()
    scored = (true > 0) | with_absent
    iou = _percent(correct, scored * (true + predicted - correct))
    dice = _percent(2 * correct, scored * (true + predicted))
    precision, recall = _percent(correct, scored * predicted), _percent(correct, true)
    pixels = true.long().tolist()
    per_class: dict[str, ClassScores] = {
        name: {
            "iou": iou[c],
            "dice": dice[c],
            "precision": precision[c],
            "recall": recall[c],
            "pixels": pixels[c],
        }
        for c, name in enumerate(names)
    }
    existing = [value for value in iou if value is not None]
    return {
        "miou": sum(existing) / len(existing) if existing else None,
        "accuracy": _percent(correct.sum(), true.sum())[0],
        "per_class": per_class,
    }


def _percent(part: Tensor, whole: Tensor) -> list[float | None]:
    """`100 part / whole`; None where the whole is 0."""
    part, whole = part.reshape(-1), whole.reshape(-1)
    ratios = torch.where(whole > 0, 100 * part / whole.clamp(min=1), torch.nan).tolist()
    return [None if math.isnan(ratio) else ratio for ratio in ratios]
