"""`correct`: see and mend the masks that a model proposes, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings import CorrectSettings
from semiseg.core.text import plural
from semiseg.correction.serve import prepare_queue, serve
from semiseg.inference.load import check_order
from semiseg.suggestion.next_steps import next_steps


class Corrected(NamedTuple):
    """What was corrected.

    Attributes:
        folder: the images with their masks.
        done: the masks that were accepted or skipped, in all calls.
        total: all masks.
        next_steps: the commands that add the masks to the data and continue the training.
    """

    folder: Path
    done: int
    total: int
    next_steps: str

    def text(self) -> str:
        """How many masks are done, and what to do with them."""
        total = plural(self.total, "mask")
        return f"{self.done} of {total} in {self.folder} accepted or skipped\n{self.next_steps}"


@command(CorrectSettings)
def correct(settings: CorrectSettings) -> Corrected:
    """Show the masks of a model in a browser, to correct them by brush, polygon and likeness.

    The images are those that `suggest` would choose, or chose in an earlier call. The masks are
    saved while you draw, in the format of your own. The server listens on this machine only, and
    runs until Ctrl-C.

    Returns:
        How many masks are done, and what to do with them.

    Raises:
        DataError: there is no image to correct.
        ConfigError: a package is missing, or a setting cannot be used.
        RunError: the model cannot be read, or the folder cannot be written.
    """
    run, out = settings.run, settings.out
    if settings.images is not None:
        check_order("correct", run, settings.images)
    items = prepare_queue(
        run,
        settings.images,
        out,
        n=settings.n,
        data=settings.data,
        accelerator=settings.accelerator,
    )
    done = serve(
        run,
        items,
        out,
        accelerator=settings.accelerator,
        port=settings.port,
        open_browser=settings.browser,
    )
    return Corrected(out, done, len(items), next_steps(run, out, settings.data))
