"""`suggest`: which unlabeled images to label next, with masks to correct."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings import SuggestSettings
from semiseg.inference.load import check_order
from semiseg.suggestion.next_steps import next_steps
from semiseg.suggestion.ranking import Suggestion, suggestion_table
from semiseg.suggestion.suggest import suggest as choose_images


class Suggestions(NamedTuple):
    """The images to label next.

    Attributes:
        images: the images; begin with the first one.
        next_steps: the commands that add the masks to your data and continue the training.
    """

    images: Sequence[Suggestion]
    next_steps: str

    def text(self) -> str:
        """A table of the images with the reasons, and the next steps."""
        return f"{suggestion_table(self.images)}\n{self.next_steps}"


@command(SuggestSettings)
def suggest(settings: SuggestSettings) -> Suggestions:
    """Choose the images to label next, and write masks to correct.

    An image counts more, the more the model doubts, the more its two spaces disagree, and the
    farther the image is from the labeled and the chosen images. So semiseg never chooses two images
    that are alike.

    Returns:
        The images, and what to do with them.

    Raises:
        DataError: there is no image to suggest.
        ConfigError: the model is an exported one, or `data` are not the data of the run.
        RunError: the model cannot be read, or the output folder cannot be written.
    """
    check_order("suggest", settings.run, settings.images)
    images = choose_images(
        settings.run,
        settings.images,
        out=settings.out,
        n=settings.n,
        data=settings.data,
        overwrite=settings.overwrite,
        accelerator=settings.accelerator,
    )
    return Suggestions(images, next_steps(settings.run, settings.out, settings.data))
