"""A choice without an alternative, for scores that tests make up."""

from __future__ import annotations

from semiseg.core.choices import Candidate, Choice


def only_choice(miou: float | None, images: int = 2) -> Choice:
    """The choice of a run whose only candidate is its student, with this mean IoU."""
    student = Candidate(1, "student", 0.0)
    return Choice(
        images=images,
        chosen=student,
        miou=miou,
        best=student,
        best_miou=miou,
        standard_error=None,
        first_half=student,
        second_half=student,
        first_stage=None,
    )
