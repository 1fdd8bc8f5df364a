"""The images of a stack: a TIFF of several pages, a NIfTI volume, or a DICOM film.

The planes along an axis of channels are the bands of one image; those along any other axis are
images of their own. A file of one image is read as it is; `semiseg frames` writes the others.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.reading import Reading
from semiseg.core.text import plural
from semiseg.data.formats.image_formats import IMAGE_FORMATS, ImageFormat, format_of
from semiseg.data.formats.medical import open_dicom, open_nifti
from semiseg.data.formats.rasters import Raster, Values
from semiseg.data.formats.tiff import has_pages
from semiseg.data.formats.tiff_stacks import open_tiff
from semiseg.data.formats.volumes import Volume

STACK_SUFFIXES = tuple(
    suffix
    for form in IMAGE_FORMATS
    if form.name in ("TIFF", "DICOM", "NIfTI")
    for suffix in form.suffixes
)
"""The suffixes of files that may hold several pages."""

_INSTALL = "pip install 'semiseg[medical]'"
_TIFFFILE = "tifffile"
_COLORS = (3, 4)


class Page(NamedTuple):
    """One image of a stack.

    Attributes:
        label: its number, as the end of a file name.
        values: `(H, W)` or `(H, W, N)`; `(H, W, 3)` of 8 bits are colors unless `is_banded`.
        is_banded: whether its channels are bands, and no colors.
        band_names: the names of its bands; empty without names.
        origin: the axes of the stack, and who says so; empty if all such files have the same ones.
    """

    label: str
    values: Values
    is_banded: bool = False
    band_names: tuple[str, ...] = ()
    origin: str = ""


class StackHeader(NamedTuple):
    """What a stack says about its bands.

    Attributes:
        names: of all bands; empty where a band has none.
        types: of the numbers in each band, such as `uint16`.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]


def is_stack(path: Path, axes: str | None = None) -> bool:
    """Whether a TIFF holds several images of one size; a broken file is none.

    Args:
        path: the file.
        axes: its axes, as the user names them.
    """
    form = format_of(path)
    if form is None or form.name != "TIFF":
        return False
    try:
        if not has_pages(path) or find_spec(_TIFFFILE) is None:
            return has_pages(path)
        with open_volume(path, form, axes) as volume:
            return volume.count > 1
    except OSError:
        return False
    except DataError:  # reading it says why
        return True


def raster_of_stack(path: Path, form: ImageFormat, reading: Reading) -> Raster:
    """The one image of a file.

    Args:
        path: a DICOM or NIfTI file, or a TIFF of several pages.
        form: its format.
        reading: how it is read; its axes and bands matter.

    Raises:
        DataError: the file holds several images, or it needs an extra.
        OSError: the file is damaged.
    """
    if form.name == "TIFF" and find_spec(_TIFFFILE) is None:
        raise DataError(f"{path} is a stack of pages, which needs an extra: {_INSTALL}.")
    with open_volume(path, form, reading.axes, reading.bands) as volume:
        if volume.count > 1:
            raise volume.refusal(path)
        if reading.bands is None and volume.bands not in (1, 3):
            raise DataError(
                f"{path} has {plural(volume.bands, 'band')}.",
                "Say which ones form the image, such as --bands 1,2.",
            )

    def load() -> Values:
        with open_volume(path, form, reading.axes, reading.bands) as volume:
            return next(volume.images)

    return Raster(volume.size, volume.depth, load, volume.nodata, volume.window, axes=volume.origin)


def is_stack_of_bands(path: Path, axes: str | None = None) -> bool:
    """Whether a file may have planes that are the bands of an image.

    Args:
        path: any file.
        axes: the axes of a stack, as the user names them.

    Raises:
        OSError: a TIFF lacks its second page.
    """
    form = format_of(path)
    if form is None:
        return False
    return has_pages(path) if form.name == "TIFF" else form.name == "NIfTI" and axes is not None


def stack_header(path: Path, axes: str | None = None) -> StackHeader | None:
    """What a stack says about its bands.

    Args:
        path: a file for which `is_stack_of_bands` holds.
        axes: its axes, as the user names them.

    Returns:
        None for a damaged file, and without the extra `medical`.
    """
    form = format_of(path)
    if form is None or find_spec(form.package or _TIFFFILE) is None:
        return None
    with suppress(OSError, DataError), open_volume(path, form, axes) as volume:
        names = volume.band_names or ("",) * volume.bands
        return StackHeader(names, (volume.dtype,) * volume.bands)
    return None


@contextmanager
def open_volume(
    path: Path,
    form: ImageFormat,
    axes: str | None = None,
    bands: tuple[int, ...] | None = None,
) -> Iterator[Volume]:
    """Open a file, and turn the errors, now and while it is open, into an OSError.

    Args:
        path: the file.
        form: TIFF, DICOM or NIfTI.
        axes: the axes of the file, as the user names them.
        bands: the numbers, from 1 on, of the bands that are read; None for all.

    Raises:
        OSError: the file is damaged, or one slice is too large.
        DataError: the axes or bands are none of this file, or the caller raised it while the file
            was open.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that the standard does not allow
            volume = _open(path, form, axes, bands)
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and volume.size[0] * volume.size[1] > 2 * limit:
                raise OSError(f"a slice has {volume.size[0]} x {volume.size[1]} pixels")
            yield volume
    except DataError:
        raise
    except Exception as error:  # damaged bytes may raise anything in a decoder
        text = str(error).replace(str(path), path.name).partition("\n")[0].rstrip(".")
        text = text or type(error).__name__
        raise OSError(f"it is no {form.name} file, or a damaged one: {text}") from error


def _open(path: Path, form: ImageFormat, axes: str | None, bands: tuple[int, ...] | None) -> Volume:
    if form.name == "DICOM":
        return open_dicom(path, bands)
    if form.name == "NIfTI":
        return open_nifti(path, axes, bands)
    return open_tiff(path, axes, bands)


def read_pages(path: Path, axes: str | None = None) -> Iterator[Page]:
    """Decode the images of a stack one after the other; no value changes.

    Args:
        path: a file with a suffix of `STACK_SUFFIXES`.
        axes: its axes, as the user names them; None for those that the file names.

    Raises:
        ConfigError: the extra `medical` is not installed.
        DataError: the file is no stack, or breaks off; the images before were handed on.
    """
    form = format_of(path)
    if form is None or not path.name.lower().endswith(STACK_SUFFIXES):
        raise DataError(f"{path} is no stack: semiseg reads {', '.join(STACK_SUFFIXES)}.")
    package = form.package or _TIFFFILE
    if find_spec(package) is None:
        raise ConfigError(f"{path} needs {package}, which is not installed: {_INSTALL}.")
    try:
        with open_volume(path, form, axes) as volume:
            for label, values in zip(volume.labels(), volume.images, strict=True):
                is_banded = values.ndim > 2 and (volume.is_banded or values.dtype != np.uint8)
                yield Page(label, values, is_banded, volume.band_names, volume.origin)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error}).", "Replace the file or remove it."
        ) from error
