"""A file of many planes: a stack of TIFF pages, a NIfTI volume, or a DICOM film."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.data.formats.rasters import Depth, Values

CHANNEL = "C"
"""The letter of the axis whose planes are the bands of one image."""
UNKNOWN = "IQ"
"""tifffile's letters of axes whose meaning a file does not say."""
_DEPTHS: dict[int, Depth] = {1: "deep gray", 3: "deep color"}


@dataclass(frozen=True, kw_only=True)
class Volume:
    """The images of a file, not yet decoded.

    Attributes:
        size: width and height in pixels of an image.
        images: the values of each image, `(H, W)` or `(H, W, N)`, one after the other.
        axes: the letters of the axes that number the images, the slowest first, such as `TZ`.
        counts: the length of each of these axes.
        bands: the number of bands of an image.
        band_names: the names of the bands; empty where the file has none.
        is_banded: whether the bands are planes of an axis of channels, and no colors of a pixel.
        is_byte: whether the values of `images` are whole numbers of 8 bits.
        dtype: the type of the numbers in the file, such as `uint16`.
        nodata: the values of pixels without data that the file names.
        window: the values that become black and white, where the file names them.
        origin: all axes, and who says so, such as `CYX, as OME-XML says`; empty for a file whose
            axes are always the same.
        sizes: the lengths of these axes, such as `5 x 512 x 512`.
        alternative: the axes, as `--axes` takes them, by which planes are bands instead of images.
    """

    size: tuple[int, int]
    images: Iterator[Values]
    axes: str = ""
    counts: tuple[int, ...] = ()
    bands: int = 1
    band_names: tuple[str, ...] = ()
    is_banded: bool = False
    is_byte: bool = False
    dtype: str = ""
    nodata: tuple[float, ...] = ()
    window: tuple[float, float] | None = None
    origin: str = ""
    sizes: str = ""
    alternative: str = ""

    @property
    def count(self) -> int:
        """The number of images."""
        return int(np.prod(self.counts, dtype=np.int64))

    @property
    def depth(self) -> Depth:
        """The depth of a pixel."""
        return "8 bits" if self.is_byte else _DEPTHS.get(self.bands, "deep bands")

    def labels(self) -> Iterator[str]:
        """The number of each image, as the end of a file name.

        Along one axis, or where nobody knows the axes, this is `_000012`. Along several, each axis
        has its number, such as `_t000003_z000012`.
        """
        if len(self.counts) < 2 or not self._is_known:
            yield from (f"_{number:06d}" for number in range(self.count))
            return
        order = sorted(range(len(self.axes)), key=lambda i: self.axes[i])
        for place in np.ndindex(self.counts):
            yield "".join(f"_{self.axes[i].lower()}{place[i]:06d}" for i in order)

    @property
    def _is_known(self) -> bool:
        return not set(self.axes) & set(UNKNOWN) and len(set(self.axes)) == len(self.axes)

    def refusal(self, path: Path) -> DataError:
        """Why a file of several images is none, and what to do about it."""
        width, height = self.size
        write = f"semiseg frames {path} --out DATA/images (pip install 'semiseg[medical]')"
        if not self.origin:
            return DataError(
                f"{path} is a volume or a film of {plural(self.count, 'slice')} of {width} x "
                f"{height} pixels, and semiseg learns from 2-D images.",
                f"Write them as images: {write}.",
            )
        if self._is_known:
            message = (
                f"{path} is a stack of {plural(self.count, 'image')} of {width} x {height} pixels, "
                f"and semiseg learns from 2-D images. Its axes are {self.origin} ({self.sizes})."
            )
            remedy = f"Write them as images: {write}."
            if self.alternative:
                remedy += f" If planes are the bands of one image, add --axes {self.alternative}."
            return DataError(message, remedy)
        pages = " x ".join(map(str, self.counts))
        return DataError(
            f"{path} is a stack of {pages} pages of {width} x {height} pixels, and it does not say "
            "what they are.",
            f"If they are the bands of one image, add --axes {self.alternative}. If each page is "
            f"an image, write them as images: {write}.",
        )


def whole(values: Values) -> Values:
    """Values as whole numbers of 16 or 32 bits where all of them are whole."""
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or (values != np.rint(values)).any():
            return values.astype(np.float32)
        values = values.astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high <= np.iinfo(np.uint16).max:
        return values.astype(np.uint16)
    return values.astype(np.int32)


def check_bands(path: Path, bands: tuple[int, ...] | None, count: int) -> tuple[int, ...]:
    """The numbers, from 1 on, of the bands that are read: the chosen ones, or all.

    Raises:
        DataError: the file has no such band.
    """
    if bands is not None and max(bands) > count:
        numbers = ",".join(map(str, bands))
        raise DataError(
            f"{path} has {plural(count, 'band')}, so that --bands {numbers} cannot be read. "
            f"Choose from 1 to {count}."
        )
    return tuple(range(1, count + 1)) if bands is None else bands
