"""The rounds of a loop: what the newest one shows, and how the next one is chosen."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from textwrap import indent
from threading import Lock
from typing import NamedTuple

from semiseg.config.command_line import continue_command, shorten
from semiseg.core import shell
from semiseg.core.errors import DataError
from semiseg.core.text import percent, plural
from semiseg.correction.classes import classes_in, file_of_new_classes, write_classes
from semiseg.correction.loop import Loop, scores_of
from semiseg.correction.masks import Masks
from semiseg.correction.model_view import ModelView
from semiseg.correction.queue import Item, States, read_queue
from semiseg.correction.train_on import BusyError, TrainOn, log_of, settings_to_repeat, unused_run
from semiseg.inference.device import torch_device
from semiseg.inference.torch_model import Model
from semiseg.model.release import load_release
from semiseg.suggestion.suggest import suggest
from semiseg.training.run_data import data_of

logger = logging.getLogger(__name__)


class Content(NamedTuple):
    """What the page shows in a round.

    Attributes:
        number: the round, from 1 on.
        items: the images, in their order.
        states: what a person decided about each of them.
        masks: reads and writes their masks.
        view: the model.
    """

    number: int
    items: list[Item]
    states: States
    masks: Masks
    view: ModelView


class Rounds:
    """The rounds of a loop.

    Args:
        loop: the rounds and the trainings.
        trainer: starts the trainings.
        n: the largest number of images in a new round.
        data: the data folder, if it moved since the first training.
        accelerator: the device of the models.
    """

    def __init__(
        self, loop: Loop, trainer: TrainOn, *, n: int, data: Path | None, accelerator: str
    ) -> None:
        self.loop, self.trainer = loop, trainer
        self._n, self._data, self._accelerator = n, data, accelerator
        self._choosing = Lock()

    @property
    def is_choosing(self) -> bool:
        """Whether the images of the next round are being chosen."""
        return self._choosing.locked()

    def content(self) -> Content:
        """What the newest round shows.

        Raises:
            DataError: it has no images, or its `classes.yaml` cannot be used.
            RunError: its model or its states cannot be read.
        """
        loop = self.loop
        model = Model(load_release(loop.run), torch_device(self._accelerator))
        return Content(
            len(loop.record.rounds),
            read_queue(loop.folder),
            States(loop.folder),
            Masks(classes_in(loop.folder, model.classes), loop.folder),
            ModelView(model),
        )

    def choose_next(self) -> None:
        """Choose the images of the next round with the best model so far.

        Images that were accepted or skipped in any round are left out.

        Raises:
            BusyError: no training has ended since this round began, or they are being chosen.
            DataError: there is no image to suggest.
            RunError: the model cannot be read, or the folder cannot be written.
        """
        if not self._choosing.acquire(blocking=False):
            raise BusyError("The next images are being chosen.")
        try:
            self._choose_next()
        finally:
            self._choosing.release()

    def _choose_next(self) -> None:
        if not self.can_go_on():
            raise BusyError("Train on first: the next images are chosen by the new model.")
        loop = self.loop
        run = loop.best_run()
        images = None if loop.record.images is None else Path(loop.record.images)
        pool = images or self._data or data_of(loop.runs()[0])
        if pool is None:
            raise DataError(
                "semiseg does not know which images to choose from.",
                f"Start it again with their folder: semiseg correct {run} IMAGES --out "
                f"{loop.folder}.",
            )
        first = Path(loop.record.rounds[0].folder)
        number = 2
        while (folder := first.with_name(f"{first.name}-{number}")).exists():
            number += 1
        own = load_release(run).metadata.classes
        classes = classes_in(loop.folder, own)
        suggest(
            run,
            pool,
            out=folder,
            n=self._n,
            data=self._data,
            accelerator=self._accelerator,
            without=loop.decided_originals(),
        )
        if classes != own:  # the best model may be older than a class that accepted masks hold
            write_classes(classes, folder)
        loop.begin_round(folder, run)

    def can_go_on(self) -> bool:
        """Whether the newest training has ended, and began in the newest round."""
        training = self.loop.training
        if training is None or self.trainer.report().state != "finished":
            return False
        return Path(training.corrected).parent == self.loop.folder

    def history(self) -> list[tuple[str, float | None]]:
        """The first run and those of the trainings that ended, each with its mIoU in percent."""
        ended = ((run, scores_of(run)) for run in self.loop.runs())
        return [(shorten(run), scores.miou.released) for run, scores in ended if scores is not None]

    def next_steps(self) -> str:
        """What was done, and the command that goes on with it."""
        accepted = len(list(self.loop.accepted()))
        trained = self.loop.training.masks if self.loop.training else 0
        scores = self.history()[1:]
        lines = [
            f"{run}: mIoU {percent(miou)} % on val" for run, miou in scores if miou is not None
        ]
        training = self._describe_training()
        lines += training
        if not self.loop.folder.is_dir():
            return "\n".join([*lines, f"{shorten(self.loop.folder)} is gone with its masks."])
        again = f"Go on with: {self._again()}"
        if not accepted:
            return "\n".join([*lines, f"No mask is accepted yet. {again}"])
        if accepted > trained:
            lines += [
                f"Train on with {plural(accepted, 'accepted mask')} and your data, in the page or "
                "by this command:",
                f"  {self._command()}",
            ]
        if not training and (left := self._count_open()):
            lines.append(f"{plural(left, 'mask is', 'masks are')} left. {again}")
        return "\n".join(lines)

    def _count_open(self) -> int:
        """The masks of the newest round that nobody decided about."""
        with suppress(DataError):  # a person removed all of them
            items, states = read_queue(self.loop.folder), States(self.loop.folder)
            return sum(states[item.name] == "open" for item in items)
        return 0

    def _describe_training(self) -> list[str]:
        """What the newest training does, unless it has ended well."""
        report = self.trainer.report()
        if report.run is None or report.state == "finished":
            return []
        run, log = shorten(report.run), shorten(log_of(report.run))
        sentence = {
            "running": f"The training goes on in {run}; its messages are in {log}.",
            "stopped": f"The training in {run} is stopped, and can be resumed in the page.",
        }.get(report.state, f"The training in {run} failed; its messages are in {log}.")
        reason = [indent(report.error, "  ")] if report.error else []
        if not self.loop.folder.is_dir():
            return [sentence, *reason]
        return [sentence, *reason, f"To see it: {self._again()}"]

    def _again(self) -> str:
        """The command that shows the page again."""
        first, folder = self.loop.runs()[0], self.loop.folder
        place = [] if self._data is None else ["--data", shorten(self._data)]
        words = ["correct", shorten(first), "--out", shorten(folder), *place]
        return shell.join(["semiseg", *words])

    def _command(self) -> str:
        """The command that trains on with the accepted masks of all rounds."""
        best, first = self.loop.best_run(), self.loop.runs()[0]
        folders = list(dict.fromkeys(folder for _, folder, _ in self.loop.accepted()))
        config = settings_to_repeat(self.loop, best)
        place = data_of(first) if config is None and self._data is None else self._data
        classes = file_of_new_classes(self.loop.folder, load_release(best).metadata.classes)
        file = None if classes is None else Path(shorten(classes))
        out = shorten(unused_run(first))
        return continue_command(Path(shorten(best)), config, folders, place, file, out)
