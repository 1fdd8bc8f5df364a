"""How a model reads new images whose bands lie otherwise than in those of its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.reading import RGB_CHANNELS, Reading
from semiseg.core.text import plural
from semiseg.core.types import NO_NAMES, NamedBands
from semiseg.data.band_names import number_bands
from semiseg.data.formats.band_header import count_bands


def reading_like(
    trained: Reading, own: Reading, named: NamedBands, files: Sequence[Path]
) -> Reading:
    """The reading of a training, with what a person says of new images.

    Args:
        trained: how the images of the training were read.
        own: what the person says; its bands stand in the order of those of the training.
        named: the bands that have names, as in the new files.
        files: the new images.

    Raises:
        ConfigError: there are not as many bands, or ranges, as the model has.
        DataError: the files do not have the names, or a file has more bands than the model and
            nobody says which ones are meant.
    """
    axes = own.axes or trained.axes
    if named != NO_NAMES:
        own = replace(own, axes=axes)
        own = number_bands(own, named, [path for path in files if count_bands(path, axes)])
    reading = replace(trained, bands=own.bands or trained.bands, axes=axes)
    channels = trained.channels
    if own.bands is None:
        require_same_number(reading, files)
    if reading.channels != channels:
        given = plural(len(reading.bands or ()), "band")
        wanted = "one or three" if channels == RGB_CHANNELS else str(channels)
        raise ConfigError(
            f"--bands names {given}, but the model was trained with {wanted}. Name as many, in the "
            "order of those of the training."
        )
    if own.ranges is not None and len(own.ranges) != channels:
        raise ConfigError(
            f"--range has values for {plural(len(own.ranges), 'band')}, but the model has "
            f"{channels}. Give two values for all bands, or two for each one."
        )
    if own.ranges is not None:
        reading = replace(reading, ranges=own.ranges)
    elif own.value_range is not None and channels != RGB_CHANNELS:
        reading = replace(reading, ranges=(own.value_range,) * channels)
    elif own.value_range is not None:
        reading = replace(reading, value_range=own.value_range)
    if own.rgb is not None:
        return replace(reading, rgb=own.rgb)
    colors = trained.color_channels
    if colors is None or channels == RGB_CHANNELS or reading.bands is None:
        return reading
    red, green, blue = (reading.bands[place] for place in colors)
    return replace(reading, rgb=(red, green, blue))


def check_bands_of(
    file: Path, reading: Reading, trained: Reading, own: Reading, named: NamedBands
) -> None:
    """Refuse an image whose bands lie otherwise than in those that gave the reading.

    Args:
        file: the image.
        reading: what `reading_like` gave for some of the images.
        trained: as for `reading_like`.
        own: as for `reading_like`.
        named: as for `reading_like`.

    Raises:
        DataError: the bands have other names or places, or there are more than the model has.
    """
    if named == NO_NAMES:
        if own.bands is None:
            require_same_number(reading, [file])
    elif count_bands(file, reading.axes) and reading_like(trained, own, named, [file]) != reading:
        raise DataError(
            f"The bands of {file} lie in another order than those of the first images.",
            "Write the bands of all files in the same order.",
        )


def require_same_number(reading: Reading, files: Sequence[Path]) -> None:
    """Refuse files with more bands than a model that reads all bands from the first one on.

    Nobody says whether the first bands of such files are those of the training.

    Raises:
        DataError: a file has more.
    """
    bands = reading.bands or ()
    if reading.channels == RGB_CHANNELS or sorted(bands) != list(range(1, len(bands) + 1)):
        return
    for file in files:
        count = count_bands(file, reading.axes)
        if count is not None and count.bands > len(bands):
            raise DataError(
                f"{file} has {plural(count.bands, 'band')}, but the model was trained with "
                f"{len(bands)}: name these in the order of the training, such as "
                f"--bands {','.join(map(str, bands))} (`bands` in the dataset.yaml of a data "
                "folder, `read_as` in Python)."
            )
