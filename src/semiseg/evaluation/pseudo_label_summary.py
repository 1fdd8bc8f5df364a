"""The numbers of the pseudo-labels at one validation, as `diagnostics.json` holds them."""

from __future__ import annotations

from typing import TypedDict


class ClassShares(TypedDict):
    """The pseudo-labels of one class, in percent.

    `called` is the share of all pixels to which the teacher gives the class, before any threshold;
    `used` is the share of all pixels with this pseudo-label; `kept` is the share of the `called`
    pixels that have a pseudo-label.
    """

    called: float | None
    used: float | None
    kept: float | None


class Quality(TypedDict):
    """Scores of one kind of label on the pixels that have it and a true class, in percent.

    `pixels` is their share of all pixels with a true class.
    """

    pixels: float | None
    miou: float | None
    accuracy: float | None
    iou: dict[str, float | None]


class Disagreement(TypedDict):
    """The pixels on which the two spaces differ, in percent.

    `pixels` is their share of all pixels with a true class; the others are shares of them.
    """

    pixels: float | None
    logit_right: float | None
    representation_right: float | None
    neither_right: float | None


class PseudoLabelSummary(TypedDict):
    """The numbers of one validation, as `diagnostics.json` holds them; see `docs/diagnostics.md`.

    Shares and scores are in percent; None stands for those that do not exist.
    """

    images: int
    with_truth: int
    used: float | None
    agree: float | None
    contrasted: float | None
    hard: float | None
    highest: dict[str, float]
    per_class: dict[str, ClassShares]
    quality: dict[str, Quality] | None
    disagreement: Disagreement | None
    plane: dict[str, list[list[int]]] | None
    warnings: list[str]


class PseudoLabelRecord(PseudoLabelSummary):
    """A summary with the step of its validation.

    Attributes:
        step: optimizer steps until the validation.
    """

    step: int
