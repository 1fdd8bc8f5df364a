"""Scores from a confusion matrix, in per cent; a class that never occurs has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from semiseg.core.types import IGNORE_INDEX


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


def scores(confusion: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """The mean intersection over union and each class's scores.

    Args:
        confusion: `(C, C)` from `confusion_matrix`, summed over all images.
        names: the class names.

    Returns:
        `{"miou": float, "accuracy": float, "per_class": {name: {"iou", "dice", "precision",
        "recall", "pixels"}}}`: per cent, `pixels` counts true pixels. A class without a true and a
        predicted pixel has None throughout and is left out of the mean; so are a precision without
        predictions and a recall without truth.
    """
    counts = confusion.double()
    hit = counts.diagonal()
    true, predicted = counts.sum(dim=1), counts.sum(dim=0)
    columns = {
        "iou": _percent(hit, true + predicted - hit),
        "dice": _percent(2 * hit, true + predicted),
        "precision": _percent(hit, predicted),
        "recall": _percent(hit, true),
    }
    pixels = true.long().tolist()
    per_class = {
        name: {**{key: column[i] for key, column in columns.items()}, "pixels": pixels[i]}
        for i, name in enumerate(names)
    }
    known = [iou for iou in columns["iou"] if iou is not None]
    return {
        "miou": sum(known) / len(known) if known else None,
        "accuracy": _percent(hit.sum(), counts.sum())[0],
        "per_class": per_class,
    }


def _percent(part: Tensor, whole: Tensor) -> list[float | None]:
    """100 part / whole, None where the whole is empty."""
    part, whole = part.reshape(-1), whole.reshape(-1)
    ratios = torch.where(whole > 0, 100 * part / whole.clamp(min=1), torch.nan).tolist()
    return [None if r != r else r for r in ratios]
