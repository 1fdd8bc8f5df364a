"""The values of images of more than 8 bits: which are black and white, and which mean no data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from semiseg.core.errors import DataError
from semiseg.core.reading import RGB_CHANNELS, Reading
from semiseg.core.rng import Key
from semiseg.core.text import plural
from semiseg.data.band_ranges import describe_constant, describe_ranges, infer_ranges
from semiseg.data.findings import Finding
from semiseg.data.formats.images import decode_image, has_raster
from semiseg.data.formats.rasters import Values
from semiseg.data.formats.volumes import CHANNEL
from semiseg.data.image_scan import Extremes, ImageScan
from semiseg.data.read_ahead import read_ahead

MAX_SAMPLED_IMAGES = 64
_PIXELS_PER_IMAGE = 10_000
_TAIL = 0.01  # percent of the pixels at each end, which may be dead or hot ones
_TYPE_MAX = 65_535
_MAX_SPAN = 32_768  # values; for a wider span the range of the type is good enough
_USUAL = {-999, -9999, -99_999, -999_999, 9999, 99_999, 999_999, 65_535, 32_767, 65_534}
_USUAL |= {-32_768, -32_767, 2**31 - 1, -(2**31), 2**32 - 1}  # the ends of types
_HUGE = 1e19  # the ends of the types of floating-point numbers, and 1e20
_MIN_SHARE = 0.001  # of an image; fewer pixels are hot or dead ones
_MIN_LEVELS = 8  # different values that are a picture
_MAX_DECODED_IMAGES = 3  # images that are decoded for a warning
_DIGITS = 6  # of a range of floating-point numbers, as it is printed


class Inferred(NamedTuple):
    """How images are read, and what a person should know about it."""

    reading: Reading
    findings: list[Finding]


def infer_reading(
    images: Sequence[Path], scans: Mapping[Path, ImageScan], reading: Reading
) -> Inferred:
    """Infer black, white and the values of no data in images of more than 8 bits.

    A scanner with 12 bits uses a sixteenth of the type, so that its images would look almost black.
    A value of no data is one that all files with a no-data tag name, or a usual one, such as -9999
    or 65535, that is further away from all other values than these span. The function decodes up
    to 64 images again, the same ones at each call.

    Args:
        images: the files; unreadable ones and those of 8 bits are skipped.
        scans: what the files hold, for those that can be decoded.
        reading: how the images are read; what it says is not inferred.

    Returns:
        The reading with a range and values of no data; without a range if the images span half of
        their type. Images of two, four or more bands have a range for each band, and so have the
        three channels of a microscope.
    """
    deep = [path for path in images if path in scans and scans[path].depth != "8 bits"]
    if not deep:
        if reading.channels == RGB_CHANNELS or not any(path in scans for path in images):
            return Inferred(reading, [])
        readable = [path for path in images if path in scans]
        return _with_ranges([readable[i] for i in sorted(_order(len(readable)))], reading, [])
    deep_images = set(deep)
    sampled = [images[i] for i in sorted(_order(len(images))) if images[i] in deep_images]
    sampled = sampled or [deep[i] for i in sorted(_order(len(deep)))]
    findings = []
    if reading.nodata is None:
        tags = {scans[path].details.nodata for path in deep if scans[path].details.nodata}
        values = set(tags.pop()) if len(tags) == 1 else set()
        isolated = _find_isolated([e for path in deep if (e := scans[path].details.extremes)])
        if isolated is not None and _levels(_sample(sampled, reading), isolated) >= _MIN_LEVELS:
            findings.append(_describe_isolated(isolated, deep, scans))
            values.add(isolated)
        if values:
            reading = replace(reading, nodata=tuple(sorted(values)))
    if reading.channels != RGB_CHANNELS or _are_stains(deep, scans, reading):
        return _with_ranges(sampled, reading, findings)
    if reading.value_range is None:
        value_range = _common_window([scans[path] for path in deep])
        value_range = value_range or span(_sample(sampled, reading))
        if value_range is not None:
            reading = replace(reading, value_range=value_range)
            findings.append(_describe_range(value_range))
    return Inferred(reading, findings)


def _are_stains(images: Sequence[Path], scans: Mapping[Path, ImageScan], reading: Reading) -> bool:
    """Whether the three channels of all images are planes of stacks.

    Such channels are those of a microscope. Each has its own brightness, unlike red, green and blue
    of a photograph, whose ratio is the color.
    """
    return reading.value_range is None and all(
        scans[path].depth == "deep color" and CHANNEL in scans[path].details.axes.partition(" ")[0]
        for path in images
    )


def _with_ranges(images: Sequence[Path], reading: Reading, findings: list[Finding]) -> Inferred:
    """The reading with a range for each band, unless a person gave them."""
    ranges = infer_ranges(images, reading, _PIXELS_PER_IMAGE)
    findings += describe_constant(ranges, reading)
    if reading.ranges is None:
        reading = replace(reading, ranges=tuple(r.ends for r in ranges))
        findings += describe_ranges(ranges, reading)
    return Inferred(reading, findings)


def describe_depth(images: Sequence[Path], reading: Reading) -> str:
    """Warn of images of more than 8 bits that a model without a range would see almost black.

    Args:
        images: the files; only a few are decoded.
        reading: how they are read.

    Returns:
        A sentence; empty if there is nothing to warn of.
    """
    if reading.value_range or reading.ranges or reading.channels != RGB_CHANNELS:
        return ""
    for path in images[:_MAX_DECODED_IMAGES]:
        value_range = span(_sample([path], reading))
        if value_range is not None:
            low, high = (f"{end:.{_DIGITS}g}" for end in value_range)
            return (
                f"{path} holds values from {low} to {high}, and the training images gave no range: "
                "semiseg takes 0 as black and 65535 as white. If the result is wrong, give the "
                f"values of black and white, for example --range={low},{high}"
            )
    return ""


def span(values: Values) -> tuple[float, float] | None:
    """The values that are black and white, without dead and hot pixels.

    Args:
        values: `(N,)` sampled values.

    Returns:
        None if there are no values, or if they span half of the type of 16 bits.
    """
    if not len(values):
        return None
    low, high = np.percentile(values, (_TAIL, 100 - _TAIL), method="nearest").tolist()
    if values.dtype.kind != "f" and values.min() >= 0 and values.max() <= _TYPE_MAX:
        return (low, high) if 0 < high - low < _MAX_SPAN else None
    if values.dtype.kind == "f":
        low, high = (float(f"{end:.{_DIGITS}g}") for end in (low, high))
    return (low, high) if low < high else (low, low + 1)


def _order(count: int) -> list[int]:
    """The numbers of the sampled images among so many."""
    order: list[int] = Key.of(0, "depth").numpy().permutation(count)[:MAX_SAMPLED_IMAGES].tolist()
    return order


def _sample(images: Sequence[Path], reading: Reading) -> Values:
    """`(N,)` values of the images, without those of pixels that have no data."""
    with warnings.catch_warnings():  # Pillow warns about odd metadata, which `check` reports
        warnings.simplefilter("ignore")
        samples = list(read_ahead(lambda path: _sample_values(path, reading), images))
    return np.concatenate([np.zeros(0, np.int64), *samples])


def _sample_values(path: Path, reading: Reading) -> Values:
    """Draw pixels of an image of more than 8 bits, `(N,)`; none of any other file."""
    none = np.zeros(0, np.int64)
    try:
        if not has_raster(path, reading):
            return none
        image = decode_image(path, reading)
    except DataError:
        return none  # `check` reports it
    if image.values is None:
        return none
    values = image.values.reshape(image.values.shape[0] * image.values.shape[1], -1)
    invalid = image.invalid(reading)
    if len(values) > _PIXELS_PER_IMAGE:
        # Every n-th pixel would come from a few columns only, where n divides the width.
        rng = Key.of(0, "depth", "pixels").numpy()
        indices = rng.integers(len(values), size=_PIXELS_PER_IMAGE)
        values = values[indices]
        invalid = None if invalid is None else invalid.reshape(-1)[indices]
    if invalid is not None:
        values = values[~invalid.reshape(-1)]
    if values.dtype.kind == "f":
        return values[np.isfinite(values)].astype(np.float64)
    return values.reshape(-1).astype(np.int64)


def _find_isolated(extremes: Sequence[Extremes]) -> float | None:
    """The value at an end of all values that is far away from the others; None if there is none."""
    if not extremes:
        return None
    for sign in (1, -1):
        ends = [e if sign == 1 else e.mirrored() for e in extremes]
        value = max(e.high for e in ends)
        holders = [e for e in ends if e.high == value]
        rest = max(e.next_high if e.high == value else e.high for e in ends)
        lowest = min(e.low for e in ends)
        width = rest - lowest
        is_usual = sign * value in _USUAL or abs(value) > _HUGE
        share = sum(e.high_pixels for e in holders) / sum(e.pixels for e in holders)
        if is_usual and 0 < width < value - rest and share >= _MIN_SHARE:
            return sign * value
    return None


def _levels(values: Values, isolated: float) -> int:
    """The number of different values without the isolated one."""
    return len(np.unique(values[values != isolated]))


def _common_window(scans: Sequence[ImageScan]) -> tuple[float, float] | None:
    """Black and white as all files name them; None if one does not, or if they differ."""
    windows = {scan.details.window for scan in scans}
    return windows.pop() if len(windows) == 1 else None


def _describe_isolated(
    value: float, deep: Sequence[Path], scans: Mapping[Path, ImageScan]
) -> Finding:
    extremes = [e for path in deep if (e := scans[path].details.extremes)]
    count = sum(value in (e.low, e.high) for e in extremes)
    message = (
        f"{value:.{_DIGITS}g} is far from all other values of the images, and {count} of "
        f"{plural(len(deep), 'image')} hold it: semiseg takes it as no-data"
    )
    remedy = (
        "Such pixels become black, are left out of the range, and their labels are ignored. If it "
        f"is a value, add --nodata none; if you mean it, --nodata={value:.{_DIGITS}g}."
    )
    return Finding("no-data", "warning", (), message, remedy)


def _describe_range(value_range: tuple[float, float]) -> Finding:
    low, high = (f"{end:.{_DIGITS}g}" for end in value_range)
    message = f"The images of more than 8 bits hold values of {low} to {high}"
    remedy = (
        f"A training maps {low} to black and {high} to white, as --range={low},{high} does; other "
        "numbers change it."
    )
    return Finding("value-range", "note", (), message, remedy)
