"""The scan cache: what a file held when it was last decoded, for the files that have not changed.

Decoding all images takes seconds to minutes, while asking for a file's size and modification time
takes microseconds. The cache holds both with the result of the scan, and a file is decoded again
only if one of them has changed. It is a JSON file in the cache folder (`SEMISEG_CACHE`), never in
the data folder. It may be deleted at any time. If it cannot be read or written, everything works
without it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar, cast, get_args

import PIL

from semiseg._version import __version__
from semiseg.core.files import atomic_write, cache_folder, short_hash
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.records import from_plain
from semiseg.data.formats import mask_rule
from semiseg.data.formats.codes import Color, MaskScan, scan_mask
from semiseg.data.formats.mask_rule import Encoding, MaskRule
from semiseg.data.formats.raster_windows import file_of
from semiseg.data.formats.rasters import Depth
from semiseg.data.image_scan import NO_DETAILS, ImageDetails, ImageScan, scan_image
from semiseg.data.near_duplicates import check_thumbnail

_FORMAT = 8  # increased whenever a scan of the same file gives another result
FRESH = 2.0
"""Seconds for which a changed file is not cached: the clock of a file system may be as coarse."""
_Scan = TypeVar("_Scan")
_Values = list[object]  # plain values of a scan, as they stand in the JSON file


class ScanCache:
    """Scans of the files of one data folder; `save` keeps them for the next start.

    Several threads may ask at once.

    Args:
        root: the data folder.
        reading: how images are read, see `read_image`.
    """

    def __init__(self, root: Path, reading: Reading = AS_STORED) -> None:
        self.root = root
        self.reading = reading
        self._file = _cache_file(root, reading)
        self._stored = self._read()
        self._current: dict[str, _Values] = {}
        self._started = time.time()

    def image(self, path: Path) -> ImageScan:
        """`scan_image`, from the cache if the file has not changed.

        Raises:
            DataError: it cannot be decoded, or is truncated.
        """

        def scan() -> tuple[ImageScan, _Values]:
            result = scan_image(path, self.reading)
            extra = [] if result.details == NO_DETAILS else [asdict(result.details)]
            return result, [*result.size, *result[1:5], *extra]

        return self._cached("image", path, _image_from, scan)

    def mask(
        self, path: Path, rule: MaskRule = mask_rule.AS_STORED, encoding: Encoding | None = None
    ) -> MaskScan:
        """`scan_mask`, from the cache if the file has not changed.

        Args:
            path: as for `scan_mask`.
            rule: as for `scan_mask`.
            encoding: as for `scan_mask`.

        Raises:
            DataError: `scan_mask` refuses it.
        """

        def scan() -> tuple[MaskScan, _Values]:
            result = scan_mask(path, rule, encoding)
            colors, labels = dict(result.palette), dict(result.labels)
            flags: list[object] = [result.smeared, result.lossy, result.coarse, result.flat]
            values = [result.encoding, result.counts, *result.size, colors, labels, *flags]
            return result, [*values, dict(result.skipped), list(result.lines)]

        kind = "mask"
        if rule != mask_rule.AS_STORED or encoding is not None:
            kind += short_hash(f"{rule} {encoding}", size=8)
        return self._cached(kind, path, lambda values: _mask_from(path, values), scan)

    def save(self) -> None:
        """Write the cache, if something is new and there is a place for it."""
        if self._file is None or self._current.items() <= self._stored.items():
            return
        others = {k: v for k, v in self._stored.items() if k not in self._current}
        entries = {
            k: v for k, v in others.items() if file_of(self.root / k.partition(":")[2]).exists()
        }
        content = {**_header(), "files": entries | self._current}
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._file, sync=False, shared=True) as file:
                file.write(json.dumps(content, separators=(",", ":")).encode())

    def _cached(
        self,
        kind: str,
        path: Path,
        parse: Callable[[_Values], _Scan],
        scan: Callable[[], tuple[_Scan, _Values]],
    ) -> _Scan:
        """The scan of a file, from the cache if the file has not changed.

        Args:
            kind: `image`, or `mask` with its rule; the same file may be both.
            path: the file.
            parse: turns the values in the cache into a scan; it may raise what broken values cause.
            scan: makes the scan, and the values for the cache.
        """
        name = path.relative_to(self.root) if path.is_relative_to(self.root) else path.absolute()
        key, stamp = f"{kind}:{name.as_posix()}", _stamp(path)
        with suppress(LookupError, TypeError, ValueError, AttributeError):  # not cached, or broken
            entry = self._stored[key]
            if stamp is not None and entry[:2] == stamp:
                cached = parse(entry[2:])
                self._current[key] = entry
                return cached
        result, values = scan()
        # A file that has just changed may change again without another modification time.
        if stamp is not None and stamp[1] / 1e9 < self._started - FRESH:
            self._current[key] = [*stamp, *values]
        return result

    def _read(self) -> dict[str, _Values]:
        """The cache of the last start; empty if it is broken or another release's."""
        try:
            content = json.loads(self._file.read_bytes()) if self._file else {}
            files = content.pop("files")
            return dict(files) if content == _header() else {}
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return {}


def _stamp(path: Path) -> list[int] | None:
    """A file's size in bytes and its modification time in nanoseconds; None if it has none."""
    try:
        status = file_of(path).stat()
    except OSError:  # the scan gives the error
        return None
    return [status.st_size, status.st_mtime_ns]


def _image_from(values: _Values) -> ImageScan:
    width, height, digest, depth, orientation, small, *extra = values
    if depth not in get_args(Depth):
        raise ValueError(depth)
    check_thumbnail(small)
    size = _integer(width), _integer(height)
    details = from_plain(ImageDetails, extra[0]) if extra else NO_DETAILS
    kind = cast("Depth", depth)
    return ImageScan(size, str(digest), kind, _integer(orientation), str(small), details)


def _mask_from(path: Path, values: _Values) -> MaskScan:
    encoding, counts, width, height, colors, labels, *flags, skipped, lines = values
    smeared, lossy, coarse, flat = flags
    if not isinstance(lines, list):
        raise TypeError(lines)
    if encoding not in get_args(Encoding):
        raise ValueError(encoding)
    return MaskScan(
        path,
        cast("Encoding", encoding),
        {int(code): _integer(count) for code, count in _mapping(counts).items()},
        (_integer(width), _integer(height)),
        {int(code): _color(color) for code, color in _mapping(colors).items()},
        {int(code): str(label) for code, label in _mapping(labels).items()},
        bool(smeared),
        tuple(map(_integer, lines)),
        bool(lossy),
        bool(coarse),
        _integer(flat),
        {kind: _integer(count) for kind, count in _mapping(skipped).items()},
    )


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(value)
    return value


def _color(value: object) -> Color:
    if not isinstance(value, list):
        raise TypeError(value)
    red, green, blue = map(_integer, value)
    return red, green, blue


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(value)
    return value


def _header() -> dict[str, object]:
    return {"format": _FORMAT, "semiseg": __version__, "pillow": PIL.__version__}


def _cache_file(root: Path, reading: Reading) -> Path | None:
    """The file of the cache of a data folder; None if there is no place outside of the folder."""
    folder = cache_folder(root)
    if folder is None:
        return None
    # The ranges decide nothing of a scan.
    reading = replace(reading, value_range=None, ranges=None)
    # Read in another way, the same files are other images.
    suffix = "" if reading == AS_STORED else f"\0{reading}"
    return folder / f"scans-{short_hash(os.fsencode(root.resolve()), suffix, size=8)}.json"
