"""The result of a comparison, and `comparison.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from semiseg.comparison.rows import Row
from semiseg.comparison.text import text
from semiseg.core.errors import RunError
from semiseg.core.files import read_json
from semiseg.core.records import from_plain
from semiseg.core.run_names import COMPARISON as COMPARISON

FORMAT = 1
"""The version of `comparison.json`; it grows when a key changes its meaning."""


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        folder: the folder of the runs and of `comparison.md`, `.csv`, `.json` and `.png`.
        rows: a row for each method and number of labels, over all finished runs in the folder.
        failed: the errors of the runs that failed, by the name of the run.
        cautions: what keeps the numbers from saying what they seem to say, as sentences.
    """

    folder: Path
    rows: tuple[Row, ...]
    failed: Mapping[str, str]
    cautions: tuple[str, ...] = ()

    def text(self) -> str:
        """The table, and how each method compares with `supervised`."""
        return text(self.rows, self.cautions)

    def to_dict(self, settings: Mapping[str, object]) -> dict[str, object]:
        """The content of `comparison.json`.

        Args:
            settings: the settings that all runs share.
        """
        return {
            "format": FORMAT,
            "settings": dict(settings),
            "rows": [row.to_dict() for row in self.rows],
            "failed": dict(self.failed),
            "cautions": list(self.cautions),
        }


@dataclass(frozen=True)
class _Stored:
    """What the report needs of `comparison.json`; it computes the rows from the runs."""

    format: int
    failed: dict[str, str]


def read_failed(folder: Path) -> Mapping[str, str]:
    """The errors of the runs of a comparison that failed, by the name of the run.

    Raises:
        RunError: `comparison.json` cannot be read.
    """
    file = folder / COMPARISON
    try:
        content = from_plain(_Stored, read_json(file))
        if content.format != FORMAT:
            raise ValueError(f"its format is {content.format}; this semiseg reads format {FORMAT}")
    except (OSError, ValueError) as error:
        raise RunError(
            f"{file} cannot be read ({error}). Run the same semiseg compare command again."
        ) from error
    return content.failed
