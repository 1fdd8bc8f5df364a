"""Copies of remote shards on this disk, bounded, so that a window of shards is fetched once.

The first images of a shard are read by their byte ranges: whoever takes a sample of a large pool
must not fetch all of it. A shard from which more is read is copied to `SEMISEG_CACHE/shards`. The
folder takes as many megabytes as `SEMISEG_SHARD_CACHE_MB` names; 0 switches the copies off. Without
it, these are 8192, and at most a quarter of the free disk. Shards that were not read for longest
are removed first.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path

from filelock import Timeout

from semiseg.core.files import atomic_write, cache_folder, short_hash
from semiseg.core.locks import locked
from semiseg.data.pools.address import Address
from semiseg.data.pools.metadata import Manifest
from semiseg.data.pools.ranges import RangeReader, ReadError
from semiseg.data.pools.recent import Recent

logger = logging.getLogger(__name__)

_RANGES_BEFORE_COPY = 4
_RANGES_BEFORE_RETRY = 1000  # where there is no room for a copy
_DEFAULT_MB = 8192
_MB = 1 << 20
_IS_WRONG = "its content is not that of the manifest"


class ShardCache:
    """Reads ranges of a pool's shards, from copies on this disk where there are any.

    Args:
        folder: the folder of the shards.
        manifest: their names, sizes and hashes.
        reader: reads the shards themselves.
        copies: copy a shard from which several images are read. Without it, only the shards of a
            server that ignores byte ranges are copied.
    """

    def __init__(
        self, folder: Address, manifest: Manifest, reader: RangeReader, copies: bool = True
    ) -> None:
        self._shards, self._manifest, self._reader = folder, manifest, reader
        in_store = not folder.is_local and folder.protocol != "memory"
        cache = cache_folder() if in_store else None
        self._folder = None if cache is None else cache / "shards"
        self._reads: Counter[int] = Counter()
        self._wrong: set[int] = set()
        self._addresses: Recent[Address] = Recent()
        self._has_warned = False
        self._copies = copies

    def address(self, shard: int) -> Address:
        """The file of a shard."""
        address = self._addresses.get(shard)
        if address is None:
            address = self._shards / self._manifest.shard_name(shard)
            self._addresses.put(shard, address)
        return address

    def read(self, shard: int, offset: int, length: int) -> bytes:
        """Read a range of a shard.

        Raises:
            ReadError: it cannot be read.
        """
        copy = self._copy(shard)
        if copy is not None:
            with suppress(ReadError):  # another process has just removed it
                return self._reader.read(copy, offset, length)
        address = self.address(shard)
        data = self._reader.read(address, offset, length)
        if copy is None and self._reader.ignores_ranges(address) and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "The server of %s ignores byte ranges and sends a whole shard for each image. "
                "Let the cache hold its shards (SEMISEG_CACHE, SEMISEG_SHARD_CACHE_MB).",
                self._shards,
            )
        return data

    def missing_bytes(self, shard: int) -> int:
        """How many bytes a shard itself, not its copy, is shorter than the manifest says.

        Raises:
            ReadError: its size is not known.
        """
        return int(self._manifest.sizes[shard]) - self._reader.size(self.address(shard))

    def _copy(self, shard: int) -> Address | None:
        """The copy of a shard on this disk; None where it has none, or needs none yet.

        Raises:
            ReadError: the shard cannot be read, or is not that of the manifest.
        """
        if self._folder is None:
            return None
        if shard in self._wrong:  # it would be fetched again for each of its images
            raise ReadError(_IS_WRONG)
        file = self._folder / self._key(shard)
        size = int(self._manifest.sizes[shard])
        with suppress(OSError):
            if file.stat().st_size == size:
                os.utime(file)  # those that were not read for longest go first
                return Address(str(file))
        self._reads[shard] += 1
        address = self.address(shard)
        is_early = not self._copies or self._reads[shard] < _RANGES_BEFORE_COPY
        if is_early and not self._reader.ignores_ranges(address):
            return None
        try:
            copy = self._fetch(shard, file, size)
        except Timeout:  # another process copies it
            return None
        except OSError:  # no right to write, or a full disk
            copy = None
        if copy is None:
            self._reads[shard] = -_RANGES_BEFORE_RETRY
        return copy

    def _fetch(self, shard: int, file: Path, size: int) -> Address | None:
        """Copy a shard; None where there is no place for it.

        Raises:
            ReadError: the shard cannot be read, or is not that of the manifest.
            OSError: the copy cannot be written.
            Timeout: another process copies a shard with this lock.
        """
        folder = file.parent
        (folder / "locks").mkdir(parents=True, exist_ok=True)
        with locked(folder / "locks" / file.name[:2]):
            if not _make_room(folder, size):
                return None
            digest = hashlib.sha256()
            with atomic_write(file, sync=False, shared=True) as stream:
                for chunk in self._reader.chunks(self.address(shard), size):
                    digest.update(chunk)
                    stream.write(chunk)
                hashes = self._manifest.shard_hashes
                if hashes and digest.hexdigest() != hashes[shard]:
                    self._wrong.add(shard)
                    raise ReadError(_IS_WRONG)
        return Address(str(file))

    def _key(self, shard: int) -> str:
        if self._manifest.shard_hashes:
            return self._manifest.shard_hashes[shard]
        stamp = self._manifest.stamps[shard] if self._manifest.stamps else ""
        return short_hash(f"{self.address(shard)} {self._manifest.sizes[shard]} {stamp}")


def _make_room(folder: Path, size: int) -> bool:
    """Remove the copies that were not read for longest, until another one has a place.

    Returns:
        Whether it has one.

    Raises:
        OSError: the folder cannot be read.
    """
    copies = []
    for file in folder.iterdir():
        with suppress(OSError):  # another process has just removed it
            if file.is_file():
                copies.append((file.stat().st_mtime, file.stat().st_size, file))
    total = sum(length for _, length, _ in copies)
    limit = _limit(total + shutil.disk_usage(folder).free)
    if size > limit:
        return False
    for _, length, file in sorted(copies):
        if total + size <= limit:
            break
        with suppress(OSError):  # Windows keeps a file that is open
            file.unlink()
            total -= length
    return total + size <= limit


def _limit(available: int) -> int:
    """The bytes that the copies may take.

    Args:
        available: the bytes on the disk that are free or taken by copies.
    """
    requested = os.environ.get("SEMISEG_SHARD_CACHE_MB", "")
    if requested.isdecimal():
        return min(int(requested) * _MB, available)
    return min(_DEFAULT_MB * _MB, available // 4)
