"""Calibration: whether a model's confidence tells right pixels from wrong ones."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from semiseg.core.types import IGNORE_INDEX, Prediction

_BINS = 3000
_ERROR_BINS = 15  # the usual number of bins of the calibration error
_COVERAGES = (100, 95, 90, 80, 70, 50)  # shares of the pixels, in percent, for the curve


# The functional form, since `from` is a word of Python.
CoveragePoint = TypedDict("CoveragePoint", {"from": float, "coverage": float, "accuracy": float})
"""The pixels whose certainty is at least `from` (0..1): their share and accuracy, in percent."""


class CalibrationSummary(TypedDict):
    """The calibration of one indicator.

    `ece` is the expected calibration error over 15 bins, in percent; None without pixels. `kept`
    are points of the accuracy for falling coverage; empty without pixels.
    """

    ece: float | None
    kept: list[CoveragePoint]


class Agreement(TypedDict):
    """The pixels on which both spaces agree: their share and accuracy, in percent."""

    coverage: float
    accuracy: float


class ReliabilitySummary(TypedDict, total=False):
    """The calibration of each space, and the pixels on which both agree, where there are two."""

    confidence: CalibrationSummary
    similarity: CalibrationSummary
    agree: Agreement


class Calibration:
    """Counts right and wrong pixels by the certainty of the model."""

    def __init__(self) -> None:
        self.counts = np.zeros((2, _BINS), np.int64)  # wrong, right

    def add(self, certainty: NDArray[np.float32], right: NDArray[np.bool_]) -> None:
        """Count pixels.

        Args:
            certainty: `(N,)` in 0..1.
            right: `(N,)` whether the label is the true one.
        """
        bins = (certainty * np.float32(_BINS)).astype(np.int64).clip(0, _BINS - 1)
        bins += right * _BINS
        self.counts += np.bincount(bins, minlength=2 * _BINS).reshape(2, _BINS)

    def summary(self) -> CalibrationSummary:
        """The calibration error and the curve of accuracy over coverage."""
        wrong, right = self.counts
        total = wrong + right
        pixels = int(total.sum())
        if not pixels:
            return {"ece": None, "kept": []}
        middle = (np.arange(_BINS) + 0.5) / _BINS
        gap = (right - total * middle).reshape(_ERROR_BINS, -1).sum(axis=1)
        coverage = 100 * total[::-1].cumsum()[::-1] / pixels
        points: dict[int, CoveragePoint] = {}
        for share in _COVERAGES:
            first = int(np.flatnonzero(coverage >= share).max())
            points[first] = {
                "from": first / _BINS,
                "coverage": float(coverage[first]),
                "accuracy": float(100 * right[first:].sum() / total[first:].sum()),
            }
        return {"ece": float(100 * np.abs(gap).sum() / pixels), "kept": list(points.values())}


class Reliability:
    """The calibration of each space, and the accuracy where both agree.

    Args:
        two_spaces: whether predictions have a nearest prototype.
    """

    def __init__(self, two_spaces: bool) -> None:
        self.confidence = Calibration()
        self.similarity = Calibration() if two_spaces else None
        self.pixels, self.agreeing, self.agreeing_right = 0, 0, 0

    def add(self, prediction: Prediction, truth: NDArray[np.uint8]) -> None:
        """Count a prediction.

        Args:
            prediction: the prediction of one image.
            truth: `(H, W)` its true mask; pixels of 255 do not count.
        """
        scored = truth != IGNORE_INDEX
        truth = truth[scored]
        right = prediction.mask[scored] == truth
        self.confidence.add(prediction.confidence[scored], right)
        nearest, similarity = prediction.nearest, prediction.similarity
        if self.similarity is not None and nearest is not None and similarity is not None:
            self.similarity.add(similarity[scored], nearest[scored] == truth)
            agreeing = (nearest == prediction.mask)[scored]
            self.pixels += len(truth)
            self.agreeing += int(agreeing.sum())
            self.agreeing_right += int((agreeing & right).sum())

    def summary(self) -> ReliabilitySummary:
        """The calibration by indicator, and the pixels on which both spaces agree."""
        summary: ReliabilitySummary = {"confidence": self.confidence.summary()}
        if self.similarity is not None:
            summary["similarity"] = self.similarity.summary()
        if self.agreeing:
            summary["agree"] = {
                "coverage": 100 * self.agreeing / self.pixels,
                "accuracy": 100 * self.agreeing_right / self.agreeing,
            }
        return summary
