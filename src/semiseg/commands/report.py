"""`report`: a run or a comparison as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings.runs import ReportSettings
from semiseg.reporting.report import report as write_page


class Page(NamedTuple):
    """A report.

    Attributes:
        path: the HTML file.
    """

    path: Path

    def text(self) -> str:
        """The file."""
        return str(self.path)


@command(ReportSettings)
def report(settings: ReportSettings) -> Page:
    """Write a run or a comparison as one HTML file that opens in any browser.

    Returns:
        The file.

    Raises:
        RunError: the run is not finished, the file cannot be written, or it would replace a report
            with images by one without, since the data are gone.
    """
    return Page(
        write_page(
            settings.run, out=settings.out, data=settings.data, accelerator=settings.accelerator
        )
    )
