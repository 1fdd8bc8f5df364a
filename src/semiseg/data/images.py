"""Image files: which are read, how they are opened, what is said of a broken one."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps

from semiseg.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height


def list_images(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted by their path; hidden files are left out."""
    return sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".") and p.is_file()
    )


def read_image(path: Path) -> Image.Image:
    """The image in RGB, turned upright as its EXIF data say.

    Raises:
        DataError: the file cannot be decoded, or is cut off.
    """
    try:
        with Image.open(path) as file:
            return ImageOps.exif_transpose(file).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path} cannot be read as an image ({error}). Replace the file or remove it."
        ) from error


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels of the upright image, from its header alone.

    Raises:
        DataError: the header cannot be read.
    """
    try:
        with Image.open(path) as file:
            width, height = file.size
            sideways = file.getexif().get(_EXIF_ORIENTATION, 1) in _SIDEWAYS
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path} cannot be read as an image ({error}). Replace the file or remove it."
        ) from error
    return (height, width) if sideways else (width, height)
