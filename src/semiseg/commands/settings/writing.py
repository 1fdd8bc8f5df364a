"""The settings of the commands that write images: `pack` and `frames`."""

from __future__ import annotations

import re
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal

from semiseg.config.axes import check_axes
from semiseg.config.durations import parse_duration
from semiseg.config.settings import Settings
from semiseg.core.errors import SettingError

_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9}

_MIN_SHARD, _MAX_SHARD = 10**4, 10**10


@dataclass(frozen=True)
class PackSettings(Settings):
    """Pack images into a pool: tar files for trainings from millions of unlabeled images."""

    images: Path
    """A folder (semiseg searches its subfolders, too), a pattern in quotes, or a text file with one
    path on each line."""
    _: KW_ONLY
    out: Path
    """The folder to write: tar files that WebDataset reads, too, with an index and a manifest. If
    it holds a pool that was interrupted, semiseg continues with it."""
    shard_size: str = "128MB"
    """The size of a tar file, such as `64MB` or `256MB`. An object store is fast with files of 64
    to 256 MB."""

    def check(self) -> None:
        """The size can be meant."""
        _ = self.shard_bytes

    @property
    def shard_bytes(self) -> int:
        """The size of a tar file in bytes."""
        text = self.shard_size.strip().lower()
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([kmg])b?", text)
        size = round(float(match[1]) * _UNITS[match[2]]) if match else 0
        if not _MIN_SHARD <= size <= _MAX_SHARD:
            allowed = "a size from 10kB to 10GB, such as 128MB"
            raise SettingError("shard_size", self.shard_size, allowed=allowed, flag="--shard-size")
        return size


@dataclass(frozen=True)
class FramesSettings(Settings):
    """Write frames of videos, without near-duplicates, and the slices of stacks as images."""

    videos: Path
    """A video, or a stack (a TIFF of several pages, NIfTI, DICOM); a folder of them (semiseg
    searches its subfolders, too), or a pattern in quotes. All slices of a stack are written, as
    PNG files with the same values, or as TIFF files where PNG cannot hold them."""
    _: KW_ONLY
    out: Path
    """The folder to write, such as `DATA/unlabeled`. It gets `VIDEO_000012.jpg`, where the number
    counts the frames of the video from 0 on."""
    every: str = "1s"
    """The distance from one frame to the next: a time such as `0.5s`, `10s` or `2m`, or a number of
    frames such as `10`."""
    file_format: Literal["jpg", "png"] = "jpg"
    """The format of the images: `jpg` (quality 95), or `png` (without any loss)."""
    axes: str | None = None
    """The axes of stacks, such as `CYX`, `ZCYX` or `TZCYX`: C numbers the bands of an image, Z
    depths, T times, and Y and X are the rows and columns. Those of NIfTI begin with `XYZ`, such as
    `XYZC`. By default, the file says what its axes are."""
    similar: bool = False
    """Also write frames that are nearly the same as the one before. Without it, semiseg leaves them
    out."""
    overwrite: bool = False
    """Replace existing files. Without it, semiseg keeps them and writes those that are missing."""

    def check(self) -> None:
        """The distance is a time or a number of frames, and the axes can be meant."""
        _ = self.spacing
        check_axes(self.axes)

    @property
    def spacing(self) -> tuple[float | None, int | None]:
        """The seconds, or the number of frames, from one frame to the next."""
        text = self.every.strip()
        if text.isdecimal() and int(text) > 0:
            return None, int(text)
        try:
            return parse_duration(text, "every"), None
        except SettingError:
            allowed = "a time such as 0.5s, 10s or 2m, or a number of frames such as 10"
            raise SettingError("every", text, allowed=allowed, flag="--every") from None
