"""Images of scanners, through the extra `medical`: DICOM (pydicom) and NIfTI (nibabel).

A file of one slice is an image. A volume or a film is none: `read_pages` of `stacks` gives its
slices. Of a DICOM file, semiseg reads the tags that say what its pixels mean, and no other: no
name, number or date of a patient is ever in memory.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import DataError
from semiseg.data.formats.rasters import Values
from semiseg.data.formats.volumes import CHANNEL, Volume, check_bands, whole

_TAGS = [
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth"),
]
"""All that is read from the header of a DICOM file, beside its pixels."""
_NIFTI_AXES = "XYZTC"
_SPACE = 3  # axes
_BYTE = 8  # bits


def open_dicom(path: Path, bands: tuple[int, ...] | None) -> Volume:
    """Open a DICOM file.

    Args:
        path: the file.
        bands: the numbers, from 1 on, of the bands that are read; None for all.

    Raises:
        DataError: the file has no such band.
        Exception: pydicom cannot read it.
    """
    pydicom = importlib.import_module("pydicom")
    decoders = importlib.import_module("pydicom.pixels")
    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    size = int(header.Columns), int(header.Rows)
    is_color = int(header.get("SamplesPerPixel", 1)) == 3
    numbers = check_bands(path, bands, 3 if is_color else 1)
    # In such an image high values are dark, as on a film.
    sign = -1 if header.get("PhotometricInterpretation") == "MONOCHROME1" else 1

    def values_of(pixels: Values) -> Values:
        if is_color:
            return _some_bands(pixels, numbers)
        return whole(sign * np.asarray(decoders.apply_modality_lut(pixels, header), np.float64))

    def slices() -> Iterator[Values]:
        for pixels in decoders.iter_pixels(path):
            yield values_of(pixels)

    nodata: tuple[float, ...] = ()
    if not is_color and header.get("PixelPaddingValue") is not None:
        padding = values_of(np.array([[header.PixelPaddingValue]]))
        nodata = (float(padding[0, 0]),)
    count = int(header.get("NumberOfFrames", 1) or 1)
    return Volume(
        size=size,
        images=slices(),
        axes="T" if count > 1 else "",
        counts=(count,) if count > 1 else (),
        bands=len(numbers),
        is_byte=is_color and header.BitsAllocated == _BYTE,
        nodata=nodata,
        window=_window(header, sign),
    )


def _window(header: Any, sign: int) -> tuple[float, float] | None:  # noqa: ANN401 - no types
    """Black and white by the first window of a DICOM header."""
    center, width = (header.get(name) for name in ("WindowCenter", "WindowWidth"))
    first = [value[0] if hasattr(value, "__len__") else value for value in (center, width)]
    if None in first or float(first[1]) < 1:
        return None
    middle, half = float(first[0]) - 0.5, (float(first[1]) - 1) / 2
    low, high = sorted((sign * (middle - half), sign * (middle + half)))
    return (low, high) if low < high else None


def open_nifti(path: Path, axes: str | None, bands: tuple[int, ...] | None) -> Volume:
    """Open a NIfTI file.

    Args:
        path: the file.
        axes: the letters of its axes, as the user names them, such as `XYZC` for a volume of
            several contrasts; None for those of the standard, `XYZTC`.
        bands: the numbers, from 1 on, of the bands that are read; None for all.

    Raises:
        DataError: the axes or bands are none of this file.
        Exception: nibabel cannot read it.
    """
    nibabel = importlib.import_module("nibabel")
    file = nibabel.load(path)
    shape = tuple(map(int, file.shape))
    if not 2 <= len(shape) <= len(_NIFTI_AXES) or min(shape) < 1:
        raise OSError(f"it has the shape {shape}")
    letters, source = _NIFTI_AXES[: len(shape)], "the standard"
    sizes = " x ".join(map(str, shape))
    if axes is not None and len(shape) > _SPACE:
        if len(axes) != len(shape) or not axes.startswith(_NIFTI_AXES[:_SPACE]):
            raise DataError(
                f"{path} has axes of {sizes}, so that --axes {axes} cannot name them.",
                f"Those of such a file are {letters}, or XYZC where the fourth axis holds the "
                "bands of an image.",
            )
        letters, source = axes, "--axes"
    turn = turn_of(file)
    names: tuple[str, ...] = file.get_data_dtype().names or ()
    is_color = len(names) >= 3
    others = [i for i in range(len(shape) - 1, 2, -1) if letters[i] != CHANNEL and shape[i] > 1]
    channel = letters.find(CHANNEL)
    count = 3 if is_color else shape[channel] if channel > 0 else 1
    numbers = check_bands(path, bands, count)

    def slices() -> Iterator[Values]:
        # A packed file is unpacked from its beginning for each part of it that is asked for.
        packed = path.name.lower().endswith(".gz") and turn.count > 1
        values = np.asanyarray(file.dataobj) if packed else file.dataobj
        for index in np.ndindex(*(shape[i] for i in others)):
            place: list[int | slice] = [0] * len(shape)
            for axis, number in zip(others, index, strict=True):
                place[axis] = number
            if channel > 0:
                place[channel] = slice(None)
            for number in range(turn.count):
                place[:3] = turn.place(number)[: len(shape)]
                part = np.asarray(values[tuple(place)])
                if is_color:
                    part = np.stack([part[name] for name in names[:3]], axis=-1)
                image = _some_bands(turn.upright(part), numbers)
                yield image if is_color else whole(image)

    slow = "".join(letters[i] for i in others)
    counts = tuple(shape[i] for i in others)
    if turn.count > 1:
        slow, counts = f"{slow}Z", (*counts, turn.count)
    return Volume(
        size=turn.size,
        images=slices(),
        axes=slow,
        counts=counts,
        bands=len(numbers),
        is_banded=channel > 0,
        is_byte=is_color,
        dtype=str(file.get_data_dtype()),
        origin=f"{letters}, as {source} says" if len(shape) > _SPACE else "",
        sizes=sizes,
        alternative="XYZC" if letters == "XYZT" else "",
    )


def _some_bands(values: Values, bands: tuple[int, ...]) -> Values:
    """The bands of these numbers, from 1 on, of an image `(H, W)` or `(H, W, N)`."""
    if values.ndim == 2:
        return values
    return values[..., bands[0] - 1] if len(bands) == 1 else values[..., [b - 1 for b in bands]]


def turn_of(file: Any) -> Turn:  # noqa: ANN401 - no types
    """How the slices of an open NIfTI file are turned."""
    nibabel = importlib.import_module("nibabel")
    shape = tuple(map(int, file.shape))[:_SPACE]
    return Turn(shape, np.asarray(nibabel.io_orientation(file.affine)))


class Turn:
    """How the slices of a NIfTI file are turned, so that all files show them in the same way.

    The slices are those along the axis from the feet to the head: the front of the patient is up,
    and the right side is at the right. A file of one slice along another axis shows the head up.

    Args:
        shape: the two or three axes of space, as the file holds them.
        orientation: `(3, 2)`, from `nibabel.io_orientation`: for each of them, its number among the
            axes to the right, to the front and to the head, and 1 or -1 for its direction.
    """

    def __init__(self, shape: tuple[int, ...], orientation: NDArray[np.float64]) -> None:
        if np.isnan(orientation).any():  # the header gives no directions
            orientation = np.array([(0, 1), (1, 1), (2, 1)])
        self._file_shape, self._shape = shape, (*shape, 1)[:_SPACE]
        self._stored = [int(i) for i in np.argsort(orientation[:, 0])]
        self._signs = [int(orientation[i, 1]) for i in self._stored]
        sizes = [self._shape[i] for i in self._stored]
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

    def stored(self, shown: Values) -> Values:
        """A slice `(H, W)` as it is shown, with the axes of space of the file."""
        values = np.expand_dims(np.swapaxes(shown[::-1], 0, 1), self._normal)
        values = values[tuple(slice(None, None, sign) for sign in self._signs)]
        values = values.transpose(*np.argsort(self._stored))
        return np.ascontiguousarray(values).reshape(self._file_shape)
