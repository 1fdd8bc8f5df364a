"""The ranking of images by what their masks would add."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.core.text import percent, plural, table

Features = NDArray[np.float32]
"""The mean features of the encoder for one image, `(D,)`."""

MIN_DISTANCE = 0.01
"""Images at a smaller distance are alike: one minus the cosine of their features."""


NO_PROTOTYPES = (
    "the model of %s was trained without prototypes, so the doubt of its classifier and the "
    "distance between the images decide"
)
"""What `suggest` says of the model of a run that cannot disagree with itself."""


class Suggestion(NamedTuple):
    """An image to label.

    Attributes:
        name: of its files in the output folder.
        image: the file.
        score: the worth of the image times its distance.
        doubt: the mean of 1 - confidence over the pixels.
        disagreement: the share of the pixels whose nearest prototype has another class than the
            mask; None for a model without prototypes.
        distance: 1 - the cosine between its encoder features and those of the nearest image that
            is labeled or has a higher rank.
    """

    name: str
    image: Path
    score: float
    doubt: float
    disagreement: float | None
    distance: float

    @property
    def worth(self) -> float:
        """The mean of doubt and disagreement, or the doubt alone."""
        return self.doubt if self.disagreement is None else (self.doubt + self.disagreement) / 2


class Candidate(NamedTuple):
    """An image with its features.

    Attributes:
        suggestion: the image with its doubt and disagreement.
        features: its encoder features.
    """

    suggestion: Suggestion
    features: Features


def choose(
    candidates: Sequence[Candidate], labeled: Sequence[Features], n: int
) -> list[Suggestion]:
    """Repeatedly choose the image with the largest product of worth and distance.

    Args:
        candidates: the images to choose from.
        labeled: the features of the labeled images.
        n: the largest number of images. An image like a labeled or a chosen one is never chosen.
    """
    vectors = [candidate.features for candidate in candidates]
    every = np.stack([*vectors, *labeled]).astype(np.float64)
    every -= every.mean(axis=0)  # what all images have in common does not distinguish them
    every /= np.linalg.norm(every, axis=1, keepdims=True).clip(min=1e-12)
    own, others = every[: len(vectors)], every[len(vectors) :]
    distance = np.ones(len(own)) if not labeled else (1 - own @ others.T).min(axis=1)
    worth = np.array([candidate.suggestion.worth for candidate in candidates])
    suggestions: list[Suggestion] = []
    while len(suggestions) < n:
        score = np.where(distance > MIN_DISTANCE, worth * distance, -1.0)
        best = int(score.argmax())
        if score[best] < 0:
            break
        suggestion = candidates[best].suggestion._replace(
            score=float(score[best]), distance=float(distance[best])
        )
        suggestions.append(suggestion)
        distance = np.minimum(distance, 1 - own @ own[best])
        distance[best] = 0
    return suggestions


def describe_fewer(chosen: int, wanted: int, total: int) -> str:
    """That fewer images were chosen than wanted, in words; empty if they were not.

    Args:
        chosen: how many images were chosen.
        wanted: how many were wanted.
        total: from how many.
    """
    if chosen >= min(wanted, total):
        return ""
    return (
        f"{chosen:,} of {plural(total, 'image')} differ; the others are like one of these or like "
        "a labeled image"
    )


def suggestion_table(suggestions: Sequence[Suggestion]) -> str:
    """A table of the images with the reasons for their rank."""
    rows = [
        [
            one.name,
            f"{one.score:.3f}",
            percent(100 * one.doubt),
            percent(None if one.disagreement is None else 100 * one.disagreement),
            f"{one.distance:.2f}",
        ]
        for one in suggestions
    ]
    return table(["image", "score", "doubt, %", "disagreement, %", "distance"], rows)
