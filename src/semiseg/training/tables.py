"""Scores of several runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from semiseg.core import text as texts
from semiseg.core.text import percent

if TYPE_CHECKING:
    from semiseg.suggestion.suggest import Suggestion

_WIDE = 200


def suggestion_table(found: Sequence[Suggestion]) -> str:
    """A table of what `suggest` chose, with the reasons."""
    rows = [
        [
            one.name,
            f"{one.score:.3f}",
            percent(100 * one.doubt),
            percent(None if one.disagreement is None else 100 * one.disagreement),
            f"{one.distance:.2f}",
        ]
        for one in found
    ]
    return texts.table(["image", "score", "doubt, %", "disagreement, %", "distance"], rows)
