"""The settings that say which values of image files are read: bands, ranges and no-data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from semiseg.config.axes import check_axes
from semiseg.config.settings import AUTO, Auto, PositiveInt, Settings, flag
from semiseg.core.errors import SettingError
from semiseg.core.reading import Reading
from semiseg.core.types import NamedBands

READING_SETTINGS = ("value_range", "bands", "rgb", "nodata", "axes")
"""The settings that decide how images are read."""

NoData: TypeAlias = tuple[float, ...] | Literal["auto", "none"]
ValueRange: TypeAlias = tuple[float, float] | tuple[float, ...] | Auto
Band: TypeAlias = PositiveInt | str


@dataclass(frozen=True, kw_only=True)
class BandSettings(Settings):
    """Which values of an image file are read, and what they mean."""

    value_range: ValueRange = AUTO
    """The values that become black and white in images of more than 8 bits, such as
    `--range=0,4095` or `--range=-300,1200`. With `auto`, semiseg uses the range that the images
    span, or the range of their type where that is less than twice as wide. In images of two, four
    or more bands, it finds a range for each band; two values are the range of all bands, and two
    for each band are their ranges."""
    bands: tuple[Band, ...] | None = None
    """The bands of a TIFF or JPEG 2000 file that are read, counted from 1 or by their names, such
    as `4,3,2` or `red,nir`. Three become red, green and blue, and one becomes gray. By default,
    semiseg reads all bands. It needs the extra `geo`."""
    rgb: tuple[Band, ...] | None = None
    """The three bands that are red, green and blue, such as `3,2,1`, in images of more bands.
    Pictures show them, and only their hue changes in a training. By default, these are the bands
    that the file calls so; without any, pictures show the first three bands."""
    nodata: NoData = AUTO
    """The values that mark pixels without data, such as `--nodata=-9999`; semiseg ignores such
    pixels. With `auto`, the files name them, or they are far from all other values. `none` means
    that every value counts."""
    axes: str | None = None
    """The axes of stacks, which are TIFFs of several pages, such as `CYX`: C numbers the bands of
    an image, Z depths and T times, and Y and X are the rows and columns. Those of NIfTI begin with
    `XYZ`, such as `XYZC`. By default, the file says what its axes are."""

    def check(self) -> None:
        """The bands can be meant, and the first value of each range is the smaller one."""
        super().check()
        check_bands(self.bands, self.rgb)
        check_range(self.value_range, self.bands)
        check_axes(self.axes)

    @property
    def reading(self) -> Reading:
        """How images are read; what is `auto` is left to the files, and so are names of bands."""
        return reading_of(self.value_range, self.bands, self.rgb, self.nodata, self.axes)


def reading_of(
    value_range: ValueRange,
    bands: tuple[Band, ...] | None,
    rgb: tuple[Band, ...] | None,
    nodata: NoData,
    axes: str | None,
) -> Reading:
    """The settings that decide how images are read, as one object; names of bands are left out."""
    numbers, colors = numbers_of(bands), numbers_of(rgb)
    ranges = ranges_of(value_range, numbers)
    pair = None
    if value_range != AUTO and ranges is None:
        pair = value_range[0], value_range[1]
    return Reading(
        value_range=pair,
        bands=numbers,
        nodata=None if nodata == AUTO else () if nodata == "none" else nodata,
        ranges=ranges,
        rgb=None if colors is None else (colors[0], colors[1], colors[2]),
        axes=axes,
    )


def numbers_of(bands: tuple[Band, ...] | None) -> tuple[int, ...] | None:
    """Bands as numbers; None if there is a name among them, or none is chosen."""
    numbers = tuple(band for band in bands or () if isinstance(band, int))
    return numbers if bands is not None and len(numbers) == len(bands) else None


def names_of(bands: tuple[Band, ...] | None) -> tuple[Band, ...] | None:
    """Bands with a name among them; None for numbers alone."""
    return bands if bands is not None and numbers_of(bands) is None else None


def named_bands(bands: tuple[Band, ...] | None, rgb: tuple[Band, ...] | None) -> NamedBands:
    """The bands and the colors among which there are names."""
    return NamedBands(names_of(bands), names_of(rgb))


def ranges_of(
    value_range: ValueRange, bands: tuple[int, ...] | None
) -> tuple[tuple[float, float], ...] | None:
    """The range of each band; None for images of one or three, and if nobody chose one."""
    if value_range == AUTO:
        return None
    if len(value_range) > 2:
        return tuple(zip(value_range[::2], value_range[1::2], strict=True))
    if bands is None or len(bands) in (1, 3):
        return None
    return ((value_range[0], value_range[1]),) * len(bands)


def check_bands(bands: tuple[Band, ...] | None, rgb: tuple[Band, ...] | None) -> None:
    """Refuse what is no choice of bands.

    Raises:
        SettingError: a band is 0 or less, or `rgb` does not have three different bands.
    """
    for setting, value in (("bands", bands), ("rgb", rgb)):
        if value is None:
            continue
        strange = [b for b in value if re.fullmatch(r"[-+.\d\s]*", str(b)) and not is_number(b)]
        if not value or strange:
            raise SettingError(
                setting,
                value,
                allowed="numbers from 1 on, or names of bands, such as 4,3,2 or red,nir",
                flag=flag(setting),
            )
    if rgb is not None and (len(rgb) != 3 or len(set(rgb)) != 3):
        raise SettingError(
            "rgb",
            rgb,
            allowed="three different bands for red, green and blue, such as 3,2,1",
            flag=flag("rgb"),
        )


def is_number(band: Band) -> bool:
    """Whether a band is a number that a file may have."""
    return isinstance(band, int) and band > 0


def check_range(value_range: ValueRange, bands: tuple[Band, ...] | None) -> None:
    """Refuse an empty range of values.

    Raises:
        SettingError: the first value is not the smaller one, or there are neither two values nor
            two for each band.
    """
    if value_range == AUTO:
        return
    lows, highs = value_range[::2], value_range[1::2]
    counts = {1}  # of ranges: one of all bands, or one of each
    if bands is None:
        counts.add(len(lows))
    elif len(bands) > 1:
        counts.add(len(bands))
    is_pairs = len(lows) == len(highs) in counts
    if not is_pairs or any(low >= high for low, high in zip(lows, highs, strict=True)):
        raise SettingError(
            "value_range",
            value_range,
            allowed="two numbers with a comma between them, the smaller one first; or two for each "
            "band",
            flag=flag("value_range"),
        )
