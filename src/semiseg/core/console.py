"""What a person at a terminal sees: log records and progress bars on stderr.

The library logs and never prints. The command line runs within `attached`: the records of semiseg's
loggers then appear on stderr, and, where stderr is a terminal, progress bars too. Without it,
Python's own `logging` decides: warnings appear, the rest does not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from semiseg.core.text import duration, percent

T = TypeVar("T")

logger = logging.getLogger(__name__)

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


class ProgressLines:
    """Logs how far something is, once a minute: what a bar shows, for a file or a pipe.

    Args:
        text: the words before the count.
        period: the seconds between two lines.
        clock: gives the time in seconds.
        before: how many were done before, as after resuming; they took no time now.
    """

    def __init__(
        self,
        text: str,
        period: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        before: int = 0,
    ) -> None:
        self._text, self._period, self._clock, self._before = text, period, clock, before
        self._start = self._last = clock()

    def update(self, completed: float, total: int) -> None:
        """Log a line if the last one is old enough.

        Args:
            completed: how many are done.
            total: of how many.
        """
        now = self._clock()
        if now - self._last < self._period or not self._before < completed < total:
            return
        self._last = now
        left = (now - self._start) * (total - completed) / (completed - self._before)
        logger.info(
            "%s: %s of %s (%s %%), about %s left",
            *(self._text, f"{completed:,.0f}", f"{total:,}"),
            *(percent(100 * completed / total), duration(left)),
        )


class Bar:
    """A progress bar; without a terminal, or without `attached`, it shows nothing.

    Args:
        progress: rich's display, or None to show nothing.
        lines: logs the progress instead; None for nothing.
    """

    def __init__(self, progress: Progress | None, lines: ProgressLines | None = None) -> None:
        self._progress, self._lines = progress, lines
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
        if self._lines is not None and completed is not None and total is not None:
            self._lines.update(completed, total)
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=completed, total=total, description=text)


@contextmanager
def progress(text: str = "", unit: str = "", lines: bool = False, before: int = 0) -> Iterator[Bar]:
    """Show a progress bar on stderr while the block runs.

    Args:
        text: the words beside the bar.
        unit: the word before the count, such as `step`; without one the count is not shown.
        lines: log a line each minute where stderr is a file or a pipe, which show no bar.
        before: how many were done before.
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
    if hidden and lines:
        yield Bar(None, ProgressLines(text, before=before))
        return
    with Progress(*columns, console=_console, disable=hidden, transient=True) as display:
        bar = Bar(display)
        bar.update(text=text)
        yield bar


def track(items: Iterable[T], text: str, total: int, lines: bool = False) -> Iterator[T]:
    """Go through items while a progress bar counts them.

    Args:
        items: the items.
        text: the words beside the bar.
        total: the number of items.
        lines: as for `progress`.
    """
    with progress(text, lines=lines) as bar:
        for count, item in enumerate(items):
            bar.update(count, total)
            yield item
