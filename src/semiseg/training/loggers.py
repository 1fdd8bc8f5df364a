"""Where losses and scores are logged: our table `metrics.csv`, or one of Lightning's loggers."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from semiseg.config.groups import Logger as LoggerName
from semiseg.core.errors import ConfigError
from semiseg.core.run_names import METRICS


class MetricsTable(Logger):
    """The table `metrics.csv`: one row for each logged set of values.

    New rows are appended. A new column writes the file again as a whole, so that a kill never costs
    an earlier row.

    Args:
        file: the file to write.
        rows: the rows of an earlier part of the training, each with its `step`.
    """

    def __init__(self, file: Path, rows: Iterable[Mapping[str, float]]) -> None:
        super().__init__()
        self.file = file
        self.rows = [dict(row) for row in rows]
        self._columns: list[str] = []  # of the file, once this object has written it
        self._written = 0  # rows

    @property
    def name(self) -> str:
        """Empty: there is one table."""
        return ""

    @property
    def version(self) -> str:
        """Empty: there is one table."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float | Tensor], step: int | None = None) -> None:
        """Add a row."""
        values = {k: v.item() if isinstance(v, Tensor) else v for k, v in metrics.items()}
        self.rows.append({**values, "step": 0 if step is None else step})

    def log_hyperparams(self, *args: object, **kwargs: object) -> None:
        """Do nothing: `config.yaml` holds the settings."""

    @rank_zero_only
    def save(self) -> None:
        """Write the new rows; with several processes only the first one writes."""
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
            temporary.replace(self.file)
        self._columns, self._written = columns, len(self.rows)

    def finalize(self, status: str) -> None:
        """Write the remaining rows."""
        self.save()


def read_metrics(file: Path, start: int) -> list[dict[str, float]]:
    """The rows of a metrics table up to the step that a training continues from.

    Args:
        file: the table; it may be missing.
        start: the step; 0 for a new training.
    """
    if not start or not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    records: list[dict[str, float]] = []
    for row in rows:
        try:
            values = {k: int(v) if v.isdigit() else float(v) for k, v in row.items() if v}
            step = int(values["step"])
        except (AttributeError, KeyError, TypeError, ValueError):
            continue  # a line that was cut off
        # A validation counts the steps before it, a row of losses those before its own step.
        last = start if any(k.startswith(("val/", "pseudo/")) for k in values) else start - 1
        if step <= last and None not in row.values():
            records.append(values)
    return records


def check_loggers(names: tuple[LoggerName, ...]) -> None:
    """Make sure that the packages of the loggers are installed.

    Raises:
        ConfigError: one is missing.
    """
    for name in names:
        if name != "csv" and importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"--logger {name} needs a package that is not installed. Install it: pip install "
                f"'semiseg[{name}]'."
            )


def make_loggers(names: tuple[LoggerName, ...], out: Path, start: int) -> list[Logger]:
    """The loggers of a training; `metrics.csv`, which the report reads, is always written.

    Args:
        names: the loggers to use.
        out: the run folder.
        start: the step that the training continues from.
    """
    file = out / METRICS
    loggers: list[Logger] = [MetricsTable(file, read_metrics(file, start))]
    if "tensorboard" in names:
        board = TensorBoardLogger(out, name="", version="tensorboard", purge_step=start)
        loggers.append(board)
    if "wandb" in names:
        loggers.append(WandbLogger(name=out.name, save_dir=out))
    if "mlflow" in names:
        server = str(out / "mlruns")
        loggers.append(MLFlowLogger("semiseg", run_name=out.name, save_dir=server))
    return loggers
