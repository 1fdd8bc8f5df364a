"""The rule on unlabeled images that are of another kind than the labeled ones."""

from __future__ import annotations

from collections.abc import Iterator

from semiseg.config.method_choice import are_unlike
from semiseg.config.methods import DEFAULT_METHOD, FALLBACK_METHOD
from semiseg.core.rng import Key
from semiseg.data.dataset import Dataset
from semiseg.data.findings import Finding
from semiseg.data.likeness import likeness


def unlike_images(data: Dataset) -> Iterator[Finding]:
    """Warn that the unlabeled images differ in color and texture, as a training does."""
    labeled = [sample for sample, _ in data.labeled("train")]
    unlabeled = [s for s in data.train if s.mask is None and s.image in data.images]
    distances = likeness(labeled, unlabeled, Key.of(0, "check"), data.reading)
    if distances is not None and are_unlike(distances):
        message = "The unlabeled images differ from the labeled ones in color and texture, so that "
        message += "a training without --method leaves them out"
        remedy = (
            "Label a few images of their kind. If they are of the same kind, train with "
            f"--method {DEFAULT_METHOD}, and compare it with --method {FALLBACK_METHOD}."
        )
        yield Finding("unlike-images", "warning", (), message, remedy)
