"""All scores of masks that are at hand: those of a model, of another program, of an annotator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray

from semiseg.config.background import foreground
from semiseg.config.settings import AUTO
from semiseg.core.errors import ConfigError, DataError
from semiseg.core.scores import ClassScores, ShapeScores
from semiseg.core.text import percent, plural, table
from semiseg.core.types import IGNORE_INDEX
from semiseg.evaluation.metrics import confusion_matrix, scores
from semiseg.evaluation.shapes import ShapeCounts, count_shapes, shape_scores


@dataclass(frozen=True, kw_only=True)
class ScoredMasks:
    """The scores of predicted masks.

    Attributes:
        miou: the mean IoU in percent. Classes without a score are left out.
        accuracy: the share of the pixels with the right class, in percent.
        per_class: the scores of each class by its name.
        shapes: the scores of areas, boundaries and objects.
        images: the number of masks.
    """

    miou: float | None
    accuracy: float | None
    per_class: Mapping[str, ClassScores]
    shapes: ShapeScores
    images: int

    def to_dict(self) -> dict[str, object]:
        """The scores as plain values, for JSON."""
        return asdict(self)

    def text(self) -> str:
        """The scores of the classes and their means."""
        mean = f"mIoU {percent(self.miou)} % on {plural(self.images, 'mask')}"
        return f"{self.class_table()}\n{mean}\n\n{self.shapes.text()}"

    def class_table(self) -> str:
        """The scores of the classes that a confusion matrix gives."""
        rows = [
            [
                name,
                *map(percent, (one.iou, one.dice, one.precision, one.recall)),
                f"{one.pixels:,}",
            ]
            for name, one in self.per_class.items()
        ]
        return table(["class", "IoU", "Dice", "precision", "recall", "pixels"], rows)


class MaskCounter:
    """Counts masks one by one, and gives their scores.

    Args:
        names: the class names.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.images = 0
        self.confusion = torch.zeros(len(names), len(names), dtype=torch.long)
        self.shapes = ShapeCounts.zeros(len(names))

    def add(self, prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> None:
        """Count one mask.

        Args:
            prediction: `(H, W)` class indices wherever the truth is not 255.
            truth: `(H, W)` class indices, or 255 for pixels that are not counted.
        """
        count = len(self.names)
        self.images += 1
        self.confusion += confusion_matrix(
            torch.from_numpy(prediction), torch.from_numpy(truth), count
        )
        self.shapes = self.shapes.plus(count_shapes(prediction, truth, count))

    def scores(self, background: str | None = AUTO) -> ScoredMasks:
        """The scores of all masks so far.

        Args:
            background: see `score_masks`.

        Raises:
            ConfigError: there is no class of that name.
        """
        classes = foreground(self.names, background)
        result = scores(self.confusion, self.names)
        return ScoredMasks(
            miou=result["miou"],
            accuracy=result["accuracy"],
            per_class={name: ClassScores(**one) for name, one in result["per_class"].items()},
            shapes=shape_scores(self.shapes, self.names, classes),
            images=self.images,
        )


def score_masks(
    predictions: Iterable[NDArray[np.integer]],
    truths: Iterable[NDArray[np.integer]],
    names: Sequence[str],
    *,
    background: str | None = AUTO,
) -> ScoredMasks:
    """Score predicted masks: IoU, Dice, boundary IoU, HD95, F1 of objects, shares of the area.

    `semiseg evaluate` computes the same for a trained model.

    Args:
        predictions: the predicted masks, each `(H, W)` class indices. What they hold where the
            truth is 255 does not matter.
        truths: the true masks in the same order, each `(H, W)` class indices, or 255 for pixels
            that are not counted.
        names: the class names.
        background: the class that the means over the foreground leave out, or None to leave out
            none. `auto` is a class named `background`, or the lower of two ids.

    Returns:
        The scores, in percent and pixels. `text()` prints them, `to_dict()` is for JSON.

    Raises:
        DataError: there are no masks, or a mask has another shape than its truth, or values that
            are no class.
        ConfigError: a class name is no text, or there is no class with the name of the background.

    Example:
        >>> import numpy as np
        >>> truth = np.zeros((8, 12), int)
        >>> truth[1:4, 1:4] = truth[5:7, 6:11] = 1
        >>> prediction = np.zeros((8, 12), int)
        >>> prediction[1:4, 1:5] = 1
        >>> scored = score_masks([prediction], [truth], ["background", "nucleus"])
        >>> nucleus = scored.shapes.per_class["nucleus"]
        >>> nucleus.objects, nucleus.predicted_objects, nucleus.matched_objects
        (2, 1, 1)
        >>> f"Dice {scored.shapes.foreground_dice:.1f} %, object F1 {nucleus.object_f1:.1f} %"
        'Dice 58.1 %, object F1 66.7 %'
    """
    _check_names(names)
    foreground(names, background)  # a wrong name is refused before anything is counted
    counter = MaskCounter(names)
    for prediction, truth in zip_longest(predictions, truths):
        if prediction is None or truth is None:
            raise DataError(
                f"The {'predictions' if prediction is None else 'truths'} end after "
                f"{plural(counter.images, 'mask')}.",
                "Give one prediction for each truth.",
            )
        prediction, truth = np.asarray(prediction), np.asarray(truth)
        _check(prediction, truth, len(names), counter.images + 1)
        prediction = np.where(truth == IGNORE_INDEX, 0, prediction)
        counter.add(prediction.astype(np.uint8), truth.astype(np.uint8))
    if not counter.images:
        raise DataError("There are no masks to score.", "Give a prediction and a truth at least.")
    return counter.scores(background)


def _check_names(names: Sequence[object]) -> None:
    """Refuse what is no sequence of class names.

    Raises:
        ConfigError: it is none.
    """
    example = 'Give one text for each class, such as names=["background", "nucleus"].'
    if isinstance(names, (str, bytes)) or not names:
        raise ConfigError(f"names holds no class names: {names!r}. {example}")
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise ConfigError(f"names holds {wrong[0]!r}, which is no text. {example}")


def _check(
    prediction: NDArray[np.integer], truth: NDArray[np.integer], classes: int, number: int
) -> None:
    """Refuse masks that cannot be compared.

    Raises:
        DataError: their shapes or values do not fit.
    """
    if truth.ndim != 2 or prediction.shape != truth.shape:
        raise DataError(
            f"Prediction {number} has the shape {prediction.shape}, its truth {truth.shape}.",
            "Give both as (H, W) class indices of one size.",
        )
    for title, mask in (("prediction", prediction), ("truth", truth)):
        if mask.dtype.kind not in "iub":
            raise DataError(
                f"The {title} {number} holds {mask.dtype} values.", "Give integer class indices."
            )
        counted = mask[truth != IGNORE_INDEX]
        wrong = counted[(counted < 0) | (counted >= classes)]
        if wrong.size:
            raise DataError(
                f"The {title} {number} holds the value {wrong[0]}, but there are "
                f"{plural(classes, 'class', 'classes')}, from 0 to {classes - 1}.",
                "Give class indices, and 255 in the truth where pixels are not counted.",
            )
