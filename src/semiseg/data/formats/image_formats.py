"""The image formats that semiseg reads, by their suffixes: the one registry of them.

Messages, the docs and the functions that open images use this list. semiseg never opens a format of
Pillow's that is not in it, since some of Pillow's decoders start programs.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class ImageFormat(NamedTuple):
    """An image format.

    Attributes:
        name: the name for people.
        suffixes: in small letters, with their dots.
        pillow: Pillow's names of the format; empty if another package opens it.
        extra: the extra of semiseg that reads it; empty if semiseg alone does.
        package: the module of that extra.
        has_signature: whether its files begin with bytes that no other format begins with.
        remark: what people should know about it, as a sentence; empty if there is nothing.
    """

    name: str
    suffixes: tuple[str, ...]
    pillow: tuple[str, ...]
    extra: str = ""
    package: str = ""
    remark: str = ""
    has_signature: bool = True

    @property
    def is_readable(self) -> bool:
        """Whether the package that opens the format is installed."""
        return not self.package or find_spec(self.package) is not None


_HEIF = ImageFormat("HEIF", (".heic", ".heif", ".hif"), ("HEIF",), "heif", "pi_heif")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1")
IMAGE_FORMATS = (
    ImageFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".jif"), ("JPEG",)),
    ImageFormat("PNG", (".png",), ("PNG",), remark="Of an animated PNG, the first frame is read."),
    ImageFormat(
        "TIFF",
        (".tif", ".tiff"),
        ("TIFF",),
        remark="A TIFF of two, four or more bands is read with all of them, or with those that "
        "`--bands` chooses, which needs the extra `geo`. Pages that are channels are the bands of "
        "one image, which needs the extra `medical`; `semiseg frames` writes other pages as "
        "images.",
    ),
    ImageFormat("BMP", (".bmp",), ("BMP",)),
    ImageFormat("WebP", (".webp",), ("WEBP",), remark="Of an animation, the first frame is read."),
    ImageFormat("GIF", (".gif",), ("GIF",), remark="Of an animation, the first frame is read."),
    ImageFormat("AVIF", (".avif",), ("AVIF",)),
    ImageFormat("JPEG 2000", (".jp2", ".j2k", ".jpx", ".jpf"), ("JPEG2000",)),
    ImageFormat("PPM", (".ppm", ".pgm", ".pbm", ".pnm"), ("PPM",)),
    ImageFormat("TGA", (".tga",), ("TGA",), has_signature=False),
    _HEIF,
    ImageFormat(
        "DICOM",
        (".dcm", ".dicom"),
        (),
        "medical",
        "pydicom",
        "`semiseg frames` writes the frames of a volume as images.",
    ),
    ImageFormat(
        "NIfTI",
        (".nii", ".nii.gz"),
        (),
        "medical",
        "nibabel",
        "`semiseg frames` writes the slices of a volume as images.",
    ),
)
"""All formats, the most frequent ones first."""
IMAGE_SUFFIXES = tuple(suffix for form in IMAGE_FORMATS for suffix in form.suffixes)
"""The suffixes of images, including those of formats that need an extra."""

_BY_SUFFIX = {suffix: form for form in IMAGE_FORMATS for suffix in form.suffixes}
_WITH_SIGNATURE = tuple(
    name for f in IMAGE_FORMATS if f.has_signature and not f.package for name in f.pillow
)


def format_of(path: Path) -> ImageFormat | None:
    """The format of a file by its suffix; None if it is no image."""
    name = path.name.lower()
    stem, dot, suffix = name.rpartition(".")
    if suffix == "gz":
        suffix = f"{stem.rpartition('.')[2]}.gz"
    return _BY_SUFFIX.get(f".{suffix}") if dot and stem else None


def remedy_of_suffix(suffix: str) -> str:
    """What to do about images of a suffix that cannot be read here; empty if they can be.

    Args:
        suffix: such as `.heic`; capitals do not matter.

    Example:
        >>> remedy_of_suffix(".jpg"), remedy_of_suffix(".xyz")
        ('', '')
    """
    form = format_of(Path(f"x{suffix}"))
    if form is None or form.is_readable:
        return ""
    return f"{_install(form)}."


class MissingExtraError(OSError):
    """An image needs an extra of semiseg that is not installed.

    Attributes:
        form: the format of the image.
    """

    def __init__(self, form: ImageFormat) -> None:
        self.form = form
        super().__init__(f"it is a {form.name} image. {_install(form)}")


def pillow_formats(path: Path, start: bytes) -> tuple[str, ...]:
    """Pillow's names of the formats that a file may have, whatever its suffix.

    Args:
        path: the file. A format without a signature counts only for its own suffix.
        start: the first 32 bytes of the file.

    Raises:
        MissingExtraError: the package that opens the file is not installed.
    """
    form = format_of(path)
    if start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS and b"avif" not in start:
        form = _HEIF  # telephones give such files the suffix of JPEG, too
    if form is not None and not form.is_readable:
        raise MissingExtraError(form)
    if form is _HEIF:
        importlib.import_module(_HEIF.package).register_heif_opener()
    if form is None or (form.has_signature and not form.package):
        return _WITH_SIGNATURE
    return (*_WITH_SIGNATURE, *form.pillow)


def _install(form: ImageFormat) -> str:
    return f"To read {form.name} images: pip install 'semiseg[{form.extra}]'"
