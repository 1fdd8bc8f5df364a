"""Images of scanners, through the extra `medical`: DICOM (pydicom) and NIfTI (nibabel).

A file of one slice is an image. A volume or a film is none: `read_pages` of `stacks` gives its
slices. Of a DICOM file, semiseg reads the tags that say what its pixels mean, and no other: no
name, number or date of a patient is ever in memory.
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
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.data.formats.image_formats import ImageFormat
from semiseg.data.formats.rasters import Depth, Raster, Values

_MAX_CODE = 65535  # the highest number of 16 bits
_TAGS = [
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth"),
]
"""All that is read from the header of a DICOM file, beside its pixels."""


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
    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
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
    file = nibabel.load(path)
    shape = tuple(map(int, file.shape))
    if not 2 <= len(shape) <= 5 or min(shape) < 1:
        raise OSError(f"it has the shape {shape}")
    turn = _Turn((*shape, 1)[:3], np.asarray(nibabel.io_orientation(file.affine)))
    others = shape[3:]
    names: tuple[str, ...] = file.get_data_dtype().names or ()
    is_color = len(names) >= 3

    def slices() -> Iterator[Values]:
        # A packed file is unpacked from its beginning for each part of it that is asked for.
        packed = path.name.lower().endswith(".gz") and turn.count > 1
        values = np.asanyarray(file.dataobj) if packed else file.dataobj
        for index in np.ndindex(others[::-1]):
            for number in range(turn.count):
                place = (*turn.place(number)[: len(shape)], *index[::-1])
                part = np.asarray(values[place])
                if is_color:
                    part = np.stack([part[name] for name in names[:3]], axis=-1)
                yield _whole(turn.upright(part))

    count = turn.count * int(np.prod(others, dtype=np.int64))
    return Volume(turn.size, slices(), count, is_color)


class _Turn:
    """How the slices of a NIfTI file are turned, so that all files show them in the same way.

    The slices are those along the axis from the feet to the head: the front of the patient is up,
    and the right side is at the right. A file of one slice along another axis shows the head up.

    Args:
        shape: the three axes of space, as the file holds them.
        orientation: `(3, 2)`, from `nibabel.io_orientation`: for each of them, its number among the
            axes to the right, to the front and to the head, and 1 or -1 for its direction.
    """

    def __init__(self, shape: tuple[int, ...], orientation: NDArray[np.float64]) -> None:
        if np.isnan(orientation).any():  # the header gives no directions
            orientation = np.array([(0, 1), (1, 1), (2, 1)])
        self._shape = shape
        self._stored = [int(i) for i in np.argsort(orientation[:, 0])]
        self._signs = [int(orientation[i, 1]) for i in self._stored]
        sizes = [shape[i] for i in self._stored]
        self._normal = 2 if sizes[2] == 1 or min(sizes) > 1 else sizes.index(1)
        self.count = sizes.pop(self._normal)
        self.size = sizes[0], sizes[1]

    def place(self, number: int) -> tuple[slice, ...]:
        """The part of the file that holds a slice; the numbers go up in the patient."""
        places = [slice(None)] * 3
        if self._signs[self._normal] < 0:
            number = self.count - 1 - number
        places[self._stored[self._normal]] = slice(number, number + 1)
        return tuple(places)

    def upright(self, part: Values) -> Values:
        """A slice `(H, W)` or `(H, W, 3)` as it is shown."""
        sizes = list(self._shape)
        sizes[self._stored[self._normal]] = 1
        values = part.reshape(*sizes, -1).transpose(*self._stored, 3)
        values = values[tuple(slice(None, None, sign) for sign in self._signs)]
        values = np.swapaxes(values.squeeze(self._normal), 0, 1)[::-1]
        return values[..., 0] if values.shape[2] == 1 else values


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
