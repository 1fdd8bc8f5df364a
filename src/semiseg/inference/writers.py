"""The files that a prediction gives: the mask, and pictures and arrays beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import RunError
from semiseg.core.files import atomic_write
from semiseg.core.types import IGNORE_INDEX, Prediction
from semiseg.data.formats.band_image import AnyImage
from semiseg.data.formats.masks import Classes
from semiseg.plots.overlay import overlay

NO_IMAGE = Image.new("RGB", (1, 1))
"""Stands for the image where no output shows it."""


class SegmentedImage(NamedTuple):
    """An image with its segmentation.

    Attributes:
        image: in RGB or in other bands.
        prediction: of the image's size.
        mask: `(H, W)` class indices, 255 where the model abstains.
        classes: their names and colors.
    """

    image: AnyImage
    prediction: Prediction
    mask: NDArray[np.uint8]
    classes: Classes


class OutputKind(NamedTuple):
    """A kind of output file.

    Attributes:
        suffix: of the file name, with its dot.
        render: the picture in the file; None for an array.
    """

    suffix: str
    render: Callable[[SegmentedImage], Image.Image] | None


def _render_mask(segmented: SegmentedImage) -> Image.Image:
    return segmented.classes.to_image(segmented.mask)


def _render_colors(segmented: SegmentedImage) -> Image.Image:
    return segmented.classes.to_rgb(segmented.mask)


def _render_overlay(segmented: SegmentedImage) -> Image.Image:
    return overlay(segmented.image.convert("RGB"), segmented.mask, segmented.classes.colors)


def _render_confidence(segmented: SegmentedImage) -> Image.Image:
    return Image.fromarray(_to_bytes(segmented.prediction.confidence))


def _render_reliability(segmented: SegmentedImage) -> Image.Image:
    prediction = segmented.prediction
    if prediction.similarity is None:
        raise TypeError("the prediction has no similarity")
    agreement = np.where(prediction.mask == prediction.nearest, np.uint8(255), np.uint8(0))
    channels = [_to_bytes(prediction.confidence), _to_bytes(prediction.similarity), agreement]
    return Image.fromarray(np.stack(channels, axis=-1))


def _to_bytes(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Values in 0..1 as 0..255."""
    return (share * np.float32(255) + np.float32(0.5)).astype(np.uint8)


OUTPUTS = {
    "colors": OutputKind(".png", _render_colors),
    "overlays": OutputKind(".jpg", _render_overlay),
    "probabilities": OutputKind(".npz", None),
    "confidence": OutputKind(".png", _render_confidence),
    "reliability": OutputKind(".png", _render_reliability),
    "": OutputKind(".png", _render_mask),
}
"""The kinds of output files by their folder below `--out`.

The mask comes last, so an image with a mask has all its other files.
"""


def mask_of(prediction: Prediction, abstain: float | None) -> NDArray[np.uint8]:
    """The mask to write: 255 where the model abstains.

    Args:
        prediction: of an image.
        abstain: the confidence below which it does; None for never.
    """
    if abstain is None:
        return prediction.mask
    mask = prediction.mask.copy()
    mask[prediction.doubtful(abstain)] = IGNORE_INDEX
    return mask


def save_output(segmented: SegmentedImage, kind: OutputKind, path: Path) -> None:
    """Write one file, completely or not at all.

    Raises:
        RunError: the file cannot be written.
    """
    with output_file(path) as file:
        if kind.render is None:
            _write_probabilities(segmented, file)
        else:
            save_picture(kind.render(segmented), kind, file)


def save_picture(picture: Image.Image, kind: OutputKind, file: IO[bytes]) -> None:
    """Write a picture in the format of its kind."""
    if kind.suffix == ".jpg":
        picture.save(file, "JPEG", quality=92)
    else:
        picture.save(file, "PNG")


def without_data(prediction: Prediction, empty: NDArray[np.bool_] | None) -> Prediction:
    """A prediction that says 255, with no confidence, where an image has no data.

    Args:
        prediction: of the image.
        empty: `(H, W)`, True where there is no data; None for nowhere.
    """
    if empty is None:
        return prediction
    return prediction._replace(
        mask=np.where(empty, np.uint8(IGNORE_INDEX), prediction.mask),
        confidence=np.where(empty, np.float32(0), prediction.confidence),
    )


@contextmanager
def output_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name when the block ends without an error.

    Raises:
        RunError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, sync=False) as file:
            yield file
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error}). Choose another --out.") from error


def _write_probabilities(segmented: SegmentedImage, file: IO[bytes]) -> None:
    probabilities = segmented.prediction.probabilities
    if probabilities is None:
        raise TypeError("the prediction has no probabilities")
    names = np.array(segmented.classes.names)
    np.savez_compressed(file, probabilities=probabilities, classes=names)
