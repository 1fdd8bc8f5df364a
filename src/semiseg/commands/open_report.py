"""`open`: the report of a run or a comparison in the browser. Nothing here imports torch."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings.runs import OpenSettings
from semiseg.core.errors import RunError
from semiseg.core.run_names import COMPARISON, CONFIG, REPORT, SCORES

_MAX_NAMED = 4  # runs in a message


class Opened(NamedTuple):
    """A report, and whether a browser shows it.

    Attributes:
        path: the HTML file.
        shown: whether a browser was asked to show it.
    """

    path: Path
    shown: bool

    def text(self) -> str:
        """The file, and how to see it where no browser was found."""
        if self.shown:
            return str(self.path)
        return f"{self.path}\nThere is no display or no browser here. Open this file in a browser."


@command(OpenSettings)
def open_report(settings: OpenSettings) -> Opened:
    """Open the report of a run or a comparison in the browser.

    While the run trains, this is the page that shows how far it is.

    Returns:
        The file, and whether a browser shows it.

    Raises:
        RunError: there is no report yet.
    """
    page = _page_of(settings.run).absolute()
    return Opened(page, _has_display() and webbrowser.open(page.as_uri()))


def _page_of(run: Path) -> Path:
    """The report of a folder.

    Raises:
        RunError: there is none; the message says what to do.
    """
    page = run / REPORT
    if page.is_file():
        return page
    if run.is_file() and run.name == REPORT:
        return run
    if not run.is_dir():
        raise RunError(f"There is no folder {run}. Name the folder of a run or of a comparison.")
    if (run / SCORES).is_file() or (run / COMPARISON).is_file():
        raise RunError(f"{run} has no {REPORT}. Write it: semiseg report {run}")
    if (run / CONFIG).is_file():
        raise RunError(
            f"{run} has no {REPORT} yet: its training has not begun its steps. Wait, or if it "
            f"stopped, go on with it: semiseg train DATA --out {run} --resume"
        )
    found = sorted(p.parent for depth in ("*", "*/*") for p in run.glob(f"{depth}/{REPORT}"))
    if found:
        names = ", ".join(map(str, found[:_MAX_NAMED])) + ", ..." * (len(found) > _MAX_NAMED)
        raise RunError(f"{run} is no run. Name one of the runs in it: {names}")
    raise RunError(f"{run} holds no run and no comparison. Name the folder of one.")


def _has_display() -> bool:
    """Whether a browser can show a window; a text browser would take over the terminal."""
    if "BROWSER" in os.environ or sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
