"""Images of scanners, through the extra `medical`: DICOM (pydicom) and NIfTI (nibabel).

A file of one slice is an image. A volume or a film is none: `read_pages` of `stacks` gives its
slices.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.data.formats.image_formats import ImageFormat
from semiseg.data.formats.rasters import Depth, Raster, Values

_MAX_CODE = 65535  # the highest number of 16 bits


@dataclass(frozen=True)
class Volume:
    """The slices of a file, not yet decoded.

    Attributes:
        size: width and height in pixels of a slice.
        slices: the values of each slice, `(H, W)` or `(H, W, 3)`, one after the other.
        count: the number of slices.
        is_color: whether the slices are RGB.
        nodata: the values of pixels without data that the file names.
        window: the values that become black and white, where the file names them.
    """

    size: tuple[int, int]
    slices: Iterator[Values]
    count: int
    is_color: bool = False
    nodata: tuple[float, ...] = ()
    window: tuple[float, float] | None = None


def raster_of_scan(path: Path, form: ImageFormat) -> Raster:
    """The one slice of a file.

    Args:
        path: the file.
        form: DICOM or NIfTI.

    Raises:
        DataError: the file is a volume.
        OSError: the file is damaged.
    """
    with open_volume(path, form) as volume:
        count, size = volume.count, volume.size
        if count > 1:
            raise DataError(
                f"{path} is a volume or a film of {plural(count, 'slice')} (semiseg[medical]). "
                f"Write them as images: semiseg frames {path} --out DATA/images."
            )
        depth: Depth = "deep color" if volume.is_color else "deep gray"
        nodata, window = volume.nodata, volume.window

    def load() -> Values:
        with open_volume(path, form) as volume:
            return next(volume.slices)

    return Raster(size, depth, load, nodata, window)


@contextmanager
def open_volume(path: Path, form: ImageFormat) -> Iterator[Volume]:
    """Open a file, and turn the errors, now and while it is open, into an OSError.

    Raises:
        OSError: the file is damaged, or one slice is too large.
        DataError: the caller raised it while the file was open.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that the standard does not allow
            volume = (_open_dicom if form.name == "DICOM" else _open_nifti)(path)
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


def _open_dicom(path: Path) -> Volume:
    pydicom = importlib.import_module("pydicom")
    decoders = importlib.import_module("pydicom.pixels")
    header = pydicom.dcmread(path, stop_before_pixels=True)
    size = int(header.Columns), int(header.Rows)
    is_color = int(header.get("SamplesPerPixel", 1)) == 3
    # In such an image high values are dark, as on a film.
    sign = -1 if header.get("PhotometricInterpretation") == "MONOCHROME1" else 1

    def values_of(pixels: Values) -> Values:
        if is_color:
            return pixels
        return _whole(sign * np.asarray(decoders.apply_modality_lut(pixels, header), np.float64))

    def slices() -> Iterator[Values]:
        for pixels in decoders.iter_pixels(path):
            yield values_of(pixels)

    nodata: tuple[float, ...] = ()
    if not is_color and header.get("PixelPaddingValue") is not None:
        padding = values_of(np.array([[header.PixelPaddingValue]]))
        nodata = (float(padding[0, 0]),)
    count = int(header.get("NumberOfFrames", 1) or 1)
    return Volume(size, slices(), count, is_color, nodata, _window(header, sign))


def _window(header: Any, sign: int) -> tuple[float, float] | None:  # noqa: ANN401 - no types
    """Black and white by the first window of a DICOM header."""
    center, width = (header.get(name) for name in ("WindowCenter", "WindowWidth"))
    first = [value[0] if hasattr(value, "__len__") else value for value in (center, width)]
    if None in first or float(first[1]) < 1:
        return None
    middle, half = float(first[0]) - 0.5, (float(first[1]) - 1) / 2
    low, high = sorted((sign * (middle - half), sign * (middle + half)))
    return (low, high) if low < high else None


def _open_nifti(path: Path) -> Volume:
    nibabel = importlib.import_module("nibabel")
    file = nibabel.as_closest_canonical(nibabel.load(path))
    shape = tuple(map(int, file.shape))
    if not 2 <= len(shape) <= 5 or min(shape) < 1:
        raise OSError(f"it has the shape {shape}")
    others = shape[2:]
    names: tuple[str, ...] = file.get_data_dtype().names or ()
    is_color = len(names) >= 3

    def slices() -> Iterator[Values]:
        for index in np.ndindex(others[::-1]):
            part = np.asarray(file.dataobj[(slice(None), slice(None), *index[::-1])])
            if is_color:
                part = np.stack([part[name] for name in names[:3]], axis=-1)
            # The first axis points to the right, the second one upward.
            yield _whole(np.swapaxes(part, 0, 1)[::-1])

    count = int(np.prod(others, dtype=np.int64)) if others else 1
    return Volume((shape[0], shape[1]), slices(), count, is_color)


def _whole(values: Values) -> Values:
    """Values as whole numbers where all of them are."""
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or (values != np.rint(values)).any():
            return values.astype(np.float32)
        values = values.astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high <= _MAX_CODE:
        return values.astype(np.uint16)
    return values.astype(np.int32)
