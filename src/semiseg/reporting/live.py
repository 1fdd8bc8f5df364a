"""Writes `report.html` while a training runs; the report of the finished run replaces it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from semiseg.core.files import write_text
from semiseg.core.run_names import REPORT
from semiseg.plots.curves import figure_style
from semiseg.reporting.live_page import LivePage, State, at_step, live_page
from semiseg.reporting.template import render
from semiseg.training.watching import Progress

logger = logging.getLogger(__name__)


class LiveReport:
    """A watcher that writes each validation of a training as a page, which loads itself again.

    Between two validations, only the step and the times on the page change, so that nothing is
    drawn again. The page is written as a whole or not at all, so a browser and a kill never meet
    half of it. A failure is reported once and never stops the training.

    Attributes:
        seconds: the seconds that writing has taken so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._progress: Progress | None = None
        self._page: LivePage | None = None
        self._failed = False

    def show(self, progress: Progress) -> None:
        """Write where the training stands; the first time, log the address of the page."""
        first = self._progress is None
        self._progress = progress
        self._write(lambda: live_page(progress, "training"))
        if first and not self._failed:
            page = _page_of(progress)
            logger.info("watch the training in a browser: %s", page.absolute().as_uri())

    def advance(self, progress: Progress) -> None:
        """Write a newer step into the page of the last validation."""
        page = self._page
        if page is not None:
            self._progress = progress
            self._write(lambda: at_step(page, progress))

    def end(self, state: State) -> None:
        """Say on the page that the training stopped, or that its report is missing.

        Nothing is written where no step began.
        """
        progress = self._progress
        if progress is not None and _page_of(progress).parent.is_dir():
            self._write(lambda: live_page(progress, state))

    def _write(self, draw: Callable[[], LivePage]) -> None:
        if self._progress is None:
            return
        began = time.monotonic()
        try:
            with figure_style():
                self._page = draw()
                text = render("live.html", self._page)
            write_text(_page_of(self._progress), text)
        except Exception as error:  # hours of training are not lost for a picture
            if not self._failed:
                message = " ".join(str(error).split()) or repr(error)
                logger.warning(
                    "%s could not be written (%s). The training goes on without it.",
                    _page_of(self._progress),
                    message,
                )
            self._failed = True
        self.seconds += time.monotonic() - began


def _page_of(progress: Progress) -> Path:
    """The page of the whole run, for a stage too."""
    return progress.stage.run.out / REPORT
