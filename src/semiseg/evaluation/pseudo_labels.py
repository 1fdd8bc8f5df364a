"""How good the pseudo-labels are, and whether both spaces are worth having.

The numbers come from the `PseudoLabels` of unlabeled images and, where these exist, from their
hidden masks. `docs/diagnostics.md` says what each number means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from semiseg.config.methods import MethodSettings
from semiseg.core.types import IGNORE_INDEX, PseudoLabels
from semiseg.evaluation.metrics import confusion_matrix, scores

BINS = 20
"""Cells along each side of the plane of confidence and similarity."""

_RARE = 0.001  # a smaller share is as good as none, one above 1 - 0.001 as good as all
_KEPT = 0.01  # of what is called a class; where less is taught, the class is as good as not taught
_NAMED = 5  # classes in a sentence


class Thresholds(NamedTuple):
    """What a method compares its indicators with; None for what it does not have.

    Attributes:
        taught: `delta_u`; pixels with a lower indicator are not taught.
        valid: `delta_w`; pixels with a lower indicator stay out of the contrastive loss.
        hard: `delta_s`; pixels with a lower indicator are anchors of the contrastive loss.
        by_confidence: whether `valid` and `hard` are compared with the confidence, not with the
            similarity.
    """

    taught: float | None = None
    valid: float | None = None
    hard: float | None = None
    by_confidence: bool = False

    @classmethod
    def of(cls, settings: MethodSettings) -> Thresholds:
        """The thresholds among the settings of a method."""
        return cls(
            taught=getattr(settings, "confidence_threshold", None),
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
        >>> found = plane(torch.tensor([0.99, 0.2]), torch.tensor([1.0, 0.5]), torch.ones(2) > 0)
        >>> found.nonzero().tolist()
        [[4, 10], [19, 19]]
    """
    row, column = (
        (values[where] * BINS).long().clamp(0, BINS - 1) for values in (confidence, similarity)
    )
    return torch.bincount(row * BINS + column, minlength=BINS * BINS).view(BINS, BINS)


