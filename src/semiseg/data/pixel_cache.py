"""A cache of decoded images and masks, reduced to the largest size that a training uses.

A training decodes each file many times, and most of the decoded pixels are thrown away. With this
cache, semiseg decodes a file once, reduces it, and writes it as a NumPy array. All loader processes
and later trainings map that file into memory, so that the system holds its pages once for all. A
result has the same bits, whether it comes from the cache or not, since both are reduced.

The files lie in the folder `decoded` of the cache (see `core.files.cache_folder`). Their names are
hashes of everything that decides about their bytes, such as the size and the modification time of
the source. They take 8 GB, half the memory or a quarter of the free disk, whichever is least, or as
many megabytes as the environment variable `SEMISEG_CACHE_MB` names; 0 switches the cache off. At
its start a training removes the files with the oldest use until half of that is free. The files may
be deleted at any time. Where they cannot be written, everything works without them.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import RawValue
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.files import atomic_write, cache_folder, short_hash
from semiseg.core.memory import physical_memory
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.types import Sample
from semiseg.data.cache import FRESH
from semiseg.data.classes.labels import read_labels
from semiseg.data.formats.image_bytes import ImageSource
from semiseg.data.formats.images import image_size, read_image
from semiseg.data.formats.masks import Classes
from semiseg.data.formats.raster_windows import file_of

_FORMAT = 3  # raise it when the same source would give other bytes
_DEFAULT_MB = 8192
_MB = 1 << 20


class PixelCache:
    """Decodes images and masks and reduces them, or takes them from the cache.

    Args:
        short_side: the short side in pixels to which larger images are reduced.
        classes: the classes of the masks.
        reading: how images are read, see `read_image`.
    """

    def __init__(self, short_side: int, classes: Classes, reading: Reading = AS_STORED) -> None:
        self.short_side, self.classes, self.reading = short_side, classes, reading
        self._version = f"{_FORMAT} {PIL.__version__} {short_side}"
        self._encoding = f"{classes.to_dict()}"
        self._folder, free = _prepare_folder()
        self._free_bytes = RawValue("q", free)  # shared by all loader processes

    def image(self, path: Path) -> NDArray[np.uint8]:
        """Read an image.

        Returns:
            `(H, W, 3)` in RGB, or `(H, W, N)` where the reading has other bands.

        Raises:
            DataError: `read_image` refuses the file.
        """
        return self._cached(path, f"image {self.reading}", lambda: self.decode(path))

    def decode(self, source: ImageSource) -> NDArray[np.uint8]:
        """Read an image, as `image` does, without the cache.

        Args:
            source: the file, or its content.

        Raises:
            DataError: `read_image` refuses it.
        """
        image = read_image(source, self.reading, self.short_side)
        size = reduce_size(image_size(source, self.reading), self.short_side)
        return np.array(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))

    def stored(self, name: str) -> NDArray[np.uint8] | None:
        """The pixels that `store` has kept for an image that is no file; None without them.

        Args:
            name: what identifies the content of the image.
        """
        file = self._file(f"image {self.reading}", name)
        if file is not None:
            with suppress(OSError, ValueError, EOFError):
                return _load(file)
        return None

    def store(self, name: str, pixels: NDArray[np.uint8]) -> None:
        """Keep the decoded pixels of an image that is no file, if there is a place for them."""
        self._save(self._file(f"image {self.reading}", name), pixels)

    def labels(self, sample: Sample, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Read the mask of an image in class indices.

        Args:
            sample: an image with a mask.
            size: width and height of the image in pixels, as `image` gives it.

        Returns:
            `(H, W)`, 255 where ignored.

        Raises:
            DataError: `read_labels` refuses the file.
            TypeError: the sample has no mask.
        """
        if sample.mask is None:
            raise TypeError(f"{sample.name} has no mask")

        def decode() -> NDArray[np.uint8]:
            mask = read_labels(sample, self.classes, self.reading)
            return np.array(mask.resize(size, Image.Resampling.NEAREST))

        image = file_stamp(sample.image)  # the image says how its mask is turned
        if not image:
            return decode()
        return self._cached(
            sample.mask, f"mask {size} {self._encoding} {self.reading} {image}", decode
        )

    def _cached(
        self, path: Path, purpose: str, decode: Callable[[], NDArray[np.uint8]]
    ) -> NDArray[np.uint8]:
        """The result of `decode`, from the cache where possible."""
        file = self._file(purpose, None if self._folder is None else file_stamp(path))
        if file is None:
            return decode()
        with suppress(OSError, ValueError, EOFError):
            return _load(file)
        pixels = decode()
        self._save(file, pixels)
        return pixels

    def _file(self, purpose: str, stamp: str | None) -> Path | None:
        """The file in the cache for a source with a stamp; None if it cannot be cached."""
        if self._folder is None or not stamp:
            return None
        name = short_hash(f"{self._version} {purpose} {stamp}")
        return self._folder / name[:2] / name

    def _save(self, file: Path | None, pixels: NDArray[np.uint8]) -> None:
        """Write pixels to the cache, while they may take so much of the disk."""
        if file is not None and pixels.nbytes <= self._free_bytes.value:
            self._free_bytes.value -= pixels.nbytes
            _save(file, pixels)


