"""Whether a model knows when it is wrong: calibration, and accuracy without doubtful pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from semiseg.core.types import IGNORE_INDEX, Prediction

_BINS = 3000
_COARSE = 15  # bins of the calibration error, as is usual
_KEPT = (100, 95, 90, 80, 70, 50)  # shares of pixels, in per cent, that a curve is told at


class Calibration:
    """Counts right and wrong pixels by how sure the model was of them."""

    def __init__(self) -> None:
        self.counts = np.zeros((2, _BINS), np.int64)

    def add(self, certainty: NDArray[np.float32], right: NDArray[np.bool_]) -> None:
        """Take in pixels.

        Args:
            certainty: `(N,)` in 0..1.
            right: `(N,)` whether the label is the true one.
        """
        bins = (certainty * np.float32(_BINS)).astype(np.int64).clip(0, _BINS - 1)
        bins += right * _BINS
        self.counts += np.bincount(bins, minlength=2 * _BINS).reshape(2, _BINS)

    def found(self) -> dict[str, Any]:
        """The calibration error and the curve.

        Returns:
            `ece`, the expected calibration error over 15 bins; `kept`, for falling shares of the
            pixels the least certainty `from` (0..1), the `coverage` and the `accuracy` of what is
            left. Per cent; `ece` is None and `kept` empty where nothing was counted.
        """
        wrong, right = self.counts
        total = wrong + right
        pixels = int(total.sum())
        if not pixels:
            return {"ece": None, "kept": []}
        middle = (np.arange(_BINS) + 0.5) / _BINS
        gap = (right - total * middle).reshape(_COARSE, -1).sum(axis=1)
        coverage = 100 * total[::-1].cumsum()[::-1] / pixels
        kept: dict[int, dict[str, float]] = {}
        for share in _KEPT:
            least = int(np.flatnonzero(coverage >= share).max())
            hits, rest = right[least:].sum(), total[least:].sum()
            kept[least] = {
                "from": least / _BINS,
                "coverage": float(coverage[least]),
                "accuracy": float(100 * hits / rest),
            }
        return {"ece": float(100 * np.abs(gap).sum() / pixels), "kept": list(kept.values())}


class Reliability:
    """The calibration of each space, and the accuracy where both agree.

    Args:
        two_spaces: whether predictions tell the nearest prototype.
    """

    def __init__(self, two_spaces: bool) -> None:
        names = ("confidence", "similarity") if two_spaces else ("confidence",)
        self.spaces = {name: Calibration() for name in names}
        self.pixels, self.agreed, self.hits = 0, 0, 0

    def add(self, found: Prediction, truth: NDArray[np.uint8]) -> None:
        """Take in a prediction and its true mask `(H, W)`, where 255 is left out."""
        scored = truth != IGNORE_INDEX
        truth = truth[scored]
        right = found.mask[scored] == truth
        self.spaces["confidence"].add(found.confidence[scored], right)
        if found.nearest is not None and found.similarity is not None:
            self.spaces["similarity"].add(found.similarity[scored], found.nearest[scored] == truth)
            agree = (found.nearest == found.mask)[scored]
            self.pixels += len(truth)
            self.agreed += int(agree.sum())
            self.hits += int((agree & right).sum())

    def found(self) -> dict[str, Any]:
        """By indicator what `Calibration.found` gives; `agree`, where two spaces were asked."""
        found: dict[str, Any] = {name: space.found() for name, space in self.spaces.items()}
        if self.agreed:
            found["agree"] = {
                "coverage": 100 * self.agreed / self.pixels,
                "accuracy": 100 * self.hits / self.agreed,
            }
        return found