class Tally:
    """Counts over the pseudo-labels of many images; `found` makes numbers of them.

    Args:
        names: the class names.
        thresholds: of the method.
    """

    def __init__(self, names: Sequence[str], thresholds: Thresholds) -> None:
        self.names, self.thresholds = names, thresholds
        count = len(names)
        self.images = self.known_images = self.valid = 0
        self.called, self.taught, self.kept = torch.zeros(3, count, dtype=torch.long)
        self.confusion: dict[str, Tensor] = {}
        self.planes = torch.zeros(3, BINS, BINS, dtype=torch.long)  # all, with truth, right
        self.agree = self.contrasted = self.hard = self.agree_taught = 0
        self.disagree = torch.zeros(4, dtype=torch.long)  # logit right, other right, none, known
        self.highest: dict[str, float] = {}

    def add(self, labels: PseudoLabels, valid: Tensor, truth: Tensor | None) -> None:
        """Count a batch.

        Args:
            labels: the method's pseudo-labels, on the CPU; `(B, H, W)` each.
            valid: `(B, H, W)` bool, False where there is padding.
            truth: `(B, H, W)` class indices, 255 where unknown; None where there is no mask.
        """
        count = len(self.names)
        taught = valid & (labels.final != IGNORE_INDEX)
        self.images += len(valid)
        self.valid += int(valid.sum())
        self.called += labels.logit_label[valid].bincount(minlength=count)
        self.taught += labels.final[taught].bincount(minlength=count)
        self.kept += labels.logit_label[taught].bincount(minlength=count)
        self._raise_highest("confidence", labels.confidence[valid])
        sources = {"logit": (labels.logit_label, valid), "used": (labels.final, taught)}
        nearest, similarity = labels.representation_label, labels.similarity
        if nearest is not None and similarity is not None:
            agree = valid & (labels.logit_label == nearest)
            sources["representation"] = (nearest, valid)
            sources["mix"] = (nearest, agree)
            self._raise_highest("similarity", similarity[valid])
            self._compare(labels.confidence, similarity, agree, taught)
            self.planes[0] += plane(labels.confidence, similarity, valid)
        if truth is None:
            return
        known = truth != IGNORE_INDEX
        self.known_images += len(valid)
        for name, (label, where) in sources.items():
            table = confusion_matrix(label[where], truth[where], count)
            self.confusion[name] = self.confusion.get(name, 0) + table
        if nearest is not None and similarity is not None:
            right = labels.logit_label == truth, nearest == truth
            self.planes[1] += plane(labels.confidence, similarity, valid & known)
            self.planes[2] += plane(labels.confidence, similarity, valid & known & right[0])
            apart = valid & known & (labels.logit_label != nearest)
            cases = (apart & right[0], apart & right[1], apart & ~right[0] & ~right[1], apart)
            self.disagree += torch.stack([case.sum() for case in cases])

    def _raise_highest(self, indicator: str, values: Tensor) -> None:
        if len(values):
            self.highest[indicator] = max(self.highest.get(indicator, 0.0), float(values.max()))

    def _compare(
        self, confidence: Tensor, similarity: Tensor, agree: Tensor, taught: Tensor
    ) -> None:
        """Of the pixels on which both spaces agree, those that pass the thresholds."""
        t = self.thresholds
        trust = confidence if t.by_confidence else similarity
        contrasted = agree & (trust >= (t.valid or 0.0))
        self.agree += int(agree.sum())
        self.agree_taught += int((agree & taught).sum())
        self.contrasted += int(contrasted.sum())
        self.hard += int((contrasted & (trust < (1.0 if t.hard is None else t.hard))).sum())

    def found(self) -> dict[str, Any]:
        """All numbers as plain values; shares and scores in per cent, None where there is none."""
        two = "similarity" in self.highest
        contrast = two and self.thresholds.hard is not None
        return {
            "images": self.images,
            "with_truth": self.known_images,
            "taught": _percent(int(self.taught.sum()), self.valid),
            "agree": _percent(self.agree, self.valid) if two else None,
            "contrasted": _percent(self.contrasted, self.valid) if contrast else None,
            "hard": _percent(self.hard, self.contrasted) if contrast else None,
            "highest": self.highest,
            "per_class": {
                name: {
                    "called": _percent(int(self.called[c]), self.valid),
                    "taught": _percent(int(self.taught[c]), self.valid),
                    "kept": _percent(int(self.kept[c]), int(self.called[c])),
                }
                for c, name in enumerate(self.names)
            },
            "quality": {name: self._quality(name) for name in self.confusion} or None,
            "disagreement": self._disagreement() if two and self.known_images else None,
            "plane": {
                name: counts.tolist()
                for name, counts in zip(("all", "known", "right"), self.planes, strict=True)
            }
            if two
            else None,
            "warnings": self.warnings(),
        }

    def _quality(self, source: str) -> dict[str, Any]:
        """Scores over the pixels that a source labels, and which share these are (Tab. 5)."""
        table, all_known = self.confusion[source], int(self.confusion["logit"].sum())
        found = scores(table, self.names)
        return {
            "pixels": _percent(int(table.sum()), all_known),
            "miou": found["miou"],
            "accuracy": found["accuracy"],
            "iou": {name: values["iou"] for name, values in found["per_class"].items()},
        }

    def _disagreement(self) -> dict[str, float | None]:
        logit, nearest, neither, known = self.disagree.tolist()
        return {
            "pixels": _percent(known, int(self.confusion["logit"].sum())),
            "logit_right": _percent(logit, known),
            "representation_right": _percent(nearest, known),
            "neither_right": _percent(neither, known),
        }

    def warnings(self) -> list[str]:
        """A sentence for each threshold that decides nothing, or keeps out whole classes."""
        t = self.thresholds
        told: list[str] = []
        if not self.valid:
            return told
        two = "similarity" in self.highest
        highest = " and ".join(f"the highest {k} is {v:.2f}" for k, v in self.highest.items())
        taught = int(self.taught.sum())
        if t.taught and taught < _RARE * self.valid:
            told.append(
                f"next to nothing is taught about unlabeled images: {taught} of {self.valid} "
                f"pixels pass --confidence-threshold {t.taught:g} ({highest})"
            )
        elif t.taught and (untaught := self._untaught()):
            more = len(untaught) - _NAMED
            names = ", ".join(untaught if more == 1 else untaught[:_NAMED])
            told.append(
                f"classes are not taught: {names}{f' and {more} others' if more > 1 else ''}. Of "
                "what the teacher calls so, hardly a pixel passes --confidence-threshold "
                f"{t.taught:g}: unlabeled images do not help them, more masks would"
            )
        passed, asked = (self.agree_taught, self.agree) if two else (taught, self.valid)
        if t.taught and asked and passed > (1 - _RARE) * asked:
            told.append(
                f"--confidence-threshold {t.taught:g} keeps nothing out: all pixels pass it"
            )
        if not two or t.valid is None or t.hard is None or not self.agree:
            return told
        kind = "confidence" if t.by_confidence else "similarity"
        said = f"the highest {kind} is {self.highest[kind]:.2f}"
        if self.contrasted < _RARE * self.agree:
            told.append(
                f"the contrastive loss sees no unlabeled pixel: none reaches --valid-threshold "
                f"{t.valid:g} ({said})"
            )
        elif self.hard < _RARE * self.contrasted:
            told.append(
                f"there are no hard anchors: the {kind} is never below --hard-threshold {t.hard:g}"
            )
        elif self.hard > (1 - _RARE) * self.contrasted:
            told.append(
                f"every pixel is a hard anchor: the {kind} never reaches --hard-threshold "
                f"{t.hard:g} ({said})"
            )
        return told

    def _untaught(self) -> list[str]:
        """Classes that the teacher does name, and that are hardly taught."""
        seen = self.called >= _RARE * self.valid
        low = seen & (self.taught < _KEPT * self.called)
        return [self.names[c] for c in low.nonzero().flatten().tolist()]


def curve_values(found: dict[str, Any]) -> dict[str, float]:
    """The numbers of a look that belong into the tables of metrics, by name."""
    quality = found["quality"] or {}
    named = {
        **{name: found[name] for name in ("taught", "agree", "hard")},
        **{f"iou_{source}": quality[source]["miou"] for source in quality},
    }
    for name in ("logit_right", "representation_right"):
        named[name] = (found["disagreement"] or {}).get(name)
    return {f"pseudo/{name}": value for name, value in named.items() if value is not None}


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None