def file_stamp(path: Path) -> str:
    """A file's path, size and modification time; empty if it is too new or cannot be read.

    Args:
        path: the file, or a window of a raster.
    """
    try:
        status = file_of(path).stat()
    except OSError:  # the decoder reports it
        return ""
    # A file that is so new may change again without another modification time.
    if status.st_mtime > time.time() - FRESH:
        return ""
    return f"{path.absolute()} {status.st_size} {status.st_mtime_ns}"


def reduce_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Width and height after a reduction to a short side; smaller sizes stay as they are.

    Example:
        >>> reduce_size((400, 200), 100), reduce_size((40, 20), 100)
        ((200, 100), (40, 20))
    """
    short = min(size)
    if short <= short_side:
        return size
    width, height = (max(1, round(side * short_side / short)) for side in size)
    return width, height


def _load(file: Path) -> NDArray[np.uint8]:
    """Map an array of the cache into memory: only the pages in use are read.

    Raises:
        OSError: there is no such file.
        ValueError: the file is truncated, or does not come from this cache.
        EOFError: the file is empty.
    """
    # Copy-on-write, since torch takes no read-only memory.
    array = np.load(file, mmap_mode="c")
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise ValueError(f"{file} holds no pixels")
    return np.asarray(array)


def _save(file: Path, array: NDArray[np.uint8]) -> None:
    """Write an array to the cache if that is possible."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file, sync=False, shared=True) as stream:
            np.save(stream, array)


def _prepare_folder() -> tuple[Path | None, int]:
    """Remove old files from the cache.

    Returns:
        The folder, and the bytes that may still be written; None and 0 if the cache is off.
    """
    try:
        cache = cache_folder()
        if cache is None:
            return None, 0
        folder = cache / "decoded"
        folder.mkdir(parents=True, exist_ok=True)
        files = [(file, file.stat()) for file in folder.glob("*/*")]
        size = sum(status.st_size for _, status in files)
        limit = _size_limit(size + shutil.disk_usage(folder).free)
    except (OSError, RuntimeError):  # no right to write, or another process removes files
        return None, 0
    files.sort(key=lambda entry: max(entry[1].st_atime, entry[1].st_mtime))
    for file, status in files:
        if size <= limit // 2:
            break
        with suppress(OSError):
            file.unlink()
            size -= status.st_size
    return (folder if limit > 0 else None), limit - size


def _size_limit(available: int) -> int:
    """The bytes that the cache may take.

    Args:
        available: the bytes on the disk that are free or taken by the cache.
    """
    requested = os.environ.get("SEMISEG_CACHE_MB", "")
    if requested.isdecimal():
        return min(int(requested) * _MB, available // 4)
    memory = physical_memory()
    limits = [_DEFAULT_MB * _MB, available // 4, *([] if memory is None else [memory // 2])]
    return min(limits)
