"""`split`: the lists of a training, as files that others can use."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings.folders import SplitSettings
from semiseg.config.label_list import label_list
from semiseg.config.settings import AUTO
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.shell import quote
from semiseg.data.reader import load_dataset
from semiseg.data.reservation import choose_test
from semiseg.data.splits import make_split, read_labeled

logger = logging.getLogger(__name__)


class SplitLists(NamedTuple):
    """Lists of images that were written.

    Attributes:
        folder: the folder that holds them.
        counts: the number of names in each list: `labeled`, `unlabeled` and `val`; with a test
            also `test` and `reserved`.
    """

    folder: Path
    counts: Mapping[str, int]

    def text(self) -> str:
        """The folder and the counts; with a test also how to train without it."""
        text = f"{self.folder}: " + ", ".join(f"{n} {name}" for name, n in self.counts.items())
        if "reserved" in self.counts:
            text += (
                "\nTrain without the test images, and score them at the end:\n"
                f"  semiseg train DATA --reserved {quote(str(self.folder / 'reserved.txt'))}\n"
                "  semiseg evaluate RUN DATA --split test"
            )
        return text


@command(SplitSettings)
def split(settings: SplitSettings) -> SplitLists:
    """Choose the labeled images of a data folder, and write the lists of their names.

    The choice is that of `train --labels LABELS --split-seed SEED`, with a test of
    `train --reserved OUT/reserved.txt`, too.

    Returns:
        The folder, and the number of names in each list.

    Raises:
        DataError: the data cannot be used.
        ConfigError: `labels` or `test` cannot be understood, or asks for more masks than exist.
        RunError: the folder holds other lists, or cannot be written.
    """
    if settings.test is not None and settings.reserved is not None:
        raise ConfigError(
            "--test chooses a new test, and --reserved names the images of one. Give one of them."
        )
    out = settings.out
    dataset = None if settings.dataset == AUTO else settings.dataset
    flags = settings.arrangement._replace(
        label_list=label_list(settings.labels), reserved=settings.reserved
    )
    data = load_dataset(settings.data, settings.classes, dataset, flags)
    notes, reserved_lists = [*data.notes], {}
    if settings.test is not None:
        listed = None if flags.label_list is None else read_labeled(flags.label_list, data)
        reservation = choose_test(data, settings.test, settings.seed, listed or ())
        data = reservation.apply(data)
        notes.append(str(reservation))
        if data.pool is not None:
            logger.warning(
                "images of the pool are not compared with the test: a training uses all of them"
            )
        everything = tuple(sorted((*reservation.test, *reservation.others)))
        reserved_lists = {"test": reservation.test, "reserved": everything}
    result = make_split(data, settings.labels, settings.seed)
    for note in (*notes, *result.notes):
        logger.info("%s", note)
    lists = result.lists() | reserved_lists
    texts = {name: "".join(f"{s.name}\n" for s in samples) for name, samples in lists.items()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            file = out / f"{name}.txt"
            if file.exists() and file.read_bytes() != text.encode():
                raise RunError(f"{file} holds another list. Choose another --out.")
        for name, text in texts.items():
            (out / f"{name}.txt").write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{out} cannot be written ({error}). Choose another --out.") from error
    return SplitLists(out, {name: len(samples) for name, samples in lists.items()})
