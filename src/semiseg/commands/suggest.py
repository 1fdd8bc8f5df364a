"""`suggest`: which unlabeled images to label next, or first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings import SuggestSettings
from semiseg.config.bands import named_bands, reading_of
from semiseg.config.settings import AUTO
from semiseg.core.errors import ConfigError
from semiseg.data.pools.pool import is_pool
from semiseg.inference.device import use_threads
from semiseg.inference.load import check_order, is_model
from semiseg.suggestion.coverage import FirstImage, first_image_table
from semiseg.suggestion.first_images import suggest_first
from semiseg.suggestion.next_steps import next_steps
from semiseg.suggestion.ranking import Suggestion, suggestion_table
from semiseg.suggestion.suggest import suggest as choose_images


class Suggestions(NamedTuple):
    """The images to label next.

    Attributes:
        images: the images; begin with the first one.
        next_steps: what to do with them: the commands that add their masks to your data, and train
            or continue the training.
    """

    images: Sequence[Suggestion] | Sequence[FirstImage]
    next_steps: str

    def text(self) -> str:
        """A table of the images with the reasons, and the next steps."""
        suggestions = [one for one in self.images if isinstance(one, Suggestion)]
        first = [one for one in self.images if isinstance(one, FirstImage)]
        table = suggestion_table(suggestions) if suggestions else first_image_table(first)
        return f"{table}\n{self.next_steps}"


@command(SuggestSettings)
def suggest(settings: SuggestSettings) -> Suggestions:
    """Choose the images to label next, or first if there is no trained model yet.

    With a run, an image counts more, the more the model doubts, the more its two spaces disagree,
    and the farther the image is from the labeled and the chosen images. So semiseg never chooses
    two images that are alike. It writes the model's masks, which you correct.

    Without a run, `semiseg.suggest("IMAGES")` chooses images that stand for all others, by what a
    pretrained encoder sees in them. If some images have masks already, the choice complements them.

    Returns:
        The images, and what to do with them.

    Raises:
        DataError: there is no image to suggest.
        ConfigError: the images are a pool, the model is an exported one, `data` are not the data of
            the run, or the encoder cannot be used.
        RunError: the model cannot be read, or the output folder cannot be written.
    """
    use_threads(settings.threads)
    place = settings.run if settings.images is None else settings.images
    if is_pool(place):
        raise ConfigError(
            f"{place} is a pool, and suggest reads folders and lists of images. Give it a folder "
            "of images."
        )
    if settings.images is None:
        return _suggest_first(settings, settings.run)
    check_order("suggest", settings.run, settings.images)
    images = choose_images(
        settings.run,
        settings.images,
        out=settings.folder,
        n=settings.n,
        data=settings.data,
        file_format=settings.file_format,
        overwrite=settings.overwrite,
        accelerator=settings.accelerator,
    )
    return Suggestions(images, next_steps(settings.run, settings.folder, settings.data))


def _suggest_first(settings: SuggestSettings, images: Path) -> Suggestions:
    """Choose without a run.

    Raises:
        ConfigError: the images are a run.
    """
    if is_model(images):
        raise ConfigError(
            f"{images} holds a model, and suggest needs the images to choose from, too. Use "
            f"`semiseg suggest {images} IMAGES`."
        )
    first = suggest_first(
        images,
        out=settings.folder,
        n=settings.n,
        data=settings.data,
        encoder=settings.encoder,
        weights=settings.weights,
        reading=reading_of(AUTO, settings.bands, settings.rgb, AUTO, settings.axes),
        named=named_bands(settings.bands, settings.rgb),
        overwrite=settings.overwrite,
        accelerator=settings.accelerator,
    )
    return Suggestions(first.images, first.next_steps)
