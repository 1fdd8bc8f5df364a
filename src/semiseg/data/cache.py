"""What was found in image files, kept from one start to the next in a small file.

Decoding every image takes seconds to minutes; asking for its size and time of change does not. So
what a file held is written down with both, and the file is read again only when one has changed.
The notes lie in the folder that the environment variable `SEMISEG_CACHE` names, else in
`~/.cache/semiseg`, never among the data. They may be deleted at any time; where they cannot be
read or written, everything works without them.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import PIL

from semiseg._version import __version__
from semiseg.core.files import atomic_write, cache_folder, short_hash
from semiseg.data.formats.codes import MaskScan, scan_mask
from semiseg.data.formats.images import read_image

_FORMAT = 1  # to be raised when a scan of the same file would give something else
ValueRange = tuple[float, float] | None
FRESH = 2.0
"""Seconds for which a file is too young to be noted: a file system's clock may be as coarse."""


class ImageScan(NamedTuple):
    """What was found in one image that was decoded to its end.

    Attributes:
        size: width and height in pixels, upright.
        digest: a hash of its pixels in RGB; equal for identical images in whatever file.
    """

    size: tuple[int, int]
    digest: str


def scan_image(path: Path, value_range: ValueRange) -> ImageScan:
    """Decode an image to its end, as `read_image` takes it.

    Raises:
        DataError: it cannot be decoded, or is cut off.
    """
    image = read_image(path, value_range)
    return ImageScan(image.size, short_hash(f"{image.size}", image.tobytes()))


class ScanCache:
    """Scans of the files of one data folder; `save` keeps them for the next start.

    Several threads may ask at once.

    Args:
        root: the data folder.
        value_range: the values that are black and white in images, see `read_image`.
    """

    def __init__(self, root: Path, value_range: ValueRange = None) -> None:
        self.root = root
        self.value_range = value_range
        self._file = _cache_file(root, value_range)
        self._old = self._read()
        self._new: dict[str, list[Any]] = {}
        self._started = time.time()

    def image(self, path: Path) -> ImageScan:
        """`scan_image`, from the notes where the file has not changed.

        Raises:
            DataError: it cannot be decoded, or is cut off.
        """
        key, stamp = self._key("image", path)
        with suppress(LookupError, TypeError, ValueError):
            width, height, digest = self._found(key, stamp)
            return ImageScan((int(width), int(height)), str(digest))
        scan = scan_image(path, self.value_range)
        self._note(key, stamp, [*scan.size, scan.digest])
        return scan

    def mask(self, path: Path) -> MaskScan:
        """`scan_mask`, from the notes where the file has not changed.

        Raises:
            DataError: `scan_mask` refuses it.
        """
        key, stamp = self._key("mask", path)
        with suppress(LookupError, TypeError, ValueError, AttributeError):
            return _mask_from(path, self._found(key, stamp))
        scan = scan_mask(path)
        values = [
            scan.encoding,
            scan.counts,
            *scan.size,
            scan.palette,
            dict(scan.labels),
            scan.smeared,
        ]
        self._note(key, stamp, values)
        return scan

    def save(self) -> None:
        """Write the notes, if there are new ones and a place to write them."""
        if self._file is None or self._new.items() <= self._old.items():
            return
        there = {k: v for k, v in self._old.items() if (self.root / k.partition(":")[2]).exists()}
        content = {**_header(), "files": there | self._new}
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._file, sync=False, shared=True) as file:
                file.write(json.dumps(content, separators=(",", ":")).encode())

    def _key(self, kind: str, path: Path) -> tuple[str, list[int]]:
        """The file's name in the notes, and its size and time of change."""
        name = path.relative_to(self.root) if path.is_relative_to(self.root) else path.absolute()
        try:
            status = path.stat()
        except OSError:  # the scan will say so
            return f"{kind}:{name.as_posix()}", []
        return f"{kind}:{name.as_posix()}", [status.st_size, status.st_mtime_ns]

    def _found(self, key: str, stamp: list[int]) -> list[Any]:
        """What was noted of an unchanged file; LookupError if nothing was."""
        entry = self._old[key]
        if entry[:2] != stamp:
            raise LookupError(key)
        self._new[key] = entry
        return entry[2:]

    def _note(self, key: str, stamp: list[int], values: list[Any]) -> None:
        # A file of this moment may change once more without another time of change.
        if stamp and stamp[1] / 1e9 < self._started - FRESH:
            self._new[key] = [*stamp, *values]

    def _read(self) -> dict[str, list[Any]]:
        """The notes of the last start; none if they are broken or another release's."""
        try:
            content = json.loads(self._file.read_bytes()) if self._file else {}
            files = content.pop("files")
            return dict(files) if content == _header() else {}
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return {}


def _mask_from(path: Path, values: list[Any]) -> MaskScan:
    encoding, counts, width, height, palette, labels, smeared = values
    if encoding not in ("ids", "colors", "labels"):
        raise ValueError(encoding)
    return MaskScan(
        path,
        encoding,
        {int(c): int(n) for c, n in counts.items()},
        (int(width), int(height)),
        {int(c): (int(r), int(g), int(b)) for c, (r, g, b) in palette.items()},
        {int(c): str(label) for c, label in labels.items()},
        bool(smeared),
    )


def _header() -> dict[str, Any]:
    return {"format": _FORMAT, "semiseg": __version__, "pillow": PIL.__version__}


def _cache_file(root: Path, value_range: ValueRange) -> Path | None:
    """Where the notes on a data folder lie; None where there is no place outside of it."""
    folder = cache_folder(root)
    if folder is None:
        return None
    # With another value range the same files are other images.
    suffix = "" if value_range is None else f"\0{value_range}"
    return folder / f"scans-{short_hash(os.fsencode(root.resolve()), suffix, size=8)}.json"
