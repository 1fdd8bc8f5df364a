"""The table of the metrics, `metrics.csv`: a row for each thing that is logged."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor


class Table(Logger):
    """Adds rows to the file, and writes it anew where a column is; no kill costs an earlier row.

    Args:
        file: where to write.
        rows: what was logged before, each with its `step`.
    """

    def __init__(self, file: Path, rows: Iterable[Mapping[str, float]]) -> None:
        super().__init__()
        self.file = file
        self.rows = [dict(row) for row in rows]
        self._columns: list[str] = []  # of the file, once it is ours
        self._written = 0  # rows

    @property
    def name(self) -> str:
        """None: there is one table."""
        return ""

    @property
    def version(self) -> str:
        """None likewise."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float | Tensor], step: int | None = None) -> None:
        """A row."""
        values = {k: v.item() if isinstance(v, Tensor) else v for k, v in metrics.items()}
        self.rows.append({**values, "step": 0 if step is None else step})

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Lightning's
        """They stand in `config.yaml`."""

    @rank_zero_only
    def save(self) -> None:
        """Write what is new; in several processes the first one does."""
        new = self.rows[self._written :]
        columns = sorted({*self._columns, *(k for row in new for k in row)})
        if not new:
            return
        if columns == self._columns:
            with self.file.open("a", encoding="utf-8", newline="") as lines:
                csv.DictWriter(lines, columns).writerows(new)
        else:
            temporary = self.file.with_name(f"{self.file.name}.part")
            with temporary.open("w", encoding="utf-8", newline="") as lines:
                writer = csv.DictWriter(lines, columns)
                writer.writeheader()
                writer.writerows(self.rows)
            temporary.rename(self.file)
        self._columns, self._written = columns, len(self.rows)

    def finalize(self, status: str) -> None:
        """Write what is left."""
        self.save()
