"""`suggest`: which unlabeled images to label next, or first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings.choosing import SuggestSettings
from semiseg.config.bands import named_bands, reading_of
from semiseg.config.command_line import flag_words
from semiseg.config.settings import AUTO
from semiseg.config.shard import parse_shard
from semiseg.core import shell
from semiseg.core.addresses import without_secrets
from semiseg.core.errors import ConfigError
from semiseg.data.pools.pool import is_pool
from semiseg.inference.device import use_threads
from semiseg.inference.load import check_order, is_model
from semiseg.suggestion.coverage import FirstImage, first_image_table
from semiseg.suggestion.first_images import suggest_first
from semiseg.suggestion.next_steps import next_steps
from semiseg.suggestion.pool_first import suggest_first_from_pool
from semiseg.suggestion.pool_next import suggest_from_pool
from semiseg.suggestion.ranking import Suggestion, suggestion_table
from semiseg.suggestion.suggest import suggest as choose_images


class Suggestions(NamedTuple):
    """The images to label next.

    Attributes:
        images: the images; begin with the first one. None after a shard of a pool.
        next_steps: what to do with them: the commands that add their masks to your data, and train
            or continue the training. After a shard, the command that chooses.
    """

    images: Sequence[Suggestion] | Sequence[FirstImage]
    next_steps: str

    def text(self) -> str:
        """A table of the images with the reasons, and the next steps."""
        suggestions = [one for one in self.images if isinstance(one, Suggestion)]
        first = [one for one in self.images if isinstance(one, FirstImage)]
        if not self.images:
            return self.next_steps
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

    For a pool, the features of all images go into `OUT/features`. A killed call goes on there.

    Returns:
        The images, and what to do with them.

    Raises:
        DataError: there is no image to suggest, or a shard is not finished.
        ConfigError: the model is an exported one, `data` are not the data of the run, the encoder
            cannot be used, or the features in the output folder are those of another model or pool.
        RunError: the model cannot be read, or the output folder cannot be written.
    """
    use_threads(settings.threads)
    images = settings.run if settings.images is None else settings.images
    has_pool = is_pool(images)
    if has_pool and settings.folder.resolve() == Path(images).resolve():
        raise ConfigError(f"--out {settings.folder} is the pool. Choose another folder.")
    _check_folders(settings)
    if not has_pool and (settings.shard is not None or settings.merge):
        name = "--merge" if settings.merge else f"--shard {settings.shard}"
        raise ConfigError(
            f"{name} is for a pool, and {images} is none. Leave {name} out, or pack the images: "
            f"{shell.join(['semiseg', 'pack', images, '--out', 'POOL'])}"
        )
    if settings.images is None:
        return _suggest_first(settings, has_pool)
    run = Path(settings.run)
    if not has_pool:
        check_order("suggest", run, Path(images))
        chosen = choose_images(
            run,
            Path(images),
            more=[Path(folder) for folder in settings.more],
            out=settings.folder,
            n=settings.n,
            data=settings.data,
            file_format=settings.file_format,
            min_area=settings.min_area,
            overwrite=settings.overwrite,
            accelerator=settings.accelerator,
        )
        return Suggestions(chosen, next_steps(run, settings.folder, settings.data))
    chosen = suggest_from_pool(
        run,
        images,
        out=settings.folder,
        n=settings.n,
        data=settings.data,
        file_format=settings.file_format,
        min_area=settings.min_area,
        overwrite=settings.overwrite,
        accelerator=settings.accelerator,
        shard=None if settings.shard is None else parse_shard(settings.shard),
        merge=settings.merge,
        call=_call(settings),
    )
    if settings.shard is not None:
        return _after_shard(settings)
    return Suggestions(chosen, next_steps(run, settings.folder, settings.data))


def _check_folders(settings: SuggestSettings) -> None:
    """Refuse several places that are no folders of images.

    Raises:
        ConfigError: one is none.
    """
    if not settings.more:
        return
    for place in (settings.images, *settings.more):
        if place is None or is_pool(place) or not Path(place).is_dir():
            problem = "is a pool" if place and is_pool(place) else "is no folder"
            raise ConfigError(
                f"{place} {problem}, and suggest takes several folders of images only. For other "
                "places, write a text file with the path of one image on each line, and name it as "
                "IMAGES."
            )
        if is_model(Path(place)):
            raise ConfigError(f"{place} holds a model, and only the first word may name one.")


def _suggest_first(settings: SuggestSettings, has_pool: bool) -> Suggestions:
    """Choose without a run.

    Raises:
        ConfigError: the images are a run.
    """
    images = settings.run
    reading = reading_of(AUTO, settings.bands, settings.rgb, AUTO, settings.axes)
    if has_pool:
        first = suggest_first_from_pool(
            images,
            out=settings.folder,
            n=settings.n,
            data=settings.data,
            encoder=settings.encoder,
            weights=settings.weights,
            reading=reading,
            named=named_bands(settings.bands, settings.rgb),
            overwrite=settings.overwrite,
            accelerator=settings.accelerator,
            shard=None if settings.shard is None else parse_shard(settings.shard),
            merge=settings.merge,
            call=_call(settings),
        )
        if settings.shard is not None:
            return _after_shard(settings)
        return Suggestions(first.images, first.next_steps)
    if is_model(Path(images)):
        raise ConfigError(
            f"{images} holds a model, and suggest needs the images to choose from, too. Use "
            f"`semiseg suggest {images} IMAGES`."
        )
    first = suggest_first(
        Path(images),
        out=settings.folder,
        n=settings.n,
        data=settings.data,
        encoder=settings.encoder,
        weights=settings.weights,
        reading=reading,
        named=named_bands(settings.bands, settings.rgb),
        overwrite=settings.overwrite,
        accelerator=settings.accelerator,
    )
    return Suggestions(first.images, first.next_steps)


def _after_shard(settings: SuggestSettings) -> Suggestions:
    """What to do after a shard."""
    return Suggestions(
        (),
        f"The features of shard {settings.shard} are in {settings.folder / 'features'}. When all "
        f"shards are finished:\n  {_call(settings)} --merge -n {settings.n}",
    )


def _call(settings: SuggestSettings) -> str:
    """The command without `--shard` and `--merge`."""
    places = [settings.run] if settings.images is None else [settings.run, settings.images]
    data = {} if settings.data is None else {"data": str(settings.data)}
    flags = flag_words({"out": str(settings.folder), **data, **settings.decisive})
    return shell.join(["semiseg", "suggest", *map(without_secrets, places), *flags])
