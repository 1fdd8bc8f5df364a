"""How far masks from outside can be trusted: measured on the labeled images.

With the scores of all classes it is the conformal filter of ConformalSAM (ICCV 2025): the scores of
the true class at all labeled pixels give the lowest score that a class may have. With hard masks it
is the precision of each class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from semiseg.core.text import percent, plural
from semiseg.core.types import IGNORE_INDEX

ALPHA = 0.05
"""The share of labeled pixels whose true class may score below the threshold."""
MIN_PRECISION = 0.8
"""The lowest precision of a class of hard masks that is used."""
_HALVES = 1 << 16  # the values of half precision


class TrueScores:
    """Counts the scores of the true class at labeled pixels.

    Scores in half precision have few values, so the counts of each need little memory and give
    exact quantiles, whatever the number of pixels.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(_HALVES, dtype=np.int64)

    def add(self, scores: NDArray[np.float16], truth: NDArray[np.uint8]) -> None:
        """Count one image.

        Args:
            scores: `(C, H, W)` in 0..1.
            truth: `(H, W)` indices of these classes, 255 for pixels that do not count.
        """
        labeled = truth != IGNORE_INDEX
        index = np.where(labeled, truth, 0).astype(np.intp)[None]
        own = np.take_along_axis(scores, index, axis=0)[0][labeled]
        # The bits of positive halves are ordered as the numbers are.
        self.counts += np.bincount(own.view(np.uint16), minlength=_HALVES)

    def threshold(self, alpha: float = ALPHA) -> float:
        """The score that all but a share `alpha` of the true classes reach, 0 without any pixel.

        In the words of conformal prediction: with the nonconformity `1 - score` of `n` pixels, it
        is one minus their `ceil((n + 1) (1 - alpha))`-th smallest nonconformity.
        """
        total = int(self.counts.sum())
        rank = total + 1 - math.ceil((total + 1) * (1 - alpha))  # of the score, from below
        if rank < 1:
            return 0.0
        position = int(np.searchsorted(self.counts.cumsum(), rank))
        return float(np.array(position, dtype=np.uint16).view(np.float16))


def filter_scores(
    scores: NDArray[np.float16], threshold: float, background: int | None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The label of each pixel by its set of classes that reach the threshold.

    An empty set gives no label. Of a set with the background and other classes, the best of the
    others is the label; of any other set, the best class.

    Args:
        scores: `(C, H, W)` in 0..1.
        threshold: from `TrueScores.threshold`.
        background: the index of the background, or None if there is none.

    Returns:
        `(H, W)` indices, 255 where there is no label; and the score of the label, 0 without one.
    """
    best = scores.argmax(axis=0)
    score = np.take_along_axis(scores, best[None], axis=0)[0]
    if background is not None and len(scores) > 1:
        foreground = scores.copy()
        foreground[background] = -1
        foreground_label = foreground.argmax(axis=0)
        foreground_score = np.take_along_axis(foreground, foreground_label[None], axis=0)[0]
        is_foreground = foreground_score >= threshold
        best = np.where(is_foreground, foreground_label, best)
        score = np.where(is_foreground, foreground_score, score)
    passes = score >= threshold
    label = np.where(passes, best, IGNORE_INDEX).astype(np.uint8)
    return label, np.where(passes, score, 0).astype(np.float32)


def count_pixels(
    label: NDArray[np.uint8], truth: NDArray[np.uint8], classes: int
) -> NDArray[np.int64]:
    """Count labeled pixels by true class (rows) and label (columns); the last column has no label.

    Args:
        label: `(H, W)` class indices, 255 where there is none.
        truth: `(H, W)` class indices, 255 for pixels that do not count.
        classes: the number of classes `C`.

    Returns:
        `(C, C + 1)`.
    """
    labeled = truth != IGNORE_INDEX
    columns = np.minimum(label[labeled], classes).astype(np.int64)
    cells = truth[labeled].astype(np.int64) * (classes + 1) + columns
    counts = np.bincount(cells, minlength=classes * (classes + 1))
    return counts.reshape(classes, classes + 1).astype(np.int64)


def precisions(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """`(C,)`, the share of right pixels among those with each label; NaN for unused labels.

    Args:
        counts: `(C, C + 1)` from `count_pixels`, summed over images.
    """
    labels = counts[:, :-1]
    total = labels.sum(axis=0)
    return np.where(total > 0, labels.diagonal() / np.maximum(total, 1), np.nan)


@dataclass(frozen=True)
class Calibration:
    """What the comparison with the labeled images found.

    Attributes:
        names: the class names.
        counts: `(C, C + 1)`, labeled pixels by true class and label from outside.
        used: `(C,)` bool, the classes whose labels are used. With scores these are all classes.
        threshold: the lowest score of a class; None for hard masks.
        images: the number of labeled images.
    """

    names: Sequence[str]
    counts: NDArray[np.int64]
    used: NDArray[np.bool_]
    threshold: float | None
    images: int
    precision: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        """Compute the precision of each class."""
        object.__setattr__(self, "precision", precisions(self.counts))

    @property
    def kept(self) -> float:
        """The share of the labeled pixels that keep a label."""
        return float(self.counts[:, :-1][:, self.used].sum() / max(1, self.counts.sum()))

    def text(self) -> str:
        """What people should know about the masks, as a sentence."""
        precise = [self._describe(c) for c in self._covered() if self.used[c]]
        absent = [name for c, name in enumerate(self.names) if c not in self._covered()]
        parts = [f"compared with {plural(self.images, 'labeled image')}"]
        if self.threshold is not None:
            parts.append(
                f"the true class has a score of {self.threshold:.3f} or more on "
                f"{percent(100 * (1 - ALPHA))} % of the pixels, and lower scores are not used"
            )
        if precise:
            parts.append(f"precision in %: {', '.join(precise)}")
        if absent and self.threshold is not None:
            parts.append(f"absent: {', '.join(absent)}")
        parts.append(f"{percent(100 * self.kept)} % of the labeled pixels keep a label")
        return "; ".join(parts)

    def left_out(self) -> str:
        """Which classes are left out and why, as a sentence; empty if all are used."""
        names = [self._describe(c) for c, used in enumerate(self.used) if not used]
        if not names:
            return ""
        limit = f"{100 * MIN_PRECISION:g} %"
        return f"not used, since they are below {limit} or absent: {', '.join(names)}"

    def _covered(self) -> list[int]:
        """The classes that some labeled pixel has as a label."""
        return [c for c, p in enumerate(self.precision) if not np.isnan(p)]

    def _describe(self, index: int) -> str:
        """A class with its precision in percent."""
        precision = self.precision[index]
        return self.names[index] + ("" if np.isnan(precision) else f" {percent(100 * precision)}")

    def record(self) -> dict[str, object]:
        """The same as plain values, for the manifest."""
        precision = {
            name: None if np.isnan(p) else round(100 * float(p), 2)
            for name, p in zip(self.names, self.precision, strict=True)
        }
        return {
            "images": self.images,
            "threshold": self.threshold,
            "precision": precision,
            "used": [name for name, used in zip(self.names, self.used, strict=True) if used],
            "kept": round(100 * self.kept, 2),
        }
