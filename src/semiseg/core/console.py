"""What a person at a terminal sees: log records and progress bars on stderr.

The library logs and never prints. The command line runs within `attached`: the records of semiseg's
loggers then appear on stderr, and, where stderr is a terminal, progress bars too. Without it,
Python's own `logging` decides: warnings appear, the rest does not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")

_console = Console(stderr=True, highlight=False, soft_wrap=True)


class _ConsoleHandler(logging.Handler):
    """Prints notes with a dot before them, and warnings and errors with their level."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record, above a progress bar if there is one."""
        try:
            mark = "· " if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
            _console.print(f"{mark}{record.getMessage()}", markup=False)
        except Exception:
            self.handleError(record)


_handler = _ConsoleHandler()
_logger = logging.getLogger("semiseg")


@contextmanager
def attached(level: int = logging.INFO) -> Iterator[None]:
    """Show the records of semiseg's loggers on stderr while the block runs.

    Args:
        level: the lowest level to show. Above `logging.INFO` there are no progress bars either.
    """
    _logger.addHandler(_handler)
    _logger.setLevel(level)
    try:
        yield
    finally:
        _logger.removeHandler(_handler)
        _logger.setLevel(logging.NOTSET)


class _NewWarnings(logging.Filter):
    """Lets each warning pass once."""

    def __init__(self) -> None:
        super().__init__()
        self._messages: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is no warning, or a new one."""
        if record.levelno != logging.WARNING:
            return True
        message = record.getMessage()
        new = message not in self._messages
        self._messages.add(message)
        return new


@contextmanager
def warning_once(*loggers: str) -> Iterator[None]:
    """Let these loggers give each warning only once while the block runs.

    Args:
        loggers: their names; the loggers below them are not meant.
    """
    new_warnings = _NewWarnings()
    for name in loggers:
        logging.getLogger(name).addFilter(new_warnings)
    try:
        yield
    finally:
        for name in loggers:
            logging.getLogger(name).removeFilter(new_warnings)


def silence() -> None:
    """Show nothing from this process; used in the processes beside the first one."""
    _logger.setLevel(logging.CRITICAL + 1)


class Bar:
    """A progress bar; without a terminal, or without `attached`, it shows nothing.

    Args:
        progress: rich's display, or None to show nothing.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._task = None if progress is None else progress.add_task("", total=None)

    def update(
        self, completed: float | None = None, total: int | None = None, text: str | None = None
    ) -> None:
        """Move the bar.

        Args:
            completed: how many are done; None leaves it as it is.
            total: of how many; None leaves it as it is.
            text: the words beside the bar; None leaves them as they are.
        """
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=completed, total=total, description=text)


@contextmanager
def progress(text: str = "", unit: str = "") -> Iterator[Bar]:
    """Show a progress bar on stderr while the block runs.

    Args:
        text: the words beside the bar.
        unit: the word before the count, such as `step`; without one the count is not shown.
    """
    if not (_handler in _logger.handlers and _logger.isEnabledFor(logging.INFO)):
        yield Bar(None)
        return
    count = (TextColumn(f"{unit} {{task.completed:.0f}}/{{task.total}}"),) if unit else ()
    columns = (
        *count,
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    hidden = not _console.is_terminal
    with Progress(*columns, console=_console, disable=hidden, transient=True) as display:
        bar = Bar(display)
        bar.update(text=text)
        yield bar


def track(items: Iterable[T], text: str, total: int) -> Iterator[T]:
    """Go through items while a progress bar counts them.

    Args:
        items: the items.
        text: the words beside the bar.
        total: the number of items.
    """
    with progress(text) as bar:
        for count, item in enumerate(items):
            bar.update(count, total)
            yield item
