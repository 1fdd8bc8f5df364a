"""A look at some of the images before the first one is segmented: how they are read, and warnings.

A few images show what all are like. So a job of a million images begins at once.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from semiseg.core.errors import ConfigError, DataError
from semiseg.data.value_range import describe_depth
from semiseg.inference.bands import reading_like
from semiseg.inference.geotiff import place_of
from semiseg.inference.image_request import ImageOptions, ImageSource, LocalImage
from semiseg.inference.large import check_probabilities, large_images
from semiseg.inference.predictor import Predictor
from semiseg.inference.raster_prediction import PROBABILITIES
from semiseg.inference.scale import choose_factors, explain
from semiseg.inference.targets import describe_lost_places, middle_of

logger = logging.getLogger(__name__)

MAX_SURVEYED = 1000
"""The images whose headers are read; of fewer ones, all are."""
_MAX_FETCHED = 16  # of images that lie elsewhere
_MAX_LOOKUPS = 20  # results that are looked up for each of them: a store answers one by one


def survey(
    model: Predictor,
    sources: Sequence[ImageSource],
    options: ImageOptions,
    is_new: Callable[[ImageSource], bool],
) -> None:
    """Decide how the images are read (`model.read_as`), and warn of what may be wrong with them.

    Args:
        model: the model.
        sources: all images.
        options: how they are segmented.
        is_new: whether an image has still to be segmented; the others are passed over.

    Raises:
        ConfigError: a setting fits neither the images nor the model.
        DataError: the bands of the images are not those of the model.
    """
    sample = _sample(sources, is_new)
    with tempfile.TemporaryDirectory(prefix="semiseg-") as folder, large_images():
        names = dict(_fetched(sample, Path(folder)))
        files = list(names)
        try:
            reading = reading_like(options.trained, options.own, options.named, files)
            model.read_as(reading)
            jobs = choose_factors(files, model.metadata, options.scale)
        except DataError as error:
            raise DataError(_renamed(str(error), names)) from error
        for file, header, *_ in jobs:
            if header is None or PROBABILITIES not in options.kinds:
                continue
            try:
                check_probabilities(header.pixels, len(model.classes), names[file])
            except DataError as error:  # all others would fail, too
                raise ConfigError(str(error)) from None
        if len(sources) > MAX_SURVEYED:
            logger.info(
                "semiseg looked at %d of %d images before the first one is segmented",
                len(files),
                len(sources),
            )
        if warning := describe_lost_places(files):
            logger.warning("%s", warning)
        explain(options.scale, model.metadata, jobs)
        middles = [middle_of(file, place_of(file)) for file in files[:_MAX_FETCHED]]
        if warning := describe_depth(middles, model.reading):
            logger.warning("%s", _renamed(warning, names))


def _sample(
    sources: Sequence[ImageSource], is_new: Callable[[ImageSource], bool]
) -> list[ImageSource]:
    """New images that lie evenly among all, in their order."""
    count = MAX_SURVEYED if isinstance(sources[0], LocalImage) else _MAX_FETCHED
    step = -(-len(sources) // count) or 1
    order = (i for start in range(step) for i in range(start, len(sources), step))
    candidates = islice(order, _MAX_LOOKUPS * count)
    chosen = sorted(islice((i for i in candidates if is_new(sources[i])), count))
    return [sources[i] for i in chosen or [0]]


def _fetched(sample: Iterable[ImageSource], folder: Path) -> Iterator[tuple[Path, ImageSource]]:
    """The images as files; those that cannot be read are left out, since each says so later."""
    for number, source in enumerate(sample):
        try:
            yield source.fetch(folder / str(number)), source
        except DataError:
            continue


def _renamed(text: str, names: dict[Path, ImageSource]) -> str:
    """A text that names the images as the user does."""
    for file, source in names.items():
        if not isinstance(source, LocalImage):
            text = text.replace(str(file), str(source))
    return text
