"""`convert`: the annotations of a data folder as masks that can join others."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings.folders import ConvertSettings
from semiseg.core.text import plural
from semiseg.suggestion.conversion import convert as write_masks
from semiseg.suggestion.next_steps import steps_of_corrected


class Conversion(NamedTuple):
    """Masks that were written.

    Attributes:
        folder: the folder that holds them.
        images: the number of images with masks.
        next_steps: the commands that add them to the data of the run, and continue its training;
            empty without a run.
    """

    folder: Path
    images: int
    next_steps: str

    def text(self) -> str:
        """The folder, the number of images, and the next steps."""
        line = f"{self.folder}: {plural(self.images, 'image')} with masks"
        return f"{line}\n{self.next_steps}" if self.next_steps else line


@command(ConvertSettings)
def convert(settings: ConvertSettings) -> Conversion:
    """Write the annotations of a data folder as masks, which can join those of a run.

    semiseg reads the annotations of many tools: COCO, CVAT, Label Studio, LabelMe, YOLO and others.
    This command writes them as images of ids or colors, with the classes of a run if you name one.

    Returns:
        The folder, the number of images, and what to do with them.

    Raises:
        DataError: the data cannot be read, or hold a class that the run does not know.
        RunError: the run cannot be read, or the folder exists or cannot be written.
    """
    out, run = settings.out, settings.like
    count = write_masks(settings.data, out, run, settings.overwrite)
    return Conversion(out, count, "" if run is None else steps_of_corrected(run, out))
