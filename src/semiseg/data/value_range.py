"""The value range of gray images with more than 8 bits, such as those of scanners."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from semiseg.core.rng import Key
from semiseg.data.findings import Finding
from semiseg.data.formats.images import UNREADABLE, Depth, depth_of, open_image
from semiseg.data.read_ahead import read_ahead

MAX_SAMPLED_IMAGES = 64
_PIXELS_PER_IMAGE = 10_000
_TAIL = 0.01  # percent of the pixels at each end, which may be dead or hot ones
_MAX_SPAN = 32_768  # values; for a wider span the range of the type is good enough


def infer_range(
    images: Sequence[Path], depths: Mapping[Path, Depth] = MappingProxyType({})
) -> tuple[float, float] | None:
    """Infer which values are black and white in gray images of 16 bits.

    A scanner with 12 bits uses a sixteenth of the type, so that its images would look almost black.
    The function examines up to 64 images, the same ones at each call.

    Args:
        images: the files; unreadable ones are skipped.
        depths: the depths of files that were decoded before; only deep gray ones are opened again.

    Returns:
        Black and white, see `read_image`. None if there are no such images, if they span half of
        their type, or if some images have colors of 16 bits, to which no range can be applied.
    """
    order = Key.of(0, "depth").numpy().permutation(len(images))[:MAX_SAMPLED_IMAGES]
    sampled_images = [images[i] for i in sorted(order)]
    gray = [path for path in sampled_images if depths.get(path, "deep gray") == "deep gray"]
    with warnings.catch_warnings():  # Pillow warns about odd metadata, which `check` reports
        warnings.simplefilter("ignore")
        samples = [v for v in read_ahead(_sample_values, gray) if v is not None]
        if not samples or "deep color" in depths.values():
            return None
        unknown = [path for path in images if path not in depths]
        if any(depth == "deep color" for depth in read_ahead(_read_depth, unknown)):
            return None
    low, high = np.percentile(np.concatenate(samples), (_TAIL, 100 - _TAIL), method="nearest")
    return (int(low), int(high)) if 0 < high - low < _MAX_SPAN else None


def describe_range(value_range: tuple[float, float]) -> Finding:
    """The finding that says which values became black and white."""
    low, high = value_range
    message = f"The gray images of more than 8 bits hold values of {low:g} to {high:g}"
    remedy = (
        f"A training maps {low:g} to black and {high:g} to white; --range=LOW,HIGH names other "
        "values."
    )
    return Finding("value-range", "note", (), message, remedy)


def _sample_values(path: Path) -> NDArray[np.int64] | None:
    """Draw pixels of a gray image of 16 bits; None for any other file."""
    try:
        with open_image(path) as file:
            if depth_of(file) != "deep gray":
                return None
            values = np.asarray(file).reshape(-1)
    except UNREADABLE:
        return None  # `check` reports it
    if len(values) > _PIXELS_PER_IMAGE:
        # Every n-th pixel would come from a few columns only, where n divides the width.
        rng = Key.of(0, "depth", "pixels").numpy()
        values = values[rng.integers(len(values), size=_PIXELS_PER_IMAGE)]
    return values.astype(np.int64)


def _read_depth(path: Path) -> Depth | None:
    try:
        with open_image(path) as file:
            return depth_of(file)
    except UNREADABLE:
        return None
