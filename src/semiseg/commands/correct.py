"""`correct`: see and mend the masks that a model proposes, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings.choosing import CorrectSettings
from semiseg.config.command_line import shorten
from semiseg.core.text import plural
from semiseg.correction.rounds import Rounds
from semiseg.correction.serve import open_port, prepare_queue, serve
from semiseg.correction.train_on import TrainOn
from semiseg.inference.load import check_order


class Corrected(NamedTuple):
    """What was corrected.

    Attributes:
        folder: the images with their masks in the newest round.
        done: the masks that were accepted or skipped, in all calls.
        total: all masks.
        next_steps: the trainings of the page, and the command that trains on with further masks.
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
    saved while you draw, in the format of your own. The page trains on with the accepted masks, and
    then shows the next images. The server listens on this machine only, and runs until Ctrl-C; a
    training goes on without it.

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
    with open_port(settings.port) as listener:  # before the images are chosen, which takes long
        loop = prepare_queue(
            run,
            settings.images,
            out,
            n=settings.n,
            data=settings.data,
            accelerator=settings.accelerator,
        )
        trainer = TrainOn(loop, settings.data)
        rounds = Rounds(
            loop, trainer, n=settings.n, data=settings.data, accelerator=settings.accelerator
        )
        done, total = serve(
            rounds,
            listener,
            open_browser=settings.browser,
            assistant=settings.assistant,
        )
    return Corrected(Path(shorten(loop.folder)), done, total, rounds.next_steps())
