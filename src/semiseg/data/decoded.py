"""Decoded images and masks, at the largest size that a training shows, kept in files.

A training decodes each file many times, and most of what it decodes it then throws away. Here it
is decoded once, reduced, and written as plain bytes that all loader processes, and later
trainings, map into memory: the system's page cache holds them once for all. What was kept and what
is read anew have the same bits, since both are reduced.

The files lie in the folder `decoded` beside the notes of the check (see `scan_cache`), named by a
hash of all that decides about their bytes, the size and the time of change of the source among
them, and may be deleted at any time. They take 8 GB, half the memory or a quarter of the room on
the disk, whichever is least, or as many megabytes as the environment variable `SEMISEG_CACHE_MB`
names; with 0 there are none. A start removes those that were not used for the longest time, until
half of that is free. Where nothing can be written, everything works without them.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import RawValue
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.files import cache_folder, short_hash
from semiseg.data.cache import FRESH, ValueRange
from semiseg.data.formats.images import image_size, read_image
from semiseg.data.formats.masks import Classes, read_mask

_FORMAT = 1  # to be raised when the same file would give other bytes
_HEADER = struct.Struct("<4I")  # format, height, width, channels; 0 in a mask
_DEFAULT_MB = 8192
_MB = 1 << 20


class Decoded:
    """Images and masks, decoded and reduced; from files where they were kept.

    Args:
        enough: the short side in pixels that larger images are reduced to.
        classes: how to read the masks.
        value_range: the values that are black and white, see `read_image`.
    """

    def __init__(self, enough: int, classes: Classes, value_range: ValueRange = None) -> None:
        self.enough, self.classes, self.value_range = enough, classes, value_range
        self._made = f"{_FORMAT} {PIL.__version__} {enough}"
        self._spelled = f"{classes.to_dict()}"
        self._folder, room = _make_room()
        self._room = RawValue("q", room)  # all loader processes write into the same room

    def image(self, path: Path) -> NDArray[np.uint8]:
        """The image in RGB: `(H, W, 3)`.

        Raises:
            DataError: `read_image` refuses it.
        """

        def make() -> NDArray[np.uint8]:
            image = read_image(path, self.value_range, self.enough)
            size = reduced(image_size(path), self.enough)
            return np.array(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0))

        return self._kept(path, f"image {self.value_range}", make)

    def mask(self, path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
        """The mask in class indices: `(H, W)`, 255 = ignore.

        Args:
            path: the mask's file.
            size: width and height of its image, as `image` gives it.

        Raises:
            DataError: `read_mask` refuses it.
        """

        def make() -> NDArray[np.uint8]:
            mask = read_mask(path, self.classes)
            return np.array(mask.resize(size, Image.Resampling.NEAREST))

        return self._kept(path, f"mask {size} {self._spelled}", make)

    def _kept(
        self, path: Path, what: str, make: Callable[[], NDArray[np.uint8]]
    ) -> NDArray[np.uint8]:
        """What `make` gives, from its file where there is one."""
        file = self._file(path, what)
        if file is None:
            return make()
        with suppress(OSError, ValueError):
            return _load(file)
        made = make()
        if made.nbytes <= self._room.value:
            self._room.value -= made.nbytes
            _save(file, made)
        return made

    def _file(self, path: Path, what: str) -> Path | None:
        """The file to keep it in; None if it cannot be kept."""
        if self._folder is None:
            return None
        try:
            status = path.stat()
            # A file of this moment may change once more without another time of change.
            if status.st_mtime > time.time() - FRESH:
                return None
            stamp = f"{path.absolute()} {status.st_size} {status.st_mtime_ns}"
        except OSError:  # who reads it will say so
            return None
        name = short_hash(f"{self._made} {what} {stamp}")
        return self._folder / name[:2] / name


def reduced(size: tuple[int, int], enough: int) -> tuple[int, int]:
    """Width and height with a short side of `enough` pixels; those that are less stay."""
    short = min(size)
    if short <= enough:
        return size
    return max(1, round(size[0] * enough / short)), max(1, round(size[1] * enough / short))


def _load(file: Path) -> NDArray[np.uint8]:
    """The array in a file, mapped: what is not looked at is not read.

    Raises:
        OSError: there is no such file.
        ValueError: it was cut off, or is none of ours.
    """
    with file.open("rb", buffering=0) as stream:
        # Private and writable, since torch takes no read-only memory.
        pages = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    if len(pages) < _HEADER.size:
        raise ValueError(file)
    form, height, width, channels = _HEADER.unpack_from(pages)
    if form != _FORMAT or len(pages) != _HEADER.size + height * width * max(1, channels):
        raise ValueError(file)
    shape = (height, width, channels) if channels else (height, width)
    return np.frombuffer(pages, np.uint8, offset=_HEADER.size).reshape(shape)


def _save(file: Path, array: NDArray[np.uint8]) -> None:
    """Write an array, whole or not at all; nothing where that is impossible."""
    height, width = array.shape[:2]
    channels = array.shape[2] if array.ndim == 3 else 0
    name = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, suffix=".tmp")
        with os.fdopen(handle, "wb") as stream:
            stream.write(_HEADER.pack(_FORMAT, height, width, channels))
            stream.write(array.data)
        Path(name).replace(file)
    except OSError:
        if name is not None:
            with suppress(OSError):
                Path(name).unlink()


def _make_room() -> tuple[Path | None, int]:
    """The folder of the files and the bytes that may still be written; None if they are off."""
    try:
        kept = cache_folder()
        if kept is None:
            return None, 0
        folder = kept / "decoded"
        folder.mkdir(parents=True, exist_ok=True)
        files = [(p, p.stat()) for p in folder.glob("*/*")]
        used = sum(status.st_size for _, status in files)
        bound = _bound(used + shutil.disk_usage(folder).free)
    except (OSError, RuntimeError):  # no home, no right to write, or somebody else is tidying up
        return None, 0
    files.sort(key=lambda entry: max(entry[1].st_atime, entry[1].st_mtime))
    for path, status in files:
        if used <= bound // 2:
            break
        with suppress(OSError):
            path.unlink()
            used -= status.st_size
    return (folder if bound > 0 else None), bound - used


def _bound(disk: int) -> int:
    """How many bytes the files may take, of `disk` bytes that are free or taken by them."""
    named = os.environ.get("SEMISEG_CACHE_MB", "")
    if named.isdecimal():
        return min(int(named) * _MB, disk // 4)
    limits = [_DEFAULT_MB * _MB, disk // 4]
    with suppress(AttributeError, ValueError, OSError):  # no such call on Windows
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return min(limits)
