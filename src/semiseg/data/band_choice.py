"""Which bands of the images of a data folder are read: all of them, or those that a person chose.

The choice falls before any image is decoded. It needs the headers alone, except for a few files
that call their last channel transparency although it may be a band, such as infrared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from semiseg.core.errors import DataError
from semiseg.core.reading import RGB_CHANNELS, Reading
from semiseg.core.text import plural
from semiseg.core.types import NO_NAMES, NamedBands
from semiseg.data.band_names import number_bands
from semiseg.data.findings import Finding, on_files
from semiseg.data.formats.band_header import (
    BandCount,
    BandHeader,
    count_bands,
    is_last_channel_band,
    read_band_header,
)
from semiseg.data.formats.bands import can_read_bands
from semiseg.data.formats.raster_windows import file_of
from semiseg.data.formats.stacks import is_stack_of_bands

_MAX_DOUBTFUL = 5  # files that are decoded where a channel may be transparency or a band


class Band(NamedTuple):
    """One band of the images.

    Attributes:
        number: its number in the files, from 1 on.
        name: as the first file calls it; empty without a name.
        type: of its numbers, such as `uint16`.
    """

    number: int
    name: str
    type: str

    def __str__(self) -> str:
        """The number, with the name."""
        return f"{self.number} ({self.name})" if self.name else str(self.number)


@dataclass(frozen=True)
class BandChoice:
    """The bands that are read.

    Attributes:
        reading: how images are read, with the numbers of the bands.
        bands: the bands, if the images have other than one or three.
        findings: which bands are read and how to choose others; images that have others.
        refused: the images that have others; reading them fails, and a finding says why.
    """

    reading: Reading
    bands: tuple[Band, ...] = ()
    findings: tuple[Finding, ...] = ()
    refused: frozenset[Path] = frozenset()


def choose_bands(
    images: Sequence[Path],
    reading: Reading,
    named: NamedBands = NO_NAMES,
    name_of: Callable[[Path], str] = Path.as_posix,
) -> BandChoice:
    """Decide which bands of the images are read.

    Args:
        images: the images of all splits, with masks and without.
        reading: how they are read; the bands that it names are not inferred.
        named: the bands that have names instead of numbers.
        name_of: the name of a file in findings.

    Raises:
        DataError: no file has a band of this name, the ranges are those of another number of bands,
            or the colors are no bands of the image.
    """
    files = dict.fromkeys(map(file_of, images))
    counts = {file: count_bands(file, reading.axes) for file in files}
    if named != NO_NAMES:
        reading = number_bands(reading, named, [path for path, n in counts.items() if n])
    is_free = reading.bands is None
    if is_free:
        counts = _settle_alpha(counts)
        usual = _usual_number([counts[file_of(path)] for path in images])
        if usual != RGB_CHANNELS:
            reading = replace(reading, bands=tuple(range(1, usual + 1)))
    countable = [path for path in images if not _is_broken_stack(file_of(path), counts, reading)]
    others = _others(countable, counts, reading, is_free)
    findings = _mixed(others, counts, reading, name_of)
    refused = frozenset(others if findings else ())
    reading = _with_ranges(_with_colors(reading))
    if reading.channels == RGB_CHANNELS:
        return BandChoice(reading, (), findings, refused)
    fitting = (file_of(path) for path in images if path not in others)
    header = next((header for path in fitting if (header := _header(path, reading.axes))), None)
    if header is None:
        return BandChoice(reading, (), findings, refused)
    if reading.rgb is None and set(header.rgb or ()) <= set(reading.bands or ()):
        reading = replace(reading, rgb=header.rgb)
    bands = _describe(header, reading)
    if is_free:
        findings = (_all_bands(bands, reading), *findings)
    return BandChoice(reading, bands, findings, refused)


def _is_broken_stack(file: Path, counts: Mapping[Path, BandCount | None], reading: Reading) -> bool:
    """Whether a stack has no number of bands, since it cannot be read: reading it says why."""
    if counts[file] is not None:
        return False
    try:
        return is_stack_of_bands(file, reading.axes)
    except OSError:
        return True


def _settle_alpha(counts: Mapping[Path, BandCount | None]) -> dict[Path, BandCount | None]:
    """The channels, with the last one among the bands if it varies like a band."""
    doubtful = [path for path, count in counts.items() if count is not None and count.has_alpha]
    if not doubtful or not can_read_bands():
        return dict(counts)
    step = max(1, len(doubtful) // _MAX_DOUBTFUL)
    verdicts: Counter[bool | None] = Counter()
    for path in doubtful[::step][:_MAX_DOUBTFUL]:
        with suppress(OSError, ValueError):  # reading the image gives the error
            verdicts[is_last_channel_band(path)] += 1
    if verdicts[True] <= verdicts[False]:
        return dict(counts)
    return {
        path: BandCount(count.bands + 1) if count is not None and count.has_alpha else count
        for path, count in counts.items()
    }


def _usual_number(counts: Sequence[BandCount | None]) -> int:
    """The number of channels of most images, or the larger one of two that are as frequent."""
    numbers = Counter(
        RGB_CHANNELS if count is None or count.is_image else count.bands for count in counts
    )
    if len(numbers) > 1 and not can_read_bands():
        return RGB_CHANNELS  # each file of other bands says which extra it needs
    return max(numbers, key=lambda number: (numbers[number], number), default=RGB_CHANNELS)


def _with_colors(reading: Reading) -> Reading:
    """The reading with checked colors; of three bands, the colors say the order.

    Raises:
        DataError: the colors are other bands than those that are read.
    """
    bands, rgb = reading.bands, reading.rgb
    if rgb is None:
        return reading
    if bands is not None and not set(rgb) <= set(bands):
        raise DataError(
            f"--rgb {_words(rgb)} names bands that are not read: these are {_words(bands)}.",
            "Name three of these as red, green and blue, or leave --rgb out.",
        )
    return replace(reading, bands=rgb, rgb=None) if reading.channels == RGB_CHANNELS else reading


def _others(
    images: Sequence[Path],
    counts: Mapping[Path, BandCount | None],
    reading: Reading,
    is_free: bool,
) -> dict[Path, BandCount | None]:
    """The images that do not have the bands that are read, by the number that they have."""
    others: dict[Path, BandCount | None] = {}
    for path in images:
        count = counts[file_of(path)]
        is_image = count is None or count.is_image
        if reading.channels == RGB_CHANNELS:
            differs = is_free and not is_image
        elif is_free:
            differs = is_image or (count is not None and count.bands != reading.channels)
        else:
            highest = max(reading.bands or ())
            differs = count is None or count.bands + count.has_alpha < highest
        if differs:
            others[path] = count
    return others


def _mixed(
    others: Mapping[Path, BandCount | None],
    counts: Mapping[Path, BandCount | None],
    reading: Reading,
    name_of: Callable[[Path], str],
) -> tuple[Finding, ...]:
    """The error on images that have other bands than the rest; none if all have other ones."""
    files = {file_of(path) for path in others}
    if not others or files == set(counts) or not can_read_bands():
        return ()  # or each file says what is wrong
    details = {
        name_of(file): f" ({plural(number, 'band' if counts[file] else 'channel')})"
        for file in files
        if (number := _number(counts[file]))
    }
    message = (
        f"The images differ in their number of bands: semiseg reads {reading.channels}, and some "
        "images have others"
    )
    remedy = "Move these images out of the folder"
    common = min(map(_number, counts.values()))
    if None not in counts.values() or common >= RGB_CHANNELS:
        common = RGB_CHANNELS if None in counts.values() else common
        remedy += f", or read bands that all have: --bands {_words(range(1, common + 1))}"
    return tuple(on_files("band-count", "error", details, message, f"{remedy}."))


def _number(count: BandCount | None) -> int:
    return RGB_CHANNELS if count is None else count.bands


def _header(file: Path, axes: str | None) -> BandHeader | None:
    """What a file says about its bands; None if it cannot be read, which reading it explains."""
    with suppress(OSError, DataError):
        return read_band_header(file, axes)
    return None


def _with_ranges(reading: Reading) -> Reading:
    """The reading with a range for each band of images that are not RGB, if a person gave one.

    Raises:
        DataError: there are ranges for another number of bands.
    """
    if reading.value_range is not None and reading.channels != RGB_CHANNELS:
        ranges = (reading.value_range,) * reading.channels
        return replace(reading, value_range=None, ranges=ranges)
    if reading.ranges is not None and len(reading.ranges) != reading.channels:
        raise DataError(
            f"--range has two values for {plural(len(reading.ranges), 'band')}, but "
            f"{plural(reading.channels, 'band')} are read.",
            "Give two values for all bands, or two for each one.",
        )
    return reading


def _describe(header: BandHeader, reading: Reading) -> tuple[Band, ...]:
    numbers = reading.bands or ()
    names, types = (dict(enumerate(texts, 1)) for texts in (header.names, header.types))
    return tuple(Band(number, names.get(number, ""), types.get(number, "")) for number in numbers)


def _all_bands(bands: Sequence[Band], reading: Reading) -> Finding:
    message = f"The images have {len(bands)} bands, and semiseg reads all of them"
    names = [band.name for band in bands if band.name]
    if names:
        message += f": {', '.join(map(str, bands))}"
    if reading.color_channels is None:
        shown = [str(bands[i].number) for i in reading.shown_channels]
        colors = (
            f"Pictures show the bands {', '.join(shown)} as red, green and blue; --rgb names others"
        )
    else:
        colors = f"Bands {', '.join(map(str, reading.rgb or ()))} are red, green and blue"
    example = "3,2,1" if len(bands) > 2 else "1"
    return Finding(
        "bands", "note", (), message, f"{colors}. To read some of them only: --bands {example}."
    )


def _words(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))
