"""Bands by the names that image files give them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from semiseg.core.errors import DataError
from semiseg.core.reading import Reading
from semiseg.core.types import NamedBands
from semiseg.data.formats.band_header import BandHeader, read_band_header
from semiseg.data.formats.raster_windows import file_of


def number_bands(reading: Reading, named: NamedBands, files: Sequence[Path]) -> Reading:
    """The reading with the numbers of bands that have names.

    Args:
        reading: how images are read.
        named: the bands; a name is found whatever its capitals.
        files: TIFF, JPEG 2000 and NIfTI files, whose bands lie in the same order.

    Raises:
        DataError: a band has another name, or files differ in the places of their bands.
    """
    words = [*(named.bands or ()), *(named.rgb or ())]
    if not files:
        wanted = next(word for word in words if isinstance(word, str))
        raise DataError(
            f"No image has a band that is called {wanted!r}, since only TIFF and JPEG 2000 files "
            "name their bands.",
            "Give numbers, such as --bands 4,3,2.",
        )
    first: dict[int | str, int] | None = None
    for file in files:
        try:
            header = read_band_header(file, reading.axes)
        except OSError:
            continue  # reading the image says what is wrong
        numbers = {word: _number_of(word, header, file) for word in words}
        if first is not None and numbers != first:
            other = next(word for word in words if numbers[word] != first[word])
            raise DataError(
                f"The band {other!r} is number {first[other]} in {files[0]} and number "
                f"{numbers[other]} in {file}.",
                "Write the bands of all files in the same order.",
            )
        first = numbers
    if first is None:
        return reading
    if named.bands is not None:
        reading = replace(reading, bands=tuple(first[word] for word in named.bands))
    if named.rgb is not None:
        red, green, blue = (first[word] for word in named.rgb)
        reading = replace(reading, rgb=(red, green, blue))
    return reading


def names_of_bands(reading: Reading, files: Iterable[Path]) -> tuple[str, ...] | None:
    """The names of the bands that are read, as the first file that can be read gives them.

    Args:
        reading: how images are read.
        files: of the same kind.

    Returns:
        The names, empty where a band has none; None without names.
    """
    for file in files if reading.bands else ():
        try:
            names = read_band_header(file_of(file), reading.axes).names
        except (OSError, DataError):
            continue
        found = tuple(names[band - 1] if band <= len(names) else "" for band in reading.bands or ())
        return found if any(found) else None
    return None


def _number_of(word: int | str, header: BandHeader, file: Path) -> int:
    """The number of a band.

    Raises:
        DataError: no band, or more than one, has this name.
    """
    if isinstance(word, int):
        return word
    names = [name.casefold() for name in header.names]
    count = names.count(word.strip().casefold())
    if count == 1:
        return names.index(word.strip().casefold()) + 1
    choices = [f"{number} {name}".strip() for number, name in enumerate(header.names, 1)]
    raise DataError(
        f"{file} has {count or 'no'} bands that are called {word!r}.",
        f"Its bands: {', '.join(choices) or 'without names'}. Choose by these names or numbers.",
    )
