"""How good the pseudo-labels are, and whether both spaces are worth having.

The numbers come from the `PseudoLabels` of unlabeled images and, where these exist, from their
hidden masks. `docs/diagnostics.md` says what each number means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from semiseg.config.methods import MethodSettings
from semiseg.core.types import IGNORE_INDEX, PseudoLabels
from semiseg.evaluation.metrics import confusion_matrix, scores
from semiseg.evaluation.pseudo_label_summary import (
    ClassShares,
    Disagreement,
    PseudoLabelSummary,
    Quality,
)

BINS = 20
"""The cells along each side of the plane of confidence and similarity."""

NEGLIGIBLE = 0.001
"""A smaller share counts as none, one above 1 - 0.001 as all."""
MIN_PASSING = 0.01
"""The share of the pixels of a class; with fewer pseudo-labels the class counts as unused."""
_MAX_LISTED = 5  # classes in a sentence


class Thresholds(NamedTuple):
    """The thresholds of a method for its indicators; None for those that it does not have.

    Attributes:
        confidence: `delta_u`; pixels with a lower indicator get no pseudo-label.
        valid: `delta_w`; pixels with a lower indicator stay out of the contrastive loss.
        hard: `delta_s`; pixels with a lower indicator are anchors of the contrastive loss.
        by_confidence: whether `valid` and `hard` are compared with the confidence instead of the
            similarity.
    """

    confidence: float | None = None
    valid: float | None = None
    hard: float | None = None
    by_confidence: bool = False

    @classmethod
    def of(cls, settings: MethodSettings) -> Thresholds:
        """The thresholds among the settings of a method."""
        return cls(
            confidence=getattr(settings, "confidence_threshold", None),
            valid=getattr(settings, "valid_threshold", None),
            hard=getattr(settings, "hard_threshold", None),
            by_confidence=getattr(settings, "indicator", "own") == "confidence",
        )


def plane(confidence: Tensor, similarity: Tensor, where: Tensor) -> Tensor:
    """Count pixels by confidence and similarity (the paper's Fig. 4).

    Args:
        confidence: `(..., H, W)` in 0..1.
        similarity: the same shape, in 0..1.
        where: the same shape, bool: the pixels to count.

    Returns:
        `(BINS, BINS)` int64: rows by confidence, columns by similarity, both rising.

    Example:
        >>> counts = plane(torch.tensor([0.99, 0.2]), torch.tensor([1.0, 0.5]), torch.ones(2) > 0)
        >>> counts.nonzero().tolist()
        [[4, 10], [19, 19]]
    """
    row, column = (
        (values[where] * BINS).long().clamp(0, BINS - 1) for values in (confidence, similarity)
    )
    return torch.bincount(row * BINS + column, minlength=BINS * BINS).view(BINS, BINS)


class PseudoLabelStatistics:
    """Counts the pseudo-labels of many images, and compares them with the true masks.

    Args:
        names: the class names.
        thresholds: the thresholds of the method.
    """

    def __init__(self, names: Sequence[str], thresholds: Thresholds) -> None:
        self.names, self.thresholds = names, thresholds
        count = len(names)
        self.images = self.images_with_truth = self.valid_pixels = 0
        # By class: the teacher's labels, the pseudo-labels, the teacher's labels among these.
        self.logit_counts, self.label_counts, self.passing_counts = torch.zeros(
            3, count, dtype=torch.long
        )
        self.confusion: dict[str, Tensor] = {}
        # All pixels, those with a true class, and those where logit space is right.
        self.planes = torch.zeros(3, BINS, BINS, dtype=torch.long)
        # Pixels on which both spaces agree: all, with a pseudo-label, with contrastive loss, hard.
        self.agreeing = self.agreeing_labels = self.contrastive = self.hard = 0
        # Pixels on which they differ: logit space right, representation space right, neither, all.
        self.differing = torch.zeros(4, dtype=torch.long)
        self.highest: dict[str, float] = {}

    def add(self, labels: PseudoLabels, valid: Tensor, truth: Tensor | None) -> None:
        """Count a batch.

        Args:
            labels: the method's pseudo-labels, on the CPU; `(B, H, W)` each.
            valid: `(B, H, W)` bool, False where there is padding.
            truth: `(B, H, W)` class indices, 255 where unknown; None where there is no mask.
        """
        count = len(self.names)
        has_label = valid & (labels.final != IGNORE_INDEX)
        self.images += len(valid)
        self.valid_pixels += int(valid.sum())
        self.logit_counts += labels.logit_label[valid].bincount(minlength=count)
        self.label_counts += labels.final[has_label].bincount(minlength=count)
        self.passing_counts += labels.logit_label[has_label].bincount(minlength=count)
        self._raise_highest("confidence", labels.confidence[valid])
        sources = {"logit": (labels.logit_label, valid), "used": (labels.final, has_label)}
        nearest, similarity = labels.representation_label, labels.similarity
        if nearest is not None and similarity is not None:
            agreeing = valid & (labels.logit_label == nearest)
            sources["representation"] = (nearest, valid)
            sources["mix"] = (nearest, agreeing)
            self._raise_highest("similarity", similarity[valid])
            self._count_agreeing(labels.confidence, similarity, agreeing, has_label)
            self.planes[0] += plane(labels.confidence, similarity, valid)
        if truth is None:
            return
        scored = valid & (truth != IGNORE_INDEX)
        self.images_with_truth += len(valid)
        for name, (label, where) in sources.items():
            confusion = confusion_matrix(label[where], truth[where], count)
            self.confusion[name] = self.confusion.get(name, 0) + confusion
        if nearest is not None and similarity is not None:
            logit_right, nearest_right = labels.logit_label == truth, nearest == truth
            self.planes[1] += plane(labels.confidence, similarity, scored)
            self.planes[2] += plane(labels.confidence, similarity, scored & logit_right)
            differing = scored & (labels.logit_label != nearest)
            neither = ~logit_right & ~nearest_right
            cases = [differing & case for case in (logit_right, nearest_right, neither)]
            self.differing += torch.stack([case.sum() for case in (*cases, differing)])

    def _raise_highest(self, indicator: str, values: Tensor) -> None:
        if len(values):
            self.highest[indicator] = max(self.highest.get(indicator, 0.0), float(values.max()))

    def _count_agreeing(
        self, confidence: Tensor, similarity: Tensor, agreeing: Tensor, has_label: Tensor
    ) -> None:
        """Count the pixels on which both spaces agree, and those that pass the thresholds."""
        thresholds = self.thresholds
        indicator = confidence if thresholds.by_confidence else similarity
        contrastive = agreeing & (indicator >= (thresholds.valid or 0.0))
        hard = contrastive & (indicator < (1.0 if thresholds.hard is None else thresholds.hard))
        self.agreeing += int(agreeing.sum())
        self.agreeing_labels += int((agreeing & has_label).sum())
        self.contrastive += int(contrastive.sum())
        self.hard += int(hard.sum())

    def summary(self) -> PseudoLabelSummary:
        """All numbers as plain values."""
        two_spaces = "similarity" in self.highest
        contrastive = two_spaces and self.thresholds.hard is not None
        planes = zip(("all", "known", "right"), self.planes, strict=True)
        return {
            "images": self.images,
            "with_truth": self.images_with_truth,
            "used": _percent(int(self.label_counts.sum()), self.valid_pixels),
            "agree": _percent(self.agreeing, self.valid_pixels) if two_spaces else None,
            "contrasted": _percent(self.contrastive, self.valid_pixels) if contrastive else None,
            "hard": _percent(self.hard, self.contrastive) if contrastive else None,
            "highest": self.highest,
            "per_class": {name: self._class_shares(c) for c, name in enumerate(self.names)},
            "quality": {source: self._quality(source) for source in self.confusion} or None,
            "disagreement": self._disagreement() if two_spaces and self.images_with_truth else None,
            "plane": {name: counts.tolist() for name, counts in planes} if two_spaces else None,
            "warnings": self.warnings(),
        }

    def _class_shares(self, c: int) -> ClassShares:
        return {
            "called": _percent(int(self.logit_counts[c]), self.valid_pixels),
            "used": _percent(int(self.label_counts[c]), self.valid_pixels),
            "kept": _percent(int(self.passing_counts[c]), int(self.logit_counts[c])),
        }

    def _quality(self, source: str) -> Quality:
        """Scores over the pixels that a source labels, and the share of these pixels (Tab. 5)."""
        confusion, pixels = self.confusion[source], int(self.confusion["logit"].sum())
        label_scores = scores(confusion, self.names, with_absent=True)
        return {
            "pixels": _percent(int(confusion.sum()), pixels),
            "miou": label_scores["miou"],
            "accuracy": label_scores["accuracy"],
            "iou": {name: values["iou"] for name, values in label_scores["per_class"].items()},
        }

    def _disagreement(self) -> Disagreement:
        logit, nearest, neither, differing = self.differing.tolist()
        return {
            "pixels": _percent(differing, int(self.confusion["logit"].sum())),
            "logit_right": _percent(logit, differing),
            "representation_right": _percent(nearest, differing),
            "neither_right": _percent(neither, differing),
        }

    def warnings(self) -> list[str]:
        """A sentence for each threshold that decides nothing, or that excludes whole classes."""
        if not self.valid_pixels:
            return []
        return [*self._confidence_warnings(), *self._contrast_warnings()]

    def _confidence_warnings(self) -> list[str]:
        """The warnings about `--confidence-threshold`."""
        threshold = self.thresholds.confidence
        if not threshold:
            return []
        labels = int(self.label_counts.sum())
        if labels < NEGLIGIBLE * self.valid_pixels:
            highest = " and ".join(f"the highest {k} is {v:.2f}" for k, v in self.highest.items())
            warnings = [
                f"almost no pseudo-labels are used: {labels} of {self.valid_pixels} pixels pass "
                f"--confidence-threshold {threshold:g} ({highest})"
            ]
        else:
            warnings = self._unused_class_warnings(threshold)
        two_spaces = "similarity" in self.highest
        passing = self.agreeing_labels if two_spaces else labels
        candidates = self.agreeing if two_spaces else self.valid_pixels
        if candidates and passing > (1 - NEGLIGIBLE) * candidates:
            warnings.append(
                f"--confidence-threshold {threshold:g} excludes nothing: all pixels pass it"
            )
        return warnings

    def _unused_class_warnings(self, threshold: float) -> list[str]:
        """The warning about classes that the teacher predicts, but that get no pseudo-labels."""
        predicted = self.logit_counts >= NEGLIGIBLE * self.valid_pixels
        unused = predicted & (self.label_counts < MIN_PASSING * self.logit_counts)
        names = [self.names[c] for c in unused.nonzero().flatten().tolist()]
        cause = f"passes --confidence-threshold {threshold:g}"
        return [describe_unused(names, cause)] if names else []

    def _contrast_warnings(self) -> list[str]:
        """The warnings about `--valid-threshold` and `--hard-threshold`."""
        valid, hard = self.thresholds.valid, self.thresholds.hard
        if "similarity" not in self.highest or valid is None or hard is None or not self.agreeing:
            return []
        kind = "confidence" if self.thresholds.by_confidence else "similarity"
        highest = f"the highest {kind} is {self.highest[kind]:.2f}"
        if self.contrastive < NEGLIGIBLE * self.agreeing:
            return [
                "the contrastive loss uses no unlabeled pixel: none reaches --valid-threshold "
                f"{valid:g} ({highest})"
            ]
        if self.hard < NEGLIGIBLE * self.contrastive:
            return [
                f"there are no hard anchors: the {kind} is never below --hard-threshold {hard:g}"
            ]
        if self.hard > (1 - NEGLIGIBLE) * self.contrastive:
            return [
                f"every pixel is a hard anchor: the {kind} never reaches --hard-threshold "
                f"{hard:g} ({highest})"
            ]
        return []


def describe_unused(names: Sequence[str], cause: str) -> str:
    """The warning about classes whose labels are almost never used.

    Args:
        names: the names of the classes, at least one.
        cause: what almost no pixel with such a label does.
    """
    hidden = len(names) - _MAX_LISTED
    listed = ", ".join(names if hidden == 1 else names[:_MAX_LISTED])
    more = f" and {hidden} others" if hidden > 1 else ""
    return (
        f"some classes are not used: {listed}{more}. Almost no pixel that is assigned to them "
        f"{cause}, so unlabeled images do not help these classes; more masks would"
    )


def curve_values(summary: PseudoLabelSummary) -> dict[str, float]:
    """The numbers of a validation that belong in the table of metrics, by name."""
    quality, disagreement = summary["quality"] or {}, summary["disagreement"]
    values = {"used": summary["used"], "agree": summary["agree"], "hard": summary["hard"]}
    values |= {f"iou_{source}": scores["miou"] for source, scores in quality.items()}
    if disagreement is not None:
        values["logit_right"] = disagreement["logit_right"]
        values["representation_right"] = disagreement["representation_right"]
    return {f"pseudo/{name}": value for name, value in values.items() if value is not None}


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None
