"""An index of tars that others made, which is made once.

It stands in a hidden folder beside local tars, and otherwise in the cache folder.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.core.console import track
from semiseg.core.errors import DataError
from semiseg.core.files import cache_folder, is_file, short_hash
from semiseg.core.locks import acquire_lock
from semiseg.core.text import plural, printable
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.pools.address import Address
from semiseg.data.pools.member_names import choose_images
from semiseg.data.pools.metadata import (
    ENTRY,
    INDEX,
    MANIFEST,
    NAMES,
    Manifest,
    parse_manifest,
)
from semiseg.data.pools.metadata_writer import MetadataWriter, ShardRecord, encoded_names
from semiseg.data.pools.ranges import RangeReader, ReadError
from semiseg.data.pools.tar_members import BrokenTarError, Member, members
from semiseg.data.pools.tar_places import Tars, find_tars
from semiseg.data.read_ahead import read_ahead

logger = logging.getLogger(__name__)

MAX_IMAGE_BYTES = 1 << 30
"""Members of more bytes are not taken for images: they would fill the memory."""
_LOCAL_STEP = 4 << 10  # bytes that are read for a header and those that may follow
_REMOTE_STEP = 4 << 20  # a request takes as long as some megabytes
_THREADS = 8


class _Indexed(NamedTuple):
    """The images of one tar."""

    record: ShardRecord
    places: NDArray[np.int64]
    names: list[str]
    left_out: dict[str, list[str]]


def index_tars(place: Address, reader: RangeReader) -> tuple[Address, Address, Manifest]:
    """The folder of tars, the folder of their index, and its manifest.

    Args:
        place: a folder of tars, a tar, a pattern or a list of tars.
        reader: reads them.

    Raises:
        DataError: there are no tars, or one of them cannot be read.
    """
    tars = find_tars(place, reader)
    for folder in _index_folders(tars):
        manifest = _stored(folder, tars)
        if manifest is not None:
            return tars.folder, Address(str(folder)), manifest
    for folder in _index_folders(tars):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = acquire_lock(folder / "lock", seconds=-1)
            if lock is None:  # other processes of a training index the same tars
                raise OSError("its disk has no locks")
            with lock:
                manifest = _stored(folder, tars) or _index(folder, tars, reader)
        except OSError as error:
            logger.info("%s cannot hold an index (%s).", folder, error)
            continue
        return tars.folder, Address(str(folder)), manifest
    raise DataError(
        f"The index of {place} can be written neither beside the tars nor in the cache.",
        "Set SEMISEG_CACHE to a folder of a disk that can be written and has locks.",
    )


def _index_folders(tars: Tars) -> Iterator[Path]:
    """The folders that may hold the index, the best one first."""
    key = short_hash(*(f"{name}\n" for name in tars.names), size=4)
    if tars.folder.is_local:
        yield tars.folder.path / f".semiseg-index-{key}"
    cache = cache_folder()
    if cache is not None:
        place = tars.folder.path.absolute() if tars.folder.is_local else tars.folder
        yield cache / "pools" / short_hash(f"{place} {key}")


def _stored(folder: Path, tars: Tars) -> Manifest | None:
    """The manifest of an index that was made for these tars; None if there is none."""
    try:
        manifest = parse_manifest((folder / MANIFEST).read_bytes(), folder / MANIFEST)
    except (OSError, DataError):
        return None
    sizes = {INDEX: manifest.images * ENTRY.itemsize, NAMES: int(manifest.name_bytes.sum())}
    if any(not is_file(folder / n) or (folder / n).stat().st_size != sizes[n] for n in sizes):
        return None
    return manifest if _fits(manifest.shard_names, manifest.stamps, tars) else None


def _fits(names: Sequence[str], stamps: Sequence[str], tars: Tars) -> bool:
    """Whether these are the first tars, and none of them has changed as far as is known."""
    pairs = zip(stamps, tars.stamps, strict=False)
    return list(names) == list(tars.names[: len(names)]) and all(
        not one or not other or one == other for one, other in pairs
    )


def _index(folder: Path, tars: Tars, reader: RangeReader) -> Manifest:
    """Index all tars; an earlier, killed process may have indexed the first ones.

    Raises:
        DataError: a tar cannot be read.
        OSError: the index cannot be written.
    """
    writer = MetadataWriter(folder)
    records = writer.records
    if len(records) > len(tars.names) or not _fits(
        [record.name for record in records], [record.stamp for record in records], tars
    ):
        writer.restart()
    left_out: dict[str, tuple[int, str]] = {}  # the number of members, and the first one
    start = len(writer.records)
    numbers = range(start, len(tars.names))
    threads = 1 if tars.folder.is_local else _THREADS
    if not tars.folder.is_local and numbers:
        logger.info(
            "%s has no %s, so semiseg reads %s once to find their images, which takes about as "
            "long as a copy. A pool that `semiseg pack` wrote opens at once.",
            *(tars.folder, MANIFEST, plural(len(numbers), "tar")),
        )
    results = read_ahead(lambda number: _index_tar(tars, number, reader), numbers, threads)
    for result in track(results, f"indexing {tars.folder}", len(numbers), lines=True):
        writer.add(result.record, result.places, result.names)
        for reason, names in result.left_out.items():
            count, first = left_out.get(reason, (0, names[0]))
            left_out[reason] = count + len(names), first
    manifest = writer.finish()
    for reason, (count, first) in left_out.items():
        logger.warning(
            "%s left out of %s: %s (the first one is %s).",
            *(plural(count, "member is", "members are"), tars.folder, reason, printable(first)),
        )
    return manifest


def _index_tar(tars: Tars, number: int, reader: RangeReader) -> _Indexed:
    """Find the images of one tar.

    Raises:
        DataError: the tar cannot be read, is damaged or truncated.
    """
    name = tars.names[number]
    address = tars.folder / name
    try:
        size = reader.size(address)
        step = _LOCAL_STEP if address.is_local else _REMOTE_STEP
        entries = list(members(_Window(reader, address, size, step).read, size))
    except ReadError as error:
        raise DataError(f"{address} cannot be read ({error}).") from None
    except BrokenTarError as error:
        raise DataError(f"{address} {error}.", "Copy it again, or leave it out.") from None
    files, left_out = _files(entries)
    chosen, others = choose_images([member.name for member in files])
    images = [files[place] for place in chosen.values()]
    record = ShardRecord(
        len(images),
        size,
        len(encoded_names(list(chosen))),
        name=name,
        stamp=tars.stamps[number],
    )
    places = np.array([(member.offset, member.length) for member in images], np.int64)
    return _Indexed(record, places.reshape(-1, 2), list(chosen), left_out | others)


def _files(entries: Sequence[Member]) -> tuple[list[Member], dict[str, list[str]]]:
    """The members that may be images, and the names of those that may not, by the reason."""
    files = []
    left_out: dict[str, list[str]] = {}
    for member in entries:
        is_image = member.name.lower().endswith(IMAGE_SUFFIXES)
        if member.is_file and 0 < member.length <= MAX_IMAGE_BYTES:
            files.append(member)
        elif is_image and not member.is_file:
            left_out.setdefault("a link, or no regular file", []).append(member.name)
        elif is_image:
            size = "empty" if not member.length else f"larger than {MAX_IMAGE_BYTES:,} bytes"
            left_out.setdefault(size, []).append(member.name)
    return files, left_out


class _Window:
    """Reads ranges that follow each other from larger pieces."""

    def __init__(self, reader: RangeReader, address: Address, size: int, step: int) -> None:
        self._reader, self._address, self._size, self._step = reader, address, size, step
        self._start, self._data = 0, b""

    def read(self, offset: int, length: int) -> bytes:
        """A range of the file; less of it at the end of the file."""
        length = min(length, self._size - offset)
        start = offset - self._start
        if start < 0 or start + length > len(self._data):
            piece = min(max(length, self._step), self._size - offset)
            self._start, self._data = offset, self._reader.read(self._address, offset, piece)
            start = 0
        return self._data[start : start + length]
