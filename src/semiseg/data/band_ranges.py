"""The range of the values of each band in images of two, four or more bands."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from semiseg.core.errors import DataError
from semiseg.core.reading import Reading
from semiseg.core.rng import Key
from semiseg.data.findings import Finding
from semiseg.data.formats.decoded import nodata_of
from semiseg.data.formats.images import decode_image
from semiseg.data.formats.rasters import Values, find_missing
from semiseg.data.read_ahead import read_ahead

_TAIL = 0.1  # percent of the values at each end: dead pixels, and the glint of the sun
_DIGITS = 6  # of an end, as it is printed


class BandRange(NamedTuple):
    """The values of a band.

    Attributes:
        ends: the values that become 0 and 255, the smaller one first.
        value: the only value of the band; None if it has more, or no data at all.
        has_8_bits: whether its values stay as they are.
    """

    ends: tuple[float, float]
    value: float | None
    has_8_bits: bool


def infer_ranges(images: Sequence[Path], reading: Reading, pixels: int) -> list[BandRange]:
    """Find the range of each band, without the values that are no data.

    A value is no data by itself, whatever the other bands of its pixel hold. Of the others, 0.1 %
    at each end do not count. Bands of 8 bits have the range of their type.

    Args:
        images: the files; those that cannot be read are skipped.
        reading: how they are read; its bands are the result's.
        pixels: how many pixels of an image are drawn, the same ones at each call.
    """
    with warnings.catch_warnings():  # Pillow warns about odd metadata, which `check` reports
        warnings.simplefilter("ignore")
        samples = list(read_ahead(lambda path: _sample(path, reading, pixels), images))
    bands = zip(*(sample for sample in samples if sample), strict=True)
    ranges = [_range_of(np.concatenate(parts)) for parts in bands]
    return ranges or [BandRange((0.0, 1.0), None, False)] * reading.channels


def _sample(path: Path, reading: Reading, pixels: int) -> list[Values]:
    """For each band of an image some of its values, `(N,)`; empty if it cannot be read."""
    try:
        image = decode_image(path, reading)
    except DataError:
        return []  # `check` reports it
    values = np.asarray(image.image) if image.values is None else image.values
    values = values.reshape(-1, reading.channels)
    if len(values) > pixels:
        rng = Key.of(0, "depth", "pixels").numpy()
        values = values[rng.integers(len(values), size=pixels)]
    missing = find_missing(values, nodata_of(reading, image.nodata))
    if values.dtype.kind == "f":
        missing |= ~np.isfinite(values)
    return [values[~missing[:, band], band] for band in range(reading.channels)]


def _range_of(values: Values) -> BandRange:
    """The range of the sampled values `(N,)` of a band."""
    is_flat = bool(values.size and values.min() == values.max())
    value = float(values[0]) if is_flat else None
    if values.dtype == np.uint8:
        return BandRange((0.0, 255.0), value, True)
    if not values.size:
        return BandRange((0.0, 1.0), None, False)
    ends = np.percentile(values, (_TAIL, 100 - _TAIL), method="nearest").tolist()
    low, high = (float(f"{end:.{_DIGITS}g}") for end in ends)
    if low >= high:  # hardly a value differs
        low, high = float(values.min()), float(values.max())
    return BandRange((low, high) if low < high else (low, low + max(1.0, abs(low))), value, False)


def describe_constant(ranges: Sequence[BandRange], reading: Reading) -> list[Finding]:
    """The warning of bands that have one value everywhere."""
    numbers = [
        number
        for number, band in zip(_numbers(reading), ranges, strict=True)
        if band.value is not None
    ]
    if not numbers:
        return []
    others = [number for number in _numbers(reading) if number not in numbers]
    message = (
        f"Bands with one value in all images that were sampled: {', '.join(map(str, numbers))}"
    )
    remedy = "They tell nothing."
    if others:
        remedy += f" --bands {','.join(map(str, others))} leaves them out."
    return [Finding("constant-band", "warning", (), message, remedy)]


def describe_ranges(ranges: Sequence[BandRange], reading: Reading) -> list[Finding]:
    """The note on the ranges of bands of more than 8 bits."""
    deep = [
        f"band {number}: {band.ends[0]:.{_DIGITS}g} to {band.ends[1]:.{_DIGITS}g}"
        for number, band in zip(_numbers(reading), ranges, strict=True)
        if not band.has_8_bits
    ]
    if not deep:
        return []
    flat = ",".join(f"{end:.{_DIGITS}g}" for band in ranges for end in band.ends)
    message = f"Each band has a range of values, which becomes 0 to 255: {', '.join(deep)}"
    remedy = (
        f"--range={flat} says the same; other numbers change it, and two numbers are the range of "
        "all bands."
    )
    return [Finding("value-range", "note", (), message, remedy)]


def _numbers(reading: Reading) -> tuple[int, ...]:
    """The numbers of the bands that are read."""
    return reading.bands or tuple(range(1, reading.channels + 1))
