"""Image files: which are read, how they are opened, what is said of a broken one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from semiseg.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height


def list_images(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted by their path; what is hidden is left out."""
    return sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in p.relative_to(folder).parts)
        and p.is_file()
    )


def read_image(path: Path) -> Image.Image:
    """The image in RGB, turned upright as its EXIF data say.

    Raises:
        DataError: the file cannot be decoded, or is cut off.
    """
    try:
        with Image.open(path) as file:
            return ImageOps.exif_transpose(_eight_bits(file, path)).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path} cannot be read as an image ({error}). Replace the file or remove it."
        ) from error


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """The image with 8 bits a channel; 16 bits are scaled by the range of the type.

    Raises:
        DataError: the pixels are floating-point numbers or exceed 16 bits, so that nobody knows
            what is black and what is white.
    """
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        values = np.asarray(image)
        low, high = values.min(), values.max()
        if image.mode == "F" or low < 0 or high > 65535:
            raise DataError(
                f"{path} holds values from {low} to {high}; an image has 8 or 16 bits a channel. "
                "Scale it to one of these."
            )
        return Image.fromarray((values >> 8).astype(np.uint8))
    return image


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels of the upright image, from its header alone.

    Raises:
        DataError: the header cannot be read.
    """
    try:
        with Image.open(path) as file:
            width, height = file.size
            # Of a TIFF, Pillow gives the size and the pixels upright already.
            turned = file.format != "TIFF"
            sideways = turned and file.getexif().get(_EXIF_ORIENTATION, 1) in _SIDEWAYS
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path} cannot be read as an image ({error}). Replace the file or remove it."
        ) from error
    return (height, width) if sideways else (width, height)
